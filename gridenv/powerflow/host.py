"""Elimination of the network on the host: what slots see and users ask for, as functions of what acts in the slots."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.sparse import coo_array, csr_array, vstack

from gridenv.network.arrays import Complex, Network
from gridenv.network.circuit import Elements, Ints
from gridenv.network.slots import at_node, series_admittance

_COLUMNS_AT_ONCE = 32
"""Right-hand sides solved at once. Bounds the memory beside the result, and stays small enough for one BLAS thread."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Quantities:
    """Rows of linear combinations of node voltages and slots: `rows @ v + direct @ x`."""

    NAMES: ClassVar[tuple[str, ...]] = ("slots", "nodes", "lines", "transformers", "sources")

    slots: tuple[csr_array, csr_array]
    nodes: tuple[csr_array, csr_array]
    lines: tuple[csr_array, csr_array]
    """[line * terminal] currents into the lines, pu; of the from ends only where no line has charging."""
    transformers: tuple[csr_array, csr_array]
    sources: tuple[csr_array, csr_array]
    """[2 * fixed] currents of the fixed nodes into the network and the slots there, then the voltages of the terminals
    where their power is counted: behind the source impedance where there is one; pu."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Reduced:
    """For every quantity its value without anything in the slots, and its response [n, slot]."""

    slots: tuple[Complex, Complex]
    nodes: tuple[Complex, Complex]
    lines: tuple[Complex, Complex]
    transformers: tuple[Complex, Complex]
    sources: tuple[Complex, Complex]


def quantities(network: Network, chosen: Ints) -> Quantities:
    """The rows of everything that is asked of a solution, for the chosen slots."""
    circuit, slots = network.circuit, network.slots
    n, m = circuit.n_node, len(chosen)
    named = np.arange(network.n_node)
    nodes = csr_array((np.ones(len(named)), (named, circuit.alias[: network.n_node])), shape=(len(named), n))
    lines, trafos = (_terminal_currents(network, group) for group in (circuit.lines, circuit.transformers))
    line_direct, seen = _line_direct(network, chosen), _seen_line_terminals(network)
    source = csr_array(slots.source[:, chosen])
    fixed = circuit.fixed_node
    terminal = csr_array(
        (np.ones(len(fixed)), (np.arange(len(fixed)), source_terminals(network))), shape=(len(fixed), n)
    )
    return Quantities(
        slots=(csr_array(slots.measure[chosen]), csr_array(slots.direct[chosen][:, chosen])),
        nodes=(nodes, csr_array((len(named), m), dtype=complex)),
        lines=(csr_array(lines[seen]), csr_array(line_direct[seen])),
        transformers=(trafos, _tap_direct(network, chosen)),
        sources=(
            csr_array(vstack([network.y_full[fixed], terminal])),
            csr_array(vstack([-source[fixed], csr_array((len(fixed), m))])),
        ),
    )


def _seen_line_terminals(network: Network) -> Ints:
    lines = network.circuit.lines
    number = np.arange(len(lines.names) * lines.n_terminal).reshape(-1, lines.n_terminal)
    if not has_charging(network):
        number = number[:, : lines.n_terminal // 2]
    return number.ravel()


def has_charging(network: Network) -> bool:
    """Whether the current at the two ends of some line differs."""
    return bool(np.any(network.circuit.line_series.y_end))


def source_terminals(network: Network) -> Ints:
    """[fixed] node behind each source's impedance; the fixed node itself where there is none."""
    circuit = network.circuit
    half = circuit.sources.n_terminal // 2
    behind = dict(zip(circuit.sources.nodes[:, :half].ravel(), circuit.sources.nodes[:, half:].ravel(), strict=True))
    return np.array([circuit.alias[behind.get(node, node)] for node in circuit.fixed_node], dtype=np.int64)


