from dataclasses import replace

import numpy as np
import pytest

from gridenv.network.phase_circuit import phase_circuit
from gridenv.network.phase_tables import PhaseInjectionTable, PhaseTransformerTable, WindingTable
from tests.unit.network.small_networks import flags, floats
from tests.unit.network.small_phase_networks import (
    S_BASE_KVA,
    SQRT3,
    VN_KV,
    Z_BASE_OHM,
    changed,
    every_kind,
    two_winding,
    with_value,
)

POSITIVE = np.exp(-2j * np.pi * np.arange(3) / 3)
"""Phasors of a positive-sequence system."""


def node(circuit, name):
    return circuit.node_names.index(name)


def test_nodes_are_the_conductors_in_use_by_bus_and_digit_with_sources_hidden_behind_them():
    circuit = phase_circuit(every_kind())
    assert circuit.node_names == (
        *("s.1", "s.2", "s.3", "m.1", "m.2", "m.3", "l.1", "l.2", "l.3", "r.2", "c.1", "c.2"),
    )
    np.testing.assert_allclose(circuit.v_base_kv[[0, 6, 9, 10]], [1.0, 0.4 / SQRT3, 1.0, 0.12])
    assert circuit.n_node == 15
    assert circuit.n_phase == 3
    np.testing.assert_allclose(circuit.s_base_kva, S_BASE_KVA)
    np.testing.assert_array_equal(circuit.alias, np.arange(15))
    np.testing.assert_array_equal(circuit.fixed_node, [12, 13, 14])
    np.testing.assert_allclose(circuit.fixed_v, 1.05 * POSITIVE)


def test_source_impedance_lies_between_the_hidden_nodes_and_the_bus():
    circuit = phase_circuit(every_kind())
    y = Z_BASE_OHM / (0.03 + 0.3j) * np.eye(3)
    np.testing.assert_array_equal(circuit.sources.nodes, [[12, 13, 14, 0, 1, 2]])
    np.testing.assert_allclose(circuit.sources.y[0], np.block([[y, -y], [-y, y]]))


def test_source_without_impedance_fixes_the_bus_itself():
    circuit = phase_circuit(with_value("sources", "z_ohm", 0, np.zeros((3, 3), dtype=complex)))
    assert circuit.n_node == len(circuit.node_names)
    assert circuit.sources.names == ()
    np.testing.assert_array_equal(circuit.fixed_node, [0, 1, 2])


def test_source_of_one_conductor_has_one_hidden_node_and_its_own_angle():
    z = np.zeros((3, 3), dtype=complex)
    z[0, 0] = 3.0j
    spec = changed(
        changed(with_value("sources", "phases", 0, "2"), "sources", "z_ohm", 0, z), "sources", "angle_rad", 0, 1
    )
    circuit = phase_circuit(spec)
    assert circuit.n_node == len(circuit.node_names) + 1
    np.testing.assert_array_equal(circuit.sources.nodes, [[12, -1, -1, node(circuit, "s.2"), -1, -1]])
    np.testing.assert_allclose(circuit.fixed_v, [1.05 * np.exp(1j)])
    np.testing.assert_allclose(circuit.sources.y[0, [0, 0, 3], [0, 3, 3]], [-1j, 1j, -1j])
    assert np.count_nonzero(circuit.sources.y) == 4


def test_source_out_of_service_holds_nothing():
    spec = every_kind()
    off = replace(spec.sources, id=("off",), v_pu=floats(2.0), in_service=flags(False))
    circuit = phase_circuit(spec.replace(sources=off.joined(spec.sources)))
    assert circuit.sources.names == ("grid",)
    np.testing.assert_allclose(circuit.fixed_v, 1.05 * POSITIVE)


