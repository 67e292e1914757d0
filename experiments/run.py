"""Run directories: `runs/<experiment>/<UTC time>-seed<N>/`. What is in one is read and written here; no JAX."""

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

from experiments import provenance
from experiments.config import ExperimentConfig, hash_values, read_experiment
from gridenv.core.config import display_path, read_yaml, to_yaml
from gridenv.core.errors import RunError

RUNS_FOLDER = Path("runs")
CONFIG_FILE = "config.yaml"
VERSIONS_FILE = "versions.json"
METRICS_FILE = "metrics.jsonl"
BUNDLE_FOLDER = "bundle"
REPORT_FILE = "report.html"
EVALUATION_PREFIX = "evaluation"
"""Files with results: `evaluation.json` on the final split, `evaluation_<split>.json` on others."""
BUNDLE_FOLDER = "bundle"
TIME_FIELDS = ("time_s", "steps_per_s")
"""Fields of a metrics row that differ between two identical runs."""
_CHECKPOINT_PREFIX = "update-"
_CHECKPOINT_SUFFIX = ".checkpoint"
_KEEP_CHECKPOINTS = 2
_NUMBERS = re.compile(r"\[\n([^\[\]{}\"]*)\n *\]")
"""A list without texts or other lists, over several lines."""
_HEADER = "# Every setting of this run; `gridenv train experiment=<this file>` does it again.\n"

Row = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """One run: one configuration with one seed."""

    folder: Path

    def __str__(self) -> str:
        return display_path(self.folder)

    @property
    def is_recorded(self) -> bool:
        """Whether the folder holds what makes it a run: its configuration and versions."""
        return (self.folder / CONFIG_FILE).is_file() and (self.folder / VERSIONS_FILE).is_file()

    @cached_property
    def config(self) -> ExperimentConfig:
        """The resolved configuration.

        Raises:
            ConfigError: if the file was damaged or is of another version of this software.
        """
        return read_experiment(self.folder / CONFIG_FILE)

    @cached_property
    def config_hash(self) -> str:
        """Hash of what the configuration file says; it outlives settings that later versions add."""
        return hash_values(self.values)

    @cached_property
    def values(self) -> dict[str, Any]:
        """What the configuration file says."""
        return read_yaml(self.folder / CONFIG_FILE).values

    @property
    def seed(self) -> int:
        """Seed of the run."""
        return self.config.seeds[0]

    @property
    def id(self) -> str:
        """Name of the run that stays when its folder is moved."""
        return str(self.versions.get("run_id", self.folder.name))

    @cached_property
    def versions(self) -> dict[str, Any]:
        """Contents of `versions.json`."""
        loaded: dict[str, Any] = json.loads((self.folder / VERSIONS_FILE).read_text(encoding="utf-8"))
        return loaded

    @property
    def identity(self) -> dict[str, Any]:
        """What a checkpoint must belong to."""
        return {"config_hash": self.config_hash, "seed": self.seed}

    @property
    def metrics_path(self) -> Path:
        """File of the metrics, one JSON object a line."""
        return self.folder / METRICS_FILE

    @property
    def bundle_path(self) -> Path:
        """Folder of the policy bundle."""
        return self.folder / BUNDLE_FOLDER

    def checkpoint_path(self, update: int) -> Path:
        """File of the checkpoint after an update."""
        return self.folder / "checkpoints" / f"{_CHECKPOINT_PREFIX}{update:06d}{_CHECKPOINT_SUFFIX}"

    def checkpoints(self) -> list[tuple[int, Path]]:
        """Updates and files of the checkpoints, oldest first."""
        files = (self.folder / "checkpoints").glob(f"{_CHECKPOINT_PREFIX}*{_CHECKPOINT_SUFFIX}")
        return sorted((int(path.stem.removeprefix(_CHECKPOINT_PREFIX)), path) for path in files)

    def last_checkpoint(self) -> tuple[int, Path]:
        """Update and file of the newest checkpoint.

        Raises:
            RunError: if there is none.
        """
        found = self.checkpoints()
        if not found:
            raise RunError(f"run '{self}': has no checkpoint yet; train it, or start it anew")
        return found[-1]

    def drop_old_checkpoints(self) -> None:
        """Delete all but the newest two."""
        for _, path in self.checkpoints()[:-_KEEP_CHECKPOINTS]:
            path.unlink()

    @property
    def is_finished(self) -> bool:
        """Whether the training went through to its last update."""
        found = self.checkpoints()
        return bool(found) and found[-1][0] >= self.config.agent.total_updates  # type: ignore[attr-defined]

    def metrics(self) -> list[Row]:
        """Rows written so far; a last line that was cut off is left out."""
        return self._rows(_whole_lines(self.metrics_path))

    def cut_metrics(self, update: int) -> list[Row]:
        """Remove rows after an update, which a crash left behind the last checkpoint; returns the rows kept.

        Raises:
            RunError: if rows before that update are missing.
        """
        kept = _whole_lines(self.metrics_path)[:update]
        rows = self._rows(kept)
        if [row["update"] for row in rows] != list(range(1, update + 1)):
            raise RunError(
                f"run '{self}': {METRICS_FILE} lacks rows up to update {update} of the checkpoint; start the run anew"
            )
        write_atomically(self.metrics_path, "".join(f"{line}\n" for line in kept))
        return rows

    def _rows(self, lines: Sequence[str]) -> list[Row]:
        rows = []
        for number, line in enumerate(lines, 1):
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError as error:
                raise RunError(
                    f"run '{self}': {METRICS_FILE}:{number} is damaged ({error}); start the run anew"
                ) from error
        return rows


