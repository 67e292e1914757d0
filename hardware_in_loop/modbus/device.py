"""One device of a rig: its points, bound channels, and what a cycle reads and writes."""

import asyncio
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gridenv.core.channels import ChannelSet
from hardware_in_loop.errors import RigError
from hardware_in_loop.modbus.client import ModbusClient
from hardware_in_loop.modbus.layout import Layout, layout_of
from hardware_in_loop.registers import sunspec, sunspec_models
from hardware_in_loop.registers.coalesce import Span
from hardware_in_loop.registers.points import MAX_READ_REGISTERS, Point, Table
from hardware_in_loop.rig.files import RigFile

OPEN_TIMEOUT_S = 5.0
"""Of a request while a device is opened, when nothing waits for it."""
SLOW_S = 0.5
"""Heartbeats and modes are read this often, as they change once a second."""


@dataclass(kw_only=True)
class Held:
    """What is known of a device from the last exchanges."""

    words: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """Registers by point."""
    acquired_s: dict[str, float] = field(default_factory=dict)
    """When each point was read, monotonic clock."""
    problem: str = ""
    is_complete: bool = False
    """The last cycle read everything."""


class RigDevice:
    """A device behind a client."""

    def __init__(self, file: RigFile, name: str, observation: ChannelSet, action: ChannelSet) -> None:
        self.settings = file.rig.device(name)
        self.name = name
        self.where = f"device '{name}'"
        self.client = ModbusClient(self.where, self.settings.transport, file.beside)
        self.held = Held()
        self._file, self._observation, self._action = file, observation, action
        self._layout: Layout | None = None
        self._identity: tuple[tuple[int, ...], ...] = ()
        self._connections = 0
        self._slow_due_s = -math.inf

    @property
    def layout(self) -> Layout:
        """Points and requests; there once `open` is done."""
        assert self._layout is not None
        return self._layout

    async def open(self) -> None:
        """Connect, find the points, see whether it is the device that the rig file means.

        Raises:
            RigError: with all that is wrong, one line each.
        """
        await self.client.open()
        points, texts, identity = await self._find_points()
        self._layout = layout_of(self._file, self.name, points, texts, identity, self._observation, self._action)
        self._identity = await self._read_identity(None)
        self._connections = self.client.connections
        problems = await self._identity_problems()
        if problems:
            raise RigError("\n".join(problems))

    async def read(self, deadline_s: float) -> None:
        """Read a cycle's points into `held`; what fails is told there.

        Args:
            deadline_s: on the monotonic clock.
        """
        self.held.is_complete, self.held.problem = False, ""
        try:
            await self._check_reconnected(deadline_s)
            is_slow = time.monotonic() >= self._slow_due_s
            for span in (*self.layout.fast, *(self.layout.slow if is_slow else ())):
                await self._read_span(span, deadline_s)
            if is_slow:
                self._slow_due_s = time.monotonic() + SLOW_S
            self.held.is_complete = True
        except RigError as error:
            self.held.problem = str(error)

    async def write(self, values: Mapping[str, Sequence[int]], last: str | None, deadline_s: float) -> None:
        """Write points in as few requests as possible, each once.

        Args:
            values: registers by point.
            last: point whose request goes last.
            deadline_s: on the monotonic clock.

        Raises:
            RigError: if the device did not acknowledge all of it.
        """
        await self._check_reconnected(deadline_s)
        requests = _requests([(self.layout.points[name], tuple(words)) for name, words in values.items()])
        final = self.layout.points[last] if last is not None else None
        requests.sort(key=lambda r: final is not None and _covers(r, final))
        for table, address, words in requests:
            await self.client.write(table, address, words, self._left_s(deadline_s))

    def value(self, point: str) -> float | None:
        """Engineering value of a point as last read; None if it never was."""
        words = self.held.words.get(point)
        return None if words is None else self.layout.points[point].decode(words)

    async def _find_points(self) -> tuple[dict[str, Point], Mapping[str, str], list[Point]]:
        """Points, texts, and the points that hold the identity."""
        register_map = self._file.maps[self.name]
        if register_map is not None:
            points = {p.name: p for p in register_map.points}
            return points, {}, [points[n] for n in self.settings.identity if n in points]
        assert self.settings.sunspec is not None

        async def read(address: int, count: int) -> Sequence[int]:
            return await self.client.read(Table.HOLDING, address, count, OPEN_TIMEOUT_S)

        found = await sunspec.discover(read, self.settings.sunspec.base, self.where)
        missing = [m for m in self.settings.sunspec.models if m not in [model.id for model in found.models]]
        if missing:
            has = ", ".join(str(model.id) for model in found.models)
            raise RigError(
                f"{self.where}: has no SunSpec model {', '.join(map(str, missing))}; it has {has}; correct the rig file"
            )
        common = next((m for m in found.models if m.id == 1), None)
        identity = [] if common is None else _model_words(common)
        return {p.name: p for p in found.points}, found.texts, identity

    async def _read_identity(self, deadline_s: float | None) -> tuple[tuple[int, ...], ...]:
        found = []
        for span in self.layout.identity:
            limit_s = OPEN_TIMEOUT_S if deadline_s is None else self._left_s(deadline_s)
            found += [await self.client.read(span.table, span.address, span.count, limit_s)]
        return tuple(found)

    async def _check_reconnected(self, deadline_s: float) -> None:
        """After a new connection the device must still be the same one."""
        if self._connections == self.client.connections:
            return
        if await self._read_identity(deadline_s) != self._identity:
            raise RigError(f"{self.where}: {self.client.where} is another device than before; check it, and start anew")
        self._connections = self.client.connections

    async def _identity_problems(self) -> list[str]:
        problems = []
        for name, expected in self.settings.identity.items():
            found: str | float | None = self.layout.texts.get(name)
            if found is None:
                point = self.layout.points[name]
                words = await self.client.read(point.table, point.address, point.registers, OPEN_TIMEOUT_S)
                found = point.decode(words)
            if found != expected:
                problems.append(
                    f"{self.where}: {name} is {found!r}; the rig file expects {expected!r}; check address and device"
                )
        return problems

    def _left_s(self, deadline_s: float) -> float:
        """Time for a request: that of the transport, or what is left of the cycle."""
        return min(self.settings.transport.timeout_s, deadline_s - time.monotonic())

    async def _read_span(self, span: Span, deadline_s: float) -> None:
        registers = await self.client.read(span.table, span.address, span.count, self._left_s(deadline_s))
        now = time.monotonic()
        for point in span.points:
            self.held.words[point.name] = span.cut(registers, point)
            self.held.acquired_s[point.name] = now


