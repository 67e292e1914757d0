"""Rig files: every problem is one clear line, before anything is sent."""

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from gridenv.core.channels import Channel, ChannelSet
from gridenv.core.errors import ConfigError
from hardware_in_loop.registers import Point
from hardware_in_loop.rig.binding import bind, readback_tolerance
from hardware_in_loop.rig.feed import calendar, read_feed, wall_clock
from hardware_in_loop.rig.files import load_rig
from hardware_in_loop.rig.schema import RegisterSource, Sink
from tests.hil.certificates import Authority

RIGS = Path("configs/rig")
MAP = """\
points:
  - {name: v, address: 0, table: input, type: uint16, scale: 0.0001, unit: pu}
  - {name: v_or_none, address: 9, table: input, type: uint16, scale: 0.0001, unit: pu, not_available: [65535]}
  - {name: p, address: 1, table: input, type: int16, scale: 100, unit: W, sign: load}
  - {name: set, address: 0, type: int16, scale: 0.1, unit: kW, sign: load, access: rw, min: -50, max: 50}
"""


def channel(name, unit, low, high):
    return Channel(name=name, unit=unit, low=low, high=high, scale=1.0)


OBSERVATION = ChannelSet(
    (
        channel("bus.1.v_pu", "pu", 0.5, 1.5),
        channel("battery.1.p_kw", "kW", -50.0, 50.0),
        channel("price", "", 0.0, 9.0),
    )
)
ACTION = ChannelSet((channel("battery.1.p_request_kw", "kW", -50.0, 50.0),))


def rig():
    return {
        "schema": "gridenv.rig/1",
        "task": "Storage-IEEE33-v0",
        "devices": [{"name": "b", "transport": {"type": "tcp", "host": "127.0.0.1", "port": 1502}, "map": "m"}],
        "observations": {
            "bus.1.v_pu": {"device": "b", "point": "v"},
            "battery.1.p_kw": {"device": "b", "point": "p"},
            "price": {"constant": 1.0},
        },
        "actions": {
            "battery.1.p_request_kw": {
                "device": "b",
                "point": "set",
                "low": -40.0,
                "high": 40.0,
                "ramp_per_s": 10.0,
                "safe_value": 0.0,
            }
        },
    }


def load(tmp_path, settings, register_map=MAP):
    for folder, name, text in (("register_map", "m", register_map), ("rig", "lab", yaml.safe_dump(settings))):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return load_rig("lab", tmp_path / "rig", OBSERVATION, ACTION)


def changed(path, value):
    settings = rig()
    *way, last = path
    here = settings
    for key in way:
        here = here[key]
    here[last] = value
    return settings


