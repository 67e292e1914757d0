"""The upper reference of tasks with memory."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from agents import schedule
from agents.optimal_schedule import OptimalSchedule, _changed
from agents.oracle import Oracle
from agents.rules import DoNothing, UnitRules
from experiments.rollout import run_episodes
from gridenv.exogenous.scenario import PRICE_NAME, sample
from tests.environments import functional

STEPS = 96
BRIEF = {"rounds": 6, "trials": 10}
"""Of plans that need not be good; each number of rounds and trials is a program of its own."""


def days(params, n):
    """Some days of those that `params` starts on."""
    chosen = np.linspace(0, len(params.starts) - 1, n).astype(int)
    return replace(params, starts=params.starts[chosen])


@pytest.fixture(scope="module")
def storage():
    env, params = functional("Storage-IEEE33-v0", split="test")
    return env, days(params, 3)


@pytest.fixture(scope="module")
def plan(storage):
    env, params = storage
    return OptimalSchedule(env, rounds=60, trials=20).plan(params)


def test_a_schedule_earns_what_the_controller_that_it_was_recorded_from_earns(storage):
    env, params = storage
    rule = UnitRules(env)
    actions = schedule.recorded(env, rule, params)
    assert actions.shape == (STEPS, 3, env.n_action)
    expected = run_episodes(env, params, rule).return_eur
    outcome = schedule.outcome(env, params, actions)
    np.testing.assert_allclose(outcome.return_eur, expected, rtol=1e-6)
    assert bool(jnp.all(outcome.is_solved))
    assert float(jnp.max(outcome.residual_pu)) < 1e-5
    carried_out = run_episodes(env, params, schedule.Schedule(actions=actions, name="rule")).return_eur
    np.testing.assert_allclose(carried_out, expected, rtol=1e-6)


def test_the_oracle_beats_the_rule_and_nothing_on_every_day(storage, plan):
    env, params = storage
    best, rule, none = (run_episodes(env, params, c).return_eur for c in (plan, UnitRules(env), DoNothing(env)))
    assert np.all(best >= np.maximum(rule, none))
    assert np.mean(best) > np.mean(rule) + 50.0


def test_the_oracle_stays_below_what_batteries_without_losses_and_limits_of_the_grid_could_earn(storage, plan):
    """Bound that needs no simulation: full power whenever the price is off what stored energy is worth, nothing lost.

    A kWh fed in earns the price and takes its worth off the store, one drawn does the reverse, so a step is worth at
    most power x |price - worth| more than rest; losses and wear only take from that. The grid can at best spare all
    losses and violations of doing nothing.
    """
    env, params = storage
    none = run_episodes(env, params, DoNothing(env))
    best = run_episodes(env, params, plan)
    group = next(g for g in params.model.groups if g.family.name == "battery")
    p_kw, worth_eur_kwh = np.asarray(group.params.s_rated_kva), np.asarray(group.params.stock_eur_per_kwh)
    column = params.model.scenario.column(PRICE_NAME)
    for i, start in enumerate(np.asarray(params.starts)):
        steps = jnp.arange(start, start + STEPS)
        price = np.asarray(jax.vmap(lambda t: sample(params.model.scenario, t))(steps)[:, column])
        traded = np.sum(p_kw * 0.25 * np.abs(price[:, None] / 1000 - worth_eur_kwh))
        losses = none.loss_kwh[i] / 1000 * price.max() + none.cost[i] @ np.asarray(params.cost_weight_eur)
        assert best.return_eur[i] - none.return_eur[i] < traded + losses


@pytest.mark.slow
def test_random_changes_alone_never_make_a_schedule_worse(storage):
    env, params = storage
    rule = run_episodes(env, params, UnitRules(env)).return_eur
    changed = OptimalSchedule(env, step_size=0.0, **BRIEF).plan(params)
    assert np.all(run_episodes(env, params, changed).return_eur >= rule - 1e-6 * np.abs(rule))


def changes(env) -> tuple[np.ndarray, np.ndarray]:
    """Many schedules, each of one value that no other has, before and after a random change."""
    before = jnp.broadcast_to(jnp.linspace(-0.9, 0.9, 4000)[:, None], (STEPS, 4000, env.n_action))
    return np.asarray(before), np.asarray(_changed(env, jax.random.key(3), before))


def test_random_changes_are_of_the_whole_day_and_of_single_steps_and_as_common_at_its_ends_as_in_the_middle(storage):
    """Without whole days the oracle of VoltVar-IEEE123 found schedules that a learned policy beat by EUR 1.5 a day."""
    before, after = changes(storage[0])
    moved = np.any(after != before, axis=-1)
    n_moved = moved.sum(axis=0)
    assert np.mean(n_moved > 0) > 0.99
    assert 0.05 < np.mean(n_moved == STEPS) < 0.2
    assert np.mean(n_moved == 1) > 0.1
    share = moved.mean(axis=1)
    assert share.max() < 1.25 * share.min()


def test_a_third_of_the_random_changes_are_taken_from_another_schedule_and_some_of_them_whole(storage):
    before, after = changes(storage[0])
    moved = after != before
    is_taken = np.any(moved & np.isin(after, before[0, :, 0]), axis=(0, 2))
    assert np.mean(is_taken) == pytest.approx(1 / 3, abs=0.03)
    n_unit = np.any(moved, axis=0).sum(axis=-1)
    assert np.mean(n_unit[is_taken] == before.shape[-1]) > 0.35
    assert np.mean(n_unit[is_taken] == 1) > 0.2


def test_the_plan_is_the_same_every_time(storage):
    env, params = storage
    first, second = (OptimalSchedule(env, **BRIEF).plan(params).actions for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_days_are_planned_as_a_whole_only_where_steps_reach_into_each_other(storage):
    assert schedule.has_memory(storage[1].model.groups)
    env, params = functional("VoltVar-IEEE33-v0")
    assert not schedule.has_memory(params.model.groups)
    assert Oracle(env).plan(params).name == "oracle"
