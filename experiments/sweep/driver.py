"""Driving a sweep: what is not done yet is handed to Ray Tune, and what comes back is shown and kept."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from experiments.stopping import StoppedError
from experiments.sweep.config import SweepConfig
from experiments.sweep.folder import SweepFolder, create_sweep
from experiments.sweep.plan import make_trials, training_steps
from experiments.sweep.results import TrialResult, collect, evaluations, write_results
from gridenv.adapters.ray_settings import ray_session
from gridenv.core.environment import environment
from gridenv.core.errors import ConfigError, GridEnvError, RunError, did_you_mean

_DONE = ("finished", "stopped")
_TUNE_VARIABLES = {
    # The runs have metrics of their own.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # The newer output is never quite silent.
    "RAY_AIR_NEW_OUTPUT": "0",
    # After Ctrl-C, how long trainings may take to notice; they go on from their checkpoints anyway.
    "TUNE_FORCE_TRIAL_CLEANUP_S": "5",
}


class SweepStoppedError(StoppedError):
    """A sweep was stopped before all its trainings were over."""

    def __init__(self, sweep: SweepFolder) -> None:
        super().__init__(f"stopped; go on with: gridenv sweep --resume {sweep}")


def begin(config: SweepConfig, runs_folder: Path) -> SweepFolder:
    """A new sweep with all its trials decided; nothing is trained yet.

    Raises:
        ConfigError: for settings that do not exist or values that are not allowed.
        MissingExtraError: if Ray is not installed.
    """
    return create_sweep(config, make_trials(config), runs_folder.resolve())


def drive(sweep: SweepFolder) -> list[TrialResult]:
    """Train what is not done yet, and write `sweep.json`. Failed trainings are tried again.

    Returns:
        All trials, best first.

    Raises:
        ConfigError: if the metric does not exist, or Ray cannot be reached or lacks the resources.
        RunError: if all trainings failed, or another process drives the sweep.
        SweepStoppedError: on Ctrl-C.
        MissingExtraError: if Ray is not installed.
    """
    with sweep.driving():
        if any(sweep.ending(job).status not in _DONE for job in sweep.jobs):
            with ray_session(sweep.config.ray), _settings():
                _check(sweep)
                _tune(sweep)
    results = collect(sweep)
    write_results(sweep, results)
    if any(run.ending.status == "unfinished" for result in results for run in result.runs):
        raise SweepStoppedError(sweep)
    errors = [run.ending.error for result in results for run in result.runs if run.ending.error]
    if len(errors) == len(sweep.jobs):
        raise RunError(f"sweep '{sweep}': all trainings failed, one of them so: {errors[0].strip().splitlines()[-1]}")
    return results


def _tune(sweep: SweepFolder) -> None:
    from ray import tune

    from experiments.sweep.progress import Watch
    from experiments.sweep.schedule import make_scheduler
    from experiments.sweep.worker import job_of, tune_job, tune_parameters

    config, jobs = sweep.config, sweep.jobs
    to_do = [job for job in jobs if sweep.ending(job).status not in _DONE]
    scheduler = make_scheduler(
        config,
        max(training_steps(trial.config) for trial in sweep.trials),
        {job: evaluations(sweep, job) for job in jobs},
        [job for job in jobs if job not in to_do],
    )
    with Watch.shown(sweep, to_do) as watch:
        tune.Tuner(
            tune.with_resources(tune_job, _resources(config)),
            param_space=tune.grid_search([tune_parameters(sweep, job) for job in to_do]),
            tune_config=tune.TuneConfig(
                scheduler=scheduler,
                max_concurrent_trials=config.max_concurrent,
                trial_name_creator=lambda trial: str(job_of(trial.config)),
                trial_dirname_creator=lambda trial: str(job_of(trial.config)),
            ),
            run_config=tune.RunConfig(
                # Each start has state of its own: what is done is known from the folders of the trials.
                name=datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ"),
                storage_path=str(sweep.folder.resolve() / "ray"),
                callbacks=[watch],
                verbose=0,
            ),
        ).fit()


def _check(sweep: SweepFolder) -> None:
    """Refuse what would never run, or never be judged, before anything is trained."""
    import ray

    from experiments import console
    from experiments.sweep.worker import prepare

    config = sweep.config
    needed = _resources(config)
    for name, amount in needed.items():
        most = max(node["Resources"].get(name, 0.0) for node in ray.nodes() if node["Alive"])
        if amount > most:
            raise ConfigError(
                f"sweep '{config.name}': resources.{name.lower()}s = {amount:g}; allowed: up to {most:g}, what the "
                "largest machine of this Ray has; lower it, or raise ray.cpus"
            )
    remote = ray.remote(num_cpus=needed["CPU"], num_gpus=needed.get("GPU", 0.0))(prepare)
    with console.working(f"preparing {len(sweep.trials)} trials"):
        try:
            fields = ray.get(remote.remote(str(sweep.folder.resolve()), str(Path.cwd())))
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, GridEnvError):
                raise error.cause from None
            raise
    if config.metric not in fields:
        raise ConfigError(
            f"sweep '{config.name}': metric = '{config.metric}'; evaluations have no such field"
            f"{did_you_mean(config.metric, fields)}"
        )


def _resources(config: SweepConfig) -> dict[str, float]:
    gpus = {"GPU": config.resources.gpus} if config.resources.gpus else {}
    return {"CPU": config.resources.cpus, **gpus}


@contextmanager
def _settings() -> Iterator[None]:
    """Ray Tune without its own files and messages."""
    logger = logging.getLogger("ray.tune")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with environment(_TUNE_VARIABLES):
            yield
    finally:
        logger.setLevel(level)
