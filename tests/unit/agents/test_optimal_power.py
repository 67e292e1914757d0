"""Convex programs of a day against dynamic programming, a modelling language and the exact simulation."""

import sys
from dataclasses import replace

import jax
import numpy as np
import pytest

pytest.importorskip("clarabel", reason="the solver of the programs is in the extra 'opt'")

from jax import numpy as jnp

from agents import schedule
from agents.optimal_dispatch import OptimalDispatch
from agents.optimal_power import track
from agents.optimal_power.charger_rows import visits_of
from agents.optimal_power.day_program import solve_day
from agents.optimal_power.forecast import Foresight, believer, check_starts
from agents.optimal_power.mpc import Mpc, MpcConfig
from agents.optimal_power.planner import OptimalPower, Planner
from agents.optimal_power.program import Program
from agents.optimal_power.quantities import actions_of, quantities_of
from agents.oracle import Oracle
from agents.rules import DoNothing, UnitRules
from gridenv.core.errors import ConfigError, MissingExtraError
from gridenv.exogenous.forecasts import forecast_table, series_of
from gridenv.tasks.units.batteries import BatteryConfig
from gridenv.tasks.units.ev_chargers import EvChargerConfig
from gridenv.tasks.units.inverters import InverterConfig
from tests.environments import functional
from tests.unit.agents.soc_programming import best_return

N_DAY = 2
ONE_BATTERY = {
    "split": "test",
    "load_scale": 0.5,
    "batteries": (BatteryConfig(bus="8", e_max_kwh=1000.0, p_max_kw=400.0),),
}
"""At half load the feeder stays within its limits, whatever the battery does."""


def some(params, n):
    chosen = np.linspace(0, len(params.starts) - 1, n).astype(int)
    return replace(params, starts=params.starts[chosen])


def returns(env, params, actions):
    return np.asarray(schedule.outcome(env, params, actions).return_eur, float)


@pytest.fixture(scope="module")
def storage():
    env, params = functional("Storage-IEEE33-v0", split="test")
    return env, some(params, N_DAY)


@pytest.fixture(scope="module")
def anchors(storage):
    """Return of none and rule, and the plan of the programs."""
    env, params = storage
    none, rule = (schedule.recorded(env, c, params) for c in (DoNothing(env), UnitRules(env)))
    plan = OptimalPower(env).improved(params, rule)
    return returns(env, params, none), returns(env, params, rule), plan


def test_a_program_is_solved_as_the_modelling_language_solves_it():
    cp = pytest.importorskip("cvxpy", reason="independent formulation, in the extra 'opt'")
    generator = np.random.default_rng(0)
    n = 24
    price, load = generator.normal(size=n), generator.normal(size=n)
    program = Program()
    p, q = program.variables(n, price, curvature=0.1), program.variables(n, curvature=0.3)
    e, beyond = program.variables(n), program.variables(n, 2.0)
    program.equal(np.zeros(n - 1), (e[1:], 1.0), (e[:-1], -1.0), (p[1:], 0.25))
    program.equal([0.5], (e[:1], 1.0), (p[:1], 0.25))
    program.between(e, np.zeros(n), np.ones(n))
    program.in_circle(np.ones(n), p, q)
    program.at_most(load, (p, 1.0), (q, 0.5), (beyond, -1.0))
    program.between(beyond, np.zeros(n), np.full(n, np.inf))
    program.add_cost(e[-1:], -0.7)
    found = program.solve()
    pp, qq, bb = cp.Variable(n), cp.Variable(n), cp.Variable(n, nonneg=True)
    ee = 0.5 - 0.25 * cp.cumsum(pp)
    cost = price @ pp + 0.05 * cp.sum_squares(pp) + 0.15 * cp.sum_squares(qq) + 2.0 * cp.sum(bb) - 0.7 * ee[-1]
    rows = [ee >= 0, ee <= 1, pp + 0.5 * qq - bb <= load, cp.norm(cp.vstack([pp, qq]), axis=0) <= 1]
    expected = cp.Problem(cp.Minimize(cost), rows).solve(solver="CLARABEL")
    x, y = found[p], found[q]
    value = price @ x + 0.05 * x @ x + 0.15 * y @ y + 2.0 * found[beyond].sum() - 0.7 * found[e][-1]
    assert value == pytest.approx(expected, abs=1e-5)
    np.testing.assert_allclose(x, pp.value, atol=1e-3)


