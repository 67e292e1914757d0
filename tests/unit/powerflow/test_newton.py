"""Newton's method: alone, behind the fixed point, near the limit and beyond it."""

import numpy as np
import pandapower as pp
import pandapower.networks
import pytest

from gridenv.powerflow import PowerFlow
from gridenv.powerflow.door import METHODS
from tests.marks import slow
from tests.unit.network.small_networks import two_bus

LIMIT = 3.622
"""Largest factor at which pandapower, continued from the last solution, still solves the 33-bus feeder."""


def scaled(power_flow: PowerFlow, *factors: float, **more):
    factor = np.array(factors)[:, None]
    return power_flow.solve(power_flow.default_p_kw * factor, power_flow.default_q_kvar * factor, **more)


@pytest.mark.parametrize("method", METHODS)
def test_heavy_load_has_pandapowers_voltages(method: str) -> None:
    power_flow = PowerFlow("ieee33", "float64", method)
    factors = (1.0, 2.5, 3.4, 3.6)
    solution = scaled(power_flow, *factors)
    assert np.all(solution.converged)
    net = pandapower.networks.case33bw()
    for row, factor in enumerate(factors):
        net.load.scaling = factor
        pp.runpp(net, tolerance_mva=1e-9, max_iteration=50, numba=False, init="results" if row else "flat")
        v = net.res_bus.vm_pu.to_numpy()
        assert np.abs(np.abs(np.asarray(solution.v_pu)[row]) - v).max() <= 1e-6


@pytest.mark.parametrize("dtype", ["float32", slow("float64")])
@pytest.mark.parametrize("method", METHODS)
def test_beyond_the_limit_nothing_is_called_converged(method: str, dtype: str) -> None:
    power_flow = PowerFlow("ieee33", dtype, method)
    factors = np.array([3.6, 3.7, 3.8, 4.0, 5.0, 8.0, 20.0, 1e3, 1e6])
    solution = scaled(power_flow, *factors)
    np.testing.assert_array_equal(solution.converged, factors < LIMIT)
    assert np.all(np.isfinite(solution.v_pu))
    assert np.all(np.asarray(solution.residual_pu)[1:] > 1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_impossible_reverse_flow_is_reported_and_possible_one_solved(method: str) -> None:
    """At unity power factor behind r + jx the most that can be fed in is 1 / (2 (|z| - r)), here 40.5 pu."""
    power_flow = PowerFlow(two_bus(), "float64", method)
    most_kw = 1000.0 / (2.0 * (np.hypot(0.01, 0.02) - 0.01))
    solution = power_flow.solve(np.array([[0.5], [0.95], [1.05], [3.0]]) * most_kw, [0.0])
    np.testing.assert_array_equal(solution.converged, [True, True, False, False])
    v = np.abs(np.asarray(solution.v_pu)[:2, 1])
    p = np.array([0.5, 0.95]) * most_kw / 1000.0
    b = -2.0 * 0.01 * p - 1.0
    np.testing.assert_allclose(v, np.sqrt((-b + np.sqrt(b * b - 4.0 * 5e-4 * p * p)) / 2.0), rtol=1e-8)


@pytest.mark.parametrize("method", ["dense", "newton"])
def test_start_from_a_collapsing_feeder_finds_the_operating_point(method: str) -> None:
    power_flow = PowerFlow("ieee33", "float64", method)
    low = scaled(power_flow, 3.62)
    assert np.abs(low.v_pu).min() < 0.56
    solution = scaled(power_flow, 1.0, start=low)
    assert bool(solution.converged[0])
    assert float(solution.loss_kw[0]) == pytest.approx(202.677, abs=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_what_is_called_converged_obeys_kirchhoffs_law(method: str) -> None:
    power_flow = PowerFlow("ieee33", "float64", method)
    factors = np.linspace(3.5, 3.65, 16)
    solution = scaled(power_flow, *factors)
    converged = np.asarray(solution.converged)
    assert converged[factors < 3.6].all()
    assert not converged[factors > 3.63].any()
    v = np.asarray(solution.v_pu)
    s_pu = v * np.conj(v @ power_flow.network.y_full.toarray().T)
    asked = factors[:, None] * (power_flow.default_p_kw + 1j * power_flow.default_q_kvar) / 1000.0
    assert np.abs(s_pu[:, 1:] - asked)[converged].max() < 1e-7


def test_newton_alone_needs_few_steps() -> None:
    solution = scaled(PowerFlow("ieee33", "float64", "newton"), 1.0, 3.6)
    assert int(solution.iterations[0]) <= 5
    assert int(solution.iterations[1]) <= 12
