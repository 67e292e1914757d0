"""Learners of RLlib: deterministic, resumable, and their policies are our networks."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from jax import numpy as jnp

EXTRA = "needs the extras gridenv[ray,marl]"
ray = pytest.importorskip("ray", reason=EXTRA)
pytest.importorskip("ray.rllib", reason=EXTRA)
pytest.importorskip("pettingzoo", reason=EXTRA)
torch = pytest.importorskip("torch", reason=EXTRA)

from agents.controller import Controller  # noqa: E402
from agents.export import to_onnx  # noqa: E402
from agents.learner import HasProcesses, Metrics  # noqa: E402
from agents.metering import means  # noqa: E402
from agents.registry import config_class, make_learner  # noqa: E402
from agents.rllib.environments import MeteredAgents, MeteredVectorEnv  # noqa: E402
from agents.rllib.learner import RLlibLearner  # noqa: E402
from agents.rllib.machine import Machine, quiet  # noqa: E402
from agents.rllib.state import TrainingState  # noqa: E402
from gridenv.adapters.ray_local import quiet_ray  # noqa: E402
from gridenv.core.errors import ConfigError, RunError  # noqa: E402
from gridenv.tasks.env import EnvState  # noqa: E402
from tests.environments import SHORT, functional  # noqa: E402

TASKS = {"rllib_ppo": "VoltVar-IEEE33-v0", "rllib_ippo": "VoltVar-IEEE13-v0"}
"""On the feeder of 13 nodes the agents are of several kinds."""
NAMES = tuple(TASKS)
IDENTITY = {"config_hash": "abc", "seed": 3}
SETTINGS = {
    "num_envs": 4,
    "rollout_steps": SHORT,
    "total_steps": 16 * SHORT,
    "reward_scale": 0.1,
    "hidden": (8, 6),
    "epochs": 2,
    "minibatches": 2,
}


def learner(name: str, **changes: Any) -> RLlibLearner:
    env, _ = functional(TASKS[name], steps_per_episode=SHORT)
    return make_learner(name, env, config_class(name)(**SETTINGS | changes))


def params(name: str) -> Any:
    return functional(TASKS[name], steps_per_episode=SHORT)[1]


def train(one: RLlibLearner, state: TrainingState, updates: int) -> tuple[TrainingState, list[Metrics]]:
    rows = []
    for _ in range(updates):
        state, metrics = one.update(state, params(one.policy(state).name))
        rows.append(metrics)
    return state, rows


def assert_same(found: TrainingState, expected: TrainingState) -> None:
    assert found.updates == expected.updates
    jax.tree.map(np.testing.assert_array_equal, found.weights, expected.weights)
    jax.tree.map(np.testing.assert_array_equal, found.moments, expected.moments)


def random_state(one: RLlibLearner, name: str) -> TrainingState:
    """A state with weights so large that actions reach their limits."""
    begun, rng = one.begin(3, params(name)), np.random.default_rng(0)
    weights = jax.tree.map(lambda w: rng.normal(0.0, 0.5, w.shape).astype(np.float32), begun.weights)
    return TrainingState(seed=3, updates=0, weights=weights, moments=begun.moments)


def predicted(one: RLlibLearner, name: str, state: TrainingState, observation: np.ndarray) -> np.ndarray:
    """What the library's modules say, limited to the action bounds as the library limits it."""
    actions = np.zeros((len(observation), one.env.n_action), np.float32)
    groups = getattr(one, "groups", None)
    for i, key in enumerate(one.modules()):
        with quiet():
            module = one.spec(key).build()
        module.set_state(dict(state.weights[key]))
        members = [(slice(None), slice(None), np.zeros(0, np.float32))]
        if groups is not None:
            number = np.eye(groups[i].n_agent, dtype=np.float32) if groups[i].n_agent > 1 else np.zeros((1, 0))
            members = list(zip(groups[i].observations, groups[i].actions, number, strict=True))
        for seen, acted, which in members:
            part = observation[:, seen]
            told = np.concatenate([part, np.broadcast_to(which, (len(part), len(which)))], axis=1)
            outputs = module.forward_inference({"obs": torch.from_numpy(told.astype(np.float32))})
            mean = outputs["action_dist_inputs"].chunk(2, dim=-1)[0]
            actions[:, acted] = mean.numpy().clip(-1.0, 1.0)
    return actions


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("name", NAMES)
def test_policy_and_its_bundle_do_what_the_modules_of_the_library_do(name: str, activation: str) -> None:
    one = learner(name, activation=activation)
    state = random_state(one, name)
    observation = np.random.default_rng(1).uniform(-3, 3, (1000, one.env.n_observation)).astype(np.float32)
    expected = predicted(one, name, state, observation)
    policy = one.policy(state)
    assert isinstance(policy, Controller)
    assert policy.name == name
    found = np.asarray(policy.act(params(name), object.__new__(EnvState), jnp.asarray(observation)))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert 0.005 < np.mean(np.abs(expected) == 1.0) < 0.95
    onnxruntime = pytest.importorskip("onnxruntime", reason="extra hil: runs bundles")
    content = to_onnx(policy, one.env.n_observation, one.env.n_action)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(["action"], {"observation": observation})[0], expected, atol=1e-5)


