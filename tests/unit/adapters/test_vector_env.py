import json
from dataclasses import replace

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers.vector import ClipAction, ClipReward, DictInfoToList, RecordEpisodeStatistics

from gridenv.adapters.program import EXACT_ROWS
from gridenv.adapters.vector_env import GridVectorEnv
from gridenv.adapters.vector_options import parse_num_envs, parse_seeds
from gridenv.core.errors import ActionError, ConfigError
from tests.environments import SHORT, action_stream, single, sync, vector

TASK = "VoltVar-IEEE33-v0"
N = 5
NO_ACTION = np.zeros((N, 6), np.float32)


@pytest.fixture(params=AutoresetMode, ids=lambda mode: mode.name)
def env(request):
    made = vector(TASK, N, steps_per_episode=SHORT, autoreset_mode=request.param)
    made.reset(seed=0)
    return made


@pytest.fixture
def disabled():
    made = vector(TASK, N, steps_per_episode=SHORT, autoreset_mode="Disabled")
    made.reset(seed=0)
    return made


@pytest.mark.parametrize("mode", ["SAME_STEP", "SameStep", AutoresetMode.SAME_STEP])
def test_autoreset_mode_by_name_value_or_itself(mode):
    assert vector(TASK, N, steps_per_episode=SHORT, autoreset_mode=mode).metadata["autoreset_mode"] is (
        AutoresetMode.SAME_STEP
    )


def test_autoreset_mode_unknown_suggests_the_closest():
    with pytest.raises(ConfigError, match=r"unknown autoreset_mode 'NEXTSTEP'; did you mean 'NEXT_STEP'"):
        vector(TASK, N, autoreset_mode="NEXTSTEP")


@pytest.mark.parametrize("num_envs", [0, -3, 2.5, True])
def test_num_envs_not_a_positive_whole_number_is_an_error(num_envs):
    with pytest.raises(ConfigError, match=f"num_envs is {num_envs!r}; allowed: a whole number from 1"):
        parse_num_envs(num_envs)
    with pytest.raises(ConfigError, match="num_envs is -1; allowed"):
        vector(TASK, -1)


def test_default_is_same_step_without_a_vectorization_mode():
    made = gymnasium.make_vec("gridenv/" + TASK, num_envs=N, steps_per_episode=SHORT)
    assert made.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    assert made.num_envs == N


def test_reset_seeds_are_dealt_as_gymnasium_deals_them(env):
    starts = env.reset(seed=7)[1]["start_step"]
    np.testing.assert_array_equal(env.reset(seed=[7, 8, 9, 10, 11])[1]["start_step"], starts)
    assert env.np_random_seed == (7, 8, 9, 10, 11)
    alone = single(TASK, steps_per_episode=SHORT)
    assert [alone.reset(seed=7 + i)[1]["start_step"] for i in range(N)] == starts.tolist()
    # Without a seed every generator goes on; None in a list keeps one as it is.
    following = env.reset()[1]["start_step"]
    env.reset(seed=7)
    np.testing.assert_array_equal(env.reset(seed=[None, 8, None, None, None])[1]["start_step"][2:], following[2:])


def test_reset_without_any_seed_draws_different_episodes():
    made = vector(TASK, 64, steps_per_episode=SHORT)
    starts = made.reset()[1]["start_step"]
    assert len(set(starts.tolist())) > 20
    assert len(made.np_random) == len(made.np_random_seed) == 64


def test_reset_options_choose_the_same_or_different_days(env):
    days = env._episodes.starts[:N] // 96
    np.testing.assert_array_equal(env.reset(options={"day": days})[1]["start_step"], 96 * days)
    np.testing.assert_array_equal(env.reset(options={"start_step": 5})[1]["start_step"], np.full(N, 5))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": [1, 2]}, "reset: seed has 2 entries; allowed: 5, one for each environment"),
        ({"seed": -1}, "reset: seed of environment 0 is -1; allowed: a whole number from 0"),
        ({"options": {"mask": 1}}, "unknown option 'mask'; did you mean 'reset_mask'"),
        ({"options": {"reset_mask": [True] * 5}}, r"'reset_mask' is \[True.*\]; allowed: a NumPy array of bool"),
        ({"options": {"reset_mask": np.ones(4, bool)}}, r"'reset_mask' is bool \(4,\); allowed: .* shape \(5,\)"),
        ({"options": {"reset_mask": np.ones(5)}}, r"'reset_mask' is float64 \(5,\)"),
        ({"options": {"reset_mask": np.zeros(5, bool)}}, "'reset_mask' has no True entry"),
        ({"options": {"day": [0, 1]}}, "option 'day' is .*; allowed: a whole number or 5 of them"),
    ],
)
def test_reset_bad_arguments_are_errors_that_name_them(env, arguments, message):
    with pytest.raises(ConfigError, match=message):
        env.reset(**arguments)


