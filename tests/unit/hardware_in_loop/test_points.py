"""Points, maps of them, and requests that read them."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware_in_loop.errors import EncodingError, RegisterMapError
from hardware_in_loop.modbus.point_store import PointStore
from hardware_in_loop.registers import Point, RegisterMap, Table
from hardware_in_loop.registers.coalesce import spans
from hardware_in_loop.registers.files import read_register_map
from hardware_in_loop.registers.units import factor


def set_point(**changes):
    settings = {"name": "p", "address": 10, "type": "int16", "scale": 0.1, "unit": "kW", "sign": "load"}
    return Point(**settings | {"access": "rw", "min": -100.0, "max": 100.0} | changes)


def test_value_is_count_times_scale_plus_offset():
    point = set_point(offset=-40.0)
    assert point.decode((0x0190,)) == pytest.approx(400 * 0.1 - 40.0)
    assert point.encode(0.0) == (0x0190,)


def test_nearest_count_within_the_limits_is_written():
    point = set_point(scale=0.3, max=1.0)
    assert point.encode(0.5) == (2,)
    # 1.0 is nearest to 3 counts (0.9), and 4 counts would be 1.2.
    assert point.encode(1.0) == (3,)
    assert set_point(scale=0.4, max=1.0).encode(1.0) == (2,)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (math.nan, "point 'p': nan kW: is not finite"),
        (-math.inf, "point 'p': -inf kW: is not finite"),
        (100.1, r"point 'p': 100.1 kW: is out of range; allowed: -100..100"),
    ],
)
def test_values_that_must_not_be_written_are_refused(value, message):
    with pytest.raises(EncodingError, match=message):
        set_point().encode(value)


def test_overflow_behind_the_limits_is_refused():
    with pytest.raises(EncodingError, match="point 'p': 5000 kW: 50000 does not fit into int16"):
        set_point(max=1e5).encode(5000.0)


def test_count_that_means_no_value_is_neither_read_nor_written():
    point = set_point(scale=1.0, min=-40000.0, not_available=(-32768,))
    assert math.isnan(point.decode((0x8000,)))
    with pytest.raises(EncodingError, match="its count -32768 means that there is no value"):
        point.encode(-32768.0)


def test_nan_and_infinity_in_registers_are_no_value():
    point = Point(name="v", address=0, type="float32", unit="V")
    assert math.isnan(point.decode((0x7FC0, 0)))
    assert math.isnan(point.decode((0x7F80, 0)))


def test_point_that_can_only_be_read_is_not_written():
    with pytest.raises(EncodingError, match="point 'p': is read only"):
        set_point(access="r").encode(1.0)


def test_bit_of_a_bitfield():
    point = Point(name="alarm", address=0, type="bitfield", bit=3)
    assert (point.decode((0b1000,)), point.decode((0b0111,))) == (1.0, 0.0)


def test_bits_of_one_register_are_set_by_themselves():
    points = [Point(name=f"b{i}", address=0, type="bitfield", byte_order="BADC", bit=i) for i in (0, 3, 9)]
    store = PointStore(points)
    store.set("b3", 1.0)
    store.show("b9", 0.98)
    store.set("b0", 0.0)
    assert [store.value(p.name) for p in points] == [0.0, 1.0, 1.0]
    assert store.words("b0") == (0b1000_00000010,)
    store.set("b3", 0.0)
    assert [store.value(p.name) for p in points] == [0.0, 0.0, 1.0]


SHOWN = {
    "rounded": ({"scale": 0.5}, 1.3, (3,)),
    "lowest": ({"scale": 1.0}, -5.0, (0,)),
    "highest": ({"scale": 1.0}, 1e9, (65535,)),
    "highest but the count for nothing": ({"scale": 1.0, "not_available": [65535]}, 1e9, (65534,)),
    "turned around": ({"type": "int16", "scale": -1.0}, 1e9, (0x8000,)),
    "no value": ({"scale": 1.0, "not_available": [65535]}, math.nan, (65535,)),
    "no value of a float": ({"type": "float32", "byte_order": "CDAB"}, math.nan, (0, 0x7FC0)),
    "off": ({"table": "discrete"}, 0.4, (0,)),
    "on": ({"table": "coil"}, 1.2, (1,)),
}


@pytest.mark.parametrize(("settings", "value", "registers"), SHOWN.values(), ids=SHOWN)
def test_what_a_device_shows_is_the_nearest_that_it_can(settings, value, registers):
    assert Point(name="p", address=0, **settings).nearest(value) == registers


def test_device_that_cannot_say_that_it_has_no_value_is_refused():
    for settings in ({"scale": 1.0}, {"table": "coil"}, {"type": "bitfield", "bit": 1, "not_available": [9]}):
        with pytest.raises(EncodingError, match="point 'p': has no count that says that there is no value; give it"):
            Point(name="p", address=0, **settings).nearest(math.nan)


def write(folder, text, name="m.yaml"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


BAD = {
    "overlap": (
        "{name: a, address: 4, type: uint32, scale: 1}\n  - {name: b, address: 5, scale: 1}",
        "point 'b' at holding address 5 overlaps 'a', which takes 4..5; move one of them",
    ),
    "duplicate": (
        "{name: a, address: 4, scale: 1}\n  - {name: b, address: 4, scale: 1}",
        "points 'a' and 'b' have the same holding address 4; give each its own",
    ),
    "scale": ("{name: a, address: 4}", "point 'a' has no scale; give the engineering value of one count"),
    "end": (
        "{name: a, address: 65535, type: uint32, scale: 1}",
        "at address 65535 takes 2 registers; allowed: up to 65535",
    ),
    "address": ("{name: a, address: 70000, scale: 1}", "points.0.address = 70000; must be less than or equal to 65535"),
    "sign": ("{name: a, address: 1, scale: 1, unit: kW}", "point 'a' in kW has no sign; state `grid`"),
    "limits": ("{name: a, address: 1, scale: 1, access: rw}", "point 'a' can be written and has no min and max"),
    "access": ("{name: a, address: 1, table: discrete, access: rw}", "the discrete table can only be read"),
    "name": (
        "{name: a, address: 1, scale: 1}\n  - {name: a, address: 2, scale: 1}",
        "point 'a' appears 2 times; names must be unique",
    ),
    "key": ("{name: a, address: 1, scale: 1, skale: 2}", "unknown key 'points.0.skale'"),
}


@pytest.mark.parametrize(("points", "message"), BAD.values(), ids=BAD)
def test_bad_map_is_one_clear_line(tmp_path, points, message):
    with pytest.raises(RegisterMapError) as error:
        read_register_map(write(tmp_path, f"points:\n  - {points}\n"))
    assert len(str(error.value).splitlines()) == 1
    assert message in str(error.value)
    assert str(error.value).startswith("register map '")


def test_all_problems_of_a_map_are_told_at_once(tmp_path):
    with pytest.raises(RegisterMapError) as error:
        read_register_map(write(tmp_path, "points:\n  - {name: a, address: 1}\n  - {name: b, address: 1, unit: W}\n"))
    assert len(str(error.value).splitlines()) == 4


def test_map_gives_its_byte_order_to_points_that_state_none(tmp_path):
    points = "{name: a, address: 0, type: float32}", "{name: b, address: 2, type: float32, byte_order: ABCD}"
    text = "byte_order: CDAB\npoints:\n" + "".join(f"  - {p}\n" for p in points)
    found = read_register_map(write(tmp_path, text))
    assert found.point("a").decode((0xF5C3, 0x4148)) == pytest.approx(12.56)
    assert found.point("b").decode((0x4148, 0xF5C3)) == pytest.approx(12.56)


VOLTTRON = """\
Volttron Point Name,Units,Modbus Register,Writable,Point Address,Default Value,Notes,Mixed Endian,Min,Max,Sign
ReturnAirCO2,PPM,>f,FALSE,1001,,CO2 reading,,,,
Setpoint,kW,>l,TRUE,1011,0,,TRUE,-50,50,load
Pump,,BOOL,TRUE,3,0,,,,,
"""


def test_csv_registry_of_volttron(tmp_path):
    found = read_register_map(write(tmp_path, VOLTTRON, "hvac.csv"))
    co2, power, pump = found.points
    assert (co2.table, co2.address, co2.type) == (Table.INPUT, 1001, "float32")
    assert (power.table, power.access, power.sign) == (Table.HOLDING, "rw", "load")
    assert power.encode(-2.0) == (0xFFFE, 0xFFFF)
    assert pump.table == Table.COIL


def test_bad_csv_names_its_line(tmp_path):
    text = "Volttron Point Name,Modbus Register,Writable,Point Address\nA,>f,FALSE,1\nB,>x,FALSE,2\nC,>H,FALSE,\n"
    with pytest.raises(RegisterMapError) as error:
        read_register_map(write(tmp_path, text, "bad.csv"))
    lines = str(error.value).splitlines()
    assert "line 3: unknown type '>x'; known: h" in lines[0]
    assert "line 4: has no Point Address or Address; fill the column in" in lines[1]


def test_units_convert_within_a_quantity():
    assert factor("W", "kW") == 0.001
    assert factor("Mvar", "kvar") == 1000.0
    assert factor("Pct", "") == 0.01
    with pytest.raises(Exception, match="unit 'V' cannot be converted to 'pu'"):
        factor("V", "pu")


def points_at(addresses, table=Table.HOLDING, kind="uint16"):
    return [Point(name=f"p{a}", address=a, table=table, type=kind, scale=1.0) for a in addresses]


def test_reads_reach_across_holes_only_where_that_is_allowed():
    points = points_at([0, 1, 5])
    assert [(s.address, s.count) for s in spans(points)] == [(0, 2), (5, 1)]
    assert [(s.address, s.count) for s in spans(points, readable_holes=True)] == [(0, 6)]


def test_no_read_is_longer_than_the_specification_allows():
    found = spans(points_at(range(0, 300, 2), kind="uint32"))
    assert [(s.address, s.count) for s in found] == [(0, 124), (124, 124), (248, 52)]


def fewest(points, readable_holes, limit):
    """Fewest contiguous groups, by trying every cut."""
    best = [0] + [math.inf] * len(points)
    for i in range(1, len(points) + 1):
        for j in range(i):
            part = points[j:i]
            gaps = all(b.address <= a.end for a, b in pairwise(part))
            if part[-1].end - part[0].address <= limit and (readable_holes or gaps):
                best[i] = min(best[i], best[j] + 1)
    return best[-1]


@given(st.sets(st.integers(0, 60), min_size=1, max_size=12), st.booleans(), st.integers(4, 20))
def test_no_fewer_reads_would_do_and_every_point_is_read(addresses, readable_holes, limit):
    points = points_at(sorted(addresses))
    found = spans(points, readable_holes, limit)
    assert len(found) == fewest(points, readable_holes, limit)
    assert sorted(p.address for s in found for p in s.points) == sorted(addresses)
    for span in found:
        registers = list(range(span.address, span.address + span.count))
        assert all(span.cut(registers, p) == (p.address,) for p in span.points)


def test_map_knows_its_points():
    found = RegisterMap(name="m", points=tuple(points_at([1])))
    with pytest.raises(RegisterMapError, match="register map 'm': unknown point 'p2'; did you mean 'p1'"):
        found.point("p2")
