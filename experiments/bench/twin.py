"""A twin of a three-phase network that power-grid-model's asymmetric model can be given exactly.

power-grid-model has three phases at every node, loads from phase to ground, and no regulators with a ratio for each
phase. The twin has the same buses and coupled lines. Phases that are absent are there without load; loads in delta draw
the same power to ground, half of it at each end; transformers and regulators are their series impedances (no ratio, no
shift); shunt capacitances are averaged over the phases, and so are capacitor banks. A source has its positive-sequence
impedance in all phases. Switches and regulators get a least impedance: below it Newton's method fails at 1e-10.
All voltages are referred to one level.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.bench.circuit import Complex, Floats
from gridenv.core.errors import NetworkError, raise_collected
from gridenv.core.units import KVA_PER_MVA, SQRT3
from gridenv.network.phase_tables import (
    CapacitorTable,
    PhaseInjectionTable,
    PhaseLineTable,
    PhaseNetworkSpec,
    PhaseSourceTable,
)
from gridenv.network.spec import BusTable

_PHASES = "123"
_VN_KV = 1.0
"""Level that all voltages are referred to."""
_LEAST_Z_OHM = 1e-5
"""Largest entry of a series impedance at that level, at least; 1e-5 pu of 1 MVA."""


def three_phase_twin(spec: PhaseNetworkSpec) -> PhaseNetworkSpec:
    """The twin of a network.

    Raises:
        NetworkError: for transformers with three windings or between two phases, which have no twin.
    """
    raise_collected(list(twin_problems(spec)), NetworkError)
    vn_kv = dict(zip(spec.buses.id, spec.buses.vn_kv.tolist(), strict=True))
    sources, injections = spec.sources, spec.injections
    return PhaseNetworkSpec(
        name=f"{spec.name} twin",
        buses=BusTable(id=spec.buses.id, vn_kv=np.full(len(spec.buses), _VN_KV)),
        sources=PhaseSourceTable(
            id=sources.id,
            bus=sources.bus,
            phases=sources.phases,
            v_pu=sources.v_pu,
            angle_rad=sources.angle_rad,
            z_ohm=_source_z_ohm(spec, vn_kv),
            in_service=sources.in_service,
        ),
        lines=_lines(spec, vn_kv),
        capacitors=_capacitors(spec, vn_kv),
        injections=PhaseInjectionTable(
            id=injections.id,
            bus=injections.bus,
            phases=injections.phases,
            connection=("wye",) * len(injections),
            kind=injections.kind,
            p_kw=injections.p_kw,
            q_kvar=injections.q_kvar,
            v_kv=_relative(injections.v_kv, injections.bus, injections.connection, vn_kv) / SQRT3,
            exponent_p=injections.exponent_p,
            exponent_q=injections.exponent_q,
            in_service=injections.in_service,
        ),
    )


def twin_problems(spec: PhaseNetworkSpec) -> Iterator[str]:
    """Why a network has no twin: one message for each transformer that cannot be a series impedance."""
    windings = spec.windings
    for name, n_phase in zip(spec.transformers.id, spec.transformers.n_phase, strict=True):
        rows = [i for i, t in enumerate(windings.transformer) if t == name]
        phases = [windings.phases[i].replace("0", "") for i in rows]
        if len(rows) != 2 or phases[0] != phases[1] or len(phases[0]) != n_phase:
            yield (
                f"network '{spec.name}': transformer '{name}' has windings at {phases}; allowed in a twin: two "
                "windings with the same phases, to ground; measure its own circuit only"
            )


def _lines(spec: PhaseNetworkSpec, vn_kv: dict[str, float]) -> PhaseLineTable:
    """One line for each pair of buses, with all three phases."""
    series: dict[tuple[str, str], Complex] = defaultdict(lambda: np.zeros((3, 3), dtype=complex))
    shunt: dict[tuple[str, str], Complex] = defaultdict(lambda: np.zeros((3, 3), dtype=complex))
    for a, b, phases, z in (*_line_series(spec), *_transformer_series(spec)):
        at = np.ix_([_PHASES.index(p) for p in phases], [_PHASES.index(p) for p in phases])
        series[min(a, b), max(a, b)][at] += np.linalg.inv(z / vn_kv[a] ** 2)
    for i in np.flatnonzero(spec.lines.closed):
        a, b, n = spec.lines.from_bus[i], spec.lines.to_bus[i], len(spec.lines.from_phases[i])
        shunt[min(a, b), max(a, b)] += _averaged(spec.lines.y_s[i][:n, :n]) * vn_kv[a] ** 2
    pairs = tuple(series)
    return PhaseLineTable(
        id=tuple(f"{a}-{b}" for a, b in pairs),
        from_bus=tuple(a for a, _ in pairs),
        to_bus=tuple(b for _, b in pairs),
        from_phases=(_PHASES,) * len(pairs),
        to_phases=(_PHASES,) * len(pairs),
        z_ohm=[_at_least(np.linalg.inv(_filled(series[pair])) * _VN_KV**2) for pair in pairs],
        y_s=[shunt[pair] / _VN_KV**2 for pair in pairs],
    )


def _line_series(spec: PhaseNetworkSpec) -> Iterator[tuple[str, str, str, Complex]]:
    lines = spec.lines
    for i in np.flatnonzero(lines.closed):
        phases = lines.from_phases[i]
        yield lines.from_bus[i], lines.to_bus[i], phases, lines.z_ohm[i][: len(phases), : len(phases)]


def _transformer_series(spec: PhaseNetworkSpec) -> Iterator[tuple[str, str, str, Complex]]:
    transformers, windings = spec.transformers, spec.windings
    for name, x, on in zip(transformers.id, transformers.x_12, transformers.in_service, strict=True):
        first, second = (i for i, t in enumerate(windings.transformer) if t == name)
        z_base_ohm = windings.v_kv[first] ** 2 * KVA_PER_MVA / windings.s_kva[first]
        phases = windings.phases[first].replace("0", "")
        z = (windings.r[first] + windings.r[second] + 1j * x) * z_base_ohm * np.eye(len(phases))
        if on:
            yield windings.bus[first], windings.bus[second], phases, z


def _averaged(y: Complex) -> Complex:
    """[3, 3] with equal entries for each phase and each pair of phases."""
    n = len(y)
    own = np.trace(y) / n
    mutual = (y.sum() - np.trace(y)) / (n * (n - 1)) if n > 1 else 0.0
    return np.asarray(mutual + (own - mutual) * np.eye(3))


def _filled(y: Complex) -> Complex:
    """Phases that are absent get the mean of those that are there, without coupling."""
    absent = np.diag(y) == 0.0
    present = np.ix_(~absent, ~absent)
    filled = y.copy()
    filled[absent, absent] = 1.0 / np.mean(np.diag(np.linalg.inv(y[present])))
    return filled


def _at_least(z_ohm: NDArray[Any]) -> Complex:
    return np.asarray(z_ohm * max(1.0, _LEAST_Z_OHM / float(np.abs(z_ohm).max())))


def _capacitors(spec: PhaseNetworkSpec, vn_kv: dict[str, float]) -> CapacitorTable:
    table = spec.capacitors
    across = tuple(
        "wye" if c == "wye" and len(p) == 1 else "line" for c, p in zip(table.connection, table.phases, strict=True)
    )
    return CapacitorTable(
        id=table.id,
        bus=table.bus,
        phases=(_PHASES,) * len(table),
        connection=("wye",) * len(table),
        q_kvar=table.q_kvar,
        v_kv=_relative(table.v_kv, table.bus, across, vn_kv) * _VN_KV,
        closed=table.closed,
    )


def _relative(v_kv: Floats, buses: tuple[str, ...], connection: tuple[str, ...], vn_kv: dict[str, float]) -> Floats:
    """Rated voltage in units of the bus's nominal one, to ground for `wye` and between phases for others."""
    to_ground = np.array([c == "wye" for c in connection], dtype=bool)
    base = np.array([vn_kv[bus] for bus in buses], dtype=float)
    return v_kv / np.where(to_ground, base / SQRT3, base)


def _source_z_ohm(spec: PhaseNetworkSpec, vn_kv: dict[str, float]) -> Complex:
    """[source, 3, 3] positive sequence only: a transformer in delta keeps the other out, the twin does not."""
    z = spec.sources.z_ohm
    positive = (z[:, 0, 0] + z[:, 1, 1] + z[:, 2, 2] - z[:, 0, 1] - z[:, 1, 2] - z[:, 2, 0]) / len(_PHASES)
    base = np.array([vn_kv[bus] for bus in spec.sources.bus]) / _VN_KV
    scaled: Complex = (positive / base**2)[:, None, None] * np.eye(len(_PHASES))
    return scaled
