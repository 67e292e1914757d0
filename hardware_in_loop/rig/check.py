"""What is wrong with a rig file, all of it at once: before anything is sent to a device."""

import csv
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from gridenv.core.channels import Channel, ChannelSet
from gridenv.core.config import display_path
from gridenv.core.errors import did_you_mean
from hardware_in_loop.errors import RigFileError
from hardware_in_loop.rig.binding import Binding, bind, range_problem
from hardware_in_loop.rig.catalogue import Catalogue, declared_points
from hardware_in_loop.rig.certificates import tls_problems
from hardware_in_loop.rig.feed import read_feed
from hardware_in_loop.rig.files import RigFile
from hardware_in_loop.rig.schema import ConstantSource, Conversion, Device, FeedSource, RegisterSource, Rtu, Sink, Tls


def rig_problems(file: RigFile, observation: ChannelSet, action: ChannelSet) -> list[str]:
    """Everything that is wrong with a rig file for these channels, one line each."""
    catalogue, problems = declared_points(file)
    problems += _device_problems(file, catalogue)
    problems += _coverage(file.rig.observations, observation, "observation", "a source")
    problems += _coverage(file.rig.actions, action, "action", "a sink")
    by_name = {c.name: c for c in (*observation, *action)}
    for name in file.rig.observations:
        if name in by_name:
            problems += [f"observation '{name}': {p}" for p in _source_problems(file, catalogue, by_name[name])]
    for name, sink in file.rig.actions.items():
        if name in by_name:
            problems += [f"action '{name}': {p}" for p in _sink_problems(catalogue, sink, by_name[name])]
    problems += _shared_points(file)
    problems += _rig_level_problems(file, catalogue, observation, action)
    return problems


def _device_problems(file: RigFile, catalogue: Catalogue) -> Iterator[str]:
    rig = file.rig
    names = [d.name for d in rig.devices]
    for name in sorted({n for n in names if names.count(n) > 1}):
        yield f"device '{name}' appears {names.count(name)} times; names must be unique"
    for place, devices in groupby(sorted(rig.devices, key=_place), key=_place):
        several = [d.name for d in devices]
        if len(several) > 1:
            yield f"devices {' and '.join(repr(n) for n in several)} have the same address {place}; give each its own"
    deadline_s = rig.safety.deadline_share / rig.rate_hz
    for device in rig.devices:
        where = f"device '{device.name}'"
        if device.transport.timeout_s > deadline_s:
            yield (
                f"{where}: timeout_s is {device.transport.timeout_s:g}; allowed: up to {deadline_s:g}, the deadline of "
                f"a cycle at {rig.rate_hz:g} Hz; shorten it, or lower rate_hz"
            )
        if isinstance(device.transport, Tls):
            yield from (f"{where}: {p}" for p in tls_problems(device.transport, file.beside))
        for point, is_written in _device_points(device):
            yield from (f"{where}: {p}" for p in _point_problems(catalogue, device.name, point, is_written))


def _place(device: Device) -> str:
    t = device.transport
    return f"{t.serial_port} unit {t.unit}" if isinstance(t, Rtu) else f"{t.host}:{t.port} unit {t.unit}"


def _device_points(device: Device) -> Iterator[tuple[str, bool]]:
    """Points that a device's statement names, and whether they are written."""
    yield from ((name, False) for name in device.identity)
    if device.heartbeat is not None:
        yield from (
            (p, w) for p, w in ((device.heartbeat.read, False), (device.heartbeat.write, True)) if p is not None
        )
    if device.remote is not None:
        yield device.remote.point, False


def _coverage(given: object, channels: ChannelSet, kind: str, what: str) -> Iterator[str]:
    assert isinstance(given, dict)
    for name in given:
        if name not in channels.names:
            yield f"unknown {kind} channel '{name}'{did_you_mean(name, channels.names)}"
    for name in channels.names:
        if name not in given:
            yield f"{kind} '{name}' has no {'source' if kind == 'observation' else 'sink'}; give it {what}"


def _source_problems(file: RigFile, catalogue: Catalogue, channel: Channel) -> Iterator[str]:
    source = file.rig.observations[channel.name]
    if isinstance(source, RegisterSource):
        binding, problems = _bound(catalogue, source, channel)
        yield from problems
        if binding is not None and binding.absent is not None:
            yield from _absent_problems(binding, binding.absent, channel)
    elif isinstance(source, ConstantSource) and not channel.low <= source.constant <= channel.high:
        yield f"constant is {source.constant:g}; allowed: {channel.low:g}..{channel.high:g}"
    elif isinstance(source, FeedSource):
        try:
            read_feed(file.beside(source.feed), source.column)
        except RigFileError as error:
            yield str(error)


def _absent_problems(binding: Binding, absent: float, channel: Channel) -> Iterator[str]:
    if not channel.low <= absent <= channel.high:
        yield f"absent is {absent:g}; allowed: {channel.low:g}..{channel.high:g}"
    if not binding.point.can_be_absent:
        yield (
            f"absent is given, and point '{binding.point.name}' cannot say that it has no value; give it a count for "
            "`not_available`, or leave absent out"
        )


