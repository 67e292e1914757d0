"""Who has the devices: takes what is wrong and what operators ask for through the table of states."""

import math
from collections.abc import Sequence

from hardware_in_loop.control.clock import Clock
from hardware_in_loop.control.commands import Commands
from hardware_in_loop.control.journal import Journal
from hardware_in_loop.control.machine import Machine
from hardware_in_loop.control.operator import Order
from hardware_in_loop.control.settings import ControlSettings
from hardware_in_loop.control.states import State, Trigger, may_write
from hardware_in_loop.control.watch import Finding, Watch
from hardware_in_loop.link import Snapshot


class Governor:
    """State of a run, with what belongs to its changes."""

    def __init__(
        self,
        settings: ControlSettings,
        watch: Watch,
        commands: Commands,
        journal: Journal,
        clock: Clock,
        arming_problem: str,
    ) -> None:
        """Begin in INIT.

        Args:
            arming_problem: why control may never be taken in this run; empty if it may.
        """
        self._settings, self._watch, self._commands = settings, watch, commands
        self._journal, self._clock, self._arming_problem = journal, clock, arming_problem
        self._machine = Machine(journal.announce)
        self._calm_cycles, self._armed_until_s = 0, math.inf
        self._must_arm, self._arm_until_s = False, math.inf
        self.is_leaving, self._leave_s = False, math.inf
        self.wants_new_answer = True
        """The last answer of the policy belongs to another state."""

    @property
    def state(self) -> State:
        """The present state."""
        return self._machine.state

    @property
    def has_controlled(self) -> bool:
        """Set-points were or may have been written."""
        return self._machine.has_controlled

    @property
    def runs_policy(self) -> bool:
        """The policy is asked in this state."""
        return self._machine.runs_policy

    @property
    def is_making_safe(self) -> bool:
        """Safe set-points are to be written."""
        return self._machine.is_making_safe

    @property
    def is_done(self) -> bool:
        """The program may leave: nothing was written, safe set-points are confirmed, or their time is over."""
        if not self.is_leaving:
            return False
        return not self.has_controlled or not self._commands.unconfirmed or self._clock.now() >= self._leave_s

    def arm_when_possible(self, within_s: float) -> None:
        """Arm in the first cycle that allows it; give up after a time."""
        self._must_arm, self._arm_until_s = True, self._clock.now() + within_s

    def react(self, snapshot: Snapshot, findings: Sequence[Finding], orders: Sequence[Order], begin_s: float) -> None:
        """Take a cycle's reading, findings and orders through the table.

        Args:
            begin_s: when reading began.
        """
        now_s = self._clock.now()
        self.wants_new_answer = False
        is_own = self.has_controlled and (may_write(self.state) or self.state is State.HOLD)
        self._commands.see(snapshot, now_s, is_own)
        if self.is_making_safe:
            self._commands.confirm_safe(begin_s)
        self._calm_cycles = 0 if findings else self._calm_cycles + 1
        for finding in findings:
            self.apply(finding.trigger, f"{finding.subject}: {finding.text}")
        for order in orders:
            self._obey(order, findings)
        self._proceed(findings, now_s)

    def react_to_policy(self, findings: Sequence[Finding]) -> None:
        """Take what is wrong with an answer of the policy through the table."""
        if findings:
            self._calm_cycles = 0
        for finding in findings:
            self.apply(finding.trigger, f"{finding.subject}: {finding.text}")

    def apply(self, trigger: Trigger, reason: str) -> None:
        """Follow a trigger."""
        was_controlling, was_making_safe = self._machine.is_controlling, self.is_making_safe
        if not self._machine.apply(trigger, reason):
            return
        self.wants_new_answer = True
        if self.state is State.ACTIVE and not was_controlling:
            self._commands.begin(self._clock.now())
            self._watch.forget_setpoints()
        elif was_controlling and not self._machine.is_controlling:
            self._watch.forget_setpoints()
            self._commands.forget_safe()
        elif self.is_making_safe and was_making_safe:
            self._commands.forget_safe()
        elif self.is_making_safe:
            # Since control has ended the loop has only imagined set-points.
            self._commands.begin(self._clock.now())
        if self.state is State.ARMED:
            self._calm_cycles, self._armed_until_s = 0, self._clock.now() + self._settings.timing.armed_s

    def _proceed(self, findings: Sequence[Finding], now_s: float) -> None:
        """Changes that come by themselves, one a cycle; none once the program is to leave."""
        if self.is_leaving:
            return
        if self.state is State.COMMISSION and not findings and self._commands.is_known:
            self.apply(Trigger.COMPLETE, "every channel was read")
        elif self.state is State.SHADOW and self._must_arm:
            self._arm(findings, "mode active", now_s)
        elif self.state is State.ARMED:
            settle, armed_s = self._settings.timing.settle_cycles, self._settings.timing.armed_s
            if self._calm_cycles >= settle and not self._commands.problems():
                self.apply(Trigger.SETTLED, f"{settle} cycles without a problem")
            elif now_s >= self._armed_until_s:
                self.apply(Trigger.ARM_EXPIRED, f"no calm for {armed_s:g} s")
        elif self.state is State.HOLD and not findings:
            self.apply(Trigger.HEALTHY, "a cycle without a problem")

    def _obey(self, order: Order, findings: Sequence[Finding]) -> None:
        self._journal.event("order", order=order.trigger, source=order.source)
        self._must_arm = False
        if order.trigger is Trigger.ARM:
            self._arm(findings, order.source, math.inf)
        elif order.trigger is Trigger.RESET and (problems := self._reset_problems(findings)):
            self._journal.event("refused", order=order.trigger, why=problems)
        elif order.trigger is not Trigger.STOP:
            self.apply(order.trigger, order.source)
        else:
            self._leave(order.source)

    def _leave(self, source: str) -> None:
        if not self.is_leaving:
            self.is_leaving = True
            self._leave_s = self._clock.now() + self._settings.longest_ramp_s + self._settings.timing.confirm_s
        if self.has_controlled:
            self.apply(Trigger.STOP, source)

    def _arm(self, findings: Sequence[Finding], source: str, now_s: float) -> None:
        problems = self._arming_problems(findings)
        if not problems:
            self._must_arm = False
            self.apply(Trigger.ARM, source)
        elif now_s > self._arm_until_s or not self._must_arm:
            self._must_arm = False
            self._journal.event("refused", order=Trigger.ARM, why=problems)

    def _reset_problems(self, findings: Sequence[Finding]) -> list[str]:
        problems = ["the stop input is set"] if any(f.trigger is Trigger.STOP_INPUT for f in findings) else []
        return problems + (self._unconfirmed_problems() if self.has_controlled else [])

    def _unconfirmed_problems(self) -> list[str]:
        return [f"'{c}': safe set-point not confirmed" for c in self._commands.unconfirmed]

    def _arming_problems(self, findings: Sequence[Finding]) -> list[str]:
        problems = [self._arming_problem] if self._arming_problem else []
        if self.is_leaving:
            problems.append("the run is ending")
        problems += [f"{f.subject}: {f.text}" for f in findings]
        problems += self._commands.problems()
        if self.state is State.FALLBACK:
            problems += self._unconfirmed_problems()
        return problems
