"""What the functional environment refuses while it is traced."""

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from gridenv.core.errors import ActionError, ConfigError
from gridenv.tasks.registry import make
from tests.environments import functional

TASK = "VoltVar-IEEE33-v0"
SHARES = ", ".join(f"pv.{bus}.q_share" for bus in (10, 18, 21, 24, 27, 31))


def begun(num_envs: int):
    env, params = functional(TASK)
    return env, params, env.reset_at(params.starts[:num_envs] + 48, params)[1]


@pytest.mark.parametrize("action", [np.zeros(6), np.zeros((1, 6)), np.zeros((4, 1)), np.zeros((4, 5)), [[0.1] * 5] * 4])
def test_step_action_that_would_be_broadcast_is_refused(action) -> None:
    env, params, state = begun(4)
    shape = np.shape(action)
    for step in (env.step, env.step_batch):
        with pytest.raises(ActionError) as error:
            step(jax.random.key(0), state, action, params)
        assert str(error.value) == (
            f"{TASK}: action has shape {shape}; it must be (4, 6): the leading axes of the state, then one number for "
            f"each of {SHARES}; reshape it"
        )


def test_step_of_one_environment_takes_no_batch_of_actions() -> None:
    env, params, states = begun(1)
    state = jax.tree.map(lambda x: x[0], states)
    with pytest.raises(ActionError, match=r"action has shape \(1, 6\); it must be \(6,\): the leading axes"):
        env.step(None, state, np.zeros((1, 6)), params)


@pytest.mark.exact
def test_step_takes_lists_and_whole_numbers() -> None:
    env, params, state = begun(2)
    expected = env.step(None, state, jnp.array([[1.0] * 6, [0.0] * 6]), params)[2]
    for action in ([[1.0] * 6, [0.0] * 6], np.array([[1] * 6, [0] * 6])):
        np.testing.assert_array_equal(env.step(None, state, action, params)[2], expected)


def test_step_checks_the_shape_of_each_environment_inside_vmap() -> None:
    env, params, state = begun(2)
    rewards = jax.vmap(lambda s, a: env.step(None, s, a, params)[2])(state, np.zeros((2, 6), np.float32))
    assert rewards.shape == (2,)
    with pytest.raises(ActionError, match=r"action has shape \(5,\); it must be \(6,\)"):
        jax.vmap(lambda s, a: env.step(None, s, a, params)[2])(state, np.zeros((2, 5), np.float32))


def test_step_action_that_is_not_made_of_real_numbers_is_refused() -> None:
    env, params, state = begun(1)
    with pytest.raises(ActionError, match=rf"^{TASK}: action has type complex64; allowed: real numbers; convert it"):
        env.step(None, state, np.zeros((1, 6), complex), params)
    with pytest.raises(ActionError, match=rf"^{TASK}: action cannot be read as numbers \(.*<U4.*\); give an array$"):
        env.advance(state, [["left"] * 6], params)


def test_calls_of_a_float64_task_outside_enable_x64_are_refused() -> None:
    with jax.enable_x64(True):
        env, params = make(TASK, dtype="float64")
        _, state = env.reset_at(params.starts[:2], params)
        assert env.step(None, state, np.zeros((2, 6)), params)[2].dtype == np.float64
    message = (
        f"{TASK}: dtype is float64, but JAX computes this call in float32; put make and all calls inside `with "
        "jax.enable_x64(True):`, or use dtype='float32'"
    )
    key, action = jax.random.key(0), np.zeros((2, 6), np.float32)
    calls = {
        "reset": lambda: env.reset(key, params),
        "reset_batch": lambda: env.reset_batch(key, params, 2),
        "reset_at": lambda: env.reset_at(np.int32(5), params),
        "step": lambda: env.step(key, state, action, params),
        "step_batch": lambda: env.step_batch(key, state, action, params),
        "advance": lambda: env.advance(state, action, params),
    }
    for name, call in calls.items():
        with pytest.raises(ConfigError) as error:
            call()
        assert str(error.value) == message, name


def test_state_after_a_failure_is_at_the_end_of_the_episode() -> None:
    env, params = functional(TASK, load_scale=40.0)
    _, state = env.reset_at(np.array([19 * 4, 3 * 4], np.int32), params)
    failed = env.advance(state, np.zeros((2, 6), np.float32), params)
    assert bool(failed.terminated[0])
    expected = np.where(failed.terminated, params.steps_per_episode, 1)
    np.testing.assert_array_equal(failed.state.steps, expected)
    np.testing.assert_array_equal(failed.truncated, [False, False])
