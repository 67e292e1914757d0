"""Training days put together anew."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from agents.apg.config import APGConfig
from agents.apg.learner import APG
from agents.apg.mixing import mixed
from gridenv.core.errors import ConfigError
from gridenv.exogenous.timebase import CALENDAR_NAMES
from gridenv.tasks.registry import make

REACH = 5
PER_DAY = 96


def days(values, columns):
    """[day, step, series]"""
    return np.asarray(values)[:, columns].reshape(-1, PER_DAY, len(columns))


@pytest.fixture(scope="module")
def params():
    return make("Storage-IEEE33-v0")[1]


def test_series_of_a_training_day_are_those_of_training_days_nearby_and_all_else_stays(params):
    scenario = params.model.scenario
    after = mixed(params, jax.random.key(0), REACH).model.scenario
    names = scenario.names
    own = np.sort(np.asarray(params.starts) // PER_DAY)
    others = np.setdiff1d(np.arange(scenario.n_steps // PER_DAY), own)
    assert len(others) > 100
    calendar = [i for i, name in enumerate(names) if name in CALENDAR_NAMES]
    np.testing.assert_array_equal(after.values[:, calendar], scenario.values[:, calendar])
    everything = list(range(len(names)))
    np.testing.assert_array_equal(days(after.values, everything)[others], days(scenario.values, everything)[others])
    price = [names.index("price_eur_mwh")]
    loads = [i for i, name in enumerate(names) if name.endswith(("_pload", "_qload"))]
    sun = [i for i, name in enumerate(names) if name.startswith("PV")]
    drawn = []
    for columns in (price, loads, sun):
        before, now = days(scenario.values, columns), days(after.values, columns)
        away = []
        for place, day in enumerate(own):
            near = [
                d for d in range(-REACH, REACH + 1) if np.array_equal(now[day], before[own[(place + d) % len(own)]])
            ]
            assert near, f"day {day}"
            away.append(near[0])
        assert len(set(away)) == 2 * REACH + 1
        drawn.append(away)
    # Kinds are drawn one by one.
    assert drawn[0] != drawn[1] != drawn[2]


def test_every_key_mixes_differently_and_one_always_alike(params):
    first, again, second = (mixed(params, jax.random.key(k), REACH).model.scenario.values for k in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, second)


def test_mixing_that_cannot_be_is_refused(params):
    env, _ = make("Storage-IEEE33-v0")
    few = replace(params, starts=params.starts[:4])
    with pytest.raises(ConfigError, match=r"agent 'apg': mixed_days is 2; allowed: at most 1, as training has 4 epis"):
        APG(env, APGConfig(mixed_days=2)).begin(0, few)
    scenario = replace(params.model.scenario, forecasts=jnp.zeros((1, 1, 1)))
    foretold = replace(params, model=replace(params.model, scenario=scenario))
    with pytest.raises(ConfigError, match=r"agent 'apg': mixed_days needs forecasts that follow the mixed days"):
        APG(env, APGConfig(mixed_days=2)).begin(0, foretold)


def test_mixed_days_and_noise_change_what_an_update_learns_from_and_no_evaluation():
    env, params = make("Storage-IEEE33-v0", steps_per_episode=4)

    def first_update(**settings):
        learner = APG(env, APGConfig(num_envs=4, horizon=4, hidden=(8,), total_steps=64, **settings))
        state, metrics = learner.update(learner.begin(0, params), params)
        return learner.policy(state), metrics["train/reward_eur"]

    (plain, reward), (noisy, noisy_reward), (_, mixed_reward) = (
        first_update(),
        first_update(noise=1.0),
        first_update(mixed_days=3),
    )
    assert len({reward, noisy_reward, mixed_reward}) == 3
    observation, state = env.reset_at(params.starts[:2], params)
    for policy in (plain, noisy):
        one, two = (policy.act(params, state, observation) for _ in range(2))
        np.testing.assert_array_equal(one, two)
