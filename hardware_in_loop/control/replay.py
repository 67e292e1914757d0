"""A run again without the rig: the same measurements to the same policy, and whether it asks for the same."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gridenv.core.channels import ChannelSet
from gridenv.core.errors import RunError, raise_collected
from hardware_in_loop.control.log import Log
from hardware_in_loop.control.pilot import Pilot

TOLERANCE = 1e-6
"""Largest difference, share of the range of a channel: float32 on another processor."""


@dataclass(frozen=True, kw_only=True)
class Replay:
    """What a policy does with the recorded measurements."""

    decisions: int
    """Answers of the policy that were compared."""
    largest_difference: float
    """Of an action or an observation, share of its channel's range; infinite if one failed and the other did not."""
    differing: Sequence[int]
    """Cycles in which it is above the tolerance."""

    @property
    def is_identical(self) -> bool:
        """The policy asks for what it asked for then."""
        return not self.differing


def replay(log: Log, pilot: Pilot) -> Replay:
    """Ask a policy again for every answer that it gave in a run.

    Raises:
        RunError: if it has other channels than the run.
    """
    raise_collected(_other_channels(log, pilot), RunError)
    values, seen, requested = log.block("value"), log.block("observation"), log.block("requested")
    observed_span, commanded_span = _span(pilot.observation), _span(pilot.action)
    scale = np.array([c.scale for c in pilot.observation])
    cycles, ran = log.column("cycle"), log.column("policy_ran")
    largest, differing = 0.0, []
    for row in np.flatnonzero(ran):
        answer = pilot.ask(values[row])
        request = np.full(len(pilot.action), np.nan) if answer.request is None else answer.request
        differences = [
            _difference(request, requested[row], commanded_span),
            _difference(answer.observation, seen[row], observed_span / scale),
        ]
        largest = max(largest, *differences)
        if max(differences) > TOLERANCE:
            differing.append(int(cycles[row]))
    return Replay(decisions=int(ran.sum()), largest_difference=largest, differing=differing)


def _span(channels: ChannelSet) -> np.ndarray:
    return np.array([c.high - c.low for c in channels])


def _difference(now: np.ndarray, then: np.ndarray, span: np.ndarray) -> float:
    if (np.isfinite(now) != np.isfinite(then)).any():
        return float("inf")
    is_number = np.isfinite(now)
    return float(np.max(np.abs(now - then)[is_number] / span[is_number], initial=0.0))


def _other_channels(log: Log, pilot: Pilot) -> list[str]:
    pairs = (
        ("observes", log.layout.observations, pilot.observation.names),
        ("commands", log.layout.setpoints, pilot.action.names),
    )
    return [
        f"run '{log.folder}': its policy {verb} {len(then)} channels that begin with '{then[0]}'; the bundle {verb} "
        f"{len(now)} that begin with '{now[0]}'; use the bundle of the run"
        for verb, then, now in pairs
        if then != now
    ]
