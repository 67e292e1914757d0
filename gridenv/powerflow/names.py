"""What the axes of a power flow's arrays stand for."""

from functools import cached_property
from typing import NamedTuple

import numpy as np

from gridenv.network.arrays import Network


class Legs(NamedTuple):
    """What the injections consist of."""

    injection: np.ndarray
    """[leg] number of the injection."""
    share: np.ndarray
    """[leg] of its power."""
    ends: np.ndarray
    """[leg, 2] nodes; one past the last is ground."""


class NetworkNames:
    """Names and defaults of a compiled network's elements, in the order of the arrays."""

    network: Network

    @property
    def node_names(self) -> tuple[str, ...]:
        """Bus names in the order of `Solution.v_pu`."""
        return self.network.node_names

    @property
    def injection_names(self) -> tuple[str, ...]:
        """Names of loads, generators and storage, in the order of `p_kw` and `q_kvar`."""
        return self.network.injection_names

    @property
    def default_p_kw(self) -> np.ndarray:
        """The network's own active injections [n_injection], kW; loads negative."""
        return self.network.circuit.loads.default_p_kw

    @property
    def default_q_kvar(self) -> np.ndarray:
        """The network's own reactive injections [n_injection], kvar."""
        return self.network.circuit.loads.default_q_kvar

    @property
    def tap_names(self) -> tuple[str, ...]:
        """Transformers with a tap changer."""
        return self.network.circuit.tap_names

    @property
    def default_taps(self) -> np.ndarray:
        """Their positions; `NetworkSpec.with_taps` gives a network with others."""
        return self.network.circuit.default_taps

    @property
    def switch_names(self) -> tuple[str, ...]:
        """Bus-bus switches, then lines (a line is a switch too)."""
        return self.network.circuit.switch_names

    @property
    def default_switches(self) -> np.ndarray:
        """Their states, True = closed; `NetworkSpec.with_switches` gives a network with others."""
        return self.network.circuit.default_switches

    @property
    def capacitor_names(self) -> tuple[str, ...]:
        """Capacitor banks that can be switched, in the order of `capacitors`."""
        return self.network.circuit.capacitor_names

    @property
    def default_capacitors(self) -> np.ndarray:
        """Their states, True = closed."""
        return self.network.circuit.capacitor_legs.default_closed

    @cached_property
    def legs(self) -> Legs:
        """Between which nodes the injections draw their power."""
        loads = self.network.circuit.loads
        ends = np.stack([loads.node_from, loads.node_to], axis=-1)
        return Legs(
            injection=loads.injection.astype(np.int32),
            share=loads.share,
            ends=np.where(ends >= 0, ends, self.network.n_node).astype(np.int32),
        )

    @cached_property
    def three_phase_buses(self) -> tuple[str, ...]:
        """Buses with all three phases, in the order of `Solution.voltage_unbalance`; none in balanced networks."""
        names = self.node_names
        known = set(names)
        if self.network.circuit.n_phase == 1:
            return ()
        buses = dict.fromkeys(name.rpartition(".")[0] for name in names)
        return tuple(bus for bus in buses if all(f"{bus}.{phase}" in known for phase in "123"))

    @cached_property
    def three_phase_nodes(self) -> np.ndarray:
        """[bus, 3] nodes of `three_phase_buses`."""
        row = {name: i for i, name in enumerate(self.node_names)}
        nodes = [[row[f"{bus}.{phase}"] for phase in "123"] for bus in self.three_phase_buses]
        return np.array(nodes, dtype=np.int32).reshape(-1, 3)

    @property
    def line_names(self) -> tuple[str, ...]:
        """Lines in the order of `line_loading` and of the scales of `solve`."""
        return self.network.circuit.lines.names
