"""Equipment that moves in whole positions: tap changers, capacitor banks, switches. It wears with every operation.

Between two operations of a unit at least its dwell time passes. A tap changer moves several positions in a step of a
quarter of an hour; each position is an operation.
"""

from collections.abc import Sequence

import numpy as np
from jax import Array
from jax import numpy as jnp
from jaxtyping import Float, Int

from gridenv.core.errors import ConfigError, raise_collected
from gridenv.core.pytree import pytree
from gridenv.devices.family import Family, Inputs, Ledger

_ALMOST = 1e-3
"""Hours by which a dwell time may be missed: steps of 0.1 h do not add up to exactly an hour in float32."""


@pytree
class EquipmentParams:
    """Units with positions from `low` to `high`."""

    low: Float[Array, " unit"]
    high: Float[Array, " unit"]
    start: Float[Array, " unit"]
    """Position at the beginning of an episode."""
    max_move: Float[Array, " unit"]
    """Positions that a unit moves in one step at most."""
    dwell_h: Float[Array, " unit"]
    """Hours from one operation to the next at least."""
    wear_eur: Float[Array, " unit"]
    """Price of an operation: of one position of a tap changer, of one closing or opening."""


@pytree
class EquipmentState:
    """Positions and how long they have been held."""

    position: Float[Array, "*batch unit"]
    rested_h: Float[Array, "*batch unit"]
    """Hours since the last operation, counted up to the dwell time."""


@pytree
class EquipmentRequest:
    """Positions asked for; they are rounded to whole ones."""

    position: Float[Array, "*batch unit"]


@pytree
class EquipmentFeasible:
    """Positions in the step."""

    position: Float[Array, "*batch unit"]
    operations: Float[Array, "*batch unit"]
    """Operations that bring them about."""


def equipment_params(
    names: Sequence[str],
    low: np.ndarray,
    high: np.ndarray,
    start: np.ndarray,
    *,
    max_move: np.ndarray,
    dwell_h: np.ndarray,
    wear_eur: np.ndarray,
    dtype: str = "float32",
) -> EquipmentParams:
    """Parameters of a group of equipment.

    Raises:
        ConfigError: for ranges that are empty or unlimited, a start outside, and negative values; all at once.
    """
    columns = np.broadcast_arrays(
        *(np.asarray(c, float) for c in (low, high, start, max_move, dwell_h, wear_eur)), np.zeros(len(names))
    )[:-1]
    problems = [p for name, row in zip(names, zip(*columns, strict=True), strict=True) for p in _problems(name, *row)]
    raise_collected(problems, ConfigError)
    low_, high_, start_, move_, dwell_, wear_ = (jnp.asarray(c, dtype) for c in columns)
    return EquipmentParams(low=low_, high=high_, start=start_, max_move=move_, dwell_h=dwell_, wear_eur=wear_)


def _problems(
    name: str, low: float, high: float, start: float, max_move: float, dwell_h: float, wear_eur: float
) -> list[str]:
    problems = []
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        problems.append(
            f"{name}: positions are {low:g}..{high:g}; allowed: a finite range of two or more; give the network's "
            "equipment limits"
        )
    elif not low <= start <= high:
        problems.append(f"{name}: start is {start:g}; allowed: {low:g}..{high:g}; choose a position in this range")
    if not max_move >= 1:
        problems.append(f"{name}: max_move is {max_move:g}; allowed: at least 1 position; correct it")
    for what, value in (("dwell_h", dwell_h), ("wear_eur", wear_eur)):
        if not (np.isfinite(value) and value >= 0):
            problems.append(f"{name}: {what} is {value:g}; allowed: a number >= 0; correct it")
    return problems


def init(params: EquipmentParams, t: Int[Array, "*batch"]) -> EquipmentState:
    """The start position, rested."""
    shape = (*t.shape, *params.start.shape)
    return EquipmentState(
        position=jnp.broadcast_to(params.start, shape), rested_h=jnp.broadcast_to(params.dwell_h, shape)
    )


def project(
    params: EquipmentParams, state: EquipmentState, request: EquipmentRequest, inputs: Inputs
) -> EquipmentFeasible:
    """Nearest whole position within the range and the reach of a step; the present one while it has to rest."""
    del inputs
    wanted = jnp.clip(jnp.round(request.position), params.low, params.high)
    reach = jnp.clip(wanted - state.position, -params.max_move, params.max_move)
    is_free = state.rested_h >= params.dwell_h - _ALMOST
    position = state.position + jnp.where(is_free, reach, 0.0)
    return EquipmentFeasible(position=position, operations=jnp.abs(position - state.position))


def step(params: EquipmentParams, state: EquipmentState, feasible: EquipmentFeasible, inputs: Inputs) -> EquipmentState:
    """The new position; the clock begins anew with an operation, which takes place at the start of the step."""
    rested_h = jnp.where(feasible.operations > 0, 0.0, state.rested_h) + inputs.dt_h
    return EquipmentState(position=feasible.position, rested_h=jnp.minimum(rested_h, params.dwell_h))


def settle(
    params: EquipmentParams,
    before: EquipmentState,
    feasible: EquipmentFeasible,
    after: EquipmentState,
    inputs: Inputs,
) -> Ledger:
    """Wear of the operations, and their number."""
    del before, after, inputs
    operations = feasible.operations
    return Ledger(
        eur=(-operations * params.wear_eur)[..., None, :],
        cost=operations[..., None, :],
        energy_kwh=jnp.zeros((*operations.shape[:-1], 0, operations.shape[-1]), operations.dtype),
    )


def _family(name: str, moves: str) -> Family:
    return Family(
        name=name,
        init=init,
        project=project,
        step=step,
        settle=settle,
        eur_lines=(f"{name}_wear",),
        cost_lines=("switch_ops",),
        moves=moves,
    )


TAP_CHANGER = _family("tap_changer", "taps")
CAPACITOR = _family("capacitor", "capacitors")
SWITCH = _family("switch", "switches")
