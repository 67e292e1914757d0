from dataclasses import replace

import numpy as np
import pytest

from gridenv.core.errors import NetworkError
from gridenv.network.phase_tables import RegulatorTable
from gridenv.network.phase_validate import validate_phases
from tests.unit.network.small_networks import floats
from tests.unit.network.small_phase_networks import changed, every_kind, two_winding, with_value


def ideal_twice():
    spec = every_kind()
    ideal = replace(spec.sources, z_ohm=np.zeros((1, 3, 3), dtype=complex))
    return spec.replace(sources=ideal.joined(replace(ideal, id=("other",), phases=("3",))))


def singular(size: int):
    z = np.zeros((3, 3), dtype=complex)
    z[:size, :size] = 1j
    return z


def regulators(*rows: str) -> RegulatorTable:
    """Several controls of the same winding."""
    n = len(rows)
    return RegulatorTable(
        id=rows,
        transformer=("step",) * n,
        v_target_v=floats(*[120.0] * n),
        pt_ratio=floats(*[10.0] * n),
        ct_primary_a=floats(*[100.0] * n),
    )


def open_between_voltages():
    return changed(with_value("lines", "closed", 0, False), "lines", "to_bus", 0, "l")


def second_capacitor_control(in_service: bool = True):
    spec = every_kind()
    table = spec.capacitor_controls
    other = replace(table, id=("other",), mode=("voltage",), in_service=np.array([in_service]))
    return spec.replace(capacitor_controls=table.joined(other))


def regulated_wye(**columns):
    table = regulators("reg")
    spec = two_winding(("delta", "wye"), **columns)
    return spec.replace(regulators=replace(table, transformer=("t",)))


