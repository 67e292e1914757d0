"""Switch states as data, every sample with its own: against pandapower, published losses, and recompiled networks."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pandapower as pp
import pytest
from pandapower.powerflow import LoadflowNotConverged
from scipy.sparse import coo_array
from scipy.sparse.csgraph import minimum_spanning_tree

from gridenv.network import BusTable, InjectionTable, NetworkSpec, SwitchTable, compile_network, load_network
from gridenv.powerflow import PowerFlow
from gridenv.powerflow.solution import Solution
from tests.golden.dss_networks import phase_spec_from_npz
from tests.marks import slow
from tests.unit.network.small_networks import everything, floats, two_bus

N_LINE = 37
KW_PER_MW = 1000.0
# pandapower stops at 1e-10 MVA; ours at 1e-10 and 1e-6 pu.
VOLTAGE_TOLERANCE_PU = {"float64": 1e-6, "float32": 5e-6}
SIZES = [pytest.param(100, 40, id="some"), pytest.param(2000, 200, id="all", marks=pytest.mark.slow)]


@cache
def feeder(dtype: str) -> PowerFlow:
    return PowerFlow("ieee33", dtype)


@cache
def reference_net() -> Any:
    """The feeder in pandapower, from our tables; loads and line states are set for every run."""
    spec = load_network("ieee33")
    net = pp.create_empty_network(sn_mva=1.0)
    for name, vn_kv in zip(spec.buses.id, spec.buses.vn_kv, strict=True):
        pp.create_bus(net, vn_kv, index=int(name))
    pp.create_ext_grid(net, int(spec.sources.bus[0]), vm_pu=float(spec.sources.v_pu[0]))
    lines = spec.lines
    for a, b, r, x in zip(lines.from_bus, lines.to_bus, lines.r_ohm, lines.x_ohm, strict=True):
        pp.create_line_from_parameters(net, int(a), int(b), 1.0, r, x, c_nf_per_km=0.0, max_i_ka=1.0)
    for bus, p, q in zip(spec.injections.bus, spec.injections.p_kw, spec.injections.q_kvar, strict=True):
        pp.create_load(net, int(bus), -p / KW_PER_MW, -q / KW_PER_MW)
    return net


def pandapower_voltages(scale: Any, closed: Any) -> np.ndarray:
    """[sample, bus] complex; NaN where de-energised, infinite in a whole sample that pandapower does not solve."""
    net = reference_net()
    v = np.full((len(closed), len(net.bus)), np.inf, dtype=complex)
    for row, (factor, state) in enumerate(zip(scale, closed, strict=True)):
        net.load.scaling = factor
        net.line.in_service = state > 0
        try:
            pp.runpp(net, tolerance_mva=1e-10, numba=False, init="flat", calculate_voltage_angles=True)
        except LoadflowNotConverged:
            continue
        v[row] = net.res_bus.vm_pu * np.exp(1j * np.deg2rad(net.res_bus.va_degree))
    return v


def random_trees(rng: np.random.Generator, n: int) -> np.ndarray:
    """[sample, line] states of random spanning trees."""
    lines = load_network("ieee33").lines
    a, b = (np.array([int(bus) - 1 for bus in ends]) for ends in (lines.from_bus, lines.to_bus))
    number = {(i, j): k for k, (i, j) in enumerate(zip(a, b, strict=True))}
    closed = np.zeros((n, N_LINE))
    for row in closed:
        tree = minimum_spanning_tree(coo_array((rng.uniform(1, 2, N_LINE), (a, b)), shape=(33, 33))).tocoo()
        row[[number[i, j] for i, j in zip(tree.row, tree.col, strict=True)]] = 1.0
    assert np.all(closed.sum(axis=1) == 32)
    return closed


def random_faults(rng: np.random.Generator, n: int) -> np.ndarray:
    """One or two lines out of the default configuration, a random tree or the whole mesh."""
    start = np.stack([feeder("float64").default_switches.astype(float), np.ones(N_LINE)])
    closed = np.where(rng.uniform(size=(n, 1)) < 0.6, start[rng.integers(0, 2, n)], random_trees(rng, n))
    for row in closed:
        row[rng.choice(np.flatnonzero(row), rng.integers(1, 3), replace=False)] = 0.0
    return closed


def solve(power_flow: PowerFlow, scale: Any, closed: Any) -> Solution:
    factor = np.asarray(scale)[:, None]
    return power_flow.solve(power_flow.default_p_kw * factor, power_flow.default_q_kvar * factor, switches=closed)


def assert_agrees(solution: Solution, v: np.ndarray) -> None:
    assert np.all(solution.converged)
    live = ~np.isnan(v)
    np.testing.assert_array_equal(solution.energised, live)
    ours = np.asarray(solution.v_pu)
    assert np.abs(ours - v)[live].max() <= VOLTAGE_TOLERANCE_PU[solution.power_flow.dtype]
    assert np.all(ours[~live] == 0.0)
    assert np.all(np.asarray(solution.residual_pu) < 1e-5)


@pytest.mark.parametrize("dtype", ["float64", slow("float32")])
@pytest.mark.parametrize(
    ("opened", "loss_kw", "v_min_pu"),
    [
        ((33, 34, 35, 36, 37), 202.677, 0.91309),
        ((7, 9, 14, 32, 37), 139.551, 0.93782),
        ((7, 10, 14, 32, 37), 140.279, 0.93782),
        ((7, 9, 14, 28, 32), 139.978, 0.94129),
    ],
)
def test_configuration_of_feeder_33_has_the_published_losses(
    opened: tuple[int, ...], loss_kw: float, v_min_pu: float, dtype: str
) -> None:
    closed = np.ones((1, N_LINE))
    closed[0, np.array(opened) - 1] = 0.0
    solution = solve(feeder(dtype), [1.0], closed)
    assert float(solution.loss_kw[0]) == pytest.approx(loss_kw, abs=2e-3 if dtype == "float64" else 2e-2)
    assert float(np.abs(solution.v_pu[0]).min()) == pytest.approx(v_min_pu, abs=1e-5)
    assert float(np.asarray(solution.line_loss_kw).sum()) == pytest.approx(loss_kw, rel=1e-4)


@pytest.mark.parametrize("dtype", [slow("float64"), "float32"])
@pytest.mark.parametrize(("n_tree", "n_fault"), SIZES)
def test_random_trees_and_faults_in_one_call_agree_with_pandapower(n_tree: int, n_fault: int, dtype: str) -> None:
    rng = np.random.default_rng(33)
    closed = np.concatenate([random_trees(rng, n_tree), random_faults(rng, n_fault)])
    scale = rng.uniform(0.2, 0.4, len(closed))
    solution = solve(feeder(dtype), scale, closed)
    v = pandapower_voltages(scale, closed)
    assert not np.any(np.isinf(v)), "lighten the load of these configurations"
    assert np.isnan(v[n_tree:]).any(axis=1).sum() > n_fault / 3, "too few faults leave a part without supply"
    assert_agrees(solution, v)


@pytest.mark.parametrize(("n_tree", "n_fault"), [pytest.param(80, 0, id="some"), SIZES[1]])
def test_random_trees_at_full_load_are_solved_or_reported(n_tree: int, n_fault: int) -> None:
    del n_fault
    closed = random_trees(np.random.default_rng(7), n_tree)
    solution = solve(feeder("float64"), np.ones(n_tree), closed)
    converged = np.asarray(solution.converged)
    v = pandapower_voltages(np.ones(n_tree), closed)
    solved = ~np.isinf(v).any(axis=1)
    assert 0.1 < solved.mean() < 0.95, "both kinds are wanted"
    assert np.all(converged[solved])
    assert np.abs(np.asarray(solution.v_pu)[solved] - v[solved]).max() <= VOLTAGE_TOLERANCE_PU["float64"]
    # Close to the limit ours may find what Newton's method from a flat start does not; then it must be a solution.
    for row in np.flatnonzero(converged & ~solved):
        assert _mismatch_pu(closed[row], np.asarray(solution.v_pu)[row]) < 1e-8
    assert np.mean(converged & ~solved) < 0.02
    assert np.all(np.asarray(solution.residual_pu)[~converged] > 1e-6)


def _mismatch_pu(closed: np.ndarray, v: np.ndarray) -> float:
    """Of Kirchhoff's law in a matrix built from the table of lines, at full load."""
    spec = load_network("ieee33")
    lines = spec.lines
    y = closed * spec.buses.vn_kv[0] ** 2 / (lines.r_ohm + 1j * lines.x_ohm)
    a, b = (np.array([int(bus) - 1 for bus in ends]) for ends in (lines.from_bus, lines.to_bus))
    current = np.zeros(33, dtype=complex)
    flow = y * (v[a] - v[b])
    np.add.at(current, a, flow)
    np.add.at(current, b, -flow)
    asked = (spec.injections.p_kw + 1j * spec.injections.q_kvar) / KW_PER_MW
    return float(np.abs((v * current.conj())[1:] - asked).max())


