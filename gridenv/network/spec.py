"""Network description: plain immutable tables in SI units with string ids, as a person would write them.

Power into the network is positive everywhere, so a load has `p_kw < 0`.
"""

from dataclasses import dataclass, field, fields, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Names = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Table:
    """Columns of equal length, one row an element; `id` names the rows."""

    id: Names = ()

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            if isinstance(value, np.ndarray):
                frozen = value.copy()
                frozen.setflags(write=False)
                object.__setattr__(self, f.name, frozen)

    def __len__(self) -> int:
        return len(self.id)


def _floats() -> Any:
    return field(default_factory=lambda: np.zeros(0))


def _bools() -> Any:
    return field(default_factory=lambda: np.zeros(0, dtype=bool))


@dataclass(frozen=True, kw_only=True)
class BusTable(Table):
    """Places where elements connect."""

    vn_kv: Floats = _floats()
    """Nominal line-to-line voltage, kV."""
    in_service: Bools = _bools()


@dataclass(frozen=True, kw_only=True)
class SourceTable(Table):
    """Stiff voltage sources (the upstream grid)."""

    bus: Names = ()
    v_pu: Floats = _floats()
    """Voltage magnitude, pu of the bus's nominal voltage."""
    angle_rad: Floats = _floats()


@dataclass(frozen=True, kw_only=True)
class LineTable(Table):
    """Lines and cables as pi sections; values are totals over the whole length, all parallel systems together."""

    from_bus: Names = ()
    to_bus: Names = ()
    r_ohm: Floats = _floats()
    x_ohm: Floats = _floats()
    g_s: Floats = _floats()
    """Total shunt conductance, siemens."""
    b_s: Floats = _floats()
    """Total shunt susceptance, siemens."""
    i_max_a: Floats = _floats()
    """Rated current of all parallel systems together, A; infinite = no rating published."""
    in_service: Bools = _bools()
    from_closed: Bools = _bools()
    """Whether the switch at the from end is closed; a line open at one end still charges."""
    to_closed: Bools = _bools()


@dataclass(frozen=True, kw_only=True)
class TransformerTable(Table):
    """Two-winding transformers; values of one unit, `parallel` units side by side."""

    hv_bus: Names = ()
    lv_bus: Names = ()
    s_kva: Floats = _floats()
    vn_hv_kv: Floats = _floats()
    vn_lv_kv: Floats = _floats()
    vk: Floats = _floats()
    """Short-circuit voltage as a share of rated voltage."""
    vkr: Floats = _floats()
    """Its real part, as a share of rated voltage."""
    p_iron_kw: Floats = _floats()
    i_no_load: Floats = _floats()
    """Open-loop current as a share of rated current."""
    shift_rad: Floats = _floats()
    """Phase shift of the vector group, high- to low-voltage side."""
    parallel: Floats = _floats()
    tap_on_hv: Bools = _bools()
    tap_pos: Floats = _floats()
    """Present position; equal to `tap_neutral` where there is no tap changer."""
    tap_neutral: Floats = _floats()
    tap_min: Floats = _floats()
    tap_max: Floats = _floats()
    tap_step: Floats = _floats()
    """Voltage change of a step as a share of rated voltage."""
    tap_step_rad: Floats = _floats()
    """Angle of a step: of the voltage phasor added by a ratio changer, of the shift of a phase shifter."""
    tap_is_phase_shifter: Bools = _bools()
    """Ideal phase shifter: a step turns by `tap_step_rad` and leaves the magnitude."""
    loading_base_kva: Floats = _floats()
    """Rated power of one unit times its allowed load factor, kVA; a loading of 1.0."""
    in_service: Bools = _bools()


@dataclass(frozen=True, kw_only=True)
class InjectionTable(Table):
    """Everything that feeds in or draws power: loads, generators, storage. Ids such as `load.12`, `sgen.3`."""

    bus: Names = ()
    kind: Names = ()
    """`load`, `sgen` or `storage`."""
    p_kw: Floats = _floats()
    """Active power into the network, kW; loads negative."""
    q_kvar: Floats = _floats()
    """Reactive power into the network, kvar."""
    in_service: Bools = _bools()


@dataclass(frozen=True, kw_only=True)
class ShuntTable(Table):
    """Constant-impedance elements to ground."""

    bus: Names = ()
    p_kw: Floats = _floats()
    """Power into the network at `v_rated_kv`; a shunt that consumes is negative."""
    q_kvar: Floats = _floats()
    v_rated_kv: Floats = _floats()
    in_service: Bools = _bools()


@dataclass(frozen=True, kw_only=True)
class SwitchTable(Table):
    """Bus-bus switches of zero impedance."""

    bus_a: Names = ()
    bus_b: Names = ()
    closed: Bools = _bools()


@dataclass(frozen=True, kw_only=True)
class NetworkSpec:
    """A balanced network as tables. Immutable: the `with_...` methods return a changed copy."""

    name: str
    buses: BusTable
    sources: SourceTable
    lines: LineTable = field(default_factory=LineTable)
    transformers: TransformerTable = field(default_factory=TransformerTable)
    injections: InjectionTable = field(default_factory=InjectionTable)
    shunts: ShuntTable = field(default_factory=ShuntTable)
    switches: SwitchTable = field(default_factory=SwitchTable)

    def replace(self, **tables: Any) -> Self:
        """A copy with some tables replaced."""
        return replace(self, **tables)
