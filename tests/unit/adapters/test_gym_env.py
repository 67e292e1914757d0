import gymnasium
import jax
import numpy as np
import pytest
from gymnasium.error import ResetNeeded

from gridenv.adapters.drawing.colours import NO_SUPPLY
from gridenv.core.errors import ActionError, ConfigError
from gridenv.sim.state import Status
from tests.environments import SHORT, single

TASK = "VoltVar-IEEE33-v0"


@pytest.fixture
def env():
    made = single(TASK, steps_per_episode=SHORT).unwrapped
    made.reset(seed=0)
    return made


def test_make_unknown_setting_is_an_error_that_names_it():
    with pytest.raises(ConfigError, match="load_scal"):
        single(TASK, load_scal=2.0)


def test_make_unknown_render_mode_is_an_error_that_names_those_there_are():
    with (
        pytest.warns(UserWarning, match="render_mode"),
        pytest.raises(ConfigError, match="render_mode is 'ansi'; allowed: rgb_array, human or None"),
    ):
        single(TASK, render_mode="ansi")


def test_render_gives_a_picture_that_changes_with_the_step():
    env = single(TASK, render_mode="rgb_array", steps_per_episode=SHORT)
    env.reset(seed=0)
    first = env.render()
    env.step(np.ones(6))
    second = env.render()
    assert first.shape == second.shape == (540, 960, 3)
    assert first.dtype == np.uint8
    assert np.mean(first != second) > 1e-3
    np.testing.assert_array_equal(env.render(), second)


@pytest.mark.slow
def test_render_shows_what_an_opened_switch_leaves_without_supply():
    switches = [{"id": "line.6"}]
    env = single("Storage-IEEE33-v0", switches=switches, render_mode="rgb_array", steps_per_episode=SHORT)
    grey = [int(NO_SUPPLY[i : i + 2], 16) for i in (1, 3, 5)]

    def greys(switch):
        env.reset(seed=0)
        env.step(np.array([0.0, 0.0, 0.0, 0.0, switch]))
        return np.sum(np.all(env.render() == grey, axis=-1))

    # Twelve buses, beside the one of the legend.
    assert greys(-1.0) > 5 * greys(1.0)


def test_rendering_does_not_change_the_numbers(env):
    drawn = single(TASK, render_mode="rgb_array", steps_per_episode=SHORT)
    action = np.full(6, 0.3)
    np.testing.assert_array_equal(drawn.reset(seed=4)[0], env.reset(seed=4)[0])
    drawn.render()
    np.testing.assert_array_equal(drawn.step(action)[0], env.step(action)[0])


def test_make_equal_settings_share_one_program(env):
    assert single(TASK, steps_per_episode=SHORT).unwrapped.functional is env.functional
    assert single(TASK).unwrapped.functional is not env.functional


def test_make_settings_reach_the_task(env):
    heavy = single(TASK, steps_per_episode=SHORT, load_scale=5.0).unwrapped
    action = np.zeros(env.functional.n_action)
    losses = []
    for made in (env, heavy):
        made.reset(options={"start_step": 0})
        losses.append(made.step(action)[4]["kpi"]["kwh.loss"])
    assert losses[1] < losses[0]


def test_reset_day_and_start_step_choose_the_episode(env):
    day = int(env._episodes.starts[3]) // 96
    first, info = env.reset(options={"day": day})
    assert info["start_step"] == 96 * day
    second, info = env.reset(options={"start_step": 96 * day})
    np.testing.assert_array_equal(first, second)
    noon, _ = env.reset(options={"start_step": 96 * day + 48})
    assert not np.array_equal(first, noon)


def test_reset_chosen_episode_leaves_the_generator_alone(env):
    drawn = [env.reset(seed=4)[1]["start_step"], env.reset()[1]["start_step"]]
    env.reset(seed=4)
    env.reset(options={"start_step": 5})
    assert env.reset()[1]["start_step"] == drawn[1]


def test_reset_unknown_option_and_bad_day_are_errors(env):
    with pytest.raises(ConfigError, match="unknown option 'days'; did you mean 'day'"):
        env.reset(options={"days": 1})
    with pytest.raises(ConfigError, match="'day' is 400, which is not among the 206 days"):
        env.reset(options={"day": 400})


def test_step_action_of_wrong_shape_or_with_nan_is_an_error_naming_the_channel(env):
    with pytest.raises(ActionError, match=rf"{TASK}: action has shape \(2,\); it must be \(6,\)"):
        env.step(np.zeros(2))
    action = np.zeros(6)
    action[4] = np.nan
    with pytest.raises(ActionError, match=r"entry 4 'pv.27.q_share' is nan"):
        env.step(action)


def test_step_refused_action_does_not_move_the_episode(env):
    before = env.state
    with pytest.raises(ActionError):
        env.step(np.full(6, np.inf))
    assert env.state is not before
    assert int(env.state.steps) == int(before.steps) == 0


