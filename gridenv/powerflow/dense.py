"""Dense fixed point for networks of up to a few hundred nodes: V <- w + Z conj(S / V), all samples of a batch at once.

At the returned point the network equations hold to rounding, since V is computed from the currents I by
V = w + Z I. What is left over is the power that these currents carry, V conj(I), against the power asked for;
that mismatch is the residual. It needs no difference of large admittance terms, so float32 can state it.

Source: implicit Z-bus Gauss method; T.-H. Chen et al., "Distribution system power flow analysis - a rigid
approach", IEEE Trans. Power Delivery 6(3), 1991; convergence: S. Bolognani and S. Zampieri, IEEE Trans. Power
Systems 31(1), 2016.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
from jax import Array, lax
from jax import numpy as jnp
from jaxtyping import Bool, Float, Int

from gridenv.core.pytree import pytree
from gridenv.powerflow.arrays import FlowArrays

_BLIND_ITERATIONS = 3
"""Iterations before the first look at convergence; nothing converges in fewer from a cold start."""
_FULL_BATCH_ITERATIONS = 24
"""After these the samples still pending are iterated by themselves, so a hard sample does not hold up the rest."""
_PENDING_SHARE = 32
"""A 1/32 of the batch is iterated at a time once only hard samples are left."""
_SMALL_BATCH = 64
"""Below this a batch costs the same as its share, so it is not divided."""
_MIN_V_SQUARED = 0.01
"""Iterates below 0.1 pu use this in the division; a solution this low is reported as not converged."""


@pytree
class FlowSolution:
    """Outcome of the solver in its own real-valued form; leading axes are the batch."""

    slot_voltage: Float[Array, "*batch two_slot"]
    slot_current: Float[Array, "*batch two_slot"]
    bus_voltage: Float[Array, "*batch two_bus"]
    residual_pu: Float[Array, "*batch"]
    """Largest apparent-power mismatch of an injection node, pu of `s_base_kva`."""
    converged: Bool[Array, "*batch"]
    iterations: Int[Array, "*batch"]


class _Loop(NamedTuple):
    x: Float[Array, "sample two_slot"]
    change: Float[Array, " sample"]
    iterations: Int[Array, " sample"]
    rounds: Int[Array, ""]


def slot_power_pu(flow: FlowArrays, power: Float[Array, "*batch injection"]) -> Float[Array, "*batch slot"]:
    """Power of the injection nodes in pu from that of the injections in kW or kvar."""
    if flow.injection_is_slot:
        return power * (1.0 / flow.s_base_kva)
    return power @ flow.injection_slot


def slot_currents(
    x: Float[Array, "*batch two_slot"], p_pu: Float[Array, "*batch slot"], q_pu: Float[Array, "*batch slot"]
) -> Float[Array, "*batch two_slot"]:
    """Injected currents conj(S / V) as [Re, Im], pu."""
    vr, vi = jnp.split(x, 2, axis=-1)
    scale = 1.0 / jnp.maximum(vr * vr + vi * vi, _MIN_V_SQUARED)
    return jnp.concatenate([(p_pu * vr + q_pu * vi) * scale, (p_pu * vi - q_pu * vr) * scale], axis=-1)


@partial(jax.jit, static_argnames=("tolerance_pu", "max_iterations"))
def solve(
    flow: FlowArrays,
    p_kw: Float[Array, "*batch injection"],
    q_kvar: Float[Array, "*batch injection"],
    start: Float[Array, "*batch two_slot"] | None,
    *,
    tolerance_pu: float,
    max_iterations: int,
) -> FlowSolution:
    """Exact AC power flow of a batch; differentiable by the implicit-function theorem.

    Args:
        flow: constants of the network.
        p_kw: active power of each injection into the network.
        q_kvar: reactive power likewise.
        start: voltages of the injection nodes to start from; None = those without any injection.
        tolerance_pu: a sample has converged when no voltage changes by more than this in an iteration.
        max_iterations: samples that need more are reported as not converged.
    """
    p_pu, q_pu = slot_power_pu(flow, p_kw), slot_power_pu(flow, q_kvar)
    batch = p_pu.shape[:-1]
    p_pu, q_pu = (a.reshape(-1, flow.n_slot) for a in (p_pu, q_pu))
    x0 = flow.slot_no_load if start is None else start
    x0 = jnp.broadcast_to(x0, (*batch, x0.shape[-1])).reshape(-1, x0.shape[-1])
    step = partial(_step, flow, p_pu, q_pu)
    x, (change, iterations) = lax.custom_root(
        lambda x: x - step(x),
        lax.stop_gradient(x0),
        lambda _, x: _iterate(flow, p_pu, q_pu, x, tolerance_pu, max_iterations),
        partial(_solve_linear, tolerance_pu, max_iterations),
        has_aux=True,
    )
    solution = _finish(flow, p_pu, q_pu, x, lax.stop_gradient(change), iterations, tolerance_pu)
    return jax.tree.map(lambda a: a.reshape(*batch, *a.shape[1:]), solution)


def _step(flow: FlowArrays, p_pu: Array, q_pu: Array, x: Array) -> Array:
    return flow.slot_no_load + slot_currents(x, p_pu, q_pu) @ flow.slot_response


def _advance(flow: FlowArrays, p_pu: Array, q_pu: Array, tolerance: float, loop: _Loop) -> _Loop:
    """One iteration of the samples still pending; the others stay, so no sample depends on its company in the batch."""
    pending = ~(loop.change <= tolerance)
    x = _step(flow, p_pu, q_pu, loop.x)
    change = jnp.max(jnp.abs(x - loop.x), axis=-1)
    return _Loop(
        x=jnp.where(pending[:, None], x, loop.x),
        change=jnp.where(pending, change, loop.change),
        iterations=loop.iterations + pending,
        rounds=loop.rounds + 1,
    )


def _iterate(
    flow: FlowArrays, p_pu: Array, q_pu: Array, x: Array, tolerance: float, max_iterations: int
) -> tuple[Array, tuple[Array, Array]]:
    n_sample = x.shape[0]
    blind = min(_BLIND_ITERATIONS, max_iterations)
    for _ in range(blind):
        x = _step(flow, p_pu, q_pu, x)
    divided = n_sample > _SMALL_BATCH
    loop = _Loop(x, jnp.full(n_sample, jnp.inf, x.dtype), jnp.full(n_sample, blind, jnp.int32), jnp.int32(blind))
    first = min(_FULL_BATCH_ITERATIONS, max_iterations) if divided else max_iterations
    loop = _run(flow, p_pu, q_pu, tolerance, first, loop)
    if divided and first < max_iterations:
        loop = _run_pending(flow, p_pu, q_pu, tolerance, max_iterations, loop)
    # custom_root gives its by-products tangents, which integers cannot have.
    return loop.x, (loop.change, loop.iterations.astype(x.dtype))


def _run(flow: FlowArrays, p_pu: Array, q_pu: Array, tolerance: float, limit: int, loop: _Loop) -> _Loop:
    def unfinished(loop: _Loop) -> Array:
        return (loop.rounds < limit) & ~jnp.all(loop.change <= tolerance)

    return lax.while_loop(unfinished, partial(_advance, flow, p_pu, q_pu, tolerance), loop)


def _run_pending(
    flow: FlowArrays, p_pu: Array, q_pu: Array, tolerance: float, max_iterations: int, loop: _Loop
) -> _Loop:
    """Iterate the samples that have not converged, a small group at a time, each group to its own end."""
    n_sample = loop.change.shape[0]
    size = max(1, n_sample // _PENDING_SHARE)

    def body(carry: tuple[_Loop, Array]) -> tuple[_Loop, Array]:
        whole, pending = carry
        rows = jnp.nonzero(pending, size=size, fill_value=n_sample)[0]
        x, p, q = (a.at[rows].get(mode="fill", fill_value=0.0) for a in (whole.x, p_pu, q_pu))
        change = whole.change.at[rows].get(mode="fill", fill_value=0.0)
        iterations = whole.iterations.at[rows].get(mode="fill", fill_value=0)
        part = _run(flow, p, q, tolerance, max_iterations, _Loop(x, change, iterations, whole.rounds))
        whole = whole._replace(
            x=whole.x.at[rows].set(part.x, mode="drop"),
            change=whole.change.at[rows].set(part.change, mode="drop"),
            iterations=whole.iterations.at[rows].set(part.iterations, mode="drop"),
        )
        return whole, pending.at[rows].set(False, mode="drop")

    pending = ~(loop.change <= tolerance)
    return lax.while_loop(lambda c: jnp.any(c[1]), body, (loop, pending))[0]


def _solve_linear(tolerance: float, max_iterations: int, tangent: Callable[[Array], Array], y: Array) -> Array:
    """Solve `tangent(x) = y`, where tangent = 1 - J of the contraction, by the same kind of iteration."""

    def iterate(apply: Callable[[Array], Array], y: Array) -> Array:
        def body(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            x, _, count = carry
            correction = y - apply(x)
            return x + correction, jnp.max(jnp.abs(correction)), count + 1

        def unfinished(carry: tuple[Array, Array, Array]) -> Array:
            return (carry[2] < max_iterations) & (carry[1] > tolerance * jnp.max(jnp.abs(y)))

        return lax.while_loop(unfinished, body, (y, jnp.asarray(jnp.inf, y.dtype), jnp.int32(0)))[0]

    return lax.custom_linear_solve(tangent, y, solve=iterate, transpose_solve=iterate)


def _finish(
    flow: FlowArrays, p_pu: Array, q_pu: Array, x: Array, change: Array, iterations: Array, tolerance: float
) -> FlowSolution:
    current = slot_currents(x, p_pu, q_pu)
    bus_voltage = flow.bus_no_load + current @ flow.bus_response
    slot_voltage = flow.slot_no_load + current @ flow.slot_response
    vr, vi = jnp.split(x, 2, axis=-1)
    dr, di = jnp.split(slot_voltage - x, 2, axis=-1)
    v_squared = vr * vr + vi * vi
    mismatch_squared = (p_pu * p_pu + q_pu * q_pu) * (dr * dr + di * di) / jnp.maximum(v_squared, _MIN_V_SQUARED)
    possible = jnp.min(v_squared, axis=-1) >= _MIN_V_SQUARED
    return FlowSolution(
        slot_voltage=slot_voltage,
        slot_current=current,
        bus_voltage=bus_voltage,
        residual_pu=lax.stop_gradient(jnp.sqrt(jnp.max(mismatch_squared, axis=-1))),
        converged=(change <= tolerance) & possible,
        iterations=lax.stop_gradient(iterations).astype(jnp.int32),
    )
