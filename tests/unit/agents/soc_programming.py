"""Dynamic programming over the state of charge of the only battery of a task: an oracle of the planners.

Losses of the grid are those of the exact power flow, at many powers of every step and interpolated between; everything
else is the formula of docs/devices/battery.md, written anew.
"""

from collections import namedtuple
from dataclasses import fields
from functools import partial

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp

from agents.optimal_power import track
from agents.optimal_power.quantities import quantities_of
from agents.rules import DoNothing
from agents.schedule import recorded
from gridenv.exogenous.scenario import PRICE_NAME

N_POWER = 33


def best_return(env, params, n_state: int) -> float:
    """Return of the best path over a grid of states of charge, EUR; `params` has one start."""
    (start,) = np.asarray(params.starts)
    n_step = params.steps_per_episode
    group = next(g for g in params.model.groups if g.family.name == "battery")
    values = {f.name: float(getattr(group.params, f.name)[0]) for f in fields(group.params)}
    own = namedtuple("Battery", values)(**values)
    p_kw = np.linspace(-own.p_charge_max_kw, own.p_discharge_max_kw, N_POWER)
    scenario = params.model.scenario
    price = np.asarray(scenario.values)[start : start + n_step, scenario.column(PRICE_NAME)].astype(float)
    loss_kw, injected_kw = _grid(env, params, p_kw)
    # EUR of every step at every power: trade and losses.
    eur = 0.25 / 1000 * (price[:, None] * injected_kw - np.maximum(price, 0.0)[:, None] * loss_kw)
    e = np.linspace(own.soc_min, own.soc_max, n_state) * own.e_max_kwh
    first = own.soc_start * own.e_max_kwh
    with jax.enable_x64(True):
        worth = _worth(own, jnp.asarray(e), jnp.asarray(p_kw), jnp.asarray(eur))
        # The episode begins between two states: the first step is looked up over all states after it.
        value = _step_value(own, jnp.asarray([first]), jnp.asarray(e), jnp.asarray(p_kw), jnp.asarray(eur[0])) + worth
        return float(jnp.max(value))


def _grid(env, params, p_kw):
    """[step, power] losses and power of all loads and units, by exact power flow."""
    quantities = quantities_of(env, params)
    state = env.reset_at(params.starts, params)[1]
    course = track.follow(env, params, quantities, state, recorded(env, DoNothing(env), params))
    wide = jax.tree.map(lambda a: jnp.repeat(a, len(p_kw), axis=1), (course.t, course.feasible))
    (place,) = (i for i, g in enumerate(params.model.groups) if g.family.name == "battery")
    feasible = list(wide[1])
    powers = jnp.broadcast_to(jnp.asarray(p_kw, jnp.float32)[:, None], feasible[place].p_kw.shape)
    feasible[place] = type(feasible[place])(p_kw=powers, q_kvar=jnp.zeros_like(powers))
    shape = wide[0].shape
    probe = track.Course(
        t=wide[0], actions=jnp.zeros((*shape, env.n_action)), reward_eur=jnp.zeros(shape), alive=jnp.ones(shape, bool),
        devices=(), last_devices=(), feasible=tuple(feasible),
    )  # fmt: skip
    values = track.measure(env, params, quantities, probe).values
    return np.asarray(values.loss_kw, float), np.asarray(values.injected_kw, float)


def _step_value(own, before, after, p_kw, eur):
    """[before, after] EUR of a step that takes the stored energy from one to the other; -inf where it cannot."""
    inflow = (after[None] - before[:, None]) / 0.25
    power = jnp.where(inflow > 0, -inflow / own.eff_charge, -inflow * own.eff_discharge)
    is_possible = (power >= p_kw[0] - 1e-6) & (power <= p_kw[-1] + 1e-6)
    depth_before, depth_after = (1 - e / own.e_max_kwh for e in (before, after))
    cycles = jnp.abs(depth_after[None] ** own.depth_exponent - depth_before[:, None] ** own.depth_exponent)
    middle = (before[:, None] + after[None]) / (2 * own.e_max_kwh)
    calendar = own.calendar_eur_per_h * 0.25 * jnp.exp(own.soc_stress * (middle - 0.5))
    stock = (after[None] - before[:, None]) * own.eff_discharge * own.stock_eur_per_kwh
    value = jnp.interp(power, p_kw, eur) - own.cycle_eur * cycles / 2 - calendar + stock
    return jnp.where(is_possible, value, -jnp.inf)


@partial(jax.jit, static_argnums=0)
def _worth(own, e, p_kw, eur):
    """[state] best return of all steps but the first."""

    def body(value, eur):
        return jnp.max(_step_value(own, e, e, p_kw, eur) + value[None], axis=1), None

    return lax.scan(body, jnp.zeros(len(e)), eur[1:], reverse=True)[0]
