"""Learners of Stable-Baselines3: deterministic, resumable, and their policies are our networks."""

import random
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jax import numpy as jnp

torch = pytest.importorskip("torch", reason="needs the extra gridenv[sb3]")
pytest.importorskip("stable_baselines3", reason="needs the extra gridenv[sb3]")

from agents.controller import Controller  # noqa: E402
from agents.learner import Learner, Metrics  # noqa: E402
from agents.registry import config_class, make_learner  # noqa: E402
from gridenv.core.errors import RunError  # noqa: E402
from tests.environments import SHORT, functional  # noqa: E402

TASK = "VoltVar-IEEE33-v0"
IDENTITY = {"config_hash": "abc", "seed": 3}
SHARED = {"num_envs": 4, "rollout_steps": 2 * SHORT, "total_steps": 4 * 8 * SHORT, "reward_scale": 0.1}
_OFF_POLICY = {**SHARED, "hidden": (8, 6), "learning_starts": 24, "batch_size": 16, "buffer_size": 4 * 20}
SETTINGS: dict[str, dict[str, Any]] = {
    "sb3_ppo": {**SHARED, "hidden": (8, 6), "epochs": 2, "minibatches": 2},
    # The buffer is too small for all steps, so that it wraps around.
    "sb3_sac": {**_OFF_POLICY, "gradient_steps": 1},
    "sb3_td3": {**_OFF_POLICY, "gradient_steps": 1, "train_every": 2, "activation": "tanh"},
}
NAMES = tuple(SETTINGS)


def learner(name: str, **changes: Any) -> Learner:
    env, _ = functional(TASK, steps_per_episode=SHORT)
    return make_learner(name, env, config_class(name)(**SETTINGS[name] | changes))


def params() -> Any:
    return functional(TASK, steps_per_episode=SHORT)[1]


def train(one: Learner, state: Any, updates: int) -> tuple[Any, list[Metrics]]:
    rows = []
    for _ in range(updates):
        state, metrics = one.update(state, params())
        rows.append(metrics)
    return state, rows


def weights(state: Any) -> dict[str, np.ndarray]:
    return {name: tensor.numpy().copy() for name, tensor in state.model.policy.state_dict().items()}


@cache
def straight(name: str) -> tuple[dict[str, np.ndarray], list[Metrics]]:
    """Weights and metrics of four updates without a break."""
    one = learner(name)
    state, rows = train(one, one.begin(3, params()), 4)
    return weights(state), rows


def seed_process() -> None:
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)


def draws() -> tuple[float, float]:
    return np.random.random(), float(torch.rand(1))  # noqa: NPY002


def assert_same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name])


@pytest.mark.parametrize("name", NAMES)
def test_training_goes_on_from_a_checkpoint_to_the_same_weights(name: str, tmp_path: Path) -> None:
    one = learner(name)
    state, first = train(one, one.begin(3, params()), 2)
    one.save(tmp_path / "c", state, IDENTITY)
    assert [path.name for path in tmp_path.iterdir()] == ["c"]
    other = learner(name)
    state, second = train(other, other.load(tmp_path / "c", 3, params(), IDENTITY), 2)
    expected, rows = straight(name)
    assert first + second == rows
    assert_same(weights(state), expected)


@pytest.mark.parametrize("name", NAMES)
def test_same_seed_gives_the_same_metrics_whatever_else_draws_random_numbers(name: str) -> None:
    one = learner(name)
    state = one.begin(3, params())
    others = one.begin(4, params())
    rows = []
    for _ in range(4):
        state, metrics = one.update(state, params())
        rows.append(metrics)
        others, metrics = one.update(others, params())
        assert metrics != rows[-1]
        random.random()
        draws()
    assert rows == straight(name)[1]


