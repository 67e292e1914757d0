"""Folders of sweeps: `runs/sweeps/<name>/<UTC time>/`. What is in one is read and written here; no JAX, no Ray.

`sweep.yaml` is the resolved sweep, `trials.json` all its trials, `<trial>/` holds the run folders of its seeds and, for
each seed, a small file that says how its training ended. Whoever trains or drives holds a lock, so that nothing is
trained twice at a time, also after a crash that left processes behind.
"""

import fcntl
import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from experiments.config import experiment_from
from experiments.run import RUNS_FOLDER, VERSIONS_FILE, Run, create_run, write_atomically, write_json
from experiments.sweep.config import SweepConfig, read_sweep
from experiments.sweep.plan import Trial
from gridenv.core.config import display_path, to_yaml
from gridenv.core.errors import RunError

SWEEPS_FOLDER = "sweeps"
RESULTS_FILE = "sweep.json"
_CONFIG_FILE = "sweep.yaml"
_TRIALS_FILE = "trials.json"
_HEADER = "# Every setting of this sweep; `gridenv sweep sweep=<this file>` does it again.\n"
_RETRY_S = 0.5

Status = Literal["finished", "stopped", "failed", "unfinished"]


@dataclass(frozen=True)
class Job:
    """One training: a trial with one seed."""

    trial: str
    seed: int

    def __str__(self) -> str:
        return f"{self.trial}-seed{self.seed}"


@dataclass(frozen=True)
class Ending:
    """How a training ended."""

    status: Status
    """`stopped`: by the scheduler; `unfinished`: not begun, under way or cut off."""
    error: str = ""


@dataclass(frozen=True)
class SweepFolder:
    """One sweep."""

    folder: Path

    def __str__(self) -> str:
        return display_path(self.folder)

    @cached_property
    def config(self) -> SweepConfig:
        """The resolved sweep.

        Raises:
            ConfigError: if the file was damaged or is of another version of this software.
        """
        return read_sweep(self.folder / _CONFIG_FILE)

    @cached_property
    def trials(self) -> list[Trial]:
        """All trials, in the order in which they begin.

        Raises:
            ConfigError: if one has settings that this version of the software does not know.
        """
        entries = json.loads((self.folder / _TRIALS_FILE).read_text(encoding="utf-8"))
        return [_trial(entry, f"{self}/{_TRIALS_FILE}: {entry['name']}") for entry in entries]

    @property
    def jobs(self) -> list[Job]:
        """All trainings, in the order in which they begin."""
        return [Job(trial.name, seed) for trial in self.trials for seed in self.config.seeds]

    def ending(self, job: Job) -> Ending:
        """How a training ended."""
        path = self._ending_path(job)
        return Ending(**json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else Ending("unfinished")

    def end(self, job: Job, ending: Ending) -> None:
        """Note how a training ended."""
        path = self._ending_path(job)
        path.parent.mkdir(exist_ok=True)
        write_json(path, {"status": ending.status, "error": ending.error})

    def run(self, job: Job) -> Run | None:
        """The run folder of a training; none if it has not begun."""
        found = [folder for folder in self._folders(job) if (folder / VERSIONS_FILE).is_file()]
        return Run(found[0]) if found else None

    def begin_run(self, job: Job) -> Run:
        """The run folder of a training, made if there is none; one that was cut off while it was made is made anew."""
        run = self.run(job)
        if run is not None:
            return run
        for folder in self._folders(job):
            shutil.rmtree(folder)
        (config,) = (trial.config for trial in self.trials if trial.name == job.trial)
        return create_run(config, job.seed, self.folder)

    @contextmanager
    def training(self, job: Job, wait_s: float = 120.0) -> Iterator[None]:
        """Within this context no other process trains the same.

        Raises:
            RunError: if another process still does after `wait_s`.
        """
        (self.folder / job.trial).mkdir(exist_ok=True)
        with _locked(self.folder / job.trial / f"seed{job.seed}.lock", f"training '{self}/{job}'", wait_s):
            yield

    @contextmanager
    def driving(self) -> Iterator[None]:
        """Within this context no other process drives the sweep.

        Raises:
            RunError: if another process does.
        """
        with _locked(self.folder / "sweep.lock", f"sweep '{self}'", 0.0):
            yield

    def _ending_path(self, job: Job) -> Path:
        return self.folder / job.trial / f"seed{job.seed}.json"

    def _folders(self, job: Job) -> list[Path]:
        parent = self.folder / job.trial
        return sorted(p for end in ("", "-*") for p in parent.glob(f"*Z-seed{job.seed}{end}") if p.is_dir())


def create_sweep(config: SweepConfig, trials: list[Trial], runs_folder: Path) -> SweepFolder:
    """The folder of a new sweep."""
    parent = runs_folder / SWEEPS_FOLDER / config.name
    folder = parent / datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise RunError(f"sweep '{display_path(folder)}': exists; wait a second") from None
    write_json(folder / _TRIALS_FILE, [_entry(trial) for trial in trials])
    # Last: a folder with this file is a whole sweep.
    write_atomically(folder / _CONFIG_FILE, _HEADER + to_yaml(config.model_dump(mode="json")))
    return SweepFolder(folder)


def is_sweep(path: Path) -> bool:
    """Whether it is the folder of a sweep."""
    return (path / _CONFIG_FILE).is_file()


def open_sweep(path: Path) -> SweepFolder:
    """An existing sweep.

    Raises:
        RunError: if the folder is not one.
    """
    if not is_sweep(path):
        found = f"holds no {_CONFIG_FILE}" if path.is_dir() else "no such folder"
        raise RunError(
            f"sweep '{display_path(path)}': {found}; `ls -d {RUNS_FOLDER}/{SWEEPS_FOLDER}/*/*` shows the sweeps"
        )
    return SweepFolder(path.resolve())


def _entry(trial: Trial) -> dict[str, Any]:
    return {
        "name": trial.name,
        "parameters": trial.parameters,
        "overrides": list(trial.overrides),
        "config": trial.config.to_values(),
    }


def _trial(entry: dict[str, Any], where: str) -> Trial:
    return Trial(
        name=entry["name"],
        parameters=entry["parameters"],
        overrides=tuple(entry["overrides"]),
        config=experiment_from(entry["config"], where),
    )


@contextmanager
def _locked(path: Path, what: str, wait_s: float) -> Iterator[None]:
    deadline = time.monotonic() + wait_s
    with path.open("w", encoding="utf-8") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise RunError(f"{what}: another process is at work on it; wait for it, or end it") from None
                time.sleep(_RETRY_S)
        yield