PROBLEMS = [
    (
        with_value("sources", "in_service", 0, False),
        "source table: 0 sources in service; allowed: at least 1; add a source",
    ),
    (
        with_value("sources", "phases", 0, "1a3"),
        "source 'grid': phases = '1a3'; allowed: 1 or 2 or 3 different digits 1..9; name the conductors",
    ),
    (
        with_value("sources", "z_ohm", 0, singular(3)),
        (
            "source 'grid': z_ohm of conductors '123' is singular; allowed: a matrix with an inverse; give every "
            "conductor an impedance of its own, a small one for a switch"
        ),
    ),
    (
        ideal_twice(),
        (
            "source 'other': z_ohm = 0 at conductor 's.3', where source 'grid' has z_ohm = 0 too; allowed: one ideal "
            "source a conductor; remove one or give it z_ohm"
        ),
    ),
    (
        with_value("lines", "from_phases", 0, "113"),
        "line 'line.sm': from_phases = '113'; allowed: 1 or 2 or 3 different digits 1..9; name the conductors",
    ),
    (
        with_value("lines", "to_phases", 0, "120"),
        "line 'line.sm': to_phases = '120'; allowed: 1 or 2 or 3 different digits 1..9; name the conductors",
    ),
    (
        with_value("lines", "to_phases", 0, "12"),
        (
            "line 'line.sm': from_phases = '123' and to_phases = '12'; allowed: as many conductors at both ends; "
            "correct one of them"
        ),
    ),
    (
        with_value("lines", "to_bus", 0, "l"),
        (
            "line 'line.sm': joins bus 's' with vn_kv = 1.73205 and bus 'l' with 0.4; allowed: equal nominal "
            "voltages; correct one, or put a transformer between"
        ),
    ),
    (
        changed(with_value("lines", "from_phases", 0, "12"), "lines", "to_phases", 0, "12"),
        (
            "line 'line.sm': z_ohm = 0+0.1j beyond its 2 conductors; allowed: zero there; name more conductors or "
            "clear the entry"
        ),
    ),
    (
        changed(with_value("lines", "from_phases", 0, "12"), "lines", "to_phases", 0, "12"),
        (
            "line 'line.sm': y_s = 0+0.02j beyond its 2 conductors; allowed: zero there; name more conductors or "
            "clear the entry"
        ),
    ),
    (
        with_value("lines", "z_ohm", 0, singular(3)),
        (
            "line 'line.sm': z_ohm of conductors '123' is singular; allowed: a matrix with an inverse; give every "
            "conductor an impedance of its own, a small one for a switch"
        ),
    ),
    (
        with_value("windings", "transformer", 1, "step"),
        "transformer 'dy': 1 windings; allowed: 2 or 3; complete the winding table",
    ),
    (
        with_value("transformers", "n_phase", 0, 2.0),
        "transformer 'dy': n_phase = 2; allowed: 1 or 3; split it into such units",
    ),
    (
        with_value("transformers", "x_23", 2, 0.0816),
        (
            "transformer 'centre': x_12 = 0.0204, x_13 = 0.0204, x_23 = 0.0816; allowed: leakage reactances that store "
            "energy, 4 x_12 x_13 > (x_12 + x_13 - x_23)^2; correct them"
        ),
    ),
    (
        with_value("windings", "phases", 0, "12"),
        "winding 'dy.1': phases = '12'; allowed: 3 different digits 1..9; name the conductors",
    ),
    (
        with_value("windings", "phases", 2, "123"),
        "winding 'step.1': phases = '123'; allowed: 1 or 2 different digits 0..9, 0 = ground; name the conductors",
    ),
    (
        with_value("windings", "phases", 2, "0"),
        "winding 'step.1': phases = '0'; allowed: at least one conductor; name the conductors",
    ),
    (
        with_value("windings", "z_neutral_ohm", 0, 5.0),
        (
            "winding 'dy.1': z_neutral_ohm = 5+0j with connection 'delta' and three phases; allowed: 0 but for a "
            "three-phase wye; clear it"
        ),
    ),
    (
        with_value("windings", "z_neutral_ohm", 2, 1j),
        (
            "winding 'step.1': z_neutral_ohm = 0+1j with connection 'wye' and one phase; allowed: 0 but for a "
            "three-phase wye; clear it"
        ),
    ),
    (
        with_value("regulators", "winding", 0, 3.0),
        "regulator 'reg': winding = 3 of transformer 'step'; allowed: 1..2; choose one of its windings",
    ),
    (
        every_kind().replace(regulators=regulators("reg", "other")),
        (
            "regulator 'other': steps winding 2 of transformer 'step', as does regulator 'reg'; allowed: one a "
            "winding; remove one"
        ),
    ),
    (
        second_capacitor_control(),
        (
            "capacitor control 'other': switches capacitor 'bank', as does capacitor control 'control'; allowed: one "
            "in service a bank; remove one, or put it out of service"
        ),
    ),
    (
        open_between_voltages(),
        (
            "line 'line.sm': joins bus 's' with vn_kv = 1.73205 and bus 'l' with 0.4; allowed: equal nominal "
            "voltages; correct one, or put a transformer between"
        ),
    ),
    (
        with_value("regulators", "monitored_phase", 0, 2.0),
        "regulator 'reg': monitored_phase = 2; allowed: 1..1; choose a phase of the transformer",
    ),
    (
        with_value("regulators", "tap_min", 0, 1.2),
        "regulator 'reg': tap_min = 1.2; allowed: below tap_max = 1.1; correct one of them",
    ),
    (
        with_value("windings", "tap", 3, 1.2),
        ("winding 'step.2': tap = 1.2; allowed: 0.9..1.1 of regulator 'reg'; choose a tap in this range, or widen it"),
    ),
    (
        with_value("regulators", "n_step", 0, 16.5),
        "regulator 'reg': n_step = 16.5; allowed: a whole number; correct the value",
    ),
    (
        regulated_wye(z_neutral_ohm=np.array([0.0, 1.0 + 0j])),
        (
            "regulator 'reg': steps winding 't.2', whose neutral is not at ground; allowed: connection 'delta', or "
            "'wye' with z_neutral_ohm = 0; ground the neutral, or step another winding"
        ),
    ),
    (
        regulated_wye(connection=("delta", "wye_ungrounded")),
        (
            "regulator 'reg': steps winding 't.2', whose neutral is not at ground; allowed: connection 'delta', or "
            "'wye' with z_neutral_ohm = 0; ground the neutral, or step another winding"
        ),
    ),
    (
        with_value("capacitors", "phases", 0, "1234"),
        "capacitor 'bank': phases of wye = '1234'; allowed: 1 or 2 or 3 different digits 1..9; name the conductors",
    ),
    (
        with_value("injections", "phases", 3, "3"),
        "injection 'between': phases of delta = '3'; allowed: 2 or 3 different digits 1..9; name the conductors",
    ),
    (
        with_value("injections", "v_low_pu", 0, 0.5),
        (
            "injection 'wye': v_low_pu = 0.5, v_min_pu = 0, v_max_pu = inf; allowed: v_low_pu <= v_min_pu < v_max_pu; "
            "put them in order"
        ),
    ),
]


@pytest.mark.parametrize(("spec", "problem"), PROBLEMS, ids=range(len(PROBLEMS)))
def test_element_problems_name_the_element_the_value_and_what_to_do(spec, problem):
    with pytest.raises(NetworkError) as caught:
        validate_phases(spec)
    assert f"network '{spec.name}': {problem}" in str(caught.value).split("\n")


def test_second_capacitor_control_may_be_out_of_service():
    validate_phases(second_capacitor_control(in_service=False))
