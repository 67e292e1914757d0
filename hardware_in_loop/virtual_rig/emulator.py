"""The virtual rig as a whole: simulator, devices, servers, in step with the clock."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hardware_in_loop.errors import RigError, RigFileError
from hardware_in_loop.modbus.server import Audit, ModbusServer
from hardware_in_loop.rig.certificates import server_context
from hardware_in_loop.rig.files import RigFile
from hardware_in_loop.rig.schema import Device, Rtu, Tls
from hardware_in_loop.virtual_rig.commands import Command
from hardware_in_loop.virtual_rig.device import VirtualDevice
from hardware_in_loop.virtual_rig.faults import Faults
from hardware_in_loop.virtual_rig.simulator import Simulator, View

HISTORY = 2000
"""Steps of the task that are remembered."""


@dataclass(kw_only=True)
class Totals:
    """What the rig has done since it was started or restarted."""

    steps: int = 0
    cost: Counter[str] = field(default_factory=Counter)
    """Sum of each constraint of the task, as in `info["cost"]`."""
    economic_eur: float = 0.0
    commanded_steps: int = 0
    """Steps at whose end all set-points were in force."""
    not_converged: int = 0


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step of the task that is over."""

    scenario_step: int
    applied: dict[str, float]
    """What devices did of their commands at its end, by channel."""
    measured: dict[str, float]
    """Observation channels at its end."""
    registers: dict[str, float]
    """The same channels as the registers carry them."""
    cost: dict[str, float]
    is_commanded: bool
    """All set-points were in force at its end."""


