"""Units of tasks: where they may be, what their channels can carry, whose money counts."""

import numpy as np
import pytest

from gridenv.core.errors import ConfigError
from gridenv.tasks.registry import make
from tests.environments import compiled_advance, functional

PLANT = {"p_dc_kw": 10.0, "profile": "PV1"}


def test_unit_on_a_conductor_that_its_bus_does_not_have_is_refused():
    with pytest.raises(ConfigError, match=r"pv\.611\.1 at bus '611' is not supplied; allowed: conductors of '3', set"):
        make("VoltVar-IEEE13-v0", inverters=[{"bus": "611", "phases": "1", **PLANT}])


def test_equipment_that_the_network_has_not_is_named():
    with pytest.raises(ConfigError, match=r"tap\.regcontrol\.reg9 moves 'regcontrol\.reg9', which 'ieee13' has not"):
        make("VoltVar-IEEE13-v0", tap_changers=[{"id": "regcontrol.reg9"}])


@pytest.mark.parametrize("seed", range(6))
def test_channels_of_homes_carry_all_that_their_heat_pumps_draw(seed):
    buses = ["6", "17", "25", "31", "38", "47"]
    homes = [{"bus": bus, "seed": seed} for bus in buses]
    env, params = make("DemandResponse-SimBenchLV-v0", heat_pumps=homes)
    low = {c.name: c.low for c in env.task.action}
    group = next(g for g in params.model.groups if g.names[0].startswith("heat_pump."))
    assert all(low[f"{name}.p_kw"] <= -float(p) for name, p in zip(group.names, group.params.p_max_kw, strict=True))


def test_range_of_event_channels_follows_from_ratings_and_not_from_data():
    env, _ = functional("DemandResponse-SimBenchLV-v0")
    channels = {c.name: c for c in env.task.observation}
    rated_kw = 15 * 10.0 + 60.0
    assert channels["dr.baseline_kw"].high == channels["dr.target_kw"].high == pytest.approx(rated_kw)


def test_demand_response_without_anybody_to_take_part_is_refused():
    with pytest.raises(ConfigError, match="demand_response has nobody who takes part"):
        make("Storage-IEEE33-v0", demand_response={})


def test_only_the_home_that_has_the_bill_earns_by_trade():
    env, params = functional("SmartHome-LV-v0")
    _, state = env.reset_at(params.starts[:1] + 48 + 96 * 20, params)
    info = compiled_advance("SmartHome-LV-v0")(state, env.idle(params, state)).info
    names = [name for group in env.task.actuator.groups for name in group.names]
    elsewhere = [i for i, name in enumerate(names) if name.startswith("pv.") and name != "pv.roof"]
    assert len(elsewhere) == 12
    np.testing.assert_array_equal(np.asarray(info["unit_eur"])[0, elsewhere], 0.0)


def test_settled_bus_without_anything_connected_is_named():
    with pytest.raises(ConfigError, match="settled_buses names bus 'x', where nothing is connected"):
        make("SmartHome-LV-v0", settled_buses=["x"])


def test_forecast_errors_grow_with_the_time_ahead_and_are_the_same_when_asked_again():
    env, params = make("VoltVar-IEEE33-v0", forecast_steps=16, forecast_error=0.2, observed_buses=["18"])
    exact, _ = make("VoltVar-IEEE33-v0", forecast_steps=16, observed_buses=["18"])
    starts = params.starts + 40
    noisy, true = (e._observation.decode(np.asarray(e.reset_at(starts, params)[0])) for e in (env, exact))
    again = env._observation.decode(np.asarray(env.reset_at(starts, params)[0]))
    np.testing.assert_array_equal(noisy, again)
    names = env.task.observation.names

    def spread(ahead):
        i = names.index("price_eur_mwh" + (f".ahead_{ahead}" if ahead else ""))
        return np.std(noisy[:, i] / true[:, i] - 1.0)

    assert spread(0) < 1e-6
    # 0.2 sqrt(4 / 96) and 0.2 sqrt(16 / 96); 206 days give 5 % of either.
    assert spread(4) == pytest.approx(0.2 * np.sqrt(4 / 96), rel=0.2)
    assert spread(16) == pytest.approx(0.2 * np.sqrt(16 / 96), rel=0.2)


def test_error_without_a_forecast_is_refused():
    with pytest.raises(
        ConfigError, match=r"forecast_error is 0\.2 with forecast_steps 0; allowed: 0 without a forecast"
    ):
        make("VoltVar-IEEE33-v0", forecast_error=0.2)


def test_forecast_errors_of_temperatures_are_kelvin_whatever_the_temperature():
    task, settings = "DemandResponse-SimBenchLV-v0", {"forecast_steps": 16, "observed_buses": ["6"]}
    env, params = make(task, forecast_error=0.2, **settings)
    exact, _ = make(task, **settings)
    starts = params.starts + 40
    noisy, true = (e._observation.decode(np.asarray(e.reset_at(starts, params)[0])) for e in (env, exact))
    i = env.task.observation.names.index("outdoor_temp_c.ahead_16")
    error_k, temp_c = (noisy - true)[:, i], true[:, i]
    # 0.2 * 10 K * sqrt(16 / 96); 206 days give 5 % of it, halves of them 7 %.
    expected = pytest.approx(2.0 * np.sqrt(16 / 96), rel=0.25)
    assert np.std(error_k) == expected
    assert np.std(error_k[temp_c < np.median(temp_c)]) == expected
    assert np.std(error_k[temp_c > np.median(temp_c)]) == expected
