import sys

import numpy as np
import pytest
from gymnasium.error import ResetNeeded

from gridenv.adapters.sb3 import sb3_vec_env
from gridenv.core.errors import ActionError, ConfigError, MissingExtraError
from tests.environments import SHORT, action_stream, single, vector

TASK = "VoltVar-IEEE33-v0"
N = 5
NO_ACTION = np.zeros((N, 6), np.float32)


def test_missing_package_is_an_error_that_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "stable_baselines3", None)
    with pytest.raises(MissingExtraError, match=r"'stable-baselines3' is not installed.* pip install \"gridenv\[sb3\]"):
        sb3_vec_env(TASK)


stable_baselines3 = pytest.importorskip("stable_baselines3", reason="needs the extra gridenv[sb3]")
from stable_baselines3.common.env_checker import check_env  # noqa: E402
from stable_baselines3.common.evaluation import evaluate_policy  # noqa: E402
from stable_baselines3.common.monitor import Monitor  # noqa: E402
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor, VecNormalize  # noqa: E402


def vec_env(**config):
    made = sb3_vec_env(TASK, N, steps_per_episode=SHORT, **config)
    made.seed(0)
    made.reset()
    return made


def test_vec_env_has_the_numbers_of_the_native_vector_env():
    native = vector(TASK, N, steps_per_episode=SHORT, autoreset_mode="SAME_STEP")
    made = sb3_vec_env(TASK, N, steps_per_episode=SHORT)
    assert made.seed(3) == [3, 4, 5, 6, 7]
    np.testing.assert_array_equal(made.reset(), native.reset(seed=3)[0])
    for action in action_stream(native.functional, N, 2 * SHORT + 3):
        expected, expected_reward, terminated, truncated, expected_info = native.step(action)
        observation, reward, done, infos = made.step(action)
        np.testing.assert_array_equal(observation, expected)
        np.testing.assert_array_equal(reward, expected_reward)
        assert reward.dtype == np.float32
        np.testing.assert_array_equal(done, terminated | truncated)
        np.testing.assert_array_equal([info["cost"] for info in infos], expected_info["cost"])
        assert made.batch_infos["kpi"].keys() == expected_info["kpi"].keys()


@pytest.mark.exact
def test_vec_env_tells_what_sb3s_own_loop_over_single_envs_tells():
    alone = single(TASK, steps_per_episode=SHORT)
    alone.reset()
    every_key = tuple(alone.step(NO_ACTION[0])[4])
    made = sb3_vec_env(TASK, N, steps_per_episode=SHORT, info_keys=every_key)
    reference = DummyVecEnv([lambda: single(TASK, steps_per_episode=SHORT)] * N)
    for env in (made, reference):
        env.seed(11)
    np.testing.assert_array_equal(made.reset(), reference.reset())
    ended = 0
    for action in action_stream(made.get_attr("functional")[0], N, 2 * SHORT + 3):
        got, expected = made.step(action), reference.step(action)
        for one, other in zip(got[:3], expected[:3], strict=True):
            np.testing.assert_array_equal(one, other)
            assert one.dtype == other.dtype
        for info, expected_info in zip(got[3], expected[3], strict=True):
            assert info.keys() == expected_info.keys()
            np.testing.assert_equal(info, expected_info)
        assert made.reset_infos == reference.reset_infos
        ended += got[2].sum()
    assert ended == 2 * N


def test_terminal_observation_is_that_of_an_episode_that_goes_on():
    made = vec_env()
    longer = sb3_vec_env(TASK, N, steps_per_episode=SHORT + 1)
    longer.seed(0)
    longer.reset()
    for _ in range(SHORT):
        observation, _, done, infos = made.step(NO_ACTION)
        going_on, _, longer_done, _ = longer.step(NO_ACTION)
    assert done.all()
    assert not longer_done.any()
    np.testing.assert_array_equal([info["terminal_observation"] for info in infos], going_on)
    assert all(info["TimeLimit.truncated"] for info in infos)
    assert not np.array_equal(observation, going_on)


def test_failed_power_flow_ends_the_episode_without_a_time_limit():
    made = sb3_vec_env(TASK, 2, load_scale=500.0)
    made.reset()
    _, _, done, infos = made.step(NO_ACTION[:2])
    assert done.all()
    assert [info["TimeLimit.truncated"] for info in infos] == [False, False]
    assert all("terminal_observation" in info for info in infos)


def test_sb3_check_env_passes_on_the_single_env():
    check_env(single(TASK), warn=True)


def test_vec_monitor_and_vec_normalize_see_whole_episodes():
    monitored = VecMonitor(vec_env(), info_keywords=("cost",))
    env = VecNormalize(monitored, norm_obs=True, norm_reward=True)
    env.reset()
    total = np.zeros(N)
    for _ in range(SHORT):
        observation, _, done, infos = env.step(NO_ACTION)
        total += env.get_original_reward()
    assert done.all()
    np.testing.assert_allclose([info["episode"]["r"] for info in infos], total, rtol=1e-5)
    assert [info["episode"]["l"] for info in infos] == [SHORT] * N
    assert infos[0]["terminal_observation"].shape == observation[0].shape
    assert np.abs(observation).max() <= 10.0
    assert monitored.cost_names == ("v_band", "thermal", "pf_fail")


