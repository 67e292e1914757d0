"""The control loop in a thread of its own, for programs that act step by step."""

import asyncio
import atexit
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from gridenv.core.errors import RunError
from hardware_in_loop.control.journal import View
from hardware_in_loop.control.operator import Operator
from hardware_in_loop.control.outcome import Outcome
from hardware_in_loop.control.runtime import ControlLoop
from hardware_in_loop.control.states import State, Trigger

_START_S = 120.0
"""Time for connection, check of all readings, arming and calm cycles."""
_ASK_AGAIN_S = 1.0


class HeldAction:
    """The network of a policy that somebody else decides for: it gives the last action it was told."""

    def __init__(self, size: int) -> None:
        self.action = np.zeros(size, np.float32)
        """[n_action] normalised."""

    def act_normalised(self, observation: Any) -> np.ndarray:
        """The action held, whatever is observed."""
        del observation
        return self.action


@dataclass(frozen=True, kw_only=True)
class Running:
    """A loop with what belongs to it."""

    loop: ControlLoop
    operator: Operator
    watchers: list[Callable[[View], None]]
    """Called at the end of every cycle."""


class Background:
    """A running loop."""

    def __init__(self, work: Callable[["Background"], Any]) -> None:
        """Start it.

        Args:
            work: makes the coroutine that opens the rig, runs the loop and calls `begin` before.
        """
        self._changed = threading.Condition()
        self._running: Running | None = None
        self._is_stopping = False
        self._view: View | None = None
        self._cycles = 0
        self._outcome: Outcome | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(work,), name="rig", daemon=True)
        self._thread.start()
        # The thread ends with the program, and must not before the devices are safe.
        atexit.register(self.stop)

    @property
    def view(self) -> View:
        """The newest cycle."""
        assert self._view is not None
        return self._view

    def begin(self, running: Running) -> None:
        """Called in the thread once the rig is open."""
        running.watchers.append(self._watch)
        self._running = running
        if self._is_stopping:
            self.ask(Trigger.STOP, "the environment was closed")

    def wait_for(self, states: tuple[State, ...], order: Trigger | None = None) -> None:
        """Wait until the loop is in one of these states and has measurements.

        Args:
            states: that are waited for.
            order: given to the loop every second meanwhile, as it may be refused for what is over in a moment.

        Raises:
            RunError: if it does not get there; what the loop itself raised comes as it is.
        """

        def is_there() -> bool:
            return self._view is not None and self._view.record.state in states

        end_s = time.monotonic() + _START_S
        while order is not None and not self._is_met(is_there, _ASK_AGAIN_S):
            if self._outcome is not None or time.monotonic() > end_s:
                break
            self.ask(order, "the environment")
        self._wait(is_there, max(end_s - time.monotonic(), 0.0), " or ".join(states))

    def wait_cycles(self, cycles: int, limit_s: float) -> None:
        """Wait for the end of some more cycles.

        Raises:
            RunError: if they do not come in time; what the loop itself raised comes as it is.
        """
        until = self._cycles + cycles
        self._wait(lambda: self._cycles >= until, limit_s, f"{cycles} more cycles")

    def ask(self, trigger: Trigger, source: str) -> None:
        """Give the loop an order."""
        if self._running is not None:
            self._running.operator.ask(trigger, source)

    def stop(self) -> Outcome | None:
        """End the run; safe set-points first, if it has controlled, however long their ramps take."""
        atexit.unregister(self.stop)
        self._is_stopping = True
        self.ask(Trigger.STOP, "the environment was closed")
        self._thread.join()
        return self._outcome

    def _watch(self, view: View) -> None:
        with self._changed:
            self._view, self._cycles = view, self._cycles + 1
            self._changed.notify_all()

    def _run(self, work: Callable[["Background"], Any]) -> None:
        try:
            self._outcome = asyncio.run(work(self))
        except BaseException as error:  # handed to whoever waits
            self._error = error
        with self._changed:
            self._changed.notify_all()

    def _wait(self, is_met: Callable[[], bool], limit_s: float, what: str) -> None:
        if not self._is_met(is_met, limit_s):
            state = "none" if self._view is None else self._view.record.state
            raise RunError(f"rig: waited {limit_s:.0f} s for {what}; its state is {state}; see the events of the run")

    def _is_met(self, is_met: Callable[[], bool], limit_s: float) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: is_met() or self._error is not None or self._outcome is not None, limit_s)
        if self._error is not None:
            raise self._error
        return is_met()
