"""The agents of a task's multi-agent form: who controls which actions, and sees which observations."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gridenv.core.channels import ChannelSet
from gridenv.tasks.actuator import Actuator

Indices = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Agent:
    """One agent: a unit, or all units of a zone."""

    name: str
    units: tuple[str, ...]
    """Names of its units."""
    unit_rows: Indices
    """Their places among all units of the task, in the order of `Settlement.unit_eur`."""
    actions: Indices
    """Entries of the action vector."""
    local: Indices
    """Entries of the observation that can be measured at its units: their own, the voltages at their buses, and all
    that is the same everywhere (profiles, price, time)."""


def agents_of(actuator: Actuator, observation: ChannelSet, buses: Mapping[str, tuple[str, ...]]) -> tuple[Agent, ...]:
    """The agents of a task, in the order of their first actions.

    Args:
        actuator: of the task.
        observation: its channels.
        buses: names of the nodes at each unit.
    """
    members: dict[str, list[str]] = {}
    zone = _zones(actuator)
    for unit in dict.fromkeys(actuator.units):
        members.setdefault(zone[unit], []).append(unit)
    rows = {unit: i for i, unit in enumerate(name for g in actuator.groups for name in g.names)}
    everywhere = set(rows) | {c.source for c in observation if c.name.startswith("bus.")}
    agents = []
    for name, units in members.items():
        near = {*units, *(f"bus.{node}" for unit in units for node in buses[unit])}
        agents.append(
            Agent(
                name=name,
                units=tuple(units),
                unit_rows=np.array([rows[u] for u in units]),
                actions=np.flatnonzero([u in units for u in actuator.units]),
                local=np.flatnonzero([c.source in near or c.source not in everywhere for c in observation]),
            )
        )
    return tuple(agents)


def _zones(actuator: Actuator) -> dict[str, str]:
    """Zone of every unit; its own name where it has none."""
    return {
        name: config.zone or name
        for group in actuator.groups
        for name, config in zip(group.names, group.configs, strict=True)
    }
