from dataclasses import replace

import numpy as np
import pytest

from gridenv.core.errors import NetworkError
from gridenv.network.phase_circuit import phase_circuit
from gridenv.network.phase_tables import PhaseLineTable, WindingTable
from gridenv.network.phase_validate import validate_phases
from tests.unit.network.small_phase_networks import changed, every_kind, two_winding, with_value

PROBLEMS = [
    (
        with_value("lines", "to_bus", 0, "mm"),
        "line 'line.sm': to_bus = 'mm' is not in the bus table; did you mean 'm'?",
    ),
    (
        every_kind().replace(buses=replace(every_kind().buses, id=("s", "m", "l", "r", "x" * 120))),
        "winding 'centre.2': bus = 'c' is not in the bus table; add the bus or correct the name",
    ),
    (
        with_value("windings", "transformer", 0, "dx"),
        "winding 'dy.1': transformer = 'dx' is not in the transformer table; did you mean 'dy'?",
    ),
    (
        with_value("regulators", "transformer", 0, "stop"),
        "regulator 'reg': transformer = 'stop' is not in the transformer table; did you mean 'step'?",
    ),
    (
        with_value("capacitor_controls", "capacitor", 0, "bonk"),
        "capacitor control 'control': capacitor = 'bonk' is not in the capacitor table; did you mean 'bank'?",
    ),
    (
        with_value("capacitor_controls", "line", 0, "line.ms"),
        "capacitor control 'control': line = 'line.ms' is not in the line table; did you mean 'line.sm'?",
    ),
    (
        with_value("capacitor_controls", "mode", 0, "volts"),
        "capacitor control 'control': mode = 'volts' is unknown; did you mean 'voltage'?",
    ),
    (
        with_value("windings", "connection", 0, "zigzag"),
        "winding 'dy.1': connection = 'zigzag' is unknown; known: delta, wye, wye_ungrounded",
    ),
    (
        with_value("capacitors", "connection", 0, "star"),
        "capacitor 'bank': connection = 'star' is unknown; known: delta, wye",
    ),
    (
        with_value("injections", "connection", 1, "deltas"),
        "injection 'delta': connection = 'deltas' is unknown; did you mean 'delta'?",
    ),
    (
        with_value("injections", "kind", 0, "lood"),
        "injection 'wye': kind = 'lood' is unknown; did you mean 'load'?",
    ),
    (
        with_value("injections", "id", 1, "wye"),
        "injection 'wye': id appears 2 times; allowed: once; rename the others",
    ),
    (
        with_value("injections", "p_kw", 0, np.inf),
        "injection 'wye': p_kw = inf; allowed: finite numbers; correct the value",
    ),
    (
        with_value("injections", "v_max_pu", 0, np.nan),
        "injection 'wye': v_max_pu = nan; allowed: a number; correct the value",
    ),
    (
        with_value("lines", "z_ohm", 0, np.full((3, 3), np.nan + 0j)),
        "line 'line.sm': z_ohm = nan+0j; allowed: finite numbers; correct the value",
    ),
    (
        with_value("windings", "s_kva", 0, 0.0),
        "winding 'dy.1': s_kva = 0; allowed: > 0; correct the value",
    ),
    (
        with_value("transformers", "x_12", 0, 0.0),
        "transformer 'dy': x_12 = 0; allowed: > 0; correct the value",
    ),
    (
        with_value("windings", "r", 0, -0.1),
        "winding 'dy.1': r = -0.1; allowed: >= 0; correct the value",
    ),
]


@pytest.mark.parametrize(("spec", "problem"), PROBLEMS, ids=range(len(PROBLEMS)))
def test_validate_phases_names_the_element_the_value_and_what_to_do(spec, problem):
    with pytest.raises(NetworkError) as caught:
        validate_phases(spec)
    assert f"network '{spec.name}': {problem}" in str(caught.value).split("\n")


@pytest.mark.parametrize("spec", [every_kind(), two_winding(("wye", "delta")), two_winding(("wye_ungrounded", "wye"))])
def test_validate_phases_accepts_sound_networks(spec):
    validate_phases(spec)


def test_validate_phases_reports_missing_columns_before_all_else():
    lines = PhaseLineTable(
        id=("a",), from_bus=("s",), to_bus=("nowhere",), from_phases=("1",), z_ohm=np.ones((1, 2, 2))
    )
    with pytest.raises(NetworkError) as caught:
        validate_phases(every_kind().replace(lines=lines, windings=WindingTable(id=("w",))))
    message = str(caught.value)
    assert (
        "network 'every_kind': line table: column to_phases has 0 rows; allowed: 1, one for each id; complete it"
        in message
    )
    assert "network 'every_kind': line table: column z_ohm has 2 x 2 in a row; allowed: 3 x 3; reshape it" in message
    assert "winding table: column s_kva has 0 rows" in message
    assert "nowhere" not in message


def test_validate_phases_says_when_a_column_of_numbers_holds_matrices():
    wrong = replace(every_kind().buses, vn_kv=np.ones((5, 2)))
    with pytest.raises(NetworkError, match="bus table: column vn_kv has 2 in a row; allowed: one number; reshape it"):
        validate_phases(every_kind().replace(buses=wrong))


def test_validate_phases_collects_all_problems_of_all_tables():
    spec = changed(with_value("lines", "to_bus", 0, "mm"), "windings", "s_kva", 0, -1.0)
    with pytest.raises(NetworkError) as caught:
        validate_phases(changed(spec, "injections", "kind", 0, "lood"))
    assert len(str(caught.value).split("\n")) == 3


def test_phase_circuit_refuses_what_validation_finds():
    with pytest.raises(NetworkError, match="lood"):
        phase_circuit(with_value("injections", "kind", 0, "lood"))
