"""Dense fixed point for networks of up to a few hundred nodes: V = w + Z I, I = conj(S / V), all samples at once.

The unknowns are the currents I that the injections feed in. Voltages and branch currents are affine in them
(`flows`), so at the returned point the network equations hold to rounding. What is left over is the power that the
currents carry, V conj(I), against the power asked for: the residual. It needs no difference of large admittance terms,
so float32 can state it.

Source: implicit Z-bus Gauss method; T.-H. Chen et al., "Distribution system power flow analysis - a rigid
approach", IEEE Trans. Power Delivery 6(3), 1991; convergence: S. Bolognani and S. Zampieri, IEEE Trans. Power
Systems 31(1), 2016.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
from jax import Array, lax
from jax import numpy as jnp
from jaxtyping import Bool, Float, Int

from gridenv.core.pytree import pytree
from gridenv.powerflow.arrays import FlowArrays

_BLIND_ITERATIONS = 2
"""Iterations before changes are compared; nothing converges in fewer from a cold start."""
_FULL_BATCH_ITERATIONS = 24
"""After these the samples still pending are iterated by themselves, so a hard sample does not hold up the rest."""
_PENDING_SHARE = 32
"""A 1/32 of the batch is iterated at a time once only hard samples are left."""
_SMALL_BATCH = 8
"""Below this a batch costs the same as its share, so it is not divided."""
_MIN_V_SQUARED = 0.01
"""Iterates below 0.1 pu use this in the division; a solution this low is reported as not converged."""
_MAX_V_SQUARED = 1e4
"""A solution above 100 pu is an overflow."""
_MAX_RATIO = 0.99
"""Largest ratio of two changes that the error estimate uses; a slower sample counts as no nearer than 100 changes."""
_RESOLUTION = 4.0
"""A change of this many roundings is as near as the type can tell."""


@pytree
class FlowSolution:
    """Outcome of the solver in its own real-valued form; leading axes are the batch."""

    slot_current: Float[Array, "*batch two_slot"]
    """Currents of the injection nodes, pu; all other quantities follow from them, see `flows`."""
    slot_voltage: Float[Array, "*batch two_slot"]
    """Voltages of the last iteration, to start the next solution from."""
    converged: Bool[Array, "*batch"]
    iterations: Int[Array, "*batch"]


class _Samples(NamedTuple):
    """Where each sample stands."""

    current: Float[Array, "sample two_slot"]
    voltage: Float[Array, "sample two_slot"]
    change: Float[Array, " sample"]
    """Largest voltage change of the last iteration, pu."""
    pending: Bool[Array, " sample"]
    iterations: Int[Array, " sample"]


class _Problem(NamedTuple):
    flow: FlowArrays
    p_pu: Float[Array, "sample slot"]
    q_pu: Float[Array, "sample slot"]
    tolerance_pu: float


def slot_power_pu(flow: FlowArrays, power: Float[Array, "*batch injection"]) -> Float[Array, "*batch slot"]:
    """Power of the injection nodes in pu from that of the injections in kW or kvar."""
    if flow.injection_is_slot:
        return power * (1.0 / flow.s_base_kva)
    return power @ flow.injection_slot


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
        tolerance_pu: a sample has converged when its voltages are estimated to be this close to the solution. The
            estimate is the sum of the changes still to come when they go on shrinking as in the last iteration.
        max_iterations: samples that need more are reported as not converged.
    """
    p_pu, q_pu = slot_power_pu(flow, p_kw), slot_power_pu(flow, q_kvar)
    batch = p_pu.shape[:-1]
    n_sample = math.prod(batch)
    p_pu, q_pu = (power.reshape(n_sample, flow.n_slot) for power in (p_pu, q_pu))
    problem = _Problem(flow, p_pu, q_pu, tolerance_pu)
    voltage = flow.slot_no_load if start is None else start
    voltage = jnp.broadcast_to(voltage, (*batch, 2 * flow.n_slot)).reshape(n_sample, 2 * flow.n_slot)
    fixed = lax.stop_gradient((problem, voltage))
    current, (voltage, pending, iterations) = lax.custom_root(
        lambda current: current - _currents(problem, _voltages(flow, current)),
        lax.stop_gradient(voltage),
        lambda *_: _iterate(*fixed, max_iterations),
        partial(_solve_linear, tolerance_pu, max_iterations),
        has_aux=True,
    )
    solution = FlowSolution(
        slot_current=current,
        slot_voltage=lax.stop_gradient(voltage),
        converged=lax.stop_gradient(pending) == 0.0,
        iterations=lax.stop_gradient(iterations).astype(jnp.int32),
    )
    return jax.tree.map(lambda a: a.reshape(*batch, *a.shape[1:]), solution)


def _currents(problem: _Problem, voltage: Float[Array, "sample two_slot"]) -> Float[Array, "sample two_slot"]:
    """Currents conj(S / V) that the injections feed in at given voltages, pu."""
    vr, vi = jnp.split(voltage, 2, axis=-1)
    p, q = problem.p_pu, problem.q_pu
    scale = 1.0 / jnp.maximum(vr * vr + vi * vi, _MIN_V_SQUARED)
    return jnp.concatenate([(p * vr + q * vi) * scale, (p * vi - q * vr) * scale], axis=-1)


def _voltages(flow: FlowArrays, current: Float[Array, "sample two_slot"]) -> Float[Array, "sample two_slot"]:
    return flow.slot_no_load + current @ flow.slot_response


