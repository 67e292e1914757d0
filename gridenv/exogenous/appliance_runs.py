"""Runs of household appliances over the scenario year: when each may begin, when it has to end, what it draws.

Imports no JAX.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from gridenv.core.errors import ConfigError, did_you_mean, raise_collected
from gridenv.exogenous.files import repeated_names
from gridenv.exogenous.timebase import DAYS_IN_YEAR, STEPS_PER_DAY, STEPS_PER_HOUR


@dataclass(frozen=True, kw_only=True)
class ApplianceKind:
    """Programme and habits of a kind of appliance."""

    program_kw: tuple[float, ...]
    """Mean power in each quarter-hour of a run, consumption positive."""
    runs_per_year: float
    """Mean number of runs; at most one a day."""
    loaded_h: tuple[float, float]
    """Hours of the day between which the appliance is loaded, evenly: the earliest start."""
    slack_h: tuple[float, float]
    """Hours of waiting that are put up with, evenly between these: latest minus earliest start."""


KINDS: Mapping[str, ApplianceKind] = {
    "washing_machine": ApplianceKind(
        program_kw=(0.10, 2.00, 0.90, 0.10, 0.10, 0.30, 0.05),
        runs_per_year=196.0,
        loaded_h=(7.0, 18.0),
        slack_h=(2.0, 8.0),
    ),
    "dishwasher": ApplianceKind(
        program_kw=(0.08, 2.00, 0.08, 0.08, 0.08, 2.00, 0.30, 0.15),
        runs_per_year=241.0,
        loaded_h=(8.0, 20.0),
        slack_h=(2.0, 10.0),
    ),
    "tumble_dryer": ApplianceKind(
        program_kw=(2.00, 2.00, 2.00, 1.60, 1.30, 0.94),
        runs_per_year=122.0,
        loaded_h=(9.0, 20.0),
        slack_h=(1.0, 6.0),
    ),
}
"""Kinds that ship.

