"""The virtual rig over the wire: the same voltages as in training, droop without a controller, faults."""

import asyncio
import math
import time

import jax.numpy as jnp
import numpy as np
import pytest

from hardware_in_loop.errors import RigError, RigFileError
from hardware_in_loop.rig.files import load_rig
from hardware_in_loop.virtual_rig.control import ControlPort, ask
from hardware_in_loop.virtual_rig.emulator import Emulator
from hardware_in_loop.virtual_rig.simulator import Simulator
from tests.hil.virtual_lab import CONFIGS, begin, decoded, lab, tick
from tests.hil.wire import run

RIG = "voltvar_ieee33"
QUANTUM_PU = 0.5 * 0.00005
"""Half a count of the voltages in the register map."""


@pytest.fixture(scope="module")
def simulator():
    """The task, its step compiled."""
    return Simulator("VoltVar-IEEE33-v0", "test", 60)


@pytest.fixture(scope="module")
def file(simulator):
    """The rig file of the repository."""
    return load_rig(RIG, CONFIGS / "rig", simulator.observation, simulator.action)


def worst_voltage(values, expected):
    return max(abs(values[n].value - expected[n]) for n in expected if n.startswith("bus."))


@pytest.mark.parametrize("within_step", ["solve", "hold"])
def test_what_is_on_the_wire_is_what_the_training_environment_gives(simulator, file, within_step):
    """The environment is stepped by itself, with the set-points as the devices read them back."""
    env, params = simulator.env, simulator.params

    def stepped(state, commands):
        vector = jnp.asarray([commands[n].value for n in simulator.action.names], jnp.float32)
        return env.step(None, state, env.encode_action(vector), params)

    async def check():
        async with lab(simulator, file, within_step=within_step) as (emulator, link):
            state = simulator.state
            emulator.speed = simulator.step_s
            rng = np.random.default_rng(1)
            for _ in range(5):
                asked = dict(zip(simulator.action.names, map(float, rng.uniform(-1, 1, 6)), strict=True))
                await link.write(asked, 1.0)
                await tick(emulator, 1.0)
                snapshot = await link.read(1.0)
                observation, state, *_ = stepped(state, snapshot.setpoints)
                if within_step == "solve":
                    # The step is over and the next one goes on, with the same commands.
                    observation = stepped(state, snapshot.setpoints)[0]
                expected = decoded(simulator, observation)
                assert worst_voltage(snapshot.readings, expected) < QUANTUM_PU + 1e-6
                if within_step == "hold":
                    for name, value in expected.items():
                        assert snapshot.readings[name].value == pytest.approx(value, abs=quantum(name)), name

    run(check())


def quantum(name):
    """What rounding to counts can change: half a count."""
    if name.startswith("pv."):
        return 0.51
    return 0.0051 if name.startswith("price") else 1e-4


def test_without_a_controller_inverters_follow_their_own_curve(simulator, file):
    async def check():
        async with lab(simulator, file, response_s=0.3, ramp_share_per_s=2.0) as (emulator, link):
            for _ in range(40):
                await tick(emulator)
            snapshot = await link.read(1.0)
            assert all(math.isnan(s.value) for s in snapshot.setpoints.values())
            for n in (10, 18, 21, 24, 27, 31):
                v_pu = snapshot.readings[f"bus.{n}.v_pu"].value
                rating = simulator.observation.channels[simulator.observation.index(f"pv.{n}.q_kvar")].high
                expected = rating * np.interp(v_pu, (0.92, 0.98, 1.02, 1.08), (0.44, 0.0, 0.0, -0.44))
                assert snapshot.readings[f"pv.{n}.q_kvar"].value == pytest.approx(expected, abs=0.01 * rating)

    run(check())


def test_output_follows_a_setpoint_with_lag_and_ramp(simulator, file):
    async def check():
        async with lab(simulator, file, response_s=0.3, ramp_share_per_s=0.5, uncommanded="idle") as (
            emulator,
            link,
        ):
            await link.write({"pv.10.q_share": 1.0}, 1.0)
            outputs = []
            for _ in range(40):
                await tick(emulator)
                outputs.append(emulator.device("pv_10").commands["pv.10.q_share"].output)
            # The ramp is 0.5 of the range of 2 each second: 0.1 a tick until the lag is slower.
            assert outputs[:3] == pytest.approx([0.1, 0.2, 0.3])
            assert max(np.diff(outputs)) <= 0.1 + 1e-9
            assert outputs[-1] == pytest.approx(1.0, abs=1e-3)

    run(check())


