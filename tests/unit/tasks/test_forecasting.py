import numpy as np
import pytest
from jax import numpy as jnp

from gridenv.core.errors import ConfigError
from gridenv.exogenous.forecasts import forecast_table, series_of
from gridenv.tasks.registry import make

TASK = "VoltVar-IEEE33-v0"
STEPS = 3
SMALL = {"observed_buses": ["18"], "forecast_steps": STEPS}


def observed(starts=None, **settings):
    env, params = make(TASK, **(SMALL | settings))
    starts = params.starts[20:22] + 40 if starts is None else starts
    return env, params, env._observation.decode(np.asarray(env.reset_at(starts, params)[0])), starts


def test_observed_steps_ahead_are_what_the_forecaster_says_in_the_places_of_the_exact_ones():
    exact_env, exact_params, exact, starts = observed()
    env, params, seen, _ = observed(forecast="slot_mean")
    assert env.task.observation.fingerprint == exact_env.task.observation.fingerprint
    names = env.task.observation.names
    ahead = np.array([".ahead_" in name for name in names])
    np.testing.assert_array_equal(seen[:, ~ahead], exact[:, ~ahead])
    true = np.asarray(exact_params.model.scenario.values)
    scenario = params.model.scenario
    assert scenario.forecasts.shape == (scenario.n_steps, STEPS, len(scenario.forecast_names))
    assert scenario.forecasts.dtype == jnp.float32
    for name in ("H0-A_pload", "PV1"):
        column = true[:, scenario.column(name)]
        for h in range(1, STEPS + 1):
            own = seen[:, names.index(f"profile.{name}.ahead_{h}")]
            past = [column[np.asarray(starts) + h - 96 * day] for day in range(1, 8)]
            np.testing.assert_allclose(own, np.mean(past, axis=0), atol=1e-5)
    # At 10:00 the next prices are published: no forecast is needed.
    price = [i for i, name in enumerate(names) if name.startswith("price_eur_mwh")]
    np.testing.assert_array_equal(seen[:, price], exact[:, price])


def test_a_learned_forecast_moves_with_the_steps_of_an_episode(monkeypatch, tmp_path):
    monkeypatch.setenv("GRIDENV_CACHE_DIR", str(tmp_path))
    env, params, _, starts = observed(forecast="learned", forecast_steps=1)
    _, state = env.reset_at(starts, params)
    observation, *_ = env.advance(state, env.idle(params, state), params)
    seen = env._observation.decode(np.asarray(observation))
    scenario = params.model.scenario
    series = series_of(scenario, scenario.forecast_names)
    said = forecast_table("linear", series, np.arange(series.n_steps), 1)[np.asarray(starts) + 1, 0]
    names = env.task.observation.names
    i = names.index("profile.PV1.ahead_1")
    np.testing.assert_allclose(seen[:, i], said[:, scenario.forecast_names.index("PV1")], atol=1e-5)
    exact = np.asarray(scenario.values)[np.asarray(starts) + 2, scenario.column("PV1")]
    assert np.abs(seen[:, i] - exact).max() > 1e-4


@pytest.mark.parametrize(("asked", "same"), [({"forecast": "oracle"}, {}), ({"forecast": "noisy"}, {})])
def test_exact_and_noisy_forecasts_are_the_same_whether_they_are_named_or_not(asked, same):
    error = {"forecast_error": 0.2} if asked["forecast"] == "noisy" else {}
    _, named, seen, _ = observed(**asked, **error)
    _, unnamed, other, _ = observed(**same, **error)
    np.testing.assert_array_equal(seen, other)
    assert named.model.scenario.forecasts is unnamed.model.scenario.forecasts is None


@pytest.mark.parametrize("kind", [{}, {"forecast_error": 0.2}, {"forecast": "slot_mean"}])
def test_every_second_step_is_forecast_as_among_all(kind):
    chosen, _, seen, _ = observed(**kind, forecast_steps=5, forecast_every=2)
    every, _, all_seen, _ = observed(**kind, forecast_steps=5)
    names, all_names = list(chosen.task.observation.names), list(every.task.observation.names)
    assert {name.partition(".ahead_")[2] for name in names} == {"", "2", "4"}
    np.testing.assert_allclose(seen, all_seen[:, [all_names.index(name) for name in names]], atol=1e-5)


@pytest.mark.parametrize("kind", [{}, {"forecast_error": 0.2}, {"forecast": "slot_mean"}])
def test_chosen_series_are_forecast_as_among_all(kind):
    chosen, _, seen, _ = observed(**kind, forecast_series=["price_eur_mwh", "PV1"])
    every, _, all_seen, _ = observed(**kind)
    names, all_names = list(chosen.task.observation.names), list(every.task.observation.names)
    ahead = [name for name in names if ".ahead_" in name]
    assert ahead == [f"{n}.ahead_{h}" for h in range(1, STEPS + 1) for n in ("profile.PV1", "price_eur_mwh")]
    assert [name for name in names if name not in ahead] == [name for name in all_names if ".ahead_" not in name]
    np.testing.assert_allclose(seen, all_seen[:, [all_names.index(name) for name in names]], atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"forecast_every": 4}, r"forecast_every is 4 with forecast_steps 3; allowed: up to forecast_steps; lower it"),
        ({"forecast_series": ["PV01"]}, r"forecast_series names 'PV01', which is not observed; did you mean 'PV1'\?"),
        (
            {"forecast_series": ["PV1"], "forecast_steps": 0},
            r"forecast_series is PV1 with forecast_steps 0; allowed: 'all' without a forecast; set forecast_steps to 1",
        ),
        (
            {"forecast": "slot_mean", "forecast_steps": 0},
            r"forecast is 'slot_mean' with forecast_steps 0; allowed: none without a forecast.*or leave forecast out",
        ),
        ({"forecast": "noisy"}, r"forecast is 'noisy' with forecast_error 0; allowed: an error above 0"),
        (
            {"forecast": "learned", "forecast_error": 0.1},
            r"forecast is 'learned' with forecast_error 0\.1; allowed: an error with forecast 'noisy' alone",
        ),
        ({"forecast": "perfect"}, r"forecast = 'perfect'; must be 'oracle', 'noisy', 'persistence', 'seasonal_naive'"),
        ({"forecast": "learned", "forecast_model": "lstm"}, r"forecast_model = 'lstm'; must be 'linear', 'boosting'"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        make(TASK, **(SMALL | settings))
