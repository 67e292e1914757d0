"""Numbers <-> registers: data types, byte and word orders. What does not fit is refused, never clamped or wrapped."""

import math
import struct
from collections.abc import Mapping, Sequence
from enum import StrEnum

from hardware_in_loop.errors import EncodingError

REGISTER_MAX = 0xFFFF
_BYTES_PER_REGISTER = 2


class DataType(StrEnum):
    """How a number is laid out in one or more registers of 16 bits."""

    INT16 = "int16"
    UINT16 = "uint16"
    INT32 = "int32"
    UINT32 = "uint32"
    INT64 = "int64"
    UINT64 = "uint64"
    FLOAT32 = "float32"
    FLOAT64 = "float64"
    BITFIELD = "bitfield"
    """16 single bits."""
    BITFIELD32 = "bitfield32"

    @property
    def registers(self) -> int:
        """Number of registers."""
        return struct.calcsize(_FORMATS[self]) // _BYTES_PER_REGISTER

    @property
    def is_float(self) -> bool:
        """IEEE 754 numbers, which carry fractions without a scale."""
        return self in (DataType.FLOAT32, DataType.FLOAT64)

    @property
    def is_bits(self) -> bool:
        """Single bits, which have neither scale nor unit."""
        return self in (DataType.BITFIELD, DataType.BITFIELD32)

    @property
    def limits(self) -> tuple[int, int]:
        """Smallest and largest whole number; of integer types and bitfields only."""
        bits = 8 * struct.calcsize(_FORMATS[self])
        return (-(1 << bits - 1), (1 << bits - 1) - 1) if self.value.startswith("int") else (0, (1 << bits) - 1)


_FORMATS: Mapping[DataType, str] = {
    DataType.INT16: ">h",
    DataType.UINT16: ">H",
    DataType.INT32: ">i",
    DataType.UINT32: ">I",
    DataType.INT64: ">q",
    DataType.UINT64: ">Q",
    DataType.FLOAT32: ">f",
    DataType.FLOAT64: ">d",
    DataType.BITFIELD: ">H",
    DataType.BITFIELD32: ">I",
}


class ByteOrder(StrEnum):
    """Order in which a device sends the bytes of a number; A is the most significant of four.

    Wider numbers follow the same two choices: words in falling or rising significance, bytes of a word swapped or not.
    """

    ABCD = "ABCD"
    """As the Modbus specification has single registers, most significant word first."""
    BADC = "BADC"
    CDAB = "CDAB"
    """Least significant word first."""
    DCBA = "DCBA"

    @property
    def swaps_words(self) -> bool:
        """Least significant word first."""
        return self in (ByteOrder.CDAB, ByteOrder.DCBA)

    @property
    def swaps_bytes(self) -> bool:
        """Least significant byte of each word first."""
        return self in (ByteOrder.BADC, ByteOrder.DCBA)


def encode(value: float, kind: DataType, order: ByteOrder = ByteOrder.ABCD) -> tuple[int, ...]:
    """Registers of a number.

    Args:
        value: a whole number for integer types and bitfields, any finite number for floats.

    Raises:
        EncodingError: for NaN, infinity, a fraction in an integer type, and numbers that the type cannot carry.
    """
    if not math.isfinite(value):
        raise EncodingError(f"{value} is not finite; allowed: finite numbers")
    try:
        packed = struct.pack(_FORMATS[kind], float(value) if kind.is_float else _whole(value, kind))
    except (OverflowError, struct.error) as error:
        raise EncodingError(f"{value:g} does not fit into {kind}; give a smaller number") from error
    words = struct.unpack(f">{kind.registers}H", packed)
    return _ordered(words, order)


def not_a_number(kind: DataType, order: ByteOrder = ByteOrder.ABCD) -> tuple[int, ...]:
    """Registers of a float type that hold NaN, with which a device says that it has no value."""
    return _ordered(struct.unpack(f">{kind.registers}H", struct.pack(_FORMATS[kind], math.nan)), order)


def decode(registers: Sequence[int], kind: DataType, order: ByteOrder = ByteOrder.ABCD) -> float:
    """The number in registers; NaN and infinities of float types come out as they are.

    Raises:
        EncodingError: if the number of registers is not that of the type, or one of them has more than 16 bits.
    """
    if len(registers) != kind.registers or any(not 0 <= word <= REGISTER_MAX for word in registers):
        raise EncodingError(
            f"{list(registers)} is not a {kind}; allowed: {kind.registers} registers of 0..{REGISTER_MAX}"
        )
    packed = struct.pack(f">{kind.registers}H", *_ordered(registers, order))
    value: float = struct.unpack(_FORMATS[kind], packed)[0]
    return value


def _whole(value: float, kind: DataType) -> int:
    whole = int(value)
    if whole != value:
        raise EncodingError(f"{value:g} is not a whole number; {kind} carries whole numbers, give the point a scale")
    low, high = kind.limits
    if not low <= whole <= high:
        raise EncodingError(f"{whole} does not fit into {kind}; allowed: {low}..{high}")
    return whole


def _ordered(words: Sequence[int], order: ByteOrder) -> tuple[int, ...]:
    """Words from the order of the specification to that of a device, or back: each swap is its own inverse."""
    swapped = [(word & 0xFF) << 8 | word >> 8 for word in words] if order.swaps_bytes else list(words)
    return tuple(reversed(swapped) if order.swaps_words else swapped)
