"""What is wrong with a cycle: measurements, devices, read-back, deadlines, requests of the policy."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hardware_in_loop.control.settings import ControlSettings, Floats, MeasurementRule
from hardware_in_loop.control.states import Trigger, is_usable
from hardware_in_loop.link import Reading, Snapshot, WriteResult


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something that is wrong, in one line."""

    trigger: Trigger
    subject: str
    """Channel or device."""
    text: str


@dataclass(frozen=True, kw_only=True)
class _Written:
    value: float
    sent_s: float


class Watch:
    """Looks at every cycle; remembers what it needs of those before."""

    def __init__(self, settings: ControlSettings) -> None:
        self._settings = settings
        self._rules = {rule.channel: rule for rule in settings.measurements}
        self._places = {rule.channel: i for i, rule in enumerate(settings.setpoints)}
        self._last: dict[str, Reading] = {}
        self._still_since: dict[str, float] = {}
        self._beats: dict[str, tuple[int | None, float]] = {}
        self._expected: dict[str, list[_Written]] = {}
        self._mismatches: dict[str, int] = {}
        self._unacknowledged: dict[str, str] = {}
        self._refusals: dict[str, int] = {}
        self._swings = np.zeros(len(settings.setpoints), int)
        self._step = np.zeros(len(settings.setpoints))
        self._request: Floats | None = None
        self.missed_cycles = 0
        """Cycles in a row without trustworthy measurements."""
        self.late_cycles = 0
        """Cycles in a row that missed their deadline."""
        self.infeasible_cycles = 0

    def assess(self, snapshot: Snapshot, now_s: float) -> list[Finding]:
        """Everything that is wrong at the time of a reading."""
        found = self._exchange(snapshot)
        for channel, rule in self._rules.items():
            found += self._measurement(rule, snapshot.readings.get(channel), now_s)
        found += self._devices(snapshot, now_s)
        found += self._read_back(snapshot)
        self.missed_cycles = 0 if is_usable([f.trigger for f in found]) else self.missed_cycles + 1
        timing = self._settings.timing
        if self.missed_cycles >= timing.max_missed_cycles:
            text = f"{self.missed_cycles} cycles in a row without trustworthy measurements"
            found.append(Finding(trigger=Trigger.HELD_TOO_LONG, subject="rig", text=text))
        if self.late_cycles >= timing.max_late_cycles:
            text = f"{self.late_cycles} cycles in a row missed their deadline"
            found.append(Finding(trigger=Trigger.LATE, subject="loop", text=text))
        if self.infeasible_cycles >= timing.max_infeasible_cycles:
            text = f"no set-point keeps voltages inside limits for {self.infeasible_cycles} cycles"
            found.append(Finding(trigger=Trigger.INFEASIBLE, subject="voltages", text=text))
        return found

    def judge_request(self, request: Floats | None, problem: str = "") -> list[Finding]:
        """What is wrong with a decision of the policy.

        Args:
            request: [setpoint]; None if there is none that is finite and of the right shape.
            problem: why there is none.
        """
        if request is None:
            return [Finding(trigger=Trigger.POLICY_INVALID, subject="policy", text=problem)]
        limits, timing = self._settings.limits, self._settings.timing
        # The same request again is no new decision: somebody else decides less often than he is asked.
        if self._request is not None and not np.array_equal(request, self._request):
            step = (request - self._request) / (limits.high - limits.low)
            is_large = np.abs(step) > timing.swing_share
            turns_back = is_large & (step * self._step < 0.0)
            self._swings = np.where(turns_back, self._swings + 1, np.where(is_large, self._swings, 0))
            self._step = np.where(is_large, step, 0.0)
        self._request = request
        return [
            Finding(
                trigger=Trigger.POLICY_SWING, subject=channel, text=f"{count} large steps in a row were turned back"
            )
            for channel, count in zip(limits.channels, self._swings, strict=True)
            if count >= timing.max_swings
        ]

    def wrote(self, results: Mapping[str, WriteResult], sent_s: float) -> None:
        """Take note of what was sent, so that it is looked for in the next readings."""
        self._unacknowledged = {c: r.problem for c, r in results.items() if r.problem}
        for channel, result in results.items():
            if result.problem:
                self._refusals[channel] = self._refusals.get(channel, 0) + 1
                # It may have been taken all the same; the next reading tells.
                self._expected.pop(channel, None)
                continue
            self._refusals[channel] = 0
            history = self._expected.setdefault(channel, [])
            if not history or history[-1].value != result.value:
                history.append(_Written(value=result.value, sent_s=sent_s))

    def forget_setpoints(self) -> None:
        """Nothing is expected of the devices any more: control has not begun, or has ended."""
        self._expected.clear()
        self._mismatches.clear()
        self._unacknowledged.clear()
        self._refusals.clear()
        self._swings[:] = 0
        self._step[:] = 0.0
        self._request = None
        self.infeasible_cycles = 0

    def is_confirmed(self, channel: str, value: float, reading: Reading | None, since_s: float) -> bool:
        """Whether a device shows a value in a reading made after `since_s`."""
        tolerance = self._settings.setpoints[self._places[channel]].readback_tolerance
        return reading is not None and reading.acquired_s >= since_s and abs(reading.value - value) <= tolerance

    def _exchange(self, snapshot: Snapshot) -> list[Finding]:
        found = [
            Finding(trigger=Trigger.MISSED, subject=name, text=device.problem or "did not answer in time")
            for name, device in snapshot.devices.items()
            if not device.is_reachable
        ]
        for channel, problem in self._unacknowledged.items():
            count = self._refusals.get(channel, 0)
            found.append(
                Finding(trigger=Trigger.MISSED, subject=channel, text=f"set-point not acknowledged: {problem}")
            )
            if count >= self._settings.timing.max_missed_cycles:
                text = f"set-point not acknowledged {count} times in a row: {problem}"
                found.append(Finding(trigger=Trigger.REFUSED, subject=channel, text=text))
        self._unacknowledged = {}
        return found

    def _measurement(self, rule: MeasurementRule, reading: Reading | None, now_s: float) -> list[Finding]:
        channel = rule.channel

        def finding(trigger: Trigger, text: str) -> list[Finding]:
            return [Finding(trigger=trigger, subject=channel, text=text)]

        if reading is None:
            return finding(Trigger.STALE, "was never read")
        age_s = now_s - reading.acquired_s
        if age_s > rule.stale_after_s:
            return finding(Trigger.STALE, f"is {age_s:.2f} s old; allowed {rule.stale_after_s:g} s")
        value, before = reading.value, self._last.get(channel)
        if not math.isfinite(value):
            return finding(Trigger.IMPLAUSIBLE, f"is {value}; the device says that it has no value")
        if not rule.low <= value <= rule.high:
            return finding(Trigger.IMPLAUSIBLE, f"is {value:g}; plausible {rule.low:g}..{rule.high:g}")
        self._last[channel] = reading
        if before is None or value != before.value:
            self._still_since[channel] = reading.acquired_s
        if before is None or reading.acquired_s <= before.acquired_s:
            return []
        rate = abs(value - before.value) / (reading.acquired_s - before.acquired_s)
        if rate > rule.max_rate_per_s:
            text = f"changed by {rate:g} per s, from {before.value:g} to {value:g}; plausible {rule.max_rate_per_s:g}"
            return finding(Trigger.IMPLAUSIBLE, text)
        still_s = reading.acquired_s - self._still_since[channel]
        if still_s > rule.stuck_after_s:
            return finding(Trigger.IMPLAUSIBLE, f"has been {value:g} for {still_s:.1f} s; it cannot stand that still")
        return []

    def _devices(self, snapshot: Snapshot, now_s: float) -> list[Finding]:
        found = []
        if snapshot.operator_stop:
            found.append(Finding(trigger=Trigger.STOP_INPUT, subject="rig", text="the stop input is set"))
        for name, device in snapshot.devices.items():
            if device.is_remote is False:
                text = "is in local operation, or another controller has it"
                found.append(Finding(trigger=Trigger.LOCAL, subject=name, text=text))
            if device.heartbeat is None and name not in self._beats:
                continue
            count, since_s = self._beats.get(name, (None, now_s))
            if device.heartbeat is not None and count != device.heartbeat:
                count, since_s = device.heartbeat, now_s
            self._beats[name] = (count, since_s)
            if now_s - since_s > self._settings.timing.heartbeat_s:
                text = f"its heartbeat stands at {count} for {now_s - since_s:.1f} s"
                found.append(Finding(trigger=Trigger.HEARTBEAT, subject=name, text=text))
        return found

    def _read_back(self, snapshot: Snapshot) -> list[Finding]:
        found = []
        for channel, history in self._expected.items():
            rule = self._settings.setpoints[self._places[channel]]
            reading = snapshot.setpoints.get(channel)
            if reading is None:
                continue
            # What was in force before the newest command that the device must have taken by now is over.
            while len(history) > 1 and history[1].sent_s + rule.readback_within_s <= reading.acquired_s:
                history.pop(0)
            if reading.acquired_s < history[0].sent_s + rule.readback_within_s:
                continue
            is_same = any(abs(reading.value - written.value) <= rule.readback_tolerance for written in history)
            count = 0 if is_same else self._mismatches.get(channel, 0) + 1
            self._mismatches[channel] = count
            if count >= self._settings.timing.mismatch_cycles:
                text = f"{history[-1].value:g} was written, {reading.value:g} is in force for {count} cycles"
                found.append(Finding(trigger=Trigger.MISMATCH, subject=channel, text=text))
        return found
