"""The link against virtual devices over loopback: measurements, set-points, timers, devices that change."""

import asyncio
import math
import time
from contextlib import asynccontextmanager
from itertools import pairwise

import numpy as np
import pytest

from hardware_in_loop.errors import RigError
from hardware_in_loop.modbus.link import ModbusLink
from hardware_in_loop.modbus.protocol import Code, Refusal
from hardware_in_loop.modbus.server import ModbusServer
from tests.hil import plant_rig
from tests.hil.wire import run

NAME = "pv.1.q_share"
MEASURED = {"pv.1.p_kw": 12.3, "pv.1.q_kvar": -4.5, "load.1.p_kw": -7.891}


class Lab:
    """Virtual devices behind servers, and the clock that they live by."""

    def __init__(self, folder, changes=None):
        self.folder, self.changes = folder, changes
        self.servers, self.devices, self.link = {}, {}, None
        self.start = time.monotonic()

    async def open(self, **server_settings):
        file = plant_rig.write(self.folder, plant_rig.settings(1, 2))
        self.devices = plant_rig.devices(file)
        for name, device in self.devices.items():
            self.servers[name] = ModbusServer({1: device.store}, **server_settings)
            await self.servers[name].start()
        values = plant_rig.settings(self.servers["pv"].port, self.servers["meter"].port)
        if self.changes is not None:
            self.changes(values)
        file = plant_rig.write(self.folder, values)
        self.link = ModbusLink(file, plant_rig.OBSERVATION, plant_rig.ACTION)
        self.tick()

    def tick(self, measured=MEASURED):
        for device in self.devices.values():
            device.tick(time.monotonic() - self.start)
            device.show(measured, 0.0, 0.0, np.random.default_rng(0))

    async def close(self):
        await self.link.close()
        for server in self.servers.values():
            await server.stop()


@asynccontextmanager
async def lab(folder, changes=None, opened=True):
    it = Lab(folder, changes)
    await it.open()
    try:
        if opened:
            await it.link.open()
        yield it
    finally:
        await it.close()


def test_measurements_arrive_in_units_and_signs_of_the_channels(tmp_path):
    async def check():
        async with lab(tmp_path) as it:
            before = time.monotonic()
            snapshot = await it.link.read(2.0)
            values = {name: r.value for name, r in snapshot.readings.items()}
            # 701.W and Var have steps of 1 W here, the meter 0.1 W; the meter counts what is drawn as positive.
            assert values == pytest.approx(MEASURED, abs=1e-3)
            assert snapshot.raw["meter.p"] == (0x343E, 0x0001)
            assert all(before <= r.acquired_s <= time.monotonic() for r in snapshot.readings.values())
            assert snapshot.devices["pv"].is_reachable
            assert snapshot.devices["pv"].is_remote
            assert snapshot.devices["meter"].heartbeat == it.devices["meter"].store.value("beat")

    run(check())


def test_quantity_that_the_device_has_not_is_nan(tmp_path):
    async def check():
        async with lab(tmp_path) as it:
            it.devices["pv"].store.set_words("701.W", (0x8000,))
            snapshot = await it.link.read(2.0)
            assert math.isnan(snapshot.readings["pv.1.p_kw"].value)

    run(check())


def test_setpoint_goes_out_whole_is_read_back_and_reverts(tmp_path):
    async def check():
        async with lab(tmp_path) as it:
            before = await it.link.read(2.0)
            assert math.isnan(before.setpoints[NAME].value)
            requests = it.servers["pv"].requests
            results = await it.link.write({NAME: 0.12347}, 2.0)
            # Counts of 0.01 %; the heartbeat is one request, the command with all that belongs to it another.
            assert results[NAME].value == pytest.approx(0.1235, abs=1e-9)
            assert results[NAME].problem == ""
            assert it.servers["pv"].requests == requests + 2
            it.tick()
            after = await it.link.read(2.0)
            assert after.setpoints[NAME].value == pytest.approx(0.1235)
            assert it.devices["pv"].store.value("704.VarSetRvrtRem") == 1.0
            assert it.devices["pv"].commands[NAME].setpoint == pytest.approx(0.1235)
            await asyncio.sleep(1.1)
            it.tick()
            late = await it.link.read(2.0)
            assert math.isnan(late.setpoints[NAME].value)
            assert it.devices["pv"].commands[NAME].reversions == 1

    run(check())


