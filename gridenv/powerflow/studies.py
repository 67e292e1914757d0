"""What is asked of a power flow beyond a solution: sensitivities for safety layers, and how much a feeder can carry."""

from functools import partial
from typing import NamedTuple

import jax
from jax import Array, lax
from jax import numpy as jnp
from jaxtyping import Float

from gridenv.powerflow import solver
from gridenv.powerflow.arrays import FlowArrays
from gridenv.powerflow.solver import Equipment, FlowSolution

_MOST_ROUNDS = 200


class Sensitivity(NamedTuple):
    """How voltage magnitudes move with the injections, at a solution."""

    dv_dp: Float[Array, "*batch node injection"]
    """pu per kW fed in."""
    dv_dq: Float[Array, "*batch node injection"]
    """pu per kvar fed in."""


class _Walk(NamedTuple):
    scale: Array
    step: Array
    has_failed: Array
    y: Array
    rounds: Array


@partial(jax.jit, static_argnames=("tolerance_pu", "max_iterations", "newton_only"))
def sensitivity(
    flow: FlowArrays,
    p_kw: Float[Array, "... injection"],
    q_kvar: Float[Array, "... injection"],
    start: Float[Array, "*batch two_slot"],
    equipment: Equipment,
    chosen: Array,
    *,
    tolerance_pu: float,
    max_iterations: int,
    newton_only: bool = False,
) -> Sensitivity:
    """Derivatives of all voltage magnitudes with respect to the power of the chosen injections.

    Source: implicit-function theorem at the solution; one linear system for each injection, of all samples at once.
    """
    batch = solver.batch_shape(p_kw, q_kvar, equipment)
    p_kw, q_kvar = (jnp.broadcast_to(a, (*batch, a.shape[-1])) for a in (p_kw, q_kvar))

    def magnitudes(p_kw: Array, q_kvar: Array) -> Array:
        settings = {"tolerance_pu": tolerance_pu, "max_iterations": max_iterations, "newton_only": newton_only}
        v = solver.solve(flow, p_kw, q_kvar, start, equipment, **settings).v_pu
        # A node without supply has no derivative of its absolute value.
        squared = v.real**2 + v.imag**2
        return jnp.where(squared > 0.0, jnp.sqrt(jnp.where(squared > 0.0, squared, 1.0)), 0.0)

    _, push = jax.linearize(magnitudes, p_kw, q_kvar)
    nothing = jnp.zeros_like(p_kw)

    def column(k: Array) -> tuple[Array, Array]:
        unit = nothing.at[..., k].set(1.0)
        return push(unit, nothing), push(nothing, unit)

    by_p, by_q = lax.map(column, chosen)
    return Sensitivity(jnp.moveaxis(by_p, 0, -1), jnp.moveaxis(by_q, 0, -1))


@partial(jax.jit, static_argnames=("tolerance_pu", "max_iterations", "newton_only", "resolution", "largest"))
def loadability(
    flow: FlowArrays,
    p_kw: Float[Array, "... injection"],
    q_kvar: Float[Array, "... injection"],
    equipment: Equipment,
    *,
    tolerance_pu: float,
    max_iterations: int,
    newton_only: bool,
    resolution: float,
    largest: float,
) -> tuple[Float[Array, "..."], FlowSolution]:
    """Largest factor of all injections for which a solution exists, found by continuation from no load.

    Each sample walks up from its last solution by itself: a step that has a solution is taken, one that has none is
    halved, until the step is smaller than `resolution`. Returns the factor and the solution there.

    Source: natural-parameter continuation with Newton's corrector; V. Ajjarapu and C. Christy, "The continuation power
    flow", IEEE Trans. Power Systems 7(1), 1992, for what the limit is.
    """
    batch = solver.batch_shape(p_kw, q_kvar, equipment)
    run = partial(solver.solve, tolerance_pu=tolerance_pu, max_iterations=max_iterations, newton_only=newton_only)

    def at(scale: Array, y: Array) -> FlowSolution:
        return run(flow, p_kw * scale[..., None], q_kvar * scale[..., None], y, equipment)

    def body(walk: _Walk) -> _Walk:
        tried = jnp.minimum(walk.scale + walk.step, largest)
        solution = at(tried, walk.y)
        is_found = solution.converged
        has_failed = walk.has_failed | ~is_found
        grown = jnp.where(has_failed, walk.step, 2.0 * walk.step)
        return _Walk(
            scale=jnp.where(is_found, tried, walk.scale),
            step=jnp.where(is_found, grown, 0.5 * walk.step),
            has_failed=has_failed,
            y=jnp.where(is_found[..., None], solution.slot_voltage, walk.y),
            rounds=walk.rounds + 1,
        )

    def unfinished(walk: _Walk) -> Array:
        moving = (walk.step > resolution) & (walk.scale < largest)
        return (walk.rounds < _MOST_ROUNDS) & jnp.any(moving)

    first = _Walk(
        scale=jnp.zeros(batch, flow.dtype),
        step=jnp.ones(batch, flow.dtype),
        has_failed=jnp.zeros(batch, bool),
        y=jnp.broadcast_to(flow.slot_no_load, (*batch, flow.slot_no_load.shape[-1])),
        rounds=jnp.int32(0),
    )
    walk = lax.while_loop(unfinished, body, first)
    return walk.scale, at(walk.scale, walk.y)
