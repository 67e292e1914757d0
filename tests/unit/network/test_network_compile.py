"""Compilation: hand-worked numbers, topology, and properties that any network must have."""

from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import numpy as jnp

from gridenv.core.errors import NetworkError
from gridenv.network import LineTable, Network, NetworkSpec, TransformerTable, compile_network
from gridenv.network.transformer import transformer_model, transformer_two_port
from gridenv.powerflow.host import Reduced, reduce_network
from tests.unit.network.fixed_point import Solved, solve, solve_default
from tests.unit.network.small_networks import everything, flags, floats, two_bus

ROUNDING = 1e-12
S_BASE_KVA = 1000.0


def test_two_bus_arrays_are_those_worked_by_hand() -> None:
    network = compile_network(two_bus())
    np.testing.assert_allclose(network.w, [1.0, 1.0], rtol=ROUNDING)
    y = 1.0 / (0.01 + 0.02j)
    np.testing.assert_allclose(network.y_full.toarray(), [[y, -y], [-y, y]], rtol=ROUNDING)
    np.testing.assert_allclose(network.circuit.line_i_base_a, [1000.0 / (np.sqrt(3.0) * 10.0)])
    reduced = _reduced(network)
    np.testing.assert_allclose(reduced.nodes[1], [[0.0], [0.01 + 0.02j]], rtol=ROUNDING)
    np.testing.assert_allclose(reduced.slots[1], [[0.01 + 0.02j]], rtol=ROUNDING)
    # Without charging the current at the from end tells that at the other; a source's voltage does not respond.
    np.testing.assert_allclose(reduced.lines[1], [[-1.0]], rtol=ROUNDING)
    np.testing.assert_allclose(reduced.sources[1], [[-1.0], [0.0]], rtol=ROUNDING)
    np.testing.assert_allclose([reduced.sources[0][0], reduced.lines[0][0]], 0.0, atol=ROUNDING)
    assert (network.n_node, len(network.injection_names), len(network.load_slots)) == (2, 1, 1)


def _reduced(network: Network) -> Reduced:
    """Quantities as functions of what acts in the load slots."""
    return reduce_network(network, np.array(network.load_slots, dtype=np.int64))


def test_two_bus_voltage_solves_the_quadratic() -> None:
    """|V|^2 of one load behind one impedance: u^2 + (2 (r p + x q) - 1) u + |z|^2 |s|^2 = 0 with s the demand."""
    r, x, p, q = 0.01, 0.02, 2.0, 1.0
    solved = solve_default(compile_network(two_bus(p_kw=-p * S_BASE_KVA, q_kvar=-q * S_BASE_KVA)))
    b = 2.0 * (r * p + x * q) - 1.0
    u = (-b + np.sqrt(b * b - 4.0 * (r * r + x * x) * (p * p + q * q))) / 2.0
    assert abs(abs(solved.v_pu[1]) - np.sqrt(u)) < ROUNDING
    assert abs(solved.loss_kw - r * (p * p + q * q) / u * S_BASE_KVA) < 1e-9
    i_a = np.hypot(p, q) / np.sqrt(u) * S_BASE_KVA / (np.sqrt(3.0) * 10.0)
    np.testing.assert_allclose(solved.line_loading, [i_a / 100.0])


def test_line_open_at_far_end_draws_its_charging_current() -> None:
    spec = two_bus()
    lines = LineTable(**{**vars(spec.lines), "b_s": floats(2e-4), "to_closed": flags(False)})
    network = compile_network(spec.replace(lines=lines), allow_islands=True)
    y_half = 1e-4j * 100.0
    y_open = y_half + 1.0 / (0.01 + 0.02j + 1.0 / y_half)
    np.testing.assert_allclose(network.circuit.lines.y, [[[y_open, 0.0], [0.0, 0.0]]], rtol=ROUNDING)
    reduced = _reduced(network)
    np.testing.assert_allclose(reduced.lines[0], [y_open, 0.0], rtol=ROUNDING)
    np.testing.assert_allclose(reduced.sources[0][0], y_open, rtol=ROUNDING)
    solved = solve_default(network)
    assert abs(solved.loss_kw - y_open.real * S_BASE_KVA) < ROUNDING
    assert solved.loss_kw > 0.0


