"""Bundled IEEE feeders and the European low-voltage feeder against independent solutions."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gridenv.network import PhaseNetworkSpec, catalog, list_networks, load_network
from gridenv.network.phase_circuit import phase_circuit
from tests.shared_data import shared_file
from tests.unit.network.phase_fixed_point import solved

CASES = {"ieee13": "ieee13", "ieee34": "ieee34mod1", "ieee37": "ieee37", "ieee123": "ieee123"}
"""Catalogue name -> file of the OpenDSS solution."""
SIZES = {"ieee13": (12, 15, 3), "ieee34": (32, 68, 6), "ieee37": (36, 30, 2), "ieee123": (126, 91, 7)}
"""Lines, loads and regulators."""


def golden(name: str) -> dict[str, Any]:
    with np.load(shared_file(name), allow_pickle=False) as file:
        return dict(file)


@pytest.mark.parametrize("name", CASES)
def test_feeder_agrees_with_opendss_at_the_published_taps(name: str) -> None:
    file = golden(f"dss/{CASES[name]}.npz")
    circuit = phase_circuit(load_network(name))
    v = dict(zip(circuit.node_names, solved(circuit), strict=True))
    assert set(v) == set(map(str, file["node_names"]))
    expected = file["ideal_V"] / file["node_vbase_ln_V"]
    # OpenDSS iterates to 1e-10; voltages of floating deltas to ground rest on stray admittances only.
    np.testing.assert_allclose([v[n] for n in file["node_names"]], expected, rtol=0.0, atol=5e-8)


@pytest.mark.parametrize("name", CASES)
def test_feeder_has_its_elements_and_a_description(name: str) -> None:
    spec = load_network(name)
    assert isinstance(spec, PhaseNetworkSpec)
    assert spec.name == name
    assert (len(spec.lines), len(spec.injections), len(spec.regulators)) == SIZES[name]
    assert f"IEEE {name.removeprefix('ieee')}-node feeder" in list_networks()[name]


def test_ieee13_holds_the_published_numbers() -> None:
    """Source: IEEE 13 Node Test Feeder: configuration 601 in ohm per mile, 2000 ft from 650 to 632, taps 10, 8, 11."""
    spec = load_network("ieee13")
    z = spec.lines.z_ohm[spec.lines.id.index("line.650632")]
    np.testing.assert_allclose(z[0, 0], (0.3465 + 1.0179j) * 2000 / 5280, rtol=1e-9)
    np.testing.assert_allclose(z[1, 2], (0.1535 + 0.3849j) * 2000 / 5280, rtol=1e-9)
    np.testing.assert_allclose(phase_circuit(spec).default_taps, [10, 8, 11])
    np.testing.assert_allclose(spec.injections.p_kw.sum(), -3466.0)
    np.testing.assert_allclose(spec.capacitors.q_kvar.sum(), 700.0)


def test_european_lv_comes_through_pandapower_and_is_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRIDENV_CACHE_DIR", str(tmp_path))
    spec = load_network("european_lv")
    assert isinstance(spec, PhaseNetworkSpec)
    assert (len(spec.buses), len(spec.lines), len(spec.injections)) == (907, 905, 165)
    assert spec.injections.id[:3] == ("asymmetric_load.0.a", "asymmetric_load.0.b", "asymmetric_load.0.c")
    monkeypatch.setattr(catalog, "PANDAPOWER_NETWORKS", {"european_lv": None})
    again = load_network("european_lv")
    np.testing.assert_array_equal(again.lines.z_ohm, spec.lines.z_ohm)
    assert again.windings.bus == spec.windings.bus
