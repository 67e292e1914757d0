"""Times of the loop."""

from collections import deque
from collections.abc import Mapping

import numpy as np

from hardware_in_loop.control.segments import LATENCIES

_KEPT = 3_000
"""Cycles that percentiles look back at, which the live view works out four times a second; the record has all."""
PERCENTILES = (50.0, 99.0)


class Statistics:
    """Counts since the start, times of the last cycles."""

    def __init__(self) -> None:
        self.cycles = 0
        self.late = 0
        """Cycles that ended after their deadline."""
        self.skipped = 0
        """Cycles left out because the one before took too long."""
        self.missed = 0
        """Cycles without a full exchange."""
        self._times: Mapping[str, deque[float]] = {name: deque(maxlen=_KEPT) for name in LATENCIES}

    @property
    def deadline_misses(self) -> int:
        """Cycles that were late or left out."""
        return self.late + self.skipped

    def add(self, latencies_s: Mapping[str, float], is_late: bool, skipped: int, is_missed: bool) -> None:
        """One more cycle."""
        self.cycles += 1
        self.late += is_late
        self.skipped += skipped
        self.missed += is_missed
        for name, value in latencies_s.items():
            self._times[name].append(value)

    def summary(self) -> dict[str, dict[str, float]]:
        """p50, p99 and max in s, by step of the cycle."""
        return {name: percentiles(times) for name, times in self._times.items() if times}


def percentiles(times_s: "deque[float] | np.ndarray") -> dict[str, float]:
    """p50, p99 and max; NaN are left out."""
    values = np.asarray(times_s, float)
    values = values[np.isfinite(values)]
    if not len(values):
        return {}
    found = {f"p{p:g}": float(np.percentile(values, p)) for p in PERCENTILES}
    return found | {"max": float(values.max())}
