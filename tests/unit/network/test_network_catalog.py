"""Networks by name, and the cache of converted ones."""

import importlib.metadata
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from gridenv.core.errors import MissingExtraError, NetworkError
from gridenv.network import NetworkSpec, catalog, compile_network, list_networks, load_balanced, load_network, storage
from gridenv.network.converted import cache_key
from tests.unit.network.fixed_point import solve_default
from tests.unit.network.small_networks import everything, two_bus
from tests.unit.network.small_phase_networks import every_kind


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GRIDENV_CACHE_DIR", str(tmp_path))
    return tmp_path / "networks"


def assert_same(a: storage.Spec, b: storage.Spec) -> None:
    assert a.name == b.name
    assert type(a) is type(b)
    for table in storage.table_types(type(a)):
        for f in fields(getattr(a, table)):
            left, right = getattr(getattr(a, table), f.name), getattr(getattr(b, table), f.name)
            assert type(left) is type(right)
            np.testing.assert_array_equal(left, right, err_msg=f"{table}.{f.name}")


@pytest.mark.parametrize("spec", [everything(), two_bus(), every_kind()], ids=lambda spec: spec.name)
def test_stored_network_is_read_back_unchanged(spec: storage.Spec, tmp_path: Path) -> None:
    path = tmp_path / "network.npz"
    storage.save(spec, path)
    assert_same(storage.load(path), spec)
    assert [p.name for p in tmp_path.iterdir()] == ["network.npz"]


def test_every_listed_network_has_a_description() -> None:
    listed = list_networks()
    assert "ieee33" in listed
    assert "cigre_mv" in listed
    assert all(len(text) > 10 and "\n" not in text for text in listed.values())


THREE_PHASE = ("ieee13", "ieee34", "ieee37", "ieee123", "european_lv")
BALANCED = [n for n in list_networks() if not n.startswith("simbench:") and n not in THREE_PHASE]


@pytest.mark.parametrize("name", BALANCED)
def test_every_network_loads_and_solves(name: str) -> None:
    solved = solve_default(compile_network(load_balanced(name)))
    assert np.abs(solved.v_pu[solved.v_pu != 0.0]).min() > 0.85


def test_three_phase_network_is_refused_where_a_balanced_one_is_needed() -> None:
    with pytest.raises(NetworkError, match=r"^network 'ieee13' has three unbalanced phases; allowed: a balanced one"):
        load_balanced("ieee13")


def test_unknown_name_suggests_the_closest() -> None:
    with pytest.raises(NetworkError, match=r"^unknown network 'iee33'; did you mean 'ieee33'\?$"):
        load_network("iee33")


def test_second_load_comes_from_the_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_network("cigre_mv")
    assert first.name == "cigre_mv"
    assert len(list(cache.iterdir())) == 1

    def convert(name: str) -> NetworkSpec:
        raise AssertionError(f"{name} was converted again")

    monkeypatch.setattr(catalog, "_convert_pandapower", convert)
    assert_same(load_network("cigre_mv"), first)


def test_damaged_cache_file_is_written_anew(cache: Path) -> None:
    first = load_network("cigre_mv")
    (path,) = cache.iterdir()
    whole = path.read_bytes()
    for damaged in (b"", b"not an archive", whole[: len(whole) // 2], whole.replace(b"lines.r_ohm", b"lines.r_xxx")):
        path.write_bytes(damaged)
        assert_same(load_network("cigre_mv"), first)
        assert_same(storage.load(path), first)


def test_cache_key_depends_on_name_and_package_version(monkeypatch: pytest.MonkeyPatch) -> None:
    key = cache_key("cigre_mv", ("pandapower",))
    assert key != cache_key("cigre_lv", ("pandapower",))
    monkeypatch.setattr("importlib.metadata.version", lambda package: "0.0")
    assert key != cache_key("cigre_mv", ("pandapower",))


def test_cached_load_imports_neither_pandapower_nor_jax(cache: Path) -> None:
    load_network("cigre_mv")
    code = (
        "import sys, gridenv.network as n; n.load_network('cigre_mv'); n.load_network('ieee33'); "
        "print([m for m in ('pandapower', 'pandas', 'jax') if m in sys.modules])"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_random_networks_are_the_same_at_every_conversion(cache: Path) -> None:
    first = load_network("kerber_dorfnetz")
    (path,) = cache.iterdir()
    path.unlink()
    assert_same(load_network("kerber_dorfnetz"), first)


def test_missing_simbench_names_the_extra(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def version(package: str) -> str:
        if package == "simbench":
            raise importlib.metadata.PackageNotFoundError(package)
        return "1"

    monkeypatch.setattr("importlib.metadata.version", version)
    with pytest.raises(
        MissingExtraError, match=r'package .simbench. is not installed; .* pip install "gridenv\[simbench\]"'
    ):
        load_network("simbench:1-LV-rural3--0-sw")


def test_unknown_simbench_code_suggests_the_closest(cache: Path) -> None:
    pytest.importorskip("simbench", reason="needs the extra [simbench]")
    with pytest.raises(
        NetworkError, match=r"^unknown SimBench code '1-LV-rurl3--0-sw'; did you mean '1-LV-rural3--0-sw'\?$"
    ):
        load_network("simbench:1-LV-rurl3--0-sw")
