"""Checking a rig before control: all is read, set-points are written and read back in a window, timers run out."""

import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np

from hardware_in_loop.control.check_items import (
    TIMER_MARGIN_S,
    WriteTest,
    channel_item,
    device_item,
    follower_of,
    is_ok,
    reversion_item,
    setpoint_item,
    sign_item,
    values_of,
)
from hardware_in_loop.control.checklist import Item, Status
from hardware_in_loop.control.clock import Clock
from hardware_in_loop.control.exchange import Exchange
from hardware_in_loop.control.pilot import Pilot
from hardware_in_loop.control.settings import ControlSettings, SetpointRule
from hardware_in_loop.control.states import Trigger
from hardware_in_loop.control.statistics import percentiles
from hardware_in_loop.control.watch import Watch
from hardware_in_loop.link import RigLink, Snapshot

READ_CYCLES = 30
"""Cycles of reading before anything is judged, or as many as it takes for a heartbeat to be missed."""
_MOST_READ_SHARE = 0.9
"""Share of the time for reading that may be used up."""
_SETTLE_S = 1.0
"""Time that devices get to follow a set-point before what it did is read. Assumed: a few response times."""
STOP_ITEM = "stop input"
_SHOWN_S = 2.0
"""Time that is given to read a set-point back, so that a missed exchange does not count against the device."""


class _StopAskedError(Exception):
    """The stop input of the rig or its stop file."""


