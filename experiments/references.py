"""Results of the reference controllers, computed once and kept on disk.

Planning with foresight takes longer than a training, and depends on the task alone. The key of a result covers the
task's settings but those of what agents observe, the days, the shipped data, the library versions and every source file
that the result can depend on.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import fields
from functools import cache
from pathlib import Path

import numpy as np
from pydantic import BaseModel

from agents import registry as agent_registry
from experiments import console, provenance
from experiments.rollout import EpisodeResults, run_episodes
from gridenv.core.archives import DAMAGED
from gridenv.core.cache import cache_dir
from gridenv.tasks.env import EnvParams, GridEnv

_SOURCES = (
    "agents/*.py",
    "agents/optimal_power/*.py",
    "experiments/rollout.py",
    "gridenv/core/*.py",
    "gridenv/network/**/*.py",
    "gridenv/policy/*.py",
    "gridenv/exogenous/**/*.py",
    "gridenv/powerflow/*.py",
    "gridenv/devices/*.py",
    "gridenv/sim/*.py",
    "gridenv/network/cases/*.yaml",
    "gridenv/tasks/**/*.py",
)
_PREDICTIVE = ("agents/optimal_power/mpc.py", "agents/optimal_power/forecast.py")
"""Sources that no reference but `mpc` depends on."""
_OBSERVED = {
    "observed_buses",
    "forecast",
    "forecast_steps",
    "forecast_series",
    "forecast_every",
    "forecast_model",
    "forecast_error",
    "forecast_seed",
}
"""Settings of what agents see, which no reference looks at."""
_PACKAGES = ("jax", "jaxlib", "numpy", "optax", "clarabel", "lightgbm")


def reference_results(
    task: BaseModel, split: str, names: Sequence[str], env: GridEnv, params: EnvParams
) -> dict[str, EpisodeResults]:
    """Results of reference controllers on all episodes of a split.

    Args:
        task: settings of the task.
        split: days that `params` starts on.
        names: of `agents.registry.REFERENCES`.
        env: the task's environment.
        params: its parameters on these days.
    """
    return {name: _cached(task, split, name, env, params) for name in names}


def kept(task_id: str, task: BaseModel, split: str, name: str) -> EpisodeResults | None:
    """Results of a reference controller, if they were computed before."""
    try:
        with np.load(_path(task_id, task, split, name), allow_pickle=False) as archive:
            return EpisodeResults(**{f.name: archive[f.name] for f in fields(EpisodeResults)})
    except DAMAGED:
        # Missing or damaged: computed anew.
        return None


def keep(task_id: str, task: BaseModel, split: str, name: str, results: EpisodeResults) -> None:
    """Remember the results of a reference controller."""
    path = _path(task_id, task, split, name)
    temporary = path.with_name(f"{path.stem}.{os.getpid()}.npz")
    np.savez_compressed(temporary, **{f.name: getattr(results, f.name) for f in fields(results)})
    temporary.replace(path)


def _cached(task: BaseModel, split: str, name: str, env: GridEnv, params: EnvParams) -> EpisodeResults:
    found = kept(env.id, task, split, name)
    if found is not None:
        return found
    with console.working(f"running '{name}' on the {split} days (kept for the next time)"):
        results = run_episodes(env, params, agent_registry.make_reference(name, env, params))
    keep(env.id, task, split, name, results)
    return results


def _path(task_id: str, task: BaseModel, split: str, name: str) -> Path:
    return cache_dir("reference") / f"{name}-{split}-{_key(task_id, task, split, name)}.npz"


def _key(task_id: str, task: BaseModel, split: str, name: str) -> str:
    parts = {
        "controller": name,
        "split": split,
        "task": task_id,
        "settings": task.model_dump(mode="json", exclude={"split", *_OBSERVED}),
        "own": provenance.own_hashes(task),
        "data": provenance.data_hash(),
        "sources": _source_hash(name == "mpc"),
        "packages": {name: provenance.package_version(name) for name in _PACKAGES},
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


@cache
def _source_hash(is_predictive: bool) -> str:
    root: Path = provenance.CHECKOUT
    paths = {path for pattern in _SOURCES for path in root.glob(pattern)}
    if not is_predictive:
        paths -= {root / own for own in _PREDICTIVE}
    return provenance.hash_files(sorted(paths), root)