@pytest.mark.parametrize("name", NAMES)
def test_training_leaves_the_generators_and_threads_of_the_process_alone(name: str) -> None:
    # Not that of `random`: the checks of types in tests draw from it.
    seed_process()
    expected = draws()
    seed_process()
    n_thread = torch.get_num_threads()
    one = learner(name, torch_threads=n_thread + 1)
    one.update(one.begin(3, params()), params())
    assert draws() == expected
    assert torch.get_num_threads() == n_thread


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("name", NAMES)
def test_policy_is_what_the_model_predicts_and_outlives_its_training(name: str, activation: str) -> None:
    one = learner(name, activation=activation)
    state = one.begin(3, params())
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in state.model.policy.parameters():
            # Large enough that outputs reach the limits of the action.
            parameter.normal_(0.0, 0.3, generator=generator)
    observation = np.random.default_rng(0).uniform(-3, 3, (1000, one.env.n_observation)).astype(np.float32)
    expected, _ = state.model.predict(observation, deterministic=True)
    policy = one.policy(state)
    assert isinstance(policy, Controller)
    assert policy.name == name
    with torch.no_grad():
        for parameter in state.model.policy.parameters():
            parameter.zero_()
    found = np.asarray(policy.act(params(), state.envs.state, jnp.asarray(observation)))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(expected).max() > 0.9
    assert np.abs(expected).min() < 0.1


@pytest.mark.parametrize("name", NAMES)
def test_metrics_are_means_in_eur_whatever_the_scale_of_learning(name: str) -> None:
    before_learning = {} if name == "sb3_ppo" else {"learning_starts": 1000}
    first = []
    for scale in (0.1, 1.0):
        one = learner(name, reward_scale=scale, **before_learning)
        metrics = train(one, one.begin(3, params()), 1)[1][0]
        first.append({key: value for key, value in metrics.items() if key.startswith("train/")})
    assert first[0] == first[1]
    _, rows = straight(name)
    weights_eur = np.asarray(params().charged_eur)
    costs = np.array([rows[-1][f"train/cost_{name}"] for name in functional(TASK)[0].cost_names])
    expected = rows[-1]["train/economic_eur"] - costs @ weights_eur
    assert rows[-1]["train/reward_eur"] == pytest.approx(expected, rel=1e-4)
    assert "loss/policy" in rows[-1]
    assert all(np.isfinite(list(row.values())).all() for row in rows)


def test_learning_rate_falls_over_the_whole_training() -> None:
    one = learner("sb3_ppo", final_learning_rate_share=0.2, learning_rate=1e-3)
    state = one.begin(3, params())
    rates = []
    for _ in range(5):
        state, _ = one.update(state, params())
        rates.append(state.model.policy.optimizer.param_groups[0]["lr"])
    np.testing.assert_allclose(rates, [1e-3, 8e-4, 6e-4, 4e-4, 2e-4])


def test_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    one = learner("sb3_ppo")
    one.save(tmp_path / "c", one.begin(3, params()), IDENTITY)
    with pytest.raises(RunError, match="seed is 3; this run needs 4"):
        one.load(tmp_path / "c", 4, params(), {**IDENTITY, "seed": 4})
    with pytest.raises(
        RunError, match=r"array 'last_observation' is float32\[4, 62\]; this run needs float32\[3, 62\]"
    ):
        learner("sb3_ppo", num_envs=3, minibatches=1).load(tmp_path / "c", 3, params(), IDENTITY)
    with pytest.raises(RunError, match=r"checkpoint '.*c': damaged \(.*size mismatch.*\); delete it") as error:
        learner("sb3_ppo", hidden=(5, 6)).load(tmp_path / "c", 3, params(), IDENTITY)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["sb3_ppo", "sb3_sac"])
def test_damaged_and_missing_checkpoints_are_one_line(name: str, tmp_path: Path) -> None:
    one, path = learner(name), tmp_path / "c"
    with pytest.raises(RunError, match=r"checkpoint '.*c': no such file"):
        one.load(path, 3, params(), IDENTITY)
    one.save(path, one.begin(3, params()), IDENTITY)
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", whole[:3000] + bytes(40) + whole[3040:]):
        path.write_bytes(damaged)
        with pytest.raises(RunError, match=r"checkpoint '.*c': damaged \(.*\); delete it") as error:
            one.load(path, 3, params(), IDENTITY)
        assert "\n" not in str(error.value)


def test_checkpoint_holds_no_more_of_the_memory_than_is_filled(tmp_path: Path) -> None:
    one = learner("sb3_sac", buffer_size=4 * 10_000)
    state, _ = train(one, one.begin(3, params()), 1)
    one.save(tmp_path / "c", state, IDENTITY)
    with np.load(tmp_path / "c", allow_pickle=False) as archive:
        assert archive["buffer.observations"].shape == (2 * SHORT, 4, one.env.n_observation)
