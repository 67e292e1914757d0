"""Backup generators as units of a task: fuel money, limits, energy, the usual rule."""

from functools import cache

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from agents.rules import UnitRules
from gridenv.core.errors import ConfigError
from gridenv.tasks.grid_config import GridTaskConfig
from gridenv.tasks.grid_task import make

NOON = 48
FREE = {"bus": "18", "p_max_kw": 100.0, "min_up_h": 0.0, "min_down_h": 0.0}
SLOW = {"bus": "25", "p_max_kw": 200.0, "min_up_h": 1.0, "min_down_h": 0.5, "ramp_kw_per_h": 80.0}
REACTIVE = {"bus": "33", "p_max_kw": 100.0, "control": "p_q"}
CHEAP = {**FREE, "id": "cheap", "fuel_eur_per_l": 0.1}


@cache
def _made():
    config = GridTaskConfig(network="ieee33", generators=[FREE, SLOW, CHEAP, REACTIVE])
    env, params = make(config, "Generators-IEEE33-v0")
    return env, params, jax.jit(env.advance)


def _run(actions, day=100):
    """Infos and outputs of one episode under physical actions [step, entry]."""
    env, params, advance = _made()
    state = env.reset_at(params.starts[day : day + 1] + NOON, params)[1]
    results = []
    for action in actions:
        t = advance(state, env.encode_action(jnp.asarray(action, "float32")[None]), params)
        state = t.state
        results.append(t)
    return results


def test_entries_are_powers_from_nothing_to_the_rating():
    env, _, _ = _made()
    entries = {c.name: (c.low, c.high) for c in env.task.action}
    assert entries == {
        "generator.18.p_kw": (0.0, 100.0),
        "generator.25.p_kw": (0.0, 200.0),
        "generator.cheap.p_kw": (0.0, 100.0),
        "generator.33.p_kw": (0.0, 100.0),
        "generator.33.q_kvar": (-125.0, 125.0),
    }


def test_fuel_and_start_are_paid_and_energy_is_sold():
    (t,) = _run([[80.0, 0.0, 0.0, 0.0, 0.0]])
    kpi = {name: float(value[0]) for name, value in t.info["kpi"].items()}
    # 0.08415 l/h for each of 100 kW, and 0.246 l/kWh of 80 kW, for a quarter of an hour at 1.3 EUR/l.
    assert kpi["eur.generator_fuel_cost"] == pytest.approx(-(8.415 + 0.246 * 80.0) / 4 * 1.3, rel=1e-5)
    assert kpi["eur.generator_start"] == -5.0
    assert kpi["kwh.generator_fuel"] == pytest.approx(20.0)
    (idle,) = _run([np.zeros(5)])
    other = {name: float(value[0]) for name, value in idle.info["kpi"].items()}
    assert other["eur.generator_fuel_cost"] == other["kwh.generator_fuel"] == 0.0
    # Beside the 20 kWh it saves losses, which are bought too, but not in the line of trade.
    _, params, _ = _made()
    scenario = params.model.scenario
    price = float(scenario.values[int(params.starts[100]) + NOON, scenario.column("price_eur_mwh")])
    assert kpi["eur.trade"] - other["eur.trade"] == pytest.approx(20.0 * price / 1000, rel=1e-3)


@pytest.mark.parametrize(("asked_kw", "power_kw"), [(0.0, 0.0), (14.9, 0.0), (15.1, 30.0), (30.0, 30.0), (64.0, 64.0)])
def test_less_than_half_the_least_power_is_off(asked_kw, power_kw):
    (t,) = _run([[asked_kw, 0.0, 0.0, 0.0, 0.0]])
    assert float(t.output.p_kw[0, -4]) == pytest.approx(power_kw, abs=1e-3)


def test_ramp_and_minimum_times_hold():
    full = [0.0, 200.0, 0.0, 0.0, 0.0]
    results = _run([full, full, np.zeros(5), np.zeros(5), np.zeros(5), np.zeros(5), full])
    power = [float(t.output.feasible[0].p_kw[0, 1]) for t in results]
    # From the 60 kW of the start 20 kW in each quarter of an hour; off after an hour, on again after half an hour.
    np.testing.assert_allclose(power, [80.0, 100.0, 80.0, 60.0, 0.0, 0.0, 80.0], atol=1e-3)


def test_reactive_power_stays_in_the_circle_and_is_none_while_off():
    on, off = _run([[0.0, 0.0, 0.0, 100.0, 125.0], [0.0, 0.0, 0.0, 0.0, 125.0]])
    assert float(on.output.feasible[1].q_kvar[0, 0]) == pytest.approx(75.0, rel=1e-4)
    # Half an hour of minimum running time is not over: least power, and the circle beside it.
    assert float(off.output.feasible[1].q_kvar[0, 0]) == pytest.approx(np.sqrt(125.0**2 - 30.0**2), rel=1e-4)
    idle = _run([[0.0, 0.0, 0.0, 0.0, 125.0]])[0]
    assert float(idle.output.feasible[1].q_kvar[0, 0]) == 0.0


def test_observation_says_whether_it_runs_and_since_when():
    env, _, _ = _made()
    first, second = _run([[0.0, 200.0, 0.0, 0.0, 0.0], [0.0, 200.0, 0.0, 0.0, 0.0]])
    names = list(env.task.observation.names)
    columns = [names.index(f"generator.25.{what}") for what in ("on", "held_h", "p_delivered_kw")]
    for t, expected in ((first, [1.0, 0.25, 80.0]), (second, [1.0, 0.5, 100.0])):
        np.testing.assert_allclose(env._observation.decode(np.asarray(t.observation))[0, columns], expected, rtol=1e-5)


def test_rule_runs_where_the_price_is_above_the_fuel_of_a_kwh_at_full_power():
    env, params, _ = _made()
    scenario = params.model.scenario
    price = np.asarray(scenario.values)[:, scenario.column("price_eur_mwh")]
    starts = np.array([int(params.starts[100]), int(np.argmin(price)), int(np.argmax(price))])
    seen, state = env.reset_at(starts, params)
    action = env._action.decode(np.asarray(UnitRules(env).act(params, state, seen)))
    litres = 0.08415 + 0.246
    for column, fuel_eur_l in ((0, 1.3), (2, 0.1)):
        expected = np.where(price[starts] > litres * fuel_eur_l * 1000, 100.0, 0.0)
        np.testing.assert_allclose(action[:, column], expected, atol=1e-3)
    np.testing.assert_allclose(action[1:, 2], [0.0, 100.0], atol=1e-3)


def test_settings_that_no_engine_has_are_refused():
    with pytest.raises(ValueError, match="p_min_share"):
        GridTaskConfig(network="ieee33", generators=[{"bus": "18", "p_max_kw": 10.0, "p_min_share": 0.0}])
    with pytest.raises(ConfigError, match=r"generator\.99 is at bus '99', which 'ieee33' has not"):
        make(GridTaskConfig(network="ieee33", generators=[{"bus": "99", "p_max_kw": 10.0}]), "Generators-IEEE33-v0")
