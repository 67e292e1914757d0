"""From what a policy asks for to what may be written: pure functions, the same for every rig.

In this order: finite numbers of the right shape; limits; dead band and time between changes; ramps; predicted voltages;
registers. Ramps count from the set-point in force and its time, so the chain of what is written keeps them whatever is
asked for and whenever it is asked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardware_in_loop.control.projection import nearest
from hardware_in_loop.control.settings import Floats, Limits, VoltageModel

Mask = NDArray[np.bool_]
Box = tuple[Floats, Floats]
_ON_GRID = 1e-9
"""Share of a register's step that counts as rounding of the division."""
_CHANGED = 1e-12
RAMP_WINDOW_PERIODS = 2.0
"""A set-point that has not moved for long may move as far at once as in this many periods, not farther."""


class Intervention(StrEnum):
    """Why what may be written is not what was asked for."""

    INVALID = "invalid"
    """Not finite, or of a wrong shape: the safe set-points take its place."""
    LIMIT = "limit"
    DEADBAND = "deadband"
    INTERVAL = "interval"
    """The last change was too short a time ago."""
    RAMP = "ramp"
    VOLTAGE = "voltage"
    """Smallest change that keeps predicted voltages inside limits."""
    RECOVERY = "recovery"
    """No set-point within the ramps keeps voltages inside limits, one beyond does: straight towards it."""
    INFEASIBLE = "infeasible"
    """No set-point keeps voltages inside limits: towards the safe ones."""