class Emulator:
    """A rig file brought to life on this machine."""

    def __init__(self, file: RigFile, simulator: Simulator, speed: float | None = None) -> None:
        """Make devices and servers; nothing listens yet.

        Args:
            file: checked against the channels of the simulator's task.
            simulator: its state is the rig's.
            speed: seconds of the task's time in a second; None = as the rig file says.

        Raises:
            RigFileError: for devices on a serial port, and for TLS without certificates of the devices.
        """
        self.file, self.simulator = file, simulator
        self.settings = file.rig.emulated
        self.speed = self.settings.speed if speed is None else speed
        self._rng = np.random.default_rng(self.settings.seed)
        self._start_s = time.monotonic()
        channels = simulator.observation, simulator.action
        self.devices = {d.name: VirtualDevice(file, d, *channels, lambda: self.now_s) for d in file.rig.devices}
        self.faults = {n: Faults(d, self.settings.seed + i) for i, (n, d) in enumerate(self.devices.items())}
        self.audit: Counter[str] = Counter()
        """Requests to write, by device and outcome."""
        self.servers = {d.name: self._server(d) for d in file.rig.devices}
        self.totals = Totals()
        self.history: list[Step] = []
        self.late_ticks = 0
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="simulator")
        self._phase = 0.0
        self._view: View | None = None
        self._shown: dict[str, float] = {}
        self._restart: tuple[int, float] | None = None

    @property
    def ready_line(self) -> str:
        """What is said once everything listens."""
        places = ", ".join(f"{name} {_host(d.settings)}:{self.servers[name].port}" for name, d in self.devices.items())
        return f"ready: {self.file.name} at {self.speed:g} x: {places}"

    @property
    def now_s(self) -> float:
        """Seconds since the start, as devices count them."""
        return time.monotonic() - self._start_s

    async def start(self) -> None:
        """Compile the simulator's step and listen.

        Raises:
            RigError: if a port is taken.
        """
        self._view = await self._look()
        self._follow(self._view, 0.0)
        self._shown = self._measurements(self._view)
        self._show()
        problems = []
        for name, server in self.servers.items():
            try:
                await server.start()
            except OSError as error:
                problems.append(f"device '{name}': port {server.port} cannot be used ({error.strerror}); free it")
        if problems:
            await self.stop()
            raise RigError("\n".join(problems))

    async def stop(self) -> None:
        """Close all connections and ports."""
        await asyncio.gather(*(f.stop() for f in self.faults.values()))
        await asyncio.gather(*(s.stop() for s in self.servers.values()))
        self._worker.shutdown(wait=True)

    async def run(self) -> None:
        """Keep the rig going until cancelled."""
        period_s = self.settings.update_s
        last = time.monotonic()
        due = last + period_s
        while True:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            now = time.monotonic()
            await self.tick(now, now - last)
            last, due = now, due + period_s
            if time.monotonic() > due:
                # Late ticks are not made up for: the next one just covers more time.
                self.late_ticks += 1
                due = time.monotonic() + period_s

    async def tick(self, now_s: float, dt_s: float) -> None:
        """Let time pass: set-points, outputs, steps of the task that are over, power flow, registers."""
        since_s = now_s - self._start_s
        for device in self.devices.values():
            device.tick(since_s)
        if self._restart is not None:
            self._begin(*self._restart)
        assert self._view is not None
        self._follow(self._view, dt_s)
        self._view = await self._look()
        self._phase += dt_s * self.speed / self.simulator.step_s
        held = self.settings.within_step == "hold"
        if not held:
            self._shown = self._measurements(self._view)
        while self._phase >= 1.0:
            self._phase -= 1.0
            await self._finish_step(held)
        self._show()

    def restart(self, day: int, hour: float = 0.0) -> None:
        """Begin at an hour of a day of the split at the next tick; devices go on as they are, totals begin anew."""
        self._restart = day, hour

    def device(self, name: str) -> VirtualDevice:
        """A device by its name.

        Raises:
            RigError: if there is none.
        """
        if name not in self.devices:
            raise RigError(f"unknown device '{name}'; known: {', '.join(self.devices)}")
        return self.devices[name]

    def status(self) -> dict[str, Any]:
        """Where the rig stands, JSON-serialisable."""
        view = self._view
        assert view is not None
        return {
            "scenario_step": self.simulator.scenario_step,
            "phase": self._phase,
            "day": self.simulator.day,
            "speed": self.speed,
            "v_pu": dict(zip(self.simulator.bus_names, map(float, view.v_pu), strict=True)),
            "measured": self._shown,
            "setpoints": {name: command.setpoint for name, command in self._commands.items()},
            "outputs": {name: command.output for name, command in self._commands.items()},
            "applied": view.applied,
            "reversions": sum(c.reversions for c in self._commands.values()),
            "totals": {
                "steps": self.totals.steps,
                "commanded_steps": self.totals.commanded_steps,
                "not_converged": self.totals.not_converged,
                "cost": dict(self.totals.cost),
                "economic_eur": self.totals.economic_eur,
            },
            "writes": dict(self.audit),
            "late_ticks": self.late_ticks,
            "faults": {name: list(f.kinds) for name, f in self.faults.items() if f.kinds},
        }

    @property
    def _commands(self) -> Mapping[str, Command]:
        return {name: c for d in self.devices.values() for name, c in d.commands.items()}

    def _follow(self, view: View, dt_s: float) -> None:
        """Outputs go on for `dt_s`."""
        uncommanded = view.droop if self.settings.uncommanded == "volt_var" else view.idle
        for name, command in self._commands.items():
            command.follow(uncommanded[name], view.idle[name], dt_s)

    async def _look(self) -> View:
        """The present step with the present outputs, computed beside the servers."""
        outputs = {name: c.output for name, c in self._commands.items() if c.output is not None}
        return await asyncio.get_running_loop().run_in_executor(self._worker, self.simulator.view, outputs)

    async def _finish_step(self, held: bool) -> None:
        view, totals = self._view, self.totals
        assert view is not None
        self._shown = dict(view.after) if held else self._measurements(view)
        self._show()
        is_commanded = all(c.setpoint is not None for c in self._commands.values())
        step = Step(
            scenario_step=self.simulator.scenario_step,
            applied=dict(view.applied),
            measured=dict(self._shown),
            registers={name: value for d in self.devices.values() for name, value in d.shown().items()},
            cost=dict(view.cost),
            is_commanded=is_commanded,
        )
        self.history.append(step)
        del self.history[:-HISTORY]
        totals.steps += 1
        totals.commanded_steps += is_commanded
        totals.not_converged += not view.converged
        totals.cost.update(view.cost)
        totals.economic_eur += view.economic_eur
        self.simulator.go_on(view)
        self._view = await self._look()
        if not held:
            self._shown = self._measurements(self._view)

    def _begin(self, day: int, hour: float) -> None:
        self._restart, self._phase = None, 0.0
        self.simulator.restart(day, hour)
        self.totals = Totals()
        self.history.clear()

    @staticmethod
    def _measurements(view: View) -> dict[str, float]:
        return dict(view.measured)

    def _show(self) -> None:
        time_s = self.simulator.scenario_step * self.simulator.step_s
        for device in self.devices.values():
            device.show(self._shown, time_s, self.settings.noise_counts, self._rng)

    def _server(self, device: Device) -> ModbusServer:
        transport, tls = device.transport, self.settings.tls
        if isinstance(transport, Rtu):
            raise RigFileError(f"device '{device.name}': the virtual rig has no serial ports; allowed: tcp and tls")
        context = None
        if isinstance(transport, Tls):
            if tls is None:
                raise RigFileError(f"device '{device.name}' has TLS; give the devices' certificate as `emulated.tls`")
            context = server_context(*(self.file.beside(p) for p in (tls.ca, tls.certificate, tls.key)))

        def audit(entry: Audit) -> None:
            self.audit[f"{device.name}.{'taken' if entry.code == 0 else f'refused_{entry.code}'}"] += 1

        return ModbusServer(
            {transport.unit: self.devices[device.name].store},
            transport.host,
            transport.port,
            tls=context,
            audit=audit,
            disturb=self.faults[device.name].disturb,
        )


def _host(device: Device) -> str:
    assert not isinstance(device.transport, Rtu)
    return device.transport.host


async def serve(emulator: Emulator, stop: asyncio.Event) -> None:
    """Run a started emulator until `stop` is set, and close it."""
    running = asyncio.create_task(emulator.run())
    waiting = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
    finally:
        for task in (running, waiting):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await emulator.stop()