SINK = ("actions", "battery.1.p_request_kw")
BAD = {
    "unknown observation": (
        ("observations", "bus.2.v_pu"),
        {"constant": 1},
        "unknown observation channel 'bus.2.v_pu'; did you mean",
    ),
    "unknown action": (("actions", "x"), rig()["actions"]["battery.1.p_request_kw"], "unknown action channel 'x'"),
    "unknown device": (
        ("observations", "bus.1.v_pu"),
        {"device": "c", "point": "v"},
        "observation 'bus.1.v_pu': unknown device 'c'",
    ),
    "unknown point": (("observations", "bus.1.v_pu"), {"device": "b", "point": "w"}, "device 'b' has no point 'w'"),
    "unit": (("observations", "bus.1.v_pu"), {"device": "b", "point": "p"}, "unit 'W' cannot be converted to 'pu'"),
    "absent beyond the channel": (
        ("observations", "bus.1.v_pu"),
        {"device": "b", "point": "v_or_none", "absent": 2.0},
        "observation 'bus.1.v_pu': absent is 2; allowed: 0.5..1.5",
    ),
    "absent that cannot be": (
        ("observations", "bus.1.v_pu"),
        {"device": "b", "point": "v", "absent": 1.0},
        "absent is given, and point 'v' cannot say that it has no value; give it a count for `not_available`",
    ),
    "constant": (("observations", "price"), {"constant": 99}, "observation 'price': constant is 99; allowed: 0..9"),
    "feed": (("observations", "price"), {"feed": "none.csv", "column": "x"}, "cannot be read"),
    "read only": ((*SINK, "point"), "p", "point 'p' of device 'b' can only be read; name a set-point"),
    "limits": ((*SINK, "high"), 60.0, "limits -40..60 are beyond the channel's -50..50; allowed: within it"),
    "order": ((*SINK, "low"), 40.0, "low 40 is not below high 40"),
    "safe value": ((*SINK, "safe_value"), 45.0, "safe_value is 45; allowed: within the limits -40..40"),
    "together": ((*SINK, "together"), {"ena": 1}, "device 'b' has no point 'ena'"),
    "apply": ((*SINK, "apply"), "set", "apply 'set' is not among `together`"),
    "timeout": (("devices", 0, "transport", "timeout_s"), 0.5, "device 'b': timeout_s is 0.5; allowed: up to 0.08"),
    "map": (("devices", 0, "map"), "n", "device 'b': unknown register map 'n'; known: m"),
    "no map": (("devices", 0, "map"), None, "has neither a register map nor SunSpec models; give a `map` or `sunspec`"),
    "port": (("devices", 0, "transport", "port"), 0, "must be greater than or equal to 1"),
    "key": (("rate"), 1, "unknown key"),
    "stop": (("stop",), {"device": "b", "point": "halt"}, "stop: device 'b' has no point 'halt'"),
    "clock": (("clock",), {"device": "b"}, "clock: device and point go together"),
    "identity": (("devices", 0, "identity"), {"serial": 7}, "device 'b': device 'b' has no point 'serial'"),
    "sensitivity": (("safety",), {"voltage": {"sensitivity": "s.csv"}}, "s.csv cannot be read"),
}


