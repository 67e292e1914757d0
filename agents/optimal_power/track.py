"""The course of a day under given actions by exact simulation, and how the grid moves around it.

Derivatives are those of the exact power flow at each step, by the implicit-function theorem.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array, lax
from jax import numpy as jnp
from jaxtyping import Bool, Float, Int

from agents.optimal_power.quantities import Quantities
from agents.rules import UnitRules
from gridenv.core.pytree import pytree
from gridenv.exogenous.scenario import PRICE_NAME, sample
from gridenv.sim import step as grid_step
from gridenv.sim.metering import meter
from gridenv.sim.model import GridModel
from gridenv.sim.step import Injections
from gridenv.tasks.env import EnvParams, EnvState, GridEnv

_PROBE = 0.2
"""Share of the largest known power by which the curvature of losses is probed."""
_LITTLE = 0.05
"""Share of the largest curvature of losses below which a direction counts as straight. On the low-voltage feeder with
23 chargers 4 directions are left, which halves the time of a program; plans are no worse."""


@pytree
class Course:
    """A simulated day; leading axes are step and episode."""

    t: Int[Array, "step episode"]
    actions: Float[Array, "step episode act"]
    reward_eur: Float[Array, "step episode"]
    """0 after a step that failed."""
    alive: Bool[Array, "step episode"]
    """Whether this step and all before it had a power flow."""
    devices: tuple[Any, ...]
    """State of each group at the beginning of the steps."""
    last_devices: tuple[Any, ...]
    """And after the last one."""
    feasible: tuple[Any, ...]
    """What each group delivered."""


class Metrics(NamedTuple):
    """What money and costs depend on besides the units themselves."""

    v_pu: Array
    loading: Array
    """Lines, then transformers."""
    unbalance: Array
    loss_kw: Array
    injected_kw: Array
    """Of all loads and units."""


@pytree
class Measured:
    """The grid along a course."""

    power: Float[Array, "*batch quantity"]
    """kW and kvar delivered."""
    net_kw: Float[Array, "*batch injection"]
    """Active power of all injections."""
    price_eur_mwh: Float[Array, "*batch"]
    values: Metrics
    """[step, episode, ...]"""


@partial(jax.jit, static_argnames=("env", "quantities"))
def follow(
    env: GridEnv, params: EnvParams, quantities: Quantities, state: EnvState, actions: Float[Array, "step episode act"]
) -> Course:
    """Carry out actions from a state; entries that no quantity stands for follow the usual rule."""
    held = jnp.asarray(quantities.is_held)
    rule = UnitRules(env)

    def one_step(carry: tuple[EnvState, Array], action: Array) -> tuple[Any, tuple[Any, ...]]:
        state, alive = carry
        if any(quantities.is_held):
            # The rules look at the state only.
            action = jnp.where(held, rule.act(params, state, action), action)
        t = env.advance(state, action, params)
        alive_after = alive & ~t.terminated
        reward = jnp.where(alive, t.reward, 0.0)
        record = (state.grid.t, action, reward, alive_after, state.grid.devices, t.output.feasible)
        return (t.state, alive_after), record

    carry = (state, jnp.ones(state.steps.shape, bool))
    (last, _), (t, asked, reward, alive, devices, feasible) = lax.scan(one_step, carry, actions)
    return Course(
        t=t,
        actions=asked,
        reward_eur=reward,
        alive=alive,
        devices=devices,
        last_devices=last.grid.devices,
        feasible=feasible,
    )


@partial(jax.jit, static_argnames=("env", "quantities"))
def measure(env: GridEnv, params: EnvParams, quantities: Quantities, course: Course) -> Measured:
    """The grid in every step."""
    del env
    model = params.model

    def at_step(record: tuple[Array, tuple[Any, ...]]) -> Measured:
        t, feasible = record
        series = sample(model.scenario, t)
        injections = grid_step.inject(model, series, feasible)
        power = jnp.where(
            quantities.is_q,
            injections.q_kvar[..., quantities.injection],
            injections.p_kw[..., quantities.injection],
        )
        price = series[..., model.scenario.column(PRICE_NAME)]
        values = _metrics(model, injections, grid_step.moved(model, feasible))
        return Measured(power=power, net_kw=injections.p_kw, price_eur_mwh=price, values=values)

    return lax.map(at_step, (course.t, course.feasible))


@partial(jax.jit, static_argnames=("env", "quantities"))
def slopes(env: GridEnv, params: EnvParams, quantities: Quantities, course: Course) -> Metrics:
    """Derivatives of the metrics with respect to the quantities, [step, quantity, episode, ...] per kW or kvar."""
    del env
    model = params.model

    def at_step(record: tuple[Array, tuple[Any, ...]]) -> Metrics:
        t, feasible = record
        injections = grid_step.inject(model, sample(model.scenario, t), feasible)
        return _slopes(model, quantities, injections, grid_step.moved(model, feasible))

    return lax.map(at_step, (course.t, course.feasible))


def _metrics(model: GridModel, at: Injections, equipment: Any) -> Metrics:
    seen = meter(model, at.p_kw, at.q_kvar, equipment, grid_step.solve(model, at, equipment))
    return Metrics(
        v_pu=seen.v_pu,
        loading=jnp.concatenate([seen.line_loading, seen.transformer_loading], axis=-1),
        unbalance=seen.unbalance,
        loss_kw=seen.loss_kw,
        injected_kw=seen.loss_kw - seen.source_p_kw,
    )


def _slopes(model: GridModel, quantities: Quantities, at: Injections, equipment: Any) -> Metrics:
    """Derivatives [quantity, *batch, ...]."""
    _, push = jax.linearize(lambda p, q: _metrics(model, Injections(p, q), equipment), at.p_kw, at.q_kvar)
    nothing = jnp.zeros_like(at.p_kw)

    def column(place: tuple[Array, Array]) -> Metrics:
        injection, is_q = place
        one = nothing.at[..., injection].set(1.0)
        return push(jnp.where(is_q, 0.0, one), jnp.where(is_q, one, 0.0))

    return lax.map(column, (jnp.asarray(quantities.injection), jnp.asarray(quantities.is_q)))


def loss_root(params: EnvParams, quantities: Quantities, along: Measured, course: Course, step: int) -> np.ndarray:
    """[quantity, root] matrix R so that R R' is the second derivative of the losses, kW per kW or kvar squared.

    Directions of little curvature are left out, there losses are linear. Differences of the exact gradients of one step
    of the first episode, both ways from the power delivered there. Assumed: the same in all steps, as the losses of a
    feeder are nearly quadratic in its currents.
    """
    model = params.model
    t = course.t[step, :1]
    feasible = jax.tree.map(lambda a: a[step, :1], course.feasible)
    injections = grid_step.inject(model, sample(model.scenario, t), feasible)
    n = len(quantities)
    probe_kw = _PROBE * max(float(jnp.max(jnp.abs(along.net_kw))), 1.0)
    moves = np.concatenate([np.eye(n), -np.eye(n)]) * probe_kw
    rows = np.zeros((2 * n, injections.p_kw.shape[-1]))
    p_kw, q_kvar = rows.copy(), rows.copy()
    for k, q in enumerate(quantities.entries):
        (q_kvar if q.is_q else p_kw)[:, q.injection] += moves[:, k]
    equipment = jax.tree.map(lambda a: jnp.broadcast_to(a, (2 * n, a.shape[-1])), grid_step.moved(model, feasible))
    dtype = injections.p_kw.dtype
    probed = Injections(injections.p_kw + jnp.asarray(p_kw, dtype), injections.q_kvar + jnp.asarray(q_kvar, dtype))
    gradient = np.asarray(_loss_gradient(params, quantities, probed, equipment), float).T
    matrix = (gradient[:n] - gradient[n:]) / (2 * probe_kw)
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    kept = values > max(_LITTLE * values[-1], 0.0)
    return np.asarray(vectors[:, kept] * np.sqrt(values[kept]))


@partial(jax.jit, static_argnames="quantities")
def _loss_gradient(
    params: EnvParams, quantities: Quantities, at: Injections, equipment: Any
) -> Float[Array, "quantity sample"]:
    return _slopes(params.model, quantities, at, equipment).loss_kw