def test_a_program_without_a_solution_says_so():
    program = Program()
    x = program.variables(2, 1.0)
    program.between(x, np.ones(2), np.full(2, np.inf))
    program.at_most(np.zeros(2), (x, 1.0))
    assert program.solve() is None


def test_a_missing_solver_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "clarabel", None)
    program = Program()
    program.variables(1)
    with pytest.raises(MissingExtraError, match=r"package 'clarabel' is not installed; .*gridenv\[opt\]"):
        program.solve()


def test_tasks_without_units_that_fit_are_refused():
    env, params = functional("DemandResponse-SimBenchLV-v0", heat_pumps=(), demand_response=None)
    with pytest.raises(ConfigError, match=r"has no units that fit; allowed: batteries, chargers, and plants"):
        Planner(env, params)


def test_episodes_that_share_steps_are_refused_with_a_forecast_of_their_own(storage):
    _, params = storage
    doubled = replace(params, starts=jnp.asarray([96, 144], jnp.int32))
    check_starts(doubled, "oracle")
    with pytest.raises(ConfigError, match=r"begin at steps 96 and 144 overlap with forecast 'noisy'; allowed: 96"):
        check_starts(doubled, "noisy")


def test_a_forecast_changes_the_profiles_ahead_and_nothing_else(storage):
    _, params = storage
    scenario = params.model.scenario
    true, now = np.asarray(scenario.values), np.asarray(params.starts)
    for kind in ("noisy", "persistence", "slot_mean"):
        believe = believer(params, Foresight(kind=kind, history_days=2), every=4)
        seen = np.asarray(believe(params, now, 96).model.scenario.values)
        changed_rows = np.flatnonzero((seen != true).any(axis=1))
        assert set(changed_rows) <= {int(t) + h for t in now for h in range(1, 96)}
        assert len(changed_rows) > 150
        for name in ("price_eur_mwh", "time.day_sin"):
            np.testing.assert_array_equal(seen[:, scenario.column(name)], true[:, scenario.column(name)])
    column = scenario.column("H0-A_pload")
    expected = true[[now[0] + 10 - 96, now[0] + 10 - 192], column].mean()
    assert seen[now[0] + 10, column] == pytest.approx(expected, rel=1e-5)


def test_a_learned_forecast_is_that_of_the_forecaster_and_repeats_itself_beyond_its_horizon(
    storage, monkeypatch, tmp_path
):
    monkeypatch.setenv("GRIDENV_CACHE_DIR", str(tmp_path))
    _, params = storage
    params = replace(params, starts=params.starts[:1], steps_per_episode=3)
    scenario, t = params.model.scenario, int(params.starts[0])
    believe = believer(params, Foresight(kind="learned", model="linear"), every=1)
    seen = np.asarray(believe(params, np.array([t]), 5).model.scenario.values)
    names = [scenario.names[c] for c in believe.columns]
    assert {"H0-A_pload", "H0-A_qload", "PV1"} <= set(names)
    series = series_of(scenario, names)
    said = forecast_table("linear", series, t + np.arange(3), 2)[0]
    np.testing.assert_array_equal(seen[t + 1 : t + 5, believe.columns], said[[0, 1, 0, 1]])
    assert np.abs(said - series.values[t + 1 : t + 3]).max() > 1e-3


def test_the_plan_converges_to_dynamic_programming_over_the_state_of_charge():
    """A grid of states restricts what dynamic programming can do, so the plan is above it, by less the finer it is."""
    env, params = functional("Storage-IEEE33-v0", **ONE_BATTERY)
    params = some(params, 1)
    rule = schedule.recorded(env, UnitRules(env), params)
    none = returns(env, params, schedule.recorded(env, DoNothing(env), params))[0]
    plan = returns(env, params, OptimalPower(env).improved(params, rule))[0]
    assert plan - none > 5.0
    gaps = []
    for n_state, most in ((201, 0.03), (401, 0.017), (801, 0.008)):
        gaps.append((plan - best_return(env, params, n_state)) / (plan - none))
        # Below by no more than single precision over a day: 0.001 EUR.
        assert -0.001 / (plan - none) <= gaps[-1] <= most, f"{n_state} states"
    assert gaps[0] > gaps[2]


