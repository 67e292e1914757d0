"""Everything about a grid that does not change in an episode; shared by all environments of a batch."""

from gridenv.core.pytree import pytree, static
from gridenv.devices.load import LoadParams
from gridenv.devices.pv import PvParams
from gridenv.exogenous.scenario import Scenario
from gridenv.powerflow.arrays import FlowArrays


@pytree
class GridModel:
    """Network, devices and scenario. The network's injections are the loads, then the inverters."""

    flow: FlowArrays
    loads: LoadParams
    pv: PvParams
    scenario: Scenario
    dt_h: float = static()
    tolerance_pu: float = static()
    """Power-flow tolerance, largest voltage change of the last iteration."""
    max_iterations: int = static()
