"""Time of the loop: monotonic, so that setting the clock of the computer changes nothing."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol

_SPIN_S = 0.0015
"""The last part of a wait is slept by the thread, which wakes more punctually than asyncio. Measured: 0.1 ms late
instead of 0.9 ms."""


class Clock(Protocol):
    """Where the loop takes its time from."""

    def now(self) -> float:
        """Seconds on a clock that nobody can set."""
        ...

    def wall(self) -> datetime:
        """Time of day in UTC, for people; the loop does not depend on it."""
        ...

    async def sleep_until(self, moment_s: float) -> None:
        """Come back at that moment of `now`, or at once if it is over."""
        ...


class MonotonicClock:
    """The clock of the operating system."""

    def now(self) -> float:
        """Seconds since some moment."""
        return time.monotonic()

    def wall(self) -> datetime:
        """Time of day in UTC."""
        return datetime.now(UTC)

    async def sleep_until(self, moment_s: float) -> None:
        """Wait; other tasks run meanwhile."""
        rest_s = moment_s - time.monotonic() - _SPIN_S
        await asyncio.sleep(max(rest_s, 0.0))
        rest_s = moment_s - time.monotonic()
        if rest_s > 0.0:
            time.sleep(rest_s)
