"""Access to the golden power flows of pandapower: networks, inputs and tap positions of a file."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from gridenv.network import NetworkSpec, load_network
from tests.shared_data import shared_file

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


@cache
def load_case(name: str) -> tuple[NetworkSpec, dict[str, Any]]:
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


def injections(golden: dict[str, Any], scenario: Any, quantity: str) -> Any:
    parts = [
        sign * golden[f"{kind}_{quantity}"][scenario] * golden[f"{kind}_scaling"]
        for kind, sign in SIGNS.items()
        if f"{kind}_{quantity}" in golden
    ]
    return np.concatenate(parts, axis=-1) * KW_PER_MW


def taps(golden: dict[str, Any], scenario: int) -> dict[str, float]:
    """Tap positions of a scenario by transformer name."""
    if "tap_pos" not in golden:
        return {}
    return dict(zip((f"trafo.{i}" for i in golden.get("trafo_id", ())), golden["tap_pos"][scenario], strict=True))


def tap_groups(golden: dict[str, Any]) -> Iterator[tuple[dict[str, float], list[int]]]:
    """Tap positions and the scenarios that share them."""
    groups: dict[str, tuple[dict[str, float], list[int]]] = {}
    for scenario in range(len(golden["vm_pu"])):
        positions = taps(golden, scenario)
        groups.setdefault(repr(positions), (positions, []))[1].append(scenario)
    return iter(groups.values())
