"""Network files: read back what was written, and messages that name file, line and key."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from gridenv.core.errors import ConfigError
from gridenv.network import PhaseNetworkSpec
from gridenv.network.phase_yaml import load
from gridenv.network.phase_yaml_dump import About, dump
from tests.unit.network.small_phase_networks import every_kind

SMALL = """\
name: small
code_length_unit: mi
length_unit: ft
buses:
  - {vn_kv: 12.47, ids: [src, 0650]}
sources:
  - {id: grid, bus: src, phases: 123, v_pu: 1.02, angle_deg: 30}
line_codes:
  a:
    r_ohm: [[0.4], [0.1, 0.5], [0.1, 0.2, 0.6]]
    x_ohm: [[1.0], [0.5, 1.1], [0.4, 0.3, 1.2]]
    b_us: [[5], [-1, 5], [-1, -1, 5]]
lines:
  - {id: l1, from_bus: src, to_bus: 0650, phases: 123, code: a, length: 2640}
  - {id: l2, from_bus: src, to_bus: 0650, phases: 2, to_phases: 3, r_ohm: [[1]], x_ohm: [[2]], closed: false}
injections:
  - {id: load, bus: 0650, phases: 12, connection: delta, kind: load, p_kw: -10, q_kvar: -5, v_kv: 12.47}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "small.yaml"
    path.write_text(text)
    return path


def assert_close(a: PhaseNetworkSpec, b: PhaseNetworkSpec) -> None:
    for table in (f.name for f in fields(a) if f.name != "name"):
        for f in fields(getattr(a, table)):
            left, right = getattr(getattr(a, table), f.name), getattr(getattr(b, table), f.name)
            if f.metadata:
                np.testing.assert_allclose(left, right, rtol=1e-11, atol=1e-15, err_msg=f"{table}.{f.name}")
            elif (table, f.name) != ("windings", "id"):
                assert left == right, f"{table}.{f.name}"


def test_values_are_read_with_their_units(tmp_path: Path) -> None:
    spec = load(written(tmp_path, SMALL))
    assert spec.buses.id == ("src", "0650")
    np.testing.assert_allclose(spec.sources.angle_rad, np.pi / 6)
    # Half a mile.
    np.testing.assert_allclose(spec.lines.z_ohm[0, 1], [0.05 + 0.25j, 0.25 + 0.55j, 0.1 + 0.15j])
    np.testing.assert_allclose(spec.lines.y_s[0, 0], [2.5e-6j, -0.5e-6j, -0.5e-6j])
    assert spec.lines.to_phases == ("123", "3")
    assert not spec.lines.closed[1]
    assert np.isinf(spec.lines.i_max_a).all()
    assert spec.injections.exponent_p[0] == 0.0


def test_written_network_is_read_back(tmp_path: Path) -> None:
    spec = every_kind()
    assert_close(load(written(tmp_path, dump(spec, About(description="a: 'b'", source="one\ntwo")))), spec)


def test_lines_share_a_code_where_it_fits(tmp_path: Path) -> None:
    spec = load(written(tmp_path, SMALL))
    lengths = {"l1": ("a", 2640.0), "l2": ("a", 1000.0)}
    text = dump(spec, About(code_length_unit="mi", length_unit="ft", lengths=lengths))
    assert "r_ohm: [[0.4], [0.1, 0.5], [0.1, 0.2, 0.6]]" in text
    assert "phases: '123', code: a, length: 2640}" in text
    assert "to_phases: '3', r_ohm: [[1]]" in text
    assert_close(load(written(tmp_path, text)), spec)


WRONG = {
    ("phases: 123, v_pu", "phase: 123, v_pu"): (
        r"network file '.*small.yaml': unknown key 'sources.0.phase' \(.*small.yaml:7\); did you mean 'phases'\?",
        r"key 'sources.0.phases' is missing",
    ),
    ("v_pu: 1.02", "v_pu: high"): (r"sources.0.v_pu = 'high'; must be a valid number.*small.yaml:7",),
    ("name: small\n", "nom: small\n"): (r"unknown key 'nom'", r"key 'name' is missing"),
    ("name: small\n", "name: small\nname: other\n"): (r"key 'name' appears more than once; keep one",),
    ("[0.1, 0.2, 0.6]", "[0.1, 0.2]"): (r"r_ohm has rows of \[1, 2, 2\] numbers; must be a lower triangle",),
    (", x_ohm: [[2]]", ""): (r"x_ohm is missing; must have as many rows as r_ohm",),
    ("code: a, length", "code: b, length"): (r"line 'l1': code = 'b' is unknown",),
    ("length: 2640", "length: 0"): (r"line 'l1': length = 0; allowed: > 0; give the length in ft",),
    (", code: a, length: 2640", ""): (r"line 'l1': has neither code nor r_ohm",),
    ("to_phases: 3, r_ohm", "code: a, length: 1, to_phases: 3, r_ohm"): (r"line 'l2': has a code and r_ohm",),
    ("phases: 123, code", "phases: 12, code"): (r"line 'l1': matrices of 3 rows for phases '12'; allowed: 2 rows",),
    ("to_phases: 3", "to_phases: 31"): (r"line 'l2': phases '2' and to_phases '31'; allowed: equally many",),
    ("length_unit: ft", "length_unit: feet"): (r"length_unit = 'feet'; allowed: mi, kft, km, m, ft",),
    ("buses:", "buses: ["): (r"not valid YAML",),
}


@pytest.mark.parametrize("change", WRONG)
def test_mistakes_are_named(change: tuple[str, str], tmp_path: Path) -> None:
    text = SMALL.replace(*change)
    assert text != SMALL
    for message in WRONG[change]:
        with pytest.raises(ConfigError, match=message):
            load(written(tmp_path, text))


def test_missing_file_and_lists_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"network file '.*nowhere.yaml': no such file"):
        load(tmp_path / "nowhere.yaml")
    with pytest.raises(ConfigError, match=r"is not a mapping"):
        load(written(tmp_path, "- a\n"))
