"""Oracle: plain nodal power flow in double precision from the admittance matrix and the circuit of a balanced network.

Shares nothing with the product beyond those: no slots, no elimination, own formulas for flows, losses and loadings.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array
from scipy.sparse.linalg import splu

from gridenv.network import Network
from gridenv.network.circuit import Elements

TOLERANCE_PU = 1e-13
MAX_ITERATIONS = 1000


@dataclass(frozen=True)
class Solved:
    """A solved power flow."""

    v_pu: NDArray[np.complex128]
    """[bus]"""
    line_current_pu: NDArray[np.complex128]
    """[line, end] into the line."""
    line_loading: NDArray[np.float64]
    trafo_loading: NDArray[np.float64]
    source_kva: NDArray[np.complex128]
    """[fixed node]"""
    line_loss_kw: NDArray[np.float64]
    trafo_loss_kw: NDArray[np.float64]
    shunt_kw: float

    @property
    def loss_kw(self) -> float:
        """Of lines and transformers."""
        return float(self.line_loss_kw.sum() + self.trafo_loss_kw.sum())


def solve(network: Network, p_kw: NDArray[np.float64], q_kvar: NDArray[np.float64]) -> Solved:
    """Iterate `Y v = conj(S / v)` to the end; fails the test when it does not converge."""
    circuit = network.circuit
    s_node = nodal_power(network, p_kw, q_kvar)
    free = free_nodes(network)
    fixed = circuit.fixed_node
    v = np.zeros(circuit.n_node, dtype=complex)
    v[fixed] = circuit.fixed_v
    v[free] = circuit.fixed_v[0]
    if len(free):
        factors = splu(csc_array(network.y_full[free][:, free]))
        from_fixed = network.y_full[free][:, fixed] @ circuit.fixed_v
        for _ in range(MAX_ITERATIONS):
            current = np.conj(s_node[free] / v[free]) - from_fixed
            new = factors.solve(current)
            # Without refinement the short switches of a network would cost digits of their neighbours.
            new += factors.solve(current - network.y_full[free][:, free] @ new)
            change = np.abs(new - v[free]).max()
            v[free] = new
            if change <= TOLERANCE_PU:
                break
        else:
            raise AssertionError(f"fixed point did not converge in {MAX_ITERATIONS} iterations")
    return _results(network, v, s_node)


def solve_default(network: Network) -> Solved:
    """Power flow with the network's own injections."""
    return solve(network, network.circuit.loads.default_p_kw, network.circuit.loads.default_q_kvar)


def free_nodes(network: Network) -> NDArray[np.int64]:
    """Electrical nodes whose voltage is unknown: energised, no source, and not joined to another by a switch."""
    circuit = network.circuit
    own = circuit.alias == np.arange(circuit.n_node)
    free = np.flatnonzero(own & network.energised)
    return np.setdiff1d(free, circuit.fixed_node)


def nodal_power(network: Network, p_kw: NDArray[np.float64], q_kvar: NDArray[np.float64]) -> NDArray[np.complex128]:
    """[node] power of the injections in service at energised buses, pu."""
    loads = network.circuit.loads
    node = network.circuit.alias[loads.node_from]
    served = loads.in_service & network.energised[loads.node_from]
    s_node = np.zeros(network.circuit.n_node, dtype=complex)
    np.add.at(s_node, node[served], (p_kw + 1j * q_kvar)[served] / network.s_base_kva)
    return s_node


def _results(network: Network, v: NDArray[np.complex128], s_node: NDArray[np.complex128]) -> Solved:
    circuit = network.circuit
    v_bus = v[circuit.alias]
    v_line, i_line, line_loss = _flows(circuit.lines, v_bus)
    _, i_trafo, trafo_loss = _flows(circuit.transformers, v_bus)
    np.testing.assert_allclose(line_loss, _line_loss(network, v_line, i_line), rtol=0, atol=1e-9)
    fixed = circuit.fixed_node
    source = v[fixed] * np.conj(network.y_full[fixed] @ v) - s_node[fixed]
    shunt = sum(
        abs(v_bus[nodes[0]]) ** 2 * y[0, 0].real
        for nodes, y in zip(circuit.shunts.nodes, circuit.shunts.y, strict=True)
    )
    base_kva = network.s_base_kva
    return Solved(
        v_pu=v_bus,
        line_current_pu=i_line,
        line_loading=np.abs(i_line).max(axis=1) * circuit.line_i_base_a / circuit.line_i_max_a,
        trafo_loading=(np.abs(i_trafo) / circuit.transformer_rating).max(axis=1),
        source_kva=source * base_kva,
        line_loss_kw=line_loss * base_kva,
        trafo_loss_kw=trafo_loss * base_kva,
        shunt_kw=float(shunt) * base_kva,
    )


def _flows(
    group: Elements, v_bus: NDArray[np.complex128]
) -> tuple[NDArray[np.complex128], NDArray[np.complex128], NDArray[np.float64]]:
    """Voltages at the ends, currents into them, and the power that enters and does not leave."""
    v = v_bus[group.nodes]
    current = np.einsum("eab,eb->ea", group.y, v)
    return v, current, (v * current.conj()).real.sum(axis=1)


def _line_loss(network: Network, v: NDArray[np.complex128], i: NDArray[np.complex128]) -> NDArray[np.float64]:
    """Current in series through the resistance, and the shunts at both ends; of lines with an open end their shunt."""
    circuit = network.circuit
    y_end, r = circuit.line_series.y_end[:, 0, 0], circuit.line_series.r[:, 0, 0]
    closed = r * np.abs(i[:, 0] - y_end * v[:, 0]) ** 2 + y_end.real * (np.abs(v) ** 2).sum(axis=1)
    alone = np.einsum("eaa->ea", circuit.lines.y).real * np.abs(v) ** 2
    return np.where(circuit.line_closed, closed, alone.sum(axis=1))