def two_seconds(values):
    values["safety"]["reversion_s"] = 2


def test_unchanged_setpoint_is_sent_again_at_half_the_timer_and_never_runs_out(tmp_path):
    async def check():
        async with lab(tmp_path, two_seconds) as it:
            commands, beats = [], []
            inner = it.devices["pv"].store.on_write

            def seen(values):
                (commands if "704.VarSetPct" in values else beats).append(time.monotonic())
                inner(values)

            it.devices["pv"].store.on_write = seen
            end = time.monotonic() + 2.5
            while time.monotonic() < end:
                await it.link.write({NAME: 0.5}, 0.2)
                it.tick()
                assert (await it.link.read(0.2)).setpoints[NAME].value == pytest.approx(0.5)
                await asyncio.sleep(0.05)
            # A second passes from one to the next, of the timer as of the heartbeat.
            for times in (commands, beats):
                assert len(times) in (2, 3)
                assert all(b - a > 0.7 for a, b in pairwise(times))
            assert it.devices["pv"].commands[NAME].reversions == 0

    run(check())


def test_refused_heartbeat_holds_no_setpoint_back(tmp_path):
    async def check():
        async with lab(tmp_path) as it:
            inner = it.devices["pv"].store.on_write

            def refuse_beats(values):
                if "715.ControllerHb" in values:
                    raise Refusal(Code.DEVICE_FAILURE)
                inner(values)

            it.devices["pv"].store.on_write = refuse_beats
            result = (await it.link.write({NAME: 0.5}, 2.0))[NAME]
            assert result.problem == "device 'pv': exception 4 (device failure)"
            assert it.devices["pv"].commands[NAME].setpoint == pytest.approx(0.5)

    run(check())


def shown_elsewhere(values):
    values["safety"]["reversion_s"] = 60
    together = {k: v for k, v in plant_rig.SETPOINT["together"].items() if k != "704.VarSetPctRvrt"}
    values["actions"][NAME] = {
        **plant_rig.SETPOINT, "together": together, "readback": "704.VarSetPctRvrt", "readback_within_s": 0.2
    }  # fmt: skip


def test_lost_write_is_sent_again_where_another_point_shows_the_setpoint(tmp_path):
    async def check():
        async with lab(tmp_path, shown_elsewhere) as it:
            store, writes = it.devices["pv"].store, []
            inner = store.on_write
            store.on_write = lambda values: (writes.append(values), inner(values))
            await it.link.write({NAME: 0.5}, 2.0)
            store.set("704.VarSetPctRvrt", 50.0)
            await asyncio.sleep(0.25)
            assert (await it.link.read(2.0)).setpoints[NAME].value == pytest.approx(0.5)
            await it.link.write({NAME: 0.5}, 2.0)
            assert sum("704.VarSetPct" in values for values in writes) == 1
            store.set("704.VarSetPctRvrt", 0.0)
            await it.link.read(2.0)
            await it.link.write({NAME: 0.5}, 2.0)
            assert sum("704.VarSetPct" in values for values in writes) == 2

    run(check())


def test_setpoint_that_somebody_else_changed_is_written_at_once(tmp_path):
    async def check():
        async with lab(tmp_path) as it:
            await it.link.write({NAME: 0.5}, 2.0)
            await it.link.read(2.0)
            it.devices["pv"].store.set("704.VarSetPct", -20.0)
            assert (await it.link.read(2.0)).setpoints[NAME].value == pytest.approx(-0.2)
            await it.link.write({NAME: 0.5}, 2.0)
            assert it.devices["pv"].store.value("704.VarSetPct") == pytest.approx(50.0)

    run(check())


@pytest.mark.parametrize(("value", "message"), [(math.nan, "is not finite"), (1e6, "is out of range|does not fit")])
def test_value_that_cannot_be_encoded_is_not_sent(tmp_path, value, message):
    async def check():
        async with lab(tmp_path) as it:
            result = (await it.link.write({NAME: value}, 2.0))[NAME]
            assert math.isnan(result.value)
            assert result.problem.startswith("device 'pv': point '704.VarSetPct'")
            assert it.devices["pv"].commands[NAME].setpoint is None

    run(check())


