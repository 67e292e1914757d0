"""Points: named numbers at addresses of a device."""

import math
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from hardware_in_loop.errors import EncodingError
from hardware_in_loop.registers.codec import REGISTER_MAX, ByteOrder, DataType, decode, encode, not_a_number

MAX_READ_REGISTERS = 125
"""Source: MODBUS Application Protocol Specification V1.1b3, clause 6.3."""
MAX_READ_BITS = 2000
"""Source: as above, clause 6.1."""
_ROUNDING = 1e-9
"""Share of a limit that counts as rounding of the number, not as beyond it."""
_HALF = 0.5
Address = Annotated[int, Field(ge=0, le=REGISTER_MAX)]
Sign = Literal["grid", "load"]
"""`grid`: positive goes into the grid. `load`: positive is drawn from it."""


class Table(StrEnum):
    """The four address spaces of a Modbus device."""

    HOLDING = "holding"
    """Read by function 3, written by 6 and 16."""
    INPUT = "input"
    """Read by function 4."""
    COIL = "coil"
    """Single bits read by function 1, written by 5 and 15."""
    DISCRETE = "discrete"
    """Single bits read by function 2."""

    @property
    def is_bits(self) -> bool:
        """Each address is one bit."""
        return self in (Table.COIL, Table.DISCRETE)

    @property
    def is_writable(self) -> bool:
        """The specification has a function that writes it."""
        return self in (Table.HOLDING, Table.COIL)

    @property
    def max_read(self) -> int:
        """Addresses that one request may read."""
        return MAX_READ_BITS if self.is_bits else MAX_READ_REGISTERS


