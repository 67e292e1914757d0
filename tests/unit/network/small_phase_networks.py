"""A small three-phase network with every kind of element, and changes of single values in it."""

from dataclasses import replace
from typing import Any

import numpy as np

from gridenv.network.phase_tables import (
    CapacitorControlTable,
    CapacitorTable,
    PhaseInjectionTable,
    PhaseLineTable,
    PhaseNetworkSpec,
    PhaseSourceTable,
    PhaseTransformerTable,
    RegulatorTable,
    WindingTable,
)
from gridenv.network.spec import BusTable
from tests.unit.network.small_networks import flags, floats

SQRT3 = 3.0**0.5
VN_KV = SQRT3
"""Nominal voltage of the high-voltage buses: 1 kV from conductor to ground."""

S_BASE_KVA = 1000.0 / 3.0
Z_BASE_OHM = 3.0
"""Of a node at 1 kV: (1 kV)^2 / (1/3 MVA)."""


def every_kind() -> PhaseNetworkSpec:
    """Source, line, delta-wye transformer, single-phase regulator, centre tap, capacitors, control and loads."""
    return PhaseNetworkSpec(
        name="every_kind",
        buses=BusTable(id=("s", "m", "l", "r", "c"), vn_kv=floats(VN_KV, VN_KV, 0.4, VN_KV, 0.12 * SQRT3)),
        sources=PhaseSourceTable(
            id=("grid",), bus=("s",), phases=("123",), v_pu=floats(1.05), z_ohm=np.eye(3)[None] * (0.03 + 0.3j)
        ),
        lines=PhaseLineTable(
            id=("line.sm",),
            from_bus=("s",),
            to_bus=("m",),
            from_phases=("123",),
            to_phases=("231",),
            z_ohm=(np.full((3, 3), 0.1j) + np.eye(3) * (0.3 + 0.5j))[None],
            y_s=np.eye(3)[None] * 0.02j,
            i_max_a=floats(400.0),
        ),
        transformers=_transformers(),
        windings=_windings(),
        regulators=RegulatorTable(
            id=("reg",),
            transformer=("step",),
            v_target_v=floats(120.0),
            pt_ratio=floats(10.0),
            ct_primary_a=floats(100.0),
        ),
        capacitors=CapacitorTable(
            id=("bank", "single"),
            bus=("m", "r"),
            phases=("123", "2"),
            connection=("wye", "wye"),
            q_kvar=floats(300.0, 50.0),
            v_kv=floats(VN_KV, 1.0),
            closed=flags(True, False),
        ),
        capacitor_controls=CapacitorControlTable(
            id=("control",),
            capacitor=("bank",),
            line=("line.sm",),
            mode=("kvar",),
            switch_on=floats(100.0),
            switch_off=floats(-100.0),
        ),
        injections=PhaseInjectionTable(
            id=("wye", "delta", "one", "between"),
            bus=("l", "m", "r", "m"),
            phases=("123", "123", "2", "31"),
            connection=("wye", "delta", "wye", "delta"),
            kind=("load", "load", "sgen", "storage"),
            p_kw=floats(-30.0, -60.0, 10.0, 5.0),
            q_kvar=floats(-3.0, -6.0, 0.0, 0.0),
            v_kv=floats(0.4 / SQRT3, VN_KV, 1.0, VN_KV),
            exponent_p=floats(0.0, 1.0, 2.0, 0.0),
        ),
    )


def _transformers() -> PhaseTransformerTable:
    return PhaseTransformerTable(
        id=("dy", "step", "centre"),
        n_phase=floats(3, 1, 1),
        x_12=floats(0.06, 0.01, 0.0204),
        x_13=floats(0.0, 0.0, 0.0204),
        x_23=floats(0.0, 0.0, 0.0136),
    )


def _windings() -> WindingTable:
    return WindingTable(
        id=("dy.1", "dy.2", "step.1", "step.2", "centre.1", "centre.2", "centre.3"),
        transformer=("dy", "dy", "step", "step", "centre", "centre", "centre"),
        bus=("m", "l", "m", "r", "m", "c", "c"),
        phases=("123", "123", "20", "2", "1", "10", "02"),
        connection=("delta", "wye", "wye", "wye", "wye", "wye", "wye"),
        v_kv=floats(VN_KV, 0.4, 1.0, 1.0, 1.0, 0.12, 0.12),
        s_kva=floats(300.0, 300.0, 100.0, 100.0, 25.0, 25.0, 25.0),
        r=floats(0.01, 0.01, 0.001, 0.001, 0.006, 0.012, 0.012),
        tap=floats(1.0, 1.0, 1.0, 1.0125, 1.0, 1.0, 1.0),
    )


def with_value(table: str, column: str, row: int, value: Any) -> PhaseNetworkSpec:
    """`every_kind` with one value changed."""
    return changed(every_kind(), table, column, row, value)


def changed(spec: PhaseNetworkSpec, table: str, column: str, row: int, value: Any) -> PhaseNetworkSpec:
    """A copy with one value changed."""
    old = getattr(spec, table)
    values = getattr(old, column)
    if isinstance(values, tuple):
        values = (*values[:row], value, *values[row + 1 :])
    else:
        values = values.copy()
        values[row] = value
    return spec.replace(**{table: replace(old, **{column: values})})


def two_winding(connections: tuple[str, str], **columns: Any) -> PhaseNetworkSpec:
    """An ideal source at `h` and a three-phase unit of 300 kVA from 1.732 to 0.4 kV, 0.01 + j0.06 pu, without load."""
    windings = WindingTable(
        id=("t.1", "t.2"),
        transformer=("t", "t"),
        bus=("h", "l"),
        phases=("123", "123"),
        connection=connections,
        v_kv=floats(VN_KV, 0.4),
        s_kva=floats(300.0, 300.0),
        r=floats(0.005, 0.005),
    )
    return PhaseNetworkSpec(
        name="two_winding",
        buses=BusTable(id=("h", "l"), vn_kv=floats(VN_KV, 0.4)),
        sources=PhaseSourceTable(id=("grid",), bus=("h",), phases=("123",), v_pu=floats(1.0)),
        transformers=PhaseTransformerTable(id=("t",), n_phase=floats(3), x_12=floats(0.06)),
        windings=replace(windings, **columns),
    )