def test_step_beyond_the_bounds_is_limited_and_flagged(env):
    info = env.step(np.array([2.0, -3.0, 0.5, 0.0, 1.0, -1.0]))[4]
    assert info["status"] & Status.ACTION_CORRECTED
    np.testing.assert_array_equal(info["action_requested"], np.array([2.0, -3.0, 0.5, 0.0, 1.0, -1.0], np.float32))
    np.testing.assert_array_equal(info["action_limited"], np.array([1.0, -1.0, 0.5, 0.0, 1.0, -1.0], np.float32))


def test_step_without_reset_and_after_the_end_is_an_error():
    made = single(TASK, steps_per_episode=SHORT).unwrapped
    with pytest.raises(ResetNeeded, match=r"no episode has begun; call reset\(\) first"):
        made.step(np.zeros(6))
    made.reset(seed=0)
    ended = [made.step(np.zeros(6))[3] for _ in range(SHORT)]
    assert ended[-1]
    with pytest.raises(ResetNeeded, match=rf"{TASK}: step after the end of the episode; call reset\(\) first"):
        made.step(np.zeros(6))
    made.reset()
    made.step(np.zeros(6))


def test_step_info_holds_what_the_documentation_promises(env):
    info = env.step(np.zeros(6))[4]
    assert info["cost_names"] == ("v_band", "thermal", "pf_fail") == env.cost_names
    assert info["cost"].shape == (3,)
    kinds = {name: type(info[name]) for name in ("economic_eur", "pf_residual", "pf_converged", "status")}
    assert kinds == {"economic_eur": float, "pf_residual": float, "pf_converged": bool, "status": int}
    loading = {"line_loading_max", "transformer_loading_max"}
    money = {"eur.loss", "eur.inverter_curtailment"}
    energy = {f"kwh.{name}" for name in ("source", "load", "loss", "inverter_available", "inverter_curtailed")}
    assert {"v_min_pu", "v_max_pu", "v_band_share", *loading, *money, *energy} == set(info["kpi"])
    assert info["unit_eur"].shape == (6,)
    assert all(isinstance(value, float) for value in info["kpi"].values())
    for name in ("action_requested", "action_limited", "action_applied"):
        assert info[name].shape == (6,)


def test_step_results_can_be_written_to_and_are_never_reused(env):
    first = env.step(np.zeros(6))[0]
    kept = first.copy()
    second = env.step(np.zeros(6))[0]
    second[:] = 0.0
    np.testing.assert_array_equal(first, kept)


def test_state_kept_and_set_gives_the_same_future(env):
    action = np.full(6, 0.3)
    env.step(action)
    kept = env.state
    futures = []
    for _ in range(2):
        env.state = kept
        futures.append([env.step(action)[:4] for _ in range(SHORT - 1)])
    for one, other in zip(*futures, strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        assert one[1:] == other[1:]
    assert futures[0][-1][3]


def test_state_set_at_the_end_of_an_episode_still_needs_a_reset(env):
    for _ in range(SHORT):
        env.step(np.zeros(6))
    env.state = env.state
    with pytest.raises(ResetNeeded):
        env.step(np.zeros(6))


def test_state_set_after_a_failure_still_needs_a_reset():
    made = single(TASK, steps_per_episode=SHORT, load_scale=40.0).unwrapped
    made.reset(options={"start_step": 19 * 4})
    assert made.step(np.zeros(6))[2]
    kept = made.state
    made.reset(seed=0)
    made.state = kept
    with pytest.raises(ResetNeeded, match=rf"{TASK}: step after the end of the episode; call reset\(\) first"):
        made.step(np.zeros(6))


def test_state_has_no_batch_axis_and_fits_the_functional_environment(env):
    state = env.state
    assert state.steps.shape == ()
    observation = env.functional.step(None, state, np.zeros(6, np.float32), env._program.params)[0]
    np.testing.assert_allclose(env.step(np.zeros(6))[0], observation, rtol=1e-5, atol=1e-5)


def test_float64_task_returns_float32_observations_in_space_and_finer_results():
    made = single(TASK, steps_per_episode=SHORT, dtype="float64")
    observation, _ = made.reset(seed=0)
    assert observation.dtype == np.float32
    assert observation in made.observation_space
    assert made.unwrapped.state.grid.slot_voltage.dtype == np.float64
    info = made.step(np.zeros(6))[4]
    assert info["cost"].dtype == np.float64
    assert info["pf_residual"] < 1e-9
    assert jax.numpy.zeros(1).dtype == np.float32  # JAX's own setting is as it was


def test_time_limit_of_gymnasium_can_cut_episodes_short():
    made = gymnasium.make("gridenv/" + TASK, max_episode_steps=3, steps_per_episode=SHORT)
    made.reset(seed=0)
    assert [made.step(np.zeros(6))[3] for _ in range(3)] == [False, False, True]
