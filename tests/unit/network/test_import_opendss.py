"""Networks from OpenDSS scripts: every element against hand numbers, whole circuits against the engine's solution."""

import builtins
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gridenv.core.errors import MissingExtraError, NetworkError, UnsupportedElementError
from gridenv.network.import_opendss import from_opendss, read_opendss
from gridenv.network.opendss_branches import line_rows, regulator_rows
from gridenv.network.opendss_engine import _NO_NUMBER, read_circuit
from gridenv.network.opendss_injections import capacitor_control_rows
from gridenv.network.phase_circuit import phase_circuit
from gridenv.network.phase_validate import validate_phases
from gridenv.powerflow import PowerFlow
from tests.unit.network.phase_fixed_point import solved

opendss = pytest.importorskip("opendssdirect", reason="needs the extra [opendss]")

FEEDER = """
new circuit.small basekv=12.47 pu=1.02 angle=10 bus1=src mvasc3=200 mvasc1=180
new linecode.lc nphases=3 r1=0.3 x1=0.6 r0=0.5 x0=1.2 c1=3 c0=2 units=km normamps=300
new line.l1 bus1=src bus2=b linecode=lc length=2 units=km
new line.l2 bus1=b bus2=c r1=0.3 x1=0.6 length=2 units=km
new line.l3 bus1=b.3 bus2=d.3 phases=1 normamps=400 r1=0.3 x1=0.6 c1=0 length=2 units=km
new transformer.t windings=2 phases=3 buses=[b.1.2.3 e.1.2.3.4] conns=[delta wye] kvs=[12.47 0.4] kvas=[100 50]
~ %rs=[1 2] xhl=4 %noloadloss=.3 %imag=1
new transformer.t2 windings=2 phases=1 buses=[b.1 f.1] conns=[wye wye] kvs=[7.2 0.12] kvas=[100 50] %rs=[1 2] xhl=4
~ taps=[1 1.0125]
new regcontrol.r transformer=t2 winding=2 vreg=120 band=3 ptratio=2 ctprim=200 r=1 x=2 delay=20 maxtapchange=1
new reactor.n bus1=e.4 phases=1 r=.01 x=.02
new reactor.sh bus1=b phases=3 kvar=10 kv=12.47
new reactor.shd bus1=b phases=3 kvar=30 kv=12.47 conn=delta
new reactor.sh1 bus1=b.2 phases=1 kvar=30 kv=7.2
new reactor.series bus1=b bus2=g phases=3 r=1 x=2
new capacitor.c bus1=b kvar=30 kv=12.47
new capacitor.steps bus1=g kvar=40 numsteps=2 kv=12.47 states=[1 0]
new capacitor.c12 bus1=b.1 bus2=b.2 phases=1 kvar=30 kv=12.47
new capacitor.cd bus1=b phases=3 kvar=30 kv=12.47 conn=delta
new capcontrol.cc capacitor=c element=line.l1 type=kvar onsetting=150 offsetting=-225 ptratio=1 ctratio=1 delay=100
new generator.g bus1=e kv=0.4 kw=10 pf=.9
new pvsystem.pv bus1=e kv=.4 kva=10 pmpp=9 irradiance=.5
new storage.s bus1=e kv=.4 kwrated=10 kwhrated=20 state=discharging %discharge=50
new load.l bus1=f.1 phases=1 kv=.12 kw=5 pf=.9
new load.ub bus1=e.1 phases=1 kv=.231 kw=8 pf=.95 vminpu=.7
new load.z bus1=e.3 phases=1 kv=.231 kw=2 kvar=1 model=2
new load.y2 bus1=e.1.2 phases=2 kv=.4 kw=4 pf=.95 model=5 vminpu=.7
new load.d2 bus1=e.1.2.3 phases=2 conn=delta kv=.4 kw=4 pf=.95 model=4 cvrwatts=.8 cvrvars=1.7 vminpu=.7
new load.l12 bus1=e.1.2 phases=1 kv=.4 kw=2 pf=.95 model=3 vminpu=.7
new load.d3 bus1=g conn=delta kv=12.47 kw=300 kvar=100
new monitor.m element=line.l1
"""


def script(folder: Path, text: str) -> Path:
    path = folder / "Master.dss"
    path.write_text("clear\n" + text)
    return path


def row(table: Any, name: str) -> dict[str, Any]:
    k = table.id.index(name)
    return {field: getattr(table, field)[k] for field in table.__dataclass_fields__}


