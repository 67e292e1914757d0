"""Load, generation, heat-pump and charging profiles on the host; imports no JAX."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from pathlib import Path

import numpy as np

from gridenv.core.errors import DataError, did_you_mean, raise_collected
from gridenv.core.units import SECONDS_PER_HOUR
from gridenv.exogenous.files import DATA_FOLDER, read_npz, repeated_names, unknown_names
from gridenv.exogenous.timebase import SECONDS_PER_DAY

PROFILE_FILE = DATA_FOLDER / "simbench_scenario2_profiles.npz"
_KEYS = ("load", "load_names", "res", "res_names", "start", "step_s")
_WHAT = "profile file"
_SIMBENCH_TIME = "%d.%m.%Y %H:%M"
_MAX_REPORTED = 5


@dataclass(frozen=True, kw_only=True, eq=False)
class ProfileTable:
    """Relative profiles on one clock, one column each.

    A value is a share of the rating of the element that follows it. Active and reactive power of a load are two
    columns, `<profile>_pload` and `<profile>_qload`, to be multiplied by the element's P and Q; a generator has one,
    such as `PV1`. Loads count consumption as positive here, as published.

    Source: SimBench scenario 2, docs/data.md.
    """

    start: datetime
    """Beginning of the first row, always at 00:00."""
    step_s: int
    """Length of a row in seconds."""
    names: tuple[str, ...]
    """Column names, unique."""
    values: np.ndarray
    """float32 [time, profile], row-major, finite, read-only; dimensionless."""

    @property
    def dt_h(self) -> float:
        """Length of a row in hours."""
        return self.step_s / SECONDS_PER_HOUR

    def column(self, name: str) -> int:
        """Position of a profile in the last axis.

        Raises:
            DataError: if there is no such profile; the message suggests the closest one.
        """
        if name not in self.names:
            raise DataError(f"unknown profile '{name}'{did_you_mean(name, self.names)}")
        return self.names.index(name)

    def select(self, names: Sequence[str]) -> "ProfileTable":
        """The table of the named profiles only, in the order given.

        Raises:
            DataError: for all names that are unknown or repeated.
        """
        wanted = tuple(names)
        problems = unknown_names(wanted, self.names, "profile") + repeated_names(wanted, "profile")
        raise_collected(problems, DataError)
        columns = [self.names.index(n) for n in wanted]
        return replace(self, names=wanted, values=_frozen(self.values[:, columns]))


def load_profiles(path: str | Path | None = None) -> ProfileTable:
    """The shipped SimBench profiles of 2016, or the profiles in a file of the same layout.

    Args:
        path: NumPy archive with `load` [time, n], `load_names` [n], `res` [time, m], `res_names` [m], `start`
            (`2016-01-01T00:00` or `01.01.2016 00:00`) and `step_s`; the shipped file if left out.

    Raises:
        DataError: if the file or an array in it is missing, shapes or names do not fit, values are not finite, or the
            rows are not whole days that start at midnight.

    Source: SimBench scenario 2 (Meinecke et al. 2020, doi:10.3390/en13123290), docs/data.md.
    """
    return _load_shipped() if path is None else _read_table(Path(path))


@functools.cache
def _load_shipped() -> ProfileTable:
    return _read_table(PROFILE_FILE)


def _read_table(path: Path) -> ProfileTable:
    arrays = read_npz(path, _KEYS, _WHAT)
    raise_collected([f"{_WHAT} '{path}': {p}" for p in _shape_problems(arrays)], DataError)
    names = tuple(str(n) for key in ("load_names", "res_names") for n in arrays[key])
    start, step_s = _parse_start(str(arrays["start"])), int(arrays["step_s"])
    problems = _clock_problems(start, str(arrays["start"]), step_s, len(arrays["load"]))
    problems += repeated_names(names, "profile")
    if start is None or problems:
        raise DataError("\n".join(f"{_WHAT} '{path}': {p}" for p in problems))
    values = np.concatenate([arrays["load"], arrays["res"]], axis=1)
    problems = _value_problems(values, names, start, step_s)
    raise_collected([f"{_WHAT} '{path}': {p}" for p in problems], DataError)
    return ProfileTable(start=start, step_s=step_s, names=names, values=_frozen(values))


def _frozen(values: np.ndarray) -> np.ndarray:
    out = np.array(values, dtype=np.float32, order="C")
    out.flags.writeable = False
    return out


def _shape_problems(arrays: dict[str, np.ndarray]) -> list[str]:
    found = []
    for key in ("load", "res"):
        values, names = arrays[key], arrays[f"{key}_names"]
        if values.ndim != 2 or values.dtype.kind not in "fiu":
            found.append(f"'{key}' has shape {values.shape} and type {values.dtype}; allowed: numbers [time, profile]")
        elif names.shape != (values.shape[1],):
            found.append(
                f"'{key}_names' has shape {names.shape}; allowed: ({values.shape[1]},), a name for every column"
            )
    found += [
        f"'{key}' has shape {arrays[key].shape}; allowed: a single value"
        for key in ("start", "step_s")
        if arrays[key].ndim != 0
    ]
    if arrays["step_s"].dtype.kind not in "iu":
        found.append(f"'step_s' has type {arrays['step_s'].dtype}; allowed: a whole number of seconds, such as 900")
    if not found and len(arrays["load"]) != len(arrays["res"]):
        found.append(f"'load' has {len(arrays['load'])} rows and 'res' {len(arrays['res'])}; give both the same rows")
    return found


def _parse_start(text: str) -> datetime | None:
    for parse in (datetime.fromisoformat, lambda t: datetime.strptime(t, _SIMBENCH_TIME)):
        try:
            return parse(text).replace(tzinfo=None)
        except ValueError:
            continue
    return None


def _clock_problems(start: datetime | None, text: str, step_s: int, n_rows: int) -> list[str]:
    found = []
    if start is None or start.time() != time():
        found.append(f"'start' is '{text}'; allowed: a day at midnight, such as 2016-01-01T00:00")
    if step_s <= 0 or SECONDS_PER_DAY % step_s:
        found.append(f"'step_s' is {step_s}; allowed: a divisor of {SECONDS_PER_DAY}; resample the profiles")
    elif n_rows == 0 or n_rows * step_s % SECONDS_PER_DAY:
        per_day = SECONDS_PER_DAY // step_s
        found.append(
            f"'load' and 'res' have {n_rows} rows; allowed: whole days of {per_day} rows; cut or fill the rest"
        )
    return found


def _value_problems(values: np.ndarray, names: Sequence[str], start: datetime, step_s: int) -> list[str]:
    bad = np.argwhere(~np.isfinite(values))
    found = [
        f"row {row} ({start + timedelta(seconds=step_s * int(row)):%Y-%m-%d %H:%M}), column '{names[col]}' is "
        f"{values[row, col]}; allowed: finite numbers; fill the gap or drop the profile"
        for row, col in bad[:_MAX_REPORTED]
    ]
    if len(bad) > _MAX_REPORTED:
        found.append(f"{len(bad) - _MAX_REPORTED} more values are not finite")
    return found
