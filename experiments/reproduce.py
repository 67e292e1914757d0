"""Doing a run again from its recorded configuration, and comparing everything that was measured."""

import itertools
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agents import registry as agent_registry
from experiments import console, provenance
from experiments.config import ExperimentConfig, WandbConfig
from experiments.results import EVALUATION_FILE, evaluate_runs
from experiments.run import TIME_FIELDS, Row, Run, create_run, open_run
from experiments.train import Trainer
from gridenv.core.errors import ConfigError, RunError

_SHOWN = 8
"""Differences that are printed of each kind; the rest is counted."""
_MOST_CHARACTERS = 64
"""Of a value that is printed; a SHA-256 has as many."""
_NOT_COMPARED = ("run_id", "created_utc", "command")
"""Entries of `versions.json` that differ between two identical runs."""
_ABSENT = "absent"


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One value that is not what was recorded."""

    name: str
    recorded: Any
    again: Any
    further: int = 0
    """Values of the same list that differ besides."""

    def __str__(self) -> str:
        more = f", and {self.further} more of this list" if self.further else ""
        return f"{self.name}: recorded {_text(self.recorded)}, again {_text(self.again)}{_relative(self)}{more}"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A run beside its repetition."""

    run: Run
    again: Run
    updates: int
    """Rows compared."""
    metrics: int
    """Metrics in them, those that time decides left out."""
    differing_updates: int
    first_update: int
    """First update that differs; 0 without any."""
    rows: tuple[Difference, ...]
    """Differences in that update."""
    evaluation: tuple[Difference, ...] | None
    """Differences in `evaluation.json`; None where the run has none."""
    versions: tuple[Difference, ...]
    """What the two runs were made with, where it differs."""

    @property
    def is_identical(self) -> bool:
        """Whether every number is the same."""
        return not self.rows and not self.evaluation

    def lines(self) -> list[str]:
        """The verdict, the differences and what may explain them."""
        kept = "" if self.evaluation is None else f", {EVALUATION_FILE}"
        if self.is_identical:
            lines = [f"identical: {self.updates} updates of {self.metrics} metrics{kept} ({self.again})"]
        else:
            lines = [f"differs: {self.differing_updates} of {self.updates} updates ({self.again})"]
        if self.rows:
            lines += _listed(f"first at update {self.first_update}:", self.rows)
        if self.evaluation:
            lines += _listed(f"{EVALUATION_FILE}:", self.evaluation)
        if self.versions:
            lines += _listed("made with:", self.versions)
        elif not self.is_identical:
            lines.append("  versions, platform, commit and data are the same; the program itself is not deterministic")
        return lines


def reproduce(path: Path, runs_folder: Path) -> Comparison:
    """Train a run again for as many updates as it has, evaluate it as it was evaluated, and compare.

    Args:
        path: folder of the run.
        runs_folder: where the new run is put.

    Raises:
        RunError: if it is no run, has no metrics, or its configuration is one of another version.
        TrainingStoppedError: on Ctrl-C or SIGTERM.
    """
    run = open_run(path)
    rows = run.metrics()
    if not rows:
        raise RunError(f"run '{run}': has no metrics yet; allowed: at least one update; train it first")
    config = _readable_config(run)
    if run.versions.get("data_hash") != provenance.data_hash():
        console.say(
            f"warning: run '{run}' was made with other data ({_short(run.versions.get('data_hash'))}, here "
            f"{_short(provenance.data_hash())}); expect differences"
        )
    again = _train_again(config, run, len(rows), runs_folder)
    return _compare(run, again, rows, _evaluation(run, again))


def _readable_config(run: Run) -> ExperimentConfig:
    try:
        return run.config
    except ConfigError as error:
        first, *others = str(error).splitlines()
        more = f" (and {len(others)} more)" if others else ""
        made = run.versions.get("packages", {}).get("gridenv")
        commit = (run.versions.get("git") or {}).get("commit")
        raise RunError(
            f"run '{run}': its configuration is not one of this version: {first}{more}; it was made with gridenv "
            f"{made}, commit {_short(commit)}; use that version"
        ) from error


