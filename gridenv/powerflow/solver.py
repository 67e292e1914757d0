"""Power flow of a batch: from power of the injections and states of the equipment to what acts in the slots."""

import dataclasses
import math
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import jax
from jax import Array, lax
from jax import numpy as jnp
from jaxtyping import Bool, Complex, Float, Int

from gridenv.core.pytree import pytree
from gridenv.powerflow import fixed_point
from gridenv.powerflow.arrays import CAPACITORS, LINES, SWITCHES, TAPS, FlowArrays
from gridenv.powerflow.elimination import Elimination
from gridenv.powerflow.law import Gain, Power
from gridenv.powerflow.operators import Dense
from gridenv.powerflow.problem import Problem
from gridenv.powerflow.star_mesh import Pair
from gridenv.powerflow.topology import Topology, realised


@pytree
class Equipment:
    """What can change besides the injections; None = as the network has it. Leading axes broadcast with the batch.

    Arrays of the host or of a device: they are handed to `solve` as they come.
    """

    taps: Any = None
    """[*batch, changer] positions of the tap changers."""
    capacitors: Any = None
    """[*batch, bank] 1 = closed, 0 = open."""
    switches: Any = None
    """[*batch, switch] 1 = closed, 0 = open."""
    line_r_scale: Any = None
    """[*batch, line] factors of the lines' series resistance."""
    line_x_scale: Any = None
    z_share: Any = None
    """[*batch, injection] share of each injection's power that is constant impedance."""
    i_share: Any = None
    """Share that is constant current; the rest stays as it is."""


AS_BUILT = Equipment()
T = TypeVar("T")

PART_SWITCHES = 512
"""Samples solved at once where each has its own factors. Measured on IEEE-33: 256 to 1024 are equal, 4096 takes twice
as long for each."""
PART_SPAN = (32, 128)
"""Fewest and most samples solved at once where the network is in blocks."""
_PART_ENTRIES = 300_000
"""Entries of what the slots see up to which a part has more samples: what is at work then stays in a core's cache.
Measured at 118 and 5,100 slots."""


@pytree
class FlowSolution:
    """Outcome of the solver in its own real-valued form; leading axes are the batch."""

    slot_current: Float[Array, "*batch two_slot"]
    """What acts in the slots, pu: currents of the loads, and more; all other quantities follow from it, see `flows`."""
    slot_voltage: Float[Array, "*batch two_slot"]
    """What the slots see, of the last iteration; to start the next solution from."""
    v_pu: Complex[Array, "*batch node"]
    """Voltages of the named nodes."""
    converged: Bool[Array, "*batch"]
    iterations: Int[Array, "*batch"]


@partial(jax.jit, static_argnames=("tolerance_pu", "max_iterations", "newton_only"))
def solve(
    flow: FlowArrays,
    p_kw: Float[Array, "... injection"],
    q_kvar: Float[Array, "... injection"],
    start: Float[Array, "... two_slot"] | None,
    equipment: Equipment = AS_BUILT,
    *,
    tolerance_pu: float,
    max_iterations: int,
    newton_only: bool = False,
) -> FlowSolution:
    """Exact AC power flow of a batch; differentiable by the implicit-function theorem.

    Args:
        flow: constants of the network, with the features that `equipment` needs.
        p_kw: active power of each injection into the network.
        q_kvar: reactive power likewise.
        start: what the slots see at the start; None = what they see without any injection.
        equipment: states and parameters that differ from those of the network.
        tolerance_pu: see `fixed_point.find`.
        max_iterations: iterations of the fixed point; samples that need more are solved by Newton's method.
        newton_only: use Newton's method from the start.
    """
    batch = batch_shape(p_kw, q_kvar, equipment)
    first = flow.slot_no_load if start is None else start
    asked = flattened((p_kw, q_kvar, first, equipment), batch)

    def solve_part(part: tuple[Array, Array, Array, Equipment]) -> FlowSolution:
        p_kw, q_kvar, first, equipment = part
        own = realised_flow(flow, equipment)
        outcome = fixed_point.find(
            make_problem(own, p_kw, q_kvar, equipment),
            lay_out_pair(own, first),
            tolerance_pu=tolerance_pu,
            max_iterations=max_iterations,
            newton_only=newton_only,
        )
        operator = own.operator
        return FlowSolution(
            slot_current=operator.collected(outcome.x),
            slot_voltage=operator.collected(outcome.y),
            v_pu=jax.lax.complex(*jnp.split(operator.evaluate(operator.nodes, outcome.x), 2, axis=-1)),
            converged=outcome.converged,
            iterations=outcome.iterations,
        )

    solution = in_parts(solve_part, asked, part_size(flow))
    return jax.tree.map(lambda a: a.reshape(*batch, *a.shape[1:]), solution)


