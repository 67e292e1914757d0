"""The compiled network: host arrays in per unit, all that a dense fixed-point power flow needs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array

from gridenv.network.spec import Bools, Floats, Names
from gridenv.network.topology import Ints
from gridenv.network.transformer import TransformerModel

Complex = NDArray[np.complex128]


@dataclass(frozen=True, kw_only=True, eq=False)
class Network:
    """A network in per unit of one power base and of each bus's nominal voltage; float64 and complex128.

    Injections act through slots: `v_bus = w_bus + z_bus @ i_slot` with `i_slot = conj(s_slot / v_slot)`, where
    `s_slot` is the sum of the injections at a slot and `v_slot = v_bus[slot_bus]`. Currents of branches and
    sources are affine in `i_slot` likewise, so that no difference of near-equal voltages is taken.
    """

    name: str
    s_base_kva: float
    node_names: Names
    """[bus] ids of all buses in table order; buses fused by closed switches appear each."""
    vn_kv: Floats
    """[bus] nominal line-to-line voltage, kV."""
    energised: Bools
    """[bus] whether there is a path to a source."""
    bus_to_node: Ints
    """[bus] row in `y_node`; -1 for de-energised buses."""
    y_node: csc_array
    """[node, node] admittance of the energised nodes with lines, transformers and shunts, pu."""

    injection_names: Names
    injection_in_service: Bools
    injection_bus: Ints
    injection_to_slot: Ints
    """[injection] slot that it feeds; -1 at a source node, out of service, or without supply."""
    injection_to_source: Ints
    """[injection] source node that balances it directly; -1 elsewhere."""
    default_p_kw: Floats
    """[injection] active power into the network, kW; loads negative."""
    default_q_kvar: Floats
    slot_bus: Ints
    """[slot] one bus of the slot's electrical node."""
    w_bus: Complex
    """[bus] voltage without injections, pu; 0 where de-energised."""
    z_bus: Complex
    """[bus, slot] voltage response to the current injected at each slot, pu; zero rows at source and dead buses."""

    line_names: Names
    line_from_bus: Ints
    line_to_bus: Ints
    line_i0_from: Complex
    """[line] current into the line at its from end without injections, pu; out of service: 0."""
    line_f_from: Complex
    """[line, slot] response of that current to the current injected at each slot."""
    line_i0_to: Complex
    line_f_to: Complex
    line_i_base_a: Floats
    """[line] base current of its nominal voltage, A."""
    line_i_max_a: Floats
    """[line] rated current, A; infinite = no rating. Loading = max(|i_from|, |i_to|) * line_i_base_a / line_i_max_a."""
    line_r: Floats
    """[line] series resistance, pu; 0 where out of service or open at an end. Loss without cancellation:
    `line_r |i_to - line_y_to v_to|^2 + Re(line_y_from) |v_from|^2 + Re(line_y_to) |v_to|^2`."""
    line_y_from: Complex
    """[line] shunt admittance at the from end, pu; of the whole line where its other end is open."""
    line_y_to: Complex

    trafo_names: Names
    trafo_hv_bus: Ints
    trafo_lv_bus: Ints
    trafo_hv_on: Bools
    """[transformer] whether the high-voltage side is connected."""
    trafo_lv_on: Bools
    trafo_i0_hv: Complex
    """[transformer] current into the transformer at its high-voltage side without injections, pu of that bus."""
    trafo_f_hv: Complex
    trafo_i0_lv: Complex
    trafo_f_lv: Complex
    trafo_rating_hv: Floats
    """[transformer] rated current at the high-voltage side, pu.
    Loading = max(|i_hv| / trafo_rating_hv, |i_lv| / trafo_rating_lv)."""
    trafo_rating_lv: Floats
    trafo_r: Floats
    """[transformer] as `line_r`:
    `trafo_r |i_lv - trafo_y_lv v_lv|^2 + Re(trafo_y_hv) |v_hv|^2 + Re(trafo_y_lv) |v_lv|^2`."""
    trafo_y_hv: Complex
    trafo_y_lv: Complex
    trafo_model: TransformerModel
    """[transformer] parameters for `transformer_two_port` at other tap positions."""

    shunt_names: Names
    shunt_bus: Ints
    shunt_y: Complex
    """[shunt] admittance to ground, pu; out of service or de-energised: 0."""

    source_names: Names
    """[source] ids of all sources."""
    source_to_node: Ints
    """[source] source node of each source; -1 where out of service."""
    source_bus: Ints
    """[source node] one bus of each source node."""
    source_v: Complex
    """[source node] fixed voltage, pu."""
    source_i0: Complex
    """[source node] current from source and local injections into the network without injections elsewhere, pu."""
    source_f: Complex
    """[source node, slot] response of that current. Source power = source_v conj(i) - injections at the node."""

    tap_names: Names
    """Transformers that have a tap changer."""
    tap_to_trafo: Ints
    default_taps: Floats
    switch_names: Names
    """Bus-bus switches, then lines: a line is a switch too."""
    default_switches: Bools
    """[switch] closed; a line is closed when in service and closed at both ends."""

    @property
    def n_bus(self) -> int:
        """Number of buses."""
        return len(self.node_names)

    @property
    def n_inj(self) -> int:
        """Number of injections, out-of-service ones included."""
        return len(self.injection_names)

    @property
    def n_slot(self) -> int:
        """Number of slots."""
        return len(self.slot_bus)
