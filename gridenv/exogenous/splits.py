"""Which days are for training, validation and test, and where episodes may start; imports no JAX."""

import csv
import io
import itertools
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
from jaxtyping import Int

from gridenv.core.errors import DataError, did_you_mean, raise_collected
from gridenv.exogenous.files import DATA_FOLDER
from gridenv.exogenous.timebase import DAYS_IN_YEAR, DAYS_PER_WEEK, STEPS_PER_DAY, YEAR_START

TRAIN, VALIDATION, TEST, GAP = "train", "validation", "test", "gap"
SPLIT_NAMES = (TRAIN, VALIDATION, TEST)
SPLIT_FILE = DATA_FOLDER / "splits.csv"
_COLUMNS = ("day", "date", "split")
_STRETCHES = (
    (date(2016, 1, 4), 8, 2),
    (date(2016, 2, 29), 13, 2),
    (date(2016, 5, 30), 13, 3),
    (date(2016, 8, 29), 13, 2),
    (date(2016, 11, 28), 4, 1),
)
"""First Monday, number of weeks and number of held-out pairs of weeks: winter, spring, summer, autumn, winter."""


@dataclass(frozen=True)
class Splits:
    """A label for every day of the scenario year."""

    labels: tuple[str, ...]
    """`train`, `validation`, `test` or `gap`, one a day, from 1 January."""

    def days(self, split: str) -> Int[np.ndarray, " day"]:
        """Days of a split in rising order; 0 is 1 January.

        Raises:
            DataError: if the split is not `train`, `validation` or `test`.
        """
        if split not in SPLIT_NAMES:
            raise DataError(f"unknown split '{split}'{did_you_mean(split, SPLIT_NAMES)}")
        return np.flatnonzero(np.array(self.labels) == split).astype(np.int32)


def load_splits(path: str | Path | None = None) -> Splits:
    """The committed split of the scenario year, or one from a file with the columns `day,date,split`.

    Raises:
        DataError: if the file is missing, a row is malformed, days are not 0, 1, 2, ..., dates do not follow one
            another, or two splits touch without a gap day.
    """
    file = SPLIT_FILE if path is None else Path(path)
    if not file.is_file():
        raise DataError(f"split table '{file}': no such file; give a CSV file with the columns {','.join(_COLUMNS)}")
    rows = list(csv.reader(io.StringIO(file.read_text(encoding="utf-8"))))
    raise_collected([f"split table '{file}', {p}" for p in _table_problems(rows)], DataError)
    return Splits(tuple(row[2] for row in rows[1:]))