def test_parse_seeds_not_whole_is_an_error_that_names_the_environment():
    assert parse_seeds(np.int64(3), 2) == [3, 4]
    with pytest.raises(ConfigError, match=r"reset: seed of environment 1 is 0\.5; allowed: a whole number from 0"):
        parse_seeds([1, 0.5], 2)


def test_reset_mask_stays_in_the_options_and_leaves_the_others_running(disabled):
    for _ in range(3):
        observation = disabled.step(NO_ACTION)[0]
    mask = np.array([False, True, False, False, True])
    options = {"reset_mask": mask}
    renewed, info = disabled.reset(options=options)
    assert options["reset_mask"] is mask
    np.testing.assert_array_equal(renewed[~mask], observation[~mask])
    np.testing.assert_array_equal(info["_start_step"], mask)
    np.testing.assert_array_equal(disabled.state.steps, np.where(mask, 0, 3))


def test_reset_mask_at_first_leaves_nothing_to_go_on_with():
    made = vector(TASK, N, steps_per_episode=SHORT)
    with pytest.raises(ResetNeeded, match="the first reset must be of all environments"):
        made.reset(options={"reset_mask": np.array([True, False, False, False, False])})
    with pytest.raises(ResetNeeded, match="no episode has begun"):
        made.step(NO_ACTION)


def test_step_with_autoreset_disabled_refuses_finished_environments(disabled):
    disabled.reset(options={"reset_mask": np.ones(N, bool)})
    disabled.step(NO_ACTION)
    disabled.reset(options={"reset_mask": np.array([True, False, True, False, False])})
    for _ in range(SHORT - 1):
        *_, truncated, _ = disabled.step(NO_ACTION)
    np.testing.assert_array_equal(truncated, [False, True, False, True, True])
    with pytest.raises(ResetNeeded, match=r"the episodes of environments \[1, 3, 4\] have ended; reset them first"):
        disabled.step(NO_ACTION)
    disabled.reset(options={"reset_mask": truncated})
    disabled.step(NO_ACTION)


def test_step_actions_of_wrong_shape_or_with_nan_are_errors(env):
    with pytest.raises(ActionError, match=r"shape \(6,\); it must be \(5, 6\): one row for each of 5 environments"):
        env.step(NO_ACTION[0])
    bad = NO_ACTION.copy()
    bad[3, 0] = np.nan
    with pytest.raises(ActionError, match=r"action of environment 3, entry 0 'pv.10.q_share' is nan"):
        env.step(bad)


def test_same_step_final_observation_reward_and_cost_belong_to_the_old_episode():
    made = vector(TASK, N, steps_per_episode=SHORT, autoreset_mode="SameStep")
    kept = vector(TASK, N, steps_per_episode=SHORT + 1, autoreset_mode="SameStep")
    for each in (made, kept):
        each.reset(seed=2)
    for _ in range(SHORT):
        observation, reward, _, truncated, info = made.step(NO_ACTION)
        going_on, same_reward, _, _, same_info = kept.step(NO_ACTION)
    assert truncated.all()
    np.testing.assert_array_equal(reward, same_reward)
    np.testing.assert_array_equal(np.stack(info["final_obs"]), going_on)
    # The step's own infos stay complete, so that sums of costs miss no step.
    assert info["_cost"].all()
    np.testing.assert_array_equal(info["cost"], same_info["cost"])
    np.testing.assert_array_equal(info["final_info"]["cost"], same_info["cost"])
    np.testing.assert_array_equal(info["final_info"]["kpi"]["kwh.loss"], same_info["kpi"]["kwh.loss"])
    first, _ = made.reset(options={"start_step": info["start_step"]})
    np.testing.assert_array_equal(observation, first)


def test_infos_hold_cost_names_and_a_mask_beside_every_key(env):
    info = env.step(NO_ACTION)[4]
    assert info["cost_names"][0] == env.cost_names

    def check(part):
        for name, value in part.items():
            if name.startswith("_"):
                assert value.shape == (N,)
                assert value.dtype == np.bool_
                continue
            assert f"_{name}" in part
            check(value) if isinstance(value, dict) else np.testing.assert_equal(len(value), N)

    check(info)


def test_results_can_be_written_to_and_do_not_reach_the_environment(disabled):
    observation = disabled.step(NO_ACTION)[0]
    kept = observation.copy()
    observation[:] = 0.0
    mask = np.array([True, False, False, False, False])
    np.testing.assert_array_equal(disabled.reset(options={"reset_mask": mask})[0][1:], kept[1:])


