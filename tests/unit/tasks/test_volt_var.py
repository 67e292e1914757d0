"""Terms and settings of the volt-var task."""

import numpy as np
import pytest
from jax import numpy as jnp

from gridenv.core.errors import ConfigError
from gridenv.exogenous.scenario import PRICE_NAME
from gridenv.tasks import terms
from gridenv.tasks.registry import make


def test_voltage_band_cost_of_three_buses_worked_by_hand() -> None:
    v_pu = jnp.array([0.93, 1.00, 1.06])
    assert float(terms.v_band_pu_h(v_pu, 0.25)) == pytest.approx((0.02 + 0.01) * 0.25, rel=1e-4)
    assert float(terms.v_band_share(v_pu)) == pytest.approx(2 / 3)


def test_thermal_cost_counts_only_what_is_above_the_rating() -> None:
    assert float(terms.thermal_pu_h(jnp.array([0.4, 1.0, 1.3]), 0.5)) == pytest.approx(0.15, rel=1e-5)


def test_losses_cost_the_price_and_never_earn() -> None:
    assert float(terms.loss_cost_eur(jnp.float32(200.0), jnp.float32(50.0), 0.25)) == pytest.approx(2.5)
    assert float(terms.loss_cost_eur(jnp.float32(200.0), jnp.float32(-30.0), 0.25)) == 0.0


def test_all_wrong_buses_are_named_with_a_suggestion() -> None:
    inverters = [
        {"bus": "100", "p_dc_kw": 10.0, "profile": "PV1"},
        {"bus": "7", "p_dc_kw": 10.0, "profile": "PV1"},
        {"bus": "7", "p_dc_kw": 10.0, "profile": "PV1"},
    ]
    with pytest.raises(ConfigError) as error:
        make("VoltVar-IEEE33-v0", inverters=inverters)
    assert str(error.value).splitlines() == [
        "task: pv.100 is at bus '100', which 'ieee33' has not; did you mean '10'?",
        "task: 2 units are called 'pv.7'; names must differ; give them an `id` each",
    ]


def test_observed_buses_must_exist() -> None:
    with pytest.raises(ConfigError, match="observed_buses names bus 'x9', which the network has not"):
        make("VoltVar-IEEE33-v0", observed_buses=["1", "x9"])


def test_observation_can_be_a_subset_with_a_forecast() -> None:
    env, params = make("VoltVar-IEEE33-v0", observed_buses=["18", "33"], forecast_steps=3)
    names = env.task.observation.names
    assert names[:2] == ("bus.18.v_pu", "bus.33.v_pu")
    assert "profile.PV1.ahead_3" in names
    start = params.starts[5] + 40
    observation, _ = env.reset_at(start, params)
    scenario = params.model.scenario
    values = env._observation.decode(np.asarray(observation))
    for ahead in (0, 1, 3):
        suffix = f".ahead_{ahead}" if ahead else ""
        for series in ("PV1", "H0-A_pload"):
            expected = scenario.values[start + ahead, scenario.column(series)]
            assert values[names.index(f"profile.{series}{suffix}")] == pytest.approx(float(expected), abs=1e-5)
        price = scenario.values[start + ahead, scenario.column(PRICE_NAME)]
        assert values[names.index(f"{PRICE_NAME}{suffix}")] == pytest.approx(float(price), abs=1e-3)


def test_observation_shows_the_step_to_decide_on_and_the_voltages_of_the_step_before() -> None:
    env, params = make("VoltVar-IEEE33-v0")
    start = params.starts[100] + 48
    _, state = env.reset_at(start, params)
    transition = env.advance(state, jnp.full(6, -0.5), params)
    values = env._observation.decode(np.asarray(transition.observation))
    names = env.task.observation.names
    v_pu = [values[names.index(f"bus.{bus}.v_pu")] for bus in range(1, 34)]
    np.testing.assert_allclose(v_pu, transition.output.v_pu, atol=1e-6)
    q_kvar = [values[names.index(f"pv.{bus}.q_kvar")] for bus in (10, 18, 21, 24, 27, 31)]
    np.testing.assert_allclose(q_kvar, transition.output.feasible[0].q_kvar, rtol=1e-4)
    scenario = params.model.scenario
    sun = scenario.values[start + 1, scenario.column("PV3")]
    assert values[names.index("pv.18.p_kw")] == pytest.approx(3000.0 * float(sun), rel=1e-4)
