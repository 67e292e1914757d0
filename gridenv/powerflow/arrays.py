"""A network's constants as device arrays, in the real-valued form that the dense solver multiplies with.

A complex row vector `a` is stored as `[Re a, Im a]`; the complex product `a @ Z.T` is then the real product with
`[[Re Z.T, Im Z.T], [-Im Z.T, Re Z.T]]`, which keeps the batch in one matrix product of one dtype.
"""

import numpy as np
from jax import Array
from jax import numpy as jnp
from jaxtyping import Float, Int
from numpy.typing import NDArray

from gridenv.core.pytree import pytree, static
from gridenv.network.arrays import Network


@pytree
class FlowArrays:
    """Constants of one network; shared by every sample of a batch, never batched."""

    slot_response: Float[Array, "two_slot two_slot"]
    """Voltage at every injection node from the currents injected there, pu."""
    slot_no_load: Float[Array, " two_slot"]
    """Voltage of the injection nodes without any injection, pu."""
    bus_response: Float[Array, "two_slot two_bus"]
    bus_no_load: Float[Array, " two_bus"]
    slot_bus: Int[Array, " slot"]
    """A bus whose voltage is that of the injection node."""
    injection_slot: Float[Array, "injection slot"]
    """1 / s_base where an in-service injection feeds an injection node: kW and kvar to pu."""
    injection_source: Float[Array, " injection"]
    """1 for an in-service injection at a source's own bus, else 0."""
    source_voltage: Float[Array, " two_source"]
    source_no_load: Float[Array, " two_source"]
    """Current that each source feeds into the network without any injection, pu."""
    source_response: Float[Array, "two_slot two_source"]
    line_no_load: Float[Array, "end two_line"]
    """Current into each line at its ends without any injection, A."""
    line_response: Float[Array, "end two_slot two_line"]
    line_i_max_a: Float[Array, " line"]
    transformer_no_load: Float[Array, "end two_transformer"]
    """Current into each transformer at its sides, pu of the side's bus."""
    transformer_response: Float[Array, "end two_slot two_transformer"]
    transformer_rating: Float[Array, "end transformer"]
    """Rated current of each side, in the same pu."""
    s_base_kva: float = static()
    injection_is_slot: bool = static()
    """Injections and injection nodes are one to one, in the same order: no summation needed."""
    line_ends_agree: bool = static()
    """No line has charging, so one end tells the current."""

    @property
    def n_slot(self) -> int:
        """Number of injection nodes."""
        return int(self.slot_bus.shape[0])

    @property
    def dtype(self) -> np.dtype:
        """Floating-point type of all arrays."""
        return np.dtype(self.slot_response.dtype)


def flow_arrays(network: Network, dtype: str) -> FlowArrays:
    """Device arrays of a compiled network; products are formed in float64 and rounded once.

    Call it inside `jax.enable_x64()` when `dtype` is float64.
    """
    slots = network.injection_to_slot
    columns = np.arange(network.n_slot)
    to_slot = (slots[:, None] == columns[None, :]) / network.s_base_kva
    line_base = network.line_i_base_a[:, None]
    has_charging = np.any(network.line_y_from != 0) or np.any(network.line_y_to != 0)
    values = {
        "slot_response": real_rows(network.z_bus[network.slot_bus]),
        "slot_no_load": real_vector(network.w_bus[network.slot_bus]),
        "bus_response": real_rows(network.z_bus),
        "bus_no_load": real_vector(network.w_bus),
        "injection_slot": to_slot,
        "injection_source": (network.injection_to_source >= 0).astype(float),
        "source_voltage": real_vector(network.source_v),
        "source_no_load": real_vector(network.source_i0),
        "source_response": real_rows(network.source_f),
        "line_no_load": np.stack(
            [real_vector(i0 * line_base[:, 0]) for i0 in (network.line_i0_from, network.line_i0_to)]
        ),
        "line_response": np.stack([real_rows(f * line_base) for f in (network.line_f_from, network.line_f_to)]),
        "line_i_max_a": network.line_i_max_a,
        "transformer_no_load": np.stack([real_vector(i0) for i0 in (network.trafo_i0_hv, network.trafo_i0_lv)]),
        "transformer_response": np.stack([real_rows(f) for f in (network.trafo_f_hv, network.trafo_f_lv)]),
        "transformer_rating": np.stack([network.trafo_rating_hv, network.trafo_rating_lv]),
    }
    return FlowArrays(
        **{name: jnp.asarray(value, dtype) for name, value in values.items()},
        slot_bus=jnp.asarray(network.slot_bus, "int32"),
        s_base_kva=network.s_base_kva,
        injection_is_slot=bool(np.array_equal(slots, columns)),
        line_ends_agree=not has_charging,
    )


def real_rows(z: NDArray[np.complex128]) -> NDArray[np.float64]:
    """The real matrix that multiplies `[Re a, Im a]` as `z` multiplies `a`: [n, m] complex -> [2m, 2n] real."""
    zt = z.T
    return np.block([[zt.real, zt.imag], [-zt.imag, zt.real]])


def real_vector(a: NDArray[np.complex128]) -> NDArray[np.float64]:
    """`[Re a, Im a]`."""
    return np.concatenate([a.real, a.imag])
