"""Faults on purpose: what a device or its network can do wrong, one after another or several at once."""

import asyncio
import math
import struct
from collections.abc import Coroutine, Mapping
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, NonNegativeFloat, PositiveFloat

from gridenv.core.config import check
from gridenv.core.errors import did_you_mean
from gridenv.core.layer import Layer
from hardware_in_loop.errors import RigError
from hardware_in_loop.modbus.protocol import Code, refused
from hardware_in_loop.modbus.server import ModbusServer
from hardware_in_loop.registers.codec import encode
from hardware_in_loop.registers.points import Point, Table
from hardware_in_loop.rig.settings import Settings
from hardware_in_loop.virtual_rig.device import VirtualDevice

_READS = {1: Table.COIL, 2: Table.DISCRETE, 3: Table.HOLDING, 4: Table.INPUT}


class FaultSettings(Settings):
    """One fault, as it is asked for over the control port."""

    kind: Literal[
        "latency",
        "jitter",
        "drop",
        "exception",
        "half_open",
        "stuck",
        "swapped_words",
        "nan",
        "over_range",
        "reboot",
        "disconnect",
        "local",
    ]
    """`latency`: replies come later. `jitter`: by a random time. `drop`: a share of them does not come. `exception`:
    they are exceptions. `half_open`: connections stay and nothing comes. `stuck`: points keep their value, and writes
    are acknowledged and lost. `swapped_words`: points have another byte order. `nan`: points have no value.
    `over_range`: points show more than can be. `reboot`: away for a while, then as switched on. `disconnect`: away for
    a while. `local`: set-points are refused."""
    seconds: NonNegativeFloat = 2.0
    """Of latency, of the largest jitter, or away."""
    share: Annotated[float, Field(ge=0.0, le=1.0)] = 1.0
    """Of the replies that it meets: `drop`, `exception`, `latency`."""
    code: Annotated[int, Field(ge=1, le=11)] = 4
    """Exception code."""
    points: tuple[str, ...] = ()
    """Points that it meets; none = all measurements of the device."""
    for_s: PositiveFloat | None = None
    """Ends by itself after as long."""


class Faults:
    """Faults in force on one device."""

    def __init__(self, device: VirtualDevice, seed: int) -> None:
        self._device = device
        self._rng = np.random.default_rng(seed)
        self._in_force: dict[str, FaultSettings] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds in force."""
        return tuple(self._in_force)

    async def begin(self, fault: FaultSettings, server: ModbusServer, now_s: float) -> None:
        """Let a fault begin.

        Raises:
            RigError: for points that the device has not, or that cannot show it.
        """
        unknown = [n for n in fault.points if n not in self._device.store.points]
        if unknown:
            hint = did_you_mean(unknown[0], self._device.store.points)
            raise RigError(f"device '{self._device.name}' has no point '{unknown[0]}'{hint if len(hint) < 80 else ''}")
        if fault.kind in ("nan", "over_range"):
            words = {p.name: _bad_words(p, fault.kind) for p in self._points(fault)}
            for name, registers in words.items():
                self._device.store.hold(name, registers)
        elif fault.kind == "stuck":
            for point in self._points(fault):
                self._device.store.hold(point.name)
        elif fault.kind == "local":
            self._device.is_local = True
        elif fault.kind in ("reboot", "disconnect"):
            self._later(self._away(fault, server, now_s))
            return
        self._in_force[fault.kind] = fault
        if fault.for_s is not None:
            self._later(self._end_later(fault.kind, fault.for_s))

    def end(self, kind: str | None = None) -> None:
        """Let a fault end, or all of them."""
        for each in [kind] if kind is not None else list(self._in_force):
            fault = self._in_force.pop(each, None)
            if fault is None:
                continue
            if each in ("nan", "over_range", "stuck"):
                for point in self._points(fault):
                    self._device.store.release(point.name)
            if each == "local":
                self._device.is_local = False

    async def disturb(self, unit: int, request: bytes, reply: bytes) -> bytes | None:
        """What is sent in place of a reply."""
        del unit
        if "half_open" in self._in_force:
            return None
        for kind in ("latency", "jitter"):
            fault = self._in_force.get(kind)
            if fault is not None and self._meets(fault):
                await asyncio.sleep(fault.seconds * (1.0 if kind == "latency" else self._rng.random()))
        if (fault := self._in_force.get("drop")) is not None and self._meets(fault):
            return None
        if (fault := self._in_force.get("exception")) is not None and self._meets(fault):
            return refused(request[0], Code(fault.code) if fault.code in list(Code) else Code.DEVICE_FAILURE)
        if (fault := self._in_force.get("swapped_words")) is not None:
            return self._swapped(fault, request, reply)
        return reply

    async def stop(self) -> None:
        """End everything that goes on in the background."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _meets(self, fault: FaultSettings) -> bool:
        return bool(self._rng.random() < fault.share)

    def _points(self, fault: FaultSettings) -> list[Point]:
        points = self._device.store.points
        names = fault.points or tuple(dict.fromkeys(b.point.name for b in self._device.sources))
        return [points[name] for name in names]

    def _later(self, coroutine: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _end_later(self, kind: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self.end(kind)

    async def _away(self, fault: FaultSettings, server: ModbusServer, now_s: float) -> None:
        await server.stop()
        await asyncio.sleep(fault.seconds)
        if fault.kind == "reboot":
            self._device.switch_on(now_s + fault.seconds)
        await server.start()

    def _swapped(self, fault: FaultSettings, request: bytes, reply: bytes) -> bytes:
        """The reply with the words of each point the other way round, and the bytes of single words."""
        if request[0] not in (3, 4) or reply[0] != request[0]:
            return reply
        table = _READS[request[0]]
        address, count = struct.unpack(">HH", request[1:5])
        words = list(struct.unpack(f">{count}H", reply[2:]))
        chosen = self._points(fault) if fault.points else self._device.store.points.values()
        for point in chosen:
            first = point.address - address
            if point.table == table and first >= 0 and first + point.registers <= count:
                own = words[first : first + point.registers]
                swapped = own[::-1] if len(own) > 1 else [own[0] >> 8 | (own[0] & 0xFF) << 8]
                words[first : first + point.registers] = swapped
        return reply[:2] + struct.pack(f">{count}H", *words)


def _bad_words(point: Point, kind: str) -> tuple[int, ...]:
    """Registers that mean `no value`, or more than can be."""
    if point.table.is_bits:
        raise RigError(f"point '{point.name}' is a single bit; name a point in registers")
    if kind == "nan":
        if not point.can_be_absent:
            raise RigError(f"point '{point.name}' has no count for `not available`; name another")
        return point.nearest(math.nan)
    if point.type.is_float:
        return encode(1e30, point.type, point.order)
    highest = point.type.limits[1]
    return encode(highest - (highest in point.not_available), point.type, point.order)


def fault_of(values: Mapping[str, object]) -> FaultSettings:
    """The fault that a request asks for.

    Raises:
        RigError: if it is not allowed.
    """
    fault, problems = check(FaultSettings, Layer(dict(values)), "fault")
    if fault is None:
        raise RigError("; ".join(problems))
    if not math.isfinite(fault.seconds):
        raise RigError(f"fault: seconds is {fault.seconds}; allowed: finite numbers")
    return fault
