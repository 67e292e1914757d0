"""A solved batch and what can be asked of it."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jax import Array
from jax import numpy as jnp
from jaxtyping import Bool, Complex, Float, Int

from gridenv.powerflow import flows

if TYPE_CHECKING:
    from gridenv.powerflow.door import PowerFlow


@jax.tree_util.register_pytree_node_class
class Solution:
    """A solved batch. Quantities beyond the voltages are computed when asked for; leading axes are the batch.

    Attributes:
        v_pu: complex voltages [*batch, node] in the order of `node_names`, pu of each bus's nominal voltage;
            0 where de-energised.
        converged: whether a solution was found to the tolerance [*batch].
        iterations: iterations that each sample needed [*batch].
        slot_current: currents of the injection nodes as [Re, Im], pu; the solver's own form of the solution.
        p_kw: the active injections that were solved for [*batch, injection].
        q_kvar: the reactive ones.
    """

    def __init__(
        self,
        power_flow: "PowerFlow",
        v_pu: Complex[Array, "*batch node"],
        slot_current: Float[Array, "*batch two_slot"],
        converged: Bool[Array, "*batch"],
        iterations: Int[Array, "*batch"],
        p_kw: Any,
        q_kvar: Any,
    ) -> None:
        self.power_flow = power_flow
        self.v_pu = v_pu
        self.slot_current = slot_current
        self.converged = converged
        self.iterations = iterations
        self.p_kw = p_kw
        self.q_kvar = q_kvar

    def tree_flatten(self) -> tuple[tuple[Any, ...], "PowerFlow"]:
        """Leaves and the power flow that they belong to."""
        leaves = (self.v_pu, self.slot_current, self.converged, self.iterations, self.p_kw, self.q_kvar)
        return leaves, self.power_flow

    @classmethod
    def tree_unflatten(cls, power_flow: "PowerFlow", leaves: tuple[Any, ...]) -> "Solution":
        """Inverse of `tree_flatten`."""
        solution = cls.__new__(cls)
        solution.power_flow = power_flow
        names = ("v_pu", "slot_current", "converged", "iterations", "p_kw", "q_kvar")
        vars(solution).update(zip(names, leaves, strict=True))
        return solution

    @property
    def residual_pu(self) -> Float[Array, "*batch"]:
        """Largest apparent-power mismatch of any node, pu of 1 MVA."""
        return self._derive(flows.residual_pu, self.p_kw, self.q_kvar)

    @property
    def energised(self) -> Bool[Array, "*batch node"]:
        """Whether each node is connected to a source."""
        return jnp.broadcast_to(self.power_flow.network.energised, self.v_pu.shape)

    @property
    def loss_kw(self) -> Float[Array, "*batch"]:
        """Active power lost in the whole network, shunts included."""
        return self._derive(flows.loss_kw, self.p_kw)

    @property
    def source_p_kw(self) -> Float[Array, "*batch"]:
        """Active power from the upstream grid, all sources together."""
        return self._source_power.p_kw

    @property
    def source_q_kvar(self) -> Float[Array, "*batch"]:
        """Reactive power from the upstream grid."""
        return self._source_power.q_kvar

    @property
    def line_loading(self) -> Float[Array, "*batch line"]:
        """Current of every line as a share of its rating (1.0 = rated); 0 where no rating is known."""
        return self._derive(flows.line_loading)

    @property
    def line_current_a(self) -> Float[Array, "*batch line"]:
        """Current of every line, the larger of its ends, A."""
        return self._derive(flows.line_current_a)

    @property
    def transformer_loading(self) -> Float[Array, "*batch transformer"]:
        """Current of every transformer as a share of its rating, the larger of its sides."""
        return self._derive(flows.transformer_loading)

    @property
    def _source_power(self) -> flows.SourcePower:
        return self._derive(flows.source_power, self.p_kw, self.q_kvar)

    def _derive(self, quantity: Callable[..., Any], *injections: Array | np.ndarray) -> Any:
        power_flow = self.power_flow
        with power_flow.precision():
            return quantity(power_flow.arrays, self.slot_current, *injections)
