"""A network as electrical n-ports between nodes: what balanced and three-phase descriptions are turned into.

Per unit of each node's base. A node is a bus in a balanced network and a conductor of a bus in a three-phase one. Every
element is a primitive admittance `i = Y v` over its terminals, currents into the element. Node -1 is ground.
"""

from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from gridenv.network.spec import Bools, Floats, Names
from gridenv.network.transformer import TransformerModel, turns_ratio

Ints = NDArray[np.int64]
Complex = NDArray[np.complex128]
GROUND = -1


@dataclass(frozen=True, kw_only=True, eq=False)
class Elements:
    """n-ports of one kind, all padded with grounded terminals to the same number of terminals."""

    names: Names
    nodes: Ints
    """[element, terminal] node of each terminal; -1 = ground or absent."""
    y: Complex
    """[element, terminal, terminal] primitive admittance, pu, as the element is switched and at its present tap."""

    @property
    def n_terminal(self) -> int:
        """Terminals of every element."""
        return int(self.nodes.shape[1])


def no_elements(n_terminal: int) -> Elements:
    """An empty group."""
    return Elements(
        names=(),
        nodes=np.zeros((0, n_terminal), dtype=np.int64),
        y=np.zeros((0, n_terminal, n_terminal), dtype=complex),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Loads:
    """Legs of the injecting elements: each draws or feeds power between two nodes."""

    names: Names
    """[injection] names of the elements; a leg refers to one by number."""
    default_p_kw: Floats
    """[injection] power into the network, loads negative."""
    default_q_kvar: Floats
    in_service: Bools
    """[injection]"""
    injection: Ints
    """[leg] element that the leg belongs to."""
    share: Floats
    """[leg] its share of the element's power."""
    node_from: Ints
    """[leg] node that the current of a generating leg flows into."""
    node_to: Ints
    """[leg] node it comes from; -1 = ground."""
    v_rated: Floats
    """[leg] rated voltage of the leg in pu of the base of `node_from`."""
    exponent_p: Floats
    """[leg] P(V) = P (V / v_rated)^exponent_p."""
    exponent_q: Floats
    v_min: Floats
    """[leg] shares of `v_rated`: the out-of-range rule of `PhaseInjectionTable`; 0, infinite and 0 = none."""
    v_max: Floats
    v_low: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class TapWindings:
    """Windings whose turns can change while the network runs; a ganged changer has one row for each of its phases.

    With `v_w = terminals . v` the winding's voltage and `i_w = measure . v` the current into it, both at the tap that
    the circuit was built with, another tap multiplies the voltage that the inner winding sees by `1 + d` and the
    current at the terminals by `conj(1 + d)`, with `1 + d` = present turns over new turns. Terminals are those of the
    transformer.
    """

    transformer: Ints
    """[winding] row in the circuit's transformers."""
    changer: Ints
    """[winding] which tap changer (row of `tap_names`) moves it."""
    terminals: Complex
    """[winding, terminal] incidence: +1 and -1 at the winding's ends (pu conversions included)."""
    source: Complex
    """[winding, terminal] current into the element's terminals from a unit voltage in series with the inner winding."""
    measure: Complex
    """[winding, terminal] current into the inner winding from the terminal voltages."""
    direct: Complex
    """[winding, winding] current into the inner winding from a unit series voltage in another one of the same unit."""


@runtime_checkable
class TapLaw(Protocol):
    """How positions of the tap changers turn into turns; NumPy and JAX alike."""

    def inner_voltage_ratio(self, positions: Any, xp: Any) -> Any:
        """The factor `1 + d` of each changer, complex [*batch, changer], 1 at the circuit's default positions."""
        ...


@dataclass(frozen=True, kw_only=True)
class StepLaw:
    """Tap changers of equal steps: turns = `neutral` + position * `step`, in units of the rated turns."""

    neutral: Any
    """[changer] Floats; device arrays where JAX holds them, as for the other columns."""
    step: Any
    default_position: Any

    def inner_voltage_ratio(self, positions: Any, xp: Any) -> Any:
        """See `TapLaw`."""
        del xp
        return (self.neutral + self.default_position * self.step) / (self.neutral + positions * self.step) + 0j


@dataclass(frozen=True, kw_only=True)
class ChangerLaw:
    """Tap changers of two-winding transformers, ratio changers and phase shifters; see `turns_ratio`."""

    model: TransformerModel
    default_position: Any
    """[changer] Floats; device arrays where JAX holds them."""

    def inner_voltage_ratio(self, positions: Any, xp: Any) -> Any:
        """See `TapLaw`."""
        now = _complex_turns(self.model, positions, xp)
        default = _complex_turns(self.model, self.default_position, xp)
        return xp.where(self.model.tap_on_hv, default / now, now / default)


def _complex_turns(model: TransformerModel, positions: Any, xp: Any) -> Any:
    """Voltage of the high-voltage winding over that of the low-voltage one."""
    vn_hv, vn_lv, shift_rad = turns_ratio(model, positions, xp)
    return vn_hv / vn_lv * (xp.cos(shift_rad) + 1j * xp.sin(shift_rad))


@dataclass(frozen=True, kw_only=True, eq=False)
class LineSeries:
    """Series impedances of the lines, so that they can be scaled while the network runs; pu."""

    r: Floats
    """[line, phase, phase] resistance."""
    x: Floats
    """[line, phase, phase] reactance. Terminals of a line are the phases at its from end, then those at its to end."""
    y_end: Complex
    """[line, phase, phase] shunt admittance at either end."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Circuit:
    """Everything electrical about a network; host arrays."""

    name: str
    node_names: Names
    """Named nodes; the circuit may have more, hidden ones, numbered after them."""
    n_node: int
    """Number of nodes, hidden ones included."""
    v_base_kv: Floats
    """[named node] base voltage, kV: line to line in balanced networks, conductor to ground in three-phase ones."""
    s_base_kva: float
    """Base power of a node: of all phases in balanced networks, of one phase in three-phase ones."""
    n_phase: int
    """1 for balanced networks, 3 for three-phase ones."""
    alias: Ints
    """[node] node that each node is joined with by closed zero-impedance switches (itself where not joined)."""
    fixed_node: Ints
    """Nodes of ideal sources."""
    fixed_v: Complex
    """[fixed] their voltages, pu."""
    loads: Loads
    lines: Elements
    transformers: Elements
    shunts: Elements
    sources: Elements
    """Impedances between the fixed nodes and the network, where sources are not stiff."""
    line_series: LineSeries
    line_i_base_a: Floats
    """[line]"""
    line_i_max_a: Floats
    """[line] rated current of a conductor, A."""
    line_closed: Bools
    """[line] whether it is in service and closed at both ends."""
    transformer_rating: Floats
    """[transformer, terminal] rated current of each terminal, pu of its node; infinite where there is none."""
    tap_names: Names
    default_taps: Floats
    taps: TapWindings
    tap_law: "TapLaw"
    switch_names: Names
    """Switches in the order of the switch states that users give."""
    default_switches: Bools
    switchable: "Switchable"
    capacitor_names: Names = ()
    capacitor_legs: "CapacitorLegs" = field(default_factory=lambda: CapacitorLegs())


@dataclass(frozen=True, kw_only=True, eq=False)
class Switchable:
    """What each switch state connects: line rows, and pairs of nodes joined without impedance."""

    line: Ints
    """[switch] row in the lines, -1 = a bus-bus switch."""
    node_a: Ints
    """[switch] nodes joined by a bus-bus switch, -1 for lines."""
    node_b: Ints
    can_close: Bools
    """[switch] whether everything that it joins is in service."""


@dataclass(frozen=True, kw_only=True, eq=False)
class CapacitorLegs:
    """Legs of capacitor banks; they are part of `Circuit.shunts` where closed by default."""

    bank: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    """[leg] row of `capacitor_names`."""
    node_from: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    node_to: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    y: Complex = field(default_factory=lambda: np.zeros(0, dtype=complex))
    """[leg] admittance, pu."""
    default_closed: Bools = field(default_factory=lambda: np.zeros(0, dtype=bool))
    """[bank]"""
