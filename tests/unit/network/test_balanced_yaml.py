"""Balanced networks as YAML: what is written is read back, and what is wrong is named."""

from dataclasses import fields

import numpy as np
import pytest

from gridenv.core.errors import NetworkError
from gridenv.network import balanced_yaml, load_network
from tests.unit.network.small_networks import two_bus


def assert_equal_tables(got, expected):
    for f in fields(expected):
        if f.name == "name":
            continue
        for column in fields(getattr(expected, f.name)):
            a, b = (getattr(getattr(spec, f.name), column.name) for spec in (got, expected))
            if isinstance(b, tuple):
                assert a == b
            else:
                np.testing.assert_allclose(a, b, rtol=1e-8)


def test_network_survives_writing_and_reading(tmp_path):
    spec = load_network("ieee33")
    path = tmp_path / "x.yaml"
    path.write_text(balanced_yaml.dump(spec, description='thirty-three "buses"', source="somewhere"))
    assert_equal_tables(balanced_yaml.load(path), spec)


def test_shipped_feeder_is_that_of_simbench():
    pytest.importorskip("simbench", reason="needs the extra [simbench]")
    shipped, original = load_network("simbench_lv_rural3"), load_network("simbench:1-LV-rural3--0-sw")
    assert_equal_tables(shipped, original)


def test_unknown_and_missing_columns_are_all_named(tmp_path):
    text = balanced_yaml.dump(two_bus(-10.0), description="x", source="x")
    path = tmp_path / "x.yaml"
    path.write_text(text.replace("vn_kv: 10.0", "vn_kvv: 10.0", 1) + "linse: []\n")
    with pytest.raises(NetworkError) as error:
        balanced_yaml.load(path)
    message = str(error.value)
    assert "unknown table 'linse'; did you mean 'lines'?" in message
    assert "buses 'a': unknown column 'vn_kvv'; did you mean 'vn_kv'?" in message
    assert "buses 'a': column 'vn_kv' is missing; give it a value" in message