def test_whole_mesh_agrees_with_pandapower() -> None:
    closed = np.ones((2, N_LINE))
    scale = np.array([1.0, 2.0])
    assert_agrees(solve(feeder("float64"), scale, closed), pandapower_voltages(scale, closed))


def test_only_the_source_remains_when_all_lines_are_open() -> None:
    solution = solve(feeder("float32"), [1.0], np.zeros((1, N_LINE)))
    np.testing.assert_array_equal(solution.energised[0], [True] + [False] * 32)
    np.testing.assert_array_equal(np.abs(solution.v_pu[0]), [1.0] + [0.0] * 32)
    assert bool(solution.converged[0])
    np.testing.assert_allclose([solution.source_p_kw[0], solution.loss_kw[0]], 0.0, atol=1e-4)
    assert np.all(np.asarray(solution.line_loading) < 1e-6)


def test_default_states_give_the_network_as_built() -> None:
    power_flow = feeder("float64")
    built = power_flow.solve(power_flow.default_p_kw, power_flow.default_q_kvar)
    switched = power_flow.solve(
        power_flow.default_p_kw, power_flow.default_q_kvar, switches=power_flow.default_switches
    )
    np.testing.assert_allclose(switched.v_pu, built.v_pu, rtol=0, atol=1e-10)
    np.testing.assert_allclose(switched.line_current_a, built.line_current_a, rtol=0, atol=1e-6)
    for name in ("loss_kw", "source_p_kw", "source_q_kvar"):
        assert float(getattr(switched, name)) == pytest.approx(float(getattr(built, name)), rel=1e-8)


