"""Every message of the network checks."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gridenv.core.errors import NetworkError
from gridenv.network import NetworkSpec, validate
from tests.unit.network.small_networks import everything, flags, floats, two_bus


def changed(table: str, **columns: Any) -> NetworkSpec:
    """The full network with columns of one table replaced."""
    spec = everything()
    return spec.replace(**{table: replace(getattr(spec, table), **columns)})


def with_value(table: str, column: str, row: int, value: Any) -> NetworkSpec:
    """The full network with one cell replaced."""
    cells = getattr(getattr(everything(), table), column)
    changed_cells = list(cells)
    changed_cells[row] = value
    return changed(table, **{column: tuple(changed_cells) if isinstance(cells, tuple) else np.array(changed_cells)})


def message(spec: NetworkSpec) -> str:
    with pytest.raises(NetworkError) as error:
        validate(spec)
    text = str(error.value)
    prefix = f"network '{spec.name}': "
    assert text.startswith(prefix)
    return text.removeprefix(prefix)


def test_sound_networks_pass() -> None:
    validate(everything())
    validate(two_bus())


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (
            changed("lines", x_ohm=floats(1.0, 2.0)),
            "line table: column x_ohm has 2 rows; allowed: 6, one for each id; complete it",
        ),
        (
            with_value("injections", "id", 1, "load.0"),
            "injection 'load.0': id appears 2 times; allowed: once; rename the others",
        ),
        (
            with_value("lines", "to_bus", 1, "m22"),
            "line 'line.1': to_bus = 'm22' is not in the bus table; did you mean 'm2'?",
        ),
        (
            with_value("lines", "x_ohm", 3, np.nan),
            "line 'line.3': x_ohm = nan; allowed: a finite number; correct the value",
        ),
        (
            with_value("injections", "p_kw", 0, np.inf),
            "injection 'load.0': p_kw = inf; allowed: a finite number; correct the value",
        ),
        (
            with_value("lines", "i_max_a", 2, np.nan),
            "line 'line.2': i_max_a = nan; allowed: a number; correct the value",
        ),
        (
            with_value("lines", "i_max_a", 0, -5.0),
            "line 'line.0': i_max_a = -5; allowed: > 0; correct the value",
        ),
        (
            with_value("lines", "r_ohm", 0, -0.1),
            "line 'line.0': r_ohm = -0.1; allowed: >= 0; correct the value",
        ),
        (
            with_value("transformers", "s_kva", 1, 0.0),
            "transformer 'trafo.1': s_kva = 0; allowed: > 0; correct the value",
        ),
        (
            with_value("transformers", "vkr", 0, 0.05),
            (
                "transformer 'trafo.0': vkr = 0.05; allowed: 0..vk = 0.04; the real part cannot exceed the "
                "short-circuit voltage, correct one of them"
            ),
        ),
        (
            with_value("transformers", "x_share_hv", 0, 1.5),
            "transformer 'trafo.0': x_share_hv = 1.5; allowed: 0..1; correct the value",
        ),
        (
            with_value("transformers", "tap_pos", 0, 3.0),
            "transformer 'trafo.0': tap_pos = 3; allowed: -2..2; choose a position in this range, or widen it",
        ),
        (
            with_value("injections", "kind", 0, "lood"),
            "injection 'load.0': kind = 'lood'; did you mean 'load'?",
        ),
        (
            with_value("sources", "v_pu", 0, 0.0),
            "source 'grid': v_pu = 0; allowed: > 0; correct the value",
        ),
        (
            with_value("switches", "bus_b", 0, "l1"),
            (
                "switch 'switch.0': joins bus 'm3' with vn_kv = 20 and bus 'l1' with 0.4; allowed: equal "
                "nominal voltages; correct one, or put a transformer between"
            ),
        ),
        (
            with_value("lines", "to_bus", 4, "t"),
            (
                "line 'line.4': joins bus 'l1' with vn_kv = 0.4 and bus 't' with 20; allowed: equal nominal voltages; "
                "correct one, or put a transformer between"
            ),
        ),
        (
            with_value("sources", "bus", 1, "s"),
            (
                "source 'second': 1.00677+0.0807138j pu at the same node as source 'grid' with 1.0149+0.10183j pu; "
                "allowed: equal voltages; remove one, or open the switch between them"
            ),
        ),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_message(spec: NetworkSpec, expected: str) -> None:
    assert message(spec) == expected


def test_zero_impedance_line_is_refused() -> None:
    spec = two_bus()
    lines = replace(spec.lines, r_ohm=floats(0.0), x_ohm=floats(0.0))
    assert message(spec.replace(lines=lines)) == (
        "line 'ab': r_ohm = 0 and x_ohm = 0; allowed: not both 0; give one, or model it as a switch"
    )


def test_zero_impedance_transformer_is_refused() -> None:
    text = message(changed("transformers", vk=floats(0.0, 0.06), vkr=floats(0.0, 0.01)))
    assert text == "transformer 'trafo.0': vk = 0; allowed: > 0; correct the value"


def test_non_positive_nominal_voltage_is_refused() -> None:
    text = message(with_value("buses", "vn_kv", 1, -20.0))
    assert text.splitlines()[0] == "bus 'm1': vn_kv = -20; allowed: > 0; correct the value"


def test_network_without_source_is_refused() -> None:
    spec = everything()
    for dead in (spec.replace(sources=type(spec.sources)()), changed("buses", in_service=np.zeros(8, dtype=bool))):
        text = message(dead)
        assert "sources at in-service buses; allowed: at least 1; add a source" in text


def test_injection_without_supply_is_refused_unless_islands_are_allowed() -> None:
    spec = two_bus().with_switches({"ab": False})
    assert message(spec) == (
        "injection 'load.b': in_service = True at bus 'b', which has no path to a source; allowed: out of service or "
        "supplied; close a switch, put it out of service, or allow islands"
    )
    validate(spec, allow_islands=True)
    validate(spec.replace(injections=replace(spec.injections, in_service=flags(False))))


def test_open_switch_must_not_join_different_voltages_either() -> None:
    spec = with_value("switches", "bus_b", 1, "l1")
    assert not spec.switches.closed[1]
    assert message(spec) == (
        "switch 'switch.1': joins bus 'm1' with vn_kv = 20 and bus 'l1' with 0.4; allowed: equal nominal voltages; "
        "correct one, or put a transformer between"
    )


def test_sources_at_one_node_may_agree() -> None:
    validate(changed("sources", bus=("s", "s"), v_pu=floats(1.02, 1.02), angle_rad=floats(0.1, 0.1)))


def test_all_problems_are_reported_at_once() -> None:
    spec = with_value("lines", "x_ohm", 3, np.nan)
    spec = spec.replace(transformers=replace(spec.transformers, s_kva=floats(-1.0, 630.0)))
    spec = spec.replace(injections=replace(spec.injections, bus=("l2", "zz", "l1", "m4", "s", "m1")))
    lines = message(spec).splitlines()
    assert len(lines) == 3
    assert all(line.startswith(("network 'everything': ", "injection 'load.1': bus = 'zz'")) for line in lines)


def test_bus_table_without_rows_is_named() -> None:
    spec = two_bus()
    text = message(spec.replace(buses=type(spec.buses)()))
    assert "line 'ab': from_bus = 'a' is not in the bus table; add the bus or correct the name" in text


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_value_that_is_not_finite_is_reported_once_and_not_as_a_contradiction(bad: float) -> None:
    expected = f"= {bad:g}; allowed: a finite number; correct the value"
    sources = changed("sources", bus=("s", "s"), v_pu=floats(bad, 1.01), angle_rad=floats(0.1, 0.1))
    assert message(sources) == f"source 'grid': v_pu {expected}"
    sources = changed("sources", bus=("s", "s"), v_pu=floats(1.02, 1.02), angle_rad=floats(0.1, bad))
    assert message(sources) == f"source 'second': angle_rad {expected}"
    assert message(with_value("buses", "vn_kv", 1, bad)) == f"bus 'm1': vn_kv {expected}"
