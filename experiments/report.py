"""One page about an evaluation: numbers, figures, and how to get them again. The page needs nothing but itself."""

import json
import shlex
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from string import Template

import numpy as np

from experiments import plots, report_parts, selection
from experiments.dates import date_of
from experiments.evaluate import Evaluation
from experiments.layout import Diagram, arrange
from experiments.references import reference_results
from experiments.run import REPORT_FILE, write_atomically
from experiments.selection import Side
from experiments.style import label, to_data_uri
from experiments.summary import Summary
from experiments.train import build_split
from gridenv.core.config import display_path, to_yaml
from gridenv.network import load_balanced

_TEMPLATE = Path(__file__).with_name("report.html")
_SIDE_TEXT = {Side.UNDER: "undervoltage", Side.OVER: "overvoltage"}


def write(evaluation: Evaluation, summary: Summary, folder: Path) -> Path:
    """Write `report.html` about an evaluation into a folder.

    Returns:
        The file.
    """
    path = folder / REPORT_FILE
    write_atomically(path, page(evaluation, summary))
    return path


def page(evaluation: Evaluation, summary: Summary) -> str:
    """The report as HTML; every figure is inside it."""
    runs = evaluation.runs
    config = runs[0].config
    results = selection.shown_controllers(evaluation, ("none", "rule", evaluation.agent_name, "oracle"))
    return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=escape(f"{config.name}: {summary.agent}"),
        heading=escape(f"{label(summary.agent)} on {summary.task}"),
        subtitle=escape(report_parts.subtitle(summary)),
        warnings="".join(f'<p class="warning">{escape(text)}</p>' for text in summary.warnings),
        cards=report_parts.cards(summary),
        score_note=escape(report_parts.score_note(summary)),
        split=escape(summary.split),
        table=report_parts.controller_table(summary),
        table_note=escape(report_parts.table_note(summary)),
        learning=_learning(evaluation),
        days=_days(evaluation, results),
        weeks=_weeks(evaluation, results),
        grids=_grids(evaluation, results),
        commands=escape(_commands(evaluation)),
        runs=report_parts.run_table(runs),
        configuration=escape(to_yaml({k: v for k, v in config.to_values().items() if k != "seed"})),
        versions=escape(json.dumps(runs[0].versions, indent=2)),
    )


def _learning(evaluation: Evaluation) -> str:
    config = evaluation.runs[0].config
    split = config.run.evaluation.training_split
    steps = evaluation.params.steps_per_episode
    curves = [selection.curve_of(run, split, steps) for run in evaluation.runs]
    references = reference_results(config.task, split, list(evaluation.references), *build_split(config, split))
    means = {name: float(r.return_eur.mean()) for name, r in references.items()}
    figure = plots.learning_curve(curves, means, evaluation.agent_name, split)
    each = ", one line a seed" if len(curves) > 1 else ""
    below = f" Without control: {report_parts.number(means['none'], 0)} EUR." if "none" in means else ""
    return _figure(
        to_data_uri(figure),
        f"Return over the training{each}. Dashed: references on the same {split} days.{below}",
    )


def _days(evaluation: Evaluation, results: dict[str, selection.EpisodeResults]) -> str:
    days = [selection.worst_day(evaluation, name, r) for name, r in results.items()]
    return _figure(
        to_data_uri(plots.worst_days(days)),
        "From the lowest to the highest bus voltage through the day with the most voltage violation of each "
        f"controller; shaded: the band of 0.95 to 1.05 pu.{_seed_note(evaluation)}",
    )


def _weeks(evaluation: Evaluation, results: dict[str, selection.EpisodeResults]) -> str:
    diagram, index = _diagram(evaluation)
    shown = {name: r for name, r in results.items() if name != "oracle"}
    first = next(iter(shown.values()))

    def figure(side: Side) -> str:
        episodes = selection.worst_week(first, side)
        panels = {name: selection.joined(r, episodes)[:, index] for name, r in shown.items()}
        date = date_of(int(first.start[episodes[0]]))
        image = to_data_uri(plots.week(panels, date, diagram.buses_in_order))
        return _figure(
            image,
            f"The {len(episodes)} days with the most {_SIDE_TEXT[side]} {_under(next(iter(shown)))}. "
            "Buses follow the main feeder, then its laterals. Strong blue: below 0.95 pu; strong red: above 1.05 pu."
            f"{_seed_note(evaluation)}",
        )

    return _for_sides(first, figure)


def _grids(evaluation: Evaluation, results: dict[str, selection.EpisodeResults]) -> str:
    diagram, _ = _diagram(evaluation)
    buses = evaluation.env.task.bus_names
    shown = {name: r for name, r in results.items() if name != "oracle"}
    first = next(iter(shown.values()))

    def figure(side: Side) -> str:
        episode, step = selection.worst_moment(first, side)
        panels = {name: r.v_pu[episode, step] for name, r in shown.items()}
        image = to_data_uri(plots.one_line(panels, diagram, buses, _sites(evaluation)))
        date = date_of(int(first.start[episode]) + step)
        return _figure(
            image,
            f"{date:%A} {date.day} {date:%B, %H:%M}: the moment with the most {_SIDE_TEXT[side]} "
            f"{_under(next(iter(shown)))}. Diamonds: buses with a controlled inverter; bar at the left: substation."
            f"{_seed_note(evaluation)}",
        )

    return _for_sides(first, figure)


def _for_sides(results: selection.EpisodeResults, figure: Callable[[Side], str]) -> str:
    """A figure for each limit of the band that is broken; for the lower one if none is."""
    broken = [side for side in Side if selection.beyond_pu(results.v_pu, side).any()]
    return "".join(figure(side) for side in broken or [Side.UNDER])


def _figure(image: str, caption: str) -> str:
    text = escape(caption)
    return f'<figure><img src="{image}" alt="{text}"><figcaption>{text}</figcaption></figure>'


def _diagram(evaluation: Evaluation) -> tuple[Diagram, Sequence[int]]:
    """The network drawn, and the place of its buses among the task's buses."""
    diagram = arrange(load_balanced(evaluation.runs[0].config.task.network))  # type: ignore[attr-defined]
    names = list(evaluation.env.task.bus_names)
    return diagram, np.array([names.index(bus) for bus in diagram.buses_in_order])  # type: ignore[return-value]


def _sites(evaluation: Evaluation) -> list[str]:
    """Buses of the controlled devices, from the sources of the action channels (`pv.18` is at bus 18)."""
    buses = set(evaluation.env.task.bus_names)
    sources = [channel.source.partition(".")[2] for channel in evaluation.env.task.action]
    return [bus for bus in dict.fromkeys(sources) if bus in buses]


def _under(name: str) -> str:
    return "without control" if name == "none" else f"under the {label(name)}"


def _seed_note(evaluation: Evaluation) -> str:
    if len(evaluation.seeds) == 1:
        return ""
    return f" {label(evaluation.agent_name)}: seed {selection.middle_seed(evaluation)}, the median of the seeds."


def _commands(evaluation: Evaluation) -> str:
    runs = evaluation.runs
    trainings = [f"gridenv train experiment={shlex.quote(display_path(run.folder / 'config.yaml'))}" for run in runs]
    folders = " ".join(shlex.quote(str(run)) for run in runs)
    return "\n".join([*trainings, f"gridenv report {folders}   # or the folders of the new runs"])
