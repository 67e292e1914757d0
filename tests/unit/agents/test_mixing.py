"""Training days put together anew."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from agents.apg.config import APGConfig
from agents.apg.learner import APG
from agents.apg.mixing import mixed, with_stretched_prices
from gridenv.core.errors import ConfigError
from gridenv.exogenous.timebase import CALENDAR_NAMES
from gridenv.tasks.registry import make

REACH = 5
PER_DAY = 96
SETTINGS = {
    "plain": {},
    "noisy": {"noise": 1.0},
    "mixed": {"mixed_days": 3},
    "stretched": {"mixed_days": 3, "price_stretch": 0.5},
}
mix = jax.jit(mixed, static_argnames="reach")


def days(values, columns):
    """[day, step, series]"""
    return np.asarray(values)[:, columns].reshape(-1, PER_DAY, len(columns))


@pytest.fixture(scope="module")
def params():
    return make("Storage-IEEE33-v0")[1]


def test_series_of_a_training_day_are_those_of_training_days_nearby_and_all_else_stays(params):
    scenario = params.model.scenario
    after = mix(params, jax.random.key(0), REACH).model.scenario
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
    first, again, second = (mix(params, jax.random.key(k), REACH).model.scenario.values for k in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, second)


def test_prices_are_stretched_about_the_mean_of_their_day_and_nothing_else_changes(params):
    scenario = params.model.scenario
    after = with_stretched_prices(params, jax.random.key(0), 0.3).model.scenario
    price = scenario.names.index("price_eur_mwh")
    others = [i for i in range(len(scenario.names)) if i != price]
    np.testing.assert_array_equal(after.values[:, others], scenario.values[:, others])
    before, now = (days(values, [price])[:, :, 0].astype(float) for values in (scenario.values, after.values))
    np.testing.assert_allclose(now.mean(axis=1), before.mean(axis=1), rtol=1e-5, atol=1e-3)
    width = np.ptp(before, axis=1)
    factor = np.ptp(now, axis=1) / width
    straight = before.mean(axis=1, keepdims=True) + factor[:, None] * (before - before.mean(axis=1, keepdims=True))
    np.testing.assert_allclose(now, straight, rtol=1e-4, atol=1e-2)
    # 365 draws of a normal distribution with deviation 0.3: four standard errors.
    np.testing.assert_allclose(np.log(factor).mean(), 0.0, atol=4 * 0.3 / np.sqrt(365))
    np.testing.assert_allclose(np.log(factor).std(), 0.3, atol=4 * 0.3 / np.sqrt(2 * 365))


def test_stretching_that_cannot_be_is_refused(params):
    with pytest.raises(ValueError, match=r"price_stretch = 0.3 with mixed_days = 0; allowed there: 0; set mixed_days"):
        APGConfig(price_stretch=0.3)
    env, _ = make("Storage-IEEE33-v0")
    scenario = params.model.scenario
    names = tuple("other" if name == "price_eur_mwh" else name for name in scenario.names)
    unpriced = replace(params, model=replace(params.model, scenario=replace(scenario, names=names)))
    with pytest.raises(ConfigError, match=r"agent 'apg': price_stretch is 0.3; allowed: 0, as the task has no prices"):
        APG(env, APGConfig(mixed_days=2, price_stretch=0.3)).begin(0, unpriced)


def test_mixing_that_cannot_be_is_refused(params):
    env, _ = make("Storage-IEEE33-v0")
    few = replace(params, starts=params.starts[:4])
    with pytest.raises(ConfigError, match=r"agent 'apg': mixed_days is 2; allowed: at most 1, as training has 4 epis"):
        APG(env, APGConfig(mixed_days=2)).begin(0, few)
    scenario = replace(params.model.scenario, forecasts=jnp.zeros((1, 1, 1)))
    foretold = replace(params, model=replace(params.model, scenario=scenario))
    with pytest.raises(ConfigError, match=r"agent 'apg': mixed_days needs forecasts that follow the mixed days"):
        APG(env, APGConfig(mixed_days=2)).begin(0, foretold)


def test_days_that_change_under_way_are_refused(params):
    env, _ = make("Storage-IEEE33-v0")
    with pytest.raises(ConfigError, match=r"horizon is 48 steps; allowed with mixed_days: 96, a whole episode of Stor"):
        APG(env, APGConfig(mixed_days=2, horizon=48)).begin(0, params)


@pytest.fixture(scope="module")
def short():
    return make("Storage-IEEE33-v0", steps_per_episode=4)


@pytest.fixture(scope="module")
def learners(short):
    """One of each kind for all tests, as compiling an update takes seconds."""
    config = APGConfig(num_envs=4, horizon=4, hidden=(8,), total_steps=64)
    return {name: APG(short[0], config.model_copy(update=settings)) for name, settings in SETTINGS.items()}


def reward_of_an_update(learner, params, begun_as=0):
    """EUR of the first update with seed 0, from the episodes that another seed began with."""
    begun = learner.begin(begun_as, params)
    state = learner.begin(0, params)._replace(observation=begun.observation, env=begun.env)
    return learner.update(state, params)[1]["train/reward_eur"]


@pytest.mark.slow
def test_mixed_days_and_noise_change_what_an_update_learns_from(short, learners):
    assert len({reward_of_an_update(each, short[1]) for each in learners.values()}) == len(SETTINGS)


def test_evaluation_has_no_noise(short, learners):
    env, params = short
    noisy = learners["noisy"]
    state = noisy.update(noisy.begin(0, params), params)[0]
    observation, env_state = env.reset_at(params.starts[:2], params)
    expected = jnp.tanh(noisy.model.output(state.networks, observation))
    np.testing.assert_allclose(noisy.policy(state).act(params, env_state, observation), expected, atol=1e-6)


@pytest.mark.parametrize(("name", "is_same"), [("plain", False), ("mixed", True)])
def test_episodes_of_mixed_days_begin_under_the_mix_of_their_update(short, learners, name, is_same):
    first, elsewhere = (reward_of_an_update(learners[name], short[1], seed) for seed in (0, 1))
    assert (first == elsewhere) == is_same


def test_networks_see_inputs_in_multiples_of_their_deviation(short, learners):
    env, _ = short
    seen = jax.random.normal(jax.random.key(0), (500, env.n_observation)) * jnp.linspace(0.01, 2.0, env.n_observation)
    seen = seen + 3.0
    (network,) = learners["plain"].model.init(jax.random.key(1), jnp.zeros(env.n_action), seen)
    deviation = np.asarray(seen).std(axis=0)
    scaled = (np.asarray(seen) - network.mean) * network.scale
    # What hardly moves is magnified by no more than ten.
    np.testing.assert_allclose(scaled.std(axis=0), np.minimum(deviation / 0.1, 1.0), rtol=1e-3)
    np.testing.assert_allclose(scaled.mean(axis=0), 0.0, atol=1e-4)
    x = scaled
    for layer in network.layers[:-1]:
        x = np.tanh(x @ np.asarray(layer.weight) + np.asarray(layer.bias))
    last = network.layers[-1]
    np.testing.assert_allclose(network.output(seen), x @ np.asarray(last.weight) + np.asarray(last.bias), atol=1e-5)
