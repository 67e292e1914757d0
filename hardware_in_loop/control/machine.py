"""The state of a run and whether it has ever controlled the devices."""

from collections.abc import Callable

from hardware_in_loop.control.states import State, Trigger, next_state

Announce = Callable[[State, State, Trigger, str], None]


class Machine:
    """Applies the table of `states`."""

    def __init__(self, announce: Announce) -> None:
        """Begin in INIT.

        Args:
            announce: called with the old and the new state, the trigger and its reason at every change.
        """
        self.state = State.INIT
        self.has_controlled = False
        """Set-points were or may have been written: safe ones are due before the program leaves."""
        self._announce = announce

    def apply(self, trigger: Trigger, reason: str) -> bool:
        """Follow a trigger.

        Returns:
            Whether the state is another one now.
        """
        before, self.state = self.state, next_state(self.state, trigger)
        if self.state is State.ACTIVE:
            self.has_controlled = True
        if self.state is before:
            return False
        self._announce(before, self.state, trigger, reason)
        return True

    @property
    def is_controlling(self) -> bool:
        """The policy has the devices."""
        return self.state in (State.ACTIVE, State.HOLD)

    @property
    def is_making_safe(self) -> bool:
        """Safe set-points are to be written."""
        return self.has_controlled and self.state in (State.FALLBACK, State.ESTOP)

    @property
    def runs_policy(self) -> bool:
        """The policy is asked in this state."""
        return self.state in (State.SHADOW, State.ARMED, State.ACTIVE)
