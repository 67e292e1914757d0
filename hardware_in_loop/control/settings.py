"""What the control loop may do on a rig, as plain data: set-points, measurements, sensitivities, times."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gridenv.core.errors import raise_collected
from hardware_in_loop.errors import RigFileError

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class SetpointRule:
    """What may be written to one action channel; all values in the channel's unit."""

    channel: str
    low: float
    high: float
    ramp_per_s: float
    """Fastest change, per second."""
    safe: float
    """Value to go to when control ends."""
    step: float = 0.0
    """What one count of the register is worth; 0 = a float32 register."""
    origin: float = 0.0
    """A value that the register carries exactly."""
    deadband: float = 0.0
    """Smaller changes that the policy asks for are not made."""
    min_interval_s: float = 0.0
    """Shortest time between two changes, for devices that store set-points in flash."""
    response_s: float = 0.0
    """Time constant with which the device follows, for the prediction of voltages; 0 = at once."""
    readback_tolerance: float = 1e-6
    """How far the set-point that the device shows may be from the one written."""
    readback_within_s: float = 0.5
    """Time that the device may take to show a new set-point."""


@dataclass(frozen=True, kw_only=True)
class MeasurementRule:
    """When a measured channel is believed."""

    channel: str
    low: float
    high: float
    """Plausible range, in the channel's unit."""
    stale_after_s: float
    max_rate_per_s: float = math.inf
    """Fastest change that the quantity can make."""
    stuck_after_s: float = math.inf
    """A value that is the same to the last bit for this long is not believed; infinite: it may stand still."""


