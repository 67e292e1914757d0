"""Networks of users as files and objects."""

from pathlib import Path

import numpy as np
import pandapower as pp
import pytest

import gridenv
from gridenv.adapters.program import program
from gridenv.core.errors import ConfigError, NetworkError
from gridenv.network import balanced_yaml, load_network, phase_yaml_dump
from gridenv.network.own import digest_of, name_of
from gridenv.tasks.grid_config import GridTaskConfig
from gridenv.tasks.volt_var import VoltVarConfig
from tests.own_tasks import street


@pytest.fixture(autouse=True)
def _place(tmp_path, monkeypatch):
    monkeypatch.setenv("GRIDENV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def lowest_pu(network) -> float:
    flow = gridenv.PowerFlow(network, dtype="float64")
    return float(np.abs(flow.solve(flow.default_p_kw, flow.default_q_kvar).v_pu).min())


def test_a_pandapower_file_is_a_network_and_follows_its_content(monkeypatch) -> None:
    net = street()
    pp.to_json(net, "street.json")
    pp.runpp(net)
    assert lowest_pu("street.json") == pytest.approx(net.res_bus.vm_pu.min(), abs=1e-7)
    assert load_network("street.json").name == "street.json"
    before = digest_of("street.json")
    with monkeypatch.context() as unread:
        unread.setattr("gridenv.network.own.read_pandapower", None)
        assert digest_of("street.json") == before  # converted once
    heavier = street(0.05)
    pp.to_json(heavier, "street.json")
    pp.runpp(heavier)
    assert digest_of("street.json") != before
    assert lowest_pu("street.json") == pytest.approx(heavier.res_bus.vm_pu.min(), abs=1e-7)


@pytest.mark.parametrize(
    "source", ["pandapower_tables.py", "transformer.py", "spec.py", "phase_tables.py", "storage.py"]
)
def test_a_pandapower_file_is_converted_anew_when_the_code_that_converts_it_changes(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pp.to_json(street(), "street.json")
    load_network("street.json")
    load_network("street.json")
    assert len(list((tmp_path / "cache" / "networks").iterdir())) == 1
    real = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: real(path) + (b"# new" if path.name == source else b""))
    load_network("street.json")
    assert len(list((tmp_path / "cache" / "networks").iterdir())) == 2


def test_environments_of_a_changed_file_are_built_anew() -> None:
    roof = [{"bus": "1", "p_dc_kw": 10.0, "profile": "PV1"}]

    def weights_kw() -> np.ndarray:
        built = program("VoltVar-IEEE33-v0", {"network": "street.json", "inverters": roof})
        assert program("VoltVar-IEEE33-v0", {"network": "street.json", "inverters": roof}) is built
        return np.asarray(built.params.model.loads.p_weight_kw)

    pp.to_json(street(), "street.json")
    first = weights_kw()
    pp.to_json(street(0.04), "street.json")
    np.testing.assert_allclose(weights_kw(), 2.0 * first)


def test_yaml_files_of_both_kinds_are_networks(tmp_path) -> None:
    (tmp_path / "one.yaml").write_text(
        balanced_yaml.dump(gridenv.from_pandapower(street()), description="a street", source="this test")
    )
    assert lowest_pu("one.yaml") == pytest.approx(lowest_pu(gridenv.from_pandapower(street())), abs=1e-6)
    three = load_network("ieee13")
    (tmp_path / "three.yaml").write_text(phase_yaml_dump.dump(three))
    assert load_network("three.yaml").injections.id == three.injections.id


def test_a_script_of_opendss_is_a_network(tmp_path) -> None:
    pytest.importorskip("opendssdirect", reason="needs the extra gridenv[opendss]")
    (tmp_path / "Feeder.dss").write_text(
        "Clear\nNew Circuit.small basekv=0.4 pu=1.0\nNew Line.l bus1=sourcebus bus2=end length=0.1 units=km\n"
        "New Load.a bus1=end kv=0.4 kw=5 pf=0.95\nSet voltagebases=[0.4]\nCalcvoltagebases\nSolve\n"
    )
    assert load_network("Feeder.dss").name == "Feeder.dss"


def test_networks_as_objects_are_kept_and_named_by_their_content(tmp_path, monkeypatch) -> None:
    name = name_of(street())
    assert name.startswith("own:a-street-")
    assert name == name_of(gridenv.from_pandapower(street())) != name_of(street(0.03))
    assert lowest_pu(name) == pytest.approx(lowest_pu(gridenv.from_pandapower(street())), abs=1e-9)
    assert digest_of(name) == "" == digest_of("ieee33")
    config = VoltVarConfig(network=street())
    assert config.network == name
    assert VoltVarConfig.model_validate_json(config.model_dump_json()) == config
    monkeypatch.setenv("GRIDENV_CACHE_DIR", str(tmp_path / "elsewhere"))
    with pytest.raises(NetworkError, match=f"network '{name}': is not kept on this machine; give it to a task as an o"):
        load_network(name)


def test_a_network_may_be_the_default_of_a_task() -> None:
    class Mine(GridTaskConfig):
        network: str = street()

    assert Mine().network == name_of(street())


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        ("no.json", "network 'no.json': there is no such file"),
        (
            "bad.json",
            "network file 'bad.json': cannot be read as a pandapower network .*; write it with pandapower.to_js",
        ),
        ("other.json", "network file 'other.json': .*write it with pandapower.to_json"),
        ("bad.yaml", "network file 'bad.yaml': is not YAML"),
        ("street.jsn", r"unknown network 'street.jsn'.*; or give the path of a file that ends in .json"),
        (7, "network: is a int; allowed: a name of the catalogue, the path of a file, or a network of"),
    ],
)
def test_what_is_no_network_is_one_clear_error(network, expected: str, tmp_path) -> None:
    (tmp_path / "bad.json").write_text("{]")
    (tmp_path / "other.json").write_text('{"a": 1}')
    (tmp_path / "bad.yaml").write_text("a: [")
    with pytest.raises(NetworkError, match=expected) as error:
        gridenv.make("VoltVar-IEEE33-v0", network=network)
    assert len(str(error.value).splitlines()) == 1


def test_a_long_value_is_named_by_its_type() -> None:
    with pytest.raises(ConfigError, match=r"load_scale = a list; must be a valid number"):
        gridenv.make("VoltVar-IEEE33-v0", load_scale=list(range(1000)))
