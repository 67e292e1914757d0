"""Demand-response events: notice, window, target and money, as series of the scenario; imports no JAX."""

import csv
import io
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, time, timedelta
from pathlib import Path

import numpy as np
from jaxtyping import Float

from gridenv.core.errors import ConfigError, DataError, raise_collected
from gridenv.exogenous.dr_baseline import CAISO_10_OF_10, BaselineMethod, baseline_kw, like_days, method_problems
from gridenv.exogenous.timebase import DAYS_IN_YEAR, N_STEPS, STEP_S, STEPS_PER_DAY, STEPS_PER_HOUR, YEAR_START

DR_NAMES = (
    "dr.active",
    "dr.target_kw",
    "dr.payment_eur_kwh",
    "dr.penalty_eur_kwh",
    "dr.hours_to_event",
    "dr.baseline_kw",
)
"""Columns of `event_columns`, in order."""
NONE_KNOWN_H = 24.0
"""`dr.hours_to_event` where no event is known, and the most that it says."""
_NUMBERS = ("notice_h", "target_kw", "target_share", "payment_eur_kwh", "penalty_eur_kwh")
_COLUMNS = ("date", "start", "end", *_NUMBERS)
_FRIDAY = 4
_STEP = timedelta(seconds=STEP_S)
_END_OF_DAY = "24:00"


@dataclass(frozen=True, kw_only=True)
class DrEvent:
    """A call to reduce demand; the window lies within a day."""

    start_step: int
    """First step of the event, from the start of the scenario year."""
    end_step: int
    """Step after its last."""
    notice_h: float
    """Hours before the start at which it becomes known."""
    target_kw: float | None = None
    """Reduction asked for; either this or `target_share`."""
    target_share: float | None = None
    """Reduction asked for as a share of the baseline of the step."""
    payment_eur_kwh: float
    """For each kWh delivered."""
    penalty_eur_kwh: float = 0.0
    """For each kWh missing to the target."""

    @property
    def day(self) -> int:
        """Day of the scenario year; 0 is the first."""
        return self.start_step // STEPS_PER_DAY

    @property
    def label(self) -> str:
        """Date and window, for messages."""
        return f"event {_date_of(self.day)} {_clock(self.start_step, self.day)}-{_clock(self.end_step, self.day)}"


def generate_events(
    seed: int,
    *,
    n_events: int = 20,
    months: Sequence[int] = (1, 2, 11, 12),
    start_h: Sequence[int] = (16, 17, 18),
    duration_h: Sequence[int] = (1, 2, 3),
    notice_h: Sequence[float] = (2.0, 21.0),
    target_share: float = 0.2,
    payment_eur_kwh: float = 0.50,
    penalty_eur_kwh: float = 0.10,
    first_day: int = 14,
) -> tuple[DrEvent, ...]:
    """Events on weekday evenings of the cold months, at most one a day, in order of time.

    Args:
        seed: 0 or more; the same seed gives the same events.
        n_events: number in the year.
        months: 1 = January.
        start_h: hours at which an event may begin.
        duration_h: lengths that it may have.
        notice_h: notices that it may have.
        target_share: reduction asked for, share of the baseline.
        payment_eur_kwh: for each kWh delivered.
        penalty_eur_kwh: for each kWh missing.
        first_day: first day with an event; two weeks give the baseline its earlier days.

    Source: windows, notice of 21 h and payment of 0.50 a kWh after the Commercial System Relief Program of New York
    State Electric & Gas, weekdays 14:00-18:00. Assumed: shifted to the winter evening peak of the shipped profiles; a
    short notice beside the long one; number of events; penalty, so that ignoring an event costs something; EUR = USD.

    Raises:
        ConfigError: for a seed below 0, empty choices, or more events than there are days for them.
    """
    choices = {"months": months, "start_h": start_h, "duration_h": duration_h, "notice_h": notice_h}
    problems = [
        f"events: {k} is empty; allowed: one choice or more; give one" for k, v in choices.items() if len(v) == 0
    ]
    days = [
        d
        for d in range(max(first_day, 0), DAYS_IN_YEAR)
        if _date_of(d).month in months and _date_of(d).weekday() <= _FRIDAY
    ]
    if not 0 <= n_events <= len(days):
        problems.append(
            f"events: n_events is {n_events}; allowed: 0..{len(days)}, the weekdays of `months`; choose fewer"
        )
    if seed < 0:
        problems.append(f"events: seed is {seed}; allowed: 0 or more; choose another")
    raise_collected(problems, ConfigError)
    random = np.random.default_rng(seed)
    events = []
    for day in np.sort(random.choice(days, n_events, replace=False)).tolist():
        start, length, notice = (float(random.choice(c)) for c in (start_h, duration_h, notice_h))
        first = day * STEPS_PER_DAY + round(start * STEPS_PER_HOUR)
        event = DrEvent(
            start_step=first,
            end_step=first + round(length * STEPS_PER_HOUR),
            notice_h=notice,
            target_share=target_share,
            payment_eur_kwh=payment_eur_kwh,
            penalty_eur_kwh=penalty_eur_kwh,
        )
        events.append(event)
    raise_collected(event_problems(events), ConfigError)
    return tuple(events)


