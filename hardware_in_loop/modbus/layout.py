"""Points of a device of a rig, the channels on them, and the requests that read them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gridenv.core.channels import ChannelSet
from hardware_in_loop.errors import EncodingError, RigError, RigFileError
from hardware_in_loop.registers.coalesce import Span, spans
from hardware_in_loop.registers.points import MAX_READ_REGISTERS, Point
from hardware_in_loop.rig.binding import Binding, bind, range_problem
from hardware_in_loop.rig.files import RigFile
from hardware_in_loop.rig.schema import RegisterSource, Rig, Sink


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Points of a device and the requests that read them."""

    points: Mapping[str, Point]
    texts: Mapping[str, str]
    fast: tuple[Span, ...]
    """Measurements and set-points, in every cycle."""
    slow: tuple[Span, ...]
    """Heartbeats and modes."""
    identity: tuple[Span, ...]
    """What tells one device from another."""
    sources: tuple[Binding, ...]
    sinks: Mapping[str, Binding]


def layout_of(
    file: RigFile,
    name: str,
    points: Mapping[str, Point],
    texts: Mapping[str, str],
    identity: Iterable[Point],
    observation: ChannelSet,
    action: ChannelSet,
) -> Layout:
    """Bindings and requests, now that addresses and scales are known.

    Raises:
        RigError: for points that the device has not, and for limits that its registers cannot carry.
    """
    rig, device, register_map = file.rig, file.rig.device(name), file.maps[name]
    fast, slow = _named(rig, name), _slow_named(rig, name)
    written = {p for sink in _sinks(rig, name).values() for p in _along(sink)}
    expected = [n for n in device.identity if n not in texts]
    missing = sorted({n for n in (*fast, *slow, *written, *expected) if n not in points})
    if missing:
        raise RigError(
            f"device '{name}': has no {', '.join(missing)}, or states no scale for it; correct the rig file, or the "
            "device"
        )
    sources, sinks, problems = _bindings(rig, name, points, observation, action)
    if problems:
        raise RigError("\n".join(f"device '{name}': {p}" for p in problems))
    holes = True if register_map is None else register_map.readable_holes
    limit = MAX_READ_REGISTERS if register_map is None else register_map.max_registers
    return Layout(
        points=points,
        texts=texts,
        fast=spans([points[n] for n in fast], holes, limit),
        slow=spans([points[n] for n in slow if n not in fast], holes, limit),
        identity=spans(identity, holes, limit),
        sources=tuple(sources),
        sinks=sinks,
    )


def _bindings(
    rig: Rig, name: str, points: Mapping[str, Point], observation: ChannelSet, action: ChannelSet
) -> tuple[list[Binding], dict[str, Binding], list[str]]:
    sources: list[Binding] = []
    sinks: dict[str, Binding] = {}
    problems: list[str] = []
    for channel in observation:
        source = rig.observations[channel.name]
        if isinstance(source, RegisterSource) and source.device == name:
            try:
                sources.append(bind(source, points[source.point], channel))
            except RigFileError as error:
                problems += [f"observation '{channel.name}': {line}" for line in str(error).splitlines()]
    for channel in action:
        sink = rig.actions[channel.name]
        if sink.device != name:
            continue
        try:
            binding = bind(sink, points[sink.point], channel)
            problem = range_problem(binding, (sink.low, sink.high, sink.safe_value))
            problems += [f"action '{channel.name}': {problem}"] if problem else []
            problems += _constant_problems(sink, points, rig.safety.reversion_s)
            sinks[channel.name] = binding
        except RigFileError as error:
            problems += [f"action '{channel.name}': {line}" for line in str(error).splitlines()]
    return sources, sinks, problems


def _constant_problems(sink: Sink, points: Mapping[str, Point], reversion_s: int) -> list[str]:
    """Values written along that the points cannot take."""
    given = dict(sink.together)
    if sink.reversion is not None:
        given[sink.reversion.timer] = float(reversion_s)
    problems = []
    for name, value in given.items():
        try:
            points[name].encode(value)
        except EncodingError as error:
            problems.append(str(error))
    return problems


def _sinks(rig: Rig, device: str) -> dict[str, Sink]:
    return {name: sink for name, sink in rig.actions.items() if sink.device == device}


def _along(sink: Sink) -> list[str]:
    """Points that are written with a set-point."""
    return [sink.point, *sink.together, *([sink.reversion.timer] if sink.reversion else [])]


def _named(rig: Rig, device: str) -> list[str]:
    """Points that every cycle reads."""
    names = [s.point for s in rig.observations.values() if isinstance(s, RegisterSource) and s.device == device]
    for sink in _sinks(rig, device).values():
        names += [sink.readback or sink.point, *([sink.apply] if sink.apply else [])]
        names += [sink.reversion.remaining] if sink.reversion and sink.reversion.remaining else []
    names += [rig.clock.point] if rig.clock.device == device and rig.clock.point else []
    names += [rig.stop.point] if rig.stop is not None and rig.stop.device == device else []
    return list(dict.fromkeys(names))


def _slow_named(rig: Rig, device: str) -> list[str]:
    settings = rig.device(device)
    heartbeat = [settings.heartbeat.read] if settings.heartbeat is not None and settings.heartbeat.read else []
    return [*heartbeat, *([settings.remote.point] if settings.remote is not None else [])]