def engine_voltages(path: Path) -> dict[str, complex]:
    """Voltages to ground in kV that OpenDSS itself finds, controls off."""
    dss = opendss.NewContext()
    dss.Basic.AllowChangeDir(False)
    for command in (f'compile "{path}"', "set controlmode=off", "set tolerance=1e-10", "set maxiter=500", "solve"):
        dss.Text.Command(command)
    v = np.asarray(dss.Circuit.AllBusVolts()).view(complex) / 1e3
    return dict(zip(map(str.lower, dss.Circuit.AllNodeNames()), v, strict=True))


def test_converted_circuit_has_the_voltages_of_opendss(tmp_path: Path) -> None:
    path = script(tmp_path, FEEDER)
    circuit = phase_circuit(from_opendss(path))
    expected = engine_voltages(path)
    v_kv = solved(circuit) * circuit.v_base_kv
    assert {"src.1", "d.3", "e.3", "f.1", "g.2"} < set(circuit.node_names)
    for name, v, base in zip(circuit.node_names, v_kv, circuit.v_base_kv, strict=True):
        assert abs(v - expected[name]) / base < 1e-8, name


def test_lines_have_the_totals_of_their_line_code(tmp_path: Path) -> None:
    spec = from_opendss(script(tmp_path, FEEDER))
    l1, l3 = row(spec.lines, "line.l1"), row(spec.lines, "line.l3")
    # Mean of the sequence values: self (Z0 + 2 Z1) / 3, mutual (Z0 - Z1) / 3, over 2 km.
    np.testing.assert_allclose(l1["z_ohm"][0, 0], 2 * (0.5 + 1.2j + 2 * (0.3 + 0.6j)) / 3, rtol=1e-12)
    np.testing.assert_allclose(l1["z_ohm"][0, 1], 2 * (0.5 + 1.2j - (0.3 + 0.6j)) / 3, rtol=1e-12)
    np.testing.assert_allclose(l1["y_s"][0, 1], 2j * 2 * np.pi * 60 * 1e-9 * (2 - 3) / 3, rtol=1e-6)
    assert (l1["from_phases"], l1["i_max_a"]) == ("123", 300.0)
    assert (l3["from_phases"], l3["to_phases"], l3["i_max_a"]) == ("3", "3", 400.0)
    assert np.isinf(row(spec.lines, "line.l2")["i_max_a"])
    np.testing.assert_allclose(row(spec.lines, "reactor.series")["z_ohm"], np.eye(3) * (1 + 2j), atol=1e-12)


def test_elements_keep_their_data(tmp_path: Path) -> None:
    spec = from_opendss(script(tmp_path, FEEDER))
    secondary = row(spec.windings, "transformer.t.2")
    # 2 % on the 100 kVA of winding 1 are 1 % on the 50 kVA of its own.
    np.testing.assert_allclose(secondary["r"], 0.01)
    np.testing.assert_allclose(secondary["z_neutral_ohm"], 0.01 + 0.02j)
    regulator = row(spec.regulators, "regcontrol.r")
    assert regulator["transformer"] == "transformer.t2"
    settings = ("v_target_v", "band_v", "pt_ratio", "ct_primary_a", "ldc_r_v", "ldc_x_v", "delay_s", "max_steps")
    assert [regulator[name] for name in settings] == [120, 3, 2, 200, 1, 2, 20, 1]
    control = row(spec.capacitor_controls, "capcontrol.cc")
    assert (control["capacitor"], control["line"], control["mode"]) == ("capacitor.c", "line.l1", "kvar")
    assert (control["switch_on"], control["switch_off"], control["delay_s"]) == (150, -225, 100)
    assert row(spec.capacitors, "capacitor.c12")["phases"] == "12"
    assert not row(spec.capacitors, "capacitor.steps.2")["closed"]
    np.testing.assert_allclose(row(spec.capacitors, "reactor.shd")["q_kvar"], -30.0)
    loads = {i: row(spec.injections, i) for i in spec.injections.id}
    assert loads["load.l"]["p_kw"] == -5.0
    assert (loads["load.l12"]["phases"], loads["load.l12"]["connection"]) == ("12", "delta")
    assert loads["load.d2.12"]["p_kw"] == loads["load.d2.23"]["p_kw"] == -2.0
    assert loads["load.z"]["v_min_pu"] == 0.0
    assert loads["load.y2"]["exponent_p"] == 1.0
    assert (loads["generator.g"]["p_kw"], loads["pvsystem.pv"]["p_kw"], loads["storage.s"]["p_kw"]) == (10, 4.5, 5)