def _train_again(config: ExperimentConfig, run: Run, updates: int, runs_folder: Path) -> Run:
    """The new run; seeds that were trained side by side in one program are so again."""
    seeds = run.versions.get("seeds_together") or [run.seed]
    settings = config.run.model_copy(update={"seeds": tuple(seeds), "wandb": WandbConfig(mode="disabled")})
    whole = config.model_copy(update={"run": settings})
    with Trainer(whole) as trainer:
        group = [trainer.begin(create_run(whole, seed, runs_folder)) for seed in seeds]
        trainer.train(group, updates)
    return group[seeds.index(run.seed)].run


def _evaluation(run: Run, again: Run) -> tuple[Difference, ...] | None:
    if not (run.folder / EVALUATION_FILE).is_file():
        return None
    recorded = _read(run)
    against = [name for name in recorded["controllers"] if name in agent_registry.REFERENCES]
    evaluate_runs([again.folder], recorded["split"], against)
    return tuple(_of_recorded(differences(recorded, _read(again))))


def _of_recorded(found: Iterable[Difference]) -> Iterator[Difference]:
    """Without what the recorded evaluation does not have: a later version keeps more of the same results."""
    return (each for each in found if each.recorded != _ABSENT)


def _read(run: Run) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((run.folder / EVALUATION_FILE).read_text(encoding="utf-8"))
    return loaded


def _compare(run: Run, again: Run, rows: Sequence[Row], evaluation: tuple[Difference, ...] | None) -> Comparison:
    empty: Row = {}
    pairs = itertools.zip_longest(map(_measured, rows), map(_measured, again.metrics()), fillvalue=empty)
    differing = [(row or new, found) for row, new in pairs if (found := tuple(differences(row, new)))]
    return Comparison(
        run=run,
        again=again,
        updates=len(rows),
        metrics=len({name for row in rows for name in _measured(row)} - {"update", "steps"}),
        differing_updates=len(differing),
        first_update=differing[0][0]["update"] if differing else 0,
        rows=differing[0][1] if differing else (),
        evaluation=evaluation,
        versions=tuple(differences(_compared(run), _compared(again))),
    )


def _measured(row: Row) -> Row:
    return {name: value for name, value in row.items() if name not in TIME_FIELDS}


def _compared(run: Run) -> dict[str, Any]:
    return {name: value for name, value in run.versions.items() if name not in _NOT_COMPARED}


def differences(recorded: Any, again: Any, name: str = "") -> Iterator[Difference]:
    """Values that differ, each with its dotted name, and of a list the first; two NaN are equal."""
    if isinstance(recorded, Mapping) and isinstance(again, Mapping):
        for key in dict.fromkeys([*recorded, *again]):
            inner = f"{name}.{key}" if name else str(key)
            yield from differences(recorded.get(key, _ABSENT), again.get(key, _ABSENT), inner)
    elif isinstance(recorded, list) and isinstance(again, list) and len(recorded) == len(again):
        pairs = enumerate(zip(recorded, again, strict=True))
        found = [each for i, pair in pairs for each in itertools.islice(differences(*pair, f"{name}[{i}]"), 1)]
        if found:
            yield replace(found[0], further=len(found) - 1)
    elif recorded != again and not (_is_nan(recorded) and _is_nan(again)):
        yield Difference(name=name, recorded=recorded, again=again)


def _listed(title: str, found: Sequence[Difference]) -> list[str]:
    rest = len(found) - _SHOWN
    return [f"  {title}", *(f"    {each}" for each in found[:_SHOWN]), *([f"    and {rest} more"] if rest > 0 else [])]


def _relative(found: Difference) -> str:
    numbers = (found.recorded, found.again)
    if not all(isinstance(n, float) and math.isfinite(n) for n in numbers):
        return ""
    largest = max(abs(n) for n in numbers)
    return f" (relative {abs(found.again - found.recorded) / largest:.1e})"


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}..."


def _short(value: str | None) -> str:
    return value[:8] if value else "unknown"


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)