@dataclass(frozen=True, kw_only=True, eq=False)
class VoltageModel:
    """Voltages as a linear function of set-points, around the present state."""

    channels: tuple[str, ...]
    """Voltages held inside limits, by observation channel."""
    low_pu: Floats
    """[voltage]"""
    high_pu: Floats
    """[voltage]"""
    sensitivity: Floats
    """[voltage, setpoint] pu per unit of the action channel."""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Periods and bounds of the loop, in s unless said otherwise."""

    period_s: float
    """Time between two control cycles."""
    policy_period_s: float
    """Time between two decisions of the policy; in between its request is held, and the supervisor acts every cycle."""
    read_share: float = 0.45
    """Part of a period that reading may take."""
    write_share: float = 0.35
    """Part of a period that writing may take."""
    deadline_share: float = 0.8
    """Part of a period in which all of a cycle must be done; what comes later is a deadline miss."""
    max_missed_cycles: int = 3
    """Cycles without a full exchange until fallback."""
    max_late_cycles: int = 5
    """Deadline misses in a row until fallback."""
    heartbeat_s: float = 3.0
    """Longest time that a device's heartbeat may stand still."""
    refresh_s: float = 1.0
    """All set-points are written at least this often, which renews reversion timers and the controller's heartbeat."""
    mismatch_cycles: int = 2
    """Cycles in a row with another set-point read back than written, until fallback."""
    max_infeasible_cycles: int = 10
    """Cycles without any set-point that keeps voltages inside limits, until fallback."""
    settle_cycles: int = 10
    """Cycles without a problem before control is taken."""
    armed_s: float = 30.0
    """Time within which those cycles must come after arming."""
    confirm_s: float = 5.0
    """Time that is given to confirm safe set-points once they are reached, before the program leaves."""
    swing_share: float = 0.5
    """A change of a request by more than this part of the range that turns back the one before counts as a swing."""
    max_swings: int = 4
    """Swings in a row until fallback."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ControlSettings:
    """All of it, checked together."""

    rig: str
    """How messages call the rig."""
    setpoints: tuple[SetpointRule, ...]
    """In the order of the policy's action."""
    measurements: tuple[MeasurementRule, ...]
    """One for every channel that comes from a device."""
    timing: Timing
    voltages: VoltageModel | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            RigFileError: one line for every problem.
        """
        problems = [p for rule in self.setpoints for p in _setpoint_problems(rule)]
        problems += [p for rule in self.measurements for p in _measurement_problems(rule)]
        problems += _timing_problems(self.timing)
        if self.voltages is not None:
            problems += _voltage_problems(self.voltages, self.setpoints, [m.channel for m in self.measurements])
        raise_collected([f"rig '{self.rig}': {p}" for p in problems], RigFileError)

    @cached_property
    def limits(self) -> "Limits":
        """The set-point rules as arrays."""
        return Limits.of(self.setpoints)

    @property
    def longest_ramp_s(self) -> float:
        """Time from the farthest set-point to the safe one."""
        return max(max(r.high - r.safe, r.safe - r.low) / r.ramp_per_s for r in self.setpoints)


@dataclass(frozen=True, kw_only=True, eq=False)
class Limits:
    """Set-point rules as arrays [setpoint]."""

    channels: tuple[str, ...]
    low: Floats
    high: Floats
    ramp_per_s: Floats
    safe: Floats
    step: Floats
    origin: Floats
    deadband: Floats
    min_interval_s: Floats
    response_s: Floats
    readback_tolerance: Floats
    readback_within_s: Floats

    @classmethod
    def of(cls, rules: Sequence[SetpointRule]) -> "Limits":
        """Arrays in the order of the rules."""

        def column(name: str) -> Floats:
            return np.array([getattr(rule, name) for rule in rules], float)

        names = [field.name for field in fields(cls) if field.name != "channels"]
        return cls(channels=tuple(r.channel for r in rules), **{name: column(name) for name in names})


def _setpoint_problems(r: SetpointRule) -> list[str]:
    where = f"set-point '{r.channel}'"
    if not all(math.isfinite(x) for x in (r.low, r.high, r.ramp_per_s, r.safe, r.step, r.origin)):
        return [f"{where}: low, high, ramp_per_s, safe, step and origin must be finite, got {r}"]
    found = []
    if not r.low < r.high:
        found.append(f"{where}: low must be < high, got {r.low:g}..{r.high:g}")
    elif not r.low <= r.safe <= r.high:
        found.append(f"{where}: safe is {r.safe:g}; allowed {r.low:g}..{r.high:g}; the safe value must be inside")
    elif r.step > 0 and not is_on_grid(r.safe, r.step, r.origin):
        found.append(f"{where}: safe is {r.safe:g}, which a register in steps of {r.step:g} cannot carry")
    if not r.ramp_per_s > 0:
        found.append(f"{where}: ramp_per_s must be > 0, got {r.ramp_per_s:g}")
    found += [
        f"{where}: {name} must be >= 0 and finite, got {value:g}"
        for name in ("step", "deadband", "min_interval_s", "response_s", "readback_tolerance", "readback_within_s")
        if not 0 <= (value := getattr(r, name)) < math.inf
    ]
    return found


def is_on_grid(value: float, step: float, origin: float) -> bool:
    """Whether a register in these steps carries the value exactly."""
    count = (value - origin) / step
    return abs(count - round(count)) < 1e-6


def _measurement_problems(r: MeasurementRule) -> list[str]:
    where = f"measurement '{r.channel}'"
    found = [] if r.low < r.high else [f"{where}: plausible range must have low < high, got {r.low:g}..{r.high:g}"]
    found += [
        f"{where}: {name} must be > 0, got {getattr(r, name):g}"
        for name in ("stale_after_s", "max_rate_per_s", "stuck_after_s")
        if not getattr(r, name) > 0
    ]
    return found


def _timing_problems(t: Timing) -> list[str]:
    found = []
    if not 0 < t.period_s < math.inf:
        found.append(f"period_s must be > 0, got {t.period_s:g}")
    if not t.policy_period_s >= t.period_s:
        found.append(f"policy_period_s is {t.policy_period_s:g}; allowed >= period_s = {t.period_s:g}")
    if not (t.read_share > 0 and t.write_share > 0 and t.read_share + t.write_share <= 1):
        found.append(f"read_share + write_share must be at most 1, got {t.read_share:g} + {t.write_share:g}")
    positive: tuple[str, ...] = (
        "max_missed_cycles",
        "max_late_cycles",
        "mismatch_cycles",
        "max_infeasible_cycles",
        "settle_cycles",
    )
    positive += ("heartbeat_s", "refresh_s", "armed_s", "confirm_s", "swing_share", "max_swings")
    found += [f"{name} must be > 0, got {getattr(t, name)}" for name in positive if not getattr(t, name) > 0]
    return found


def _voltage_problems(v: VoltageModel, setpoints: Sequence[SetpointRule], measured: Sequence[str]) -> list[str]:
    found = [
        f"sensitivities name '{c}', which no device measures; measure it, or leave it out of the sensitivities"
        for c in v.channels
        if c not in measured
    ]
    shape = (len(v.channels), len(setpoints))
    if v.sensitivity.shape != shape:
        found.append(f"sensitivities have the shape {v.sensitivity.shape}; allowed {shape}: voltages by set-points")
    elif not np.isfinite(v.sensitivity).all():
        found.append("sensitivities are not finite; make them anew with `gridenv hil sensitivities`")
    if not (v.low_pu < v.high_pu).all():
        found.append("voltage limits must have low < high")
    return found
