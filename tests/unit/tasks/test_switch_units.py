"""Switches as units: who is without supply, and that energy, voltages and devices' states know it."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from agents.rules import UnitRules
from gridenv.core.errors import ConfigError
from gridenv.powerflow import PowerFlow
from gridenv.sim.state import Status
from gridenv.tasks.grid_config import GridTaskConfig
from gridenv.tasks.grid_task import make
from tests.environments import action_stream, assert_all_finite
from tests.unit.tasks.switching import (
    LINES,
    N_ENV,
    N_SECTION,
    NOON,
    action_of,
    advance,
    assert_energy_closes,
    assert_lines_close,
    begun,
    downstream,
    kwh_lines,
    made,
)


def test_loads_downstream_of_an_opened_line_are_unserved_to_the_kwh():
    env, params, state = begun("plain", N_SECTION)
    opened = LINES[:N_SECTION]
    t = advance(env, params, state, action_of(env, params, state, opened))
    model, spec = params.model, env.task.power_flow.spec
    rated_kwh = -np.asarray(model.scenario.values)[int(state.grid.t[0])] @ np.asarray(model.loads.p_weight_kw) / 4
    bus = np.array(spec.injections.bus)[: len(rated_kwh)]
    expected = [rated_kwh[np.isin(bus, list(downstream(spec, line)))].sum() for line in opened]
    assert expected[0] == pytest.approx(rated_kwh.sum())
    np.testing.assert_allclose(kwh_lines(t.info)["unserved"], expected, rtol=1e-5)
    np.testing.assert_allclose(t.info["cost"][:, env.cost_names.index("unserved")], expected, rtol=1e-5)
    np.testing.assert_allclose(t.info["kpi"]["eur.unserved"], -69.0 * np.array(expected), rtol=1e-5)
    loads_kw = np.asarray(t.output.p_kw)[:, : len(rated_kwh)].sum(axis=-1)
    np.testing.assert_allclose(-loads_kw / 4, rated_kwh.sum() - np.array(expected), rtol=1e-5, atol=1e-3)
    assert not np.any(t.terminated)
    assert np.all((t.info["status"] & Status.UNSERVED) != 0)
    assert_energy_closes(t.info, t.output)


def test_dead_nodes_are_no_voltage_violations_and_are_seen_at_the_end_of_the_range():
    env, params, state = begun("plain", N_SECTION)
    t = advance(env, params, state, action_of(env, params, state, ["line.1"]))
    assert_all_finite((t.observation, t.reward, t.info, t.state))
    v_pu = np.asarray(t.output.v_pu)
    np.testing.assert_array_equal(np.asarray(t.output.supply.energised[0]), np.arange(33) == 0)
    assert np.all(v_pu[0, 1:] == 0.0)
    assert t.info["cost"][0, 0] == 0.0
    kpi = {name: float(value[0]) for name, value in t.info["kpi"].items()}
    assert kpi["v_min_pu"] == kpi["v_max_pu"] == pytest.approx(1.0)
    assert kpi["v_band_share"] == kpi["kwh.source"] == kpi["kwh.loss"] == kpi["eur.trade"] == 0.0
    low, high = env.observation_bounds
    assert np.all((t.observation >= low) & (t.observation <= high))
    # Devices do not act on the voltage of a dead node when supply is back.
    np.testing.assert_array_equal(t.state.grid.v_pu[0, 1:], 1.0)


RADIAL = (
    ((), ()),
    (("line.7",), ("line.33",)),
    (("line.14",), ("line.34",)),
    (("line.28",), ("line.37",)),
    (("line.7", "line.9", "line.14", "line.32"), ("line.33", "line.34", "line.35", "line.36")),
)
"""The feeder as it is, exchanges of a line for a tie, and the least losses in the literature (7, 9, 14, 32, 37 out)."""


@pytest.mark.slow
def test_reconfigured_and_meshed_feeder_has_the_losses_of_the_power_flow():
    meshed = ((), ("line.33", "line.37"))
    cases = (*RADIAL, meshed)
    env, params, state = begun("mixed")
    action = action_of(env, params, state, [c[0] for c in cases], [c[1] for c in cases])
    t = advance(env, params, state, action)
    np.testing.assert_array_equal(kwh_lines(t.info)["unserved"], 0.0)
    power_flow = PowerFlow(env.task.power_flow.spec, dtype="float64")
    states = np.tile(power_flow.default_switches.astype(float), (N_ENV, 1))
    for row, (opened, closed) in zip(states, cases, strict=False):
        row[[power_flow.switch_names.index(n) for n in opened]] = 0.0
        row[[power_flow.switch_names.index(n) for n in closed]] = 1.0
    p_kw = np.asarray(t.output.p_kw, float)
    q_kvar = _q_kvar(params, state, t)
    solution = power_flow.solve(p_kw, q_kvar, switches=states)
    np.testing.assert_allclose(t.output.loss_kw, solution.loss_kw, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(t.output.v_pu, np.abs(solution.v_pu), atol=1e-5)
    assert float(t.output.loss_kw[4]) < 0.9 * float(t.output.loss_kw[0])


def _q_kvar(params, state, t):
    model = params.model
    loads = np.asarray(model.scenario.values, float)[np.asarray(state.grid.t)] @ np.asarray(model.loads.q_weight_kvar)
    units = [d.q_kvar for g, d in zip(model.groups, t.output.feasible, strict=True) if g.family.moves is None]
    return np.concatenate([loads, *(np.asarray(q, float) for q in units)], axis=-1)


def test_units_on_a_dead_part_neither_draw_nor_feed_in_and_their_states_follow():
    env, params, state = begun("mixed")
    asks = {"battery": -1.0, "ev": -1.0, "heat_pump": -1.0, "appliance": 1.0, "generator": 1.0}
    n_step = 6
    for k in range(n_step):
        before = state.grid.devices
        # Environment 0 opens the switch, environment 1 does not.
        action = action_of(env, params, state, ["line.17"], **asks)
        t = advance(env, params, state, action)
        state = t.state
        assert_energy_closes(t.info, t.output)
        for group, own, new, done in zip(
            params.model.groups, before, t.state.grid.devices, t.output.feasible, strict=True
        ):
            if group.family.moves is not None:
                continue
            dead = [i for i, name in enumerate(group.names) if ".18" in name or ".ev" in name]
            assert np.all(np.asarray(done.p_kw)[0, dead] == 0.0), group.names
            assert np.all(np.asarray(done.q_kvar)[0, dead] == 0.0), group.names
            name = group.family.name
            if name == "battery":
                np.testing.assert_array_equal(new.e_kwh[0, dead], own.e_kwh[0, dead])
            if name == "heat_pump":
                assert np.all(new.t_air_c[0, dead] < new.t_air_c[1, dead])
            if name == "appliance":
                np.testing.assert_array_equal(new.steps_done[0, dead], own.steps_done[0, dead])
            if name == "generator":
                assert not np.any(new.is_on[0, dead]), k
    kwh = kwh_lines(t.info)
    assert kwh["inverter_curtailed"][0] < -30.0
    assert kwh["inverter_curtailed"][1] == pytest.approx(0.0, abs=1e-3)
    assert kwh["generator_fuel"][1] == pytest.approx(25.0)
    names = list(env.task.action.names)
    applied = env._action.decode(np.asarray(t.info["action_applied"]))
    asked = [names.index(n) for n in ("battery.18.p_kw", "generator.18.p_kw", "heat_pump.18.p_kw", "pv.18.p_share")]
    np.testing.assert_allclose(applied[0, asked], 0.0, atol=1e-5)
    np.testing.assert_array_equal((t.info["status"] & Status.ACTION_CORRECTED) != 0, True)


@pytest.mark.slow
def test_plants_on_their_curves_deliver_nothing_on_a_dead_part_and_balance_elsewhere():
    env, params, state = begun("curves")
    for _ in range(3):
        t = advance(env, params, state, action_of(env, params, state, ["line.17"], pv=0.5))
        state = t.state
        done = next(
            d for g, d in zip(params.model.groups, t.output.feasible, strict=True) if g.family.name == "inverter"
        )
        assert bool(np.all(t.output.converged))
        assert_energy_closes(t.info, t.output)
        np.testing.assert_array_equal(np.asarray(done.q_kvar)[0, 0], 0.0)
        assert np.all(np.asarray(done.q_kvar)[0, 1:] > 0.0)
        assert np.all(np.asarray(done.q_kvar)[1] > 0.0)


def test_doing_nothing_leaves_the_network_as_it_is():
    env, params, state = begun("plain", N_SECTION)
    other, other_params, plain = begun("fixed", N_SECTION)
    for _ in range(4):
        a = advance(env, params, state, env.idle(params, state))
        b = advance(other, other_params, plain, other.idle(other_params, plain))
        state, plain = a.state, b.state
        np.testing.assert_allclose(a.output.v_pu, b.output.v_pu, atol=2e-6)
        np.testing.assert_allclose(a.output.loss_kw, b.output.loss_kw, rtol=1e-4)
        np.testing.assert_allclose(a.info["economic_eur"], b.info["economic_eur"], rtol=1e-4)
        assert np.all(a.info["cost"][:, env.cost_names.index("unserved")] == 0.0)
        assert np.all(a.info["cost"][:, env.cost_names.index("switch_ops")] == 0.0)
        assert np.all((a.info["status"] & Status.UNSERVED) == 0)
    assert b.output.supply is None
    assert "unserved" not in other.cost_names
    assert not any("unserved" in name for name in b.info["kpi"])


def test_switch_rests_for_its_dwell_time_and_wears():
    env, params, state = begun("few", 1)
    opened = []
    for k in range(6):
        opens, closes = (["line.17"], ()) if k == 0 else ((), ["line.17"])
        t = advance(env, params, state, action_of(env, params, state, opens, closes))
        state = t.state
        opened.append(float(t.info["kpi"]["kwh.unserved"][0]) > 0.0)
        assert float(t.info["kpi"]["eur.switch_wear"][0]) == (-2.0 if k in (0, 4) else 0.0)
    # An hour is four steps.
    assert opened == [True, True, True, True, False, False]


@pytest.mark.slow
def test_long_random_switching_stays_finite_and_closes():
    env, params = made("mixed")
    actions = action_stream(env, N_ENV, 200, seed=5)
    _, state = env.reset_batch(jax.random.key(0), params, N_ENV)

    @jax.jit
    def run(state, actions):
        def body(state, action):
            t = env.advance(state, action, params)
            # An ended episode goes on, as what is looked at is the step.
            return t.state, (t.observation, t.reward, t.terminated, t.info, t.output)

        return jax.lax.scan(body, state, actions)

    state, (observation, reward, terminated, info, output) = run(state, actions)
    assert_all_finite((state, observation, reward, {k: v for k, v in info.items() if k != "status"}))
    low, high = env.observation_bounds
    assert np.all((observation >= low) & (observation <= high))
    solved = np.asarray(info["pf_converged"])
    np.testing.assert_array_equal(np.asarray(terminated), ~solved)
    assert np.mean(solved) > 0.99
    assert float(np.asarray(info["pf_residual"])[solved].max()) < 1e-5
    assert np.mean(np.asarray(info["kpi"]["kwh.unserved"]) > 0) > 0.5
    assert_energy_closes(jax.tree.map(lambda a: a[solved], info), jax.tree.map(lambda a: a[solved], output))


@given(hnp.arrays(bool, (N_ENV, len(LINES))), st.integers(0, 95))
@settings(max_examples=25, deadline=None)
def test_energy_closes_in_any_state_of_the_switches(is_closed, step):
    env, params, state = begun("mixed", N_ENV, step)
    names = np.array(LINES)
    action = action_of(env, params, state, [names[~row] for row in is_closed], [names[row] for row in is_closed])
    action[:, :5] = 0.7
    t = advance(env, params, state, action)
    solved = np.asarray(t.output.converged)
    assert_energy_closes(jax.tree.map(lambda a: a[solved], t.info), jax.tree.map(lambda a: a[solved], t.output))
    live, v_pu = np.asarray(t.output.supply.energised), np.asarray(t.output.v_pu)
    assert np.all(((v_pu > 0.3) == live)[solved])


@pytest.mark.slow
def test_partly_dead_bus_of_three_phases_loses_only_the_legs_without_supply():
    switches = [{"id": "line.632645"}, {"id": "line.671692"}]
    env, params = make(GridTaskConfig(network="ieee13", switches=switches), "Switching-IEEE13-v0")
    state = env.reset_at(params.starts[:2] + NOON, params)[1]
    action = action_of(env, params, state, ["line.632645", "line.671692"])
    t = advance(env, params, state, action)
    power_flow = env.task.power_flow
    states = np.tile(power_flow.default_switches.astype(float), (2, 1))
    for row, name in zip(states, ("line.632645", "line.671692"), strict=True):
        row[power_flow.switch_names.index(name)] = 0.0
    series = np.asarray(params.model.scenario.values)[np.asarray(state.grid.t)]
    loads = params.model.loads
    solution = power_flow.solve(series @ loads.p_weight_kw, series @ loads.q_weight_kvar, switches=states)
    np.testing.assert_allclose(kwh_lines(t.info)["unserved"] * 4, solution.unserved_kw, rtol=1e-5)
    assert np.all(kwh_lines(t.info)["unserved"] > 1.0)
    assert_lines_close(t.info)


@pytest.mark.slow
def test_rules_move_regulators_and_leave_switches_in_a_task_that_has_both():
    regulated = {
        "network": "ieee13",
        "tap_changers": [{"id": f"regcontrol.reg{i}"} for i in (1, 2, 3)],
        "capacitors": [{"id": "capacitor.cap1"}, {"id": "capacitor.cap2"}],
    }

    def ruled(**more):
        env, params = make(GridTaskConfig(**regulated, **more), "Switching-IEEE13-v0")
        seen, state = env.reset_at(params.starts[:2] + NOON, params)
        return np.asarray(jax.jit(UnitRules(env).act)(params, state, seen))

    with_switch = ruled(switches=[{"id": "line.632645"}])
    np.testing.assert_array_equal(with_switch[:, -1], 1.0)
    np.testing.assert_allclose(with_switch[:, :-1], ruled(), atol=1e-5)
    assert np.any(with_switch[:, :3] != 0.0)


def test_switch_that_the_network_has_not_is_named():
    with pytest.raises(ConfigError, match=r"switch\.line\.38 moves 'line\.38', which 'ieee33' has not"):
        make(GridTaskConfig(network="ieee33", switches=[{"id": "line.38"}]), "Switching-IEEE33-v0")