def test_derivatives_of_the_grid_are_those_of_the_simulation(storage):
    env, params = storage
    planner = Planner(env, params)
    quantities = planner.setting.quantities
    state = env.reset_at(params.starts, params)[1]
    rest = jnp.zeros((96, N_DAY, env.n_action))
    course = planner.simulate(params, state, rest, 96).course
    grid, slopes = track.measure(env, params, quantities, course), planner.slopes(params, course).values
    moved = np.array(rest)
    step, entry, kw = 60, 1, 25.0
    power = np.zeros((96, N_DAY, len(quantities)), np.float32)
    power[step, :, entry] = kw
    actions = actions_of(env, params, quantities, course.t, jnp.asarray(power), jnp.asarray(moved))
    after = track.measure(env, params, quantities, planner.simulate(params, state, actions, 96).course)
    for name in ("v_pu", "loading", "loss_kw", "injected_kw"):
        change = np.asarray(getattr(after.values, name) - getattr(grid.values, name))[step]
        expected = kw * np.asarray(getattr(slopes, name))[step, entry]
        assert np.abs(change).max() > 0
        np.testing.assert_allclose(change, expected, atol=0.05 * np.abs(expected).max() + 1e-5)


def test_the_oracle_is_never_below_predictive_control_rule_or_nothing(storage, anchors):
    env, params = storage
    none, rule, plan = anchors
    oracle = returns(env, params, Oracle(env).plan(params).actions)
    mpc = returns(env, params, Mpc(env, MpcConfig(replan_every=8)).plan(params).actions)
    slack = 1e-6 * np.abs(oracle)
    for other in (none, rule, mpc, returns(env, params, plan)):
        assert np.all(oracle >= other - slack)
    assert np.all(mpc > none - 1.0)
    assert np.mean(oracle) > np.mean(rule) + 50.0
    assert np.mean(rule) >= np.mean(none) - np.mean(slack)


@pytest.mark.slow
def test_the_oracle_of_steps_without_memory_takes_the_program_where_it_is_better():
    env, params = functional("ActiveDER-CigreMV-v0")
    # A day on which gradients of single steps stop EUR 4.79 short of the program.
    params = replace(params, starts=jnp.array([16320]))
    oracle = returns(env, params, Oracle(env).plan(params).actions)
    dispatch = returns(env, params, schedule.recorded(env, OptimalDispatch(env), params))
    assert oracle >= returns(env, params, OptimalPower(env).plan(params).actions) - 1e-6 * np.abs(oracle)
    assert oracle > dispatch + 4.0


def test_predictive_control_that_knows_the_future_repeats_the_plan(storage, anchors):
    env, params = storage
    none, _, plan = anchors
    best = returns(env, params, plan)
    known = MpcConfig(replan_every=16, forecast="oracle", first_rounds=12)
    found = returns(env, params, Mpc(env, known).plan(params).actions)
    np.testing.assert_allclose(found, best, rtol=5e-3)
    # Also of what there is to gain, which is far less than the whole bill.
    assert np.sum(best - none) - np.sum(found - none) < 0.005 * np.sum(best - none)


@pytest.mark.parametrize(
    "batteries",
    [pytest.param((), id="alone", marks=pytest.mark.slow), pytest.param(ONE_BATTERY["batteries"], id="with a battery")],
)
def test_predictive_control_finds_the_optimum_of_plants_in_every_step(batteries):
    plant = InverterConfig(bus="18", p_dc_kw=3000.0, profile="PV3", control="q")
    env, params = functional(
        "Storage-IEEE33-v0", split="test", batteries=batteries, inverters=(plant,), load_scale=0.5, steps_per_episode=3
    )
    # From 12:30 on, with reverse flow.
    params = replace(params, starts=some(params, N_DAY).starts + 50)
    # One plan of the battery, with another sun than there will be.
    taken = Mpc(env, MpcConfig(replan_every=3, forecast="persistence")).plan(params).actions
    # All that one plant can do, beside what the battery does; in later steps it changes nothing.
    values = np.linspace(-1.0, 1.0, 201)
    wide = replace(params, starts=jnp.repeat(params.starts, len(values)))
    state, advance = env.reset_at(wide.starts, wide)[1], jax.jit(env.advance)
    entry = next(q.entry for q in quantities_of(env, params).entries if q.is_q)
    for action in taken:
        own = jnp.repeat(action, len(values), axis=0)
        others = own.at[:, entry].set(jnp.tile(jnp.asarray(values), N_DAY))
        rewards = np.asarray(advance(state, others, wide).reward, float).reshape(N_DAY, -1)
        assert np.all(np.ptp(rewards, axis=1) > 0.1)
        step = advance(state, own, wide)
        assert np.all(np.asarray(step.reward, float).reshape(N_DAY, -1)[:, 0] >= rewards.max(axis=1) - 1e-3)
        state = step.state