def test_unknown_channel_is_an_error_and_nothing_is_written(tmp_path):
    async def check():
        async with lab(tmp_path) as it:
            with pytest.raises(RigError, match=r"unknown action channel 'pv.1.q'; did you mean 'pv.1.q_share'"):
                await it.link.write({"pv.1.q": 0.0, NAME: 0.1}, 2.0)
            assert it.devices["pv"].commands[NAME].setpoint is None

    run(check())


def test_device_in_local_mode_refuses_and_says_so(tmp_path):
    async def check():
        async with lab(tmp_path) as it:
            it.devices["pv"].is_local = True
            it.tick()
            assert (await it.link.read(2.0)).devices["pv"].is_remote is False
            result = (await it.link.write({NAME: 0.1}, 2.0))[NAME]
            assert result.problem == "device 'pv': exception 4 (device failure)"

    run(check())


def test_one_dead_device_takes_neither_time_nor_data_from_the_others(tmp_path):
    async def check():
        async with lab(tmp_path) as it:
            await it.link.read(2.0)
            old = (await it.link.read(2.0)).readings["pv.1.p_kw"].acquired_s
            await it.servers["pv"].stop()
            start = time.monotonic()
            snapshot = await it.link.read(0.05)
            assert time.monotonic() - start < 0.15
            assert not snapshot.devices["pv"].is_reachable
            assert "device 'pv'" in snapshot.devices["pv"].problem
            assert snapshot.devices["meter"].is_reachable
            assert snapshot.readings["pv.1.p_kw"].acquired_s == old
            assert snapshot.readings["load.1.p_kw"].acquired_s > old

    run(check())


def test_another_device_at_the_same_address_after_a_reconnect_is_not_used(tmp_path):
    async def check():
        async with lab(tmp_path) as it:
            await it.link.read(2.0)
            await it.servers["pv"].stop()
            store = it.devices["pv"].store
            address = next(a for a in range(40000, 40100) if store.read("holding", a, 1) == [0x7076])  # "pv"
            store._words["holding"][address] = 0x7077
            await it.servers["pv"].start()
            await asyncio.sleep(0.3)
            snapshot = await it.link.read(2.0)
            assert "is another device than before; check it, and start anew" in snapshot.devices["pv"].problem
            result = (await it.link.write({NAME: 0.1}, 2.0))[NAME]
            assert "is another device than before" in result.problem
            assert it.devices["pv"].commands[NAME].setpoint is None

    run(check())


def wrong_identity(values):
    values["devices"][0]["identity"] = {"1.Md": "other"}


def wrong_model(values):
    values["devices"][0]["sunspec"]["models"] = [1, 701, 704, 715, 124]
    values["devices"][1]["map"], values["devices"][1]["sunspec"] = "meter", None


def no_marker(values):
    values["devices"][0]["sunspec"]["base"] = 50000


def unreachable(values):
    for device in values["devices"]:
        device["transport"]["port"] = 9


@pytest.mark.parametrize(
    ("changes", "messages"),
    [
        (wrong_identity, ["device 'pv': 1.Md is 'pv'; the rig file expects 'other'; check address and device"]),
        (no_marker, ["device 'pv': no SunSpec marker 'SunS' (50000: device 'pv': exception 2 (illegal address))"]),
        (unreachable, ["device 'pv': 127.0.0.1:9 cannot be reached", "device 'meter': 127.0.0.1:9 cannot be reached"]),
    ],
    ids=["identity", "marker", "unreachable"],
)
def test_rig_that_is_not_as_the_file_says_is_refused_with_a_line_for_each_device(tmp_path, changes, messages):
    if changes is unreachable:
        original = changes

        def changes(values):
            original(values)
            values["devices"][1]["transport"]["unit"] = 2

    async def check():
        async with lab(tmp_path, changes, opened=False) as it:
            with pytest.raises(RigError) as error:
                await it.link.open()
            lines = str(error.value).splitlines()
            assert len(lines) == len(messages)
            assert all(line.startswith(message) for line, message in zip(lines, messages, strict=True))

    run(check())
