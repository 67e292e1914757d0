"""The loop on a rig: at a fixed rate read, judge, ask the policy, supervise, write, record.

A cycle reads what the one before has written, so read-back costs no exchange of its own. A missed exchange is a counted
event. What is late is left out; two cycles never begin closer together than a period.
"""

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from gridenv.core.errors import raise_collected
from hardware_in_loop.control.clock import Clock, MonotonicClock
from hardware_in_loop.control.commands import Commands
from hardware_in_loop.control.exchange import Exchange
from hardware_in_loop.control.governor import Governor
from hardware_in_loop.control.journal import Journal, View
from hardware_in_loop.control.operator import Operator
from hardware_in_loop.control.outcome import Mode, Outcome
from hardware_in_loop.control.pilot import Answer, Pilot, mismatch
from hardware_in_loop.control.recorder import CycleRecord, Recorder
from hardware_in_loop.control.settings import ControlSettings, Floats
from hardware_in_loop.control.states import State, Trigger, is_usable
from hardware_in_loop.control.statistics import Statistics
from hardware_in_loop.control.supervisor import Decision, describe, supervise, towards
from hardware_in_loop.control.watch import Finding, Watch
from hardware_in_loop.errors import RigError
from hardware_in_loop.link import RigLink, Snapshot, WriteResult

COMMISSION_S = 10.0
"""Time for the first complete reading. Assumed: rigs with slow serial lines take a few seconds."""
TIME_IS_OVER = "its time is over"
"""Source of the order to stop that a run gives itself."""
_SOON_S = 5.0
"""Time that safe set-points are given when the loop itself has failed."""
_SAME_TIME = 1e-9


@dataclass(kw_only=True)
class _Cycle:
    """What comes together in one cycle."""

    planned_s: float
    skipped: int
    times_s: dict[str, float]
    snapshot: Snapshot
    findings: list[Finding]
    vector: Floats
    answer: Answer | None = None
    policy_ran: bool = False
    decision: Decision | None = None
    setpoints: Floats | None = None
    results: Mapping[str, WriteResult] | None = None
    sent_s: float = math.nan