def test_island_is_de_energised_and_its_load_unserved() -> None:
    network = compile_network(two_bus().with_switches({"ab": False}), allow_islands=True)
    np.testing.assert_array_equal(network.energised, [True, False])
    np.testing.assert_array_equal(network.row, [-1, -1])
    np.testing.assert_array_equal(network.w, [1.0, 0.0])
    np.testing.assert_array_equal(network.served, [False])
    np.testing.assert_array_equal(network.loads.alive, [False])
    assert solve_default(network).source_kva[0] == 0.0
    with pytest.raises(NetworkError, match=r"injection 'load\.b'.*no path to a source"):
        compile_network(two_bus().with_switches({"ab": False}))


def test_network_of_one_bus_is_its_source() -> None:
    spec = two_bus()
    spec = NetworkSpec(
        name="one",
        buses=type(spec.buses)(id=("a",), vn_kv=floats(10.0)),
        sources=spec.sources,
        injections=replace(spec.injections, bus=("a",)),
    )
    solved = solve_default(compile_network(spec))
    np.testing.assert_allclose(solved.source_kva, [1000.0])
    assert solved.loss_kw == 0.0


def test_resonance_is_reported() -> None:
    spec = two_bus()
    lines = LineTable(**{**vars(spec.lines), "r_ohm": floats(0.0), "x_ohm": floats(2.0), "b_s": floats(1.0)})
    with pytest.raises(NetworkError) as error:
        compile_network(spec.replace(lines=lines))
    assert str(error.value).startswith("network 'two_bus': the nodal admittance matrix is singular (")
    assert str(error.value).endswith("check for a resonance of line reactance and capacitors")


def test_resonance_of_an_open_line_is_reported() -> None:
    spec = two_bus()
    columns = {
        "r_ohm": floats(1.0, 0.0),
        "x_ohm": floats(2.0, 2.0),
        "b_s": floats(0.0, 1.0),
        "to_closed": flags(True, False),
    }
    lines = LineTable(id=("ab", "open"), from_bus=("a", "b"), to_bus=("b", "a"), **columns)
    with pytest.raises(NetworkError, match=r"singular \(infinite admittance of a line open at one end\)"):
        compile_network(spec.replace(lines=lines))


def test_slots_follow_the_injection_table() -> None:
    network = compile_network(everything())
    np.testing.assert_array_equal(network.loads.member, np.arange(5)[:, None])
    np.testing.assert_array_equal(network.served, [True, True, True, True, True, False])
    measure = network.slots.measure[list(network.load_slots)].tocoo()
    assert np.all(measure.data == 1.0)
    names = [network.node_names[node] for node in measure.col[np.argsort(measure.row)]]
    assert names == ["l2", "m2", "l1", "m3", "s"], "m4 is fused with m3, its first bus"
    nodes = _reduced(network).nodes
    np.testing.assert_array_equal(nodes[1][3], nodes[1][4])
    np.testing.assert_array_equal(network.circuit.fixed_node, [0, 7])
    np.testing.assert_array_equal(network.row[[0, 7]], [-1, -1])


def test_one_sided_transformer_keeps_its_no_load_current() -> None:
    spec = everything()
    trafos = replace(spec.transformers, lv_closed=flags(False, True))
    network = compile_network(spec.replace(transformers=trafos))
    solved = solve_default(network)
    np.testing.assert_array_equal(network.circuit.transformers.y[0] != 0.0, [[True, False], [False, False]])
    assert _reduced(network).transformers[0][1] == 0.0
    # 0.3 % no-load current at a voltage near rated, tap at 97.5 %
    assert 0.003 < solved.trafo_loading[0] < 0.0033


def _transformer(**columns: Any) -> TransformerTable:
    nameplate = {
        "s_kva": floats(400.0),
        "vn_hv_kv": floats(20.0),
        "vn_lv_kv": floats(0.4),
        "vk": floats(0.05),
        "vkr": floats(0.03),
    }
    tap = {
        "tap_step": floats(0.025),
        "tap_pos": floats(2.0),
        "tap_min": floats(-2.0),
        "tap_max": floats(2.0),
        "shift_rad": floats(np.pi / 6),
    }
    return TransformerTable(
        id=("t",), hv_bus=("hv",), lv_bus=("lv",), loading_base_kva=floats(400.0), **(nameplate | tap | columns)
    )