def test_wrapper_record_episode_statistics_counts_as_on_gymnasiums_own_vector_env(env):
    mode = env.metadata["autoreset_mode"]
    reference = sync(TASK, N, mode, steps_per_episode=SHORT)
    native, reference = RecordEpisodeStatistics(env), RecordEpisodeStatistics(reference)
    native.reset(seed=1)
    reference.reset(seed=1)
    for _ in range(2 * SHORT + 2):
        actions = native.action_space.sample()
        *results, info = native.step(actions)
        expected = reference.step(actions)[-1]
        assert ("episode" in info) == ("episode" in expected)
        done = results[2] | results[3]
        if done.any():
            np.testing.assert_allclose(info["episode"]["r"], expected["episode"]["r"], rtol=1e-4, atol=1e-2)
            np.testing.assert_array_equal(info["episode"]["l"], np.where(done, SHORT, 0))
            if mode == AutoresetMode.DISABLED:
                for each in (native, reference):
                    each.reset(options={"reset_mask": done.copy()})
    assert native.episode_count == 2 * N


def test_wrapper_dict_info_to_list_gives_each_environment_its_own_info(env):
    wrapped = DictInfoToList(env)
    infos = wrapped.reset(seed=3)[1]
    assert [set(info) for info in infos] == [{"start_step", "cost_names"}] * N
    infos = wrapped.step(NO_ACTION)[4]
    assert infos[2]["cost"].shape == (3,)
    assert infos[2]["cost_names"] == ("v_band", "thermal", "pf_fail")
    assert set(infos[2]["kpi"]) >= {"kwh.loss", "v_min_pu"}


def test_wrappers_that_change_actions_and_rewards_run(env):
    wrapped = ClipReward(ClipAction(env), min_reward=-1e-3)
    wrapped.reset(seed=0)
    _, reward, *_, info = wrapped.step(np.full((N, 6), 5.0, np.float32))
    np.testing.assert_array_equal(info["action_requested"], 1.0)
    assert np.all(reward >= -1e-3)


def test_float64_task_steps_in_double_precision():
    made = vector(TASK, 3, dtype="float64", steps_per_episode=SHORT)
    observation, _ = made.reset(seed=0)
    assert observation.dtype == np.float32
    info = made.step(NO_ACTION[:3])[4]
    assert info["cost"].dtype == np.float64
    assert made.state.grid.slot_voltage.dtype == np.float64


def test_large_batch_on_another_kernel_agrees_with_a_small_one_to_rounding():
    small, large = vector(TASK, N, steps_per_episode=SHORT), vector(TASK, EXACT_ROWS + 1, steps_per_episode=SHORT)
    seeds = list(range(N)) + [0] * (EXACT_ROWS + 1 - N)
    few, many = small.reset(seed=seeds[:N])[0], large.reset(seed=seeds)[0]
    actions = action_stream(small.functional, EXACT_ROWS + 1, SHORT)
    for action in actions:
        np.testing.assert_allclose(many[:N], few, atol=1e-5)
        few, reward, *_ = small.step(action[:N])
        many, rewards, *_ = large.step(action)
        np.testing.assert_allclose(rewards[:N], reward, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("num_envs", [1, N])
@pytest.mark.parametrize("mode", AutoresetMode, ids=lambda mode: mode.name)
def test_environments_go_on_from_a_snapshot_to_the_same_numbers(mode, num_envs):
    env = vector(TASK, num_envs, steps_per_episode=SHORT, autoreset_mode=mode)
    env.reset(seed=3)
    actions = action_stream(env.functional, num_envs, SHORT if mode == AutoresetMode.DISABLED else 3 * SHORT)
    half = len(actions) // 2
    for action in actions[:half]:
        env.step(action)
    snapshot = env.snapshot()
    other = GridVectorEnv.over(env.functional, env.params, num_envs, autoreset_mode=mode)
    other.restore(replace(snapshot, generators=tuple(json.loads(json.dumps(snapshot.generators)))))
    assert other.np_random_seed == env.np_random_seed
    for action in actions[half:]:
        for one, expected in zip(other.step(action)[:4], env.step(action)[:4], strict=True):
            np.testing.assert_array_equal(one, expected)
    np.testing.assert_array_equal(other.reset()[1]["start_step"], env.reset()[1]["start_step"])


def test_snapshot_needs_episodes_and_a_blank_one_has_its_shapes():
    env = vector(TASK, N, steps_per_episode=SHORT)
    blank = env.blank_snapshot()
    with pytest.raises(ResetNeeded, match="no episode has begun"):
        env.snapshot()
    env.reset(seed=0)
    rows = env.snapshot().rows
    assert {name: (a.shape, a.dtype) for name, a in blank.rows.items()} == {
        name: (a.shape, a.dtype) for name, a in rows.items()
    }
