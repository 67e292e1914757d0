"""What there is to choose from, by kind."""

from collections.abc import Iterator

from agents.registry import AGENTS
from experiments.comparison_config import COMPARISONS
from experiments.config import CONFIG_FOLDER, EXPERIMENTS
from experiments.forecast_config import FORECASTS
from experiments.sweep.config import SWEEPS
from gridenv.core.config import SUFFIX, names_in
from gridenv.tasks.registry import TASKS

FOLDERS = {
    "experiments": EXPERIMENTS,
    "sweeps": SWEEPS,
    "comparisons": COMPARISONS,
    "forecasts": FORECASTS,
    "rigs": CONFIG_FOLDER / "rig",
}
"""Where the files of a kind are; the first line of each says what it is."""


def entries(kind: str) -> Iterator[tuple[str, str]]:
    """Names and one-line summaries of `networks`, `tasks`, `agents` or a kind of `FOLDERS`."""
    if kind == "networks":
        from gridenv.network.catalog import list_networks

        yield from list_networks().items()
    elif kind == "tasks":
        yield from ((name, entry.summary) for name, entry in TASKS.items())
    elif kind == "agents":
        yield from ((name, entry.summary) for name, entry in AGENTS.items())
    else:
        folder = FOLDERS[kind]
        for name in names_in(folder):
            first = (folder / f"{name}{SUFFIX}").read_text(encoding="utf-8").partition("\n")[0]
            yield name, first.removeprefix("#").strip() if first.startswith("#") else ""
