"""The two ways to hold a network, and what can change in it besides the injections."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.optimize import brentq

from gridenv.network import NetworkSpec, load_network
from gridenv.network.phase_tables import PhaseNetworkSpec
from gridenv.powerflow import PowerFlow, layout
from gridenv.powerflow.operators import Blocks, Dense
from gridenv.powerflow.solution import Solution
from tests.marks import slow
from tests.unit.network.small_networks import everything, two_bus
from tests.unit.network.small_phase_networks import changed, every_kind

TIGHT_PU = 1e-13
"""So near the solution that two ways to it agree to rounding."""
QUANTITIES = ("v_pu", "line_current_a", "transformer_loading", "loss_kw", "source_p_kw", "source_q_kvar")


def meshed_feeder() -> NetworkSpec:
    spec = load_network("ieee33")
    return spec.with_switches(dict.fromkeys(spec.switch_names, True))


NETWORKS: dict[str, Any] = {
    "radial": lambda: load_network("ieee33"),
    "meshed": meshed_feeder,
    "two_levels": lambda: load_network("mv_oberrhein"),
    "everything": everything,
    "every_kind": every_kind,
    "ieee34": lambda: load_network("ieee34"),
}

QUICK = "every_kind"
"""Compiled in seconds, and has every kind of equipment; the others are larger."""


def random_state(power_flow: PowerFlow, features: tuple[str, ...], n: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(11)
    states = {
        "taps": power_flow.default_taps + rng.uniform(-2.0, 2.0, (n, len(power_flow.tap_names))),
        "capacitors": rng.integers(0, 2, (n, len(power_flow.capacitor_names))).astype(float),
        "line_r_scale": rng.uniform(0.7, 1.4, (n, len(power_flow.line_names))),
        "line_x_scale": rng.uniform(0.7, 1.4, (n, len(power_flow.line_names))),
    }
    return {name: states[name] for name in features}


def assert_same(a: Solution, b: Solution, tolerance: float) -> None:
    assert np.all(a.converged)
    assert np.all(b.converged)
    for name in QUANTITIES:
        ours, theirs = np.asarray(getattr(a, name)), np.asarray(getattr(b, name))
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance * (1.0 + np.abs(theirs).max(initial=0)))


@pytest.mark.parametrize(
    "features",
    [
        pytest.param((), marks=pytest.mark.slow, id="fixed"),
        pytest.param(("taps", "capacitors", "line_r_scale", "line_x_scale"), id="all"),
    ],
)
@pytest.mark.parametrize("name", [n if n == QUICK else slow(n) for n in NETWORKS])
def test_blocks_give_what_one_matrix_gives(
    name: str, features: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    dense = PowerFlow(NETWORKS[name](), "float64", "dense", tolerance_pu=TIGHT_PU)
    assert isinstance(dense.arrays.operator, Dense)
    rng = np.random.default_rng(2)
    scale = rng.uniform(0.2, 1.1, (3, len(dense.injection_names)))
    p_kw, q_kvar = dense.default_p_kw * scale, dense.default_q_kvar * scale
    states = random_state(dense, features, 3)
    expected = dense.solve(p_kw, q_kvar, **states)
    n_block = []
    for size in (5, 24, 1000):
        monkeypatch.setattr(layout, "SLOTS_A_BLOCK", (size,))
        sparse = PowerFlow(NETWORKS[name](), "float64", "sparse", tolerance_pu=TIGHT_PU)
        assert isinstance(sparse.arrays.operator, Blocks)
        n_block.append(sparse.arrays.operator.into_cuts.shape[0])
        solution = sparse.solve(p_kw, q_kvar, **states)
        assert_same(solution, expected, 1e-9)
        np.testing.assert_allclose(solution.v_pu, expected.v_pu, rtol=0, atol=1e-10)
    assert n_block[0] > n_block[-1] or len(dense.injection_names) < 10


def test_large_networks_are_cut_by_themselves() -> None:
    assert isinstance(PowerFlow("ieee33").arrays.operator, Dense)
    assert PowerFlow("ieee33", method="newton").method == "newton"


@pytest.mark.parametrize("method", ["dense", "sparse"])
@pytest.mark.parametrize("name", ["meshed", slow("everything"), slow("ieee34")])
def test_scaled_lines_are_those_of_a_network_built_with_other_impedances(name: str, method: str) -> None:
    spec = NETWORKS[name]()
    power_flow = PowerFlow(spec, "float64", method, tolerance_pu=TIGHT_PU)
    rng = np.random.default_rng(8)
    r, x = rng.uniform(0.5, 2.0, (2, len(power_flow.line_names)))
    solution = power_flow.solve(power_flow.default_p_kw, power_flow.default_q_kvar, line_r_scale=r, line_x_scale=x)
    own = PowerFlow(_with_scaled_lines(spec, r, x), "float64", tolerance_pu=TIGHT_PU)
    expected = own.solve(own.default_p_kw, own.default_q_kvar)
    # A line open at one end keeps its charging current, which hardly depends on its impedance.
    charging = name == "everything"
    np.testing.assert_allclose(solution.v_pu, expected.v_pu, rtol=0, atol=1e-8 if charging else 1e-10)
    if not charging:
        assert_same(solution, expected, 1e-9)


def _with_scaled_lines(spec: NetworkSpec | PhaseNetworkSpec, r: np.ndarray, x: np.ndarray) -> Any:
    if isinstance(spec, NetworkSpec):
        lines = replace(spec.lines, r_ohm=spec.lines.r_ohm * r, x_ohm=spec.lines.x_ohm * x)
        return spec.replace(lines=lines)
    z = spec.lines.z_ohm
    return spec.replace(lines=replace(spec.lines, z_ohm=z.real * r[:, None, None] + 1j * z.imag * x[:, None, None]))


@pytest.mark.parametrize("method", ["dense", "sparse"])
def test_switched_capacitors_are_those_of_a_network_built_so(method: str) -> None:
    power_flow = PowerFlow(every_kind(), "float64", method, tolerance_pu=TIGHT_PU)
    assert power_flow.capacitor_names == ("bank", "single")
    np.testing.assert_array_equal(power_flow.default_capacitors, [True, False])
    states = np.array([[1, 0], [0, 0], [1, 1], [0, 1]])
    solution = power_flow.solve(power_flow.default_p_kw, power_flow.default_q_kvar, capacitors=states)
    for row, state in enumerate(states):
        spec = every_kind()
        for bank, closed in enumerate(state):
            spec = changed(spec, "capacitors", "closed", bank, bool(closed))
        own = PowerFlow(spec, "float64", tolerance_pu=TIGHT_PU)
        expected = own.solve(own.default_p_kw, own.default_q_kvar)
        np.testing.assert_allclose(np.asarray(solution.v_pu)[row], expected.v_pu, rtol=0, atol=1e-11)
        assert float(solution.source_q_kvar[row]) == pytest.approx(float(expected.source_q_kvar), rel=1e-9)
    q_kvar = np.asarray(solution.source_q_kvar)
    assert q_kvar[1] - q_kvar[0] > 200.0, "the bank of 300 kvar"


@pytest.mark.parametrize("method", ["dense", "sparse", "newton"])
@pytest.mark.parametrize("name", ["everything", slow("mv_oberrhein")])
def test_taps_as_data_are_those_of_a_network_built_so(name: str, method: str) -> None:
    spec = everything() if name == "everything" else load_network(name)
    power_flow = PowerFlow(spec, "float64", method, tolerance_pu=TIGHT_PU)
    rng = np.random.default_rng(6)
    table = spec.transformers
    has = table.has_tap_changer
    taps = rng.uniform(table.tap_min[has], table.tap_max[has], (3, int(has.sum())))
    solution = power_flow.solve(power_flow.default_p_kw, power_flow.default_q_kvar, taps=taps)
    for row, positions in enumerate(taps):
        own = PowerFlow(
            spec.with_taps(dict(zip(spec.tap_names, positions, strict=True))), "float64", tolerance_pu=TIGHT_PU
        )
        expected = own.solve(own.default_p_kw, own.default_q_kvar)
        np.testing.assert_allclose(np.asarray(solution.v_pu)[row], expected.v_pu, rtol=0, atol=1e-10)
        for quantity in ("line_current_a", "transformer_loading", "loss_kw", "source_p_kw", "source_q_kvar"):
            ours, theirs = np.asarray(getattr(solution, quantity))[row], np.asarray(getattr(expected, quantity))
            np.testing.assert_allclose(ours, theirs, rtol=1e-7, atol=1e-7, err_msg=quantity)


@pytest.mark.parametrize("method", ["dense", "sparse", "newton"])
@pytest.mark.parametrize("z_share", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("i_share", [0.0, 0.6])
def test_shares_of_impedance_and_current_agree_with_the_closed_form(
    method: str, z_share: float, i_share: float
) -> None:
    """Behind one impedance z the magnitude u obeys |u + z conj(s) (z_share u + i_share + p_share / u)| = 1."""
    if z_share + i_share > 1.0:
        z_share = 1.0 - i_share
    p, q = 1.6, 0.8
    power_flow = PowerFlow(two_bus(), "float64", method, tolerance_pu=TIGHT_PU)
    solution = power_flow.solve([-p * 1000.0], [-q * 1000.0], z_share=[z_share], i_share=[i_share])
    drop = (0.01 + 0.02j) * (p - 1j * q)

    def gap(u: float) -> float:
        return abs(u + drop * (z_share * u + i_share + (1.0 - z_share - i_share) / u)) - 1.0

    expected = brentq(gap, 0.7, 1.0, xtol=1e-14)
    assert float(np.abs(solution.v_pu[1])) == pytest.approx(expected, abs=1e-11)
    asked = p * (z_share * expected**2 + i_share * expected + 1.0 - z_share - i_share) * 1000.0
    assert float(solution.source_p_kw - solution.loss_kw) == pytest.approx(asked, rel=1e-9)
    assert float(solution.residual_pu) < 1e-10


def test_one_share_alone_leaves_the_rest_constant_power() -> None:
    power_flow = PowerFlow(two_bus(), "float64")
    given = {"p_kw": [-1600.0], "q_kvar": [-800.0]}
    plain = power_flow.solve(**given)
    for name in ("z_share", "i_share"):
        same = power_flow.solve(**given, **{name: [0.0]})
        np.testing.assert_allclose(same.v_pu, plain.v_pu, rtol=0, atol=1e-9)
        softer = power_flow.solve(**given, **{name: [0.5]})
        assert float(np.abs(softer.v_pu[1])) > float(np.abs(plain.v_pu[1])) + 1e-4
