"""Parts of the network that open switches leave without a source: who is there, what they deliver, what they miss.

Which nodes are supplied follows from the switches alone, so it is known before the power flow. Nothing forms a grid of
its own: a part without a source is dead, whatever batteries and generators are in it.
"""

from functools import partial
from typing import Any

import jax
from jax import Array
from jax import numpy as jnp
from jaxtyping import Bool, Float

from gridenv.powerflow import flows
from gridenv.powerflow.arrays import SWITCHES
from gridenv.powerflow.solver import Equipment
from gridenv.sim.model import GridModel, LoadLegs
from gridenv.sim.state import Supply


def energised(model: GridModel, equipment: Equipment) -> Bool[Array, "*batch node"] | None:
    """Nodes with a path to a source; None in models whose switches do not move, where nothing is lost."""
    if SWITCHES not in model.flow.features:
        return None
    live: Array = flows.energised(model.flow, equipment.switches)
    return live


def deliver(model: GridModel, feasible: tuple[Any, ...], live: Bool[Array, "*batch node"] | None) -> tuple[Any, ...]:
    """What each group delivers of what it could: nothing where a leg is without supply."""
    if live is None:
        return feasible
    delivered = []
    for group, done in zip(model.groups, feasible, strict=True):
        if group.family.moves is None:
            is_on = jnp.all(live[..., group.node], axis=-1)
            done = jax.tree.map(partial(_where, is_on), done, group.family.cut_off(group.params, done))
        delivered.append(done)
    return tuple(delivered)


def account(
    model: GridModel,
    live: Bool[Array, "*batch node"],
    feasible: tuple[Any, ...],
    delivered: tuple[Any, ...],
    p_kw: Float[Array, "*batch injection"],
) -> tuple[Supply, Float[Array, "*batch injection"]]:
    """What is missed in parts without supply, and the power of all injections that have supply.

    Args:
        live: nodes with supply.
        feasible: what the units could do.
        delivered: what they do.
        p_kw: what the loads ask for and the units deliver, as given to the power flow.
    """
    assert model.load_legs is not None
    n_load = model.loads.p_weight_kw.shape[1]
    load_p_kw, unit_p_kw = p_kw[..., :n_load], p_kw[..., n_load:]
    served_kw = load_p_kw * (1.0 - _lost_share(model.load_legs, live))
    unit_kw = jnp.zeros(live.shape[:-1], load_p_kw.dtype)
    for group, asked, done in zip(model.groups, feasible, delivered, strict=True):
        if group.family.moves is None and group.family.is_missed:
            unit_kw = unit_kw + jnp.sum(jnp.abs(asked.p_kw - done.p_kw), axis=-1)
    load_kw = jnp.sum(jnp.abs(load_p_kw - served_kw), axis=-1)
    missed = Supply(energised=live, unserved_load_kw=load_kw, unserved_unit_kw=unit_kw)
    return missed, jnp.concatenate([served_kw, unit_p_kw], axis=-1)


def _lost_share(legs: LoadLegs, live: Bool[Array, "*batch node"]) -> Float[Array, "*batch load"]:
    """Share of each load's power between nodes one of which has no supply."""
    with_ground = jnp.concatenate([live, jnp.ones_like(live[..., :1])], axis=-1)
    is_lost = ~jnp.all(with_ground[..., legs.ends], axis=-1)
    return jnp.sum(jnp.where(is_lost, legs.share, 0.0), axis=-1)


def _where(is_on: Bool[Array, "*batch unit"], whole: Array, cut: Array) -> Array:
    """Values [*batch, unit, ...] of the units with supply, and of those cut off."""
    return jnp.where(is_on.reshape(*is_on.shape, *(1,) * (whole.ndim - is_on.ndim)), whole, cut)
