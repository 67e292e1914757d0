"""Three-phase unbalanced networks as tables: conductors, couplings and connections as a person would write them.

A terminal is a bus and the conductors used there, written as digits: "123", "13", "2"; "0" is ground. So node "671.2"
is conductor 2 of bus 671. Power into the network is positive everywhere, so a load has `p_kw < 0`.
"""

# ruff: noqa: RUF009 - the column helpers return dataclasses.field
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

import numpy as np

from gridenv.network.spec import (
    Bools,
    BusTable,
    Floats,
    Names,
    NetworkTables,
    Table,
    bool_column,
    complex_column,
    float_column,
)

T = TypeVar("T", bound=Table)

MAX_CONDUCTORS = 3
"""Conductors of a terminal; further neutrals are eliminated (Kron) before they get here."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PhaseSourceTable(Table):
    """Three-phase voltage sources behind an impedance (the upstream grid)."""

    bus: Names = ()
    phases: Names = ()
    """Conductors in the order a, b, c; normally "123"."""
    v_pu: Floats = float_column()
    """Voltage magnitude behind the impedance, pu of the bus's nominal voltage."""
    angle_rad: Floats = float_column(0.0)
    """Angle of the first conductor; the others follow by -120 and +120 degrees."""
    z_ohm: Any = complex_column(0.0, shape=(MAX_CONDUCTORS, MAX_CONDUCTORS))
    """Series impedance matrix [source, 3, 3], ohm; all zero = an ideal source."""
    in_service: Bools = bool_column()


@dataclass(frozen=True, kw_only=True, eq=False)
class PhaseLineTable(Table):
    """Lines, cables and switches as pi sections of coupled conductors; totals over the whole length."""

    from_bus: Names = ()
    to_bus: Names = ()
    from_phases: Names = ()
    """Conductors at the from end, such as "123" or "2"."""
    to_phases: Names = ()
    """Conductors at the to end, as many as at the from end."""
    z_ohm: Any = complex_column(shape=(MAX_CONDUCTORS, MAX_CONDUCTORS))
    """Series impedance matrix [line, 3, 3], ohm, in the order of the phases; rows of absent conductors are zero."""
    y_s: Any = complex_column(0.0, shape=(MAX_CONDUCTORS, MAX_CONDUCTORS))
    """Total shunt admittance matrix [line, 3, 3], siemens; half of it acts at each end."""
    i_max_a: Floats = float_column(float("inf"))
    """Rated current of a conductor, A; infinite = no rating published."""
    closed: Bools = bool_column()
    """Whether the line is in service and closed at both ends; an open line is out at both."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PhaseTransformerTable(Table):
    """Transformers of two or three windings, three-phase or single-phase; the windings are rows of a `WindingTable`."""

    n_phase: Floats = float_column()
    """3 for a three-phase unit, 1 for a single-phase one."""
    x_12: Floats = float_column()
    """Leakage reactance between windings 1 and 2, share of the rating of winding 1."""
    x_13: Floats = float_column(0.0)
    """Between windings 1 and 3; not used by two-winding units."""
    x_23: Floats = float_column(0.0)
    p_no_load: Floats = float_column(0.0)
    """No-load loss, share of the rating of winding 1."""
    i_magnetising: Floats = float_column(0.0)
    """Magnetising current, share of the rated current of winding 1."""
    stray_share: Floats = float_column(0.0)
    """Reactance to ground at every end of a winding, as reactive share of the rating: keeps an ungrounded side from
    floating. OpenDSS calls 1e-6 of this `ppm_antifloat`."""
    lag_30: Bools = bool_column()
    """Delta-wye units: whether the low-voltage side lags the high-voltage side by 30 degrees (ANSI) or leads."""
    in_service: Bools = bool_column()


@dataclass(frozen=True, kw_only=True, eq=False)
class WindingTable(Table):
    """Windings of transformers, in the order 1, 2, 3 within each transformer."""

    transformer: Names = ()
    bus: Names = ()
    phases: Names = ()
    """Three-phase: "123". Single-phase: from and to conductor, such as "12" for line to line, "10" from conductor 1 to
    ground, "02" from ground to conductor 2 (second half of a centre-tapped winding)."""
    connection: Names = ()
    """"wye" (neutral grounded through `z_neutral_ohm`), "delta", or "wye_ungrounded"; three-phase units only use the
    difference, a single-phase unit is described by its `phases` alone and says "wye" or "delta" for the record."""
    v_kv: Floats = float_column()
    """Rated voltage, kV: line to line for three-phase units, across the winding for single-phase ones."""
    s_kva: Floats = float_column()
    """Rated power of all phases of the winding together."""
    r: Floats = float_column(0.0)
    """Winding resistance as a share of its own rating."""
    tap: Floats = float_column(1.0)
    """Turns ratio in units of the rated one; 1.05 raises the voltage of this winding by 5 %."""
    z_neutral_ohm: Any = complex_column(0.0)
    """Impedance from neutral to ground of a three-phase wye winding, ohm; 0 = solidly grounded."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RegulatorTable(Table):
    """Tap-changer controls: which winding is stepped and what it holds. One row a control; ganged for 3-phase units."""

    transformer: Names = ()
    winding: Floats = float_column(2.0)
    """Number of the winding whose tap moves, and whose voltage and current are looked at."""
    v_target_v: Floats = float_column()
    """Set voltage at the relay, V (secondary of the voltage transformer)."""
    band_v: Floats = float_column(2.0)
    """Width of the dead band around it, V."""
    pt_ratio: Floats = float_column()
    """Ratio of the voltage transformer."""
    ct_primary_a: Floats = float_column()
    """Primary rating of the current transformer, A."""
    ldc_r_v: Floats = float_column(0.0)
    """Line-drop compensator: resistive setting, V at rated current."""
    ldc_x_v: Floats = float_column(0.0)
    tap_min: Floats = float_column(0.9)
    tap_max: Floats = float_column(1.1)
    n_step: Floats = float_column(32.0)
    """Steps between `tap_min` and `tap_max`; 32 steps give 33 positions."""
    monitored_phase: Floats = float_column(1.0)
    """Position (1, 2, 3) of the phase that a ganged control looks at."""
    delay_s: Floats = float_column(15.0)
    """Time out of band before the first step: the control with the shortest delay acts first."""
    max_steps: Floats = float_column(16.0)
    """Steps in one action at most."""
    in_service: Bools = bool_column()