def test_transformer_without_load_divides_by_its_ratio() -> None:
    cases = (
        (_transformer(), np.exp(-1j * np.pi / 6) / 1.05),
        (_transformer(tap_on_hv=flags(False)), np.exp(-1j * np.pi / 6) * 1.05),
        (_transformer(vn_lv_kv=floats(0.42), tap_pos=floats(0.0)), np.exp(-1j * np.pi / 6) * 1.05),
        (_transformer(tap_step_rad=floats(np.pi / 2)), np.exp(-1j * np.pi / 6) / (1.0 + 0.05j)),
        (
            _transformer(tap_is_phase_shifter=flags(True), tap_step=floats(0.0), tap_step_rad=floats(0.02)),
            np.exp(-1j * (np.pi / 6 + 0.04)),
        ),
    )
    for table, expected in cases:
        model = transformer_model(table, np.array([20.0]), np.array([0.4]), S_BASE_KVA)
        port = transformer_two_port(model, table.tap_pos)
        np.testing.assert_allclose(-port.y_ba / port.y_bb, [expected], rtol=ROUNDING)


def test_transformer_short_circuit_draws_rated_current_at_short_circuit_voltage() -> None:
    table = _transformer(tap_pos=floats(0.0), parallel=floats(3.0))
    model = transformer_model(table, np.array([20.0]), np.array([0.4]), S_BASE_KVA)
    port = transformer_two_port(model, table.tap_pos)
    s_kva = 0.05 * port.y_aa * 0.05 * S_BASE_KVA
    np.testing.assert_allclose(np.abs(s_kva), 0.05 * 3.0 * 400.0)
    np.testing.assert_allclose(s_kva.real, 0.03 * 3.0 * 400.0)


def test_transformer_is_the_same_in_jax_and_differentiable_in_the_tap() -> None:
    table = everything().transformers
    model = transformer_model(table, np.full(2, 20.0), np.full(2, 0.4), S_BASE_KVA)
    host = transformer_two_port(model, table.tap_pos)
    with jax.enable_x64():
        device = transformer_two_port(model, jnp.asarray(table.tap_pos), xp=jnp)
        for name, value in vars(host).items():
            np.testing.assert_allclose(getattr(device, name), value, rtol=ROUNDING, atol=ROUNDING)
        tap_pos = jnp.asarray(table.tap_pos)
        slope = np.asarray(jax.jacobian(lambda t: transformer_two_port(model, t, xp=jnp).y_aa.imag.sum())(tap_pos))
    step = 1e-5
    for i in range(2):
        moved = [table.tap_pos + d * np.eye(2)[i] for d in (-step, step)]
        low, high = (transformer_two_port(model, t).y_aa.imag.sum() for t in moved)
        assert abs(slope[i] - (high - low) / (2 * step)) < 1e-6


def _power_mismatch_kva(network: Network, p_kw: Any, q_kvar: Any) -> float:
    """Largest mismatch of Kirchhoff's current law in the nodal admittance matrix, as power.

    Voltages are those of the eliminated network with the oracle's currents in its slots.
    """
    circuit = network.circuit
    solved = solve(network, p_kw, q_kvar)
    x = _slot_current(network, solved, p_kw, q_kvar)
    base, response = _reduced(network).nodes
    v_bus = base + response @ x
    np.testing.assert_allclose(v_bus, solved.v_pu, rtol=0, atol=1e-9)
    _assert_quantities(network, solved, x)
    v_node = np.where(circuit.alias == np.arange(circuit.n_node), v_bus, 0.0)
    given_kva = np.zeros_like(v_node)
    served = network.served
    np.add.at(given_kva, circuit.alias[circuit.loads.node_from[served]], (p_kw + 1j * q_kvar)[served])
    np.add.at(given_kva, circuit.fixed_node, solved.source_kva)
    balance_kw = solved.source_kva.real.sum() + p_kw[served].sum() - solved.loss_kw - solved.shunt_kw
    assert abs(balance_kw) < 1e-8
    return float(np.abs(v_node * np.conj(network.y_full @ v_node) * S_BASE_KVA - given_kva).max())