def test_line_is_a_pi_section_between_the_conductors_named_at_its_ends():
    circuit = phase_circuit(every_kind())
    z = (np.full((3, 3), 0.1j) + np.eye(3) * (0.3 + 0.5j)) / Z_BASE_OHM
    y, end = np.linalg.inv(z), 0.01j * Z_BASE_OHM * np.eye(3)
    assert [circuit.node_names[n] for n in circuit.lines.nodes[0]] == ["s.1", "s.2", "s.3", "m.2", "m.3", "m.1"]
    np.testing.assert_allclose(circuit.lines.y[0], np.block([[y + end, -y], [-y, y + end]]))
    np.testing.assert_allclose(circuit.line_series.r[0] + 1j * circuit.line_series.x[0], z)
    np.testing.assert_allclose(circuit.line_series.y_end[0], end)
    np.testing.assert_allclose(circuit.line_i_base_a, [S_BASE_KVA / 1.0])
    np.testing.assert_array_equal(circuit.line_i_max_a, [400.0])
    assert circuit.switch_names == ("line.sm",)
    np.testing.assert_array_equal(circuit.default_switches, [True])
    np.testing.assert_array_equal(circuit.switchable.line, [0])


@pytest.mark.parametrize("spec", [with_value("lines", "closed", 0, False), with_value("buses", "in_service", 0, False)])
def test_open_line_carries_nothing_but_keeps_its_series_impedance(spec):
    spec = spec.replace(sources=replace(spec.sources, bus=("m",)))
    circuit = phase_circuit(spec)
    assert not circuit.lines.y.any()
    assert circuit.line_series.x.any()
    np.testing.assert_array_equal(circuit.line_closed, [False])
    np.testing.assert_array_equal(circuit.default_switches, [False])


def test_line_of_two_conductors_has_zero_rows_for_the_third():
    z = np.zeros((3, 3), dtype=complex)
    z[:2, :2] = [[3.0, 1.0], [1.0, 3.0]]
    spec = changed(with_value("lines", "z_ohm", 0, z), "lines", "y_s", 0, np.zeros((3, 3), dtype=complex))
    spec = changed(changed(spec, "lines", "from_phases", 0, "13"), "lines", "to_phases", 0, "13")
    circuit = phase_circuit(spec)
    np.testing.assert_array_equal(circuit.lines.nodes[0, [2, 5]], [-1, -1])
    np.testing.assert_allclose(circuit.lines.y[0, :2, :2], [[1.125, -0.375], [-0.375, 1.125]])
    assert not circuit.lines.y[0, 2].any()
    assert not circuit.lines.y[0, :, 5].any()


def test_capacitors_have_all_legs_in_the_shunts_and_open_banks_carry_nothing():
    circuit = phase_circuit(every_kind())
    legs = circuit.capacitor_legs
    assert circuit.capacitor_names == ("bank", "single")
    assert circuit.shunts.names == ("bank", "bank", "bank", "single")
    np.testing.assert_array_equal(legs.bank, [0, 0, 0, 1])
    assert [circuit.node_names[n] for n in legs.node_from] == ["m.1", "m.2", "m.3", "r.2"]
    np.testing.assert_array_equal(legs.node_to, [-1, -1, -1, -1])
    np.testing.assert_array_equal(legs.default_closed, [True, False])
    np.testing.assert_allclose(legs.y * S_BASE_KVA, [100j, 100j, 100j, 50j])
    np.testing.assert_allclose(circuit.shunts.y[0], legs.y[0] * np.array([[1, -1], [-1, 1]]))
    assert not circuit.shunts.y[3].any()


