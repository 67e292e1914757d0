"""A solved batch and what can be asked of it."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
from jax import Array
from jax import numpy as jnp
from jaxtyping import Bool, Complex, Float, Int

from gridenv.powerflow import flows
from gridenv.powerflow.solver import Equipment

if TYPE_CHECKING:
    from gridenv.powerflow.door import PowerFlow


_LEAVES = ("v_pu", "slot_current", "converged", "iterations", "p_kw", "q_kvar", "equipment", "settled")


@jax.tree_util.register_pytree_node_class
class Solution:
    """A solved batch. Quantities beyond the voltages are computed when asked for; leading axes are the batch.

    Attributes:
        v_pu: complex voltages [*batch, node] in the order of `node_names`, pu of each bus's nominal voltage;
            0 where de-energised.
        converged: whether a solution was found to the tolerance [*batch].
        iterations: iterations that each sample needed [*batch].
        slot_current: what acts in the slots as [Re, Im], pu; the solver's own form of the solution.
        p_kw: the active injections that were solved for [*batch, injection].
        q_kvar: the reactive ones.
        equipment: states of the equipment that were solved for.
        settled: whether the controls came to rest [*batch]; None where they were not asked to act.
    """

    def __init__(
        self,
        power_flow: "PowerFlow",
        features: tuple[str, ...],
        v_pu: Complex[Array, "*batch node"],
        slot_current: Float[Array, "*batch two_slot"],
        converged: Bool[Array, "*batch"],
        iterations: Int[Array, "*batch"],
        p_kw: Any,
        q_kvar: Any,
        equipment: Equipment,
        settled: Bool[Array, "*batch"] | None = None,
    ) -> None:
        self.power_flow = power_flow
        self.features = features
        self.v_pu = v_pu
        self.slot_current = slot_current
        self.converged = converged
        self.iterations = iterations
        self.p_kw = p_kw
        self.q_kvar = q_kvar
        self.equipment = equipment
        self.settled = settled

    def tree_flatten(self) -> tuple[tuple[Any, ...], tuple["PowerFlow", tuple[str, ...]]]:
        """Leaves, and the power flow that they belong to."""
        return tuple(getattr(self, name) for name in _LEAVES), (self.power_flow, self.features)

    @classmethod
    def tree_unflatten(cls, owner: tuple["PowerFlow", tuple[str, ...]], leaves: tuple[Any, ...]) -> "Solution":
        """Inverse of `tree_flatten`."""
        solution = cls.__new__(cls)
        solution.power_flow, solution.features = owner
        vars(solution).update(zip(_LEAVES, leaves, strict=True))
        return solution

    @property
    def taps(self) -> Float[Array, "*batch changer"]:
        """Positions of the tap changers."""
        return self._state(self.equipment.taps, self.power_flow.default_taps)

    @property
    def capacitors(self) -> Float[Array, "*batch bank"]:
        """States of the capacitor banks, 1 = closed."""
        return self._state(self.equipment.capacitors, self.power_flow.default_capacitors)

    @property
    def residual_pu(self) -> Float[Array, "*batch"]:
        """Largest apparent-power mismatch of any node, pu of 1 MVA (three-phase: of a third of it)."""
        return self._derive(flows.residual_pu, self.p_kw, self.q_kvar, self.equipment)

    @property
    def energised(self) -> Bool[Array, "*batch node"]:
        """Whether each node is connected to a source."""
        if "switches" in self.features:
            return self._derive(flows.supplied)
        return jnp.broadcast_to(self.power_flow.network.energised, self.v_pu.shape)

    @property
    def unserved_kw(self) -> Float[Array, "*batch"]:
        """Active power of the loads that no source reaches."""
        return self._derive(flows.unserved_kw, self.p_kw, self.power_flow.legs, self.energised)

    @property
    def loss_kw(self) -> Float[Array, "*batch"]:
        """Active power lost in the whole network, shunts included."""
        return self._derive(flows.loss_kw)

    @property
    def line_loss_kw(self) -> Float[Array, "*batch line"]:
        """Active power lost in every line."""
        return self._derive(flows.line_loss_kw, self.equipment)

    @property
    def transformer_loss_kw(self) -> Float[Array, "*batch transformer"]:
        """Active power lost in every transformer."""
        return self._derive(flows.transformer_loss_kw)

    @property
    def source_p_kw(self) -> Float[Array, "*batch"]:
        """Active power from the upstream grid, all sources together, at their terminals."""
        return self._derive(flows.source_power).p_kw

    @property
    def source_q_kvar(self) -> Float[Array, "*batch"]:
        """Reactive power from the upstream grid."""
        return self._derive(flows.source_power).q_kvar

    @property
    def line_loading(self) -> Float[Array, "*batch line"]:
        """Current of every line as a share of its rating (1.0 = rated), in three-phase networks of each conductor
        [*batch, line, 3]; 0 where no rating is known."""
        return self._derive(flows.line_loading)

    @property
    def line_current_a(self) -> Float[Array, "*batch line"]:
        """Current of every line, the larger of its ends, A; in three-phase networks of each conductor."""
        return self._derive(flows.line_current_a)

    @property
    def transformer_loading(self) -> Float[Array, "*batch transformer"]:
        """Current of every transformer as a share of its rating, the largest of its terminals."""
        return self._derive(flows.transformer_loading)

    @property
    def voltage_unbalance(self) -> Float[Array, "*batch bus"]:
        """Negative over positive sequence voltage at `pf.three_phase_buses`."""
        return self._derive(flows.voltage_unbalance, self.power_flow.three_phase_nodes)

    def _state(self, given: Any, built: Any) -> Any:
        values = built.astype(self.power_flow.dtype) if given is None else given
        return jnp.broadcast_to(values, (*self.converged.shape, values.shape[-1]))

    def _derive(self, quantity: Callable[..., Any], *others: Any) -> Any:
        power_flow = self.power_flow
        with power_flow.precision():
            arrays = power_flow.arrays_for(*self.features)
            return flows.of_equipment(quantity, arrays, self.slot_current, self.equipment, *others)


class Loadability(NamedTuple):
    """How far the injections can be scaled."""

    scale: Float[Array, "*batch"]
    """Largest factor at which a solution was found."""
    solution: Solution
    """The solution there."""