class Commissioning:
    """Checks on an open rig."""

    def __init__(
        self,
        link: RigLink,
        pilot: Pilot,
        settings: ControlSettings,
        tests: Mapping[str, WriteTest],
        clock: Clock,
        is_stop_file_there: Callable[[], bool] = lambda: False,
    ) -> None:
        """Prepare the checks.

        Args:
            tests: by action channel.
            is_stop_file_there: asked in every cycle; ends the check, as the stop input of the rig does.
        """
        self._exchange, self._pilot, self._settings = Exchange(link), pilot, settings
        self._tests, self._clock, self._watch = tests, clock, Watch(settings)
        self._sources = {c.name: c for c in pilot.observation}
        self._is_stop_file_there = is_stop_file_there
        self._read_times_s: list[float] = []
        self._commanded: dict[str, float] = {}
        """Set-points that ramps go on from, by channel."""
        self._written_s: dict[str, float] = {}
        self._is_writing = False

    @property
    def times_ms(self) -> dict[str, float]:
        """How long reading takes: p50, p99, max."""
        return {name: 1e3 * value for name, value in percentiles(np.array(self._read_times_s)).items()}

    async def check(self, with_writes: bool) -> list[Item]:
        """Do everything; safe set-points are in force or timers have run out at the end.

        Args:
            with_writes: write set-points; without, those items are marked as skipped.
        """
        items = await self._check_reading()
        if not with_writes:
            return items + [
                Item(kind=kind, subject=c, status=Status.SKIPPED, detail="asked to write nothing")
                for kind in ("write-readback", "reversion")
                for c in self._tests
            ]
        if any(item.status is Status.FAIL for item in items):
            return items + [
                Item(kind="write-readback", subject=c, status=Status.SKIPPED, detail="reading has failed")
                for c in self._tests
            ]
        self._is_writing, is_stopped = True, False
        try:
            for rule in self._settings.setpoints:
                items += await self._check_write(rule, self._tests[rule.channel])
            items += await self._check_reversion()
        except _StopAskedError:
            is_stopped = True
            detail = "was set during the check, which ended there; clear it"
            items.append(Item(kind=STOP_ITEM, subject="rig", status=Status.FAIL, detail=detail))
        finally:
            self._is_writing = False
            items += await self._make_safe(at_once=is_stopped)
        return items

    async def _read(self, cycles: int = 1) -> list[Snapshot]:
        period_s = self._settings.timing.period_s
        snapshots = []
        for _ in range(cycles):
            begin_s = self._clock.now()
            snapshots.append(await self._exchange.read(self._settings.timing.read_share * period_s))
            self._read_times_s.append(self._clock.now() - begin_s)
            if self._is_writing and (snapshots[-1].operator_stop or self._is_stop_file_there()):
                raise _StopAskedError
            await self._clock.sleep_until(begin_s + period_s)
        return snapshots

    async def _write(self, setpoints: Mapping[str, float]) -> dict[str, str]:
        """Problems by channel, those that were acknowledged left out."""
        results = await self._exchange.write(setpoints, self._settings.timing.period_s)
        self._commanded |= setpoints
        self._written_s |= dict.fromkeys(setpoints, self._clock.now())
        return {c: results[c].problem if c in results else "no result" for c in setpoints if not is_ok(results, c)}

    async def _approach(self, setpoints: Mapping[str, float]) -> dict[str, str]:
        """Write set-points no faster than their ramps, from those last written; problems by channel."""
        rules = {rule.channel: rule for rule in self._settings.setpoints}
        period_s = self._settings.timing.period_s
        starts = {c: self._commanded.get(c, rules[c].safe) for c in setpoints}
        count = max(math.ceil(abs(v - starts[c]) / (rules[c].ramp_per_s * period_s)) for c, v in setpoints.items())
        for i in range(1, max(count, 1)):
            begin_s = self._clock.now()
            await self._write({c: starts[c] + (v - starts[c]) * i / count for c, v in setpoints.items()})
            await self._read()
            await self._clock.sleep_until(begin_s + period_s)
        return await self._write(setpoints)

    async def _check_reading(self) -> list[Item]:
        found: dict[tuple[str, str], str] = {}
        missed: Counter[str] = Counter()
        snapshots = []
        timing = self._settings.timing
        cycles = max(READ_CYCLES, int(timing.heartbeat_s / timing.period_s) + READ_CYCLES // 5)
        for _ in range(cycles):
            snapshots += await self._read()
            for finding in self._watch.assess(snapshots[-1], self._clock.now()):
                if finding.trigger is Trigger.MISSED:
                    missed[finding.subject] += 1
                found.setdefault((finding.trigger, finding.subject), finding.text)
        last = snapshots[-1]
        items = [channel_item(c, snapshots, found) for c in self._pilot.observation]
        items += [device_item(name, last, found, missed[name], cycles) for name in last.devices]
        if any(trigger == Trigger.STOP_INPUT for trigger, _ in found):
            items.append(Item(kind=STOP_ITEM, subject="rig", status=Status.FAIL, detail="is set; clear it"))
        for rule in self._settings.setpoints:
            items.append(setpoint_item(rule, last))
        return [*items, self._timing_item()]

    def _timing_item(self) -> Item:
        times, timing = self.times_ms, self._settings.timing
        room_ms = 1e3 * timing.read_share * timing.period_s
        detail = f"p50 {times['p50']:.1f}, p99 {times['p99']:.1f}, max {times['max']:.1f} ms of {room_ms:.0f} ms"
        status = Status.PASS if times["p99"] <= _MOST_READ_SHARE * room_ms else Status.FAIL
        return Item(kind="reading time", subject="rig", status=status, detail=detail)

    async def _check_write(self, rule: SetpointRule, test: WriteTest) -> list[Item]:
        kind, channel = "write-readback", rule.channel
        values = values_of(rule, test)
        # Low, high and low again, so that a grid that moves by itself is not taken for a response.
        values[2:2] = values[:1]
        seen: list[str] = []
        before = (await self._read())[-1]
        now = before.setpoints.get(channel)
        self._commanded[channel] = now.value if now is not None and np.isfinite(now.value) else rule.safe
        measured: list[tuple[float, dict[str, np.ndarray]]] = []
        for value in values:
            problem = (await self._approach({channel: value})).get(channel, "")
            if problem:
                return [Item(kind=kind, subject=channel, status=Status.FAIL, detail=f"{value:g} refused: {problem}")]
            after = await self._shown([channel], self._clock.now() + rule.readback_within_s)
            crossed = self._crossed(before, after, channel)
            if crossed:
                detail = f"writing it changed {', '.join(crossed)}; correct devices and addresses in the rig file"
                return [Item(kind=kind, subject=channel, status=Status.FAIL, detail=detail)]
            reading = after.setpoints.get(channel)
            if reading is None or not abs(reading.value - value) <= rule.readback_tolerance:
                shown = "nothing" if reading is None else f"{reading.value:g}"
                detail = f"{value:g} was written, {shown} is read back; allowed {rule.readback_tolerance:g} apart"
                return [Item(kind=kind, subject=channel, status=Status.FAIL, detail=detail)]
            seen.append(f"{value:g}")
            measured.append((value, await self._settled({channel: value})))
        detail = f"{', '.join(dict.fromkeys(seen))} read back"
        item = Item(kind=kind, subject=channel, status=Status.PASS, detail=detail)
        if len(set(values)) < 2:
            detail = "not seen: the window is one value"
            return [item, Item(kind="sign", subject=channel, status=Status.WARNING, detail=detail)]
        return [item, sign_item(rule, follower_of(channel, self._pilot), measured[:3])]

    async def _shown(self, channels: Collection[str], since_s: float) -> Snapshot:
        """A snapshot whose set-points were read after a moment, if they are to be had."""
        await self._clock.sleep_until(since_s)
        while True:
            snapshot = (await self._read())[-1]
            readings = [snapshot.setpoints.get(channel) for channel in channels]
            is_new = all(r is not None and r.acquired_s >= since_s for r in readings)
            if is_new or self._clock.now() > since_s + _SHOWN_S:
                return snapshot

    def _crossed(self, before: Snapshot, after: Snapshot, written: str) -> list[str]:
        """Other set-points that have another value now; one that has run out, or may have by now, is none."""
        found = []
        for rule in self._settings.setpoints:
            reversion_s = self._tests[rule.channel].reversion_s
            age_s = self._clock.now() - self._written_s.get(rule.channel, self._clock.now())
            if reversion_s is not None and age_s > reversion_s - TIMER_MARGIN_S:
                continue
            then, now = before.setpoints.get(rule.channel), after.setpoints.get(rule.channel)
            if rule.channel != written and then is not None and now is not None and np.isfinite(now.value):
                start = then.value if np.isfinite(then.value) else np.inf
                found += [f"'{rule.channel}'"] if abs(now.value - start) > rule.readback_tolerance else []
        return found

    async def _settled(self, held: Mapping[str, float]) -> dict[str, np.ndarray]:
        """Measurements once devices have followed; the set-point is renewed so that its timer does not run out."""
        end_s = self._clock.now() + _SETTLE_S
        while self._clock.now() < end_s:
            await self._read(3)
            await self._write(held)
        snapshots = await self._read(8)
        return {
            name: np.array([s.readings[name].value for s in snapshots if name in s.readings]) for name in self._sources
        }

    async def _check_reversion(self) -> list[Item]:
        timed = {c: t for c, t in self._tests.items() if t.reversion_s is not None}
        items = [
            Item(
                kind="reversion",
                subject=c,
                status=Status.WARNING,
                detail="has no timer: the device keeps its last set-point if the controller dies",
            )
            for c in self._tests
            if c not in timed
        ]
        if not timed:
            return items
        rules = {rule.channel: rule for rule in self._settings.setpoints}
        values = {c: _farthest(values_of(rules[c], t), rules[c].safe) for c, t in timed.items()}
        refused = await self._approach(values)
        begin_s, longest_s = self._clock.now(), max(t.reversion_s or 0.0 for t in timed.values())
        reverted: dict[str, float] = {}
        while self._clock.now() < begin_s + longest_s + TIMER_MARGIN_S and len(reverted) < len(values):
            snapshot = (await self._read())[-1]
            for channel, value in values.items():
                reading = snapshot.setpoints.get(channel)
                is_new = reading is not None and reading.acquired_s > begin_s + rules[channel].readback_within_s
                if is_new and reading and not abs(reading.value - value) <= rules[channel].readback_tolerance:
                    reverted.setdefault(channel, self._clock.now() - begin_s)
                    self._commanded.pop(channel, None)
        return items + [reversion_item(c, timed[c], reverted.get(c), refused.get(c, "")) for c in timed]

    async def _make_safe(self, *, at_once: bool) -> list[Item]:
        safe = {rule.channel: rule.safe for rule in self._settings.setpoints}
        problems = await (self._write(safe) if at_once else self._approach(safe))
        within_s = max(r.readback_within_s for r in self._settings.setpoints)
        snapshot = await self._shown(safe, self._clock.now() + within_s)
        for rule in self._settings.setpoints:
            reading = snapshot.setpoints.get(rule.channel)
            if reading is None or not abs(reading.value - rule.safe) <= rule.readback_tolerance:
                problems.setdefault(rule.channel, "another value is read back")
        detail = "; ".join(f"{c}: {p}" for c, p in problems.items()) or "all safe set-points read back"
        return [Item(kind="safe", subject="rig", status=Status.FAIL if problems else Status.PASS, detail=detail)]


def _farthest(values: Sequence[float], safe: float) -> float:
    """The value farthest from the safe one, which may be what the device does by itself."""
    return max(values, key=lambda value: abs(value - safe))
