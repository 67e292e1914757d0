"""What independent programs make of our registers and frames: mbpoll (libmodbus), pysunspec2's client, tshark."""

import asyncio
import math
import re
import shutil
import subprocess
import sys
from contextlib import asynccontextmanager

import numpy as np
import pytest
from sunspec2.modbus import client as sunspec_client

from hardware_in_loop.modbus.client import ModbusClient
from hardware_in_loop.modbus.link import ModbusLink
from hardware_in_loop.modbus.server import ModbusServer
from hardware_in_loop.registers import Table
from hardware_in_loop.rig.schema import Rtu
from tests.hil import plant_rig
from tests.hil.wire import run, serving, store

MEASURED = {"pv.1.p_kw": 12.3, "pv.1.q_kvar": -4.5, "load.1.p_kw": -7.891}
TOOL_LIMIT_S = 10.0
UNIT_SPARE = 0x600000
"""Severity `warning` of tshark's expert information."""


def tool(name):
    """Skip where a program is missing."""
    return pytest.mark.skipif(shutil.which(name) is None, reason=f"{name} is missing; run tests/hil/install_tools.sh")


async def call(*command):
    """Run a program beside the servers; exit code and all that it said."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), TOOL_LIMIT_S)
    except TimeoutError:
        process.kill()
        raise
    return process.returncode, output.decode()


@asynccontextmanager
async def inverter(folder):
    """A virtual inverter with every model that is supported."""
    device = plant_rig.devices(plant_rig.write(folder, plant_rig.settings(1, 2)))["pv"]
    device.show(MEASURED, 0.0, 0.0, np.random.default_rng(0))
    server = ModbusServer({1: device.store})
    await server.start()
    try:
        yield device, server.port
    finally:
        await server.stop()


def mbpoll(port, *options):
    return ("mbpoll", "-0", "-m", "tcp", "-p", str(port), "-a", "1", "-1", *options)


@tool("mbpoll")
def test_mbpoll_reads_and_writes_the_registers_of_an_inverter(tmp_path):
    async def check():
        async with inverter(tmp_path) as (device, port):
            code, text = await call(*mbpoll(port, "-t", "4:hex", "-r", "40000", "-c", "2", "127.0.0.1"))
            assert code == 0
            assert re.findall(r"0x\w{4}", text) == ["0x5375", "0x6E53"]
            point = device.store.points["704.VarSetPct"]
            code, _ = await call(*mbpoll(port, "-t", "4", "-r", str(point.address), "127.0.0.1", "1250"))
            assert code == 0
            assert device.store.value("704.VarSetPct") == pytest.approx(12.5)
            code, text = await call(*mbpoll(port, "-t", "4", "-r", str(point.address), "127.0.0.1"))
            assert re.search(r"\]:\s+1250\b", text)

    run(check())


@tool("mbpoll")
def test_mbpoll_is_told_why_it_may_not(tmp_path):
    async def check():
        async with inverter(tmp_path) as (device, port):
            mode = device.store.points["704.VarSetMod"].address
            watts = device.store.points["701.W"].address
            code, text = await call(*mbpoll(port, "-t", "4", "-r", str(mode), "127.0.0.1", "9"))
            assert code != 0
            assert "Illegal data value" in text
            code, text = await call(*mbpoll(port, "-t", "4", "-r", str(watts), "127.0.0.1", "1"))
            assert code != 0
            assert "Illegal data address" in text
            code, text = await call(*mbpoll(port, "-t", "4", "-r", "10", "127.0.0.1"))
            assert "Illegal data address" in text

    run(check())


@tool("mbpoll")
def test_mbpoll_reads_other_tables_types_and_orders():
    async def check():
        units = store()
        units.set("ramp", 3.5)
        units.set("on", 1.0)
        async with serving({1: units}) as server:
            _, text = await call(*mbpoll(server.port, "-B", "-t", "4:float", "-r", "2", "127.0.0.1"))
            assert re.search(r"\]:\s+3\.5\b", text)
            _, text = await call(*mbpoll(server.port, "-t", "0", "-r", "5", "127.0.0.1"))
            assert re.search(r"\]:\s+1\b", text)
            code, _ = await call(*mbpoll(server.port, "-t", "0", "-r", "5", "127.0.0.1", "0"))
            assert code == 0
            assert units.value("on") == 0.0

    run(check())


def scan(port):
    """What pysunspec2 finds, in engineering values by the names that we use."""
    device = sunspec_client.SunSpecModbusClientDeviceTCP(slave_id=1, ipaddr="127.0.0.1", ipport=port, timeout=2.0)
    device.scan()
    values, errors, ids = {}, [], []

    def walk(group, path):
        for name, point in group.points.items():
            values[f"{path}{name}"] = point.cvalue
        for name, part in group.groups.items():
            for i, each in enumerate(part if isinstance(part, list) else [part], start=1):
                walk(each, f"{path}{name}[{i}]." if isinstance(part, list) else f"{path}{name}.")

    for model_id, models in device.models.items():
        if not isinstance(model_id, int):
            continue
        ids.append(model_id)
        for model in models:
            errors += [model.error_info] if model.error_info else []
            walk(model, f"{model_id}.")
    device.close()
    return ids, errors, values


def test_pysunspec2_finds_every_model_and_the_same_engineering_values(tmp_path):
    async def check():
        async with inverter(tmp_path) as (device, port):
            ids, errors, values = await asyncio.to_thread(scan, port)
            assert ids == plant_rig.MODELS
            assert errors == []
            compared = 0
            for name, point in device.store.points.items():
                if name.split(".")[1] in ("ID", "L") or "#" in name:
                    continue
                mine, theirs = device.store.value(name), values[name]
                if theirs is None:
                    # It takes a counter at zero for one that is not implemented.
                    assert math.isnan(mine) or mine == 0.0, name
                else:
                    assert theirs == pytest.approx(mine, rel=1e-9, abs=point.quantum * 1e-6), name
                    compared += 1
            assert compared > 100
            assert values["701.W"] == pytest.approx(12300.0)
            assert values["1.Md"] == "pv"
            assert values["705.Crv[1].Pt[2].V"] == pytest.approx(98.0)

    run(check())


def test_our_discovery_finds_what_pysunspec2_wrote(tmp_path):
    def command(port, value):
        device = sunspec_client.SunSpecModbusClientDeviceTCP(slave_id=1, ipaddr="127.0.0.1", ipport=port, timeout=2.0)
        device.scan()
        model = device.models[704][0]
        model.points["VarSetPct"].cvalue = value
        model.points["VarSetMod"].value = 2
        model.points["VarSetEna"].value = 1
        model.write()
        device.close()

    async def check():
        async with inverter(tmp_path) as (device, port):
            await asyncio.to_thread(command, port, -33.25)
            assert device.commands["pv.1.q_share"].setpoint == pytest.approx(-0.3325)

    run(check())


async def cycles(link, n):
    for i in range(n):
        await link.read(0.5)
        await link.write({"pv.1.q_share": math.sin(i / 10.0)}, 0.5)


@tool("tshark")
@pytest.mark.slow
def test_tshark_finds_no_malformed_frame_in_a_thousand_cycles(tmp_path):
    async def check():
        file = plant_rig.write(tmp_path, plant_rig.settings(1, 2))
        devices = plant_rig.devices(file)
        servers = {name: ModbusServer({1: device.store}) for name, device in devices.items()}
        for server in servers.values():
            await server.start()
        ports = [server.port for server in servers.values()]
        file = plant_rig.write(tmp_path, plant_rig.settings(*ports))
        capture = tmp_path / "wire.pcap"
        within = " or ".join(f"tcp port {port}" for port in ports)
        recorder = await asyncio.create_subprocess_exec(
            "tshark", "-i", "lo", "-f", within, "-w", str(capture), "-q", stderr=subprocess.PIPE
        )
        try:
            line = b""
            while b"Capturing on" not in line:
                line = await asyncio.wait_for(recorder.stderr.readline(), TOOL_LIMIT_S)
                if not line:
                    pytest.skip("tshark may not capture on loopback here; give it the right to")
            await asyncio.sleep(0.5)
            link = ModbusLink(file, plant_rig.OBSERVATION, plant_rig.ACTION)
            await link.open()
            await cycles(link, 1000)
            await link.close()
            await asyncio.sleep(1.0)
        finally:
            recorder.terminate()
            await recorder.wait()
            for server in servers.values():
                await server.stop()
        decode = [option for port in ports for option in ("-d", f"tcp.port=={port},mbtcp")]
        settings = ("-o", f"mbtcp.tcp.port:{','.join(map(str, ports))}")
        code, frames = await call(
            "tshark", "-r", str(capture), *settings, *decode, "-Y", "modbus", "-T", "fields", "-e", "frame.number"
        )
        assert code == 0
        # A cycle is a read of each of three groups of registers and a command, each asked and answered.
        assert len(frames.split()) > 6000
        bad = f"_ws.malformed or (mbtcp and _ws.expert.severity >= {UNIT_SPARE}) or modbus.exception_code"
        code, text = await call("tshark", "-r", str(capture), *settings, *decode, "-Y", bad)
        assert code == 0
        assert [line for line in text.splitlines() if "Running as user" not in line] == []

    asyncio.run(asyncio.wait_for(check(), 120.0))


@pytest.fixture
def serial_pair(tmp_path):
    """Two ends of a serial line without hardware."""
    ends = tmp_path / "a", tmp_path / "b"
    process = subprocess.Popen(
        ["socat", "-d", "-d", *(f"pty,raw,echo=0,link={end}" for end in ends)], stderr=subprocess.PIPE
    )
    for line in process.stderr:
        if b"starting data transfer" in line:
            break
    yield ends
    process.terminate()
    process.wait()
    process.stderr.close()


@tool("socat")
def test_rtu_over_a_serial_line_with_pymodbus_as_the_device(serial_pair):
    device = """
import asyncio, sys
from pymodbus.server import StartAsyncSerialServer
from pymodbus.simulator import DataType, SimData, SimDevice
async def main():
    data = [SimData(0, values=[11, 22, 33, 44], datatype=DataType.REGISTERS)]
    await StartAsyncSerialServer([SimDevice(3, simdata=data)], port=sys.argv[1], baudrate=115200)
asyncio.run(main())
"""

    async def check():
        far = await asyncio.create_subprocess_exec(sys.executable, "-c", device, str(serial_pair[0]))
        client = ModbusClient(
            "rtu", Rtu(type="rtu", serial_port=str(serial_pair[1]), unit=3, baudrate=115200, parity="N", timeout_s=0.4)
        )
        try:
            await client.open()
            for attempt in range(20):
                await asyncio.sleep(0.2)
                try:
                    assert await client.read(Table.HOLDING, 0, 4) == (11, 22, 33, 44)
                    break
                except Exception:
                    # The other program is still starting.
                    if attempt == 19:
                        raise
            await client.write(Table.HOLDING, 1, (555, 666))
            assert await client.read(Table.HOLDING, 0, 4) == (11, 555, 666, 44)
        finally:
            await client.close()
            far.terminate()
            await far.wait()

    run(check())
