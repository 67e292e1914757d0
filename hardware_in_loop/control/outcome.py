"""What a run may do and how it ended."""

from dataclasses import dataclass
from enum import StrEnum

from hardware_in_loop.control.states import State
from hardware_in_loop.control.statistics import Statistics


class Mode(StrEnum):
    """Whether a run may write."""

    SHADOW = "shadow"
    ACTIVE = "active"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run ended."""

    state: State
    has_controlled: bool
    unconfirmed: tuple[str, ...]
    """Channels whose safe set-point no device has confirmed; empty if control was never taken."""
    statistics: Statistics

    @property
    def text(self) -> str:
        """One line for the operator."""
        if not self.has_controlled:
            return "nothing was written"
        if not self.unconfirmed:
            return "safe set-points are confirmed on all channels"
        names = ", ".join(self.unconfirmed)
        return f"safe set-points are NOT confirmed: {names}; look at these devices, timers of theirs may still run"
