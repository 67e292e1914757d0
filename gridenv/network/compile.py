"""Networks to arrays: circuit, supply, nodal admittance, and the slots that act on it."""

from collections.abc import Collection

import numpy as np
from scipy.sparse import coo_array, csc_array, csr_array
from scipy.sparse.csgraph import connected_components

from gridenv.core.errors import NetworkError
from gridenv.network.arrays import Network
from gridenv.network.balanced import S_BASE_KVA, balanced_circuit
from gridenv.network.circuit import Circuit, Complex, Elements, Ints
from gridenv.network.phase_circuit import phase_circuit
from gridenv.network.phase_tables import PhaseNetworkSpec
from gridenv.network.slots import at_node, make_slots
from gridenv.network.spec import Bools, NetworkSpec
from gridenv.network.validate import validate

__all__ = ["S_BASE_KVA", "AnyNetworkSpec", "Network", "compile_network", "network_circuit"]

AnyNetworkSpec = NetworkSpec | PhaseNetworkSpec


def compile_network(spec: AnyNetworkSpec, *, allow_islands: bool = False, apart: Collection[str] = ()) -> Network:
    """Check a network and turn it into arrays.

    Args:
        spec: the tables, balanced or three-phase.
        allow_islands: whether in-service injections may lie in parts without a source; they are then unserved
            and their nodes de-energised.
        apart: injections that get load slots of their own.

    Returns:
        Host arrays in float64 and complex128.

    Raises:
        NetworkError: for everything that validation finds, and for a network whose equations are singular.

    Source: nodal analysis.
    """
    return assemble(network_circuit(spec, allow_islands=allow_islands), apart)


def network_circuit(spec: AnyNetworkSpec, *, allow_islands: bool = False) -> Circuit:
    """The circuit of a network, checked.

    Raises:
        NetworkError: for everything that validation finds.
    """
    if isinstance(spec, NetworkSpec):
        validate(spec, allow_islands=allow_islands)
        return balanced_circuit(spec)
    return phase_circuit(spec)


def assemble(circuit: Circuit, apart: Collection[str] = ()) -> Network:
    """Nodal equations of a circuit.

    Raises:
        NetworkError: if they are singular.
    """
    alias = circuit.alias
    groups = (circuit.lines, circuit.transformers, circuit.shunts, circuit.sources)
    y_full = _admittance(circuit, groups, alias)
    if not np.isfinite(y_full.data).all():
        raise _singular(circuit, "infinite admittance of a line open at one end")
    energised = _energised(circuit, y_full)
    fixed = np.zeros(circuit.n_node, dtype=bool)
    fixed[circuit.fixed_node] = True
    solved = np.flatnonzero(energised & ~fixed & (alias == np.arange(circuit.n_node)))
    row = np.full(circuit.n_node, -1)
    row[solved] = np.arange(len(solved))
    loads, served, slots, taps, capacitors, lines = make_slots(
        circuit, alias, energised, np.isin(circuit.loads.names, list(apart))
    )
    network = Network(
        circuit=circuit,
        energised=energised[alias][: len(circuit.node_names)],
        row=row[alias],
        y_full=y_full,
        y_node=csc_array(y_full[solved][:, solved]),
        w=np.zeros(circuit.n_node, dtype=complex),
        served=served,
        loads=loads,
        slots=slots,
        tap_slots=taps,
        capacitor_slots=capacitors,
        line_slots=lines,
    )
    network.w[:] = _no_load(network, solved)
    network.w.setflags(write=False)
    return network


def _admittance(circuit: Circuit, groups: tuple[Elements, ...], alias: Ints) -> csr_array:
    """Sum of the primitive admittances.

    Source: nodal analysis, `sum of A^T Y A`.
    """
    rows, columns, data = [], [], []
    for group in groups:
        nodes = at_node(alias, group.nodes)
        shape = group.y.shape
        a, b = np.broadcast_to(nodes[:, :, None], shape), np.broadcast_to(nodes[:, None, :], shape)
        keep = (a >= 0) & (b >= 0) & (group.y != 0)
        rows.append(a[keep])
        columns.append(b[keep])
        data.append(group.y[keep])
    entries = (np.concatenate(rows), np.concatenate(columns))
    n = circuit.n_node
    return coo_array((np.concatenate(data), entries), shape=(n, n)).tocsr()


def _energised(circuit: Circuit, y_full: csr_array) -> Bools:
    """[node] electrical nodes with a path to a source through non-zero admittances."""
    _, part = connected_components(y_full != 0, directed=False)
    return np.isin(part, part[circuit.fixed_node])[circuit.alias]


def _no_load(network: Network, solved: Ints) -> Complex:
    """[node] voltages with nothing acting in the slots."""
    circuit = network.circuit
    w = np.zeros(circuit.n_node, dtype=complex)
    w[circuit.fixed_node] = circuit.fixed_v
    try:
        if len(solved):
            w[solved] = network.solve_rows(-(network.y_full[solved] @ w))
    except RuntimeError as error:
        raise _singular(circuit, str(error)) from error
    return w[circuit.alias]


def _singular(circuit: Circuit, reason: str) -> NetworkError:
    return NetworkError(
        f"network '{circuit.name}': the nodal admittance matrix is singular ({reason}); allowed: a network whose "
        "series and shunt elements do not cancel, and no part that floats without any path to ground; check for a "
        "resonance of line reactance and capacitors"
    )