def event_problems(events: Sequence[DrEvent]) -> list[str]:
    """What is wrong with events: windows, targets, money, overlaps."""
    found = [p for event in events for p in _event_problems(event)]
    ordered = sorted(events, key=lambda e: e.start_step)
    return found + [
        f"{after.label}: begins before {before.label} is over; allowed: one event at a time; move or drop one"
        for before, after in itertools.pairwise(ordered)
        if after.start_step < before.end_step
    ]


def event_columns(
    events: Sequence[DrEvent], demand_kw: Float[np.ndarray, " time"], method: BaselineMethod = CAISO_10_OF_10
) -> dict[str, Float[np.ndarray, " time"]]:
    """The series of a programme for the scenario, float32, by the names of `DR_NAMES`.

    Targets and money are 0 outside of events. `dr.hours_to_event` is what is known at the step: 0 in an event, else
    the hours to the next one whose notice has been given, at most 24, and 24 where none is known. The other columns
    hold events of which no notice has been given yet, so a forecast window over them would tell more than is known.

    Args:
        events: of the year.
        demand_kw: demand of the group without control, consumption positive, [35136].
        method: of the baseline.

    Raises:
        ConfigError: for events that are wrong or have too few like days before them, a method out of range, and demand
            of another length or not finite; all at once.
    """
    problems = event_problems(events) + method_problems(method)
    if demand_kw.shape != (N_STEPS,) or not np.all(np.isfinite(demand_kw)):
        problems.append(
            f"events: demand_kw has shape {demand_kw.shape}; allowed: {N_STEPS} finite numbers, a year of "
            "quarter-hours; correct it"
        )
    event_days = frozenset(e.day for e in events)
    for event in events:
        n_like = len(like_days(event.day, event_days, method))
        if n_like < method.min_days:
            problems.append(
                f"{event.label}: {n_like} like days lie before it; allowed: at least {method.min_days}; move it or "
                "choose another baseline method"
            )
    raise_collected(problems, ConfigError)
    columns = {name: np.zeros(N_STEPS) for name in DR_NAMES}
    columns["dr.hours_to_event"] += NONE_KNOWN_H
    base = baseline_kw(demand_kw, [(e.start_step, e.end_step) for e in events], method)
    columns["dr.baseline_kw"] = base
    for event in events:
        _enter(columns, event, base)
    # In an event it is the event that counts, whatever is announced for later.
    columns["dr.hours_to_event"][columns["dr.active"] > 0] = 0.0
    return {name: values.astype(np.float32) for name, values in columns.items()}


