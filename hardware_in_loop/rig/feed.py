"""Channels that come from a table over time, and from the time itself."""

import bisect
import csv
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path

from gridenv.core.config import display_path
from gridenv.core.units import HOURS_PER_DAY, SECONDS_PER_HOUR
from hardware_in_loop.errors import RigFileError

TIME_COLUMN = "time_s"
_DAY_S = HOURS_PER_DAY * SECONDS_PER_HOUR
_HEADER_LINES = 1


@dataclass(frozen=True)
class Feed:
    """A series over the year; each value holds from its time to the next."""

    time_s: tuple[float, ...]
    value: tuple[float, ...]

    def at(self, time_s: float) -> float:
        """The value in force; NaN before the first, later after the last than its rows are apart, and at no time."""
        if math.isnan(time_s):
            return math.nan
        place = bisect.bisect_right(self.time_s, time_s) - 1
        longest = self.time_s[-1] - self.time_s[-2] if len(self.time_s) > 1 else math.inf
        return math.nan if place < 0 or time_s - self.time_s[-1] >= longest else self.value[place]


@lru_cache(maxsize=256)
def read_feed(path: Path, column: str) -> Feed:
    """A column of a feed file.

    Raises:
        RigFileError: if the file or the column is missing, times do not rise, or a cell is no finite number.
    """
    shown = display_path(path)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
            names = reader.fieldnames or ()
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RigFileError(f"feed '{shown}' cannot be read ({error}); name a CSV file") from error
    missing = [name for name in (TIME_COLUMN, column) if name not in names]
    if missing or not rows:
        raise RigFileError(f"feed '{shown}' has no {'column ' + repr(missing[0]) if missing else 'rows'}; add it")
    times, values = (_column(rows, name, shown) for name in (TIME_COLUMN, column))
    falling = next((i for i in range(1, len(times)) if times[i] <= times[i - 1]), None)
    if falling is not None:
        raise RigFileError(
            f"feed '{shown}': {TIME_COLUMN} does not rise at line {falling + 1 + _HEADER_LINES}; sort it"
        )
    return Feed(times, values)


def _column(rows: list[dict[str, str]], name: str, shown: str) -> tuple[float, ...]:
    values = []
    for line, row in enumerate(rows, start=1 + _HEADER_LINES):
        try:
            value = float(row[name])
        except (TypeError, ValueError):
            value = math.nan
        if not math.isfinite(value):
            raise RigFileError(f"feed '{shown}': {name} is {row[name]!r} at line {line}; allowed: finite numbers")
        values.append(value)
    return tuple(values)


def wall_clock(utc_offset_h: float, now: Callable[[], float] = time.time) -> tuple[float, float]:
    """Seconds since the start of the year, and the length of the year in seconds."""
    moment = datetime.fromtimestamp(now(), UTC) + timedelta(hours=utc_offset_h)
    start, following = (datetime(year, 1, 1, tzinfo=UTC) for year in (moment.year, moment.year + 1))
    return (moment - start).total_seconds(), (following - start).total_seconds()


def calendar(kind: str, time_s: float, year_s: float) -> float:
    """Sine or cosine of the time of day or of the position in the year, as tasks observe them.

    Args:
        kind: such as `day_sin`.
        time_s: since the start of the year.
        year_s: length of the year.
    """
    share = math.modf(time_s / _DAY_S)[0] if kind.startswith("day") else time_s / year_s
    angle = 2.0 * math.pi * share
    return math.sin(angle) if kind.endswith("sin") else math.cos(angle)
