"""Rig files of all kinds of devices over the wire against the task alone: measurements, set-points, timers, reboots."""

import asyncio
import math
import time
from dataclasses import dataclass
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

from gridenv.policy.codec import Codec
from hardware_in_loop.control.rules import Register, control_settings
from hardware_in_loop.rig.files import RigFile, load_rig, read_rig
from hardware_in_loop.virtual_rig.image import build
from hardware_in_loop.virtual_rig.simulator import Simulator
from tests.hil.virtual_lab import CONFIGS, begin, decoded, lab, tick
from tests.hil.wire import run

AT = {
    "storage_ieee33": (60, 17.0),
    "voltvar_ieee13": (60, 12.0),
    "voltvar_ieee33_breakers": (60, 12.0),
    "smarthome_lv": (19, 9.0),
}
"""Day and hour at which every set-point of a rig does something: sunshine, full machines, a vehicle that feeds back and
leaves two hours later."""
ELSEWHERE = ("voltvar_ieee33",)
"""Its own tests are in test_virtual_rig.py."""
FLOAT = 1e-6
"""Relative error of what passes through float32."""


@dataclass(frozen=True)
class Case:
    """A rig file and the simulator of its task."""

    file: RigFile
    simulator: Simulator
    at: tuple[int, float]

    def lab(self, **settings):
        """The rig on loopback, at its time."""
        return lab(self.simulator, self.file, at=self.at, **settings)

    def stepped(self, state, commands):
        """A step of the environment by itself: what is observed, what was done of the commands, the state after it."""
        env, actions = self.simulator.env, self.simulator.action
        vector = jnp.asarray([commands[n] for n in actions.names], jnp.float32)
        observation, state, *_, info = env.step(None, state, env.encode_action(vector), self.simulator.params)
        applied = Codec.of(actions).decode(np.asarray(info["action_applied"]))
        return decoded(self.simulator, observation), dict(zip(actions.names, map(float, applied), strict=True)), state

    def idle(self):
        """Commands that ask for nothing in the present state."""
        env, actions = self.simulator.env, self.simulator.action
        physical = env.task.actuator.idle(self.simulator.params.model, self.simulator.state.grid)
        return dict(zip(actions.names, map(float, physical), strict=True))

    def setpoints(self, link, rng):
        """Set-points at random, of those that registers can carry."""
        found = {}
        for device in link.devices.values():
            for name, binding in device.layout.sinks.items():
                sink = self.file.rig.actions[name]
                value = float(rng.uniform(sink.low, sink.high))
                found[name] = float(round(value)) if binding.point.table.is_bits else value
        return found


@pytest.fixture(scope="module", params=sorted(AT))
def case(request):
    """A rig file of the repository, its task compiled once."""
    file = read_rig(request.param, CONFIGS / "rig")
    simulator = Simulator(file.task, file.rig.emulated.split, 0)
    file = load_rig(request.param, CONFIGS / "rig", simulator.observation, simulator.action)
    return Case(file, simulator, AT[request.param])


def farthest(sink, value):
    """The limit of a set-point that is farther away."""
    return sink.high if sink.high - value > value - sink.low else sink.low


def is_position(channel):
    """A position that a device keeps by itself, without power."""
    return channel.startswith(("tap.", "capacitor.", "switch."))


def assert_same(link, readings, expected):
    """All channels within half a count of their registers."""
    bindings = {b.channel.name: b for d in link.devices.values() for b in d.layout.sources}
    for name, value in expected.items():
        half = 0.5 * bindings[name].quantum if name in bindings else 0.0
        assert readings[name].value == pytest.approx(value, abs=half + FLOAT * max(1.0, abs(value))), name


def test_every_rig_file_is_tested():
    assert sorted((*AT, *ELSEWHERE)) == sorted(path.stem for path in (CONFIGS / "rig").glob("*.yaml"))


