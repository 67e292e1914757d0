"""What the next step needs, what a step is told, and what it produces."""

from enum import IntFlag

from jaxtyping import Array, Bool, Float, Int

from gridenv.core.pytree import pytree


class Status(IntFlag):
    """Bits that a step can set; nothing inside jit raises."""

    NOT_CONVERGED = 1
    """The power flow found no solution within its iterations; voltages and flows of the step mean nothing."""
    ACTION_CORRECTED = 2
    """A command was outside its range or a device's capability and was limited."""
    ACTION_NOT_FINITE = 4
    """A command was NaN or infinite and counted as zero."""


@pytree
class GridState:
    """State of the grid between two steps; leading axes are the batch."""

    t: Int[Array, "*batch"]
    """Index of the scenario step that comes next."""
    slot_voltage: Float[Array, "*batch two_slot"]
    """Voltages of the injection nodes in the last step; the next power flow starts from them."""


@pytree
class Command:
    """What controllers ask of the devices in a step."""

    pv_q_kvar: Float[Array, "*batch unit"]
    """Reactive power into the network that each inverter shall feed."""


@pytree
class GridOutput:
    """What a step produced; leading axes are the batch."""

    v_pu: Float[Array, "*batch bus"]
    """Voltage magnitudes; source buses included, 0 at buses without a path to a source."""
    line_loading: Float[Array, "*batch line"]
    """Current as a share of the rating."""
    transformer_loading: Float[Array, "*batch transformer"]
    """Current as a share of the rating, the larger of the two sides."""
    loss_kw: Float[Array, "*batch"]
    source_p_kw: Float[Array, "*batch"]
    """Active power from the upstream grid."""
    source_q_kvar: Float[Array, "*batch"]
    pv_p_kw: Float[Array, "*batch unit"]
    pv_q_kvar: Float[Array, "*batch unit"]
    """Delivered reactive power."""
    pv_q_available_kvar: Float[Array, "*batch unit"]
    residual_pu: Float[Array, "*batch"]
    converged: Bool[Array, "*batch"]
    iterations: Int[Array, "*batch"]
    status: Int[Array, "*batch"]
    """Bits of `Status`."""