Source: programmes as typical quarter-hour patterns of a cycle, Stamminger, Synergy Potential of Smart Appliances,
Smart-A D2.3, 2008: 0.89, 1.19 and 2.46 kWh a run. Runs a year: domestic electricity use model of Richardson et al.,
Energy and Buildings 42, 2010 (CREST), as tabulated in the IDEAS library; its runs take 0.93, 1.13 and 2.50 kWh.
Assumed: hours of loading and patience; evenly spread over daytime and evening, as a deadline has to lie within the day.
"""


@dataclass(frozen=True, kw_only=True, eq=False)
class ApplianceRuns:
    """At most one run a day of each appliance; all windows lie within their day."""

    earliest_step: np.ndarray
    """int [day, unit]: first step of the day in which the run may begin."""
    latest_start_step: np.ndarray
    """int [day, unit]: last step of the day in which it can begin and still end in time."""
    program: np.ndarray
    """int [day, unit]: which of `programs_kw` runs."""
    is_present: np.ndarray
    """bool [day, unit]: whether there is a run that day; the other tables mean nothing where there is none."""
    programs_kw: tuple[np.ndarray, ...]
    """float [step] each: mean power in each quarter-hour, consumption positive; programmes differ in length."""

    @property
    def duration_steps(self) -> Int[np.ndarray, "day unit"]:
        """Length of each run; means nothing where there is none."""
        return np.array([len(p) for p in self.programs_kw])[np.where(self.is_present, self.program, 0)]

    @property
    def latest_end_step(self) -> Int[np.ndarray, "day unit"]:
        """First step of the day in which the run is to be over: the deadline."""
        return self.latest_start_step + self.duration_steps


def draw_runs(
    names: Sequence[str],
    kinds: Sequence[str],
    seed: int,
    *,
    catalogue: Mapping[str, ApplianceKind] = KINDS,
) -> ApplianceRuns:
    """A year of runs, the same for the same seed and names.

    Each appliance has a random stream of its own: another appliance more or less changes none of the others.

    Args:
        names: of the appliances, each once.
        kinds: kind of each appliance, a key of the catalogue.
        seed: 0 or more.
        catalogue: kinds to draw from; those that ship if left out.

    Raises:
        ConfigError: for unknown kinds, repeated names, and kinds of which the window does not fit a day; all at once.
    """
    problems = repeated_names(tuple(names), "appliance")
    problems += [
        f"{name}: kind is '{kind}'{did_you_mean(kind, catalogue)}"
        for name, kind in zip(names, kinds, strict=True)
        if kind not in catalogue
    ]
    if not names:
        problems.append("appliances: there are 0 names; allowed: 1 or more; name them or leave the group out")
    if seed < 0:
        problems.append(f"appliances: seed is {seed}; allowed: 0 or more; choose another")
    used = sorted(set(kinds) & set(catalogue))
    raise_collected(problems + [p for k in used for p in _kind_problems(k, catalogue[k])], ConfigError)
    columns = [
        _draw(catalogue[kind], np.random.default_rng([seed, zlib.crc32(name.encode())]))
        for name, kind in zip(names, kinds, strict=True)
    ]
    earliest, latest, present = (np.stack(table, axis=1) for table in zip(*columns, strict=True))
    program = np.array([used.index(k) for k in kinds], np.int32)
    return ApplianceRuns(
        earliest_step=earliest,
        latest_start_step=latest,
        program=np.broadcast_to(program, earliest.shape),
        is_present=present,
        programs_kw=tuple(np.array(catalogue[k].program_kw) for k in used),
    )


def run_problems(names: Sequence[str], runs: ApplianceRuns) -> list[str]:
    """What is wrong with a table of runs, a message for the first bad day of each appliance and field."""
    shape = (DAYS_IN_YEAR, len(names))
    tables = ("earliest_step", "latest_start_step", "program", "is_present")
    bad_shapes = [
        f"appliance runs: {t} has shape {getattr(runs, t).shape}; allowed: {shape}, a row a day and a column an "
        "appliance; correct it"
        for t in tables
        if getattr(runs, t).shape != shape
    ]
    bad_programs = [
        f"appliance runs: program {i} is {p}; allowed: 1..{STEPS_PER_DAY} powers in kW, each >= 0; correct it"
        for i, p in enumerate(runs.programs_kw)
        if not (p.ndim == 1 and 1 <= len(p) <= STEPS_PER_DAY and np.all(np.isfinite(p)) and np.all(p >= 0))
    ]
    if not runs.programs_kw:
        bad_programs = ["appliance runs: there are 0 programs; allowed: 1 or more; give programs_kw"]
    if bad_shapes or bad_programs:
        return bad_shapes + bad_programs
    last = len(runs.programs_kw) - 1
    found = _range_problems(names, runs, "program", 0, np.full(shape, last), f"0..{last}")
    if found:
        return found
    found = _range_problems(names, runs, "earliest_step", 0, runs.latest_start_step, "0..latest_start_step")
    latest = STEPS_PER_DAY - runs.duration_steps
    return found + _range_problems(names, runs, "latest_start_step", 0, latest, f"0..{STEPS_PER_DAY} less the duration")


def _range_problems(
    names: Sequence[str], runs: ApplianceRuns, field: str, low: int, high: np.ndarray, allowed: str
) -> list[str]:
    values = getattr(runs, field)
    is_bad = runs.is_present & ((values < low) | (values > high))
    first = np.argmax(is_bad, axis=0)
    return [
        f"{name}: {field} on day {first[i]} is {values[first[i], i]}; allowed: {allowed}; correct it or drop the run"
        for i, name in enumerate(names)
        if is_bad[first[i], i]
    ]


def _kind_problems(name: str, kind: ApplianceKind) -> list[str]:
    found = []
    if not 0 <= kind.runs_per_year <= DAYS_IN_YEAR:
        found.append(f"kind '{name}': runs_per_year is {kind.runs_per_year:g}; allowed: 0..{DAYS_IN_YEAR}; correct it")
    for field, (low, high) in (("loaded_h", kind.loaded_h), ("slack_h", kind.slack_h)):
        if not 0 <= low <= high:
            found.append(f"kind '{name}': {field} is {low:g}..{high:g}; allowed: 0 <= first <= second; correct it")
    end_step = round(kind.loaded_h[1] * STEPS_PER_HOUR) + len(kind.program_kw)
    if end_step > STEPS_PER_DAY:
        found.append(
            f"kind '{name}': loaded at {kind.loaded_h[1]:g} h it ends in step {end_step}; allowed: at most "
            f"{STEPS_PER_DAY}, the end of the day; load earlier or shorten the program"
        )
    return found


def _draw(kind: ApplianceKind, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    loaded, slack = (
        np.round(random.uniform(*hours, DAYS_IN_YEAR) * STEPS_PER_HOUR).astype(np.int32)
        for hours in (kind.loaded_h, kind.slack_h)
    )
    is_present = random.random(DAYS_IN_YEAR) < kind.runs_per_year / DAYS_IN_YEAR
    return loaded, np.minimum(loaded + slack, STEPS_PER_DAY - len(kind.program_kw)), is_present
