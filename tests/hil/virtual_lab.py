"""Help for tests with the virtual rig: a rig file on free ports, its time standing still between ticks."""

import time
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from gridenv.policy.codec import Codec
from hardware_in_loop.modbus.link import ModbusLink
from hardware_in_loop.virtual_rig.emulator import Emulator
from hardware_in_loop.virtual_rig.faults import fault_of

CONFIGS = Path(__file__).parents[2] / "configs"


def changed(file, ports, **emulated):
    """The rig file with other ports, and long time limits, as the machine that runs tests may be busy."""
    rig = file.rig
    devices = tuple(
        device.model_copy(
            update={"transport": device.transport.model_copy(update={"port": ports[device.name], "timeout_s": 1.0})}
        )
        for device in rig.devices
    )
    changes = {"devices": devices, "emulated": rig.emulated.model_copy(update=emulated)}
    return replace(file, rig=rig.model_copy(update=changes))


@asynccontextmanager
async def lab(simulator, file, linked=True, at=(60, 17.0), **emulated):
    """The rig of the repository on free ports, its time standing still between ticks."""
    emulated = {"response_s": 0.0, "ramp_share_per_s": 1e6} | emulated
    simulator.restart(*at)
    names = [device.name for device in file.rig.devices]
    emulator = Emulator(changed(file, dict.fromkeys(names, 0), **emulated), simulator, 1e-6)
    await emulator.start()
    ports = {name: emulator.servers[name].port for name in names}
    link = ModbusLink(changed(file, ports), simulator.observation, simulator.action)
    try:
        if linked:
            await link.open()
        yield emulator, link
    finally:
        await link.close()
        await emulator.stop()


async def tick(emulator, seconds=0.1):
    """Let time pass."""
    await emulator.tick(time.monotonic(), seconds)


async def begin(emulator, device, **fault):
    """Let a fault begin."""
    await emulator.faults[device].begin(fault_of(fault), emulator.servers[device], emulator.now_s)


def decoded(simulator, observation):
    """Observation channels in their units."""
    codec = Codec.of(simulator.observation)
    return dict(zip(simulator.observation.names, map(float, codec.decode(observation)), strict=True))
