"""Single episodes on a page: choose one, and see what each controller earned and violated."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape
from typing import Any

from experiments.pages.look import Style
from experiments.per_episode import EpisodeValues, Values
from gridenv.exogenous.timebase import STEPS_PER_DAY

_DIGITS = 6
"""More is not shown."""


def day_values(
    starts: Sequence[str],
    steps_per_episode: int,
    controllers: Sequence[tuple[Style, EpisodeValues]],
    first: int | None = None,
) -> dict[str, Any]:
    """What the script of the page needs of a task.

    Args:
        starts: date and time at which each episode begins.
        steps_per_episode: says whether an episode is a day.
        controllers: in the order of the rows.
        first: episode that is chosen at first; the one with the worst mean return if left out.
    """
    costs = dict.fromkeys(name for _, values in controllers for name in values.cost)
    broken = [name for name in costs if any(any(v.cost.get(name, ())) for _, v in controllers)]
    is_day = steps_per_episode == STEPS_PER_DAY
    return {
        "word": "day" if is_day else "episode",
        "dates": [_date(start, is_day=is_day) for start in starts],
        "first": _worst([values.return_eur for _, values in controllers]) if first is None else first,
        "costs": broken,
        "controllers": [_controller(style, values, broken) for style, values in controllers],
    }


def section(group: int, values: Mapping[str, Any], unbroken: Sequence[str] = ()) -> str:
    """Where the script puts the tables of a task.

    Args:
        group: place of `values` among those of the page.
        values: of `day_values`.
        unbroken: costs that are 0 on all days of all controllers.
    """
    word = values["word"]
    never = f" Never broken here: {', '.join(unbroken)}." if unbroken else ""
    noscript = f"Single {word}s are shown with JavaScript, which is switched off."
    note = (
        "Of several seeds the mean; small print: return of the worst and the best seed, voltages the extremes. Costs "
        f"of limits in the units of the task.{never}"
    )
    return "\n".join(
        (
            f'<section class="days" data-group="{group}">',
            f'<noscript><p class="warning">{noscript}</p></noscript>',
            f'<div class="chooser"><label for="day-{group}">Show the {word}</label> <select id="day-{group}"></select>',
            '<button type="button" data-by="-1">previous</button><button type="button" data-by="1">next</button></div>',
            f'<div class="scroll" role="region" tabindex="0" aria-label="One {word}">{_empty_table("polite")}</div>',
            f'<p class="quiet">{escape(note)}</p>',
            f'<div class="scroll tall" role="region" tabindex="0" aria-label="All {word}s">{_empty_table("off")}</div>',
            "</section>",
        )
    )


def _empty_table(live: str) -> str:
    """What the script fills; `polite` where a change is to be read out."""
    return f'<table aria-live="{live}"><caption></caption><thead></thead><tbody></tbody></table>'


def unbroken_costs(controllers: Sequence[EpisodeValues]) -> list[str]:
    """Costs that are 0 in all episodes of all controllers."""
    costs = dict.fromkeys(name for values in controllers for name in values.cost)
    return [name for name in costs if not any(any(values.cost.get(name, ())) for values in controllers)]


def _controller(style: Style, values: EpisodeValues, costs: Sequence[str]) -> dict[str, Any]:
    return {
        "label": style.label,
        "colour": style.variable,
        "return_eur": _short(values.return_eur),
        "economic_eur": _short(values.economic_eur),
        "loss_kwh": _short(values.loss_kwh),
        "v_min_pu": _short(values.v_min_pu),
        "v_max_pu": _short(values.v_max_pu),
        "cost": {name: _short(values.cost[name]) for name in costs if name in values.cost},
        "seeds": {seed: _short(each) for seed, each in values.return_eur_per_seed.items()},
    }


def _worst(returns: Sequence[Values]) -> int:
    """The episode that is worst for all of them together."""
    sums = [sum(value or 0.0 for value in values) for values in zip(*returns, strict=True)]
    return sums.index(min(sums))


def _short(values: Values) -> list[float | None]:
    return [None if value is None else float(f"{value:.{_DIGITS}g}") for value in values]


def _date(start: str, *, is_day: bool) -> str:
    moment = datetime.fromisoformat(start)
    return f"{moment:%a} {moment.day} {moment:%b}" if is_day else f"{moment:%a} {moment.day} {moment:%b %H:%M}"