def save_events(events: Sequence[DrEvent], path: str | Path) -> None:
    """Write events to a CSV file that `load_events` reads."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(_COLUMNS)
    for e in events:
        numbers = ["" if getattr(e, field) is None else repr(float(getattr(e, field))) for field in _NUMBERS]
        table.writerow([_date_of(e.day), _clock(e.start_step, e.day), _clock(e.end_step, e.day), *numbers])
    Path(path).write_text(text.getvalue(), encoding="utf-8")


def load_events(path: str | Path) -> tuple[DrEvent, ...]:
    """Events from a CSV file.

    Columns `date,start,end,notice_h,target_kw,target_share,payment_eur_kwh,penalty_eur_kwh`: days of 2016 as
    YYYY-MM-DD, clock times HH:MM at full quarter-hours of a clock that stays at UTC+1 (24:00 ends a day), and either
    `target_kw` or `target_share`, the other one empty.

    Raises:
        DataError: for a missing file, and for all malformed lines and values with their line; also for overlaps.
    """
    file = Path(path)
    if not file.is_file():
        raise DataError(f"{file}: no such file; give a CSV file with the columns {','.join(_COLUMNS)}")
    rows = list(csv.reader(io.StringIO(file.read_text(encoding="utf-8-sig"))))
    if not rows or tuple(rows[0]) != _COLUMNS:
        found = ",".join(rows[0]) if rows else "nothing"
        raise DataError(f"{file}:1: '{found}'; allowed: the header {','.join(_COLUMNS)}; correct it")
    events, problems = [], []
    for line, row in enumerate(rows[1:], start=2):
        event, wrong = _parse(row)
        wrong = wrong or (_event_problems(event) if event else [])
        problems += [f"{file}:{line}: {p}" for p in wrong]
        if event:
            events.append(event)
    overlaps = [] if problems else [f"{file}: {p}" for p in event_problems(events)]
    raise_collected(problems + overlaps, DataError)
    return tuple(events)


def _enter(columns: dict[str, np.ndarray], event: DrEvent, base: np.ndarray) -> None:
    window = slice(event.start_step, event.end_step)
    columns["dr.active"][window] = 1.0
    columns["dr.payment_eur_kwh"][window] = event.payment_eur_kwh
    columns["dr.penalty_eur_kwh"][window] = event.penalty_eur_kwh
    target = np.maximum(base[window], 0.0) * event.target_share if event.target_kw is None else event.target_kw
    columns["dr.target_kw"][window] = target
    known = int(event.notice_h * STEPS_PER_HOUR)
    steps = np.arange(max(event.start_step - known, 0), event.start_step)
    hours = columns["dr.hours_to_event"]
    hours[steps] = np.minimum(hours[steps], (event.start_step - steps) / STEPS_PER_HOUR)


def _event_problems(event: DrEvent) -> list[str]:
    found = []
    if not 0 <= event.start_step < event.end_step <= min((event.day + 1) * STEPS_PER_DAY, N_STEPS):
        found.append(
            f"{event.label}: steps are {event.start_step}..{event.end_step}; allowed: a window of one or more steps "
            "within a day of the scenario year; split or correct it"
        )
    if (event.target_kw is None) == (event.target_share is None):
        state = "empty" if event.target_kw is None else "set"
        found.append(
            f"{event.label}: target_kw and target_share are both {state}; allowed: one of them; drop or add one"
        )
    limits = dict.fromkeys(_NUMBERS, np.inf) | {"target_share": 1.0}
    for field, high in limits.items():
        value = getattr(event, field)
        if value is not None and not (np.isfinite(value) and 0 <= value <= high):
            found.append(f"{event.label}: {field} is {value:g}; allowed: a finite number in 0..{high:g}; correct it")
    return found


def _parse(row: list[str]) -> tuple[DrEvent | None, list[str]]:
    if len(row) != len(_COLUMNS):
        return None, [f"{len(row)} fields; allowed: {len(_COLUMNS)}; write {','.join(_COLUMNS)}"]
    cells = dict(zip(_COLUMNS, (c.strip() for c in row), strict=True))
    found = []
    midnight = _step_of_date(cells["date"])
    if midnight is None:
        found.append(f"date is '{cells['date']}'; allowed: a day of {YEAR_START.year} as YYYY-MM-DD; correct it")
    clocks = [_step_of_clock(cells[field]) for field in ("start", "end")]
    for field, step in zip(("start", "end"), clocks, strict=True):
        if step is None:
            found.append(
                f"{field} is '{cells[field]}'; allowed: HH:MM at a full quarter-hour, 00:00..24:00; correct it"
            )
    numbers: dict[str, float | None] = {}
    for field in _NUMBERS:
        try:
            numbers[field] = float(cells[field]) if cells[field] or not field.startswith("target") else None
        except ValueError:
            found.append(f"{field} is '{cells[field]}'; allowed: a number; correct it")
    if found or midnight is None or clocks[0] is None or clocks[1] is None:
        return None, found
    return DrEvent(start_step=midnight + clocks[0], end_step=midnight + clocks[1], **numbers), []  # type: ignore[arg-type]


def _step_of_date(text: str) -> int | None:
    try:
        day = (date.fromisoformat(text) - YEAR_START.date()).days
    except ValueError:
        return None
    return day * STEPS_PER_DAY if 0 <= day < DAYS_IN_YEAR else None


def _step_of_clock(text: str) -> int | None:
    if text == _END_OF_DAY:
        return STEPS_PER_DAY
    try:
        clock = time.fromisoformat(text)
    except ValueError:
        return None
    steps, rest = divmod(timedelta(hours=clock.hour, minutes=clock.minute), _STEP)
    return steps if not rest and f"{clock:%H:%M}" == text else None


def _date_of(day: int) -> date:
    return YEAR_START.date() + timedelta(days=day)


def _clock(step: int, day: int) -> str:
    hour, rest = divmod((step - day * STEPS_PER_DAY) * _STEP, timedelta(hours=1))
    return f"{hour:02d}:{rest // timedelta(minutes=1):02d}"
