"""What comparisons found: their files are read, checked and put together task by task.

Results of different days, machines and tasks are merged from these files, without their runs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from experiments.run import write_json
from experiments.statistics import ORACLE, RULE
from experiments.stored import RESULTS_FILE, StoredComparison, StoredController, StoredEntry, StoredEvaluation
from gridenv.core.config import display_path
from gridenv.core.errors import RunError

_REFERENCES = ("none", RULE, "mpc", ORACLE)
"""Order in tables and figures; others follow."""
_TOLERANCE = 0.01
"""References of one task may differ by this share of what there is to gain: processors add up in another order."""


@dataclass
class TaskResults:
    """All that was measured on one task, with the same references on the same days."""

    entries: list[StoredEntry] = field(default_factory=list)
    source: str = ""
    """File of the first entry."""
    is_variant: bool = False
    """Whether another form of the task, with other settings, stands before it."""

    @property
    def first(self) -> StoredEntry:
        """Says which task and days it is about."""
        return self.entries[0]

    @property
    def title(self) -> str:
        """The task; with the experiment where the task has other settings elsewhere."""
        task = self.first.evaluation.task
        return f"{task} ({self.first.experiment})" if self.is_variant else task

    @cached_property
    def references(self) -> dict[str, StoredController]:
        """Every reference once, with its values of single episodes."""
        found: dict[str, StoredController] = {}
        for entry in self.entries:
            for name, controller in entry.references.items():
                if name not in found or found[name].per_episode is None:
                    found[name] = controller
        return found

    @property
    def has_score(self) -> bool:
        """Whether both ends of the scale of scores are there."""
        return RULE in self.references and ORACLE in self.references

    def rows(self) -> Iterator[tuple[str, StoredController, StoredEntry | None]]:
        """Controllers by name, references first; of two experiments with one agent each has its own name."""
        for name in sorted(self.references, key=_place_of):
            controller = self.references[name]
            yield name, controller, None
        agents = [entry.agent for entry in self.entries]
        for entry in self.entries:
            name = entry.agent if agents.count(entry.agent) == 1 else f"{entry.agent} ({entry.experiment})"
            yield name, entry.trained, entry


@dataclass(frozen=True)
class Study:
    """Results of one or more comparisons, task by task."""

    names: tuple[str, ...]
    """Of the comparisons."""
    tasks: tuple[TaskResults, ...]

    @property
    def entries(self) -> list[StoredEntry]:
        """All trained agents."""
        return [entry for task in self.tasks for entry in task.entries]


def _place_of(reference: str) -> int:
    return _REFERENCES.index(reference) if reference in _REFERENCES else len(_REFERENCES)


def is_comparison(path: Path) -> bool:
    """Whether it is the folder of a comparison, or is named as the file of its results."""
    return (path / RESULTS_FILE).is_file() or path.suffix == ".json"


def read_study(paths: Sequence[Path]) -> Study:
    """Results of comparisons, merged.

    Args:
        paths: folders of comparisons, or JSON files.

    Raises:
        RunError: if a file is missing, damaged or of another version, an experiment stands in two of them, or their
            results are not of the same episodes or against the same references.
    """
    files = [path / RESULTS_FILE if path.is_dir() else path for path in paths]
    read = {display_path(file): _read(file) for file in files}
    _check_mergeable(read)
    tasks: list[TaskResults] = []
    for source, comparison in read.items():
        for entry in comparison.entries:
            _place(entry, source, tasks)
    # A file of a task names all that it was merged from.
    names = dict.fromkeys(name for c in read.values() for name in c.comparison.split(", "))
    return Study(tuple(names), tuple(tasks))


def _read(file: Path) -> StoredComparison:
    name = f"comparison '{display_path(file)}'"
    try:
        found = StoredComparison.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        raise RunError(f"{name}: no such file; name the folder of a comparison or its {RESULTS_FILE}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise RunError(
            f"{name}: {where}: {first['msg'].lower()}; it is damaged or of another version; run `gridenv compare` "
            "again, which takes finished runs as they are"
        ) from None
    if not found.entries:
        raise RunError(f"{name}: has no entries; allowed: at least one experiment; run `gridenv compare` again")
    return found


def _check_mergeable(read: dict[str, StoredComparison]) -> None:
    """Refuse results that do not belong in one table."""
    seen: dict[str, str] = {}
    first_source, first = next(iter(read.items()))
    days = first.entries[0].evaluation
    for source, comparison in read.items():
        for entry in comparison.entries:
            if entry.experiment in seen:
                raise RunError(
                    f"comparisons: experiment '{entry.experiment}' is in '{seen[entry.experiment]}' and in '{source}'; "
                    "allowed: once; leave one out"
                )
            if entry.evaluation.split != days.split:
                raise RunError(_other_episodes(entry, source, days, first_source))
        seen |= {entry.experiment: source for entry in comparison.entries}


def _other_episodes(entry: StoredEntry, source: str, days: StoredEvaluation, first_source: str) -> str:
    return (
        f"comparisons: '{source}' ({entry.experiment}) is of {_days(entry.evaluation)}, '{first_source}' of "
        f"{_days(days)}; only results of the same episodes can be merged; run `gridenv compare` again"
    )


def _days(evaluation: StoredEvaluation) -> str:
    return f"{evaluation.episodes} {evaluation.split} episodes with hash {evaluation.episodes_hash[:8]}"


def _place(entry: StoredEntry, source: str, tasks: list[TaskResults]) -> None:
    """Add an entry to the results of its task, or begin them; forms of a task stand apart within one file only."""
    same = [task for task in tasks if task.first.evaluation.task == entry.evaluation.task]
    problems = [_unlike(task, entry, source) for task in same]
    for task, problem in zip(same, problems, strict=True):
        if problem is None:
            task.entries.append(entry)
            return
    for task, problem in zip(same, problems, strict=True):
        if task.source != source:
            raise RunError(problem)
    tasks.append(TaskResults([entry], source, bool(same)))


def _unlike(task: TaskResults, entry: StoredEntry, source: str) -> str | None:
    """Why an entry does not belong to the results of a task."""
    if task.first.evaluation.episodes_hash != entry.evaluation.episodes_hash:
        return _other_episodes(entry, source, task.first.evaluation, task.source)
    differing = _differing_reference(task, entry)
    if differing is None:
        return None
    name, (ours, theirs) = differing
    return (
        f"comparisons: reference '{name}' earns {ours:,.4f} EUR on {entry.evaluation.task} in '{source}' "
        f"({entry.experiment}) and {theirs:,.4f} EUR in '{task.source}'; only results against the same "
        "references can be merged; run `gridenv compare` again with one version and the same task"
    )


def _differing_reference(task: TaskResults, entry: StoredEntry) -> tuple[str, tuple[float, float]] | None:
    """A reference that earned something else, and what it earned in the entry and in the task so far."""
    pairs = {
        name: (c.return_eur.mean, task.first.references[name].return_eur.mean)
        for name, c in entry.references.items()
        if name in task.first.references
    }
    ends = [theirs for _, theirs in pairs.values()]
    span = max(ends) - min(ends) if len(ends) > 1 else max((abs(e) for e in ends), default=0.0)
    return next(((n, (a, b)) for n, (a, b) in pairs.items() if abs(a - b) > _TOLERANCE * span), None)


def write_by_task(study: Study, folder: Path) -> list[Path]:
    """Write `<task>.json` of every task with all its forms, from which `read_study` reads the same."""
    folder.mkdir(parents=True, exist_ok=True)
    entries: dict[str, list[dict[str, Any]]] = {}
    for form in study.tasks:
        dumped = [entry.model_dump(mode="json") for entry in form.entries]
        entries.setdefault(form.first.evaluation.task, []).extend(without_repeated_episodes(dumped))
    for task, found in entries.items():
        write_json(folder / f"{task}.json", {"comparison": ", ".join(study.names), "entries": found})
    return [folder / f"{task}.json" for task in entries]


def without_repeated_episodes(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Entries of `comparison.json` in which values of single episodes of a reference stand once a task."""
    kept: list[tuple[str, str, Any]] = []
    for entry in entries:
        evaluation = entry["evaluation"]
        for name, controller in evaluation["controllers"].items():
            values = (evaluation["task"], name, controller.get("per_episode"))
            if name != evaluation["agent"] and values in kept:
                controller["per_episode"] = None
            else:
                kept.append(values)
    return entries
