"""Nodes of a three-phase network: the conductors that its elements use, and the legs between them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

from gridenv.core.units import KVA_PER_MVA, SQRT3
from gridenv.network.circuit import GROUND, Ints
from gridenv.network.phase_tables import PhaseNetworkSpec
from gridenv.network.spec import Bools, Floats, Names

N_PHASE = 3
S_BASE_PHASE_KVA = KVA_PER_MVA / N_PHASE
"""Base power of a node. Assumed: any value does; three phases together have the 1 MVA of a balanced bus."""

GROUND_CONDUCTOR = "0"


@dataclass(frozen=True, kw_only=True, eq=False)
class PhaseNodes:
    """Numbers of the conductors, by bus and conductor."""

    names: Names
    """[node] "bus.conductor", in order of the bus table, conductors in ascending order."""
    v_base_kv: Floats
    """[node] base voltage, conductor to ground."""
    number: Mapping[tuple[str, str], int]
    bus_base_kv: Mapping[str, float]
    bus_on: Mapping[str, bool]

    def of(self, buses: Iterable[str], conductors: Iterable[str], width: int) -> Ints:
        """[row, width] nodes of terminals; ground and conductors that are absent are -1."""
        number = self.number
        rows = [[number.get((b, c), GROUND) for c in cs.ljust(width)] for b, cs in zip(buses, conductors, strict=True)]
        return np.array(rows, dtype=np.int64).reshape(len(rows), width)

    def base_kv(self, buses: Iterable[str]) -> Floats:
        """[row] conductor-to-ground base voltage of buses."""
        return np.array([self.bus_base_kv[b] for b in buses], dtype=float)

    def on(self, buses: Iterable[str]) -> Bools:
        """[row] whether the buses are in service."""
        return np.array([self.bus_on[b] for b in buses], dtype=bool)


def phase_nodes(spec: PhaseNetworkSpec) -> PhaseNodes:
    """Number every conductor that a terminal uses; conductor 0 is ground and no node."""
    row = {bus: i for i, bus in enumerate(spec.buses.id)}
    used = {(bus, c) for bus, conductors in _terminals(spec) for c in conductors if c != GROUND_CONDUCTOR}
    order = sorted(used, key=lambda key: (row[key[0]], key[1]))
    bus_base_kv = dict(zip(spec.buses.id, (spec.buses.vn_kv / SQRT3).tolist(), strict=True))
    return PhaseNodes(
        names=tuple(f"{bus}.{conductor}" for bus, conductor in order),
        v_base_kv=np.array([bus_base_kv[bus] for bus, _ in order]),
        number={key: i for i, key in enumerate(order)},
        bus_base_kv=bus_base_kv,
        bus_on=dict(zip(spec.buses.id, spec.buses.in_service.tolist(), strict=True)),
    )


def _terminals(spec: PhaseNetworkSpec) -> Iterator[tuple[str, str]]:
    for table in (spec.sources, spec.windings, spec.capacitors, spec.injections):
        yield from zip(table.bus, table.phases, strict=True)
    yield from zip(spec.lines.from_bus, spec.lines.from_phases, strict=True)
    yield from zip(spec.lines.to_bus, spec.lines.to_phases, strict=True)


def z_base_ohm(v_base_kv: Floats) -> Floats:
    """Base impedance of nodes with a conductor-to-ground base voltage."""
    return v_base_kv**2 * KVA_PER_MVA / S_BASE_PHASE_KVA


@cache
def legs(phases: str, connection: str) -> tuple[tuple[str, str], ...]:
    """Pairs of conductors that an element's equal parts connect.

    Wye: every conductor to ground. Delta: "12" is one leg, "123" three of them, 1-2, 2-3 and 3-1.
    """
    if connection == "wye":
        return tuple((c, GROUND_CONDUCTOR) for c in phases)
    if len(phases) == N_PHASE:
        return tuple(zip(phases, phases[1:] + phases[:1], strict=True))
    return ((phases[0], phases[1]),)
