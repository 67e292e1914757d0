"""Oracle: plain NumPy fixed point in double precision over the elements of a circuit."""

from typing import Any

import numpy as np
import scipy.sparse
import scipy.sparse.linalg

from gridenv.network.circuit import Circuit

TOLERANCE_PU = 1e-12
MAX_ITERATIONS = 3000


def solved(circuit: Circuit, p_kw: Any = None, q_kvar: Any = None) -> np.ndarray:
    """Voltages of the named nodes, pu; loads hold at every voltage.

    Args:
        circuit: network.
        p_kw, q_kvar: [injection] powers; the circuit's own where left out.
    """
    n = circuit.n_node
    y, fixed = _admittance(circuit), circuit.fixed_node
    free = np.setdiff1d(np.arange(n), fixed)
    factors = scipy.sparse.linalg.splu(y[free][:, free].tocsc())
    v = np.zeros(n + 1, dtype=complex)
    v[fixed] = circuit.fixed_v
    from_sources = y[free][:, fixed] @ circuit.fixed_v
    v[free] = factors.solve(-from_sources)
    legs = circuit.loads
    powers = (legs.default_p_kw if p_kw is None else p_kw, legs.default_q_kvar if q_kvar is None else q_kvar)
    p, q = (s[legs.injection] * legs.share * legs.in_service[legs.injection] for s in powers)
    for _ in range(MAX_ITERATIONS):
        across = v[legs.node_from] - v[legs.node_to]
        ratio = np.abs(across) / legs.v_rated
        current = np.conj((p * ratio**legs.exponent_p + 1j * q * ratio**legs.exponent_q) / circuit.s_base_kva / across)
        i = np.zeros(n + 1, dtype=complex)
        np.add.at(i, legs.node_from, current)
        np.add.at(i, legs.node_to, -current)
        new = factors.solve(i[free] - from_sources)
        change, v[free] = np.abs(new - v[free]).max(), new
        if change <= TOLERANCE_PU:
            break
    return v[: len(circuit.node_names)]


def _admittance(circuit: Circuit) -> scipy.sparse.csr_matrix:
    """Node admittance; nodes without any element get 1 on the diagonal, so that their voltage is 0."""
    groups = (circuit.lines, circuit.transformers, circuit.shunts, circuit.sources)
    rows, columns, values = [], [], []
    for group in groups:
        there = (group.nodes[:, :, None] >= 0) & (group.nodes[:, None, :] >= 0)
        rows.append(np.broadcast_to(group.nodes[:, :, None], there.shape)[there])
        columns.append(np.broadcast_to(group.nodes[:, None, :], there.shape)[there])
        values.append(group.y[there])
    place = (np.concatenate(rows), np.concatenate(columns))
    y = scipy.sparse.csr_matrix((np.concatenate(values), place), shape=(circuit.n_node, circuit.n_node))
    return (y + scipy.sparse.diags((abs(y).sum(axis=1) == 0.0).astype(float).A1)).tocsr()