def test_base_voltages_come_from_the_script_or_the_rated_voltages(tmp_path: Path) -> None:
    vn = dict(zip(*(lambda b: (b.id, b.vn_kv))(from_opendss(script(tmp_path, FEEDER)).buses), strict=True))
    assert {b: round(v, 4) for b, v in vn.items()} == {
        "src": 12.47, "b": 12.47, "c": 12.47, "d": 12.47, "e": 0.4, "f": 0.2078, "g": 12.47,
    }  # fmt: skip
    stated = FEEDER + "set voltagebases=[12.0 0.38 0.21]\ncalcvoltagebases\n"
    spec = from_opendss(script(tmp_path, stated))
    assert sorted(set(spec.buses.vn_kv)) == [0.21, 0.38, 12.0]
    np.testing.assert_allclose(spec.sources.v_pu, 1.02 * 12.47 / 12.0)


def test_load_multiplier_and_storage_states(tmp_path: Path) -> None:
    more = """
new storage.idle bus1=e kv=.4 kwrated=10 kwhrated=20 state=idling %idlingkw=2
new storage.charging bus1=e kv=.4 kwrated=10 kwhrated=20 %stored=50 state=charging %charge=30
new load.fixed bus1=e kv=.4 kw=3 kvar=1 status=fixed
set loadmult=0.5
"""
    injections = from_opendss(script(tmp_path, FEEDER + more)).injections
    p_kw = dict(zip(injections.id, injections.p_kw, strict=True))
    assert p_kw["load.l"] == -2.5
    assert p_kw["load.fixed"] == -3.0
    np.testing.assert_allclose(p_kw["storage.idle"], -0.2)
    np.testing.assert_allclose(p_kw["storage.charging"], -3.0)


@pytest.mark.parametrize("model", range(1, 8))
def test_load_models_have_the_voltages_of_opendss_at_any_load_multiplier(model: int, tmp_path: Path) -> None:
    more = (
        f"new load.m bus1=g phases=3 kv=12.47 kw=900 kvar=500 model={model} cvrwatts=.8 cvrvars=1.7\n"
        f"new load.m1 bus1=c.2 phases=1 kv=7.2 kw=300 kvar=200 model={model} cvrwatts=.8 cvrvars=1.7\n"
        "set loadmult=0.5\n"
    )
    path = script(tmp_path, FEEDER + more)
    converted = read_opendss(path)
    circuit, expected = phase_circuit(converted.spec), engine_voltages(path)
    v_kv = solved(circuit) * circuit.v_base_kv
    for name, v, base in zip(circuit.node_names, v_kv, circuit.v_base_kv, strict=True):
        assert abs(v - expected[name]) / base < 1e-8, name
    fixed = model in (6, 7)
    assert row(converted.spec.injections, "load.m")["q_kvar"] == (-500.0 if fixed else -250.0)
    assert any(note.startswith("OpenDSS element 'load.m': out of vminpu") for note in converted.notes) == fixed


def test_open_line_is_out_of_service_with_its_impedance_kept(tmp_path: Path) -> None:
    spec = from_opendss(script(tmp_path, FEEDER + "open line.l2 2\n"))
    line = row(spec.lines, "line.l2")
    assert not line["closed"]
    assert abs(line["z_ohm"][0, 0]) > 0.5


def test_grounded_conductor_is_eliminated(tmp_path: Path) -> None:
    more = (
        "new line.neutral bus1=b.1.0 bus2=h.1.0 phases=2 rmatrix=[1|.1 2] xmatrix=[2|.5 3] cmatrix=[0|0 0] length=1\n"
    )
    line = row(from_opendss(script(tmp_path, FEEDER + more)).lines, "line.neutral")
    assert line["from_phases"] == "1"
    np.testing.assert_allclose(line["z_ohm"][0, 0], 1 + 2j - (0.1 + 0.5j) ** 2 / (2 + 3j), rtol=1e-9)


def test_floating_star_point_and_neutral_impedance(tmp_path: Path) -> None:
    more = """
new transformer.float windings=2 phases=3 buses=[b.1.2.3.4 k] conns=[wye delta] kvs=[12.47 .4] kvas=[50 50]
new transformer.rn windings=2 phases=3 buses=[b.1.2.3.5 m] conns=[wye delta] kvs=[12.47 .4] kvas=[50 50]
~ wdg=1 rneut=3 xneut=4
"""
    spec = from_opendss(script(tmp_path, FEEDER + more))
    assert row(spec.windings, "transformer.float.1")["connection"] == "wye_ungrounded"
    np.testing.assert_allclose(row(spec.windings, "transformer.rn.1")["z_neutral_ohm"], 3 + 4j)