class ControlLoop:
    """One run on a rig."""

    def __init__(
        self,
        link: RigLink,
        pilot: Pilot,
        settings: ControlSettings,
        recorder: Recorder,
        *,
        mode: Mode = Mode.SHADOW,
        operator: Operator | None = None,
        clock: Clock | None = None,
        arming_problem: str = "",
        watchers: list[Callable[[View], None]] | None = None,
    ) -> None:
        """Prepare a run.

        Args:
            link: open; it is closed when the run ends.
            mode: `shadow` never writes, whatever an operator asks.
            arming_problem: why control may not be taken, such as a check that is not there; empty if it may.
            watchers: called at the end of every cycle; one that fails is taken off the list, and control goes on.

        Raises:
            RigError: if the channels of the settings are not those of the policy.
        """
        raise_collected(mismatch(settings, pilot), RigError)
        self._link, self._pilot, self._settings, self._timing = link, pilot, settings, settings.timing
        self._operator, self._clock = operator or Operator(), clock or MonotonicClock()
        self._watchers, self._exchange = [] if watchers is None else watchers, Exchange(link)
        self._journal = Journal(recorder, self._clock)
        self._watch, self._commands = Watch(settings), Commands(settings)
        problem = arming_problem or (
            "" if mode is Mode.ACTIVE else "the run is in mode shadow; start it in mode active"
        )
        self._governor = Governor(settings, self._watch, self._commands, self._journal, self._clock, problem)
        if mode is Mode.ACTIVE:
            self._governor.arm_when_possible(COMMISSION_S + self._timing.armed_s)
        self._mode = mode
        self.statistics = Statistics()
        self._answer: Answer | None = None
        self._answer_due_s = -math.inf

    async def run(self, duration_s: float | None = None) -> Outcome:
        """Work until an operator stops or the time is over; then see to it that the devices are safe.

        Raises:
            RigError: if devices do not show all channels, before anything is written.
        """
        self._journal.event("start", mode=self._mode, duration_s=duration_s)
        try:
            self._governor.apply(Trigger.OPENED, "connected")
            await self._loop(duration_s)
        except BaseException as error:
            await self._make_safe_at_once()
            self._journal.event("failed", error=f"{type(error).__name__}: {error}")
            raise
        finally:
            outcome = self._outcome()
            times_s = self.statistics.summary()
            self._journal.event("end", state=outcome.state, safe=outcome.text, times_s=times_s)
            await self._link.close()
        return outcome

    async def _loop(self, duration_s: float | None) -> None:
        start_s = planned_s = self._clock.now()
        end_s = math.inf if duration_s is None else start_s + duration_s
        skipped = 0
        while True:
            await self._clock.sleep_until(planned_s)
            if planned_s >= end_s and not self._governor.is_leaving:
                self._operator.ask(Trigger.STOP, TIME_IS_OVER)
            await self._cycle(planned_s, skipped)
            if self._governor.is_done:
                return
            if self._governor.state is State.COMMISSION and planned_s - start_s > COMMISSION_S:
                problems = [f"{f.subject}: {f.text}" for f in self._journal.findings]
                raise RigError("\n".join(problems + self._commands.problems()))
            periods = math.ceil((self._clock.now() - planned_s) / self._timing.period_s - _SAME_TIME)
            periods = max(periods, 1)
            planned_s, skipped = planned_s + periods * self._timing.period_s, periods - 1

    async def _cycle(self, planned_s: float, skipped: int) -> None:
        begin_s = self._clock.now()
        orders = self._operator.take()
        snapshot = await self._exchange.read(self._timing.read_share * self._timing.period_s)
        read_s = self._clock.now()
        cycle = _Cycle(
            planned_s=planned_s,
            skipped=skipped,
            times_s={"wake": begin_s - planned_s, "read": read_s - begin_s},
            snapshot=snapshot,
            findings=self._assess(snapshot, read_s),
            vector=self._pilot.vector({c: r.value for c, r in snapshot.readings.items()}),
        )
        self._governor.react(snapshot, cycle.findings, orders, begin_s)
        if is_usable([f.trigger for f in cycle.findings]) and self._governor.runs_policy:
            self._think(cycle)
        self._journal.note_findings(cycle.findings)
        await self._act(cycle)
        self._finish(cycle)

    def _assess(self, snapshot: Snapshot, now_s: float) -> list[Finding]:
        findings = self._watch.assess(snapshot, now_s)
        if self._operator.is_stop_file_there():
            findings.append(Finding(trigger=Trigger.STOP_INPUT, subject="rig", text="the stop file is there"))
        if self._journal.problem:
            text = f"cycles cannot be recorded: {self._journal.problem}"
            findings.append(Finding(trigger=Trigger.RECORDER, subject="recorder", text=text))
        self._journal.note_clock()
        return findings

    def _think(self, cycle: _Cycle) -> None:
        """Ask the policy if it is time to, and the supervisor."""
        begin_s = self._clock.now()
        is_due = cycle.planned_s >= self._answer_due_s - self._timing.period_s / 2
        if self._answer is None or is_due or self._governor.wants_new_answer:
            self._answer, cycle.policy_ran = self._pilot.ask(cycle.vector), True
            self._answer_due_s = cycle.planned_s + self._timing.policy_period_s
            wrong = self._watch.judge_request(self._answer.request, self._answer.problem)
            cycle.findings += wrong
            self._governor.react_to_policy(wrong)
        asked_s = self._clock.now()
        cycle.answer = self._answer
        if cycle.policy_ran:
            cycle.times_s["policy"] = asked_s - begin_s
        cycle.decision = self._supervise(self._answer, cycle.snapshot, asked_s)
        cycle.times_s["supervise"] = self._clock.now() - asked_s

    def _supervise(self, answer: Answer, snapshot: Snapshot, now_s: float) -> Decision:
        if not self._commands.has_begun:
            self._commands.begin(now_s)
        model = self._settings.voltages
        decision = supervise(
            self._settings.limits,
            model,
            answer.request,
            self._commands.in_force,
            None if model is None else np.array([snapshot.readings[c].value for c in model.channels]),
            now_s,
            self._timing.period_s,
        )
        self._watch.infeasible_cycles = 0 if decision.is_feasible else self._watch.infeasible_cycles + 1
        return decision

    async def _act(self, cycle: _Cycle) -> None:
        """Write what the state allows."""
        begin_s = self._clock.now()
        cycle.setpoints, outgoing = self._outgoing(cycle.decision, begin_s)
        if not outgoing:
            return
        cycle.sent_s = begin_s
        cycle.results = await self._exchange.write(outgoing, self._timing.write_share * self._timing.period_s)
        cycle.times_s["write"] = self._clock.now() - begin_s
        self._commands.sent(cycle.results, begin_s)
        if self._governor.state is State.ACTIVE:
            self._watch.wrote(cycle.results, begin_s)

    def _outgoing(self, decision: Decision | None, now_s: float) -> tuple[Floats | None, dict[str, float]]:
        """Set-points of this cycle, and those of them that are to be sent."""
        limits, commands = self._settings.limits, self._commands
        if self._governor.is_making_safe:
            setpoints = limits.safe
            if self._governor.state is State.FALLBACK:
                setpoints = towards(limits, limits.safe, commands.in_force, now_s, self._timing.period_s).setpoints
            return setpoints, commands.to_make_safe(setpoints)
        if decision is None:
            return None, {}
        if self._governor.state is State.ACTIVE:
            is_refresh = commands.is_refresh_due(now_s, self._timing.refresh_s)
            return decision.setpoints, commands.to_send(decision.setpoints, is_refresh)
        commands.imagine(decision.setpoints, now_s)
        return decision.setpoints, {}

    def _finish(self, cycle: _Cycle) -> None:
        total_s = self._clock.now() - cycle.planned_s
        cycle.times_s["total"] = total_s
        is_late = total_s > self._timing.deadline_share * self._timing.period_s
        self._watch.late_cycles = self._watch.late_cycles + 1 if is_late or cycle.skipped else 0
        is_missed = any(f.trigger is Trigger.MISSED for f in cycle.findings)
        self.statistics.add(cycle.times_s, is_late, cycle.skipped, is_missed)
        record = self._record(cycle, is_late)
        self._journal.add(record)
        view = View(
            record=record,
            findings=tuple(cycle.findings),
            statistics=self.statistics,
            snapshot=cycle.snapshot,
        )
        for watcher in tuple(self._watchers):
            try:
                watcher(view)
            except (Exception, SystemExit) as error:  # rich exits where its terminal is gone
                self._watchers.remove(watcher)
                self._journal.event("watcher_failed", error=f"{type(error).__name__}: {error}")

    def _record(self, cycle: _Cycle, is_late: bool) -> CycleRecord:
        nothing = np.full(len(self._settings.setpoints), np.nan)
        request = None if cycle.answer is None else cycle.answer.request
        now_s, results = self._clock.now(), cycle.results or {}
        ages_s = [now_s - r.acquired_s for r in cycle.snapshot.readings.values()]
        return CycleRecord(
            cycle=self._journal.cycle,
            t_s=cycle.planned_s - self._journal.start_s,
            wall=self._clock.wall(),
            state=self._governor.state,
            findings="; ".join(f"{f.trigger} {f.subject}" for f in cycle.findings),
            interventions="" if cycle.decision is None else describe(cycle.decision.interventions),
            policy_ran=cycle.policy_ran,
            is_late=is_late,
            skipped=cycle.skipped,
            latencies_s=cycle.times_s,
            sent_s=cycle.sent_s - self._journal.start_s,
            age_s=max(ages_s, default=math.nan),
            values=cycle.vector,
            observation=self._pilot.normalised(cycle.vector),
            requested=nothing if request is None else request,
            limited=nothing if cycle.setpoints is None else cycle.setpoints,
            written=np.array([results[c].value if c in results else np.nan for c in self._settings.limits.channels]),
            in_force=self._commands.read_back.copy(),
            problems={name: d.problem for name, d in cycle.snapshot.devices.items() if d.problem},
            raw=cycle.snapshot.raw,
        )

    async def _make_safe_at_once(self) -> None:
        """The last resort when the loop itself fails: no ramps, no states, no record."""
        if not self._governor.has_controlled:
            return
        self._commands.forget_safe()
        period_s, end_s = self._timing.period_s, self._clock.now() + _SOON_S
        while self._commands.unconfirmed and self._clock.now() < end_s:
            begin_s = self._clock.now()
            # Whatever fails here, the next round tries again.
            with suppress(Exception):
                outgoing = self._commands.to_make_safe(self._settings.limits.safe)
                self._commands.sent(await self._exchange.write(outgoing, period_s), begin_s)
                self._commands.see(await self._exchange.read(period_s), self._clock.now(), is_own=False)
                self._commands.confirm_safe(begin_s)
            await self._clock.sleep_until(begin_s + period_s)

    def _outcome(self) -> Outcome:
        unconfirmed = tuple(self._commands.unconfirmed) if self._governor.has_controlled else ()
        return Outcome(
            state=self._governor.state,
            has_controlled=self._governor.has_controlled,
            unconfirmed=unconfirmed,
            statistics=self.statistics,
        )