@pytest.fixture(scope="module")
def mixed():
    """Chargers of one station and a plant that chooses active and reactive power."""
    env, params = functional(
        "Storage-IEEE33-v0",
        split="test",
        batteries=(),
        inverters=(InverterConfig(bus="18", p_dc_kw=1500.0, profile="PV3", control="p_q"),),
        ev_chargers=tuple(
            EvChargerConfig(id=name, bus="8", station="s", station_max_kw=15.0, v2g_share=1.0) for name in "ab"
        ),
    )
    return env, some(params, N_DAY)


@pytest.mark.slow
def test_chargers_and_plants_do_what_their_program_plans(mixed):
    """What is asked is delivered, but where the rule of what vehicles may feed in is not convex."""
    env, params = mixed
    planner = Planner(env, params)
    state = env.reset_at(params.starts, params)[1]
    start = schedule.recorded(env, UnitRules(env), params)
    first = planner.simulate(params, state, start, 96)
    days, root = planner._linearised(params, first.course, None)
    power = np.array(days.power)
    for i in range(N_DAY):
        power[:, i] = solve_day(params.model, planner.setting, root, days.day(i, 96), 1.0, None)
    asked = jnp.asarray(power, jnp.float32)
    actions = actions_of(env, params, planner.setting.quantities, first.course.t, asked, start)
    after = planner.simulate(params, state, actions, 96)
    delivered = np.asarray(track.measure(env, params, planner.setting.quantities, after.course).power)
    rating = np.array([1650.0 if q.group == 0 else 11.0 for q in planner.setting.quantities.entries])
    off = np.abs(delivered - power) / rating
    assert np.mean(off < 0.01) > 0.97
    assert np.mean(off) < 0.005
    charger = [k for k, q in enumerate(planner.setting.quantities.entries) if q.group == 1]
    assert np.abs(power[..., charger].sum(axis=-1)).max() <= 15.0 + 1e-3
    assert np.abs(power[..., charger]).max() > 5.0


def test_plans_of_chargers_and_plants_are_better_than_rule_and_nothing(mixed):
    env, params = mixed
    none, rule = (schedule.recorded(env, c, params) for c in (DoNothing(env), UnitRules(env)))
    best = returns(env, params, OptimalPower(env).improved(params, rule))
    assert np.all(best > np.maximum(returns(env, params, none), returns(env, params, rule)))


def test_units_that_are_not_decided_on_keep_their_power(mixed):
    env, params = mixed
    # From noon on, when there is sun.
    params = replace(params, starts=params.starts + 48)
    planner = Planner(env, params)
    state = env.reset_at(params.starts, params)[1]
    asked = jnp.full((1, N_DAY, env.n_action), 0.3)
    plan = planner.simulate(params, state, asked, 1)
    found = planner.improve(params, state, plan, 1, 2, [None] * N_DAY, groups=[0])
    before, after = (
        np.asarray(track.measure(env, params, planner.setting.quantities, p.course).power)[0] for p in (plan, found)
    )
    is_plant = np.array([q.group == 0 for q in planner.setting.quantities.entries])
    assert before[:, ~is_plant].max() > 1.0
    np.testing.assert_allclose(after[:, ~is_plant], before[:, ~is_plant], atol=1e-3)
    assert np.abs(after - before)[:, is_plant].max() > 1.0
    assert np.all(found.return_eur > plan.return_eur)


def test_predictive_control_knows_vehicles_only_on_arrival(mixed):
    env, params = mixed
    planner = Planner(env, params)
    state = env.reset_at(params.starts, params)[1]
    rest = jnp.zeros((96, N_DAY, env.n_action))
    course = planner.simulate(params, state, rest, 96).course
    days, _ = planner._linearised(params, course, None)
    day, group = days.day(0, 96), params.model.groups[1]
    every = visits_of(group.params, planner.setting.units[1], day, 1, None)
    known = visits_of(group.params, planner.setting.units[1], day, 1, int(day.t[0]))
    assert known.is_here.sum() < every.is_here.sum()
    np.testing.assert_array_equal(known.is_here[0], every.is_here[0])


def test_the_oracle_says_when_it_searches_without_programs(storage, monkeypatch):
    env, params = storage
    monkeypatch.setattr("agents.oracle.find_spec", lambda name: None)
    with pytest.warns(UserWarning, match=r"package 'clarabel' is not installed, so Storage-IEEE33-v0 is searched"):
        assert Oracle(env)._programmed(params, quantities_of(env, params)) is None
