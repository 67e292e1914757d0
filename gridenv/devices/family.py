"""What every device family has in common: pure functions over a group of like units.

A family is a module with parameters, a state, a request and a feasible power of its own, and one `Family` object that
names its functions. The simulator calls them in this order in every step:

1. `project`: what was asked -> what the units can do; applying it twice changes nothing
2. `cut_off`, only where switches move: what is left of that at nodes without supply
3. (the power flow, with the power of all groups)
4. `step`: the state after the step, from what was delivered
5. `settle`: what the step was worth, line by line

All functions take any number of leading batch axes and are traced once. Power into the network is positive.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from jax import numpy as jnp
from jaxtyping import Array, Float, Int

from gridenv.core.pytree import pytree, static


@pytree
class Inputs:
    """What a group of units sees of a step."""

    t: Int[Array, "*batch"]
    """Scenario step."""
    series: Float[Array, "*batch series"]
    """Row of the scenario: profiles, price, weather, calendar."""
    v_pu: Float[Array, "*batch unit"]
    """Voltage magnitude at each unit's terminals, mean of its phases: for `project` that of the step before, for `step`
    and `settle` that of this step."""
    dt_h: float = static()
    """Length of the step in hours."""


@pytree
class Ledger:
    """What a step of a group was worth, a line and a unit each; names of the lines are those of the `Family`."""

    eur: Float[Array, "*batch eur_line unit"]
    """Money, positive = gained. Trade at the grid's prices is not among it: that is the task's to settle."""
    cost: Float[Array, "*batch cost_line unit"]
    """Amounts of what is to be kept small, never negative, in the unit that the line's name ends with."""
    energy_kwh: Float[Array, "*batch energy_line unit"]
    """Where the energy at the terminals came from (positive) or went to (negative); the lines of a unit sum to
    `p_kw * dt_h`."""


def without_power(params: Any, feasible: Any) -> Any:
    """Feasible with nothing at the terminals, for families in which nothing else follows from that."""
    del params
    return replace(feasible, p_kw=jnp.zeros_like(feasible.p_kw), q_kvar=jnp.zeros_like(feasible.q_kvar))


@dataclass(frozen=True, kw_only=True)
class Family:
    """The functions of a device family and the names of what they give; hashable, part of the compiled program."""

    name: str
    """Such as `battery`; the first part of unit names, `battery.18`."""
    init: Callable[..., Any]
    """(params, t [*batch]) -> state at the start of episodes that begin at scenario steps t."""
    project: Callable[..., Any]
    """(params, state, request, inputs) -> feasible. Where the family injects power, feasible has `p_kw` and `q_kvar`
    [*batch, unit]; where it moves equipment, `position` [*batch, unit]."""
    step: Callable[..., Any]
    """(params, state, feasible, inputs) -> state."""
    settle: Callable[..., Ledger]
    """(params, state before, feasible, state after, inputs) -> ledger."""
    cut_off: Callable[..., Any] = without_power
    """(params, feasible) -> feasible of units without supply: no power, and what follows from that."""
    is_missed: bool = True
    """Whether what it would have drawn or fed in counts as unserved where it has no supply. Not for storage, which the
    controller could have left at rest."""
    eur_lines: tuple[str, ...] = ()
    """Such as `battery_wear`."""
    cost_lines: tuple[str, ...] = ()
    """Such as `comfort_k_h`."""
    energy_lines: tuple[str, ...] = ()
    """Such as `battery_stored` and `battery_loss`."""
    moves: str | None = None
    """`taps`, `capacitors` or `switches` where the units are equipment of the network; None where they inject power."""
