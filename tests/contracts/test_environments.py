"""Every registered task, through every door: functional, Gymnasium, native vector environment."""

import json
import subprocess
import sys
import warnings

import gymnasium
import jax
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from jax import numpy as jnp

from gridenv.tasks.registry import NAMESPACE
from tests.environments import (
    SHORT,
    TASK_IDS,
    action_stream,
    assert_all_finite,
    functional,
    single,
    sync,
    vector,
)

TOLERANCE = 1e-6
every_task = pytest.mark.parametrize("task", ["VoltVar-IEEE33-v0"])
"""In depth and with many programs on one task; what all tasks promise is in test_every_task.py."""


@every_task
def test_gymnasium_check_env_passes_without_warnings(task):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(single(task).unwrapped, skip_render_check=True)


@every_task
def test_gymnasium_passive_checker_is_silent_over_an_episode(task):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = single(task, steps_per_episode=SHORT)
        env.reset(seed=0)
        ended = [env.step(env.action_space.sample())[2:4] for _ in range(SHORT)]
    assert ended == [(False, False)] * (SHORT - 1) + [(False, True)]


@every_task
def test_registration_uses_entry_points_by_name(task):
    spec = gymnasium.spec(NAMESPACE + task)
    assert isinstance(spec.entry_point, str)
    assert isinstance(spec.vector_entry_point, str)


@every_task
def test_spaces_are_float32_with_finite_bounds(task):
    env = single(task)
    for space in (env.observation_space, env.action_space):
        assert space.dtype == np.float32
        assert np.all(np.isfinite(space.low))
        assert np.all(space.low < space.high)


@every_task
def test_manifest_describes_every_entry_and_is_json(task):
    env, _ = functional(task)
    manifest = json.loads(json.dumps(env.manifest))
    assert len(manifest["observation"]) == env.n_observation
    assert len(manifest["action"]) == env.n_action


@every_task
def test_gymnasium_same_seed_same_numbers_other_seed_other_episode(task):
    env = single(task)
    actions = action_stream(env.unwrapped.functional, 1, 5)[:, 0]

    def run(seed):
        first, info = env.reset(seed=seed)
        return info["start_step"], [first, *(env.step(action)[0] for action in actions)]

    start, observations = run(5)
    same_start, same_observations = run(5)
    assert start == same_start
    np.testing.assert_array_equal(observations, same_observations)
    assert len({run(seed)[0] for seed in range(6)}) > 1


@every_task
def test_gymnasium_observation_stays_in_space_for_1000_random_and_extreme_steps(task):
    env = single(task)
    env.reset(seed=1)
    for action in action_stream(env.unwrapped.functional, 1, 1000)[:, 0]:
        observation, reward, terminated, truncated, info = env.step(action)
        assert observation in env.observation_space
        assert np.isfinite(reward)
        assert_all_finite({k: v for k, v in info.items() if k != "cost_names"})
        if terminated or truncated:
            assert env.reset()[0] in env.observation_space