def episode_starts(
    split: str,
    steps_per_episode: int = STEPS_PER_DAY,
    *,
    splits: Splits | None = None,
    steps_per_day: int = STEPS_PER_DAY,
) -> Int[np.ndarray, " episode"]:
    """First steps of all episodes that begin at midnight and lie inside a split.

    Args:
        split: `train`, `validation` or `test`.
        steps_per_episode: length of an episode; a part of a day counts as a day.
        splits: the committed table if left out.
        steps_per_day: rows of the scenario per day.

    Returns:
        int32, rising. Longer episodes overlap: there is one for every day with enough days of the split after it.

    Raises:
        DataError: if the split is unknown, a length is not positive, or no episode fits.
    """
    lengths = {"steps_per_episode": steps_per_episode, "steps_per_day": steps_per_day}
    raise_collected([f"episodes: {k} must be >= 1, got {n}" for k, n in lengths.items() if n < 1], DataError)
    days = (splits or load_splits()).days(split)
    n_days = -(-steps_per_episode // steps_per_day)
    inside = np.isin(days[:, None] + np.arange(n_days), days).all(axis=1)
    if not inside.any():
        raise DataError(
            f"episodes: steps_per_episode = {steps_per_episode} needs {n_days} days in a row, split '{split}' has at "
            f"most {_longest_run(days)}; make episodes shorter or choose another split"
        )
    return (days[inside] * steps_per_day).astype(np.int32)


def generate_labels() -> tuple[str, ...]:
    """The rule behind the committed table: a label for every day of 2016.

    Weeks start on Monday. Each stretch of a season is cut into as many equal parts as it has held-out pairs, and the
    two weeks at the middle of each part are held out: one for validation, one for test, in alternating order.
    Everything else is for training. A gap day comes before, between and after the two weeks: training gives the Sunday
    before and the Monday after; the day between is, two pairs by two pairs in turn, the Sunday of the first week or
    the Monday of the second, so that validation and test each give five days.

    Source: own rule, docs/data.md. Assumed: one day is enough for weather and demand to lose most of their memory, and
    no forecast looks further ahead than a day.
    """
    labels = [TRAIN] * DAYS_IN_YEAR
    for pair, first in enumerate(_pair_starts()):
        second, end = first + DAYS_PER_WEEK, first + 2 * DAYS_PER_WEEK
        order = (VALIDATION, TEST) if pair % 2 == 0 else (TEST, VALIDATION)
        labels[first:second] = [order[0]] * DAYS_PER_WEEK
        labels[second:end] = [order[1]] * DAYS_PER_WEEK
        between = second - 1 if pair // 2 % 2 == 0 else second
        for day in (first - 1, between, end):
            labels[day] = GAP
    return tuple(labels)


def split_table_text() -> str:
    """The text of `data/splits.csv`, made by `generate_labels`."""
    rows = [f"{day},{_date_of(day)},{label}" for day, label in enumerate(generate_labels())]
    return "\n".join([",".join(_COLUMNS), *rows]) + "\n"


def _pair_starts() -> list[int]:
    starts = []
    for monday, n_weeks, n_pairs in _STRETCHES:
        first_day = (monday - YEAR_START.date()).days
        middles = [(2 * i + 1) * n_weeks // (2 * n_pairs) for i in range(n_pairs)]
        starts += [first_day + (middle - 1) * DAYS_PER_WEEK for middle in middles]
    return starts


def _date_of(day: int) -> date:
    return YEAR_START.date() + timedelta(days=day)


def _longest_run(days: np.ndarray) -> int:
    return max(len(run) for run in np.split(days, np.flatnonzero(np.diff(days) > 1) + 1))


def _table_problems(rows: list[list[str]]) -> list[str]:
    if len(rows) < 2 or tuple(rows[0]) != _COLUMNS:
        found = ",".join(rows[0]) if rows else "nothing"
        return [f"line 1: '{found}'; allowed: the header '{','.join(_COLUMNS)}' and a line for every day; add them"]
    problems = [p for line, row in enumerate(rows[1:], start=2) for p in _row_problems(line, row)]
    return problems or _sequence_problems(rows[1:])


def _row_problems(line: int, row: list[str]) -> list[str]:
    if len(row) != len(_COLUMNS):
        return [f"line {line}: {len(row)} fields; allowed: {len(_COLUMNS)}; write {','.join(_COLUMNS)}"]
    found = []
    if row[0] != str(line - 2):
        found.append(f"line {line}: day is '{row[0]}'; allowed: {line - 2}, counting up from 0; sort or renumber")
    try:
        date.fromisoformat(row[1])
    except ValueError:
        found.append(f"line {line}: date is '{row[1]}'; allowed: YYYY-MM-DD; correct it")
    if row[2] not in (*SPLIT_NAMES, GAP):
        found.append(f"line {line}: split is '{row[2]}'{did_you_mean(row[2], (*SPLIT_NAMES, GAP))}")
    return found


def _sequence_problems(rows: list[list[str]]) -> list[str]:
    found = []
    for line, (before, row) in enumerate(itertools.pairwise(rows), start=3):
        expected = date.fromisoformat(before[1]) + timedelta(days=1)
        if date.fromisoformat(row[1]) != expected:
            found.append(
                f"line {line}: date is {row[1]}; allowed: {expected}, the day after the line before; correct it"
            )
        if GAP not in (before[2], row[2]) and before[2] != row[2]:
            found.append(
                f"line {line}: '{row[2]}' follows '{before[2]}' at once; allowed: after a day of '{GAP}'; mark one so"
            )
    return found
