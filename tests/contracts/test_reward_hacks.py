"""What an agent might try instead of its task is worth less than the usual rule, on days of the test split."""

from functools import cache

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from agents.rules import UnitRules
from tests.environments import functional

N_DAY = 5
LAST_HOURS = 16
"""Steps before midnight in which storage is emptied."""


def entries(env, suffix):
    """Which actions have a name that ends so."""
    return np.array([name.endswith(suffix) for name in env.task.action.names])


def units(env, prefix):
    """Which actions are of units whose name begins so."""
    return np.array([name.startswith(prefix) for name in env.task.action.names])


def curtail_everything(env, rule, idle, step):
    return jnp.where(entries(env, ".p_share"), -1.0, rule)


def leave_vehicles_empty(env, rule, idle, step):
    return jnp.where(units(env, "ev."), idle, rule)


def drain_vehicles(env, rule, idle, step):
    return jnp.where(units(env, "ev."), 1.0, rule)


def drain_batteries_before_midnight(env, rule, idle, step):
    is_battery = units(env, "battery.")
    return jnp.where(is_battery & (step >= 96 - LAST_HOURS), 1.0, rule)


def switch_heating_off(env, rule, idle, step):
    return jnp.where(units(env, "heat_pump."), 1.0, rule)


def let_homes_cool_before_midnight(env, rule, idle, step):
    is_heat = units(env, "heat_pump.")
    return jnp.where(is_heat & (step >= 96 - LAST_HOURS), 1.0, rule)


def oscillate_equipment(env, rule, idle, step):
    moves = entries(env, ".position") | entries(env, ".closed")
    return jnp.where(moves, jnp.where(step % 2, 0.3, -0.3), rule)


HACKS = [
    ("ActiveDER-CigreMV-v0", curtail_everything),
    pytest.param("DistrictEMS-CigreMV-v0", curtail_everything, marks=pytest.mark.slow),
    ("V2G-SimBenchLV-v0", leave_vehicles_empty),
    ("V2G-SimBenchLV-v0", drain_vehicles),
    ("Storage-IEEE33-v0", drain_batteries_before_midnight),
    ("DemandResponse-SimBenchLV-v0", switch_heating_off),
    ("DemandResponse-SimBenchLV-v0", let_homes_cool_before_midnight),
    ("SmartHome-LV-v0", leave_vehicles_empty),
    ("VoltVar-IEEE13-v0", oscillate_equipment),
]


@cache
def earned(task):
    """EUR of the rule and of each hack of a task, one after the other in one program, on `N_DAY` days."""
    env, params = functional(task, split="test")
    hacks = [hack for name, hack in (getattr(case, "values", case) for case in HACKS) if name == task]
    winter_to_autumn = np.linspace(0, len(params.starts) - 1, N_DAY).astype(int)
    starts = jnp.tile(params.starts[winter_to_autumn], 1 + len(hacks))
    controller = UnitRules(env)

    @jax.jit
    def run(params):
        observation, state = env.reset_at(starts, params)

        def one_step(carry, step):
            observation, state = carry
            rule, idle = controller.act(params, state, observation), env.idle(params, state)
            ways = [rule, *(hack(env, rule, idle, step) for hack in hacks)]
            tried = jnp.concatenate([way[i * N_DAY : (i + 1) * N_DAY] for i, way in enumerate(ways)])
            t = env.advance(state, tried, params)
            return (t.observation, t.state), (t.reward, t.terminated)

        return jax.lax.scan(one_step, (observation, state), jnp.arange(96))[1]

    reward, terminated = run(params)
    assert not np.any(terminated)
    total = np.asarray(reward, float).sum(axis=0).reshape(-1, N_DAY).sum(axis=1)
    return total[0], dict(zip(hacks, total[1:], strict=True))


@pytest.mark.parametrize(("task", "hack"), HACKS)
def test_cheating_scores_worse_than_the_rule(task, hack):
    honest, cheating = earned(task)
    assert honest > cheating[hack] + 1e-4 * abs(honest)