@every_task
def test_step_batch_scanned_for_1000_steps_never_gives_nan(task):
    env, params = functional(task)
    _, state = env.reset_batch(jax.random.key(0), params, 8)
    actions = 3.0 * action_stream(env, 8, 1000)  # beyond the bounds as well

    @jax.jit
    def rollout(state, actions, params):
        def body(state, step):
            key, action = step
            observation, state, reward, terminated, truncated, info = env.step_batch(key, state, action, params)
            return state, (observation, reward, terminated, truncated, info)

        keys = jax.random.split(jax.random.key(1), len(actions))
        return jax.lax.scan(body, state, (keys, actions))

    state, history = rollout(state, actions, params)
    assert_all_finite((state, history[0], history[1], history[2], history[3]))
    assert_all_finite({k: v for k, v in history[4].items() if k != "status"})
    low, high = env.observation_bounds
    assert np.all((np.asarray(history[0]) >= low) & (np.asarray(history[0]) <= high))
    # Every environment truncates again and again: nobody is stuck.
    assert np.all(np.sum(history[3], axis=0) >= 1000 // params.steps_per_episode - 1)


@every_task
def test_functional_env_is_vmappable_and_agrees_with_its_own_batch(task):
    with jax.enable_x64(True):
        env, params = functional(task, dtype="float64")
        starts = jnp.asarray(np.resize(params.starts, 5))
        actions = action_stream(env, 5, 1)[0]
        _, states = env.reset_at(starts, params)
        batch = env.step(None, states, actions, params)
        mapped = jax.vmap(lambda s, a: env.step(None, s, a, params))(states, actions)
        alone = [
            env.step(None, jax.tree.map(lambda x, i=i: x[i], states), actions[i], params) for i in range(len(actions))
        ]
        stacked = jax.tree.map(lambda *rows: jnp.stack(rows), *alone)
    for other in (mapped, stacked):
        for got, expected in zip(jax.tree.leaves(other), jax.tree.leaves(batch), strict=True):
            np.testing.assert_allclose(got, expected, TOLERANCE, TOLERANCE)


@every_task
def test_step_batch_begins_a_new_episode_and_keeps_the_final_observation(task):
    env, params = functional(task, steps_per_episode=SHORT)
    starts = jnp.asarray(np.asarray(params.starts)[:3])
    observation, state = env.reset_at(starts, params)
    # The environments are made to end in different steps.
    state = type(state)(grid=state.grid, steps=jnp.array([0, 3, 3], jnp.int32))
    first_observations, _ = env.reset_at(params.starts, params)
    for n, action in enumerate(action_stream(env, 3, SHORT)):
        last = env.step(None, state, action, params)
        observation, state, reward, terminated, truncated, info = env.step_batch(
            jax.random.key(n), state, action, params
        )
        done = np.asarray(terminated | truncated)
        np.testing.assert_allclose(info["final_observation"], last[0], TOLERANCE, TOLERANCE)
        np.testing.assert_allclose(reward, last[2], TOLERANCE, TOLERANCE)
        np.testing.assert_array_equal(observation[~done], info["final_observation"][~done])
        np.testing.assert_array_equal(np.asarray(state.steps)[done], 0)
        for row in np.asarray(observation)[done]:
            assert np.min(np.max(np.abs(np.asarray(first_observations) - row), axis=-1)) < 1e-5
        expected = np.array([n == SHORT - 1, n == SHORT - 4, n == SHORT - 4])
        np.testing.assert_array_equal(np.asarray(truncated), expected)


def _compare_infos(native, reference, names):
    """Everything that Gymnasium's own vector environment tells, the native one tells as well."""
    for name, expected in reference.items():
        if name.startswith("_"):
            continue
        mask = reference[f"_{name}"]
        assert np.all(native[f"_{name}"][mask]), [*names, name]
        if isinstance(expected, dict):
            _compare_infos(native[name], expected, [*names, name])
        elif name == "final_obs":
            np.testing.assert_allclose(np.stack(native[name][mask]), np.stack(expected[mask]), TOLERANCE, TOLERANCE)
        elif expected.dtype == object:
            assert list(native[name][mask]) == list(expected[mask])
        else:
            np.testing.assert_allclose(native[name][mask], expected[mask], TOLERANCE, TOLERANCE, str([*names, name]))


@pytest.mark.exact
@every_task
@pytest.mark.parametrize("mode", AutoresetMode)
def test_vector_env_agrees_with_single_envs_over_episodes_with_autoreset(task, mode):
    native, reference = (make(task, 5, autoreset_mode=mode, steps_per_episode=SHORT) for make in (vector, sync))
    assert native.metadata["autoreset_mode"] is mode
    for env in (native, reference):
        assert env.observation_space == native.observation_space
        assert env.action_space == native.action_space
    (observation, info), (expected, expected_info) = native.reset(seed=3), reference.reset(seed=3)
    np.testing.assert_allclose(observation, expected, TOLERANCE, TOLERANCE)
    _compare_infos(info, expected_info, ["reset"])
    ended = 0
    for action in action_stream(native.functional, 5, 2 * SHORT + 4):
        *results, info = native.step(action)
        *expected, expected_info = reference.step(action)
        for got, want in zip(results, expected, strict=True):
            np.testing.assert_allclose(got, want, TOLERANCE, TOLERANCE)
        _compare_infos(info, expected_info, [])
        done = results[2] | results[3]
        ended += done.sum()
        if mode == AutoresetMode.DISABLED and done.any():
            observation, info = native.reset(options={"reset_mask": done})
            expected, expected_info = reference.reset(options={"reset_mask": done.copy()})
            np.testing.assert_allclose(observation, expected, TOLERANCE, TOLERANCE)
            _compare_infos(info, expected_info, ["reset"])
    assert ended == 10


@every_task
def test_vector_env_agrees_with_functional_step(task):
    native = vector(task, 4)
    env, params = functional(task)
    first, info = native.reset(seed=11)
    observation, state = env.reset_at(jnp.asarray(info["start_step"]), params)
    # Compiled by itself the functional step rounds elsewhere: voltages agree to 2 units in the last place.
    np.testing.assert_allclose(first, observation, rtol=1e-5, atol=1e-5)
    for action in action_stream(env, 4, 5):
        got, reward, *_ = native.step(action)
        observation, state, expected, *_ = env.step(None, state, action, params)
        np.testing.assert_allclose(got, observation, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(reward, expected, rtol=1e-4, atol=1e-3)


@every_task
def test_batch_size_does_not_change_the_numbers(task):
    """An environment by itself, in a small and in a large batch: the same to the last bit."""
    actions = action_stream(functional(task)[0], 1, 6)[:, 0]
    histories = []
    for n in (1, 3, 200):
        env = vector(task, n)
        env.reset(options={"start_step": 96 * np.arange(n) + 48})
        histories.append([env.step(np.tile(action, (n, 1)))[:2] for action in actions])
    for history in histories[1:]:
        for (observation, reward), (expected, expected_reward) in zip(history, histories[0], strict=True):
            np.testing.assert_array_equal(observation[0], expected[0])
            assert reward[0] == expected_reward[0]


def test_importing_gridenv_registers_the_ids_without_jax_or_pandapower():
    code = (
        "import sys, gridenv, gymnasium\n"
        "heavy = {'jax', 'jaxlib', 'pandapower', 'pandas', 'scipy', 'torch', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        f"[gymnasium.spec('{NAMESPACE}' + task) for task in {TASK_IDS!r}]\n"
        "assert set(gridenv.__all__) <= set(dir(gridenv))\n"
        "assert gridenv.__version__\n"
        "gridenv.make\n"
        "assert 'jax' not in sys.modules\n"
        "gridenv.PowerFlow\n"
        "assert 'jax' in sys.modules and 'pandapower' not in sys.modules\n"
        "try:\n"
        "    gridenv.nothing\n"
        "except AttributeError as error:\n"
        "    assert 'nothing' in str(error) and 'PowerFlow' in str(error)\n"
        "else:\n"
        "    raise SystemExit('no error')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