# Switches 0 and 1 join buses; lines 0..5 follow. Both feeders keep a source, or parts of them go dark.
EVERYTHING_STATES = np.array(
    [
        [1, 0, 1, 1, 0, 1, 1, 1],
        [1, 1, 1, 1, 0, 1, 1, 1],
        [0, 1, 1, 1, 0, 1, 1, 1],
        [1, 0, 0, 0, 0, 1, 1, 1],
        [1, 0, 1, 1, 0, 0, 0, 0],
        [0, 0, 1, 1, 0, 0, 0, 1],
        [1, 1, 0, 1, 0, 0, 1, 0],
        [0, 0, 0, 0, 0, 0, 0, 0],
    ]
)


@pytest.mark.parametrize("dtype", ["float64", slow("float32")])
def test_network_with_bus_switches_transformers_and_taps_equals_the_recompiled_one(dtype: str) -> None:
    power_flow = PowerFlow(everything(), dtype)
    rng = np.random.default_rng(4)
    n = len(EVERYTHING_STATES)
    p_kw = power_flow.default_p_kw * rng.uniform(0.2, 0.5, (n, 6))
    q_kvar = power_flow.default_q_kvar * rng.uniform(0.2, 0.5, (n, 6))
    taps = np.column_stack([rng.uniform(-2, 2, n), rng.uniform(-4, 4, n)])
    solution = power_flow.solve(p_kw, q_kvar, switches=EVERYTHING_STATES, taps=taps)
    assert np.all(solution.converged)
    for row, (state, tap) in enumerate(zip(EVERYTHING_STATES, taps, strict=True)):
        own = PowerFlow(_switched(everything(), state, tap), "float64")
        keep = np.array([name in own.injection_names for name in power_flow.injection_names])
        expected = own.solve(p_kw[row][keep], q_kvar[row][keep])
        assert bool(expected.converged)
        _assert_equal(solution, row, expected, dtype)


def _switched(spec: NetworkSpec, state: np.ndarray, tap: np.ndarray) -> NetworkSpec:
    """The network with these states; what is left without supply is taken out of service."""
    spec = spec.with_switches(dict(zip(spec.switch_names, state > 0, strict=True)))
    spec = spec.with_taps(dict(zip(spec.tap_names, tap, strict=True)))
    served = compile_network(spec, allow_islands=True).served
    injections = spec.injections
    return spec.replace(injections=replace(injections, in_service=injections.in_service & served))