@pytest.mark.parametrize(("path", "value", "message"), BAD.values(), ids=BAD)
def test_bad_rig_file_is_told_clearly(tmp_path, path, value, message):
    path = (path,) if isinstance(path, str) else path
    with pytest.raises(ConfigError) as error:
        load(tmp_path, changed(path, value))
    lines = [line for line in str(error.value).splitlines() if message in line]
    assert len(lines) == 1
    assert lines[0].startswith("rig 'lab': ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "task: "),
        ("load_scale: 2.0\n", "has id None; allowed: the id of a task; write `id: NAME`"),
        ("- 1\n", "task: "),
    ],
    ids=["missing", "no id", "no mapping"],
)
def test_bad_task_file_is_told_clearly(tmp_path, text, message):
    if text is not None:
        (tmp_path / "own.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        load(tmp_path, changed(("task",), "../own.yaml"))
    (line,) = str(error.value).splitlines()
    assert line.startswith("rig 'lab': ")
    assert message in line
    assert "own.yaml" in line


def test_rig_can_be_of_a_task_file_beside_it(tmp_path):
    (tmp_path / "own.yaml").write_text("id: Storage-IEEE33-v0\nload_scale: 2.0\n", encoding="utf-8")
    file = load(tmp_path, changed(("task",), "../own.yaml"))
    assert (file.task_id, Path(file.task).resolve()) == ("Storage-IEEE33-v0", tmp_path / "own.yaml")


def test_what_a_device_has_no_value_of_is_what_the_file_says():
    point = Point(name="soc", address=0, scale=0.1, unit="pct", not_available=[65535])
    source = RegisterSource(device="b", point="soc", absent=0.0)
    binding = bind(source, point, channel("ev.1.soc", "", 0.0, 1.0))
    assert (binding.decode((500,)), binding.decode((65535,))) == (0.5, 0.0)
    unstated = bind(source.model_copy(update={"absent": None}), point, binding.channel)
    assert math.isnan(unstated.decode((65535,)))


def test_readback_tells_the_two_positions_of_a_switch_apart():
    sink = Sink(device="b", point="close", low=0.0, high=1.0, ramp_per_s=10.0, safe_value=1.0)
    assert readback_tolerance(sink, 1.0) == 0.5
    assert readback_tolerance(sink, 0.01) == pytest.approx(0.015)


def test_good_rig_file_is_taken_and_has_a_fingerprint_of_its_contents(tmp_path):
    first, second = load(tmp_path, rig()), load(tmp_path, rig())
    assert first.fingerprint == second.fingerprint
    assert load(tmp_path, changed((*SINK, "high"), 39.0)).fingerprint != first.fingerprint
    assert load(tmp_path, rig(), MAP.replace("scale: 100", "scale: 10")).fingerprint != first.fingerprint


def test_problems_of_the_register_map_are_told_with_the_device(tmp_path):
    with pytest.raises(ConfigError, match=r"rig 'lab': device 'b': register map .* point 'v' has no scale"):
        load(tmp_path, rig(), MAP.replace("scale: 0.0001, ", ""))


def test_channels_without_source_or_sink_and_all_else_come_together(tmp_path):
    settings = rig()
    settings["observations"], settings["actions"] = {}, {}
    settings["devices"].append(dict(settings["devices"][0], name="c"))
    with pytest.raises(ConfigError) as error:
        load(tmp_path, settings)
    text = str(error.value)
    for line in (
        "rig 'lab': observation 'bus.1.v_pu' has no source; give it a source",
        "rig 'lab': action 'battery.1.p_request_kw' has no sink; give it a sink",
        "rig 'lab': devices 'b' and 'c' have the same address 127.0.0.1:1502 unit 1; give each its own",
    ):
        assert line in text.splitlines()


def test_power_without_direction_is_refused(tmp_path):
    text = MAP.replace("unit: W, sign: load", "unit: ''")
    with pytest.raises(ConfigError, match="point 'p' in counts has no direction; add `sign: grid`"):
        load(tmp_path, rig(), text)


def test_expired_certificate_is_one_line(tmp_path):
    authority = Authority(tmp_path)
    now = datetime.now(UTC)
    authority.issue("old", until=now - timedelta(days=1), since=now - timedelta(days=9))
    tls = {"type": "tls", "host": "localhost", "ca": "../ca.pem", "certificate": "../old.pem", "key": "../old.key"}
    with pytest.raises(ConfigError) as error:
        load(tmp_path, changed(("devices", 0, "transport"), tls))
    (line,) = str(error.value).splitlines()
    assert "rig 'lab': device 'b': certificate '" in line
    assert f"expired on {now - timedelta(days=1):%Y-%m-%d}; renew it" in line


def test_key_of_another_certificate_is_one_line(tmp_path):
    authority = Authority(tmp_path)
    for name in ("one", "two"):
        authority.issue(name)
    tls = {"type": "tls", "host": "localhost", "ca": "../ca.pem", "certificate": "../one.pem", "key": "../two.key"}
    with pytest.raises(ConfigError, match=r"cannot be used .*; name a pair that belongs together"):
        load(tmp_path, changed(("devices", 0, "transport"), tls))


def test_feed_holds_its_values_and_ends(tmp_path):
    path = tmp_path / "f.csv"
    path.write_text("time_s,price\n0,1\n900,2\n1800,4\n", encoding="utf-8")
    feed = read_feed(path, "price")
    assert [feed.at(t) for t in (0.0, 899.0, 900.0, 2699.0)] == [1.0, 1.0, 2.0, 4.0]
    assert str(feed.at(-1.0)) == str(feed.at(2700.0)) == str(feed.at(math.nan)) == "nan"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("time_s,x\n0,1\n", "has no column 'price'; add it"),
        ("time_s,price\n0,1\n0,2\n", "time_s does not rise at line 3; sort it"),
        ("time_s,price\n0,nan\n", "price is 'nan' at line 2; allowed: finite numbers"),
    ],
)
def test_bad_feed_is_one_line(tmp_path, text, message):
    path = tmp_path / "f.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        read_feed(path, "price")


def test_calendar_is_that_of_training():
    from gridenv.exogenous.timebase import YEAR_START, calendar_features

    rows = calendar_features(YEAR_START, 900, 366 * 96)
    for step in (0, 1, 4711, 35135):
        mine = [calendar(k, step * 900.0, 366 * 86400.0) for k in ("day_sin", "day_cos", "year_sin", "year_cos")]
        assert mine == pytest.approx(rows[step], abs=1e-6)


def test_wall_clock_counts_from_new_year():
    noon = datetime(2023, 1, 2, 12, tzinfo=UTC).timestamp()
    assert wall_clock(1.0, lambda: noon) == (37 * 3600.0, 365 * 86400.0)
