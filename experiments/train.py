"""Training: updates one by one with metrics, evaluations and checkpoints, so that it can stop and go on anywhere.

Every update is one call of the same compiled program, so neither where a run was cut nor how often it was looked at
changes its numbers.
"""

import contextlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from agents import registry as agent_registry
from agents.learner import HasProcesses, SeedsTogether
from experiments import console, tracking
from experiments.bundles import save_bundle
from experiments.config import ExperimentConfig
from experiments.references import kept, reference_results
from experiments.rollout import run_episodes
from experiments.run import Row, Run, create_run, open_run
from experiments.statistics import ORACLE, RULE, score
from experiments.stopping import TrainingStoppedError, stop_requests
from gridenv.core.errors import BundleError, ConfigError, MissingExtraError, RunError, raise_collected
from gridenv.tasks import registry as task_registry
from gridenv.tasks.env import EnvParams, GridEnv

State = Any
Watcher = Callable[[Run, Row], None]
SPLIT_KEY = "split"
"""Setting of every task that names the days its episodes are drawn from."""
SCORE = "score"
_MEANS = ("return_eur", "economic_eur", "loss_kwh", "v_band_share")
"""Results of episodes whose means are fields of a row."""
_COST = "cost_"


@dataclass
class Progress:
    """A run in training."""

    run: Run
    state: State
    update: int = 0
    """Updates done."""
    time_s: float = 0.0
    """Time spent in training, before an interruption too."""
    latest: Row = field(default_factory=dict)
    """Newest row, completed by the newest values of fields that are not in every row."""
    rows: Sequence[Row] = ()
    """What was measured before an interruption."""


class Trainer:
    """Environment, learner and evaluation of a configuration; shared by its seeds, so that they compile once.

    At the end of a `with` the processes end that the learner started.
    """

    def __init__(self, config: ExperimentConfig) -> None:
        self.config = config
        self.env, self.env_params = task_registry.build(config.task_id, config.task)
        self.learner = agent_registry.make_learner(config.agent_name, self.env, config.agent)
        if config.run.vectorise_seeds and not isinstance(self.learner, SeedsTogether):
            raise ConfigError(
                f"vectorise_seeds is true; agent '{config.agent_name}' trains one seed at a time; leave it out"
            )
        evaluation = config.run.evaluation
        self._validation = build_split(config, evaluation.training_split)
        ends = [name for name in (RULE, ORACLE) if name in evaluation.against]
        if ORACLE in ends and kept(self.env.id, config.task, evaluation.training_split, ORACLE) is None:
            console.say(
                "the oracle, which scores need, is planned first; on some tasks that takes minutes, once. "
                f"evaluation.against=[{RULE}] trains without both"
            )
        self._ends = reference_results(config.task, evaluation.training_split, ends, *self._validation)
        self.total_updates: int = config.agent.total_updates  # type: ignore[attr-defined]
        self.steps_per_update: int = config.agent.steps_per_update  # type: ignore[attr-defined]

    def __enter__(self) -> "Trainer":
        return self

    def __exit__(self, *error: object) -> None:
        if isinstance(self.learner, HasProcesses):
            self.learner.close()

    def begin(self, run: Run) -> Progress:
        """A run before its first update."""
        return Progress(run, self.learner.begin(run.seed, self.env_params))

    def begin_or_restore(self, run: Run) -> Progress:
        """A run as its newest checkpoint has it; at its beginning if it was killed before the first one.

        Raises:
            RunError: if the checkpoint is damaged or of another configuration.
        """
        if not run.checkpoints():
            run.cut_metrics(0)
            return self.begin(run)
        update, path = run.last_checkpoint()
        state = self.learner.load(path, run.seed, self.env_params, run.identity)
        rows = run.cut_metrics(update)
        latest = {k: v for row in rows for k, v in row.items()}
        return Progress(run, state, update, rows[-1]["time_s"] if rows else 0.0, latest, rows)

    def train(self, group: Sequence[Progress], until: int | None = None, watch: Watcher | None = None) -> None:
        """Train one run, or several side by side that have done the same number of updates.

        Args:
            group: the runs.
            until: update to stop after; the end of the training if left out.
            watch: is shown every new row of metrics.

        Raises:
            RunError: if training diverges, or W&B is to be online and refuses.
            TrainingStoppedError: on Ctrl-C or SIGTERM, after saving a checkpoint.
        """
        every = self.config.run.checkpoint_every_updates
        end = self.total_updates if until is None else until
        kept = [(progress.run, progress.rows) for progress in group]
        with stop_requests() as stop, self._bar(group, end) as bar, tracking.tracked(kept) as trackers:
            bar.show(group[0].update, group[0].latest)
            while group[0].update < end:
                rows = self._one_update(group)
                for progress, tracker, row in zip(group, trackers, rows, strict=True):
                    tracker.write(row)
                    if watch is not None:
                        watch(progress.run, row)
                bar.show(group[0].update, group[0].latest)
                last = group[0].update == end
                if stop or last or group[0].update % every == 0:
                    for progress, tracker in zip(group, trackers, strict=True):
                        tracker.flush()
                        self._save(progress)
                if stop and not last:
                    raise TrainingStoppedError([str(progress.run) for progress in group])
            # Within: W&B takes the bundle along.
            if end == self.total_updates:
                for progress in group:
                    self._save_bundle(progress)

    def _bar(self, group: Sequence[Progress], end: int) -> contextlib.AbstractContextManager[console.TrainingBar]:
        title = f"seed {', '.join(str(p.run.seed) for p in group)}"
        return console.training_bar(title, end, self.config.run.evaluation.training_split)

    def _one_update(self, group: Sequence[Progress]) -> list[Row]:
        start_s = time.perf_counter()
        if len(group) == 1:
            group[0].state, alone = self.learner.update(group[0].state, self.env_params)
            metrics = [alone]
        else:
            assert isinstance(self.learner, SeedsTogether)
            states, metrics = self.learner.update_together([p.state for p in group], self.env_params)
            for progress, state in zip(group, states, strict=True):
                progress.state = state
        steps_per_s = self.steps_per_update * len(group) / (time.perf_counter() - start_s)
        return [self._row(p, m, start_s, steps_per_s) for p, m in zip(group, metrics, strict=True)]

    def _row(self, progress: Progress, metrics: Row, start_s: float, steps_per_s: float) -> Row:
        progress.update += 1
        raise_collected(
            [
                f"run '{progress.run}': {name} is {value} at update {progress.update}; training has diverged; lower "
                "the learning rate or scale the reward"
                for name, value in metrics.items()
                if not math.isfinite(value)
            ],
            RunError,
        )
        row: Row = {"update": progress.update, "steps": progress.update * self.steps_per_update, **metrics}
        every = self.config.run.evaluation.every_updates
        if progress.update % every == 0 or progress.update == self.total_updates:
            row |= self._evaluate(progress.state)
        progress.time_s += time.perf_counter() - start_s
        row |= {"time_s": round(progress.time_s, 3), "steps_per_s": round(steps_per_s, 1)}
        progress.latest |= row
        return row

    def _evaluate(self, state: State) -> Row:
        env, params = self._validation
        split = self.config.run.evaluation.training_split
        results = run_episodes(env, params, self.learner.policy(state))
        means = {name: getattr(results, name) for name in _MEANS}
        costs = {f"{_COST}{name}": results.cost_of(env.cost_names, name) for name in env.cost_names}
        row = {f"{split}/{name}": float(np.mean(values)) for name, values in (means | costs).items()}
        if RULE in self._ends and ORACLE in self._ends:
            low, high = (float(self._ends[name].return_eur.mean()) for name in (RULE, ORACLE))
            if low != high:
                row[f"{split}/{SCORE}"] = score(row[f"{split}/return_eur"], low, high)
        return row

    def _save(self, progress: Progress) -> None:
        path = progress.run.checkpoint_path(progress.update)
        self.learner.save(path, progress.state, progress.run.identity)
        progress.run.drop_old_checkpoints()

    def _save_bundle(self, progress: Progress) -> None:
        """The training is done and saved, so a bundle that cannot be made is said, and ends nothing."""
        env, params = self._validation
        try:
            save_bundle(progress.run, progress.update, self.learner.policy(progress.state), env, params)
        except BundleError as error:
            console.say(f"no bundle: {error}")
        except MissingExtraError as error:
            console.say(f"no bundle: {error}; then run `gridenv export {progress.run}`")


