"""Regulator and capacitor controls against OpenDSS's static control mode, loads with their out-of-range rule."""

import numpy as np
import pytest

from gridenv.powerflow import PowerFlow
from tests.golden.dss_networks import golden, phase_spec_from_npz
from tests.marks import slow

REGULATED = ("ieee13", "ieee34mod1", "ieee37", "ieee123")
UNREGULATED = ("4bus_dy_bal", "4bus_oyod_unbal", "4bus_yy_bal", "european_lv")
QUICK = ("ieee13", "ieee123")
"""Of those with regulators: a small one and a large one."""
# A tap of difference is 0.00625 pu at the regulator and moves the loads with it.
ONE_TAP_PU = 0.015
EQUAL_PU = 1e-6


def _in_golden_order(power_flow: PowerFlow, name: str, v_pu) -> np.ndarray:
    place = {node: i for i, node in enumerate(power_flow.node_names)}
    return np.asarray(v_pu)[..., [place[str(node).lower()] for node in golden(name)["node_names"]]]


def _positions(power_flow: PowerFlow, turns) -> np.ndarray:
    law = power_flow.network.circuit.tap_law
    return (np.asarray(turns) - law.neutral) / law.step


def _free(name: str, dtype: str):
    power_flow = PowerFlow(phase_spec_from_npz(name, ideal=False), dtype)
    # The scripts start at neutral taps.
    start = np.zeros(len(power_flow.tap_names))
    solution = power_flow.solve(power_flow.default_p_kw, power_flow.default_q_kvar, taps=start, controls=True)
    assert bool(solution.converged)
    assert bool(solution.settled)
    v_base = golden(name)["node_vbase_ln_V"]
    error = np.abs(_in_golden_order(power_flow, name, solution.v_pu) - golden(name)["free_V"] / v_base).max()
    off = np.abs(np.asarray(solution.taps) - _positions(power_flow, golden(name)["free_taps"]))
    return power_flow, solution, error, off


@pytest.mark.parametrize("dtype", [slow("float64"), "float32"])
@pytest.mark.parametrize("name", [n if n in QUICK else slow(n) for n in REGULATED])
def test_regulators_come_to_rest_within_a_step_of_opendss(name: str, dtype: str) -> None:
    power_flow, solution, error, off = _free(name, dtype)
    assert off.max() <= 1.0 + 1e-6
    np.testing.assert_array_equal(solution.capacitors, power_flow.default_capacitors)
    equal = off.max() < 1e-6
    assert error <= (EQUAL_PU + (2e-5 if dtype == "float32" else 0.0) if equal else ONE_TAP_PU)
    if name in ("ieee37", "ieee123"):
        assert equal


@pytest.mark.slow
@pytest.mark.parametrize("neutral", [False, True])
def test_regulators_and_capacitors_of_8500_nodes_come_to_rest_as_in_opendss(neutral: bool) -> None:
    name = "ieee8500bal"
    power_flow = PowerFlow(phase_spec_from_npz(name, ideal=False))
    start = np.zeros(len(power_flow.tap_names)) if neutral else power_flow.default_taps
    solution = power_flow.solve(power_flow.default_p_kw, power_flow.default_q_kvar, taps=start, controls=True)
    assert bool(solution.settled)
    off = np.abs(np.asarray(solution.taps) - _positions(power_flow, golden(name)["free_taps"]))
    assert off.max() <= (1.0 if neutral else 0.0) + 1e-6
    np.testing.assert_array_equal(solution.capacitors, power_flow.default_capacitors)
    if not neutral:
        v = _in_golden_order(power_flow, name, solution.v_pu)
        assert np.abs(v - golden(name)["free_V"] / golden(name)["node_vbase_ln_V"]).max() <= 2e-5


@pytest.mark.parametrize("name", UNREGULATED)
def test_loads_out_of_their_range_follow_the_rule_of_opendss(name: str) -> None:
    assert _free(name, "float64")[2] <= EQUAL_PU


def test_every_sample_settles_by_itself_and_reports_it() -> None:
    power_flow = PowerFlow(phase_spec_from_npz("ieee123", ideal=False))
    scale = np.array([0.2, 0.6, 1.0, 1.3])[:, None]
    together = power_flow.solve(power_flow.default_p_kw * scale, power_flow.default_q_kvar * scale, controls=True)
    assert np.all(together.settled)
    assert len({tuple(row) for row in np.asarray(together.taps)}) > 1
    for k, one in enumerate(scale):
        alone = power_flow.solve(power_flow.default_p_kw * one, power_flow.default_q_kvar * one, controls=True)
        np.testing.assert_array_equal(alone.taps, together.taps[k])
        np.testing.assert_allclose(alone.v_pu, together.v_pu[k], atol=2e-6)
