"""Three-phase power flow against pandapower's runpp_3ph: 21 scenarios of a network in one batched call."""

from typing import Any

import numpy as np
import pandapower as pp
import pytest

from gridenv.network import from_pandapower
from gridenv.powerflow import PowerFlow
from tests.shared_data import shared_file

KW_PER_MW = 1000.0
A_PER_KA = 1000.0

# pandapower stops at a power mismatch of 3e-8 of its base, which is 1 MVA in the small network and 100 MVA in the large
# one; with a base of 0.1 MVA the large one agrees to 4e-10 pu as well.
CASES = {"3ph_small_dyn_lv": 2e-7, "3ph_ieee_european_lv_on_peak_566": 5e-6}
FLOAT32_PU = 2e-6


def _powers(golden: dict[str, Any], power_flow: PowerFlow, net: Any) -> tuple[np.ndarray, np.ndarray]:
    """The file has the loads of each phase; the network may have further elements, which keep their power."""
    names = power_flow.injection_names
    default_p_kw, default_q_kvar = power_flow.default_p_kw, power_flow.default_q_kvar
    place = {
        f"asymmetric_load.{index}.{phase}": (k, phase)
        for k, index in enumerate(net.asymmetric_load.index)
        for phase in "abc"
    }
    columns = [(n, *place[name]) for n, name in enumerate(names) if name in place]
    result = []
    for default, quantity, unit in ((default_p_kw, "p", "mw"), (default_q_kvar, "q", "mvar")):
        power = np.tile(default, (len(golden["vm_pu"]), 1))
        for n, k, phase in columns:
            power[:, n] = -KW_PER_MW * golden[f"load_{quantity}_{phase}_{unit}"][:, k]
        result.append(power)
    return result[0], result[1]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", CASES)
def test_batched_scenarios_agree_with_runpp_3ph(name: str, dtype: str) -> None:
    with np.load(shared_file(f"pandapower/{name}.npz"), allow_pickle=False) as file:
        golden = dict(file)
    net = pp.from_json_string(str(golden["network_json"]))
    power_flow = PowerFlow(from_pandapower(net, phases=3), dtype)
    p_kw, q_kvar = _powers(golden, power_flow, net)
    solution = power_flow.solve(p_kw, q_kvar)
    assert np.all(solution.converged)
    nodes = [[power_flow.node_names.index(f"{bus}.{phase}") for phase in (1, 2, 3)] for bus in golden["bus_id"]]
    expected = golden["vm_pu"] * np.exp(1j * np.deg2rad(golden["va_deg"]))
    tolerance_pu = CASES[name] + (FLOAT32_PU if dtype == "float32" else 0.0)
    assert np.abs(np.asarray(solution.v_pu)[:, nodes] - expected).max() <= tolerance_pu
    current_a = golden["line_i_from_ka"] * A_PER_KA
    np.testing.assert_allclose(solution.line_current_a, current_a, rtol=2e-3, atol=2e-3 * current_a.max())
    if dtype == "float64":
        loss_kw = golden["loss_p_mw"] * KW_PER_MW
        np.testing.assert_allclose(solution.loss_kw, loss_kw, rtol=2e-3, atol=1e-3 * np.abs(p_kw).sum(axis=1).max())