def test_what_is_on_the_wire_is_what_the_environment_gives(case):
    """The environment is stepped by itself, with the set-points as the devices read them back."""

    async def check():
        async with case.lab(within_step="hold") as (emulator, link):
            state = case.simulator.state
            emulator.speed = case.simulator.step_s
            rng = np.random.default_rng(1)
            can_be_absent = [(d, b) for d in link.devices.values() for b in d.layout.sources if b.absent is not None]
            absent = set()
            for _ in range(10):
                results = await link.write(case.setpoints(link, rng), 1.0)
                assert not [r.problem for r in results.values() if r.problem]
                await tick(emulator, 1.0)
                snapshot = await link.read(1.0)
                assert not [s.problem for s in snapshot.devices.values() if s.problem]
                expected, _, state = case.stepped(state, {n: s.value for n, s in snapshot.setpoints.items()})
                assert_same(link, snapshot.readings, expected)
                words = {b.channel.name: (b.point, d.held.words[b.point.name]) for d, b in can_be_absent}
                absent |= {name for name, (point, held) in words.items() if math.isnan(point.decode(held))}
            # What can be missing is told as missing by the device, and is a number for the policy.
            assert absent == {b.channel.name for _, b in can_be_absent}

    run(check())


def test_each_setpoint_is_read_back_and_does_what_the_action_does(case):
    async def check():
        async with case.lab(uncommanded="idle") as (emulator, link):
            held, state = case.idle(), case.simulator.state
            nothing = case.stepped(state, held)[1]
            for name, sink in case.file.rig.actions.items():
                binding = link.devices[sink.device].layout.sinks[name]
                asked = farthest(sink, held[name])
                result = (await link.write({name: asked}, 1.0))[name]
                assert not result.problem
                await tick(emulator)
                snapshot = await link.read(1.0)
                value = snapshot.setpoints[name].value
                assert value == result.value == pytest.approx(asked, abs=0.5 * binding.quantum + FLOAT)
                observed, applied, _ = case.stepped(state, {**held, name: value})
                assert emulator.status()["applied"] == pytest.approx(applied, rel=FLOAT, abs=FLOAT)
                assert applied[name] != pytest.approx(nothing[name], abs=1e-3), name
                voltages = {n: v for n, v in observed.items() if n.startswith("bus.")}
                assert_same(link, snapshot.readings, voltages)
                emulator.device(sink.device).switch_on(emulator.now_s)
                held[name] = applied[name] if is_position(name) else held[name]

    run(check())


def test_setpoints_run_out_where_a_device_has_a_timer(case):
    actions = case.file.rig.actions
    timed = [name for name, sink in actions.items() if sink.reversion is not None]

    async def check():
        async with case.lab(uncommanded="idle") as (emulator, link):
            asked = {name: sink.test_window[0] if sink.test_window else sink.high for name, sink in actions.items()}
            begin_s, after_s = time.monotonic(), case.file.rig.safety.reversion_s
            await link.write(asked, 1.0)
            end_s = time.monotonic()
            await tick(emulator)
            before = (await link.read(1.0)).setpoints
            await emulator.tick(begin_s + after_s - 0.1, 0.1)
            assert all(emulator.status()["setpoints"][name] is not None for name in actions)
            await emulator.tick(end_s + after_s + 0.1, 0.1)
            status, shown = emulator.status(), (await link.read(1.0)).setpoints
            assert status["reversions"] == len(timed)
            for name, sink in actions.items():
                if name not in timed:
                    assert shown[name].value == before[name].value
                    continue
                assert before[name].value != pytest.approx(sink.safe_value, abs=1e-3)
                assert status["setpoints"][name] is None
                # Switched off, or the safe value instead.
                value, is_switched_off = shown[name].value, sink.apply is not None
                assert math.isnan(value) if is_switched_off else value == pytest.approx(sink.safe_value)
                after = case.idle()[name] if is_switched_off else sink.safe_value
                assert status["outputs"][name] == pytest.approx(after, abs=FLOAT)

    run(check())