@dataclass(frozen=True, kw_only=True, eq=False)
class InForce:
    """Set-points at the devices, as far as known; arrays [setpoint]."""

    value: Floats
    """Last commanded or read back."""
    effective: Floats
    """What the devices follow by now, given their response; voltages were measured with it."""
    changed_s: Floats
    """When `value` was commanded, on the monotonic clock."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Decision:
    """What may be written."""

    setpoints: Floats
    """[setpoint] exactly as registers carry them."""
    interventions: tuple[tuple[Intervention, str], ...]
    """Why, and which channels; most basic first."""
    is_valid: bool
    """What was asked for is finite and of the right shape."""
    is_feasible: bool
    """Some set-points inside the limits keep predicted voltages inside theirs."""


def supervise(
    limits: Limits,
    voltages: VoltageModel | None,
    request: Any,
    in_force: InForce,
    measured_pu: Floats | None,
    now_s: float,
    period_s: float,
) -> Decision:
    """What may be written in this cycle.

    Args:
        limits: rules of the set-points.
        voltages: linear model; None leaves predicted voltages out.
        request: what the policy asks for, [setpoint] in channel units; anything else is dealt with as invalid.
        in_force: set-points at the devices.
        measured_pu: [voltage] in the order of `voltages`; None if they are not known, which leaves them out.
        now_s: time of the write.
        period_s: time between two cycles.

    Returns:
        Set-points inside their limits, no farther from those in force than the ramps allow.
    """
    why: list[tuple[Intervention, str]] = []
    wanted = _valid(request, len(limits.channels))
    is_valid = wanted is not None
    if wanted is None:
        why.append((Intervention.INVALID, "all"))
        return towards(limits, limits.safe, in_force, now_s, period_s, tuple(why), is_valid=False)
    inside = np.clip(wanted, limits.low, limits.high)
    _note(why, Intervention.LIMIT, inside != wanted, limits)
    quiet = np.abs(inside - in_force.value) < limits.deadband
    _note(why, Intervention.DEADBAND, quiet & (inside != in_force.value), limits)
    asked = np.where(quiet, _inside_limits(limits, in_force.value), inside)
    free = reach(limits, in_force, now_s, period_s)
    must_wait = now_s - in_force.changed_s < limits.min_interval_s
    held = _inside_limits(limits, in_force.value)
    _note(why, Intervention.INTERVAL, must_wait & (np.abs(asked - held) > _CHANGED), limits)
    box = np.where(must_wait, held, free[0]), np.where(must_wait, held, free[1])
    ramped = np.clip(asked, *box)
    _note(why, Intervention.RAMP, ~must_wait & (np.abs(ramped - asked) > _CHANGED), limits)
    target, is_feasible = ramped, True
    if voltages is not None and measured_pu is not None:
        target, kind = _project(limits, voltages, ramped, (box, free), in_force, measured_pu)
        if kind is not None:
            # Voltages come before the memory of a device.
            box = free
            _note(why, kind, np.abs(target - ramped) > _CHANGED * (limits.high - limits.low), limits, always=True)
        is_feasible = kind is not Intervention.INFEASIBLE
    rounded = to_registers(limits, target, *box, held)
    return Decision(setpoints=rounded, interventions=tuple(why), is_valid=is_valid, is_feasible=is_feasible)


def towards(
    limits: Limits,
    target: Floats,
    in_force: InForce,
    now_s: float,
    period_s: float,
    interventions: tuple[tuple[Intervention, str], ...] = (),
    *,
    is_valid: bool = True,
) -> Decision:
    """As near to a target as the ramps allow; neither dead band nor time between changes holds it up."""
    low, high = reach(limits, in_force, now_s, period_s)
    held = _inside_limits(limits, in_force.value)
    setpoints = to_registers(limits, np.clip(target, low, high), low, high, held)
    return Decision(setpoints=setpoints, interventions=interventions, is_valid=is_valid, is_feasible=True)


def reach(limits: Limits, in_force: InForce, now_s: float, period_s: float) -> Box:
    """Lowest and highest set-point [setpoint] that the ramps allow now, inside the limits.

    A register too coarse for the ramp of one cycle moves by one step as soon as the ramp has come that far.
    """
    elapsed_s = np.maximum(now_s - in_force.changed_s, 0.0)
    window_s = np.maximum(RAMP_WINDOW_PERIODS * period_s, limits.step * (1.0 + _ON_GRID) / limits.ramp_per_s)
    change = limits.ramp_per_s * np.minimum(elapsed_s, window_s)
    start = _inside_limits(limits, in_force.value)
    return np.maximum(start - change, limits.low), np.minimum(start + change, limits.high)


def to_registers(limits: Limits, values: Floats, low: Floats, high: Floats, held: Floats) -> Floats:
    """Values as registers carry them, between `low` and `high`; `held` where no such value is between them."""
    step = np.where(limits.step > 0.0, limits.step, 1.0)
    least = np.ceil((low - limits.origin) / step - _ON_GRID)
    most = np.floor((high - limits.origin) / step + _ON_GRID)
    count = np.clip(np.round((values - limits.origin) / step), least, most)
    on_grid = np.where(least <= most, limits.origin + count * step, held)
    single = values.astype(np.float32)
    single = np.where(single > high, np.nextafter(single, np.float32(-np.inf)), single)
    single = np.where(single < low, np.nextafter(single, np.float32(np.inf)), single).astype(float)
    single = np.where((single >= low) & (single <= high), single, held)
    return np.where(limits.step > 0.0, on_grid, single)


def follow(limits: Limits, in_force: InForce, written: Floats, is_written: Mask, now_s: float) -> InForce:
    """What is in force after these set-points were sent."""
    is_new = is_written & (written != in_force.value)
    return InForce(
        value=np.where(is_written, written, in_force.value),
        effective=np.where(is_written & (limits.response_s <= 0.0), written, in_force.effective),
        changed_s=np.where(is_new, now_s, in_force.changed_s),
    )


def respond(limits: Limits, in_force: InForce, dt_s: float) -> InForce:
    """The devices have followed their set-points for `dt_s` more."""
    lag = np.exp(-dt_s / np.maximum(limits.response_s, 1e-9))
    effective = in_force.value + (in_force.effective - in_force.value) * lag
    return InForce(value=in_force.value, effective=effective, changed_s=in_force.changed_s)


def _valid(request: Any, size: int) -> Floats | None:
    try:
        values = np.asarray(request, float)
    except (TypeError, ValueError):
        return None
    return values if values.shape == (size,) and np.isfinite(values).all() else None


def _inside_limits(limits: Limits, values: Floats) -> Floats:
    return np.clip(values, limits.low, limits.high)


def _note(
    why: list[tuple[Intervention, str]], kind: Intervention, where: Mask, limits: Limits, always: bool = False
) -> None:
    channels = [c for c, is_here in zip(limits.channels, where, strict=True) if is_here]
    if channels or always:
        why.append((kind, ",".join(channels) or "all"))


def _project(
    limits: Limits,
    model: VoltageModel,
    ramped: Floats,
    boxes: tuple[Box, Box],
    in_force: InForce,
    measured_pu: Floats,
) -> tuple[Floats, Intervention | None]:
    """The nearest set-points with all predicted voltages inside, and which way they were found.

    Args:
        boxes: reach of each set-point; the first with those held still that changed too short a time ago.
    """
    # Rounding to registers afterwards may move each set-point by up to a step.
    margin = np.abs(model.sensitivity) @ limits.step
    base = measured_pu - model.sensitivity @ in_force.effective
    rows = np.vstack([model.sensitivity, -model.sensitivity])
    at_most = np.concatenate([model.high_pu - margin - base, base - model.low_pu - margin])
    scale = limits.high - limits.low
    if (rows @ ramped <= at_most).all():
        return ramped, None
    for low, high in boxes:
        near = nearest(ramped, low, high, rows, at_most, scale)
        if near is not None:
            return near, Intervention.VOLTAGE
    far = nearest(ramped, limits.low, limits.high, rows, at_most, scale)
    if far is None:
        return np.clip(limits.safe, *boxes[-1]), Intervention.INFEASIBLE
    return _straight(far, boxes[-1], _inside_limits(limits, in_force.value)), Intervention.RECOVERY


def _straight(target: Floats, box: Box, start: Floats) -> Floats:
    """As far along the straight line to the target as the box reaches.

    Voltages that are linear in the set-points then move straight towards where the target has them, so that none gets
    farther outside on the way.
    """
    low, high = box
    move = target - start
    room = np.where(move > 0.0, high - start, start - low)
    moves = np.abs(move) > _CHANGED
    share = min(1.0, float((room[moves] / np.abs(move[moves])).min())) if moves.any() else 1.0
    return start + max(share, 0.0) * move


def describe(interventions: Sequence[tuple[Intervention, str]]) -> str:
    """One line for logs."""
    return "; ".join(f"{kind}: {channels}" for kind, channels in interventions)