def test_centre_tapped_transformer_has_a_reversed_half(tmp_path: Path) -> None:
    more = (
        "new transformer.ct windings=3 phases=1 buses=[b.1.0 k.1.0 k.0.2] kvs=[7.2 .12 .12] kvas=[25 25 25] xhl=2 "
        "xht=2 xlt=1.3\nnew load.ct bus1=k.1.2 phases=2 kv=.208 kw=2 pf=1\n"
    )
    spec = from_opendss(script(tmp_path, FEEDER + more))
    phases = dict(zip(spec.windings.id, spec.windings.phases, strict=True))
    assert [phases[f"transformer.ct.{k}"] for k in (1, 2, 3)] == ["10", "10", "02"]
    np.testing.assert_allclose(spec.transformers.x_23[spec.transformers.id.index("transformer.ct")], 0.013)
    np.testing.assert_allclose(row(spec.injections, "load.ct")["v_kv"], 0.208 / np.sqrt(3))


def test_notes_tell_what_was_simplified_or_left_out(tmp_path: Path) -> None:
    more = "new line.off bus1=b bus2=h enabled=no\nedit capcontrol.cc voltoverride=yes\n"
    converted = read_opendss(script(tmp_path, FEEDER + more))
    assert converted.unsupported == ()
    assert "OpenDSS element 'monitor.m' does not change the power flow; left out" in converted.notes
    assert "OpenDSS element 'line.off' is disabled; left out" in converted.notes
    assert "OpenDSS element 'capcontrol.cc': switches without its voltage override" in converted.notes
    assert any(note.startswith("OpenDSS element 'generator.g': constant power") for note in converted.notes)


REFUSED = {
    "new vsource.v1 bus1=h phases=1 basekv=7": r"vsource.v1': phases = 1 .*; allowed: 3",
    "new vsource.v2 bus1=b bus2=h basekv=7": r"vsource.v2': bus2 = h.* allowed: ground",
    "new vsource.v3 bus1=h basekv=7 sequence=neg": r"vsource.v3': sequence = negative .* allowed: positive",
    "new line.x bus1=b bus2=h\nopen line.x 2 1": r"line.x': some conductors of an end are open",
    "new line.x bus1=b.1.2.3.4 bus2=h.1.2.3.4 phases=4": r"line.x': terminal with conductors 1.2.3.4",
    "new line.x bus1=b.1.1 bus2=h.1.2 phases=2": r"line.x': terminal with conductors 1.1 .* each conductor once",
    "new line.x bus1=b.1.0 bus2=h.1.2 phases=2": r"line.x': terminal with conductors 1.0 .* connect the phases",
    "new reactor.x bus1=b phases=3 r=1 x=10": r"reactor.x': a shunt reactor with resistance",
    "new reactor.x bus1=b phases=3 rmatrix=[0|0 0|0 0 0] xmatrix=[9|1 9|1 1 9]": r"reactor.x': coupled phases",
    "new reactor.x bus1=b.5 phases=1 r=1 x=1": r"reactor.x': conductor 5 of bus 'b'",
    "new transformer.x phases=2 windings=2 buses=[b.1.2 h.1.2]": r"transformer.x': phases = 2 .* single-phase units",
    "new transformer.x windings=4 buses=[b h i k] kvs=[12 1 1 1]": r"transformer.x': windings = 4",
    "new reactor.x2 bus1=e.4 phases=1 r=1 x=1": r"transformer.t': neutral at conductor 4 of bus 'e' together with",
    "edit regcontrol.r tapwinding=1": r"regcontrol.r': winding = 2 and tapwinding = 1",
    "edit regcontrol.r bus=f.1": r"regcontrol.r': bus = f.1",
    "edit regcontrol.r ptphase=max": r"regcontrol.r': ptphase = max",
    "edit regcontrol.r reversible=yes": r"regcontrol.r': reversible = yes",
    "edit regcontrol.r vlimit=130": r"regcontrol.r': vlimit = 130",
    "edit load.l model=8 zipv=[.5 .3 .2 .5 .3 .2 .5]": r"load.l': model = 8 .*; allowed: 1, 2, 3, 4, 5, 6, 7",
    "edit generator.g model=3": r"generator.g': model = 3",
    "edit capacitor.c r=1": r"capacitor.c': a series resistance or reactor",
    "new capacitor.x bus1=b bus2=h kvar=10 kv=12.47": r"capacitor.x': bus2 = h.* series and ungrounded",
    "new capacitor.x bus1=b phases=2 conn=delta kvar=10 kv=12.47": r"capacitor.x': a delta bank of two phases",
    "open capacitor.c 1": r"capacitor.c': an open conductor",
    "edit capcontrol.cc type=time": r"capcontrol.cc': type = time",
    "edit capcontrol.cc element=transformer.t": r"capcontrol.cc': element = transformer.t, terminal = 1",
    "edit capcontrol.cc capacitor=steps": r"capcontrol.cc': a bank of 2 steps",
    "disable line.l1": r"capcontrol.cc': element = line.l1, which is left out, is not supported; let it monitor a line",
    "new line.x bus1=b.0 bus2=h.0 phases=1": r"line.x': no conductor with an admittance is not supported; connect its",
    "new reactor.x bus1=b bus2=h phases=3 r=0 x=0": r"reactor.x': series admittance without an inverse .* and not 0",
    "new reactor.x bus1=b phases=3 kvar=0 kv=12.47": r"reactor.x': no finite admittance",
    "edit reactor.n r=0 x=0": r"transformer.t': admittance of reactor.n without an inverse",
    "new vsource.x bus1=h basekv=12.47 z1=[1e30 1e30] z0=[0 1]": r"vsource.x': admittance without an inverse",
    "new reactor.y bus1=b bus2=h phases=3 r=0 x=0": r"vsource.source': base voltage 0 kV of bus 'src' is not supported",
    "new fault.x bus1=b": r"fault.x': class fault is not supported; allowed: vsource, line",
}