def test_lost_controller_gives_the_rig_back_within_the_timer(simulator, file):
    async def check():
        async with lab(simulator, file) as (emulator, link):
            await link.write(dict.fromkeys(simulator.action.names, 0.5), 1.0)
            await tick(emulator)
            assert all(v == 0.5 for v in emulator.status()["setpoints"].values())
            await link.close()
            now_s = time.monotonic()
            await emulator.tick(now_s + 4.0, 0.1)
            assert all(v == 0.5 for v in emulator.status()["setpoints"].values())
            await emulator.tick(now_s + 5.1, 0.1)
            assert all(v is None for v in emulator.status()["setpoints"].values())
            assert emulator.status()["reversions"] == 6

    run(check())


def test_noise_is_as_large_as_stated(simulator, file):
    async def check():
        async with lab(simulator, file, linked=False, noise_counts=4.0) as (emulator, _):
            store, seen = emulator.device("scada").store, []
            for _ in range(200):
                emulator._show()
                seen.append(store.value("v_18"))
            assert np.std(seen) == pytest.approx(4 * 0.00005, rel=0.2)

    run(check())


FAULTS = {
    "latency": ({"kind": "latency", "seconds": 1.0}, "no answer within"),
    "drop": ({"kind": "drop"}, "no answer within"),
    "half open": ({"kind": "half_open"}, "no answer within"),
    "exception": ({"kind": "exception", "code": 6}, "exception 6 (busy)"),
    "disconnect": ({"kind": "disconnect", "seconds": 0.3}, "connection"),
    "reboot": ({"kind": "reboot", "seconds": 0.3}, "connection"),
}


@pytest.mark.parametrize(("fault", "message"), FAULTS.values(), ids=FAULTS)
def test_faults_of_the_network_meet_one_device_and_pass(simulator, file, fault, message):
    async def check():
        async with lab(simulator, file) as (emulator, link):
            await link.write({"pv.10.q_share": 0.5}, 1.0)
            await link.read(1.0)
            await begin(emulator, "pv_10", **fault)
            await asyncio.sleep(0.02)
            start = time.monotonic()
            snapshot = await link.read(0.08)
            assert time.monotonic() - start < 0.3
            assert message in snapshot.devices["pv_10"].problem
            assert all(s.is_reachable for name, s in snapshot.devices.items() if name != "pv_10")
            emulator.faults["pv_10"].end()
            for _ in range(40):
                await asyncio.sleep(0.1)
                snapshot = await link.read(0.08)
                if snapshot.devices["pv_10"].is_reachable:
                    break
            assert snapshot.devices["pv_10"].is_reachable
            # A device that has started anew has forgotten its set-point; others keep it until the timer ends.
            assert math.isnan(snapshot.setpoints["pv.10.q_share"].value) == (fault["kind"] == "reboot")

    run(check())


def test_faults_of_measurements(simulator, file):
    async def check():
        async with lab(simulator, file) as (emulator, link):
            emulator.speed = simulator.step_s
            await begin(emulator, "scada", kind="nan", points=["v_18"])
            await begin(emulator, "scada", kind="over_range", points=["v_17"])
            await tick(emulator)
            snapshot = await link.read(1.0)
            assert math.isnan(snapshot.readings["bus.18.v_pu"].value)
            assert snapshot.readings["bus.17.v_pu"].value == pytest.approx(65534 * 0.00005)
            emulator.faults["scada"].end()
            before = (await link.read(1.0)).readings["bus.18.v_pu"].value
            await begin(emulator, "scada", kind="stuck", points=["v_18"])
            await tick(emulator, 5.0)
            snapshot = await link.read(1.0)
            assert math.isnan(before) == math.isnan(snapshot.readings["bus.18.v_pu"].value)
            emulator.faults["scada"].end()
            await tick(emulator)
            assert (await link.read(1.0)).readings["bus.18.v_pu"].value == pytest.approx(
                emulator.status()["v_pu"]["18"], abs=1e-4
            )
            time_s = emulator.device("scada").store.value("time")
            await begin(emulator, "scada", kind="swapped_words")
            raw = (await link.read(1.0)).raw["scada.time"]
            assert raw[1] << 16 | raw[0] == time_s

    run(check())


