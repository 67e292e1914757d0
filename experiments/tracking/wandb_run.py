"""Weights & Biases; the only file that imports wandb.

What is kept for W&B follows from the run folder alone: configuration, versions, rows, evaluations, report, bundle. So
an offline folder is made anew whenever a run goes on or is evaluated, and holds every update once.
"""

import importlib.util
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from experiments import console
from experiments.config import ExperimentConfig, WandbConfig
from experiments.run import BUNDLE_FOLDER, EVALUATION_PREFIX, REPORT_FILE, Row, Run
from gridenv.core.errors import MissingExtraError, RunError

FOLDER = "wandb"
"""Folder in a run folder, named by wandb."""
DISABLED, OFFLINE, ONLINE = "disabled", "offline", "online"
_INSTALL = 'pip install "gridenv[wandb]"'
_STEPS = "steps"


def is_wanted(run: Run) -> bool:
    """Whether a run is kept for W&B here."""
    return run.config.run.wandb.mode != DISABLED and _is_installed()


def is_kept(run: Run) -> bool:
    """Whether there is something of a run to bring up to date."""
    return (run.folder / FOLDER).is_dir() and is_wanted(run)


def prepare(config: ExperimentConfig) -> None:
    """Say what is missing before any time is spent on training.

    Raises:
        MissingExtraError: for the mode `online` without the package.
        RunError: for the mode `online` without a login, or without a connection.
    """
    mode = config.run.wandb.mode
    if mode == DISABLED:
        return
    if not _is_installed():
        missing = "package 'wandb' is not installed"
        if mode == ONLINE:
            raise MissingExtraError(f"wandb.mode = 'online': {missing}; {_INSTALL}, or choose wandb.mode=disabled")
        console.say(f"W&B: {missing}, nothing is kept for it; {_INSTALL}, or wandb.mode=disabled to skip this line")
    elif mode == ONLINE:
        wandb = _imported()
        try:
            wandb.login()
        except wandb.errors.Error as error:
            raise _refused(mode, error) from error


class WandbRun:
    """One run of W&B, with the same id whenever it is opened."""

    def __init__(self, run: Run, rows: Sequence[Row]) -> None:
        """Open it and bring it to the state after `rows`.

        Raises:
            RunError: if wandb does not start, or W&B cannot be reached or refuses.
        """
        self._source = run
        wandb = _imported()
        for old in _offline_folders(run):
            shutil.rmtree(old)
        try:
            self._run = wandb.init(**_arguments(run), settings=wandb.Settings(**_settings(run.config.run.wandb)))
        except wandb.errors.Error as error:
            raise _refused(run.config.run.wandb.mode, error) from error
        self._run.define_metric(_STEPS, hidden=True)
        self._run.define_metric("*", step_metric=_STEPS)
        # An online run that goes on holds these already; resumed training gives the same numbers again.
        self._first_missing = self._run.step
        for row in rows:
            self.write(row)

    def write(self, row: Row) -> None:
        """Take the row of the next update."""
        if row["update"] >= self._first_missing:
            self._run.log(dict(row), step=row["update"])

    def flush(self) -> None:
        """Nothing: wandb writes from a process of its own."""

    def close(self, failed: bool) -> None:
        """Add evaluations, report and bundle where they are there, and end it."""
        if not failed:
            self._add_results()
        self._run.finish(exit_code=int(failed))

    def _add_results(self) -> None:
        wandb, folder = _imported(), self._source.folder
        for name, value in _scores(folder):
            self._run.summary[name] = value
        report, bundle = folder / REPORT_FILE, folder / BUNDLE_FOLDER
        if report.is_file():
            self._run.log({"report": wandb.Html(report.read_text(encoding="utf-8"), inject=False)})
        if bundle.is_dir():
            artifact = wandb.Artifact(f"{BUNDLE_FOLDER}-{self._run.id}", type="policy")
            # File by file: wandb's own way to add a folder prints what it does.
            for file in sorted(path for path in bundle.rglob("*") if path.is_file()):
                artifact.add_file(str(file), file.relative_to(bundle).as_posix())
            self._run.log_artifact(artifact)


def _is_installed() -> bool:
    return importlib.util.find_spec("wandb") is not None


def _imported() -> Any:
    # Both are read as wandb starts. Its telemetry asks a name server even when it is offline; Weave is a product that
    # it would recommend.
    os.environ["WANDB_ERROR_REPORTING"] = "false"
    os.environ["WANDB_DISABLE_WEAVE"] = "true"
    import wandb

    return wandb


def _offline_folders(run: Run) -> list[Path]:
    return sorted((run.folder / FOLDER).glob(f"offline-run-*-{run.id}"))


def _arguments(run: Run) -> dict[str, Any]:
    chosen = run.config.run.wandb
    return {
        "mode": chosen.mode,
        "project": chosen.project,
        "entity": chosen.entity,
        "group": run.config.name,
        "name": run.folder.name,
        "job_type": "train",
        "id": run.id,
        "resume": "allow",
        # Seeds that train side by side are several runs at a time.
        "reinit": "create_new",
        "dir": str(run.folder),
        "config": {**run.config.to_values(), "versions": run.versions},
    }


def _settings(chosen: WandbConfig) -> dict[str, Any]:
    """Quiet; `versions.json` knows platform, packages and commit, so wandb need not look for them."""
    return {
        "console": "off",
        "silent": True,
        "disable_git": True,
        "disable_code": True,
        "x_save_requirements": False,
        "x_disable_meta": True,
        "x_disable_machine_info": True,
        # Patience for a busy machine, seconds.
        "x_service_wait": 120.0,
        # Its probes of the machine include an address of a cloud.
        "x_disable_stats": chosen.mode != ONLINE,
    }


def _scores(folder: Path) -> Iterator[tuple[str, float]]:
    """Name and value of the means in the evaluations of a run, such as `test/ppo/score`."""
    for path in sorted(folder.glob(f"{EVALUATION_PREFIX}*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        for name, entry in found["controllers"].items():
            start = f"{found['split']}/{name}"
            for key in ("score", "loss_kwh", "v_band_share"):
                if entry[key] is not None:
                    yield f"{start}/{key}", entry[key]
            for key in ("return_eur", "economic_eur"):
                yield f"{start}/{key}", entry[key]["mean"]
            yield from ((f"{start}/cost_{cost}", value) for cost, value in entry["cost"].items())


def _refused(mode: str, error: Exception) -> RunError:
    first = str(error).strip().partition("\n")[0].rstrip(".")
    online = "`wandb login`, set WANDB_API_KEY, or choose wandb.mode=offline"
    return RunError(f"wandb.mode = '{mode}': {first}; {online if mode == ONLINE else 'choose wandb.mode=disabled'}")