@pytest.mark.parametrize("more", REFUSED)
def test_what_cannot_be_converted_is_named(more: str, tmp_path: Path) -> None:
    path = script(tmp_path, FEEDER + more + "\n")
    with pytest.raises(UnsupportedElementError, match=f"OpenDSS element '{REFUSED[more]}"):
        from_opendss(path)


def test_everything_that_cannot_be_converted_is_said_at_once_or_left_out(tmp_path: Path) -> None:
    path = script(tmp_path, FEEDER + "new fault.x bus1=b\nedit generator.g model=3\n")
    with pytest.raises(UnsupportedElementError) as caught:
        from_opendss(path)
    assert str(caught.value).count("OpenDSS element") == 2
    assert "generator.g" not in from_opendss(path, allow_unsupported=True).injections.id


LEFT_OUT = {
    "disable transformer.t2": ("regcontrol.r", "transformer.t2"),
    "disable capacitor.c": ("capcontrol.cc", "capacitor.c"),
    "edit capacitor.c r=1": ("capcontrol.cc", "capacitor.c"),
    "edit transformer.t2 phases=2 buses=[b.1.2 f.1.2]": ("regcontrol.r", "transformer.t2"),
}


@pytest.mark.parametrize("more", LEFT_OUT)
def test_controls_of_elements_that_are_left_out_are_left_out_with_them(more: str, tmp_path: Path) -> None:
    control, controlled = LEFT_OUT[more]
    path = script(tmp_path, FEEDER + more + "\n")
    converted = read_opendss(path)
    note = f"OpenDSS element '{control}' controls '{controlled}', which is left out; left out with it"
    assert converted.notes.count(note) == 1
    assert {*converted.spec.regulators.id, *converted.spec.capacitor_controls.id} == {
        "regcontrol.r",
        "capcontrol.cc",
    } - {control}
    # Nothing refers to what is not there.
    validate_phases(from_opendss(path, allow_unsupported=True))


def test_controls_of_unknown_elements_are_refused(tmp_path: Path) -> None:
    circuit = read_circuit(script(tmp_path, FEEDER))
    lost = replace(circuit, elements=tuple(e for e in circuit.elements if e.kind not in ("capacitor", "transformer")))
    with pytest.raises(
        UnsupportedElementError, match=r"capcontrol.cc': capacitor = c is not .*; allowed: a capacitor of"
    ):
        capacitor_control_rows(circuit.by_id["capcontrol.cc"], lost)
    with pytest.raises(
        UnsupportedElementError, match=r"regcontrol.r': transformer = t2 is not .*; allowed: a transformer"
    ):
        regulator_rows(circuit.by_id["regcontrol.r"], lost)


