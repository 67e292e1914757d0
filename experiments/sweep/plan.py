"""The trials of a sweep, all decided before the first begins: a sweep that is cut and goes on has the same ones."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.config import ExperimentConfig, compose
from experiments.sweep import spaces
from experiments.sweep.config import SweepConfig
from gridenv.core.errors import ConfigError, MissingExtraError, raise_collected


@dataclass(frozen=True)
class Trial:
    """One choice of settings."""

    name: str
    """Folder of its runs."""
    parameters: dict[str, Any]
    """Values of the settings that are varied, by dotted key."""
    overrides: tuple[str, ...]
    """What to write after `gridenv train` for it."""
    config: ExperimentConfig


def make_trials(config: SweepConfig) -> list[Trial]:
    """All trials, checked.

    Raises:
        ConfigError: for settings that do not exist or values that are not allowed, of the first trial that has any; for
            a scheduler that cannot work with these trainings.
        MissingExtraError: if Ray is not installed.
    """
    drawn = list(_draw(config))
    width = max(2, len(str(len(drawn))))
    # A trial is described with one seed, whatever the experiment says; its runs get theirs.
    fixed = [*_texts(config.settings), f"seed={config.seeds[0]}"]
    trials = []
    for number, parameters in enumerate(drawn, 1):
        name = f"trial-{number:0{width}d}"
        overrides = (f"experiment={config.experiment}", *fixed, *_texts(parameters))
        try:
            experiment = compose([*overrides, f"name={name}"])
        except ConfigError as error:
            lines = [f"sweep '{config.name}': {name}: {line}" for line in str(error).splitlines()]
            raise ConfigError("\n".join(lines)) from None
        trials.append(Trial(name, parameters, overrides, experiment))
    raise_collected([f"sweep '{config.name}': {line}" for line in _scheduler_problems(config, trials)], ConfigError)
    return trials


def training_steps(config: ExperimentConfig) -> int:
    """Environment steps of a whole training."""
    return config.agent.total_updates * config.agent.steps_per_update  # type: ignore[attr-defined]


def grace_steps(config: SweepConfig, longest: int) -> int:
    """Environment steps of a training before its first decision.

    Args:
        config: a sweep with a scheduler.
        longest: environment steps of the longest training.
    """
    assert config.scheduler is not None
    return config.scheduler.grace_steps or max(int(longest / config.scheduler.reduction_factor**2), 1)


def _draw(config: SweepConfig) -> Iterator[dict[str, Any]]:
    """Values of all settings that are varied, trial by trial."""
    try:
        from ray import tune
        from ray.tune.search.variant_generator import generate_variants
    except ImportError:
        raise MissingExtraError(
            "sweep: package 'ray' is not installed; install it with pip install \"gridenv[ray]\""
        ) from None
    makers = {
        spaces.GRID: lambda *values: tune.grid_search(values),
        spaces.CHOICE: lambda *values: tune.choice(values),
        spaces.UNIFORM: tune.uniform,
        spaces.LOG_UNIFORM: tune.loguniform,
        # The library leaves the upper end out.
        spaces.INTEGER: lambda low, high: tune.randint(low, high + 1),
    }
    domains = {key: makers[space.kind](*space.values) for key, space in config.spaces.items()}
    # The library asks for a generator of this kind.
    random_state = np.random.RandomState(config.sample_seed)
    for _ in range(config.samples):
        for _, values in generate_variants(dict(domains), random_state=random_state):
            yield {key: _plain(values[key]) for key in domains}


def _plain(value: Any) -> Any:
    """A NumPy number as Python's."""
    return value.item() if isinstance(value, np.generic) else value


def _texts(settings: Mapping[str, Any], start: str = "") -> Iterator[str]:
    """Nested settings as `key=value` texts that give exactly these values."""
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _texts(value, f"{start}{key}.")
        else:
            yield f"{start}{key}={json.dumps(value)}"


def _scheduler_problems(config: SweepConfig, trials: list[Trial]) -> list[str]:
    if config.scheduler is None:
        return []
    lengths = [training_steps(trial.config) for trial in trials]
    first, problems = grace_steps(config, max(lengths)), []
    if first >= max(lengths):
        problems.append(
            f"scheduler.grace_steps = {first}; allowed: less than the {max(lengths)} steps of the longest training; "
            "lower it"
        )
    apart = max(_steps_between_evaluations(trial.config) for trial in trials)
    if not problems and apart >= max(lengths):
        problems.append(
            f"evaluation.every_updates: evaluations are {apart} steps apart, trainings {max(lengths)} steps long, so "
            "the scheduler could decide nothing; lower settings.evaluation.every_updates"
        )
    return problems


def _steps_between_evaluations(config: ExperimentConfig) -> int:
    return config.run.evaluation.every_updates * config.agent.steps_per_update  # type: ignore[attr-defined]