def create_run(config: ExperimentConfig, seed: int, runs_folder: Path) -> Run:
    """A new run directory with its configuration and versions."""
    one = config.with_seed(seed)
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    run = Run(_new_folder(runs_folder / config.name, f"{stamp}-seed{seed}"))
    (run.folder / "checkpoints").mkdir()
    (run.folder / CONFIG_FILE).write_text(_HEADER + to_yaml(one.to_values()), encoding="utf-8")
    write_json(run.folder / VERSIONS_FILE, {"run_id": uuid4().hex[:16], **provenance.describe(config)})
    return run


def open_run(path: Path) -> Run:
    """An existing run directory.

    Raises:
        RunError: if it is not one.
    """
    if Run(path).is_recorded:
        return Run(path)
    if not path.is_dir():
        raise RunError(f"run '{path}': no such folder; `ls {RUNS_FOLDER}/*` shows the runs{_known_runs(path)}")
    raise RunError(f"run '{display_path(path)}': holds no {CONFIG_FILE} and {VERSIONS_FILE}; name a run folder")


def find_runs(paths: Sequence[Path]) -> list[Run]:
    """Finished runs of one configuration, in the order of their seeds.

    Args:
        paths: run folders, or folders of runs (`runs/<experiment>`). Of a folder of runs, those are taken that have the
            configuration of its newest finished run; of several with one seed, the newest.

    Raises:
        RunError: if a path is no run, a run is not finished, or runs named one by one differ in their configuration.
    """
    found = [run for path in paths for run in _runs_at(path)]
    if len({run.config_hash for run in found}) > 1:
        names = ", ".join(f"'{run}' ({run.config_hash[:8]})" for run in found)
        raise RunError(f"runs differ in their configuration: {names}; compare runs that differ in their seed only")
    by_seed = {run.seed: run for run in found}
    return [by_seed[seed] for seed in sorted(by_seed)]


def write_json(path: Path, value: Any) -> None:
    """Write JSON so that the file is either complete or as it was before; lists of numbers stand on one line."""
    text = json.dumps(value, indent=2)
    # Within a text JSON writes an escape for a line end, so that what is matched is no text.
    write_atomically(path, _NUMBERS.sub(lambda found: f"[{' '.join(found[1].split())}]", text) + "\n")


def write_atomically(path: Path, text: str) -> None:
    """Write text so that the file is either complete or as it was before."""
    temporary = path.with_name(f"{path.name}.tmp")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _runs_at(path: Path) -> list[Run]:
    if not path.is_dir() or (path / CONFIG_FILE).is_file():
        run = open_run(path)
        if not run.is_finished:
            raise RunError(f"run '{run}': training is not finished; go on with `gridenv train --resume {run}`")
        return [run]
    runs = [Run(child) for child in sorted(path.iterdir()) if (child / VERSIONS_FILE).is_file()]
    newest = next((run for run in reversed(runs) if run.is_finished), None)
    if newest is None:
        raise RunError(f"folder '{display_path(path)}': holds no finished run; name a run or train one")
    return [run for run in runs if run.config_hash == newest.config_hash and run.is_finished]


def _known_runs(path: Path) -> str:
    siblings = sorted(p.name for p in path.parent.iterdir() if p.is_dir()) if path.parent.is_dir() else []
    return f"; beside it: {', '.join(siblings[-3:])}" if siblings else ""


def _new_folder(parent: Path, name: str) -> Path:
    parent.mkdir(parents=True, exist_ok=True)
    for suffix in ("", *(f"-{n}" for n in range(2, 1000))):
        folder = parent / f"{name}{suffix}"
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder
    raise RunError(f"run '{display_path(parent / name)}': exists many times over; wait a second")


def _whole_lines(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return text[: text.rfind("\n") + 1].splitlines()