@pytest.mark.parametrize(
    ("phases", "connection", "v_kv", "legs", "q_kvar"),
    [
        ("123", "delta", VN_KV, [("m.1", "m.2"), ("m.2", "m.3"), ("m.3", "m.1")], 100.0),
        ("31", "delta", VN_KV, [("m.3", "m.1")], 300.0),
        ("13", "wye", VN_KV, [("m.1", None), ("m.3", None)], 150.0),
        ("2", "wye", 2.0, [("m.2", None)], 300.0),
    ],
)
def test_capacitor_legs_deliver_their_share_at_rated_voltage(phases, connection, v_kv, legs, q_kvar):
    spec = changed(with_value("capacitors", "phases", 0, phases), "capacitors", "connection", 0, connection)
    circuit = phase_circuit(changed(spec, "capacitors", "v_kv", 0, v_kv))
    found = circuit.capacitor_legs
    rows = np.flatnonzero(found.bank == 0)
    names = [
        (circuit.node_names[a], circuit.node_names[b] if b >= 0 else None)
        for a, b in zip(found.node_from[rows], found.node_to[rows], strict=True)
    ]
    assert names == legs
    v_leg = v_kv / SQRT3 if (phases, connection) == ("13", "wye") else v_kv
    np.testing.assert_allclose(found.y[rows] * v_leg**2 * S_BASE_KVA, 1j * q_kvar)


def test_load_legs_share_the_power_between_the_nodes_that_they_connect():
    circuit = phase_circuit(every_kind())
    loads = circuit.loads
    names = [
        (circuit.node_names[a], circuit.node_names[b] if b >= 0 else None)
        for a, b in zip(loads.node_from, loads.node_to, strict=True)
    ]
    assert names == [
        *(("l.1", None), ("l.2", None), ("l.3", None)),
        *(("m.1", "m.2"), ("m.2", "m.3"), ("m.3", "m.1")),
        ("r.2", None),
        ("m.3", "m.1"),
    ]
    np.testing.assert_array_equal(loads.injection, [0, 0, 0, 1, 1, 1, 2, 3])
    np.testing.assert_allclose(loads.share, [1 / 3] * 6 + [1.0, 1.0])
    np.testing.assert_allclose(loads.v_rated, [1.0, 1.0, 1.0, SQRT3, SQRT3, SQRT3, 1.0, SQRT3])
    np.testing.assert_array_equal(loads.exponent_p, [0, 0, 0, 1, 1, 1, 2, 0])
    np.testing.assert_array_equal(loads.default_p_kw, [-30.0, -60.0, 10.0, 5.0])
    np.testing.assert_array_equal(loads.v_max, [np.inf] * 8)


def test_load_rule_out_of_range_goes_to_every_leg():
    spec = changed(with_value("injections", "v_min_pu", 0, 0.95), "injections", "v_max_pu", 0, 1.05)
    loads = phase_circuit(changed(spec, "injections", "v_low_pu", 0, 0.5)).loads
    np.testing.assert_array_equal(loads.v_min[:4], [0.95, 0.95, 0.95, 0.0])
    np.testing.assert_array_equal(loads.v_max[:4], [1.05, 1.05, 1.05, np.inf])
    np.testing.assert_array_equal(loads.v_low[:4], [0.5, 0.5, 0.5, 0.0])


def test_elements_at_a_bus_out_of_service_are_out_of_service():
    circuit = phase_circuit(with_value("buses", "in_service", 1, False))
    np.testing.assert_array_equal(circuit.loads.in_service, [True, False, True, False])
    np.testing.assert_array_equal(circuit.capacitor_legs.default_closed, [False, False])
    assert not circuit.shunts.y.any()
    assert not circuit.transformers.y.any()


def test_circuit_of_a_source_alone_has_no_other_elements():
    empty = two_winding(("wye", "wye")).replace(
        transformers=PhaseTransformerTable(), windings=WindingTable(), injections=PhaseInjectionTable()
    )
    circuit = phase_circuit(empty)
    assert circuit.node_names == ("h.1", "h.2", "h.3")
    assert circuit.lines.y.shape == (0, 6, 6)
    assert circuit.transformers.y.shape == (0, 6, 6)
    assert circuit.shunts.y.shape == (0, 2, 2)
    assert circuit.taps.direct.shape == (0, 0)
    assert circuit.loads.share.shape == (0,)
