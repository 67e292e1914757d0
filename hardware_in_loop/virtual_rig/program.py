"""The virtual rig as a program: from a rig file until it is stopped."""

import asyncio
import contextlib
import signal
from collections.abc import Callable
from pathlib import Path

from hardware_in_loop.rig.files import RigFile, load_rig, read_rig
from hardware_in_loop.virtual_rig.control import ControlPort
from hardware_in_loop.virtual_rig.emulator import Emulator, serve
from hardware_in_loop.virtual_rig.simulator import Simulator


def emulate(
    name: str,
    folder: Path,
    *,
    speed: float | None = None,
    control_port: int | None = None,
    day: int | None = None,
    seconds: float | None = None,
    say: Callable[[str], None],
) -> None:
    """Serve a rig file until Ctrl-C, SIGTERM, a request over the control port, or the end of a time.

    Args:
        name: of a file in `folder`, or a path.
        folder: where rig files are.
        speed: seconds of the task's time in a second; None = as the rig file says.
        control_port: port on loopback for faults and status; None = as the rig file says.
        day: day of the split to begin at; None = as the rig file says.
        seconds: stops after as long.
        say: told once that everything listens, and once that it is over.

    Raises:
        ConfigError: if the rig file is wrong.
        RigError: if a port is taken.
    """
    file, simulator = _prepare(name, folder, day)
    emulator = Emulator(file, simulator, speed)
    port = file.rig.emulated.control_port if control_port is None else control_port
    asyncio.run(_serve(emulator, port, seconds, say))


def _prepare(name: str, folder: Path, day: int | None) -> tuple[RigFile, Simulator]:
    file = read_rig(name, folder)
    emulated = file.rig.emulated
    simulator = Simulator(file.task, emulated.split, emulated.start if day is None else day)
    return load_rig(name, folder, simulator.observation, simulator.action), simulator


async def _serve(emulator: Emulator, port: int | None, seconds: float | None, say: Callable[[str], None]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stop.set)
    control = ControlPort(emulator, port, stop) if port is not None else None
    await emulator.start()
    try:
        if control is not None:
            await control.start()
        say(emulator.ready_line + (f"; control 127.0.0.1:{control.port}" if control is not None else ""))
        if seconds is not None:
            loop.call_later(seconds, stop.set)
        await serve(emulator, stop)
    finally:
        if control is not None:
            await control.close()
        await emulator.stop()
    say(f"stopped after {emulator.totals.steps} steps of the task")
