import gymnasium
import numpy as np
import pytest
from gymnasium.wrappers import RecordEpisodeStatistics

from gridenv.adapters.cost_wrapper import SafetyEnv, SafetyVectorEnv
from gridenv.core.errors import ConfigError
from tests.environments import SHORT, action_stream, functional, single, vector

TASK = "VoltVar-IEEE33-v0"
NAMES = ("v_band", "thermal", "pf_fail")
N = 3
# Loads so heavy that voltages leave the band and lines are overloaded, and a solution still exists.
HEAVY = {"load_scale": 6.0, "line_rating_a": 150.0}


def economic(**config):
    return single(TASK, reward="economic", steps_per_episode=SHORT, **config)


def test_cost_by_default_is_what_the_penalised_reward_takes_off():
    safe = SafetyEnv(single(TASK, reward="economic", **HEAVY))
    penalised = single(TASK, reward="penalised", **HEAVY)
    for env in (safe, penalised):
        env.reset(options={"start_step": 72})
    for action in action_stream(functional(TASK)[0], 1, 12)[:, 0]:
        observation, reward, cost, terminated, truncated, _ = safe.step(action)
        expected, less, *ends, _ = penalised.step(action)
        np.testing.assert_array_equal(observation, expected)
        assert [terminated, truncated] == ends
        assert cost > 0.0
        assert reward - cost == pytest.approx(less, rel=1e-5)


@pytest.mark.exact
@pytest.mark.parametrize(
    ("cost", "weights"),
    [
        ("v_band", [1.0, 0.0, 0.0]),
        ("thermal", [0.0, 1.0, 0.0]),
        ({"thermal": 2.0, "v_band": 10}, [10.0, 2.0, 0.0]),
        ({}, [0.0, 0.0, 0.0]),
    ],
)
def test_cost_chosen_is_an_entry_or_a_weighted_sum(cost, weights):
    env = SafetyEnv(economic(**HEAVY), cost)
    vec = SafetyVectorEnv(vector(TASK, N, reward="economic", steps_per_episode=SHORT, **HEAVY), cost)
    assert env.cost_weights == vec.cost_weights == dict(zip(NAMES, weights, strict=True))
    env.reset(options={"start_step": 72})
    vec.reset(options={"start_step": 72})
    for action in action_stream(functional(TASK)[0], 1, 4)[:, 0]:
        *_, info = (one := env.step(action))
        assert isinstance(one[2], float)
        assert one[2] == pytest.approx(sum(w * float(c) for w, c in zip(weights, info["cost"], strict=True)))
        assert info["cost"].shape == (3,)
        many = vec.step(np.tile(action, (N, 1)))
        assert many[2].shape == (N,)
        np.testing.assert_allclose(many[2], one[2], rtol=1e-12)
        np.testing.assert_array_equal(many[1], one[1])
    assert bool(one[2] > 0.0) == any(weights)


@pytest.mark.parametrize("mode", ["SAME_STEP", "NEXT_STEP"])
def test_vector_cost_misses_no_step_and_charges_no_reset(mode):
    env = SafetyVectorEnv(
        vector(TASK, N, reward="economic", steps_per_episode=SHORT, autoreset_mode=mode, **HEAVY), "v_band"
    )
    env.reset(options={"start_step": 72})
    costs = [env.step(np.zeros((N, 6), np.float32))[2] for _ in range(SHORT + 1)]
    longer = SafetyVectorEnv(vector(TASK, N, reward="economic", steps_per_episode=SHORT + 1, **HEAVY), "v_band")
    longer.reset(options={"start_step": 72})
    going_on = [longer.step(np.zeros((N, 6), np.float32))[2] for _ in range(SHORT)]
    np.testing.assert_array_equal(costs[:SHORT], going_on)
    assert np.all(np.array(going_on) > 0.0)
    assert np.all((costs[SHORT] == 0.0) == (mode == "NEXT_STEP"))


def test_wrappers_of_gymnasium_go_inside():
    env = SafetyEnv(RecordEpisodeStatistics(economic()), "v_band")
    env.reset(seed=0)
    for _ in range(SHORT):
        *_, truncated, info = env.step(env.action_space.sample())
    assert truncated
    assert info["episode"]["l"] == SHORT


def test_penalised_reward_is_warned_about():
    with pytest.warns(UserWarning, match=f"SafetyEnv: the reward of {TASK} already has .* make it with reward='econ"):
        SafetyEnv(single(TASK), "v_band")
    with pytest.warns(UserWarning, match="SafetyVectorEnv: the reward of"):
        SafetyVectorEnv(vector(TASK, N))


def test_unknown_names_and_bad_weights_are_all_named():
    with pytest.raises(ConfigError, match=r"SafetyEnv: unknown cost 'vband'; did you mean 'v_band'\?"):
        SafetyEnv(economic(), "vband")
    with pytest.raises(ConfigError) as caught:
        SafetyEnv(economic(), {"therm": 1.0, "v_band": -1.0, "pf_fail": np.nan, "thermal": True})
    assert str(caught.value).splitlines() == [
        "SafetyEnv: unknown cost 'therm'; did you mean 'thermal'?",
        "SafetyEnv: weight of cost 'v_band' is -1.0; allowed: a finite number from 0; correct it",
        "SafetyEnv: weight of cost 'pf_fail' is nan; allowed: a finite number from 0; correct it",
        "SafetyEnv: weight of cost 'thermal' is True; allowed: a finite number from 0; correct it",
    ]


def test_environments_of_others_have_no_costs_to_choose_from():
    with pytest.raises(ConfigError, match="SafetyEnv: environment is a CartPoleEnv; allowed: environments of gridenv"):
        SafetyEnv(gymnasium.make("CartPole-v1"), "v_band")
