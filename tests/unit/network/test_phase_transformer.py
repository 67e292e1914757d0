import numpy as np
import pytest

from gridenv.network.phase_circuit import phase_circuit
from gridenv.network.phase_tables import PhaseTransformerTable, RegulatorTable, WindingTable
from gridenv.network.spec import BusTable
from tests.unit.network.small_networks import floats
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

ZERO = np.ones(3)


def open_circuit_voltage(circuit, v):
    """Voltages of the second three terminals of the only transformer, with the first three held at v."""
    y = circuit.transformers.y[0]
    return np.linalg.solve(y[3:6, 3:6], -y[3:6, :3] @ v)


def short_circuit_current(circuit, v):
    """Currents into the first three terminals of the only transformer, with the others at ground."""
    return circuit.transformers.y[0][:3, :3] @ v


def test_wye_wye_transformer_turns_voltages_by_its_ratio_and_drops_its_short_circuit_impedance():
    circuit = phase_circuit(two_winding(("wye", "wye"), tap=floats(1.0, 1.05)))
    np.testing.assert_allclose(open_circuit_voltage(circuit, POSITIVE), 1.05 * POSITIVE, rtol=1e-12)
    z_pu = (0.01 + 0.06j) * S_BASE_KVA / 100.0
    np.testing.assert_allclose(short_circuit_current(circuit, POSITIVE), POSITIVE / z_pu, rtol=1e-12)


@pytest.mark.parametrize(("lag_30", "turn_deg"), [(True, -30.0), (False, 30.0)])
@pytest.mark.parametrize("connections", [("delta", "wye"), ("wye", "delta")])
def test_delta_wye_transformer_turns_the_low_voltage_side(connections, lag_30, turn_deg):
    spec = changed(two_winding(connections), "transformers", "lag_30", 0, lag_30)
    spec = changed(spec, "transformers", "stray_share", 0, 1e-6)
    v = open_circuit_voltage(phase_circuit(spec), POSITIVE)
    np.testing.assert_allclose(v, POSITIVE * np.exp(1j * np.deg2rad(turn_deg)), atol=1e-6)


@pytest.mark.parametrize("connections", [("delta", "wye"), ("wye", "delta")])
def test_step_up_transformer_turns_with_respect_to_its_high_voltage_side_whichever_winding_that_is(connections):
    spec = two_winding(connections, v_kv=floats(VN_KV, 4.0 * VN_KV))
    spec = changed(changed(spec, "buses", "vn_kv", 1, 4.0 * VN_KV), "transformers", "stray_share", 0, 1e-6)
    v = open_circuit_voltage(phase_circuit(spec), POSITIVE)
    np.testing.assert_allclose(v, POSITIVE * np.exp(1j * np.deg2rad(30.0)), atol=1e-6)


def test_delta_delta_transformer_does_not_turn_and_passes_no_zero_sequence():
    circuit = phase_circuit(two_winding(("delta", "delta")))
    z_pu = (0.01 + 0.06j) * S_BASE_KVA / 100.0
    np.testing.assert_allclose(short_circuit_current(circuit, POSITIVE), POSITIVE / z_pu, rtol=1e-12)
    np.testing.assert_allclose(circuit.transformers.y[0] @ np.repeat([1.0, 0.0], 3), np.zeros(6), atol=1e-12)


@pytest.mark.parametrize(
    "connections", [("wye_ungrounded", "wye"), ("wye", "wye_ungrounded"), ("wye_ungrounded", "wye_ungrounded")]
)
def test_ungrounded_wye_passes_positive_but_no_zero_sequence(connections):
    circuit = phase_circuit(two_winding(connections))
    z_pu = (0.01 + 0.06j) * S_BASE_KVA / 100.0
    np.testing.assert_allclose(short_circuit_current(circuit, POSITIVE), POSITIVE / z_pu, rtol=1e-9)
    np.testing.assert_allclose(short_circuit_current(circuit, ZERO), np.zeros(3), atol=1e-9)


def test_neutral_impedance_counts_three_times_in_the_zero_sequence():
    circuit = phase_circuit(two_winding(("wye", "wye"), z_neutral_ohm=np.array([0.5 + 0j, 0.0])))
    z_pu = (0.01 + 0.06j) * S_BASE_KVA / 100.0
    np.testing.assert_allclose(short_circuit_current(circuit, POSITIVE), POSITIVE / z_pu, rtol=1e-9)
    np.testing.assert_allclose(short_circuit_current(circuit, ZERO), ZERO / (z_pu + 3.0 * 0.5 / Z_BASE_OHM), rtol=1e-9)


