"""`PowerFlow` against power flows of pandapower 3.5.6 (Newton, 1e-10 MVA): every balanced file, 21 scenarios."""

from typing import Any

import numpy as np
import pytest

from gridenv.network import NetworkSpec
from gridenv.powerflow import PowerFlow
from tests.golden import pandapower_golden as golden_data

# The bars of the product; float32 resolves voltages near one to 1.2e-7.
VOLTAGE_TOLERANCE_PU = {"float64": 1e-8, "float32": 5e-6}
LOADING_TOLERANCE = {"float64": 1e-4, "float32": 1e-3}
LOSS_TOLERANCE = {"float64": 1e-7, "float32": 2e-4}
KW_PER_MW = 1000.0
SINGLE_PRECISION = ("case33bw", "cigre_mv", "sb_1-LV-rural1--2-sw")
"""Networks whose single precision `make test` checks; `make test-all` checks that of all."""
CASES_AND_TYPES = [
    (name, dtype)
    if dtype == "float64" or name in SINGLE_PRECISION
    else pytest.param(name, dtype, marks=pytest.mark.slow)
    for name in golden_data.CASES
    for dtype in ("float64", "float32")
]


@pytest.mark.parametrize(("name", "dtype"), CASES_AND_TYPES)
def test_power_flow_agrees_with_pandapower(name: str, dtype: str) -> None:
    spec, golden = golden_data.load_case(name)
    v = golden["vm_pu"] * np.exp(1j * np.deg2rad(golden["va_deg"]))
    for taps, rows in golden_data.tap_groups(golden):
        power_flow = PowerFlow(_with_taps(spec, taps), dtype)
        solution = power_flow.solve(
            golden_data.injections(golden, rows, "p_mw"), golden_data.injections(golden, rows, "q_mvar")
        )
        assert np.all(solution.converged)
        energised = np.asarray(solution.energised)
        np.testing.assert_array_equal(energised, ~np.isnan(v[rows]))
        assert np.abs(np.asarray(solution.v_pu) - v[rows])[energised].max() <= VOLTAGE_TOLERANCE_PU[dtype]
        assert np.all(np.asarray(solution.v_pu)[~energised] == 0.0)
        _assert_loading(solution.line_loading, golden["line_loading_pct"][rows], LOADING_TOLERANCE[dtype])
        if "trafo_loading_pct" in golden:
            _assert_loading(solution.transformer_loading, golden["trafo_loading_pct"][rows], LOADING_TOLERANCE[dtype])
        source_kva = KW_PER_MW * np.abs(golden["ext_p_mw"][rows] + 1j * golden["ext_q_mvar"][rows]).sum(axis=1)
        source = np.asarray(solution.source_p_kw) + 1j * np.asarray(solution.source_q_kvar)
        expected = KW_PER_MW * (golden["ext_p_mw"][rows].sum(axis=1) + 1j * golden["ext_q_mvar"][rows].sum(axis=1))
        assert np.all(np.abs(source - expected) <= LOSS_TOLERANCE[dtype] * source_kva)
        loss_kw = golden["loss_p_mw"][rows] * KW_PER_MW
        # Losses are a difference of powers; float32 keeps them to a share of the power that flows.
        assert np.all(np.abs(np.asarray(solution.loss_kw) - loss_kw) <= LOSS_TOLERANCE[dtype] * source_kva / 10)


@pytest.mark.parametrize("method", ["dense", "sparse", "newton"])
@pytest.mark.parametrize("name", ["mv_oberrhein", "kerber_dorfnetz", "synth_vc_rural_1"])
def test_all_scenarios_with_their_taps_in_one_call_agree_with_pandapower(name: str, method: str) -> None:
    spec, golden = golden_data.load_case(name)
    power_flow = PowerFlow(spec, "float64", method)
    assert power_flow.tap_names
    scenarios = [golden_data.taps(golden, scenario) for scenario in range(len(golden["vm_pu"]))]
    taps = np.array([[positions[name] for name in power_flow.tap_names] for positions in scenarios])
    solution = power_flow.solve(
        golden_data.injections(golden, slice(None), "p_mw"),
        golden_data.injections(golden, slice(None), "q_mvar"),
        taps=taps,
    )
    assert np.all(solution.converged)
    v = golden["vm_pu"] * np.exp(1j * np.deg2rad(golden["va_deg"]))
    live = ~np.isnan(v)
    assert np.abs(np.asarray(solution.v_pu) - v)[live].max() <= VOLTAGE_TOLERANCE_PU["float64"]
    _assert_loading(solution.line_loading, golden["line_loading_pct"], LOADING_TOLERANCE["float64"])
    _assert_loading(solution.transformer_loading, golden["trafo_loading_pct"], LOADING_TOLERANCE["float64"])


def _with_taps(spec: NetworkSpec, taps: dict[str, float]) -> NetworkSpec:
    return spec.with_taps({name: position for name, position in taps.items() if name in spec.tap_names})


def _assert_loading(loading: Any, golden_percent: Any, tolerance: float) -> None:
    out_of_service = np.isnan(golden_percent)
    assert np.all(np.asarray(loading)[out_of_service] == pytest.approx(0.0, abs=1e-12))
    expected = golden_percent[~out_of_service] / 100.0
    np.testing.assert_allclose(np.asarray(loading)[~out_of_service], expected, rtol=tolerance, atol=1e-3 * tolerance)