def _bound(catalogue: Catalogue, conversion: Conversion, channel: Channel) -> tuple[Binding | None, list[str]]:
    try:
        return bind(conversion, catalogue.point(conversion.device, conversion.point), channel), []
    except RigFileError as error:
        return None, str(error).splitlines()


def _sink_problems(catalogue: Catalogue, sink: Sink, channel: Channel) -> Iterator[str]:
    binding, problems = _bound(catalogue, sink, channel)
    yield from problems
    if not sink.low < sink.high:
        yield f"low {sink.low:g} is not below high {sink.high:g}; correct the limits"
    if not channel.low <= sink.low <= sink.high <= channel.high:
        yield (
            f"limits {sink.low:g}..{sink.high:g} are beyond the channel's {channel.low:g}..{channel.high:g}; allowed: "
            "within it"
        )
    for key, value in _inner_values(sink):
        if not sink.low <= value <= sink.high:
            yield f"{key} is {value:g}; allowed: within the limits {sink.low:g}..{sink.high:g}"
    if sink.device not in catalogue.devices:
        return
    for name in _written_along(sink):
        yield from _point_problems(catalogue, sink.device, name, is_written=True)
    for shown in (sink.readback, sink.reversion.remaining if sink.reversion else None):
        if shown is not None:
            yield from _point_problems(catalogue, sink.device, shown, is_written=False)
    if sink.apply is not None and sink.apply not in sink.together:
        yield f"apply '{sink.apply}' is not among `together`; add it there with its value"
    if binding is not None:
        yield from _writable_problems(catalogue, sink, binding, channel)


def _inner_values(sink: Sink) -> Iterator[tuple[str, float]]:
    yield "safe_value", sink.safe_value
    for value in sink.test_window or ():
        yield "test_window", value


def _written_along(sink: Sink) -> list[str]:
    return [*sink.together, *([sink.reversion.timer] if sink.reversion else [])]


def _writable_problems(catalogue: Catalogue, sink: Sink, binding: Binding, channel: Channel) -> Iterator[str]:
    point = binding.point
    if point.access == "r":
        yield f"point '{point.name}' of device '{sink.device}' can only be read; name a set-point"
        return
    if channel.low < 0.0 and sink.sign is None and point.sign is None:
        yield (
            f"point '{point.name}' has no direction and the channel goes both ways; add `sign: grid` (positive into "
            "the grid) or `sign: load`"
        )
    if catalogue.is_known(sink.device):
        problem = range_problem(binding, (sink.low, sink.high, sink.safe_value))
        if problem is not None:
            yield problem


def _point_problems(catalogue: Catalogue, device: str, name: str, is_written: bool) -> Iterator[str]:
    try:
        point = catalogue.point(device, name)
    except RigFileError as error:
        yield str(error)
        return
    if is_written and point.access == "r":
        yield f"point '{name}' of device '{device}' can only be read; it must be written here"
    if not is_written and point.access == "w":
        yield f"point '{name}' of device '{device}' can only be written; it must be read here"


def _shared_points(file: RigFile) -> Iterator[str]:
    """Set-points that two channels would fight over."""
    taken: dict[tuple[str, str], str] = {}
    for name, sink in file.rig.actions.items():
        key = (sink.device, sink.point)
        if key in taken:
            yield f"actions '{taken[key]}' and '{name}' go to the same point '{sink.point}' of device '{sink.device}'"
        taken.setdefault(key, name)


def _rig_level_problems(
    file: RigFile, catalogue: Catalogue, observation: ChannelSet, action: ChannelSet
) -> Iterator[str]:
    rig = file.rig
    if (rig.clock.device is None) != (rig.clock.point is None):
        yield "clock: device and point go together; give both or neither"
    elif rig.clock.device is not None and rig.clock.point is not None:
        yield from (f"clock: {p}" for p in _point_problems(catalogue, rig.clock.device, rig.clock.point, False))
    if rig.stop is not None:
        yield from (f"stop: {p}" for p in _point_problems(catalogue, rig.stop.device, rig.stop.point, False))
    if rig.safety.voltage is not None:
        path = file.beside(rig.safety.voltage.sensitivity)
        yield from (f"safety.voltage: {p}" for p in _sensitivity_problems(path, observation, action))


def _sensitivity_problems(path: Path, observation: ChannelSet, action: ChannelSet) -> Iterator[str]:
    shown = display_path(path)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
    except OSError as error:
        yield f"{shown} cannot be read ({error.strerror}); name a CSV file"
        return
    if not rows or rows[0][:1] != ["channel"]:
        yield f"{shown} does not begin with the column `channel`; correct its first line"
        return
    for name in rows[0][1:]:
        if name not in action.names:
            yield f"{shown}: column '{name}' is no action channel{did_you_mean(name, action.names)}"
    for line, row in enumerate(rows[1:], start=2):
        if row and row[0] not in observation.names:
            yield f"{shown}:{line}: '{row[0]}' is no observation channel{did_you_mean(row[0], observation.names)}"
