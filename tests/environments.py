"""Environments and compiled functions that several test modules share; each is built once in a test process."""

from functools import cache
from typing import Any

import gymnasium
import jax
import numpy as np
import pytest
from gymnasium.vector import VectorEnv

import gridenv
from gridenv.tasks.env import EnvParams, GridEnv
from gridenv.tasks.registry import NAMESPACE, TASKS

TASK_IDS = tuple(TASKS)
QUICK = ("VoltVar-IEEE13-v0", "Storage-IEEE33-v0", "SmartHome-LV-v0")
"""Tasks that have every kind of unit and of network between them; `make test-all` walks over the others too."""
EVERY_TASK = [t if t in QUICK else pytest.param(t, marks=pytest.mark.slow) for t in TASK_IDS]
SHORT = 8
"""Steps of the short episodes in which several autoresets are tested."""


@cache
def functional(task: str, **config: Any) -> tuple[GridEnv, EnvParams]:
    """The functional environment of a task."""
    return gridenv.make(task, **config)


@cache
def compiled_advance(task: str, **config: Any):
    """`(state, action) -> Transition`, compiled."""
    env, params = functional(task, **config)
    return jax.jit(lambda state, action: env.advance(state, action, params))


def single(task: str, **config: Any) -> gymnasium.Env:
    """One environment, with Gymnasium's own wrappers."""
    return gymnasium.make(NAMESPACE + task, **config)


def vector(task: str, num_envs: int, **config: Any) -> VectorEnv:
    """The native vector environment."""
    return gymnasium.make_vec(NAMESPACE + task, num_envs, "vector_entry_point", **config)


def sync(task: str, num_envs: int, autoreset_mode: gymnasium.vector.AutoresetMode, **config: Any) -> VectorEnv:
    """Gymnasium's own loop over single environments."""
    options = {"autoreset_mode": autoreset_mode}
    return gymnasium.make_vec(NAMESPACE + task, num_envs, "sync", vector_kwargs=options, **config)


def action_stream(env: GridEnv, num_envs: int, n_steps: int, seed: int = 0) -> np.ndarray:
    """Actions [step, env, entry]: uniform, corners of the action space and zeros, in turn."""
    generator = np.random.default_rng(seed)
    low, high = env.action_bounds
    actions = generator.uniform(low, high, (n_steps, num_envs, env.n_action)).astype(np.float32)
    actions[1::3] = np.where(generator.random(actions[1::3].shape) < 0.5, low, high)
    actions[2::6] = 0.0
    return actions


def assert_all_finite(tree: Any) -> None:
    """No NaN and no infinity in any array of a tree."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        if not isinstance(leaf, str):
            assert np.all(np.isfinite(np.asarray(leaf, float))), jax.tree_util.keystr(path)