@dataclass(frozen=True, kw_only=True, eq=False)
class CapacitorTable(Table):
    """Shunt capacitor banks (and reactors, with negative `q_kvar`)."""

    bus: Names = ()
    phases: Names = ()
    """Conductors; a single-phase bank in line-to-line connection names both, such as "12" with "delta"."""
    connection: Names = ()
    """"wye" (grounded) or "delta"."""
    q_kvar: Floats = float_column()
    """Reactive power into the network of all phases together at rated voltage."""
    v_kv: Floats = float_column()
    """Rated voltage, kV: line to line for two- and three-phase banks, across the capacitor for one phase."""
    closed: Bools = bool_column()


@dataclass(frozen=True, kw_only=True, eq=False)
class CapacitorControlTable(Table):
    """Controls that switch a capacitor bank by what they see at a line."""

    capacitor: Names = ()
    line: Names = ()
    """Line whose from end is monitored."""
    mode: Names = ()
    """"voltage" (V at the relay), "current" (A at the relay) or "kvar" (of all phases, into the line)."""
    switch_on: Floats = float_column()
    """Threshold: closes below it for voltage, above it for current and kvar."""
    switch_off: Floats = float_column()
    pt_ratio: Floats = float_column(1.0)
    ct_ratio: Floats = float_column(1.0)
    delay_s: Floats = float_column(0.0)
    in_service: Bools = bool_column()


@dataclass(frozen=True, kw_only=True, eq=False)
class PhaseInjectionTable(Table):
    """Loads, generators and storage with their connection and voltage dependence."""

    bus: Names = ()
    phases: Names = ()
    """Conductors: "123"; "2" from conductor 2 to ground; "12" with "delta" between two conductors. Several wye
    conductors or delta legs share the power equally."""
    connection: Names = ()
    """"wye" or "delta"."""
    kind: Names = ()
    """`load`, `sgen` or `storage`."""
    p_kw: Floats = float_column()
    """Active power into the network at `v_kv`, all phases together; loads negative."""
    q_kvar: Floats = float_column()
    v_kv: Floats = float_column()
    """Voltage at which the powers hold, kV, across each leg (line to ground for wye, line to line for delta)."""
    exponent_p: Floats = float_column(0.0)
    """P = p_kw (V / v_kv)^exponent_p: 0 constant power, 1 constant current, 2 constant impedance."""
    exponent_q: Floats = float_column(0.0)
    v_min_pu: Floats = float_column(0.0)
    """Below it (share of `v_kv`) the current falls in proportion to the distance from `v_low_pu`; 0 = no such rule.
    There a constant-current load starts from its current at the limit, and any other from its power."""
    v_max_pu: Floats = float_column(float("inf"))
    """Above it the element is a constant impedance; infinite = no such rule."""
    v_low_pu: Floats = float_column(0.0)
    """Below it the element is a constant impedance."""
    in_service: Bools = bool_column()


@dataclass(frozen=True, kw_only=True, eq=False)
class PhaseNetworkSpec(NetworkTables):
    """An unbalanced network as tables. Immutable."""

    name: str
    buses: BusTable
    """`vn_kv` is sqrt(3) times the conductor-to-ground base voltage, also where there are fewer than three phases."""
    sources: PhaseSourceTable
    lines: PhaseLineTable = field(default_factory=PhaseLineTable)
    transformers: PhaseTransformerTable = field(default_factory=PhaseTransformerTable)
    windings: WindingTable = field(default_factory=WindingTable)
    regulators: RegulatorTable = field(default_factory=RegulatorTable)
    capacitors: CapacitorTable = field(default_factory=CapacitorTable)
    capacitor_controls: CapacitorControlTable = field(default_factory=CapacitorControlTable)
    injections: PhaseInjectionTable = field(default_factory=PhaseInjectionTable)


def table_of(table_type: type[T], rows: Sequence[Mapping[str, Any]], **given: Any) -> T:
    """A table from its rows, which all have the same columns; what is no column of the table is passed over.

    Args:
        table_type: class of the table.
        rows: values by column.
        given: whole columns, in place of those of the rows.
    """
    columns: dict[str, Any] = dict(given)
    for f in fields(table_type):
        if rows and f.name in rows[0] and f.name not in given:
            values = tuple(row[f.name] for row in rows)
            columns[f.name] = np.array(values, dtype=f.metadata["dtype"]) if f.metadata else values
    return table_type(**columns)
