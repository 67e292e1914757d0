"""Everything about a grid that does not change in an episode; shared by all environments of a batch."""

from typing import Any

from jax import Array
from jax import numpy as jnp
from jaxtyping import Float, Int

from gridenv.core.pytree import pytree, static
from gridenv.devices.family import Family, Inputs
from gridenv.devices.load import LoadParams
from gridenv.exogenous.scenario import Scenario
from gridenv.powerflow.arrays import FlowArrays
from gridenv.powerflow.solver import Equipment


@pytree
class LocalControl:
    """What is known of units whose reactive power follows the voltage at their terminals within the step."""

    v_pu_per_kvar: Float[Array, "unit unit"]
    """How the voltage at each unit moves with the reactive power of each one, in the unloaded network."""
    s_rated_kva: Float[Array, " unit"]


@pytree
class DeviceGroup:
    """Units of one family and where they are in the network."""

    params: Any
    """Parameters as the family defines them."""
    node: Int[Array, "unit leg"]
    """Rows of `GridOutput.v_pu` at each unit's terminals; a unit of fewer legs repeats its own."""
    position: Int[Array, " unit"] | None = None
    """Equipment only: which tap changer, capacitor bank or switch of the network each unit is."""
    local: LocalControl | None = None
    """None where the units do not follow their voltage; at most one group does."""
    family: Family = static()
    names: tuple[str, ...] = static()
    """Unit names, such as `battery.18`."""

    def v_pu(self, v_pu: Float[Array, "*batch node"]) -> Float[Array, "*batch unit"]:
        """Voltage magnitude at each unit, mean of its legs."""
        if self.node.shape[1] == 1:
            return v_pu[..., self.node[:, 0]]
        return jnp.mean(v_pu[..., self.node], axis=-1)


@pytree
class LoadLegs:
    """Between which nodes the network's loads draw their power."""

    ends: Int[Array, "load leg 2"]
    """Rows of `GridOutput.v_pu`; one past the last is ground."""
    share: Float[Array, "load leg"]
    """Of the load's power; 0 = filling."""


@pytree
class GridModel:
    """Network, devices and scenario. The network's injections are the loads, then the units of the groups in order."""

    flow: FlowArrays
    loads: LoadParams
    groups: tuple[DeviceGroup, ...]
    scenario: Scenario
    equipment: Equipment
    """States of the tap changers, capacitor banks and switches that groups move, as the network has them."""
    three_phase_node: Int[Array, "bus 3"]
    """Nodes of the buses with three phases; none in balanced networks."""
    load_legs: LoadLegs | None = None
    """Only where groups move switches."""
    dt_h: float = static()
    tolerance_pu: float = static()
    """Power-flow tolerance, estimated distance of the voltages from the solution."""
    max_iterations: int = static()

    @property
    def has_equipment(self) -> bool:
        """Whether groups move tap changers, capacitor banks or switches.

        Then a power flow starts from the unloaded network: from the voltages of the step before, at other positions, it
        would stop at voltages as exact but currents that are not (measured on IEEE-13: 5e-4 pu against 6e-6).
        """
        return any(group.family.moves is not None for group in self.groups)

    def inputs(
        self, t: Int[Array, "*batch"], series: Float[Array, "*batch series"], v_pu: Float[Array, "*batch node"]
    ) -> tuple[Inputs, ...]:
        """What each group sees of a step."""
        return tuple(Inputs(t=t, series=series, v_pu=group.v_pu(v_pu), dt_h=self.dt_h) for group in self.groups)