def _slot_current(network: Network, solved: Solved, p_kw: Any, q_kvar: Any) -> Any:
    """Currents of the load slots at the oracle's voltages."""
    s_pu = np.append((p_kw + 1j * q_kvar) / S_BASE_KVA, 0.0)[network.loads.member].sum(axis=1)
    seen = network.slots.measure[list(network.load_slots)] @ solved.v_pu
    alive = network.loads.alive
    return np.conj(np.where(alive, s_pu, 0.0) / np.where(alive, seen, 1.0))


def _assert_quantities(network: Network, solved: Solved, x: Any) -> None:
    """Currents and source power that the eliminated network gives are the oracle's."""
    circuit, reduced = network.circuit, _reduced(network)
    lines, trafos, sources = (base + r @ x for base, r in (reduced.lines, reduced.transformers, reduced.sources))
    np.testing.assert_allclose(lines.reshape(-1, 2), solved.line_current_pu, rtol=0, atol=1e-9)
    loading = (np.abs(trafos.reshape(-1, 2)) / circuit.transformer_rating).max(axis=1)
    np.testing.assert_allclose(loading, solved.trafo_loading, rtol=0, atol=1e-8)
    current, v = np.split(sources, 2)
    np.testing.assert_allclose(v, circuit.fixed_v, rtol=0, atol=1e-15)
    np.testing.assert_allclose(v * current.conj() * S_BASE_KVA, solved.source_kva, rtol=0, atol=1e-6)


powers = st.lists(st.floats(-150.0, 150.0), min_size=6, max_size=6).map(np.array)
switches = st.lists(st.booleans(), min_size=8, max_size=8)
taps = st.tuples(st.floats(-2.0, 2.0), st.floats(-4.0, 4.0))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(p_kw=powers, q_kvar=powers, closed=switches, tap=taps)
def test_kirchhoff_holds_for_any_injections_switches_and_taps(p_kw: Any, q_kvar: Any, closed: Any, tap: Any) -> None:
    spec = everything()
    spec = spec.with_switches(dict(zip(spec.switch_names, closed, strict=True)))
    spec = spec.with_taps({"trafo.0": tap[0], "trafo.1": tap[1]})
    assert _power_mismatch_kva(compile_network(spec, allow_islands=True), p_kw, q_kvar) < 1e-6


@settings(max_examples=30, deadline=None, derandomize=True)
@given(order=st.permutations(range(8)), line_order=st.permutations(range(6)), turned=st.booleans())
def test_renumbered_and_turned_network_gives_the_same_voltages(order: Any, line_order: Any, turned: bool) -> None:
    spec = everything()
    reference = compile_network(spec)
    network = compile_network(_renumbered(spec, order, line_order, turned))
    place = [network.node_names.index(f"n{name}") for name in reference.node_names]
    np.testing.assert_allclose(network.w[place], reference.w, rtol=1e-12)
    solved, expected = solve_default(network), solve_default(reference)
    np.testing.assert_allclose(solved.v_pu[place], expected.v_pu, rtol=1e-11)
    np.testing.assert_allclose(solved.line_loading, expected.line_loading[list(line_order)], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(solved.source_kva, expected.source_kva, rtol=1e-9)
    assert abs(solved.loss_kw - expected.loss_kw) < 1e-9


def _renumbered(spec: NetworkSpec, order: Any, line_order: Any, turned: bool) -> NetworkSpec:
    """The same network with other bus names, bus and line order, and lines written from the other end."""

    def picked(table: Any, rows: Any) -> dict[str, Any]:
        return {k: tuple(v[i] for i in rows) if isinstance(v, tuple) else v[list(rows)] for k, v in vars(table).items()}

    def renamed(table: Any) -> Any:
        buses = {k: tuple(f"n{b}" for b in v) for k, v in vars(table).items() if "bus" in k}
        return replace(table, **buses)

    lines = picked(spec.lines, line_order)
    if turned:
        ends = (("from_bus", "to_bus"), ("from_closed", "to_closed"))
        lines |= {a: lines[b] for a, b in ends} | {b: lines[a] for a, b in ends}
    buses = picked(spec.buses, order)
    return spec.replace(
        buses=type(spec.buses)(**{**buses, "id": tuple(f"n{b}" for b in buses["id"])}),
        lines=renamed(LineTable(**lines)),
        **{
            name: renamed(getattr(spec, name))
            for name in ("sources", "transformers", "injections", "shunts", "switches")
        },
    )