def _advance(problem: _Problem, samples: _Samples) -> _Samples:
    """One iteration of the samples still pending; the others stay, so no sample depends on its company in the batch."""
    voltage = _voltages(problem.flow, samples.current)
    change = jnp.max(jnp.abs(voltage - samples.voltage), axis=-1, initial=0.0)
    voltage = jnp.where(samples.pending[:, None], voltage, samples.voltage)
    ratio = jnp.minimum(change / samples.change, _MAX_RATIO)
    near = change * ratio <= problem.tolerance_pu * (1.0 - ratio)
    near |= change <= _RESOLUTION * jnp.finfo(change.dtype).eps
    return _Samples(
        current=_currents(problem, voltage),
        voltage=voltage,
        change=change,
        pending=samples.pending & ~near,
        iterations=samples.iterations + samples.pending,
    )


def _iterate(
    problem: _Problem, voltage: Array, max_iterations: int
) -> tuple[Float[Array, "sample two_slot"], tuple[Array, Array, Array]]:
    """Currents; and voltages, whether each sample is still pending, and its iterations, the last two as numbers."""
    n_sample, dtype = voltage.shape[0], voltage.dtype
    blind = min(_BLIND_ITERATIONS, max_iterations)
    for _ in range(blind):
        voltage = _voltages(problem.flow, _currents(problem, voltage))
    samples = _Samples(
        current=_currents(problem, voltage),
        voltage=voltage,
        # As good as no change before, so that the first ratio is the largest one.
        change=jnp.full(n_sample, jnp.finfo(dtype).tiny, dtype),
        pending=jnp.full(n_sample, True),
        iterations=jnp.full(n_sample, blind, jnp.int32),
    )
    divided = n_sample > _SMALL_BATCH
    first = min(_FULL_BATCH_ITERATIONS, max_iterations) if divided else max_iterations
    samples = _run(problem, blind, first, samples)
    if divided and first < max_iterations:
        samples = _run_pending(problem, first, max_iterations, samples)
    possible = _is_possible(samples.voltage)
    # A sample that was not a number from the start leaves the network without load rather than full of NaN.
    current = jnp.where(jnp.all(jnp.isfinite(samples.current), axis=-1, keepdims=True), samples.current, 0.0)
    # custom_root gives its by-products tangents, which truth values and integers cannot have.
    failed = (samples.pending | ~possible).astype(dtype)
    return current, (samples.voltage, failed, samples.iterations.astype(dtype))


def _is_possible(voltage: Float[Array, "sample two_slot"]) -> Bool[Array, " sample"]:
    """Whether all voltages of a sample are numbers of a sane size.

    A maximum or minimum would not do: on a CPU those of XLA pass over NaN.
    """
    vr, vi = jnp.split(voltage, 2, axis=-1)
    squared = vr * vr + vi * vi
    return jnp.all((squared >= _MIN_V_SQUARED) & (squared <= _MAX_V_SQUARED), axis=-1)


def _run(problem: _Problem, done: int, limit: int, samples: _Samples) -> _Samples:
    """Iterate from iteration `done` until nothing is pending, at most to iteration `limit`."""

    def body(carry: tuple[_Samples, Array]) -> tuple[_Samples, Array]:
        return _advance(problem, carry[0]), carry[1] + 1

    def unfinished(carry: tuple[_Samples, Array]) -> Array:
        return (carry[1] < limit) & jnp.any(carry[0].pending)

    return lax.while_loop(unfinished, body, (samples, jnp.int32(done)))[0]


def _run_pending(problem: _Problem, done: int, limit: int, samples: _Samples) -> _Samples:
    """Iterate the samples that have not converged, a small group at a time, each group to its own end."""
    n_sample = samples.pending.shape[0]
    size = max(1, n_sample // _PENDING_SHARE)

    def body(carry: tuple[_Samples, Array]) -> tuple[_Samples, Array]:
        whole, waiting = carry
        rows = jnp.nonzero(waiting, size=size, fill_value=n_sample)[0]

        def taken(a: Array) -> Array:
            return a.at[rows].get(mode="fill", fill_value=0)

        part = problem._replace(p_pu=taken(problem.p_pu), q_pu=taken(problem.q_pu))
        group = _run(part, done, limit, jax.tree.map(taken, whole))
        whole = jax.tree.map(lambda a, b: a.at[rows].set(b, mode="drop"), whole, group)
        return whole, waiting.at[rows].set(False, mode="drop")

    return lax.while_loop(lambda carry: jnp.any(carry[1]), body, (samples, samples.pending))[0]


def _solve_linear(tolerance: float, max_iterations: int, tangent: Callable[[Array], Array], y: Array) -> Array:
    """Solve `tangent(x) = y`, where tangent = 1 - J of the contraction, by the same kind of iteration.

    Each sample is held to its own right-hand side; one that is not a number holds up nobody.
    """

    def iterate(apply: Callable[[Array], Array], y: Array) -> Array:
        near = tolerance * jnp.max(jnp.abs(y), axis=-1, keepdims=True, initial=0.0)

        def body(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            x, _, rounds = carry
            correction = y - apply(x)
            return x + correction, jnp.any(jnp.abs(correction) > near), rounds + 1

        def unfinished(carry: tuple[Array, Array, Array]) -> Array:
            return (carry[2] < max_iterations) & carry[1]

        return lax.while_loop(unfinished, body, (y, jnp.asarray(True), jnp.int32(0)))[0]

    return lax.custom_linear_solve(tangent, y, solve=iterate, transpose_solve=iterate)