def test_ppo_learns_for_some_steps_and_is_evaluated():
    env = VecMonitor(sb3_vec_env(TASK, 8, steps_per_episode=SHORT))
    model = stable_baselines3.PPO("MlpPolicy", env, n_steps=2 * SHORT, batch_size=64, n_epochs=2, seed=0, device="cpu")
    before = [parameter.clone() for parameter in model.policy.parameters()]
    model.learn(2 * 8 * 2 * SHORT)
    assert model.num_timesteps == 256
    assert len(model.ep_info_buffer) == 32
    assert any((old != new).any() for old, new in zip(before, model.policy.parameters(), strict=True))
    returns, lengths = evaluate_policy(model, env, n_eval_episodes=8, return_episode_rewards=True)
    assert lengths == [SHORT] * 8
    assert np.isfinite(returns).all()


def test_seed_and_options_hold_for_one_reset():
    made = vec_env()
    first = [info["start_step"] for info in made.reset_infos]
    made.reset()
    assert [info["start_step"] for info in made.reset_infos] != first
    made.seed(0)
    made.set_options({"start_step": 5})
    made.reset()
    assert [info["start_step"] for info in made.reset_infos] == [5] * N
    made.set_options([{"start_step": 96 * i} for i in range(N)])
    made.reset()
    assert [info["start_step"] for info in made.reset_infos] == [96 * i for i in range(N)]
    # Chosen episodes take nothing from the generators, which were seeded before.
    made.reset()
    assert [info["start_step"] for info in made.reset_infos] == first


def test_options_with_different_keys_are_an_error():
    made = vec_env()
    made.set_options([{"start_step": 5}] + [{}] * (N - 1))
    with pytest.raises(ConfigError, match=r"set_options: environments have different keys, .*'start_step'.*; allowed"):
        made.reset()


def test_get_attr_gives_a_value_for_each_chosen_environment():
    made = vec_env()
    assert made.get_attr("cost_names", [0, 3]) == [("v_band", "thermal", "pf_fail")] * 2
    assert made.get_attr("observation_space", 1) == [made.observation_space]
    assert made.get_attr("np_random_seed") == [0, 1, 2, 3, 4]
    made.step(NO_ACTION)
    states = made.get_attr("state", [4, 2])
    assert [int(state.steps) for state in states] == [1, 1]
    assert states[0].grid.slot_voltage.ndim + 1 == made._envs.state.grid.slot_voltage.ndim
    assert made.has_attr("np_random")
    assert not made.has_attr("action_masks")
    with pytest.raises(AttributeError, match=r"no attribute 'cost_name'; did you mean 'cost_names'"):
        made.get_attr("cost_name")


def test_rows_of_one_program_have_nothing_to_set_or_call():
    made = vec_env()
    with pytest.raises(AttributeError, match=r"'split' cannot be set to 'test'.*make new ones with split=\.\.\."):
        made.set_attr("split", "test")
    with pytest.raises(AttributeError, match=r"'reset' cannot be called on single environments.*get_attr"):
        made.env_method("reset", indices=0)
    assert made.env_is_wrapped(Monitor) == [False] * N
    assert made.env_is_wrapped(Monitor, [1, 2]) == [False] * 2


def test_info_keys_unknown_are_all_named():
    with pytest.raises(ConfigError, match=r"unknown info key 'costs'; did you mean 'cost'.*\n.*unknown info key 'nil'"):
        sb3_vec_env(TASK, N, info_keys=("costs", "nil"))


def test_info_keys_none_leave_the_cheapest_infos():
    *_, infos = vec_env(info_keys=()).step(NO_ACTION)
    assert infos == [{"TimeLimit.truncated": False}] * N


def test_kept_infos_keep_no_more_than_their_own_column_alive():
    memory = vec_env().step(NO_ACTION)[3][0]["cost"]
    while memory.base is not None:
        memory = memory.base
    assert memory.nbytes == N * 3 * 4


def test_step_without_actions_or_with_bad_ones_is_an_error():
    made = vec_env()
    with pytest.raises(ResetNeeded, match=f"{TASK}: no actions were given; call step_async"):
        made.step_wait()
    with pytest.raises(ActionError, match=r"shape \(6,\); it must be \(5, 6\)"):
        made.step(NO_ACTION[0])


def test_other_autoreset_modes_and_unknown_settings_are_errors():
    with pytest.raises(ConfigError, match="autoreset_mode is 'NEXT_STEP'; Stable-Baselines3 works with SAME_STEP"):
        sb3_vec_env(TASK, N, autoreset_mode="NEXT_STEP")
    with pytest.raises(ConfigError, match="did you mean 'load_scale'"):
        sb3_vec_env(TASK, N, load_scal=2.0)
    with pytest.raises(ConfigError, match="unknown task 'gridenv/VoltVar-IEEE34-v0'; did you mean"):
        sb3_vec_env("gridenv/VoltVar-IEEE34-v0")
