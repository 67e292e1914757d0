"""Every learner on every task it is meant for: a tiny training whose policy acts, and can be exported."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from agents.export import to_onnx
from agents.graph import ExportablePolicy
from agents.learner import HasProcesses
from agents.registry import LEARNERS, config_class, make_learner
from tests.environments import TASK_IDS, functional

CHECKED = {"ppo": "VoltVar-IEEE13-v0", "ippo": "VoltVar-IEEE13-v0"}
"""Learner -> the task that `make test` trains it on, where it is not the default; `make test-all` takes all tasks."""
DEFAULT = "VoltVar-IEEE33-v0"
N_ENV, N_STEP = 4, 8
OF_RAY = "rllib"
"""Beginning of the names of learners whose processes take long to start; their updates consist of whole episodes."""
NEEDED = {"ppo_lagrangian": lambda cost: {"cost_limits": {cost: 0.1}}}
"""Settings without which a learner refuses, from the name of a cost."""


def tiny(name: str, cost: str) -> Any:
    """Settings of two small updates."""
    fields = config_class(name).model_fields
    asked = {
        "num_envs": N_ENV,
        "rollout_steps": N_STEP,
        "horizon": N_STEP,
        "total_steps": 2 * N_ENV * N_STEP,
        "epochs": 1,
        "minibatches": 2,
        "hidden": (8,),
        "batch_size": 8,
        "buffer_size": 64,
        "learning_starts": N_ENV,
    }
    settings = {key: value for key, value in asked.items() if key in fields}
    return config_class(name)(**settings, **NEEDED.get(name, lambda cost: {})(cost))


def pairs() -> list[Any]:
    """All learners on all tasks; only those of `make test` without the mark `slow`."""
    return [
        (name, task)
        if CHECKED.get(name, DEFAULT) == task and not name.startswith(OF_RAY)
        else pytest.param(name, task, marks=pytest.mark.slow)
        for name in LEARNERS
        for task in TASK_IDS
    ]


@pytest.fixture(scope="module")
def local_ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A Ray that all learners use which need one."""
    pytest.importorskip("ray.rllib", reason="extra ray")
    pytest.importorskip("pettingzoo", reason="extra marl")
    from gridenv.adapters.ray_local import quiet_ray

    with quiet_ray(tmp_path_factory.mktemp("home"), num_cpus=1, log_to_driver=False):
        yield


@contextmanager
def closed(learner: Any) -> Iterator[None]:
    """At the end no process of the learner is left."""
    try:
        yield
    finally:
        if isinstance(learner, HasProcesses):
            learner.close()


def disturbed(policy: Any) -> Any:
    """The policy with other weights: those of a learner that has hardly begun do the same whatever they see."""

    def moved(leaf: Any) -> Any:
        is_weight = jnp.issubdtype(leaf.dtype, jnp.floating)
        return leaf + 0.1 * jax.random.normal(jax.random.key(1), leaf.shape, leaf.dtype) if is_weight else leaf

    return jax.tree.map(moved, policy)


def assert_runs_elsewhere(policy: Any, env: Any, params: Any, state: Any) -> None:
    """onnxruntime does with the exported policy what the policy does, on a thousand observations."""
    pytest.importorskip("onnx", reason="extra hil: writes the files")
    onnxruntime = pytest.importorskip("onnxruntime", reason="extra hil: runs them")
    observation = np.random.default_rng(8).uniform(-3.0, 3.0, (1000, env.n_observation)).astype(np.float32)
    expected = np.asarray(policy.act(params, state, jnp.asarray(observation)))
    content = to_onnx(policy, env.n_observation, env.n_action)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    done = session.run(["action"], {"observation": observation})[0]
    assert np.ptp(done) > 0.01
    np.testing.assert_allclose(done, expected, atol=1e-5)


@pytest.mark.parametrize(("name", "task"), pairs())
def test_every_learner_trains_and_its_policy_acts_and_can_be_exported(
    name: str, task: str, request: pytest.FixtureRequest
) -> None:
    settings = {}
    if name.startswith("sb3"):
        pytest.importorskip("stable_baselines3", reason="extra sb3")
    if name.startswith(OF_RAY):
        request.getfixturevalue("local_ray")
        settings = {"steps_per_episode": N_STEP}
    env, params = functional(task, **settings)
    config = tiny(name, env.cost_names[0])
    learner = make_learner(name, env, config)
    with closed(learner):
        state, metrics = learner.update(learner.begin(0, params), params)
    assert {"train/reward_eur", "train/economic_eur", *(f"train/cost_{c}" for c in env.cost_names)} <= metrics.keys()
    assert all(math.isfinite(value) for value in metrics.values())
    policy = learner.policy(state)
    assert policy.name == name
    assert isinstance(policy, ExportablePolicy)
    observation, started = env.reset_batch(jax.random.key(0), params, 3)
    action = np.asarray(policy.act(params, started, observation))
    assert action.shape == (3, env.n_action)
    assert np.all(np.abs(action) <= 1.0)
    assert_runs_elsewhere(disturbed(policy), env, params, started)
