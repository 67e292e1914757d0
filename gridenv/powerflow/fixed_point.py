"""Exact AC power flow of a batch by iteration on what acts in the slots: `y = y0 + R x`, `x = law(y)`.

The unknowns x are the currents that the injections feed in (and the series voltages of tap changers). Voltages and
branch currents are affine in them, so at the returned point the network equations hold to rounding. What is left over
is the power that the currents carry against the power asked for: the residual. It needs no difference of large
admittance terms, so float32 can state it.

Samples that the iteration does not bring home in time are gathered in small groups and solved by Newton's method.

Source: implicit Z-bus Gauss method; T.-H. Chen et al., "Distribution system power flow analysis - a rigid
approach", IEEE Trans. Power Delivery 6(3), 1991; convergence: S. Bolognani and S. Zampieri, IEEE Trans. Power
Systems 31(1), 2016.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from jax import Array, lax
from jax import numpy as jnp
from jaxtyping import Bool, Float, Int

from gridenv.core.pytree import pytree
from gridenv.powerflow import newton
from gridenv.powerflow.law import MIN_V_SQUARED
from gridenv.powerflow.problem import Problem

_FULL_BATCH_ITERATIONS = 24
"""After these the samples still pending are solved by themselves, so a hard sample does not hold up the rest."""
_PENDING_SHARE = 32
"""A 1/32 of the batch is solved at a time once only hard samples are left."""
_SMALL_BATCH = 8
"""Below this a batch costs the same as its share, so it is not divided."""
_MAX_V_SQUARED = 1e4
"""A solution above 100 pu is an overflow."""
_MAX_RATIO = 0.99
"""Largest ratio of two changes that the error estimate uses; a slower sample counts as no nearer than 100 changes."""
_CAUTION = 0.3
"""Share of the tolerance that the estimate may come to. At 0.5, residuals of the IEEE 13-node feeder in float32
came to 1.0e-5 pu, the most that tasks promise; at 0.3 to 0.55e-5 pu."""
_RESOLUTION = 4.0
"""A change of this many roundings is as near as the type can tell."""


@pytree
class Outcome:
    """What the iteration came to, in the layout of the operator."""

    x: Float[Array, "*layout"]
    """What acts in the slots; all other quantities follow from it, see `flows`."""
    y: Float[Array, "*layout"]
    """What they see, of the last iteration; to start the next solution from."""
    converged: Bool[Array, " sample"]
    iterations: Int[Array, " sample"]


@pytree
class _Samples:
    """Where each sample stands."""

    x: Float[Array, "*layout"]
    y: Float[Array, "*layout"]
    change: Float[Array, " sample"]
    """Largest voltage change of the last iteration, pu."""
    ratio: Float[Array, " sample"]
    """Of that change to the one before."""
    pending: Bool[Array, " sample"]
    iterations: Int[Array, " sample"]


def find(
    problem: Problem,
    start: Float[Array, "*layout"],
    *,
    tolerance_pu: float,
    max_iterations: int,
    newton_only: bool,
) -> Outcome:
    """The solution of every sample; differentiable by the implicit-function theorem.

    Args:
        problem: network, laws and what is asked of them.
        start: what the slots see at the start.
        tolerance_pu: a sample has converged when its voltages are estimated to be this close to the solution. The
            estimate is the sum of the changes still to come when they go on shrinking as in the last iteration.
        max_iterations: iterations of the fixed point before Newton's method takes over.
        newton_only: leave the fixed point out.
    """
    fixed = lax.stop_gradient((problem, start))
    x, (y, failed, iterations) = lax.custom_root(
        lambda x: x - problem.act(problem.respond(x)),
        lax.stop_gradient(start),
        lambda *_: _iterate(*fixed, tolerance_pu, max_iterations, newton_only),
        partial(_solve_linear, problem, tolerance_pu),
        has_aux=True,
    )
    return Outcome(
        x=x,
        y=lax.stop_gradient(y),
        converged=lax.stop_gradient(failed) == 0.0,
        iterations=lax.stop_gradient(iterations).astype(jnp.int32),
    )


def _advance(problem: Problem, tolerance_pu: float, samples: _Samples) -> _Samples:
    """One iteration of the samples still pending; the others stay, so no sample depends on its company in the batch."""
    y = problem.respond(samples.x)
    change = problem.largest(y - samples.y)
    y = jnp.where(problem.rows(samples.pending), y, samples.y)
    last = jnp.minimum(change / samples.change, _MAX_RATIO)
    # Changes tend to shrink by turns more and less.
    ratio = jnp.maximum(last, samples.ratio)
    # Of the voltages that are handed out, which are one iteration further on.
    near = change * ratio * ratio <= _CAUTION * tolerance_pu * (1.0 - ratio)
    near |= change <= _RESOLUTION * jnp.finfo(change.dtype).eps
    return _Samples(
        x=problem.act(y),
        y=y,
        change=change,
        ratio=last,
        pending=samples.pending & ~near,
        iterations=samples.iterations + samples.pending,
    )


def _iterate(
    problem: Problem, start: Array, tolerance_pu: float, max_iterations: int, newton_only: bool
) -> tuple[Array, tuple[Array, Array, Array]]:
    """What acts; and what is seen, whether each sample failed, and its iterations, the last two as numbers."""
    samples = _begin(problem, start)
    n_sample, dtype = samples.pending.shape[0], start.dtype
    if not newton_only:
        divided = n_sample > _SMALL_BATCH
        first = min(_FULL_BATCH_ITERATIONS, max_iterations) if divided else max_iterations
        samples = _run(problem, tolerance_pu, first, samples)
    samples = _finish_pending(problem, tolerance_pu, max_iterations, newton_only, samples)
    failed = samples.pending | ~_is_possible(problem, samples.y)
    # A sample that was not a number from the start leaves the network without load rather than full of NaN.
    is_number = problem.every(jnp.isfinite(samples.x))
    x = jnp.where(problem.rows(is_number), samples.x, 0.0)
    # custom_root gives its by-products tangents, which truth values and integers cannot have.
    return x, (samples.y, failed.astype(dtype), samples.iterations.astype(dtype))


def _begin(problem: Problem, y: Array) -> _Samples:
    n_sample = y.shape[problem.operator.sample_axis]
    return _Samples(
        x=problem.act(y),
        y=y,
        # As good as no change before, so that the first ratio is the largest one, and nothing stops by the second.
        change=jnp.full(n_sample, jnp.finfo(y.dtype).tiny, y.dtype),
        ratio=jnp.full(n_sample, _MAX_RATIO, y.dtype),
        pending=jnp.full(n_sample, True),
        iterations=jnp.zeros(n_sample, jnp.int32),
    )


def _is_possible(problem: Problem, y: Array) -> Bool[Array, " sample"]:
    """Whether all voltages that loads see are numbers of a sane size.

    A maximum or minimum would not do: on a CPU those of XLA pass over NaN.
    """
    yr, yi = jnp.split(y, 2, axis=problem.operator.slot_axis)
    squared = yr * yr + yi * yi
    possible = (squared >= MIN_V_SQUARED) & (squared <= _MAX_V_SQUARED)
    if problem.is_load is not None:
        possible |= (problem.is_load == 0.0) & (squared <= _MAX_V_SQUARED**2)
    return problem.every(possible)


def _run(problem: Problem, tolerance_pu: float, limit: int, samples: _Samples) -> _Samples:
    """Iterate until nothing is pending, at most until `limit` iterations."""

    def body(carry: tuple[_Samples, Array]) -> tuple[_Samples, Array]:
        return _advance(problem, tolerance_pu, carry[0]), carry[1] + 1

    def unfinished(carry: tuple[_Samples, Array]) -> Array:
        return (carry[1] < limit) & jnp.any(carry[0].pending)

    done = jnp.max(samples.iterations, initial=0)
    return lax.while_loop(unfinished, body, (samples, done))[0]


def _finish_pending(
    problem: Problem, tolerance_pu: float, max_iterations: int, newton_only: bool, samples: _Samples
) -> _Samples:
    """Solve the samples that have not converged, a small group at a time, each group to its own end."""
    n_sample = samples.pending.shape[0]
    if n_sample == 0:
        return samples
    size = n_sample if newton_only or n_sample <= _SMALL_BATCH else max(1, n_sample // _PENDING_SHARE)

    def finish(part: Problem, group: _Samples) -> _Samples:
        if not newton_only:
            group = _run(part, tolerance_pu, max_iterations, group)
        y, near, steps = newton.polish(part, group.y, group.pending, tolerance_pu)
        solved = group.pending & near
        y = jnp.where(part.rows(solved), y, group.y)
        return _Samples(
            x=part.act(y),
            y=y,
            change=group.change,
            ratio=group.ratio,
            pending=group.pending & ~near,
            iterations=group.iterations + steps,
        )

    if size == n_sample:
        return lax.cond(jnp.any(samples.pending), partial(finish, problem), lambda s: s, samples)

    def body(carry: tuple[_Samples, Array]) -> tuple[_Samples, Array]:
        whole, waiting = carry
        rows = jnp.nonzero(waiting, size=size, fill_value=n_sample)[0]
        group = finish(problem.taken(rows), _taken(problem, whole, rows))
        return _put(problem, whole, rows, group), waiting.at[rows].set(False, mode="drop")

    return lax.while_loop(lambda carry: jnp.any(carry[1]), body, (samples, samples.pending))[0]


def _taken(problem: Problem, samples: _Samples, rows: Array) -> _Samples:
    axis = problem.operator.sample_axis
    return _Samples(
        x=jnp.take(samples.x, rows, axis=axis, mode="fill", fill_value=0),
        y=jnp.take(samples.y, rows, axis=axis, mode="fill", fill_value=0),
        **{
            name: jnp.take(getattr(samples, name), rows, mode="fill", fill_value=0)
            for name in ("change", "ratio", "pending", "iterations")
        },
    )


def _put(problem: Problem, samples: _Samples, rows: Array, group: _Samples) -> _Samples:
    index: Any = (*[slice(None)] * problem.operator.sample_axis, rows)
    return _Samples(
        x=samples.x.at[index].set(group.x, mode="drop"),
        y=samples.y.at[index].set(group.y, mode="drop"),
        **{
            name: getattr(samples, name).at[rows].set(getattr(group, name), mode="drop")
            for name in ("change", "ratio", "pending", "iterations")
        },
    )


_LINEAR_ITERATIONS = 60
"""Iterations for derivatives before GMRES takes over."""
_GMRES_CYCLES = 30
_LINEAR_SLACK = 10.0
"""The iteration stops at a correction within the tolerance; what is then missing may be this many times as much."""


def _solve_linear(problem: Problem, tolerance: float, tangent: Callable[[Array], Array], y: Array) -> Array:
    """Solve `tangent(x) = y`, where tangent = 1 - J of the iteration: by the same kind of iteration, and what does not
    contract, where only Newton's method found the solution, by restarted GMRES.

    Each sample is held to its own right-hand side; one that is not a number holds up nobody.
    """

    def finish(apply: Callable[[Array], Array], y: Array, x: Array) -> Array:
        near = _LINEAR_SLACK * tolerance * problem.greatest(y)

        def missing(x: Array) -> Array:
            gap = y - apply(x)
            return jnp.where(jnp.isfinite(gap), gap, 0.0)

        def body(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            x, gap, rounds = carry
            pending = problem.greatest(gap) > near
            x = jnp.where(problem.rows(pending), x + newton.gmres(problem, apply, gap), x)
            return x, missing(x), rounds + 1

        def unfinished(carry: tuple[Array, Array, Array]) -> Array:
            return (carry[2] < _GMRES_CYCLES) & jnp.any(problem.greatest(carry[1]) > near)

        # What has diverged starts anew.
        is_lost = ~(problem.greatest(missing(x)) <= near) | ~problem.every(jnp.isfinite(x))
        x = jnp.where(problem.rows(is_lost), 0.0, x)
        return lax.while_loop(unfinished, body, (x, missing(x), jnp.int32(0)))[0]

    def iterate(apply: Callable[[Array], Array], y: Array) -> Array:
        near = tolerance * problem.greatest(y)

        def body(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            x, _, rounds = carry
            correction = y - apply(x)
            return x + correction, jnp.any(problem.greatest(correction) > near), rounds + 1

        def unfinished(carry: tuple[Array, Array, Array]) -> Array:
            return (carry[2] < _LINEAR_ITERATIONS) & carry[1]

        return finish(apply, y, lax.while_loop(unfinished, body, (y, jnp.asarray(True), jnp.int32(0)))[0])

    return lax.custom_linear_solve(tangent, y, solve=iterate, transpose_solve=iterate)
