"""What there is to choose from, by kind."""

from collections.abc import Iterator

from agents.registry import AGENTS
from experiments.config import EXPERIMENTS
from experiments.sweep.config import SWEEPS
from gridenv.core.config import SUFFIX, names_in
from gridenv.tasks.registry import TASKS


def entries(kind: str) -> Iterator[tuple[str, str]]:
    """Names and one-line summaries of `networks`, `tasks`, `agents`, `experiments` or `sweeps`."""
    if kind == "networks":
        from gridenv.network.catalog import list_networks

        yield from list_networks().items()
    elif kind == "tasks":
        yield from ((name, entry.summary) for name, entry in TASKS.items())
    elif kind == "agents":
        yield from ((name, entry.summary) for name, entry in AGENTS.items())
    else:
        folder = EXPERIMENTS if kind == "experiments" else SWEEPS
        for name in names_in(folder):
            first = (folder / f"{name}{SUFFIX}").read_text(encoding="utf-8").partition("\n")[0]
            yield name, first.removeprefix("#").strip() if first.startswith("#") else ""
