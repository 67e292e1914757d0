"""Units that follow the voltage at their own terminals: the voltage at which their power and the grid agree.

An inverter on a volt-var curve comes to rest within seconds, so a step of minutes has it in balance with the grid, and
not with the voltage of the step before: at a steep curve that would swing from step to step.

The unknown is the voltage u that the units see. A round solves the power flow at the power of the units at u, and then,
with the voltage sensitivity X of the unloaded network in its place, `w = v + X (q(w) - q(u))` for the next u. As q only
falls with the voltage and X is positive, that has one solution; what is left of a round is the error of X alone.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import jax
from jax import Array, lax
from jax import numpy as jnp
from jaxtyping import Bool, Float

from gridenv.devices.family import Inputs
from gridenv.powerflow.solver import FlowSolution
from gridenv.sim.model import DeviceGroup, GridModel
from gridenv.sim.state import Command, GridState

_TOLERANCES = 300.0
"""The search ends when reactive power differs by less than this many power-flow tolerances, as a share of the rating.
What is handed out is a round further on, where the difference is some twenty times smaller, and near the 22 tolerances
that the steepest curve of IEEE 1547-2018 makes of one."""
_FAILED_SHARE = 1e-3
"""Difference, share of the rating, that counts as no solution."""
_MAX_ROUNDS = 30
_PLAIN_ROUNDS = 4
_MORE_A_ROUND = 0.25
"""After these rounds the units are taken to move the voltage more, by this share a round: X is too small where switches
or load have made the network weaker, and a larger X always settles."""
_NEWTON_ROUNDS = 8
_MAX_INNER_ROUNDS = 60
_DERIVATIVE_ROUNDS = 12

_SHORT_PU = 1e-6
"""Chords shorter than this say nothing about a slope."""

Run = Callable[[tuple[Any, ...], Array | None], FlowSolution]
"""(what the groups do, what the slots see at the start) -> power flow."""


class _Search(NamedTuple):
    u: Float[Array, "*batch unit"]
    """Voltage that the units are taken to see."""
    v: Float[Array, "*batch unit"]
    """Voltage that results from it."""
    pending: Bool[Array, "*batch"]
    slot_voltage: Float[Array, "*batch two_slot"]
    rounds: Array


class _Inner(NamedTuple):
    w: Float[Array, "*batch unit"]
    w_before: Float[Array, "*batch unit"]
    q_before: Float[Array, "*batch unit"]
    slope: Float[Array, "*batch unit"]
    pending: Bool[Array, "*batch"]
    rounds: Array


def follow(
    model: GridModel,
    state: GridState,
    series: Float[Array, "*batch series"],
    command: Command,
    feasible: tuple[Any, ...],
    run: Run,
    start: Float[Array, "*batch two_slot"] | None,
) -> tuple[tuple[Any, ...], FlowSolution]:
    """What the groups do and the power flow; units that follow their voltage in balance with it.

    Differentiable by the implicit-function theorem. `converged` is false where no balance was found.
    """
    row = next((i for i, group in enumerate(model.groups) if group.local is not None), None)
    if row is None:
        return feasible, run(feasible, start)
    group = model.groups[row]
    assert group.local is not None

    def at(u: Array) -> tuple[Any, ...]:
        inputs = Inputs(t=state.t, series=series, v_pu=u, dt_h=model.dt_h)
        done = group.family.project(group.params, state.devices[row], command.requests[row], inputs)
        return (*feasible[:row], done, *feasible[row + 1 :])

    def q_at(u: Array) -> Array:
        return at(u)[row].q_kvar

    def seen(solution: FlowSolution) -> Array:
        return group.v_pu(jnp.abs(solution.v_pu))

    found = lax.stop_gradient(_search(model, group, q_at, lambda u, s: run(at(u), s), seen, state, start))
    # What is handed out is one round further on than what was measured.
    nearer = lax.stop_gradient(_next(model, group, q_at, found))
    slope = _falls(q_at, nearer)[1]
    u = lax.custom_root(
        lambda u: u - seen(run(at(u), start)),
        nearer,
        lambda _, u: u,
        lambda tangent, y: _solve_linear(tangent, _matrix(group, lax.stop_gradient(slope)), y),
    )
    done = at(u)
    solution = run(done, None if start is None else found.slot_voltage)
    agrees = _gap(group, q_at(seen(solution)), done[row].q_kvar) <= _FAILED_SHARE
    return done, replace(solution, converged=solution.converged & agrees)


def _search(
    model: GridModel,
    group: DeviceGroup,
    q_at: Callable[[Array], Array],
    run: Callable[[Array, Array | None], FlowSolution],
    seen: Callable[[FlowSolution], Array],
    state: GridState,
    start: Array | None,
) -> _Search:
    assert group.local is not None
    tolerance = _TOLERANCES * model.tolerance_pu

    def attempt(search: _Search, u: Array, first: Array | None) -> _Search:
        solution = run(u, first)
        v = seen(solution)
        gap = _gap(group, q_at(v), q_at(u))
        keep = search.pending[..., None]
        return _Search(
            u=jnp.where(keep, u, search.u),
            v=jnp.where(keep, v, search.v),
            pending=search.pending & solution.converged & (gap > tolerance),
            slot_voltage=jnp.where(keep, solution.slot_voltage, search.slot_voltage),
            rounds=search.rounds + 1,
        )

    def body(search: _Search) -> _Search:
        return attempt(search, _next(model, group, q_at, search), None if start is None else search.slot_voltage)

    u = group.v_pu(state.v_pu)
    every = jnp.ones(u.shape[:-1], bool)
    slots = jnp.broadcast_to(state.slot_voltage, (*every.shape, state.slot_voltage.shape[-1]))
    first = attempt(_Search(u, u, every, slots, jnp.int32(0)), u, start)
    return lax.while_loop(lambda s: jnp.any(s.pending) & (s.rounds < _MAX_ROUNDS), body, first)


def _gap(group: DeviceGroup, asked_kvar: Array, q_kvar: Array) -> Float[Array, "*batch"]:
    """Largest difference of reactive power, share of the rating."""
    assert group.local is not None
    return jnp.max(jnp.abs(asked_kvar - q_kvar) / group.local.s_rated_kva, axis=-1)


def _next(
    model: GridModel, group: DeviceGroup, q_at: Callable[[Array], Array], search: _Search
) -> Float[Array, "*batch unit"]:
    """w = v + X (q(w) - q(u)), by Newton's method.

    A slope is the larger of the curve's own and that of the chord from the round before, so that no ramp between two
    level pieces is jumped over. Where that has not settled soon, slopes never fall again from round to round: a round
    contracts as soon as they are not below those of the chords.
    """
    assert group.local is not None
    extra = _MORE_A_ROUND * jnp.maximum(search.rounds - _PLAIN_ROUNDS, 0)
    more = 1.0 + extra.astype(search.u.dtype)
    x = more * group.local.v_pu_per_kvar
    q_before = q_at(search.u)

    def body(carry: _Inner) -> _Inner:
        q_kvar, own = _falls(q_at, carry.w)
        way = carry.w - carry.w_before
        is_far = jnp.abs(way) > _SHORT_PU
        chord = jnp.where(is_far, (carry.q_before - q_kvar) / jnp.where(is_far, way, 1.0), 0.0)
        slope = jnp.maximum(own, chord)
        slope = jnp.where(carry.rounds < _NEWTON_ROUNDS, slope, jnp.maximum(slope, carry.slope))
        gap = carry.w - search.v - (q_kvar - q_before) @ x.T
        change = _solved(_matrix(group, slope, more), gap)
        w = jnp.where(carry.pending[..., None], carry.w - change, carry.w)
        pending = carry.pending & (jnp.max(jnp.abs(change), axis=-1) > model.tolerance_pu)
        return _Inner(w, carry.w, q_kvar, slope, pending, carry.rounds + 1)

    def unfinished(carry: _Inner) -> Array:
        return jnp.any(carry.pending) & (carry.rounds < _MAX_INNER_ROUNDS)

    every = jnp.ones_like(search.pending)
    first = _Inner(search.v, search.u, q_before, jnp.zeros_like(search.v), every, jnp.int32(0))
    return lax.while_loop(unfinished, body, first).w


def _falls(q_at: Callable[[Array], Array], u: Array) -> tuple[Array, Array]:
    """Reactive power, and how much it falls with the voltage at each unit, kvar per pu."""
    q_kvar, rise = jax.jvp(q_at, (u,), (jnp.ones_like(u),))
    return q_kvar, jnp.maximum(-rise, 0.0)


def _matrix(group: DeviceGroup, slope: Float[Array, "*batch unit"], more: Array | float = 1.0) -> Array:
    """[*batch, unit, unit] how a change of the voltage seen carries over to what is left of the balance: 1 + X D."""
    assert group.local is not None
    x = more * group.local.v_pu_per_kvar
    return jnp.eye(x.shape[0], dtype=x.dtype) + x * slope[..., None, :]


def _solved(matrix: Float[Array, "*batch unit unit"], y: Float[Array, "*batch unit"]) -> Float[Array, "*batch unit"]:
    return jnp.linalg.solve(matrix, y[..., None])[..., 0]


def _solve_linear(tangent: Callable[[Array], Array], matrix: Array, y: Array) -> Array:
    """Solve `tangent(u) = y` or its transpose, by correction with the matrix that it is close to."""

    def solver(matrix: Array) -> Callable[[Callable[[Array], Array], Array], Array]:
        def solve(apply: Callable[[Array], Array], y: Array) -> Array:
            def correct(_: Array, u: Array) -> Array:
                return u + _solved(matrix, y - apply(u))

            return lax.fori_loop(0, _DERIVATIVE_ROUNDS, correct, jnp.zeros_like(y))

        return solve

    return lax.custom_linear_solve(
        tangent, y, solve=solver(matrix), transpose_solve=solver(jnp.swapaxes(matrix, -1, -2))
    )