def part_size(flow: FlowArrays) -> int | None:
    """Samples to be solved at once, so that what is at work stays in the cache of a processor; None = any number."""
    if jax.default_backend() != "cpu" or isinstance(flow.operator, Dense):
        return None
    if SWITCHES in flow.features:
        return PART_SWITCHES
    fewest, most = PART_SPAN
    return min(max(_PART_ENTRIES // (2 * flow.operator.n_slot), fewest), most)


def in_parts(solve_part: Callable[[Any], FlowSolution], asked: Any, size: int | None) -> FlowSolution:
    """Solve a batch part by part, at most `size` samples at a time."""
    n_sample = jax.tree.leaves(asked)[0].shape[0]
    if size is None or n_sample <= size:
        return solve_part(asked)
    n_part = -(-n_sample // size)
    size = -(-n_sample // n_part)

    def divided(a: Array) -> Array:
        # Fillings repeat the first sample.
        filled = jnp.concatenate([a, jnp.broadcast_to(a[:1], (n_part * size - n_sample, *a.shape[1:]))])
        return filled.reshape(n_part, size, *a.shape[1:])

    solved = lax.map(solve_part, jax.tree.map(divided, asked))
    return jax.tree.map(lambda a: a.reshape(n_part * size, *a.shape[2:])[:n_sample], solved)


def batch_shape(*asked: Any) -> tuple[int, ...]:
    """Leading axes of everything that is asked, broadcast."""
    return jnp.broadcast_shapes(*(a.shape[:-1] for a in jax.tree.leaves(asked)))


def realised_flow(flow: FlowArrays, equipment: Equipment) -> FlowArrays:
    """The network with the switches of every sample; unchanged where switches are not among its features."""
    if not isinstance(flow.operator, Topology):
        return flow
    assert equipment.switches is not None
    n_sample = equipment.switches.shape[0]
    change = None
    if TAPS in flow.features:
        gain = _tap_gain(flow, n_sample, equipment.taps)[:, ::2]
        change = Pair(gain.real, gain.imag)
    return dataclasses.replace(flow, operator=realised(flow.operator, equipment.switches, change))


def flattened(asked: T, batch: tuple[int, ...]) -> T:
    """Everything as [sample, n], broadcast to the batch's leading axes."""

    def flat(values: Array) -> Array:
        return jnp.broadcast_to(values, (*batch, values.shape[-1])).reshape(math.prod(batch), values.shape[-1])

    return jax.tree.map(flat, asked)


def lay_out_pair(flow: FlowArrays, pair: Float[Array, "sample two_slot"]) -> Float[Array, "*layout"]:
    """[Re, Im] of all slots in the layout of the operator."""
    halves = [flow.operator.laid_out(half) for half in jnp.split(pair, 2, axis=-1)]
    return jnp.concatenate(halves, axis=flow.operator.slot_axis)


def make_problem(
    flow: FlowArrays,
    p_kw: Float[Array, "sample injection"],
    q_kvar: Float[Array, "sample injection"],
    equipment: Equipment,
) -> Problem:
    """The problem of a batch with one leading axis; slots without supply ask for nothing."""
    power, gain = slot_power(flow, p_kw, q_kvar, equipment), _gain(flow, p_kw.shape[0], equipment)
    if isinstance(flow.operator, Elimination):
        supplied = flow.operator.slot_live()
        power, gain = jax.tree.map(lambda values: jnp.where(supplied, values, 0.0), (power, gain))
    return Problem(
        operator=flow.operator,
        law=flow.law,
        is_load=flow.is_load,
        is_voltage=flow.is_voltage,
        power=power,
        gain=gain,
    )


def slot_power(
    flow: FlowArrays,
    p_kw: Float[Array, "sample injection"],
    q_kvar: Float[Array, "sample injection"],
    equipment: Equipment = AS_BUILT,
) -> Power:
    """Power of the slots in pu by order, in the layout."""
    if equipment.z_share is None and equipment.i_share is None:
        return Power(p=_by_order(flow, flow.weight_p, p_kw), q=_by_order(flow, flow.weight_q, q_kvar))
    zero = jnp.zeros_like(p_kw)
    z = zero if equipment.z_share is None else equipment.z_share
    i = zero if equipment.i_share is None else equipment.i_share
    return Power(
        p=_shared(flow, flow.weight_p, flow.split_p, p_kw, (-z - i, i, z)),
        q=_shared(flow, flow.weight_q, flow.split_q, q_kvar, (-z - i, i, z)),
    )


def _shared(
    flow: FlowArrays,
    weights: Float[Array, "order slot k"],
    split: Float[Array, "3 slot k"],
    power: Float[Array, "sample injection"],
    moved: tuple[Array, Array, Array],
) -> tuple[Array, ...]:
    """Power by order when shares of what is constant power are moved to other orders."""
    parts = [_by_order(flow, split[k : k + 1], power * share)[0] for k, share in enumerate(moved)]
    for order, built in enumerate(_by_order(flow, weights, power)):
        parts[order] = parts[order] + built
    return tuple(parts)


def _by_order(
    flow: FlowArrays, weights: Float[Array, "order slot k"], power: Float[Array, "sample injection"]
) -> tuple[Array, ...]:
    if flow.one_to_one:
        return (flow.operator.laid_out(power * (1.0 / flow.s_base_kva)),)
    n_other = flow.n_slot - flow.n_load
    if flow.member is None:
        return tuple(flow.operator.laid_out(jnp.pad(power @ weight, ((0, 0), (0, n_other)))) for weight in weights)
    # Transposed, so that a gather moves the values of all samples at once.
    filled = jnp.pad(power.T, ((0, 1), (0, 0)))
    orders = []
    for weight in weights:
        slots = sum(filled[flow.member[:, k]] * weight[:, k, None] for k in range(flow.member.shape[1]))
        orders.append(flow.operator.laid_out(jnp.pad(slots, ((0, n_other), (0, 0))).T))
    return tuple(orders)


def _gain(flow: FlowArrays, n_sample: int, equipment: Equipment) -> Gain | None:
    """Factors of the slots of the features; a feature without a given state is as built."""
    if not set(flow.features) - {SWITCHES} or flow.n_slot == flow.n_load:
        return None
    n_load = flow.n_load
    parts: list[Any] = [jnp.zeros((n_sample, n_load), flow.dtype) + 0j]
    if TAPS in flow.features and SWITCHES not in flow.features:
        parts.append(_tap_gain(flow, n_sample, equipment.taps))
    if CAPACITORS in flow.features:
        parts.append(_capacitor_gain(flow, n_sample, equipment.capacitors))
    if LINES in flow.features:
        parts.append(_line_gain(flow, n_sample, equipment))
    gain = jnp.concatenate(parts, axis=-1)
    return Gain(re=flow.operator.laid_out(gain.real), im=flow.operator.laid_out(gain.imag))


def _tap_gain(flow: FlowArrays, n_sample: int, taps: Array | None) -> Array:
    n_winding = flow.tap_changer.shape[0]
    if taps is None:
        return jnp.zeros((n_sample, 2 * n_winding), flow.dtype) + 0j
    d = flow.tap_law.inner_voltage_ratio(taps, jnp)[:, flow.tap_changer] - 1.0
    return jnp.stack([d, d.conj()], axis=-1).reshape(n_sample, 2 * n_winding)


def _capacitor_gain(flow: FlowArrays, n_sample: int, closed: Array | None) -> Array:
    y = jax.lax.complex(*flow.capacitor_y)
    if closed is None:
        return jnp.zeros((n_sample, y.shape[0]), y.dtype)
    change = (closed - flow.capacitor_default)[:, flow.capacitor_bank]
    return -change * y


def _line_gain(flow: FlowArrays, n_sample: int, equipment: Equipment) -> Array:
    n_line, n_phase = flow.line_r.shape[:2]
    one = jnp.ones((n_sample, n_line), flow.dtype)
    scales = [one if s is None else s for s in (equipment.line_r_scale, equipment.line_x_scale)]
    pair = jnp.stack(scales, axis=-1) - 1.0
    wide = jnp.broadcast_to(pair[:, :, None, :], (n_sample, n_line, n_phase, 2))
    return wide.reshape(n_sample, 2 * n_line * n_phase) + 0j