class Point(BaseModel):
    """A number that a device holds."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str = Field(min_length=1)
    address: Address
    """Of the first register, counted from 0 as on the wire (register 40001 of old manuals is holding address 0)."""
    table: Table = Table.HOLDING
    type: DataType = DataType.UINT16
    """Of points in registers; in the tables of single bits it has no meaning."""
    byte_order: ByteOrder | None = None
    """None = that of the map."""
    scale: float | None = None
    """Engineering value of one count. Required for integer types, 1 for floats."""
    offset: float = 0.0
    """Engineering value at a count of 0."""
    unit: str = ""
    sign: Sign | None = None
    """Direction in which a power is counted; required for active and reactive power."""
    access: Literal["r", "rw", "w"] = "r"
    min: float | None = None
    """Smallest engineering value that may be written; required with `max` for points that can be written."""
    max: float | None = None
    bit: int | None = Field(default=None, ge=0, le=31)
    """The point is this bit of a bitfield, 0 the least significant."""
    not_available: tuple[int, ...] = ()
    """Counts with which the device says that it has no value."""
    description: str = ""

    @property
    def registers(self) -> int:
        """Number of addresses that the point takes."""
        return 1 if self.table.is_bits else self.type.registers

    @property
    def end(self) -> int:
        """First address behind the point."""
        return self.address + self.registers

    @property
    def count_scale(self) -> float:
        """Engineering value of one count."""
        return 1.0 if self.scale is None else self.scale

    @property
    def quantum(self) -> float:
        """Distance of neighbouring values; 0 for floats."""
        return 0.0 if self.type.is_float and not self.table.is_bits else abs(self.count_scale)

    @property
    def order(self) -> ByteOrder:
        """Byte order."""
        return ByteOrder.ABCD if self.byte_order is None else self.byte_order

    def decode(self, registers: Sequence[int]) -> float:
        """Engineering value of registers; NaN where the device says that it has none, or sends a NaN or an infinity.

        Raises:
            EncodingError: if there are not as many registers as the point has.
        """
        if self.table.is_bits:
            if len(registers) != 1 or registers[0] not in (0, 1):
                raise EncodingError(f"point '{self.name}': {list(registers)} is not one bit")
            return float(registers[0])
        count = decode(registers, self.type, self.order)
        if not math.isfinite(count) or count in self.not_available:
            return math.nan
        if self.bit is not None:
            return float(int(count) >> self.bit & 1)
        return count * self.count_scale + self.offset

    def encode(self, value: float) -> tuple[int, ...]:
        """Registers that carry an engineering value, rounded to the nearest count within the limits.

        Raises:
            EncodingError: for a point that cannot be written, NaN, infinity, a value beyond `min`..`max` or beyond what
                the type can carry, and one whose count means `not available`.
        """
        if self.access == "r":
            raise EncodingError(f"point '{self.name}': is read only; set its access to rw if the device takes it")
        return self.encode_unchecked(value, is_limited=True)

    def encode_unchecked(self, value: float, is_limited: bool = False) -> tuple[int, ...]:
        """As `encode`, for the device itself: regardless of access and limits, but never what cannot be carried."""
        try:
            count = self._count(value, is_limited)
            if count in self.not_available:
                raise EncodingError(f"its count {count:g} means that there is no value")
            return (int(count),) if self.table.is_bits else encode(count, self.type, self.order)
        except EncodingError as error:
            raise EncodingError(f"point '{self.name}': {value:g} {self.unit}: {error}") from error

    def nearest(self, value: float) -> tuple[int, ...]:
        """Registers with which a device shows a value: the end of its range for one beyond it, as a transducer does.

        Args:
            value: NaN = there is none, which a float or a count for `not available` says.

        Raises:
            EncodingError: if the point cannot say that there is no value.
        """
        if math.isnan(value):
            return self._absent()
        if self.table.is_bits or self.bit is not None:
            return self.encode_unchecked(float(value >= _HALF))
        count = (value - self.offset) / self.count_scale
        if self.type.is_float:
            return encode(count, self.type, self.order)
        low, high = self.type.limits
        while low in self.not_available:
            low += 1
        while high in self.not_available:
            high -= 1
        return encode(round(min(max(count, low), high)), self.type, self.order)

    def with_bit(self, registers: Sequence[int], bit: Sequence[int]) -> tuple[int, ...]:
        """Registers of a bitfield in which this point's bit is that of `bit`, and the others stay."""
        assert self.bit is not None
        before, new = (int(decode(words, self.type, self.order)) for words in (registers, bit))
        mask = 1 << self.bit
        return encode(before & ~mask | new & mask, self.type, self.order)

    @property
    def can_be_absent(self) -> bool:
        """The device can say that it has no value."""
        is_bit = self.table.is_bits or self.bit is not None
        return not is_bit and (self.type.is_float or bool(self.not_available))

    def _absent(self) -> tuple[int, ...]:
        if not self.can_be_absent:
            raise EncodingError(f"point '{self.name}': has no count that says that there is no value; give it one")
        if self.not_available:
            return encode(self.not_available[0], self.type, self.order)
        return not_a_number(self.type, self.order)

    def _count(self, value: float, is_limited: bool) -> float:
        if not math.isfinite(value):
            raise EncodingError("is not finite; allowed: finite numbers")
        low = -math.inf if self.min is None or not is_limited else self.min
        high = math.inf if self.max is None or not is_limited else self.max
        room = _ROUNDING * max(1.0, *(abs(x) for x in (low, high) if math.isfinite(x)), 0.0)
        if not low - room <= value <= high + room:
            raise EncodingError(f"is out of range; allowed: {low:g}..{high:g}")
        if self.table.is_bits or self.bit is not None:
            if value not in (0.0, 1.0):
                raise EncodingError("is not a bit; allowed: 0 and 1")
            return value * (1 << (self.bit or 0))
        count = (value - self.offset) / self.count_scale
        if self.type.is_float:
            return count
        return self._inside(round(count), low - room, high + room)

    def _inside(self, count: int, low: float, high: float) -> int:
        """The count, one nearer to the middle where rounding has carried it beyond a limit."""
        step = 1 if self.count_scale > 0.0 else -1
        value = count * self.count_scale + self.offset
        return count - step if value > high else count + step if value < low else count