def test_beginning_is_the_same_for_a_seed_and_leaves_the_generators_of_the_process_alone() -> None:
    torch.manual_seed(0)
    expected = float(torch.rand(1))
    torch.manual_seed(0)
    one = learner("rllib_ppo")
    first = one.begin(3, params("rllib_ppo"))
    assert float(torch.rand(1)) == expected
    assert_same(one.begin(3, params("rllib_ppo")), first)
    other = one.begin(4, params("rllib_ppo")).weights["default_policy"]["policy.0.weight"]
    assert not np.array_equal(other, first.weights["default_policy"]["policy.0.weight"])


def test_an_update_that_cuts_episodes_off_is_refused() -> None:
    with pytest.raises(ConfigError) as error:
        learner("rllib_ppo", rollout_steps=SHORT + 1, num_envs=2).begin(0, params("rllib_ppo"))
    assert str(error.value) == (
        f"agent.rollout_steps = {SHORT + 1} with episodes of {SHORT} steps; allowed: {SHORT}, {2 * SHORT}, "
        f"{3 * SHORT}, ...: an update of RLlib consists of whole episodes; change one of the two"
    )


@pytest.mark.parametrize("name", NAMES)
def test_checkpoint_holds_everything_and_that_of_another_run_is_refused(name: str, tmp_path: Path) -> None:
    one = learner(name)
    state = random_state(one, name)
    one.save(tmp_path / "c", state, IDENTITY)
    assert_same(one.load(tmp_path / "c", 3, params(name), IDENTITY), state)
    with pytest.raises(RunError, match="seed is 3; this run needs 4"):
        one.load(tmp_path / "c", 4, params(name), {**IDENTITY, "seed": 4})
    with pytest.raises(RunError, match=r"array 'weights\.\S+' is float32\[8.*\]; this run needs float32\[5"):
        learner(name, hidden=(5, 6)).load(tmp_path / "c", 3, params(name), IDENTITY)


def test_damaged_and_missing_checkpoints_are_one_line(tmp_path: Path) -> None:
    one, path = learner("rllib_ppo"), tmp_path / "c"
    with pytest.raises(RunError, match=r"checkpoint '.*c': no such file"):
        one.load(path, 3, params("rllib_ppo"), IDENTITY)
    one.save(path, random_state(one, "rllib_ppo"), IDENTITY)
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", whole[:3000] + bytes(40) + whole[3040:]):
        path.write_bytes(damaged)
        with pytest.raises(RunError, match=r"checkpoint '.*c': damaged \(.*\); delete it") as error:
            one.load(path, 3, params("rllib_ppo"), IDENTITY)
        assert "\n" not in str(error.value)


@pytest.mark.exact
def test_metered_environments_measure_eur_whatever_the_scale_and_the_agents_sum_to_the_whole() -> None:
    name = "rllib_ippo"
    env, n_step = functional(TASKS[name], steps_per_episode=SHORT)[0], SHORT
    vector: MeteredVectorEnv = learner("rllib_ppo").make_env(params("rllib_ppo"))({"num_envs": 2})
    vector.reset(seed=5)
    rewards = [vector.step(np.zeros(vector.action_space.shape, np.float32))[1] for _ in range(n_step + 1)]
    names = vector.env.cost_names
    measured = means([vector.sums.take()], names)
    # The last step began new episodes, and is none of those measured.
    assert measured["train/reward_eur"] == pytest.approx(np.sum(rewards) / 0.1 / (2 * n_step), rel=1e-6)
    totals = []
    for reward in ("shared", "own"):
        agents: MeteredAgents = learner(name, reward=reward).make_env(params(name))({})
        observations, _ = agents.reset(seed=5)
        assert all(agents.observation_spaces[a].contains(o) for a, o in observations.items())
        for _ in range(n_step):
            *_, terminated, truncated, _ = agents.step({a: np.zeros(s.shape) for a, s in agents.action_spaces.items()})
        assert truncated["__all__"]
        assert not terminated["__all__"]
        totals.append(means([agents.sums.take()], env.cost_names))
    assert totals[0] == pytest.approx(totals[1], rel=1e-5)
    charged = np.asarray(params(name).charged_eur) @ [totals[0][f"train/cost_{c}"] for c in env.cost_names]
    assert totals[0]["train/reward_eur"] == pytest.approx(totals[0]["train/economic_eur"] - charged, rel=1e-4)