def test_series_element_with_singular_admittance_is_refused(tmp_path: Path) -> None:
    circuit = read_circuit(script(tmp_path, FEEDER))
    line = circuit.by_id["line.l2"]
    for y_s in (np.zeros((6, 6)), np.kron([[1.0, -1.0], [-1.0, 1.0]], np.ones((3, 3))), np.diag([1j] * 6)):
        with pytest.raises(UnsupportedElementError, match=r"'line.l2': series admittance without an inverse"):
            line_rows(replace(line, y_s=y_s.astype(complex)), circuit)
    with pytest.raises(UnsupportedElementError, match=r"'line.l2': no conductor with an admittance"):
        line_rows(replace(line, y_s=np.zeros((0, 0), dtype=complex)), circuit)


def test_missing_file_and_broken_scripts_name_the_file(tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match=r"OpenDSS script '.*nowhere.dss' does not exist; give the path"):
        from_opendss(tmp_path / "nowhere.dss")
    with pytest.raises(NetworkError, match=r"OpenDSS script '.*Master.dss': .*correct the script"):
        from_opendss(script(tmp_path, FEEDER + "new load.x bus1=b kw=abc nonsense=1\n"))
    with pytest.raises(NetworkError, match=r"OpenDSS made no circuit from the script"):
        from_opendss(script(tmp_path, "set datapath=.\n"))


def test_engine_and_working_directory_of_the_caller_are_left_alone(tmp_path: Path) -> None:
    before = os.getcwd()
    mine = tmp_path / "mine"
    mine.mkdir()
    opendss.Basic.AllowChangeDir(False)
    opendss.Text.Command(f'compile "{script(mine, "new circuit.mine")}"')
    (tmp_path / "part.dss").write_text("new load.more bus1=b kv=12.47 kw=1\n")
    spec = from_opendss(script(tmp_path, FEEDER + "redirect part.dss\n"))
    assert "load.more" in spec.injections.id
    assert opendss.Circuit.Name() == "mine"
    assert os.getcwd() == before
    opendss.Basic.ClearAll()


def test_first_script_of_a_process_leaves_it_in_its_directory(tmp_path: Path) -> None:
    path = script(tmp_path, FEEDER)
    code = (
        "import os, opendssdirect, gridenv\n"
        f"os.chdir({str(tmp_path)!r})\n"
        f"gridenv.from_opendss({path.name!r})\n"
        f"assert os.getcwd() == {str(tmp_path.resolve())!r}, os.getcwd()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_missing_package_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def without(name: str, *arguments: Any, **options: Any) -> Any:
        if name == "opendssdirect":
            raise ImportError(name)
        return original(name, *arguments, **options)

    path = script(tmp_path, FEEDER)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r'OpenDSSDirect.py.*pip install "gridenv\[opendss\]"'):
        from_opendss(path)


def test_properties_that_are_no_numbers_are_read_as_absent() -> None:
    text = '{"Name":"inf","RMatrix":[[1.0, +Inf],[-inf,NaN]],"X":Nan,"Y":2}'
    assert json.loads(_NO_NUMBER.sub("null", text)) == {
        "Name": "inf", "RMatrix": [[1.0, None], [None, None]], "X": None, "Y": 2,
    }  # fmt: skip


@pytest.mark.parametrize("model", [6, 7])
@pytest.mark.parametrize("limits", ["vminpu=1.01 vmaxpu=1.05", "vminpu=.5 vmaxpu=.9"])
def test_active_power_of_fixed_reactive_models_is_that_of_opendss_out_of_range(
    model: int, limits: str, tmp_path: Path
) -> None:
    more = f"new load.m bus1=g phases=3 kv=12.47 kw=900 kvar=0 model={model} {limits}\n"
    path = script(tmp_path, FEEDER + more)
    power_flow, expected = PowerFlow(from_opendss(path), "float64"), engine_voltages(path)
    solution = power_flow.solve(power_flow.default_p_kw, power_flow.default_q_kvar)
    v_kv = np.asarray(solution.v_pu) * power_flow.network.circuit.v_base_kv
    g = [power_flow.node_names.index(f"g.{phase}") for phase in (1, 2, 3)]
    np.testing.assert_allclose(v_kv[g], [expected[f"g.{phase}"] for phase in (1, 2, 3)], rtol=1e-8)