def test_rebooted_device_forgets_its_setpoint_and_holds_its_position(case):
    async def check():
        async with case.lab(uncommanded="idle") as (emulator, link):
            actions = case.file.rig.actions
            idle = case.idle()
            await link.write({name: farthest(sink, idle[name]) for name, sink in actions.items()}, 1.0)
            await tick(emulator)
            await link.read(1.0)
            before = emulator.status()
            for name in dict.fromkeys(sink.device for sink in actions.values()):
                await begin(emulator, name, kind="reboot", seconds=0.05)
            for _ in range(100):
                await asyncio.sleep(0.05)
                snapshot = await link.read(0.5)
                if all(d.is_reachable for d in snapshot.devices.values()):
                    break
            assert all(value is None for value in emulator.status()["setpoints"].values())
            await tick(emulator)
            snapshot, status = await link.read(1.0), emulator.status()
            for name, sink in actions.items():
                expected = before["applied"][name] if is_position(name) else idle[name]
                assert status["outputs"][name] == pytest.approx(expected), name
                shown = snapshot.setpoints[name].value
                assert math.isnan(shown) if sink.apply else shown == pytest.approx(expected, abs=FLOAT), name

    run(check())


def test_rig_begins_as_the_environment_stands_before_any_command(case):
    """No device moves by itself when the rig is switched on; set-points without a switch show where devices are."""

    async def check():
        async with case.lab(uncommanded="idle") as (emulator, link):
            idle = case.idle()
            expected, applied, _ = case.stepped(case.simulator.state, idle)
            shown = (await link.read(1.0)).setpoints
            for _ in range(2):
                await tick(emulator)
                snapshot, status = await link.read(1.0), emulator.status()
                assert status["applied"] == pytest.approx(applied, rel=FLOAT, abs=FLOAT)
                assert status["outputs"] == pytest.approx(idle, rel=FLOAT, abs=FLOAT)
                assert_same(link, snapshot.readings, {n: v for n, v in expected.items() if n.startswith("bus.")})
                for name, sink in case.file.rig.actions.items():
                    for value in (shown[name].value, snapshot.setpoints[name].value):
                        assert math.isnan(value) if sink.apply else value == pytest.approx(idle[name]), name

    run(check())


def test_loop_has_no_objection_to_limits_and_safe_values(case):
    """On the registers as they are found: safe values are on them, and positions are told apart when read back."""

    async def check():
        async with case.lab() as (_, link):
            bindings = {n: b for d in link.devices.values() for n, b in d.layout.sinks.items()}
            manifest = SimpleNamespace(
                observation=case.simulator.observation, action=case.simulator.action, step_s=case.simulator.step_s
            )
            registers = {n: Register(step=b.quantum, origin=b.to_channel(b.point.offset)) for n, b in bindings.items()}
            for rule in control_settings(case.file, manifest, registers).setpoints:
                if rule.step >= 1.0:
                    assert rule.readback_tolerance < rule.step, rule.channel

    run(check())


def test_noise_leaves_single_bits_alone(case):
    async def check():
        async with case.lab(linked=False, noise_counts=5.0) as (emulator, _):
            for _ in range(20):
                await tick(emulator)
            for device in emulator.devices.values():
                for binding in device.sources:
                    if binding.point.table.is_bits or binding.point.bit is not None:
                        true = emulator.status()["measured"][binding.channel.name]
                        assert binding.to_channel(device.store.value(binding.point.name)) == pytest.approx(true)

    run(check())


def test_registers_of_meters_and_batteries_carry_their_power():
    """990 kW in whole watts does not fit into the 16 bits that SunSpec has for it."""
    points = {p.name: p for p in build((203, 713), {}, 990.0).points}
    assert [points[name].quantum for name in ("203.W", "203.VAR", "713.WHRtg")] == [100.0, 100.0, 100.0]
    assert points["713.WHRtg"].unit == "Wh"