def _terminal_currents(network: Network, group: Elements) -> csr_array:
    nodes = at_node(network.circuit.alias, group.nodes)
    n_element, n_terminal = nodes.shape
    row = np.arange(n_element * n_terminal).reshape(n_element, n_terminal)
    shape = group.y.shape
    r, c = np.broadcast_to(row[:, :, None], shape), np.broadcast_to(nodes[:, None, :], shape)
    keep = (c >= 0) & (group.y != 0)
    return coo_array((group.y[keep], (r[keep], c[keep])), shape=(row.size, network.circuit.n_node)).tocsr()


def _positions(network: Network, chosen: Ints) -> Ints:
    """Column of each slot among the chosen ones, -1 elsewhere."""
    position = np.full(len(network.slots), -1)
    position[chosen] = np.arange(len(chosen))
    return position


def _tap_direct(network: Network, chosen: Ints) -> csr_array:
    """A series voltage in a winding drives terminal currents; a shunt current flows into the terminals itself."""
    taps, trafos = network.circuit.taps, network.circuit.transformers
    column = _positions(network, chosen)[np.array(network.tap_slots, dtype=np.int64)]
    shape = (len(trafos.names) * trafos.n_terminal, len(chosen))
    row = taps.transformer[:, None] * trafos.n_terminal + np.arange(trafos.n_terminal)
    rows = np.concatenate([row, row]).ravel()
    columns = np.concatenate([np.broadcast_to(column[k::2, None], row.shape) for k in (0, 1)]).ravel()
    data = np.concatenate([taps.source, taps.terminals]).ravel()
    keep = (columns >= 0) & (data != 0)
    return coo_array((data[keep].astype(complex), (rows[keep], columns[keep])), shape=shape).tocsr()


def _line_direct(network: Network, chosen: Ints) -> csr_array:
    """A voltage in series drives a current through the line: what it feeds into the network is taken from the line."""
    lines = network.circuit.lines
    n_terminal, n_phase = lines.n_terminal, lines.n_terminal // 2
    numbers = np.array(network.line_slots, dtype=np.int64)
    column = _positions(network, chosen)[numbers]
    shape = (len(lines.names) * n_terminal, len(chosen))
    if not np.any(column >= 0):
        return csr_array(shape, dtype=complex)
    y = series_admittance(network.circuit)
    column = column.reshape(len(lines.names), n_phase, 2)
    base = np.arange(len(lines.names))[:, None, None] * n_terminal
    start = np.broadcast_to(base + np.arange(n_phase)[None, :, None], y.shape)
    entries: list[tuple[Any, Any, Any]] = []
    for half in (0, 1):
        wide = np.broadcast_to(column[:, None, :, half], y.shape)
        entries += [(start, wide, -y), (start + n_phase, wide, y)]
    rows, columns, data = (np.concatenate([np.ravel(e[k]) for e in entries]) for k in range(3))
    # An open line has no series current: a stored zero would tie its quantities to slots that see nothing.
    keep = data != 0
    return coo_array((data[keep], (rows[keep], columns[keep])), shape=shape).tocsr()


def reduce_network(network: Network, chosen: Ints) -> Reduced:
    """Every quantity as an affine function of the chosen slots, dense.

    Source: nodal analysis with all nodes but the slots eliminated (Z-bus), as for the implicit Z-bus Gauss method of
        T.-H. Chen et al., IEEE Trans. Power Delivery 6(3), 1991.
    """
    rows = quantities(network, chosen)
    solved = np.flatnonzero((network.row >= 0) & (network.circuit.alias == np.arange(network.circuit.n_node)))
    source = network.slots.source[:, chosen][solved]
    response = np.zeros((len(solved), len(chosen)), dtype=complex)
    for start in range(0, len(chosen), _COLUMNS_AT_ONCE):
        block = source[:, start : start + _COLUMNS_AT_ONCE].toarray()
        response[:, start : start + _COLUMNS_AT_ONCE] = network.solve_rows(block) if len(solved) else block
    result = {}
    for name in Quantities.NAMES:
        of_voltage, direct = getattr(rows, name)
        result[name] = (of_voltage @ network.w, of_voltage[:, solved] @ response + direct.toarray())
    return Reduced(**result)
