"""Compiled networks against power flows of pandapower 3.5.6 (Newton-Raphson, 1e-10 MVA), 21 scenarios each."""

import json
from typing import Any

import numpy as np
import pytest

from gridenv.network import NetworkSpec, compile_network
from tests.golden.pandapower_golden import CASES, KW_PER_MW, injections, load_case, taps
from tests.shared_data import shared_file
from tests.unit.network.fixed_point import solve

# Largest difference of complex voltages; pandapower stops at 1e-10 MVA, which is 1e-9 pu on the smallest networks.
VOLTAGE_TOLERANCE_PU = 1e-8
# Relative, on loadings above one per mille; from the voltage tolerance over the short lines of low-voltage networks.
LOADING_TOLERANCE = 1e-4
POWER_TOLERANCE_KVA = 1e-5
LOADING_FLOOR = 1e-3
PERCENT = 100.0


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[NetworkSpec, dict[str, Any]]:
    return load_case(request.param)


def _scenarios(spec: NetworkSpec, golden: dict[str, Any]) -> Any:
    for scenario in range(len(golden["vm_pu"])):
        positions = taps(golden, scenario)
        network = compile_network(spec.with_taps({k: v for k, v in positions.items() if k in spec.tap_names}))
        yield (
            scenario,
            network,
            solve(network, injections(golden, scenario, "p_mw"), injections(golden, scenario, "q_mvar")),
        )


def test_compiled_network_agrees_with_pandapower(case: tuple[NetworkSpec, dict[str, Any]]) -> None:
    spec, golden = case
    assert tuple(map(str, golden["bus_id"])) == spec.buses.id
    for scenario, network, solved in _scenarios(spec, golden):
        v = golden["vm_pu"][scenario] * np.exp(1j * np.deg2rad(golden["va_deg"][scenario]))
        np.testing.assert_array_equal(network.energised, ~np.isnan(v))
        assert np.abs(solved.v_pu - v)[network.energised].max() <= VOLTAGE_TOLERANCE_PU
        _assert_loading(solved.line_loading, golden["line_loading_pct"][scenario])
        if "trafo_loading_pct" in golden:
            _assert_loading(solved.trafo_loading, golden["trafo_loading_pct"][scenario])
        source_kva = (golden["ext_p_mw"][scenario] + 1j * golden["ext_q_mvar"][scenario]) * KW_PER_MW
        np.testing.assert_allclose(solved.source_kva, source_kva, atol=POWER_TOLERANCE_KVA, rtol=0)
        assert abs(solved.loss_kw - golden["loss_p_mw"][scenario] * KW_PER_MW) <= POWER_TOLERANCE_KVA


def _assert_loading(loading: Any, golden_percent: Any) -> None:
    out_of_service = np.isnan(golden_percent)
    assert np.all(loading[out_of_service] == 0.0)
    expected = golden_percent[~out_of_service] / PERCENT
    np.testing.assert_allclose(
        loading[~out_of_service], expected, rtol=LOADING_TOLERANCE, atol=LOADING_FLOOR * LOADING_TOLERANCE
    )


def test_default_injections_are_those_of_the_network_as_delivered(case: tuple[NetworkSpec, dict[str, Any]]) -> None:
    spec, golden = case
    for values, quantity in ((spec.injections.p_kw, "p_mw"), (spec.injections.q_kvar, "q_mvar")):
        np.testing.assert_allclose(values, injections(golden, 0, quantity), rtol=1e-12, atol=1e-12)


def test_golden_files_are_those_listed_here() -> None:
    folder = shared_file("pandapower")
    balanced = {path.stem for path in folder.glob("*.npz") if not path.stem.startswith("3ph_")}
    assert balanced == set(CASES), json.dumps(sorted(balanced ^ set(CASES)))