def _assert_equal(solution: Solution, row: int, expected: Solution, dtype: str) -> None:
    exact = dtype == "float64"
    live = np.asarray(expected.energised)
    np.testing.assert_array_equal(np.asarray(solution.energised)[row], live)
    np.testing.assert_allclose(
        np.asarray(solution.v_pu)[row], expected.v_pu, rtol=0, atol=1e-8 if exact else 5e-6, err_msg=str(row)
    )
    scale_kw = 1.0 + abs(float(expected.source_p_kw)) + abs(float(expected.source_q_kvar))
    for name in ("source_p_kw", "source_q_kvar", "loss_kw"):
        difference = float(getattr(solution, name)[row]) - float(getattr(expected, name))
        assert abs(difference) <= (1e-6 if exact else 2e-3) * scale_kw, (row, name)
    ours, theirs = (np.asarray(s.transformer_loading) for s in (solution, expected))
    np.testing.assert_allclose(ours[row], theirs, rtol=1e-6 if exact else 1e-3, atol=1e-7 if exact else 1e-4)
    # Each sample has an admittance of its own, so a line's current is a difference of voltages times the admittance:
    # it is as good as the voltages are resolved, and one of 1e-7 ohm tells it in float64 only.
    circuit = solution.power_flow.network.circuit
    blur_a = 8.0 * np.finfo(dtype).eps * np.abs(circuit.lines.y).max(axis=(1, 2)) * circuit.line_i_base_a
    ours, theirs = np.asarray(solution.line_current_a)[row], np.asarray(expected.line_current_a)
    allowed = blur_a.reshape(-1, *[1] * (ours.ndim - 1)) + (1e-7 if exact else 1e-3) * (0.01 + theirs)
    assert np.all(np.abs(ours - theirs) <= allowed), (row, np.abs(ours - theirs) / allowed)


def test_source_and_load_stay_at_their_own_bus_when_the_switch_between_parts_them() -> None:
    """The load is at the first bus of the joined pair, the source at the second."""
    spec = two_bus(p_kw=-100.0)
    line = replace(spec.lines, from_bus=("c",))
    spec = spec.replace(
        buses=BusTable(id=("a", "b", "c"), vn_kv=floats(10.0, 10.0, 10.0)),
        sources=replace(spec.sources, bus=("c",)),
        lines=line,
        injections=InjectionTable(
            id=("at.a", "at.b"),
            bus=("a", "b"),
            kind=("load", "load"),
            p_kw=floats(-50.0, -100.0),
            q_kvar=floats(0.0, 0.0),
        ),
        switches=SwitchTable(id=("ac",), bus_a=("a",), bus_b=("c",)),
    )
    power_flow = PowerFlow(spec, "float64")
    solution = power_flow.solve(power_flow.default_p_kw, power_flow.default_q_kvar, switches=[[1, 1], [0, 1], [1, 0]])
    np.testing.assert_array_equal(solution.energised, [[1, 1, 1], [0, 1, 1], [1, 0, 1]])
    served_kw = np.asarray(solution.source_p_kw - solution.loss_kw)
    np.testing.assert_allclose(served_kw, [150.0, 100.0, 50.0], rtol=1e-8)


LATERALS = ("line.632645", "line.671684", "line.684652", "line.671692")


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_three_phase_feeder_with_an_open_lateral_equals_the_recompiled_one(dtype: str) -> None:
    spec = phase_spec_from_npz("ieee13")
    power_flow = PowerFlow(spec, dtype)
    rng = np.random.default_rng(5)
    states = np.tile(power_flow.default_switches.astype(float), (len(LATERALS) + 1, 1))
    for row, name in enumerate(LATERALS):
        states[row, power_flow.switch_names.index(name)] = 0.0
    taps = power_flow.default_taps + rng.integers(-3, 4, (len(states), len(power_flow.tap_names)))
    p_kw = power_flow.default_p_kw * rng.uniform(0.3, 1.0, (len(states), 1))
    solution = power_flow.solve(p_kw, power_flow.default_q_kvar, switches=states, taps=taps)
    assert np.all(solution.converged)
    for row, name in enumerate((*LATERALS, None)):
        closed = np.array([line != name for line in spec.lines.id]) & spec.lines.closed
        own = PowerFlow(spec.replace(lines=replace(spec.lines, closed=closed)), "float64")
        expected = own.solve(p_kw[row], power_flow.default_q_kvar, taps=taps[row])
        assert bool(np.all(expected.energised)) == (name is None)
        _assert_equal(solution, row, expected, dtype)
