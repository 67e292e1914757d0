"""Compiled networks against power flows of pandapower 3.5.6 (Newton-Raphson, 1e-10 MVA), 21 scenarios each."""

import json
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from gridenv.network import NetworkSpec, compile_network, load_network
from tests.shared_data import shared_file
from tests.unit.network.fixed_point import solve

# Largest difference of complex voltages; pandapower stops at 1e-10 MVA, which is 1e-9 pu on the smallest networks.
VOLTAGE_TOLERANCE_PU = 1e-8
# Relative, on loadings above one per mille; from the voltage tolerance over the short lines of low-voltage networks.
LOADING_TOLERANCE = 1e-4
POWER_TOLERANCE_KVA = 1e-5
LOADING_FLOOR = 1e-3
PERCENT = 100.0
KW_PER_MW = 1000.0

CASES = {
    "case33bw": "case33bw",
    "cigre_lv": "cigre_lv",
    "cigre_mv": "cigre_mv",
    "cigre_mv_all": "cigre_mv_all",
    "cigre_mv_pv_wind": "cigre_mv_pv_wind",
    "kerber_dorfnetz": "kerber_dorfnetz",
    "kerber_landnetz_freileitung_1": "kerber_landnetz_freileitung_1",
    "mv_oberrhein": "mv_oberrhein",
    "synth_vc_rural_1": "synth_vc_rural_1",
    "sb_1-LV-rural1--2-sw": "simbench:1-LV-rural1--2-sw",
    "sb_1-LV-semiurb4--2-sw": "simbench:1-LV-semiurb4--2-sw",
    "sb_1-MV-rural--2-sw": "simbench:1-MV-rural--2-sw",
}
"""Data file -> catalogue name."""

SIGNS = {"load": -1.0, "sgen": 1.0, "storage": -1.0}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[NetworkSpec, dict[str, Any]]:
    return _case(request.param)


@cache
def _case(name: str) -> tuple[NetworkSpec, dict[str, Any]]:
    with np.load(shared_file(f"pandapower/{name}.npz"), allow_pickle=False) as file:
        golden = dict(file)
    if CASES[name].startswith("simbench:"):
        pytest.importorskip("simbench", reason="SimBench networks need the extra [simbench]")
    spec = load_network(CASES[name])
    return (_with_golden_cables(spec, golden) if name == "kerber_dorfnetz" else spec), golden


def _with_golden_cables(spec: NetworkSpec, golden: dict[str, Any]) -> NetworkSpec:
    """The network with the cable types of the golden file: pandapower draws those of house connections at random.

    Each line takes the data of the line whose resistance is the one in the golden admittance matrix.
    """
    y = np.zeros(golden["Y_shape"], dtype=complex)
    y[golden["Y_row"], golden["Y_col"]] = golden["Y_data_pu"]
    row = {str(bus): i for bus, i in zip(golden["bus_id"], golden["bus_to_Y"], strict=True)}
    lines = spec.lines
    y_series = -np.array([y[row[a], row[b]] for a, b in zip(lines.from_bus, lines.to_bus, strict=True)])
    vn_kv = dict(zip(spec.buses.id, spec.buses.vn_kv, strict=True))
    z_base_ohm = np.array([vn_kv[a] for a in lines.from_bus]) ** 2 / golden["sn_mva"]
    r_ohm = (1.0 / y_series).real * z_base_ohm
    twin = np.abs(r_ohm[:, None] - lines.r_ohm[None, :]).argmin(axis=1)
    np.testing.assert_allclose(lines.r_ohm[twin], r_ohm, rtol=1e-9)
    columns = {name: getattr(lines, name)[twin] for name in ("r_ohm", "x_ohm", "g_s", "b_s", "i_max_a")}
    return spec.replace(lines=replace(lines, **columns))


def _injections(golden: dict[str, Any], scenario: int, quantity: str) -> Any:
    parts = [
        sign * golden[f"{kind}_{quantity}"][scenario] * golden[f"{kind}_scaling"]
        for kind, sign in SIGNS.items()
        if f"{kind}_{quantity}" in golden
    ]
    return np.concatenate(parts) * KW_PER_MW


def _scenarios(spec: NetworkSpec, golden: dict[str, Any]) -> Any:
    for scenario in range(len(golden["vm_pu"])):
        taps = (
            dict(zip((f"trafo.{i}" for i in golden.get("trafo_id", ())), golden["tap_pos"][scenario], strict=True))
            if "tap_pos" in golden
            else {}
        )
        network = compile_network(spec.with_taps({k: v for k, v in taps.items() if k in spec.tap_names}))
        yield (
            scenario,
            network,
            solve(network, _injections(golden, scenario, "p_mw"), _injections(golden, scenario, "q_mvar")),
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
        np.testing.assert_allclose(
            solved.source_kva[network.source_to_node], source_kva, atol=POWER_TOLERANCE_KVA, rtol=0
        )
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
        np.testing.assert_allclose(values, _injections(golden, 0, quantity), rtol=1e-12, atol=1e-12)


def test_golden_files_are_those_listed_here() -> None:
    folder = shared_file("pandapower")
    balanced = {path.stem for path in folder.glob("*.npz") if not path.stem.startswith("3ph_")}
    assert balanced == set(CASES), json.dumps(sorted(balanced ^ set(CASES)))
