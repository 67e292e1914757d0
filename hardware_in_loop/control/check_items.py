"""What commissioning makes of readings: one item each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gridenv.core.channels import Channel
from hardware_in_loop.control.checklist import Item, Status
from hardware_in_loop.control.pilot import Pilot
from hardware_in_loop.control.settings import SetpointRule
from hardware_in_loop.control.states import Trigger
from hardware_in_loop.link import Snapshot, WriteResult

_SEEN = 3.0
"""A response of a measurement counts if it is as many times its noise."""
_TINY = 1e-12
_MOST_MISSED_SHARE = 0.1
"""Exchanges that may be missed while reading, with a warning; more is a failure."""
_POWERS = {"p": ("p_kw", "p_delivered_kw"), "q": ("q_kvar", "q_delivered_kvar")}
"""Measured powers by quantity; what a unit could do at most, such as `p_charge_max_kw`, is none."""
TIMER_MARGIN_S = 2.0
"""Timers count whole seconds, and reading takes a cycle."""


@dataclass(frozen=True, kw_only=True)
class WriteTest:
    """What commissioning may do to a set-point."""

    window: tuple[float, float]
    """Values that may be written, inside the limits."""
    reversion_s: float | None
    """After how long the device gives a command up by itself; None if it does not."""


def is_ok(results: Mapping[str, WriteResult], channel: str) -> bool:
    """A set-point was acknowledged."""
    return channel in results and not results[channel].problem


def values_of(rule: SetpointRule, test: WriteTest) -> list[float]:
    """Lowest and highest value of the window that the register carries, then the safe one; each once."""
    low, high = test.window
    if rule.step > 0:
        low = rule.origin + np.ceil((low - rule.origin) / rule.step - 1e-9) * rule.step
        high = rule.origin + np.floor((high - rule.origin) / rule.step + 1e-9) * rule.step
    values = [float(low), float(high), rule.safe]
    return [v for i, v in enumerate(values) if rule.low <= v <= rule.high and v not in values[:i]]


def channel_item(channel: Channel, snapshots: Sequence[Snapshot], found: Mapping[tuple[str, str], str]) -> Item:
    """A measured channel over all readings."""
    problems = [text for (_, subject), text in found.items() if subject == channel.name]
    values = np.array([s.readings[channel.name].value for s in snapshots if channel.name in s.readings])
    if problems or not len(values):
        return Item(kind="read", subject=channel.name, status=Status.FAIL, detail="; ".join(problems) or "never read")
    unit = f" {channel.unit}" if channel.unit else ""
    detail = f"{values[-1]:.6g}{unit}, range {channel.low:g}..{channel.high:g}, spread {values.std():.2g}"
    return Item(kind="read", subject=channel.name, status=Status.PASS, detail=detail)


def setpoint_item(rule: SetpointRule, snapshot: Snapshot) -> Item:
    """A set-point as the device shows it before anything was written."""
    reading = snapshot.setpoints.get(rule.channel)
    status, detail = Status.PASS, "none in force"
    if reading is None:
        status, detail = Status.FAIL, "the device does not show its set-point"
    elif np.isfinite(reading.value):
        is_inside = rule.low - rule.readback_tolerance <= reading.value <= rule.high + rule.readback_tolerance
        status = Status.PASS if is_inside else Status.FAIL
        detail = f"{reading.value:g} in force; limits {rule.low:g}..{rule.high:g}, ramp {rule.ramp_per_s:g} per s"
    return Item(kind="set-point", subject=rule.channel, status=status, detail=detail)


def device_item(name: str, snapshot: Snapshot, found: Mapping[tuple[str, str], str], missed: int, cycles: int) -> Item:
    """A device over all readings."""
    problems = [text for (trigger, subject), text in found.items() if subject == name and trigger != Trigger.MISSED]
    status, detail = Status.PASS, _device_text(snapshot, name)
    if missed:
        detail = f"{missed} of {cycles} exchanges missed: {found[Trigger.MISSED, name]}"
        status = Status.WARNING if missed <= _MOST_MISSED_SHARE * cycles else Status.FAIL
    if problems:
        status, detail = Status.FAIL, "; ".join(problems)
    return Item(kind="device", subject=name, status=status, detail=detail)


def _device_text(snapshot: Snapshot, name: str) -> str:
    device = snapshot.devices[name]
    beat = "no heartbeat" if device.heartbeat is None else f"heartbeat at {device.heartbeat}"
    remote = {None: "does not say whether it is remote", True: "remote", False: "local"}[device.is_remote]
    return f"identified; {beat}; {remote}"


def follower_of(channel: str, pilot: Pilot) -> Channel | None:
    """The measured power of the same device that a set-point of power acts on."""
    action = pilot.action.channels[pilot.action.index(channel)]
    quantity = channel.removeprefix(f"{action.source}.").split("_")[0]
    for observed in pilot.observation:
        name = observed.name.removeprefix(f"{observed.source}.")
        if observed.source == action.source and name in _POWERS.get(quantity, ()):
            return observed
    return None


def reversion_item(channel: str, test: WriteTest, after_s: float | None, refused: str) -> Item:
    """Whether a device gave a command up by itself."""
    limit_s = (test.reversion_s or 0.0) + TIMER_MARGIN_S
    if refused:
        status, detail = Status.FAIL, f"test value refused: {refused}"
    elif after_s is None:
        status, detail = (
            Status.FAIL,
            f"still in force after {limit_s:g} s; the timer of {test.reversion_s:g} s does nothing",
        )
    else:
        status, detail = Status.PASS, f"given up after {after_s:.1f} s; timer {test.reversion_s:g} s"
    return Item(kind="reversion", subject=channel, status=status, detail=detail)


def sign_item(
    rule: SetpointRule, follower: Channel | None, measured: Sequence[tuple[float, Mapping[str, np.ndarray]]]
) -> Item:
    """Whether the power that belongs to a set-point moves in its direction: units and signs on both ways.

    Args:
        follower: channel of that power; None if there is none.
        measured: set-point and measurements [reading] by channel, three times: low, high, low again.
    """

    def item(status: Status, detail: str) -> Item:
        return Item(kind="sign", subject=rule.channel, status=status, detail=detail)

    if follower is None:
        return item(Status.WARNING, "not seen: no measurement of the same quantity and device")
    (low, first), (high, second), (_, third) = [(value, by_name[follower.name]) for value, by_name in measured]
    # What goes up and does not come down again is the grid, not the set-point.
    change = float(second.mean() - (first.mean() + third.mean()) / 2.0)
    errors = [values.std() / np.sqrt(len(values)) for values in (first, second, third)]
    noise = float(abs(first.mean() - third.mean()) / 2.0 + max(errors)) + _TINY
    detail = f"'{follower.name}' moved by {change:+.4g} {follower.unit} from {low:g} to {high:g}"
    if abs(change) < _SEEN * noise:
        return item(Status.WARNING, f"not seen: {detail}, noise {noise:.2g}")
    return item(Status.PASS if change > 0.0 else Status.FAIL, detail)
