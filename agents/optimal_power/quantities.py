"""What the programs decide on: active and reactive power of batteries, chargers and plants, and the actions for it."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jax import Array
from jax import numpy as jnp
from jaxtyping import Float

from gridenv.devices import battery, ev_charger, inverter
from gridenv.exogenous.scenario import sample
from gridenv.sim.model import GridModel
from gridenv.tasks.env import EnvParams, GridEnv
from gridenv.tasks.units import inverters

_MIN_KW = 1e-3
"""Available power below which any share of it is the same."""


@dataclass(frozen=True)
class Quantity:
    """Active or reactive power of one unit."""

    group: int
    """Place among `GridModel.groups`."""
    unit: int
    injection: int
    """Row among the injections of the network."""
    entry: int
    """Place in the action vector."""
    is_q: bool


@dataclass(frozen=True)
class Quantities:
    """All that a program decides on; hashable, part of the compiled programs."""

    entries: tuple[Quantity, ...]
    n_action: int
    n_load: int
    """Injections of the network's own loads, which come first."""

    def __len__(self) -> int:
        return len(self.entries)

    @cached_property
    def injection(self) -> np.ndarray:
        """[quantity] rows among the injections."""
        return np.array([q.injection for q in self.entries], int)

    @cached_property
    def is_q(self) -> np.ndarray:
        """[quantity] whether it is reactive power."""
        return np.array([q.is_q for q in self.entries], bool)

    @cached_property
    def is_held(self) -> tuple[bool, ...]:
        """[act] entries of the action vector that are no quantity and stay with the rule."""
        decided = {q.entry for q in self.entries}
        return tuple(i not in decided for i in range(self.n_action))

    def of_group(self, group: int, is_q: bool) -> dict[int, int]:
        """Place of each unit's active or reactive power among the quantities."""
        return {q.unit: k for k, q in enumerate(self.entries) if q.group == group and q.is_q == is_q}


def quantities_of(env: GridEnv, params: EnvParams) -> Quantities:
    """The quantities of a task; none where its units do not fit a convex program or switches move."""
    n_load = params.model.loads.p_weight_kw.shape[1]
    entries = () if params.model.load_legs is not None else tuple(_entries(env, params.model, n_load))
    return Quantities(entries=entries, n_action=env.n_action, n_load=n_load)


def _entries(env: GridEnv, model: GridModel, n_load: int) -> Iterator[Quantity]:
    injection, entry = n_load, 0
    for i, (group, controls) in enumerate(zip(model.groups, env.task.actuator.controls, strict=True)):
        n_unit = len(group.names)
        n_control = len(controls) // n_unit
        order = _order(group.family.name, group.params, n_control)
        for unit in range(n_unit):
            for k, is_q in enumerate(order):
                yield Quantity(i, unit, injection + unit, entry + unit * n_control + k, is_q)
        entry += n_unit * n_control
        injection += n_unit if group.family.moves is None else 0


def _order(family: str, params: object, n_control: int) -> tuple[bool, ...]:
    """Which of a unit's controls are reactive power; none of them where the unit does not fit."""
    if family == battery.BATTERY.name:
        return (False, True)[:n_control]
    if family == ev_charger.EV_CHARGER.name:
        return (False,)
    if family == inverter.FAMILY.name and not inverters.follows_curve(params):  # type: ignore[arg-type]
        return (True, False)[:n_control]
    return ()


def actions_of(
    env: GridEnv,
    params: EnvParams,
    quantities: Quantities,
    t: Array,
    power: Float[Array, "step episode quantity"],
    actions: Float[Array, "step episode act"],
) -> Float[Array, "step episode act"]:
    """The normalised actions with those entries replaced that ask for the given power.

    Args:
        env: the task's environment.
        params: its parameters, with the scenario that the power was planned for.
        quantities: of the task.
        t: [step, episode] scenario steps.
        power: kW and kvar, positive into the network.
        actions: where the other entries come from.
    """
    physical = jnp.zeros_like(actions)
    for k, q in enumerate(quantities.entries):
        group = params.model.groups[q.group]
        value = power[..., k]
        if group.family.name == inverter.FAMILY.name:
            value = _share(params, quantities, q, t, power)
        physical = physical.at[..., q.entry].set(value)
    low, high = env.action_bounds
    encoded = jnp.clip(env.encode_action(physical), low, high)
    return jnp.where(jnp.asarray(quantities.is_held), actions, encoded)


def _share(params: EnvParams, quantities: Quantities, q: Quantity, t: Array, power: Array) -> Array:
    """Share of what a plant has, as its actions are."""
    own = params.model.groups[q.group].params
    available = available_kw(params.model, q.group, t)
    p_kw = available
    for unit, k in quantities.of_group(q.group, is_q=False).items():
        p_kw = p_kw.at[..., unit].set(jnp.clip(power[..., k], 0.0, available[..., unit]))
    if q.is_q:
        return power[..., quantities.entries.index(q)] / inverters.q_limit_kvar(own, p_kw)[..., q.unit]
    there = available[..., q.unit]
    return jnp.where(there > _MIN_KW, p_kw[..., q.unit] / jnp.maximum(there, _MIN_KW), 1.0)


def available_kw(model: GridModel, group: int, t: Array) -> Float[Array, "*batch unit"]:
    """What sun or wind allow the plants of a group."""
    own = model.groups[group].params
    return jnp.clip(sample(model.scenario, t) @ own.p_weight_kw, 0.0, own.ratings.p_rated_kw)
