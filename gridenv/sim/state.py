"""What the next step needs, what a step is told, and what it produces."""

from enum import IntFlag
from typing import Any

from jaxtyping import Array, Bool, Float, Int

from gridenv.core.pytree import pytree
from gridenv.devices.family import Ledger


class Status(IntFlag):
    """Bits that a step can set; nothing inside jit raises."""

    NOT_CONVERGED = 1
    """The power flow found no solution within its iterations; voltages and flows of the step mean nothing."""
    ACTION_CORRECTED = 2
    """A command was outside its range or a device's capability and was limited."""
    ACTION_NOT_FINITE = 4
    """A command was NaN or infinite and counted as zero."""
    UNSERVED = 8
    """Open switches left loads or units without supply."""


@pytree
class GridState:
    """State of the grid between two steps; leading axes are the batch."""

    t: Int[Array, "*batch"]
    """Index of the scenario step that comes next."""
    slot_voltage: Float[Array, "*batch two_slot"]
    """Voltages of the injection nodes in the last step; the next power flow starts from them."""
    v_pu: Float[Array, "*batch node"]
    """Voltage magnitudes of the last step, which local functions of devices act on."""
    devices: tuple[Any, ...]
    """State of each group, as its family defines it."""


@pytree
class Command:
    """What controllers ask of the devices in a step."""

    requests: tuple[Any, ...]
    """Request to each group, as its family defines it."""


@pytree
class Supply:
    """What open switches leave without a source."""

    energised: Bool[Array, "*batch node"]
    """Nodes with a path to a source."""
    unserved_load_kw: Float[Array, "*batch"]
    """Demand of the network's loads that is not met, positive."""
    unserved_unit_kw: Float[Array, "*batch"]
    """What units other than storage would have drawn and fed in, both positive."""

    @property
    def unserved_kw(self) -> Float[Array, "*batch"]:
        """Of loads and units."""
        return self.unserved_load_kw + self.unserved_unit_kw


@pytree
class GridOutput:
    """What a step produced; leading axes are the batch."""

    v_pu: Float[Array, "*batch node"]
    """Voltage magnitudes of the nodes (buses, or conductors of buses); sources included, 0 without a path to one."""
    line_loading: Float[Array, "*batch line"]
    """Current as a share of the rating, the largest of the conductors."""
    transformer_loading: Float[Array, "*batch transformer"]
    """Current as a share of the rating, the largest of all terminals."""
    unbalance: Float[Array, "*batch bus"]
    """Negative over positive sequence voltage of the buses with three phases; none in balanced networks."""
    loss_kw: Float[Array, "*batch"]
    source_p_kw: Float[Array, "*batch"]
    """Active power from the upstream grid."""
    source_q_kvar: Float[Array, "*batch"]
    load_p_kw: Float[Array, "*batch"]
    """Active power of all loads into the network (negative), at the voltages found."""
    p_kw: Float[Array, "*batch injection"]
    """Active power of every injection: loads as asked for, where they have supply, then units as delivered."""
    feasible: tuple[Any, ...]
    """What each group delivered, as its family defines it."""
    ledgers: tuple[Ledger, ...]
    """What the step was worth to each group."""
    residual_pu: Float[Array, "*batch"]
    """Largest power mismatch, pu of the network's base power or of the largest injection, whichever is larger."""
    converged: Bool[Array, "*batch"]
    iterations: Int[Array, "*batch"]
    supply: Supply | None = None
    """None where no switches move."""
