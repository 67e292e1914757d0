"""The compiled network: sparse nodal equations, and the slots through which everything that may change acts on them."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array, csr_array
from scipy.sparse.linalg import splu

from gridenv.network.circuit import Circuit, Complex, Ints
from gridenv.network.spec import Bools, Floats, Names

__all__ = ["Complex", "LoadSlots", "Network", "Slots"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Slots:
    """Places where something acts on the network that is not constant: `x` is what acts there, `y` what is seen there.

    Both are per unit. All nodal voltages and all slots obey
    `Y v = i_fixed + source x` and `y = measure v + direct x`, so `y = y0 + R x` with the network eliminated.
    A slot of kind `load` sees the voltage between two nodes and feeds in a current; one of kind `tap` or `line` is one
    half of a series voltage with its current, see `slots`.
    """

    source: csc_array
    """[node, slot] current into the network from a unit of `x`, fixed nodes included."""
    measure: csr_array
    """[slot, node] what the slot sees of the voltages."""
    direct: csr_array
    """[slot, slot]"""

    def __len__(self) -> int:
        return int(self.measure.shape[0])


@dataclass(frozen=True, kw_only=True, eq=False)
class LoadSlots:
    """How the power of the injections spreads over the load slots, and how it depends on the voltage there."""

    member: Ints
    """[slot, k] injections that act there; filled up with the number of injections."""
    node_from: Ints
    """[slot] node of the circuit that the slot is at, before closed switches join nodes; -1 = ground."""
    node_to: Ints
    alive: Bools
    """[slot] whether both nodes are supplied as the network is built; a switch that is data may change that."""
    weight_p: Floats
    """[order, slot, k] share of each one's active power, pu; order 0 constant power, 1 current, 2 impedance."""
    weight_q: Floats
    split_p: Floats
    """[order, slot, k] weights of what is built as constant power, by what a share of it may be turned into."""
    split_q: Floats
    exponent_p: Floats
    """[slot] further exponent of the voltage, for those that are none of the three."""
    exponent_q: Floats
    v_rated: Floats
    """[slot] voltage at which the limits below count as 1, pu."""
    v_min: Floats
    v_max: Floats
    v_low: Floats
    """[slot] out-of-range rule of `PhaseInjectionTable`."""

    @property
    def has_exponents(self) -> bool:
        """Whether any load is none of constant power, current and impedance."""
        return bool(np.any(self.exponent_p) or np.any(self.exponent_q))

    @property
    def has_limits(self) -> bool:
        """Whether any load changes its law out of a range of voltages."""
        return bool(np.any(self.v_min > 0.0) or np.any(np.isfinite(self.v_max)))

    @property
    def highest_order(self) -> int:
        """0 where all loads are constant power, 1 with constant current, 2 with constant impedance."""
        used = [bool(np.any(self.weight_p[k]) or np.any(self.weight_q[k])) for k in range(3)]
        return max((k for k in range(3) if used[k]), default=0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Network:
    """A network in per unit of one power base and of each node's base voltage; float64 and complex128."""

    circuit: Circuit
    energised: Bools
    """[named node] whether there is a path to a source."""
    row: Ints
    """[node] row in `y_node` of the electrical node; -1 for fixed and de-energised nodes."""
    y_full: csr_array
    """[node, node] admittance with lines, transformers, shunts and source impedances; aliased nodes have empty rows."""
    y_node: csc_array
    """[row, row] its part that has to be solved."""
    w: Complex
    """[node] voltage without anything acting in the slots, pu; 0 where de-energised."""
    served: Bools
    """[injection] in service and at energised nodes."""
    loads: LoadSlots
    slots: Slots
    """Load slots first, in the order of `loads`; then taps, capacitors and lines, see the ranges below."""
    tap_slots: range
    """Two a tap winding: series voltage, then shunt current."""
    capacitor_slots: range
    """One a leg."""
    line_slots: range
    """Two a phase of every line: resistive, then reactive voltage drop."""

    @property
    def name(self) -> str:
        """Name of the network."""
        return self.circuit.name

    @property
    def s_base_kva(self) -> float:
        """Base power of a node."""
        return self.circuit.s_base_kva

    @property
    def node_names(self) -> Names:
        """Named nodes; nodes joined by closed switches appear each."""
        return self.circuit.node_names

    @property
    def injection_names(self) -> Names:
        """Injecting elements, out-of-service ones included."""
        return self.circuit.loads.names

    @property
    def n_node(self) -> int:
        """Number of named nodes."""
        return len(self.circuit.node_names)

    @property
    def load_slots(self) -> range:
        """Range of the load slots."""
        return range(len(self.loads.member))

    @cached_property
    def _factors(self) -> Any:
        return splu(self.y_node, permc_spec="MMD_AT_PLUS_A")

    def solve_rows(self, currents: NDArray[np.complex128]) -> NDArray[np.complex128]:
        """Voltages [row, ...] from currents [row, ...] into the nodes that have to be solved.

        One step of refinement lets Kirchhoff's law hold to rounding at every node: pivoting mixes the rows of short
        switches, whose admittances are 1e8 pu, into those of their neighbours.
        """
        currents = np.ascontiguousarray(currents, dtype=complex)
        v = self._factors.solve(currents)
        return np.asarray(v + self._factors.solve(currents - self.y_node @ v))

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the factors, which are made anew where they are needed."""
        return {name: value for name, value in vars(self).items() if name != "_factors"}