def _model_words(model: sunspec.Model) -> list[Point]:
    first = model.address
    count = sunspec_models.HEADER + model.length
    return [Point(name=f"#{i}", address=first + i, scale=1.0) for i in range(min(count, MAX_READ_REGISTERS))]


def _requests(values: list[tuple[Point, tuple[int, ...]]]) -> list[tuple[Table, int, list[int]]]:
    """Neighbouring points of a table in one request."""
    found: list[tuple[Table, int, list[int]]] = []
    for point, words in sorted(values, key=lambda v: (v[0].table, v[0].address)):
        if found and found[-1][0] == point.table and found[-1][1] + len(found[-1][2]) == point.address:
            found[-1][2].extend(words)
        else:
            found.append((point.table, point.address, list(words)))
    return found


def _covers(request: tuple[Table, int, list[int]], point: Point) -> bool:
    table, address, words = request
    return table == point.table and address <= point.address < address + len(words)


async def open_all(devices: Sequence[RigDevice]) -> None:
    """Open devices at the same time.

    Raises:
        RigError: naming every device that cannot be reached or is not what the rig file says.
    """
    results = await asyncio.gather(*(d.open() for d in devices), return_exceptions=True)
    problems = []
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, RigError):
            raise result
        if isinstance(result, RigError):
            problems += str(result).splitlines()
    if problems:
        raise RigError("\n".join(problems))