@pytest.mark.slow
def test_ray_that_an_update_started_ends_with_close(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GRIDENV_CACHE_DIR", str(tmp_path))
    one = learner("rllib_ppo", ray={"cpus": 1})
    assert isinstance(one, HasProcesses)
    one.close()
    try:
        train(one, one.begin(3, params("rllib_ppo")), 1)
        assert ray.cluster_resources()["CPU"] == 1
    finally:
        one.close()
    assert not ray.is_initialized()


@pytest.fixture(scope="module")
def local_ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with quiet_ray(tmp_path_factory.mktemp("home"), log_to_driver=False):
        yield


@pytest.mark.slow
@pytest.mark.parametrize(("name", "n_runner"), [("rllib_ppo", 0), ("rllib_ppo", 2), ("rllib_ippo", 0)])
def test_training_goes_on_from_a_checkpoint_to_the_same_weights(
    name: str, n_runner: int, tmp_path: Path, local_ray: None
) -> None:
    one, other = (learner(name, num_env_runners=n_runner) for _ in range(2))
    try:
        straight, rows = train(one, one.begin(3, params(name)), 3)
        assert all(np.isfinite(list(row.values())).all() for row in rows)
        assert {"train/reward_eur", "loss/policy", "loss/value", "policy/kl", "policy/std"} <= rows[0].keys()
        state, first = train(one, one.begin(3, params(name)), 1)
        one.save(tmp_path / "c", state, IDENTITY)
        one.close()
        # Another training in the same algorithm leaves no trace.
        train(other, other.begin(4, params(name)), 1)
        torch.manual_seed(0)
        state, rest = train(other, other.load(tmp_path / "c", 3, params(name), IDENTITY), 2)
        assert first + rest == rows
        assert_same(state, straight)
    finally:
        for each in (one, other):
            each.close()


@pytest.mark.slow
def test_learning_rate_falls_and_the_policy_gets_better(local_ray: None) -> None:
    name, settings = "rllib_ppo", {"learning_rate": 1e-2, "gamma": 0.0, "num_envs": 16, "total_steps": 30 * 16 * SHORT}
    one = learner(name, **settings)
    try:
        _, rows = train(one, one.begin(3, params(name)), 30)
    finally:
        one.close()
    earned = [row["train/reward_eur"] for row in rows]
    assert np.mean(earned[-5:]) > np.mean(earned[:5]) + 0.5 * abs(np.mean(earned[:5]))
    assert np.mean([row["policy/kl"] for row in rows[-5:]]) < np.mean([row["policy/kl"] for row in rows[:5]])


@pytest.mark.slow
def test_more_env_runners_than_processors_and_those_inside_of_a_sweep_are_refused(local_ray: None) -> None:
    name = "rllib_ppo"
    with pytest.raises(ConfigError, match=r"agent.num_env_runners = 4; allowed: up to 2, the processors of this Ray"):
        train(learner(name, num_env_runners=4), learner(name).begin(3, params(name)), 1)

    @ray.remote(num_cpus=1)
    def refused() -> str:
        one = learner(name, num_env_runners=1)
        with pytest.raises(ConfigError) as error:
            one.update(one.begin(3, params(name)), params(name))
        return str(error.value)

    assert "allowed: 0, a sweep has a process for every training already" in ray.get(refused.remote())


class _BuiltError(Exception):
    pass


@pytest.mark.slow
def test_environments_of_trainings_side_by_side_have_names_of_their_own_and_are_forgotten(local_ray: None) -> None:
    config = config_class("rllib_ppo")(**SETTINGS)

    @ray.remote(num_cpus=1)
    class Process:
        def name(self) -> str:
            from ray.tune.registry import ENV_CREATOR, _global_registry

            found = []

            def shape(settings: Any) -> Any:
                found.append(settings.env)
                assert _global_registry.contains(ENV_CREATOR, settings.env)
                raise _BuiltError

            with pytest.raises(_BuiltError):
                Machine(config, lambda _: None, shape)
            assert not _global_registry.contains(ENV_CREATOR, found[0])
            return str(found[0])

    first, second = ray.get([process.name.remote() for process in (Process.remote(), Process.remote())])
    assert first != second


@pytest.mark.slow
def test_a_killed_env_runner_is_one_line_and_the_training_goes_on(local_ray: None) -> None:
    name = "rllib_ppo"
    one = learner(name, num_env_runners=1)
    try:
        state, _ = train(one, one.begin(3, params(name)), 1)
        (actor,) = one._machine._algorithm.env_runner_group._worker_manager.actors().values()
        ray.kill(actor)
        with pytest.raises(RunError, match=r"an env runner's process ended \(.*\); go on with `gridenv train") as error:
            one.update(state, params(name))
        assert "\n" not in str(error.value)
        one.close()
        again, rows = train(one, state, 1)
        assert again.updates == 2
        assert np.isfinite(rows[0]["train/reward_eur"])
    finally:
        one.close()