def evaluation_fields(config: ExperimentConfig, cost_names: Sequence[str]) -> list[str]:
    """Fields that an evaluation adds to a row of metrics.

    Args:
        config: experiment.
        cost_names: costs of its task.
    """
    evaluation = config.run.evaluation
    scored = [SCORE] if {RULE, ORACLE} <= set(evaluation.against) else []
    names = [*scored, *_MEANS, *(f"{_COST}{name}" for name in cost_names)]
    return [f"{evaluation.training_split}/{name}" for name in names]


def build_split(config: ExperimentConfig, split: str) -> tuple[GridEnv, EnvParams]:
    """The task of an experiment on other days."""
    return task_registry.build(config.task_id, config.task.model_copy(update={SPLIT_KEY: split}))


def train(config: ExperimentConfig, runs_folder: Path = Path("runs")) -> list[Run]:
    """Train all seeds of an experiment, each in a run directory of its own.

    Raises:
        ConfigError: if the task cannot be built.
        MissingExtraError, RunError: if W&B is to be online and is not installed or refuses.
        TrainingStoppedError: on Ctrl-C or SIGTERM, after saving a checkpoint.
    """
    tracking.prepare(config)
    with Trainer(config) as trainer:
        if config.run.vectorise_seeds:
            runs = [create_run(config, seed, runs_folder) for seed in config.seeds]
            trainer.train([trainer.begin(run) for run in runs])
            return runs
        runs = []
        for seed in config.seeds:
            runs.append(create_run(config, seed, runs_folder))
            try:
                trainer.train([trainer.begin(runs[-1])])
            except TrainingStoppedError as stopped:
                raise TrainingStoppedError(stopped.runs, config.seeds[len(runs) :]) from None
        return runs


def resume(paths: Sequence[Path]) -> list[Run]:
    """Train runs on from their newest checkpoints; runs that were trained side by side go on side by side.

    Raises:
        RunError: if a folder is no run, or its checkpoint is damaged or of another configuration.
        MissingExtraError, RunError: as `train`.
        TrainingStoppedError: on Ctrl-C or SIGTERM, after saving a checkpoint.
    """
    runs = [open_run(path) for path in paths]
    if len({run.config_hash for run in runs}) > 1:
        raise RunError("runs to resume differ in their configuration; resume them one by one")
    for config in {run.config.run.wandb.mode: run.config for run in runs}.values():
        tracking.prepare(config)
    with Trainer(runs[0].config) as trainer:
        together = [trainer.begin_or_restore(run) for run in runs]
        if runs[0].config.run.vectorise_seeds and len({progress.update for progress in together}) == 1:
            trainer.train(together)
        else:
            for progress in together:
                trainer.train([progress])
    return runs
