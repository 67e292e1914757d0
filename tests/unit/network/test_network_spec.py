"""Tables, and copies with other taps and switches."""

import numpy as np
import pytest

from gridenv.core.errors import NetworkError
from gridenv.network import BusTable, LineTable
from tests.unit.network.small_networks import everything, flags, floats, two_bus


def test_columns_left_out_take_their_defaults() -> None:
    lines = LineTable(id=("x", "y"), from_bus=("a", "b"), to_bus=("b", "c"), r_ohm=floats(1, 2), x_ohm=floats(1, 2))
    np.testing.assert_array_equal(lines.i_max_a, [np.inf, np.inf])
    np.testing.assert_array_equal(lines.b_s, [0.0, 0.0])
    assert lines.in_service.all()
    assert lines.from_closed.all()
    assert lines.to_closed.all()
    assert lines.r_ohm.dtype == np.float64


def test_columns_cannot_be_changed_in_place() -> None:
    vn_kv = np.array([20.0])
    buses = BusTable(id=("a",), vn_kv=vn_kv)
    vn_kv[0] = 10.0
    assert buses.vn_kv[0] == 20.0
    with pytest.raises(ValueError, match="read-only"):
        buses.vn_kv[0] = 10.0


def test_with_taps_changes_a_copy() -> None:
    spec = everything()
    changed = spec.with_taps({"trafo.1": -3.5})
    np.testing.assert_array_equal(changed.transformers.tap_pos, [-1, -3.5])
    np.testing.assert_array_equal(spec.transformers.tap_pos, [-1, 2])


def test_with_taps_reports_all_wrong_names_and_positions() -> None:
    with pytest.raises(NetworkError) as error:
        everything().with_taps({"trafo.7": 0, "trafo.0": 3, "trafo.1": float("nan")})
    assert str(error.value).splitlines() == [
        "network 'everything': no tap changer 'trafo.7'; did you mean 'trafo.1'?",
        "network 'everything': transformer 'trafo.0' tap_pos = 3; allowed -2..2; choose a position in this range",
        "network 'everything': transformer 'trafo.1' tap_pos = nan; allowed -4..4; choose a position in this range",
    ]


def test_transformer_without_tap_changer_is_not_a_tap_name() -> None:
    spec = everything()
    table = spec.transformers
    columns = {
        name: getattr(table, name) for name in ("s_kva", "vn_hv_kv", "vn_lv_kv", "vk", "vkr", "loading_base_kva")
    }
    fixed = type(table)(id=table.id, hv_bus=table.hv_bus, lv_bus=table.lv_bus, **columns)
    assert spec.replace(transformers=fixed).tap_names == ()
    with pytest.raises(NetworkError, match=r"no tap changer 'trafo\.0'$"):
        spec.replace(transformers=fixed).with_taps({"trafo.0": 0})


def test_switches_are_bus_switches_then_lines() -> None:
    spec = everything()
    assert spec.switch_names == ("switch.0", "switch.1", *spec.lines.id)
    np.testing.assert_array_equal(spec.default_switches, [1, 0, 1, 1, 0, 1, 1, 1])


def test_with_switches_at_the_present_state_changes_nothing() -> None:
    spec = everything()
    same = spec.with_switches(dict(zip(spec.switch_names, spec.default_switches, strict=True)))
    np.testing.assert_array_equal(same.default_switches, spec.default_switches)
    np.testing.assert_array_equal(same.lines.from_closed, spec.lines.from_closed)
    np.testing.assert_array_equal(same.lines.to_closed, spec.lines.to_closed)


def test_with_switches_opens_both_ends_of_a_line_and_closes_an_open_one() -> None:
    changed = everything().with_switches({"line.2": True, "line.0": False, "switch.1": True})
    np.testing.assert_array_equal(changed.default_switches, [1, 1, 0, 1, 1, 1, 1, 1])
    assert not changed.lines.from_closed[0]
    assert not changed.lines.to_closed[0]


def test_with_switches_puts_a_closed_line_in_service() -> None:
    spec = two_bus()
    table = LineTable(**{**vars(spec.lines), "in_service": flags(False)})
    assert spec.replace(lines=table).with_switches({"ab": True}).lines.in_service[0]


def test_with_switches_reports_unknown_names() -> None:
    with pytest.raises(NetworkError, match=r"network 'two_bus': unknown switch 'ac'; did you mean 'ab'\?"):
        two_bus().with_switches({"ac": True})
