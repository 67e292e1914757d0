"""Newton's method for what the fixed point does not bring home: near the loadability limit, steep droop curves.

Solves `F(y) = y - y0 - R law(y) = 0`. The Jacobian is never formed: its product with a vector is one derivative of the
laws and one product with R, and the linear systems are solved by GMRES. Away from the limit only a few directions of
`R law'` are slow, so that takes few products, for networks of any size.

Source: D. A. Knoll and D. E. Keyes, "Jacobian-free Newton-Krylov methods", J. Comp. Physics 193(2), 2004;
Y. Saad and M. H. Schultz, "GMRES", SIAM J. Sci. Stat. Comput. 7(3), 1986.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
from jax import Array, lax
from jax import numpy as jnp
from jaxtyping import Bool, Float

from gridenv.powerflow.problem import Problem

MAX_STEPS = 30
"""Newton steps; quadratic convergence needs four to eight, more only very near the limit."""
_KRYLOV = 16
"""Basis vectors of GMRES."""
_HALVINGS = (1, 2, 4)
"""Shorter steps that are tried: a half, a quarter and a sixteenth."""
_LEAST_GAIN = 0.8
"""A step that leaves more than this share of the gap has not helped; at the limit itself a step leaves a quarter."""
_MOST_STALLS = 6
"""Steps without gain after which a sample is given up: it has no solution."""
_MAX_STEP_PU = 0.3
"""Largest change of a voltage in one step."""


class _Progress(NamedTuple):
    """Where each sample stands."""

    y: Array
    stalls: Array
    moving: Array
    near: Array
    steps: Array
    rounds: Array


def polish(
    problem: Problem, start: Float[Array, "*layout"], pending: Bool[Array, " sample"], tolerance_pu: float
) -> tuple[Float[Array, "*layout"], Bool[Array, " sample"], Array]:
    """Newton steps of the pending samples from what the slots see in `start`.

    Returns:
        What they see at the end, which samples have converged, and the steps of each.
    """
    is_number = problem.every(jnp.isfinite(start))
    start = jnp.where(problem.rows(is_number), start, problem.respond(jnp.zeros_like(start)))
    resolution = 16.0 * jnp.finfo(start.dtype).eps

    def body(carry: _Progress) -> _Progress:
        step, gap = _direction(problem, carry.y)
        size = problem.largest(step)
        step = step * problem.rows(jnp.minimum(1.0, _MAX_STEP_PU / jnp.maximum(size, 1e-12)))
        y, reached = _searched(problem, carry.y, step)
        stalls = carry.stalls + (reached > _LEAST_GAIN * gap)
        moving = carry.moving & jnp.isfinite(reached)
        near = moving & (size <= jnp.maximum(tolerance_pu, resolution)) & jnp.isfinite(size)
        return _Progress(
            y=jnp.where(problem.rows(moving), y, carry.y),
            stalls=stalls,
            moving=moving & ~near & (stalls < _MOST_STALLS),
            near=carry.near | near,
            steps=carry.steps + moving,
            rounds=carry.rounds + 1,
        )

    def unfinished(carry: _Progress) -> Array:
        return (carry.rounds < MAX_STEPS) & jnp.any(carry.moving)

    nothing = jnp.zeros(pending.shape, jnp.int32)
    first = _Progress(
        y=start,
        stalls=nothing,
        moving=pending & is_number,
        near=jnp.zeros_like(pending),
        steps=nothing,
        rounds=jnp.int32(0),
    )
    last = lax.while_loop(unfinished, body, first)
    y, near, steps = last.y, last.near, last.steps
    # GMRES can stop short: what is returned must be a solution, whatever the last step said.
    gap = problem.largest(problem.respond(problem.act(y)) - y)
    solved = near & (gap <= jnp.maximum(10.0 * tolerance_pu, resolution))
    return y, solved, steps


def _searched(
    problem: Problem, y: Float[Array, "*layout"], step: Float[Array, "*layout"]
) -> tuple[Float[Array, "*layout"], Float[Array, " sample"]]:
    """The best of several lengths of a step, and the gap there.

    A whole step jumps over the kinks of droop curves and past the limit of loadability.
    """

    def attempt(length: Array) -> tuple[Array, Array]:
        there = y + length * step
        gap = problem.largest(problem.respond(problem.act(there)) - there)
        return there, jnp.where(jnp.isfinite(gap), gap, jnp.inf)

    best, least = attempt(jnp.ones((), y.dtype))
    for halvings in _HALVINGS:
        there, gap = attempt(jnp.asarray(0.5**halvings, y.dtype))
        is_better = gap < 0.9 * least
        best, least = jnp.where(problem.rows(is_better), there, best), jnp.where(is_better, gap, least)
    return best, least


def _direction(problem: Problem, y: Float[Array, "*layout"]) -> tuple[Float[Array, "*layout"], Float[Array, " sample"]]:
    """Newton step of every sample, and how far it is from solving the equations."""
    acting, derivative = jax.linearize(problem.act, y)
    gap = problem.respond(acting) - y
    no_load = problem.respond(jnp.zeros_like(y))

    def apply(step: Array) -> Array:
        return step - (problem.respond(derivative(step)) - no_load)

    return gmres(problem, apply, gap), problem.largest(gap)


def gmres(problem: Problem, apply: Callable[[Array], Array], right: Float[Array, "*layout"]) -> Array:
    """Solution of `apply(x) = right` for every sample by itself, from one Krylov space of fixed size."""
    axes = tuple(axis for axis in range(right.ndim) if axis != problem.operator.sample_axis)
    size = min(_KRYLOV, max(1, int(right.size // max(right.shape[problem.operator.sample_axis], 1))))
    tiny = jnp.finfo(right.dtype).tiny * 1e6

    def dot(a: Array, b: Array) -> Array:
        return jnp.sum(a * b, axis=axes)

    def normalised(v: Array) -> tuple[Array, Array]:
        norm = jnp.sqrt(dot(v, v))
        return v * problem.rows(jnp.where(norm > tiny, 1.0 / jnp.maximum(norm, tiny), 0.0)), norm

    first, beta = normalised(right)
    basis = jnp.zeros((size + 1, *right.shape), right.dtype).at[0].set(first)
    n_sample = beta.shape[0]
    hessenberg = jnp.zeros((n_sample, size + 1, size), right.dtype)

    def grow(k: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        basis, hessenberg = carry
        v = apply(basis[k])
        column = jnp.zeros((n_sample, size + 1), right.dtype)
        for _ in range(2):  # twice is enough (Kahan)
            share = jax.vmap(lambda b, v=v: dot(b, v))(basis)
            share = jnp.where(jnp.arange(size + 1)[:, None] <= k, share, 0.0)
            v = v - jnp.sum(basis * jax.vmap(problem.rows)(share), axis=0)
            column = column + share.T
        v, norm = normalised(v)
        column = column.at[:, k + 1].add(norm)
        return basis.at[k + 1].set(v), hessenberg.at[:, :, k].set(column)

    basis, hessenberg = lax.fori_loop(0, size, grow, (basis, hessenberg))
    target = jnp.zeros((n_sample, size + 1), right.dtype).at[:, 0].set(beta)
    weights = _least_squares(hessenberg, target)
    return jnp.sum(basis[:-1] * jax.vmap(problem.rows)(weights.T), axis=0)


def _least_squares(a: Float[Array, "sample m n"], b: Float[Array, "sample m"]) -> Float[Array, "sample n"]:
    """Least-squares solutions by QR; directions that the space does not have get no weight."""
    q, r = jnp.linalg.qr(a)
    diagonal = jnp.abs(jnp.diagonal(r, axis1=-2, axis2=-1))
    kept = diagonal > 10.0 * jnp.finfo(a.dtype).eps * jnp.max(diagonal, axis=-1, keepdims=True)
    eye = jnp.eye(r.shape[-1], dtype=a.dtype)
    r = jnp.where(kept[..., :, None], r, eye)
    right = jnp.where(kept, jnp.einsum("smn,sm->sn", q, b), 0.0)
    return jax.scipy.linalg.solve_triangular(r, right[..., None])[..., 0]
