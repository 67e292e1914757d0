"""The link of a rig over Modbus: all devices at once, each on its own, within deadlines."""

import asyncio
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from gridenv.core.channels import ChannelSet
from gridenv.core.errors import did_you_mean
from hardware_in_loop.errors import EncodingError, RigError
from hardware_in_loop.link import DeviceStatus, Reading, Snapshot, WriteResult
from hardware_in_loop.modbus.device import RigDevice, open_all
from hardware_in_loop.rig.binding import Binding, readback_tolerance
from hardware_in_loop.rig.feed import calendar, read_feed, wall_clock
from hardware_in_loop.rig.files import RigFile
from hardware_in_loop.rig.schema import ClockSource, ConstantSource, FeedSource, RegisterSource, Sink

_SECONDS_PER_DAY = 86400.0


@dataclass(frozen=True)
class _Written:
    """A set-point that a device has acknowledged."""

    words: tuple[int, ...]
    at_s: float


class ModbusLink:
    """A rig behind Modbus; see `hardware_in_loop.link.RigLink`."""

    def __init__(self, file: RigFile, observation: ChannelSet, action: ChannelSet) -> None:
        """Prepare the link.

        Args:
            file: from `load_rig`, for the same channels.
            observation: channels of the policy's manifest.
            action: channels of the policy's manifest.
        """
        self._file, self._observation, self._action = file, observation, action
        self._rig = file.rig
        self._devices = {d.name: RigDevice(file, d.name, observation, action) for d in file.rig.devices}
        self._written: dict[str, _Written] = {}
        self._beats: dict[str, tuple[int, float]] = {}

    @property
    def devices(self) -> Mapping[str, RigDevice]:
        """Devices by name, with their clients and what was counted there."""
        return self._devices

    async def open(self) -> None:
        """Connect to the devices and find their points.

        Raises:
            RigError: naming every device that cannot be reached or is not what the rig file says.
        """
        try:
            await open_all(list(self._devices.values()))
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Drop the connections without writing."""
        await asyncio.gather(*(d.client.close() for d in self._devices.values()))

    async def read(self, deadline_s: float) -> Snapshot:
        """Read all observation channels and the set-points in force.

        Args:
            deadline_s: seconds from now within which this returns.
        """
        until_s = time.monotonic() + deadline_s
        await asyncio.gather(*(d.read(until_s) for d in self._devices.values()))
        readings = self._readings()
        setpoints = {
            name: r for name, sink in self._rig.actions.items() if (r := self._in_force(name, sink)) is not None
        }
        return Snapshot(
            readings=readings,
            setpoints=setpoints,
            devices={name: self._status(d) for name, d in self._devices.items()},
            raw={f"{d.name}.{p}": words for d in self._devices.values() for p, words in d.held.words.items()},
            operator_stop=self._is_stopped(),
        )

    async def write(self, setpoints: Mapping[str, float], deadline_s: float) -> Mapping[str, WriteResult]:
        """Write set-points, reversion timers and the controller's heartbeats.

        What a device has already acknowledged and shows to be in force is not sent again before the timer asks for it.

        Args:
            setpoints: by action channel, in its unit.
            deadline_s: seconds from now within which this returns.

        Raises:
            RigError: for names that are no action channels; nothing is written then.
        """
        unknown = [n for n in setpoints if n not in self._rig.actions]
        if unknown:
            raise RigError(f"unknown action channel '{unknown[0]}'{did_you_mean(unknown[0], self._rig.actions)}")
        until_s = time.monotonic() + deadline_s
        by_device: dict[str, dict[str, float]] = {name: {} for name in self._devices}
        for name, value in setpoints.items():
            by_device[self._rig.actions[name].device][name] = value
        done = await asyncio.gather(
            *(self._write_device(self._devices[name], values, until_s) for name, values in by_device.items())
        )
        return {name: result for results in done for name, result in results.items()}

    async def _write_device(
        self, device: RigDevice, setpoints: Mapping[str, float], until_s: float
    ) -> dict[str, WriteResult]:
        results: dict[str, WriteResult] = {}
        for name, value in setpoints.items():
            sink, binding = self._rig.actions[name], device.layout.sinks[name]
            try:
                words = binding.encode(value)
            except EncodingError as error:
                results[name] = WriteResult(value=math.nan, problem=f"{device.where}: {error}")
                continue
            problem = ""
            if not self._is_in_force(name, words):
                problem = await self._command(device, name, sink, binding, words, until_s)
            results[name] = WriteResult(value=binding.decode(words), problem=problem)
        # Last, so that set-points, safe ones above all, never wait for it.
        problem = await self._beat(device, until_s)
        return {name: replace(r, problem=r.problem or problem) for name, r in results.items()}

    async def _command(
        self, device: RigDevice, name: str, sink: Sink, binding: Binding, words: tuple[int, ...], until_s: float
    ) -> str:
        """Send a set-point with all that goes along; what went wrong, or nothing."""
        points = device.layout.points
        values = {point: points[point].encode(value) for point, value in sink.together.items()}
        if sink.reversion is not None:
            values[sink.reversion.timer] = points[sink.reversion.timer].encode(float(self._rig.safety.reversion_s))
        values[binding.point.name] = words
        self._written.pop(name, None)
        try:
            await device.write(values, sink.apply, until_s)
        except RigError as error:
            return str(error)
        self._written[name] = _Written(words, time.monotonic())
        return ""

    def _is_in_force(self, name: str, words: tuple[int, ...]) -> bool:
        """Whether the device has these registers, shows them, and its timer has long to go."""
        written = self._written.get(name)
        if written is None or written.words != words:
            return False
        safety = self._rig.safety
        return time.monotonic() - written.at_s < safety.refresh_share * safety.reversion_s

    async def _beat(self, device: RigDevice, until_s: float) -> str:
        """Advance the controller's counter where the device has one and it is due."""
        heartbeat = device.settings.heartbeat
        if heartbeat is None or heartbeat.write is None:
            return ""
        count, at_s = self._beats.get(device.name, (0, -math.inf))
        now = time.monotonic()
        if now - at_s < heartbeat.period_s:
            return ""
        point = device.layout.points[heartbeat.write]
        # Wraps well within what any counter carries, and before the count that means `not available`.
        count = count % (point.type.limits[1] - 1) + 1
        try:
            await device.write({point.name: point.encode_unchecked(float(count))}, None, until_s)
        except RigError as error:
            return str(error)
        self._beats[device.name] = (count, now)
        return ""

    def _readings(self) -> dict[str, Reading]:
        readings: dict[str, Reading] = {}
        for device in self._devices.values():
            for binding in device.layout.sources:
                words = device.held.words.get(binding.point.name)
                if words is not None:
                    acquired_s = device.held.acquired_s[binding.point.name]
                    readings[binding.channel.name] = Reading(value=binding.decode(words), acquired_s=acquired_s)
        clock = self._clock()
        for name, source in self._rig.observations.items():
            reading = self._computed(source, clock)
            if reading is not None:
                readings[name] = reading
        return readings

    def _computed(
        self,
        source: RegisterSource | ClockSource | ConstantSource | FeedSource,
        clock: tuple[float, float, float] | None,
    ) -> Reading | None:
        """Reading of a channel that is not in a register."""
        if isinstance(source, ConstantSource):
            return Reading(value=source.constant, acquired_s=time.monotonic())
        if clock is None or isinstance(source, RegisterSource):
            return None
        time_s, year_s, acquired_s = clock
        if isinstance(source, ClockSource):
            return Reading(value=calendar(source.clock, time_s, year_s), acquired_s=acquired_s)
        feed = read_feed(self._file.beside(source.feed), source.column)
        return Reading(value=feed.at(time_s), acquired_s=acquired_s)

    def _clock(self) -> tuple[float, float, float] | None:
        """Seconds since the start of the year, length of the year, and when that was read."""
        settings = self._rig.clock
        if settings.device is None or settings.point is None:
            return *wall_clock(settings.utc_offset_h), time.monotonic()
        device = self._devices[settings.device]
        value = device.value(settings.point)
        if value is None:
            return None
        return value, settings.days_in_year * _SECONDS_PER_DAY, device.held.acquired_s[settings.point]

    def _in_force(self, name: str, sink: Sink) -> Reading | None:
        """The set-point that a device shows; NaN where it is not applied."""
        device = self._devices[sink.device]
        shown = sink.readback or sink.point
        value = device.value(shown)
        if value is None:
            return None
        is_applied = sink.apply is None or device.value(sink.apply) == sink.together[sink.apply]
        written = self._written.get(name)
        own = device.held.words.get(sink.point)
        acquired_s = device.held.acquired_s[shown]
        if written is not None and acquired_s > written.at_s and (not is_applied or own not in (None, written.words)):
            # Somebody else has changed it, or it has run out: the next write must not be held back.
            del self._written[name]
        binding = device.layout.sinks[name]
        in_force = binding.to_channel(value) if is_applied else math.nan
        if written is not None and own is None and acquired_s > written.at_s + sink.readback_within_s:
            # Only what the device made of it can be read; another value is a write that was lost.
            gap = abs(in_force - binding.decode(written.words))
            if not gap <= readback_tolerance(sink, binding.quantum):
                self._written.pop(name, None)
        return Reading(value=in_force, acquired_s=acquired_s)

    def _status(self, device: RigDevice) -> DeviceStatus:
        heartbeat, remote = device.settings.heartbeat, device.settings.remote
        beat = device.value(heartbeat.read) if heartbeat is not None and heartbeat.read is not None else None
        mode = None if remote is None else device.value(remote.point)
        return DeviceStatus(
            is_reachable=device.held.is_complete,
            problem=device.held.problem,
            heartbeat=None if beat is None or math.isnan(beat) else int(beat),
            is_remote=None if remote is None or mode is None else mode == remote.value,
        )

    def _is_stopped(self) -> bool:
        stop = self._rig.stop
        return stop is not None and self._devices[stop.device].value(stop.point) == stop.value
