"""Time series, all steps in one batched call: a three-phase low-voltage day and two SimBench periods."""

from typing import Any

import numpy as np
import pytest

from gridenv.network import load_network
from gridenv.powerflow import PowerFlow
from tests.golden.dss_networks import W_PER_KW, golden, phase_spec_from_npz
from tests.shared_data import shared_file

PERCENT = 100.0
KW_PER_MW = 1000.0
SIGNS = {"load": -1.0, "sgen": 1.0, "storage": -1.0}

# Of the node's base. OpenDSS solved every minute to 1e-10, pandapower to 1e-10 MVA.
DSS_TOLERANCE_PU = {"float64": 1e-6, "float32": 2e-5}
PANDAPOWER_TOLERANCE_PU = {"float64": 1e-8, "float32": 5e-6}
# Of the power that flows, which is what float32 resolves to 1e-7; losses are its difference.
POWER_TOLERANCE = {"float64": 1e-6, "float32": 2e-5}
LOADING_TOLERANCE = {"float64": 1e-5, "float32": 1e-3}

every_dtype = pytest.mark.parametrize("dtype", ["float64", "float32"])


def series(name: str) -> dict[str, Any]:
    with np.load(shared_file(f"qsts/{name}.npz"), allow_pickle=False) as file:
        return dict(file)


@every_dtype
def test_day_of_the_european_low_voltage_feeder_agrees_with_opendss(dtype: str) -> None:
    file, day = golden("european_lv"), series("european_lv_day")
    power_flow = PowerFlow(phase_spec_from_npz("european_lv"), dtype)
    order = [tuple(map(str, day["load_names"])).index(name) for name in power_flow.injection_names]
    # The file counts consumption positive.
    solution = power_flow.solve(-day["p_kw"][:, order], -day["q_kvar"][:, order])
    assert solution.v_pu.shape == (1440, len(power_flow.node_names))
    assert np.all(solution.converged)
    v = np.asarray(solution.v_pu)
    place = {name: i for i, name in enumerate(power_flow.node_names)}
    node = np.array([place[str(name).lower()] for name in day["node_names"]])
    base_v = file["node_vbase_ln_V"]
    at_load = day["load_node"]
    difference = v[:, node[at_load]] - day["V_load"] / base_v[at_load]
    assert np.abs(difference).max() <= DSS_TOLERANCE_PU[dtype]
    difference = v[day["snap_t"]][:, node] - day["snap_V"] / base_v
    assert np.abs(difference).max() <= DSS_TOLERANCE_PU[dtype]
    scale_va = np.abs(day["source_VA"])
    source_va = (np.asarray(solution.source_p_kw) + 1j * np.asarray(solution.source_q_kvar)) * W_PER_KW
    assert np.all(np.abs(source_va - day["source_VA"]) <= POWER_TOLERANCE[dtype] * scale_va)
    loss_w = np.asarray(solution.loss_kw) * W_PER_KW
    assert np.all(np.abs(loss_w - day["loss_VA"].real) <= POWER_TOLERANCE[dtype] * scale_va)


@every_dtype
@pytest.mark.parametrize("name", ["sb_1-LV-rural1--2-sw_week26", "sb_1-MV-rural--2-sw_day180"])
def test_period_of_a_simbench_network_agrees_with_pandapower(name: str, dtype: str) -> None:
    pytest.importorskip("simbench", reason="SimBench networks need the extra [simbench]")
    period = series(name)
    spec = load_network(f"simbench:{period['code']}")
    positions = dict(zip((f"trafo.{i}" for i in period["trafo_id"]), period["tap_pos"], strict=True))
    power_flow = PowerFlow(spec.with_taps({k: v for k, v in positions.items() if k in spec.tap_names}), dtype)
    assert tuple(map(str, period["bus_id"])) == power_flow.node_names
    solution = power_flow.solve(_injections(power_flow, period, "p_mw"), _injections(power_flow, period, "q_mvar"))
    assert solution.v_pu.shape == period["vm_pu"].shape
    assert np.all(solution.converged)
    v = period["vm_pu"] * np.exp(1j * np.deg2rad(period["va_deg"]))
    live = ~np.isnan(v)
    np.testing.assert_array_equal(solution.energised, live)
    assert np.abs(np.asarray(solution.v_pu) - v)[live].max() <= PANDAPOWER_TOLERANCE_PU[dtype]
    # The file holds loadings in float32.
    for ours, theirs in (
        (solution.line_loading, period["line_loading_pct"]),
        (solution.transformer_loading, period["trafo_loading_pct"]),
    ):
        expected = np.nan_to_num(theirs.astype(float)) / PERCENT
        tolerance = LOADING_TOLERANCE[dtype]
        np.testing.assert_allclose(np.asarray(ours), expected, rtol=tolerance, atol=0.05 * tolerance)
    source_kva = period["ext_pq"] @ [1.0, 1.0j] * KW_PER_MW
    scale_kva = np.abs(source_kva)
    ours_kva = np.asarray(solution.source_p_kw) + 1j * np.asarray(solution.source_q_kvar)
    assert np.all(np.abs(ours_kva - source_kva) <= POWER_TOLERANCE[dtype] * (1.0 + scale_kva))
    loss_kw = period["loss_p_mw"] * KW_PER_MW
    assert np.all(np.abs(np.asarray(solution.loss_kw) - loss_kw) <= POWER_TOLERANCE[dtype] * (1.0 + scale_kva))


def _injections(power_flow: PowerFlow, period: dict[str, Any], quantity: str) -> np.ndarray:
    """[step, injection] in the order of the network, into the network."""
    columns = {}
    for kind, sign in SIGNS.items():
        if f"{kind}_{quantity}" in period:
            values = sign * period[f"{kind}_{quantity}"] * KW_PER_MW
            columns |= dict(zip((f"{kind}.{i}" for i in period[f"{kind}_id"]), values.T, strict=True))
    zero = np.zeros(len(period["vm_pu"]))
    unknown = set(columns) - set(power_flow.injection_names)
    assert not unknown, unknown
    return np.stack([columns.get(name, zero) for name in power_flow.injection_names], axis=-1)
