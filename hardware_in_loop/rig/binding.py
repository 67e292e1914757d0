"""Values of points <-> values of channels: unit, direction, factor."""

import math
from dataclasses import dataclass

from gridenv.core.channels import Channel
from hardware_in_loop.errors import EncodingError, RigFileError
from hardware_in_loop.registers.points import Point
from hardware_in_loop.registers.units import DIRECTED, factor, quantity
from hardware_in_loop.rig.schema import Conversion, RegisterSource, Sink

_COUNTS = 1.5
"""Read-back may differ by this many counts: one for rounding in the device, half for ours."""
_MOST_SHARE = 0.5
"""The same at most as a share of the range: where there are two values, one is not taken for the other."""
_FLOAT_SHARE = 1e-6
"""Read-back of float registers may differ by this share of the range."""


@dataclass(frozen=True, kw_only=True)
class Binding:
    """A channel on a point of a device."""

    channel: Channel
    device: str
    point: Point
    gain: float
    """Channel value of one unit of the point, with the direction."""
    offset: float
    absent: float | None = None
    """Channel value where the device says that it has none; None = NaN."""

    def to_channel(self, value: float) -> float:
        """Channel value of a value of the point."""
        return self.gain * value + self.offset

    def to_point(self, value: float) -> float:
        """Value of the point for a channel value."""
        return (value - self.offset) / self.gain

    def decode(self, registers: tuple[int, ...]) -> float:
        """Channel value of registers; `absent`, or else NaN, where the device has none.

        Raises:
            EncodingError: if there are not as many registers as the point has.
        """
        value = self.point.decode(registers)
        return self.absent if self.absent is not None and math.isnan(value) else self.to_channel(value)

    def encode(self, value: float) -> tuple[int, ...]:
        """Registers for a channel value.

        Raises:
            EncodingError: if they cannot carry it, or must not.
        """
        return self.point.encode(self.to_point(value))

    @property
    def quantum(self) -> float:
        """Distance of neighbouring channel values; 0 for floats."""
        return abs(self.gain) * self.point.quantum


def bind(conversion: Conversion, point: Point, channel: Channel) -> Binding:
    """A channel on a point.

    Raises:
        RigFileError: if the units do not convert, or the direction of a power is not stated; one line each.
    """
    unit = point.unit if conversion.unit is None else conversion.unit
    sign = point.sign if conversion.sign is None else conversion.sign
    problems = []
    if sign is None and (quantity(unit) in DIRECTED or quantity(channel.unit) in DIRECTED):
        problems.append(
            f"point '{point.name}' in {unit or 'counts'} has no direction; add `sign: grid` (positive into the grid) "
            "or `sign: load`"
        )
    if conversion.factor == 0.0:
        problems.append("factor is 0; allowed: any other number")
    gain = 1.0
    try:
        gain = factor(unit, channel.unit) if conversion.factor is None else conversion.factor
    except RigFileError as error:
        problems.append(str(error))
    if problems:
        raise RigFileError("\n".join(problems))
    return Binding(
        channel=channel,
        device=conversion.device,
        point=point,
        gain=-gain if sign == "load" else gain,
        offset=conversion.offset,
        absent=conversion.absent if isinstance(conversion, RegisterSource) else None,
    )


def readback_tolerance(sink: Sink, quantum: float) -> float:
    """How far the set-point that a device shows may be from the one written, in the channel's unit.

    Args:
        sink: of the set-point.
        quantum: distance of neighbouring values that its register carries; 0 for floats.
    """
    width = sink.high - sink.low
    tolerance = min(_COUNTS * quantum, _MOST_SHARE * width) if quantum > 0 else _FLOAT_SHARE * width
    return sink.readback_tolerance or tolerance


def range_problem(binding: Binding, values: tuple[float, ...]) -> str | None:
    """Why some of these channel values cannot be written; None if all can."""
    for value in values:
        try:
            binding.encode(value)
        except EncodingError as error:
            return f"{value:g} {binding.channel.unit}".rstrip() + f" cannot be written: {error}"
    return None