def test_winding_resistance_is_a_share_of_its_own_rating():
    circuit = phase_circuit(two_winding(("wye", "wye"), r=floats(0.01, 0.01), s_kva=floats(300.0, 150.0)))
    z_pu = (0.01 + 0.02 + 0.06j) * S_BASE_KVA / 100.0
    np.testing.assert_allclose(short_circuit_current(circuit, POSITIVE), POSITIVE / z_pu, rtol=1e-12)


def test_no_load_branch_draws_its_loss_and_magnetising_power():
    spec = changed(two_winding(("wye", "wye")), "transformers", "p_no_load", 0, 0.002)
    circuit = phase_circuit(changed(spec, "transformers", "i_magnetising", 0, 0.01))
    v = np.concatenate([POSITIVE, POSITIVE])
    s_kva = np.sum(v * np.conj(circuit.transformers.y[0] @ v)) * S_BASE_KVA
    np.testing.assert_allclose(s_kva, 300.0 * (0.002 + 0.01j), rtol=1e-9)


def test_three_windings_have_the_short_circuit_impedance_of_each_pair():
    spec = two_winding(("wye", "wye"))
    columns = {"v_kv": floats(VN_KV, 0.4, 0.23), "s_kva": floats(300, 300, 300), "r": floats(0.004, 0.005, 0.006)}
    spec = spec.replace(
        buses=BusTable(id=("h", "l", "t"), vn_kv=floats(VN_KV, 0.4, 0.23)),
        transformers=PhaseTransformerTable(
            id=("t",), n_phase=floats(3), x_12=floats(0.06), x_13=floats(0.09), x_23=floats(0.05)
        ),
        windings=WindingTable(
            id=("t.1", "t.2", "t.3"),
            transformer=("t",) * 3,
            bus=("h", "l", "t"),
            phases=("123",) * 3,
            connection=("wye",) * 3,
            **columns,
        ),
    )
    y = phase_circuit(spec).transformers.y[0].reshape(3, 3, 3, 3)[:, 0, :, 0]
    unit = S_BASE_KVA / 100.0
    for a, b, c, z in ((0, 1, 2, 0.009 + 0.06j), (0, 2, 1, 0.01 + 0.09j), (1, 2, 0, 0.011 + 0.05j)):
        # With a fed, b shorted and c open.
        v_c = -y[c, a] / y[c, c]
        np.testing.assert_allclose(1.0 / (y[a, a] + y[a, c] * v_c), z * unit, rtol=1e-9, err_msg=f"{a}{b}")


def test_centre_tapped_unit_feeds_two_halves_of_opposite_sign_and_leaves_ground_terminals_empty():
    circuit = phase_circuit(every_kind())
    nodes, y = circuit.transformers.nodes[2], circuit.transformers.y[2]
    assert [circuit.node_names[n] if n >= 0 else "0" for n in nodes] == ["m.1", "0", "c.1", "0", "0", "c.2"]
    used = np.flatnonzero(nodes >= 0)
    assert not np.delete(y, used, axis=0).any()
    assert not np.delete(y, used, axis=1).any()
    y = y[np.ix_(used, used)]
    np.testing.assert_allclose(np.linalg.solve(y[1:, 1:], -y[1:, 0]), [1.0, -1.0], rtol=1e-9)


def test_transformer_rating_is_the_rated_current_of_the_line():
    circuit = phase_circuit(every_kind())
    rated_a = 300.0 / (SQRT3 * VN_KV)
    np.testing.assert_allclose(circuit.transformer_rating[0, :3] * S_BASE_KVA / 1.0, rated_a)
    np.testing.assert_allclose(circuit.transformer_rating[0, 3:] * S_BASE_KVA / (0.4 / SQRT3), 300.0 / (SQRT3 * 0.4))
    np.testing.assert_allclose(circuit.transformer_rating[1, [0, 2]] * S_BASE_KVA, 100.0)
    np.testing.assert_array_equal(circuit.transformer_rating[1, [1, 3, 4, 5]], np.inf)


@pytest.mark.parametrize(
    "spec", [with_value("transformers", "in_service", 1, False), with_value("buses", "in_service", 3, False)]
)
def test_transformer_out_of_service_carries_nothing_and_its_taps_do_nothing(spec):
    circuit = phase_circuit(spec)
    assert not circuit.transformers.y[1].any()
    assert not circuit.taps.source.any()
    assert not circuit.taps.direct.any()
    assert circuit.transformers.y[0].any()


