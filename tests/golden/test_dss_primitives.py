"""Circuits of three-phase networks against OpenDSS: primitive and system admittances, taps, currents of loads."""

from functools import cache

import numpy as np
import pytest
from scipy.sparse import coo_array, csr_array
from scipy.sparse.linalg import splu

from gridenv.network.circuit import Circuit, Elements
from gridenv.network.phase_circuit import phase_circuit
from tests.golden.dss_networks import DSS_CASES, element, golden, phase_spec_from_npz

PRIMITIVE_RTOL = 1e-12
"""Of the largest entry. Both sides are float64; OpenDSS's stray admittances, 1e-8 of that entry, still count."""

VOLTAGE_ATOL = 5e-8
"""pu. OpenDSS iterates to 1e-10; in the ungrounded feeder the stray admittances magnify what is left to 1e-8."""

VOLTS_PER_KV = 1000.0
CLASSES = ("line", "transformer", "capacitor", "reactor", "vsource")


@cache
def circuit_of(name: str) -> Circuit:
    return phase_circuit(phase_spec_from_npz(name))


@cache
def golden_node(name: str) -> np.ndarray:
    """[node] row of each node of the circuit in the file; -1 for hidden nodes, and for ground as the last entry."""
    circuit = circuit_of(name)
    row = {str(n): i for i, n in enumerate(golden(name)["node_names"])}
    hidden = circuit.n_node - len(circuit.node_names)
    return np.array([row[n] for n in circuit.node_names] + [-1] * (hidden + 1))


def volt_base(name: str) -> np.ndarray:
    """[node] of the file, with 1 for ground."""
    circuit, to_golden = circuit_of(name), golden_node(name)
    base = np.ones(len(circuit.node_names) + 1)
    base[to_golden[: len(circuit.node_names)]] = circuit.v_base_kv * VOLTS_PER_KV
    return base


def siemens(name: str, nodes: np.ndarray, y_pu: np.ndarray) -> np.ndarray:
    """Primitive admittance between nodes of the file, from pu."""
    v = volt_base(name)[nodes]
    return y_pu * circuit_of(name).s_base_kva * VOLTS_PER_KV / np.outer(v, v)


def joined(nodes: np.ndarray, y: np.ndarray, distinct: np.ndarray) -> np.ndarray:
    """The admittance over distinct nodes, terminals at the same one added up and those at ground left out."""
    incidence = (nodes[:, None] == distinct[None, :]).astype(float)
    return incidence.T @ y @ incidence


def error(name: str, nodes: np.ndarray, y_pu: np.ndarray, row: int) -> float:
    """Largest difference to an element of the file, relative to its largest entry."""
    wanted_nodes, wanted = element(name, row)
    distinct = np.unique(wanted_nodes[wanted_nodes >= 0])
    assert set(nodes[nodes >= 0]) <= set(distinct), golden(name)["elem_names"][row]
    found = joined(nodes, siemens(name, nodes, y_pu), distinct)
    return float(np.abs(found - joined(wanted_nodes, wanted, distinct)).max() / np.abs(wanted).max())


def elements_of(circuit: Circuit, kind: str) -> tuple[Elements, str]:
    """Group of a class of the file, and the prefix that its names lack."""
    return {
        "line": (circuit.lines, ""),
        "reactor": (circuit.lines, ""),
        "transformer": (circuit.transformers, "transformer."),
        "capacitor": (circuit.shunts, "capacitor."),
        "vsource": (circuit.sources, "vsource."),
    }[kind]


def errors(name: str, kind: str) -> list[float]:
    group, prefix = elements_of(circuit_of(name), kind)
    members: dict[str, list[int]] = {}
    for i, element_name in enumerate(group.names):
        members.setdefault(prefix + element_name, []).append(i)
    found = []
    for row in np.flatnonzero(golden(name)["elem_class"] == kind):
        legs = members[str(golden(name)["elem_names"][row])]
        nodes = golden_node(name)[group.nodes[legs]].ravel()
        n, k = group.n_terminal, len(legs)
        y = np.zeros((k * n, k * n), dtype=complex)
        for i, leg in enumerate(legs):
            y[i * n : (i + 1) * n, i * n : (i + 1) * n] = group.y[leg]
        found.append(error(name, nodes, y, row))
    return found


@pytest.mark.parametrize("name", DSS_CASES)
@pytest.mark.parametrize("kind", CLASSES)
def test_primitive_admittances_equal_those_of_opendss(name, kind):
    worst = errors(name, kind)
    group, _ = elements_of(circuit_of(name), kind)
    if kind in ("line", "reactor"):
        n = sum(np.count_nonzero(golden(name)["elem_class"] == k) for k in ("line", "reactor"))
        assert len(group.names) == n
    assert max(worst, default=0.0) < PRIMITIVE_RTOL


def nodal_admittance(circuit: Circuit) -> csr_array:
    """[node, node] pu, hidden nodes included."""
    n = circuit.n_node
    parts = []
    for group in (circuit.lines, circuit.transformers, circuit.shunts, circuit.sources):
        rows = np.broadcast_to(group.nodes[:, :, None], group.y.shape)
        columns = np.broadcast_to(group.nodes[:, None, :], group.y.shape)
        real = (rows >= 0) & (columns >= 0)
        parts.append(coo_array((group.y[real], (rows[real], columns[real])), shape=(n, n)).tocsr())
    return sum(parts[1:], parts[0])