def test_stuck_setpoint_is_acknowledged_and_stays(simulator, file):
    async def check():
        async with lab(simulator, file) as (emulator, link):
            await link.write({"pv.10.q_share": 0.2}, 1.0)
            point = file.rig.actions["pv.10.q_share"].point
            await begin(emulator, "pv_10", kind="stuck", points=[point])
            result = (await link.write({"pv.10.q_share": 0.4}, 1.0))["pv.10.q_share"]
            assert result.problem == ""
            assert (await link.read(1.0)).setpoints["pv.10.q_share"].value == pytest.approx(0.2, abs=1e-3)
            emulator.faults["pv_10"].end()
            await link.write({"pv.10.q_share": 0.4}, 1.0)
            assert (await link.read(1.0)).setpoints["pv.10.q_share"].value == pytest.approx(0.4, abs=1e-3)

    run(check())


def test_control_port_answers_asks_and_refuses(simulator, file):
    async def check():
        async with lab(simulator, file) as (emulator, link):
            stop = asyncio.Event()
            port = ControlPort(emulator, 0, stop)
            await port.start()
            status = await ask(port.port, {"ask": "status"})
            assert len(status["v_pu"]) == 33
            await ask(port.port, {"ask": "set", "device": "scada", "point": "operator_stop", "value": 1})
            assert (await link.read(1.0)).operator_stop
            await ask(port.port, {"ask": "fault", "device": "pv_10", "kind": "drop", "share": 0.5})
            assert (await ask(port.port, {"ask": "status"}))["faults"] == {"pv_10": ["drop"]}
            await ask(port.port, {"ask": "clear"})
            await ask(port.port, {"ask": "restart", "day": 3, "hour": 6})
            await tick(emulator)
            status = await ask(port.port, {"ask": "status"})
            assert (status["faults"], status["day"], status["scenario_step"] % 96) == ({}, 3, 24)
            for request, message in (
                ({"ask": "fly"}, "unknown request 'fly'; allowed: status, history"),
                ({"ask": "fault", "device": "pv_99", "kind": "drop"}, "unknown device 'pv_99'; known: scada"),
                ({"ask": "fault", "device": "pv_10", "kind": "fire"}, "fault: kind = 'fire'; must be 'latency'"),
                ({"ask": "fault", "device": "scada", "kind": "nan", "points": ["price"]}, "has no count for"),
                ({"ask": "fault", "device": "scada", "kind": "stuck", "points": ["x"]}, "has no point 'x'"),
                ({"ask": "fault", "kind": "nan"}, "lacks 'device'"),
            ):
                with pytest.raises(RigError, match=message):
                    await ask(port.port, request)
            await ask(port.port, {"ask": "stop"})
            assert stop.is_set()
            await port.close()

    run(check())


def test_control_port_that_nobody_listens_on_is_one_line():
    with pytest.raises(RigError, match="virtual rig: control port 9 does not answer"):
        run(ask(9, {"ask": "status"}))


def test_taken_port_and_days_that_are_not_there_are_one_line(simulator, file):
    async def check():
        async with lab(simulator, file, linked=False) as (emulator, _):
            other = Emulator(emulator.file, simulator, 1.0)
            for name, server in other.servers.items():
                server._port = emulator.servers[name].port if name == "scada" else 0
            with pytest.raises(RigError, match=r"device 'scada': port \d+ cannot be used \(.*\); free it"):
                await other.start()

    run(check())
    with pytest.raises(RigFileError, match=r"emulated: start is 65; allowed: 0\.\.64, the days of the test split"):
        Simulator("VoltVar-IEEE33-v0", "test", 65)


def test_days_follow_each_other(simulator):
    simulator.restart(64, 23.75)
    view = simulator.view(dict.fromkeys(simulator.action.names, 0.0))
    simulator.go_on(view)
    assert simulator.day == 0
    assert simulator.scenario_step == simulator.starts[0]