def ganged(connections, winding, **columns):
    spec = two_winding(connections, **columns)
    spec = changed(spec, "transformers", "p_no_load", 0, 0.003)
    spec = changed(spec, "transformers", "stray_share", 0, 1e-6)
    return spec.replace(
        regulators=RegulatorTable(
            id=("gang",),
            transformer=("t",),
            winding=floats(winding),
            v_target_v=floats(120.0),
            pt_ratio=floats(10.0),
            ct_primary_a=floats(100.0),
        )
    )


@pytest.mark.parametrize(
    ("spec", "row"),
    [
        (ganged(("wye", "wye"), 2), 1),
        (ganged(("delta", "wye"), 1, tap=floats(0.98, 1.0)), 0),
        (ganged(("wye", "delta"), 2), 1),
        (ganged(("wye_ungrounded", "wye"), 2, tap=floats(1.0, 1.0312)), 1),
        (ganged(("wye", "wye"), 2, z_neutral_ohm=np.array([0.4j, 0.0])), 1),
        (every_kind(), 3),
    ],
)
def test_tap_windings_give_the_circuit_that_is_built_at_the_other_tap(spec, row):
    circuit = phase_circuit(spec)
    taps = circuit.taps
    position = -11.5
    d = circuit.tap_law.inner_voltage_ratio(np.array([position]), np)[0] - 1.0
    turned = phase_circuit(changed(spec, "windings", "tap", row, 1.0 + position * 0.2 / 32))
    np.testing.assert_allclose(turned.default_taps, [position])
    trafo = taps.transformer[0]
    t, inner = taps.terminals, taps.measure + d * taps.direct @ taps.terminals
    y = circuit.transformers.y[trafo] + d * taps.source.T @ t + np.conj(d) * t.T @ inner
    np.testing.assert_allclose(y, turned.transformers.y[trafo], rtol=1e-9, atol=1e-9)
    assert np.abs(y - circuit.transformers.y[trafo]).max() > 1e-3


def test_tap_positions_are_steps_from_the_middle_of_the_range():
    circuit = phase_circuit(every_kind())
    assert circuit.tap_names == ("reg",)
    assert circuit.default_taps.tolist() == [2.0]
    np.testing.assert_array_equal(circuit.taps.changer, [0])
    np.testing.assert_allclose(circuit.tap_law.inner_voltage_ratio(np.array([2.0]), np), [1.0])
    np.testing.assert_allclose(circuit.tap_law.inner_voltage_ratio(np.array([-16.0]), np), [1.0125 / 0.9])
    between = phase_circuit(with_value("windings", "tap", 3, 1.0 + 2.5 * 0.2 / 32))
    np.testing.assert_allclose(between.default_taps, [2.5])


def test_ganged_changer_has_a_row_for_each_phase():
    taps = phase_circuit(ganged(("delta", "wye"), 2)).taps
    np.testing.assert_array_equal(taps.changer, [0, 0, 0])
    np.testing.assert_array_equal(taps.terminals, np.eye(6)[3:])
    assert np.count_nonzero(taps.direct) == 3


def test_tap_windings_of_one_transformer_act_on_one_another_and_on_no_other():
    regulators = RegulatorTable(
        id=("step.1", "dy", "step.2"),
        transformer=("step", "dy", "step"),
        winding=floats(1, 2, 2),
        v_target_v=floats(120.0, 120.0, 120.0),
        pt_ratio=floats(10.0, 10.0, 10.0),
        ct_primary_a=floats(100.0, 100.0, 100.0),
    )
    spec = every_kind()
    circuit = phase_circuit(spec.replace(regulators=regulators))
    taps, y = circuit.taps, circuit.transformers.y[spec.transformers.id.index("step")]
    np.testing.assert_array_equal(taps.changer, [0, 1, 1, 1, 2])
    # Both windings of the single-phase unit lie between a conductor and ground, terminals 0 and 2.
    np.testing.assert_allclose(taps.direct[np.ix_([0, 4], [0, 4])], y[np.ix_([0, 2], [0, 2])], rtol=1e-12)
    assert not taps.direct[np.ix_([0, 4], [1, 2, 3])].any()
    assert not taps.direct[np.ix_([1, 2, 3], [0, 4])].any()
    assert (taps.direct[[1, 2, 3], [1, 2, 3]] != 0.0).all()