@cache
def assembled(name: str) -> tuple[csr_array, csr_array]:
    """System admittance in siemens, ours and that of the file, both in the file's order of nodes."""
    g, circuit = golden(name), circuit_of(name)
    n = len(circuit.node_names)
    ours = nodal_admittance(circuit)[:n, :n].tocoo()
    v = volt_base(name)
    rows, columns = golden_node(name)[ours.row], golden_node(name)[ours.col]
    data = ours.data * circuit.s_base_kva * VOLTS_PER_KV / (v[rows] * v[columns])
    theirs = coo_array((g["Y_data_S"], (g["Y_row"], g["Y_col"])), shape=(n, n)).tocsr()
    return coo_array((data, (rows, columns)), shape=(n, n)).tocsr(), theirs


@pytest.mark.parametrize("name", DSS_CASES)
def test_system_admittance_equals_that_of_opendss_entry_by_entry(name):
    ours, theirs = assembled(name)
    difference = (ours - theirs).tocoo()
    diagonal = np.abs(theirs.diagonal())
    scale = np.sqrt(diagonal[difference.row] * diagonal[difference.col])
    assert np.max(np.abs(difference.data) / scale) < PRIMITIVE_RTOL


@pytest.mark.parametrize("name", [n for n in DSS_CASES if n.startswith("ieee")])
def test_tap_windings_give_the_admittances_of_every_position(name):
    circuit, g = circuit_of(name), golden(name)
    taps = circuit.taps
    for changer, row in enumerate(g["reg_elem"]):
        windings = np.flatnonzero(taps.changer == changer)
        trafo = taps.transformer[windings[0]]
        nodes = golden_node(name)[circuit.transformers.nodes[trafo]]
        wanted_nodes, _ = element(name, row)
        k = len(wanted_nodes)
        distinct = np.unique(wanted_nodes[wanted_nodes >= 0])
        for position in range(-16, 17):
            turns = 1.0 + position * 0.2 / 32
            at = np.flatnonzero(np.isclose(g["reg_tap_pos"][changer], turns, atol=1e-9))[0]
            wanted = joined(wanted_nodes, g["reg_Y_by_tap"][changer, at][: k * k].reshape(k, k), distinct)
            positions = circuit.default_taps.copy()
            positions[changer] = position
            d = circuit.tap_law.inner_voltage_ratio(positions, np)[changer] - 1.0
            t, s = taps.terminals[windings], taps.source[windings]
            m, inner = taps.measure[windings], taps.direct[np.ix_(windings, windings)]
            y = circuit.transformers.y[trafo] + d * s.T @ t + np.conj(d) * t.T @ (m + d * inner @ t)
            found = joined(nodes, siemens(name, nodes, y), distinct)
            assert np.abs(found - wanted).max() < PRIMITIVE_RTOL * np.abs(wanted).max(), (changer, position)


def leg_admittances(circuit: Circuit, v_leg: np.ndarray) -> np.ndarray:
    """[leg] admittance that draws the current of each leg at its voltage; generating legs are negative.

    Source: OpenDSS's rule out of the voltage range as the notes on the data state it. Out of the range, a load holds
    its current if both exponents are one and its power else; so one with other exponents jumps at the limit.
    """
    loads = circuit.loads
    ratio = np.abs(v_leg) / loads.v_rated
    p = loads.default_p_kw[loads.injection] * loads.share / circuit.s_base_kva / loads.v_rated**2
    q = loads.default_q_kvar[loads.injection] * loads.share / circuit.s_base_kva / loads.v_rated**2
    y_rated = -(p - 1j * q)
    y = -(p * ratio ** (loads.exponent_p - 2.0) - 1j * q * ratio ** (loads.exponent_q - 2.0))
    held = np.where((loads.exponent_p == 1.0) & (loads.exponent_q == 1.0), -1.0, -2.0)
    high, low = ratio > loads.v_max, ratio < loads.v_min
    y[high] = (y_rated * loads.v_max**held)[high]
    v_min, v_low = loads.v_min[low], loads.v_low[low]
    at_min, at_low = v_min ** (held[low] + 1.0), v_low
    y[low] = y_rated[low] * (at_low + (at_min - at_low) * (ratio[low] - v_low) / (v_min - v_low)) / ratio[low]
    y[ratio < loads.v_low] = y_rated[ratio < loads.v_low]
    return y


def voltage_error(circuit: Circuit, g: dict, kind: str, to_golden: np.ndarray) -> float:
    """Largest voltage step, pu, that would remove the current mismatch at the file's voltages, loads held."""
    n = len(circuit.node_names)
    v = np.zeros(circuit.n_node + 1, dtype=complex)
    v[:n] = g[f"{kind}_V"][to_golden[:n]] / (circuit.v_base_kv * VOLTS_PER_KV)
    v[circuit.fixed_node] = circuit.fixed_v
    loads = circuit.loads
    v_leg = v[loads.node_from] - v[loads.node_to]
    i = leg_admittances(circuit, v_leg) * v_leg
    y = nodal_admittance(circuit)
    drawn = np.append(y @ v[:-1], 0.0)
    np.add.at(drawn, loads.node_from, i)
    np.add.at(drawn, loads.node_to, -i)
    return float(np.abs(splu(y[:n, :n].tocsc()).solve(drawn[:n])).max())


@pytest.mark.parametrize("name", DSS_CASES)
def test_currents_balance_at_the_voltages_of_opendss_with_ideal_loads(name):
    assert voltage_error(circuit_of(name), golden(name), "ideal", golden_node(name)) < VOLTAGE_ATOL


@pytest.mark.parametrize("name", DSS_CASES)
def test_currents_balance_at_the_voltages_of_opendss_with_loads_out_of_range(name):
    circuit = phase_circuit(phase_spec_from_npz(name, ideal=False))
    assert voltage_error(circuit, golden(name), "fixed", golden_node(name)) < VOLTAGE_ATOL
