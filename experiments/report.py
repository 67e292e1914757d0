"""One page about an evaluation: numbers, figures, and how to get them again. The page needs nothing but itself."""

import json
import shlex
from collections.abc import Callable, Container, Mapping, Sequence
from html import escape
from pathlib import Path

from experiments import plots, report_parts, selection
from experiments.dates import date_of
from experiments.evaluate import Evaluation
from experiments.layout import Diagram, arrange
from experiments.pages import shell
from experiments.pages.days import day_values, section, unbroken_costs
from experiments.pages.look import label, styles
from experiments.plots import Voltages
from experiments.references import reference_results
from experiments.run import REPORT_FILE, write_atomically
from experiments.selection import Side
from experiments.style import to_data_uri
from experiments.summary import Summary
from experiments.train import build_split
from gridenv.core.config import display_path, to_yaml

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
    first = summary.controllers
    looks = styles([c.name for c in first[1:]], [first[0].name])
    values = [(looks[c.name], c.per_episode) for c in first]
    days = day_values(summary.episode_starts, summary.steps_per_episode, values)
    configuration = to_yaml({k: v for k, v in config.to_values().items() if k != "seed"})
    parts = (
        ("", report_parts.headline(summary)),
        (f"Controllers on the {summary.split} days", report_parts.controller_table(summary, looks)),
        ("Learning", _learning(evaluation)),
        (f"Worst {summary.split} day of each controller", _days(evaluation, results)),
        ("A week, bus by bus", _weeks(evaluation, results)),
        ("The grid at its worst moments", _grids(evaluation, results)),
        ("Single days", section(0, days, unbroken_costs([v for _, v in values]))),
        ("How to reproduce", report_parts.commands(_commands(evaluation))),
        ("Runs and versions", report_parts.origin(runs, configuration, json.dumps(runs[0].versions, indent=2))),
    )
    return shell.page(
        title=f"{label(summary.agent)} on {summary.task}",
        subtitle=escape(report_parts.subtitle(summary)),
        parts=parts,
        days=[days],
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
    names = evaluation.env.task.bus_names
    index = [i for places in _diagram(evaluation)[1].values() for i in places]
    shown = {name: r for name, r in results.items() if name != "oracle"}
    first = next(iter(shown.values()))

    def figure(side: Side) -> str:
        episodes = selection.worst_week(first, side)
        panels = {name: selection.joined(r, episodes)[:, index] for name, r in shown.items()}
        date = date_of(int(first.start[episodes[0]]))
        image = to_data_uri(plots.week(panels, date, [names[i] for i in index]))
        return _figure(
            image,
            f"The {len(episodes)} days with the most {_SIDE_TEXT[side]} {_under(next(iter(shown)))}. "
            "Buses follow the main feeder, then its laterals. Strong blue: below 0.95 pu; strong red: above 1.05 pu."
            f"{_seed_note(evaluation)}",
        )

    return _for_sides(first, figure)


def _grids(evaluation: Evaluation, results: dict[str, selection.EpisodeResults]) -> str:
    diagram, nodes = _diagram(evaluation)
    sites = _sites(evaluation, nodes)
    diamonds = "Diamonds: buses with a controlled unit; bar" if sites else "Bar"
    phases = " Of several phases the one farthest from 1 pu." if any(len(n) > 1 for n in nodes.values()) else ""
    shown = {name: r for name, r in results.items() if name != "oracle"}
    first = next(iter(shown.values()))

    def figure(side: Side) -> str:
        episode, step = selection.worst_moment(first, side)
        panels = {name: _farthest(r.v_pu[episode, step], nodes) for name, r in shown.items()}
        image = to_data_uri(plots.one_line(panels, diagram, sites))
        date = date_of(int(first.start[episode]) + step)
        return _figure(
            image,
            f"{date:%A} {date.day} {date:%B, %H:%M}: the moment with the most {_SIDE_TEXT[side]} "
            f"{_under(next(iter(shown)))}. {diamonds} at the left: substation.{phases}"
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


def _diagram(evaluation: Evaluation) -> tuple[Diagram, dict[str, list[int]]]:
    """The network drawn, and of each bus that is drawn the places of its phases among the nodes of the task."""
    diagram = arrange(evaluation.env.task.power_flow.spec)
    nodes: dict[str, list[int]] = {bus: [] for bus in diagram.buses_in_order}
    for i, name in enumerate(evaluation.env.task.bus_names):
        bus = _bus_of(name, nodes)
        if bus is not None:
            nodes[bus].append(i)
    return diagram, {bus: places for bus, places in nodes.items() if places}


def _bus_of(name: str, buses: Container[str]) -> str | None:
    """The bus of a node: of `611.3` it is `611`, where no bus has that name itself."""
    return next((bus for bus in (name, name.rpartition(".")[0]) if bus in buses), None)


def _farthest(v_pu: Voltages, nodes: Mapping[str, Sequence[int]]) -> dict[str, float]:
    """Voltage of each bus: of its phases the one that is farthest from 1 pu."""
    return {bus: float(max(v_pu[list(places)], key=lambda v: abs(v - 1.0))) for bus, places in nodes.items()}


def _sites(evaluation: Evaluation, buses: Container[str]) -> list[str]:
    """Buses of the controlled units, where the sources of the action channels say them (`pv.18` is at bus 18)."""
    sources = [channel.source.partition(".")[2] for channel in evaluation.env.task.action]
    return list(dict.fromkeys(bus for bus in (_bus_of(source, buses) for source in sources) if bus is not None))


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
