"""Requests and answers of Modbus as bytes, for a server. Nothing is answered that the specification does not allow.

Source of all limits: MODBUS Application Protocol Specification V1.1b3, clause 6.
"""

import struct
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Protocol

from hardware_in_loop.registers.points import MAX_READ_BITS, MAX_READ_REGISTERS, Table

ADDRESSES = 1 << 16
MAX_PDU = 253
_MAX_WRITE_REGISTERS = 123
_MAX_WRITE_BITS = 1968
_MAX_READ_WRITE_REGISTERS = 121
_ON, _OFF = 0xFF00, 0x0000
_ERROR_BIT = 0x80
_DEVICE_IDENTIFICATION = 0x0E
_BASIC, _REGULAR, _EXTENDED, _SPECIFIC = 1, 2, 3, 4
_BASIC_IDS, _REGULAR_IDS = range(0x03), range(0x80)
_STREAM_AND_SINGLE = 0x83


class Function(IntEnum):
    """Function codes that are answered."""

    READ_COILS = 1
    READ_DISCRETE = 2
    READ_HOLDING = 3
    READ_INPUT = 4
    WRITE_COIL = 5
    WRITE_REGISTER = 6
    WRITE_COILS = 15
    WRITE_REGISTERS = 16
    MASK_WRITE = 22
    READ_WRITE = 23
    IDENTIFY = 43


WRITES = frozenset(
    {
        Function.WRITE_COIL,
        Function.WRITE_REGISTER,
        Function.WRITE_COILS,
        Function.WRITE_REGISTERS,
        Function.MASK_WRITE,
        Function.READ_WRITE,
    }
)
_READS = {
    Function.READ_COILS: Table.COIL,
    Function.READ_DISCRETE: Table.DISCRETE,
    Function.READ_HOLDING: Table.HOLDING,
    Function.READ_INPUT: Table.INPUT,
}


class Code(IntEnum):
    """Exception codes."""

    ILLEGAL_FUNCTION = 1
    ILLEGAL_ADDRESS = 2
    ILLEGAL_VALUE = 3
    DEVICE_FAILURE = 4
    BUSY = 6
    NO_GATEWAY_TARGET = 11


class Refusal(Exception):  # noqa: N818
    """A request that is answered with an exception code."""

    def __init__(self, code: Code) -> None:
        super().__init__(code.name)
        self.code = code


class Store(Protocol):
    """What a unit holds. Both methods raise `Refusal` for what it has not, or does not take."""

    @property
    def identity(self) -> Mapping[int, str]:
        """Objects of the device identification by their number; 0 vendor, 1 product code, 2 revision."""
        ...

    def read(self, table: Table, address: int, count: int) -> Sequence[int]:
        """Registers or bits."""
        ...

    def write(self, table: Table, address: int, values: Sequence[int]) -> None:
        """Take all values or none."""
        ...


def answer(pdu: bytes, store: Store) -> bytes:
    """The answer to a request.

    Args:
        pdu: function code and data, at least one byte.
    """
    try:
        return _dispatch(pdu, store)
    except Refusal as refusal:
        return refused(pdu[0], refusal.code)


def refused(function: int, code: Code) -> bytes:
    """The answer that says why a request is not carried out."""
    return bytes((function & 0x7F | _ERROR_BIT, code))


def _dispatch(pdu: bytes, store: Store) -> bytes:
    try:
        function = Function(pdu[0])
    except ValueError:
        raise Refusal(Code.ILLEGAL_FUNCTION) from None
    body = pdu[1:]
    if function in _READS:
        return _read(function, body, store)
    if function in (Function.WRITE_COIL, Function.WRITE_REGISTER):
        return _write_single(function, body, store)
    if function in (Function.WRITE_COILS, Function.WRITE_REGISTERS):
        return _write_several(function, body, store)
    if function is Function.MASK_WRITE:
        return _mask_write(body, store)
    if function is Function.READ_WRITE:
        return _read_write(body, store)
    return _identify(body, store)


def _numbers(layout: str, body: bytes) -> tuple[int, ...]:
    if len(body) != struct.calcsize(layout):
        raise Refusal(Code.ILLEGAL_VALUE)
    return struct.unpack(layout, body)


def _check_range(address: int, count: int, most: int) -> None:
    if not 1 <= count <= most:
        raise Refusal(Code.ILLEGAL_VALUE)
    if address + count > ADDRESSES:
        raise Refusal(Code.ILLEGAL_ADDRESS)


def _read(function: Function, body: bytes, store: Store) -> bytes:
    table = _READS[function]
    address, count = _numbers(">HH", body)
    _check_range(address, count, MAX_READ_BITS if table.is_bits else MAX_READ_REGISTERS)
    values = store.read(table, address, count)
    data = _pack_bits(values) if table.is_bits else _pack_words(values)
    return bytes((function, len(data))) + data


def _write_single(function: Function, body: bytes, store: Store) -> bytes:
    address, value = _numbers(">HH", body)
    if function is Function.WRITE_COIL:
        if value not in (_ON, _OFF):
            raise Refusal(Code.ILLEGAL_VALUE)
        store.write(Table.COIL, address, (int(value == _ON),))
    else:
        store.write(Table.HOLDING, address, (value,))
    return bytes((function,)) + body


def _write_several(function: Function, body: bytes, store: Store) -> bytes:
    if len(body) < struct.calcsize(">HHB"):
        raise Refusal(Code.ILLEGAL_VALUE)
    address, count, n_bytes = struct.unpack(">HHB", body[:5])
    is_bits, data = function is Function.WRITE_COILS, body[5:]
    if n_bytes != len(data) or n_bytes != ((count + 7) // 8 if is_bits else 2 * count):
        raise Refusal(Code.ILLEGAL_VALUE)
    _check_range(address, count, _MAX_WRITE_BITS if is_bits else _MAX_WRITE_REGISTERS)
    values = _unpack_bits(data, count) if is_bits else struct.unpack(f">{count}H", data)
    store.write(Table.COIL if is_bits else Table.HOLDING, address, values)
    return bytes((function,)) + body[:4]


def _mask_write(body: bytes, store: Store) -> bytes:
    address, and_mask, or_mask = _numbers(">HHH", body)
    (before,) = store.read(Table.HOLDING, address, 1)
    store.write(Table.HOLDING, address, (before & and_mask | or_mask & ~and_mask & 0xFFFF,))
    return bytes((Function.MASK_WRITE,)) + body


def _read_write(body: bytes, store: Store) -> bytes:
    """Writes first, as the specification has it."""
    if len(body) < struct.calcsize(">HHHHB"):
        raise Refusal(Code.ILLEGAL_VALUE)
    read_at, n_read, write_at, n_write, n_bytes = struct.unpack(">HHHHB", body[:9])
    data = body[9:]
    if n_bytes != len(data) or n_bytes != 2 * n_write:
        raise Refusal(Code.ILLEGAL_VALUE)
    _check_range(read_at, n_read, MAX_READ_REGISTERS)
    _check_range(write_at, n_write, _MAX_READ_WRITE_REGISTERS)
    # What is refused must not have been written, so the read is tried beforehand.
    store.read(Table.HOLDING, read_at, n_read)
    store.write(Table.HOLDING, write_at, struct.unpack(f">{n_write}H", data))
    values = _pack_words(store.read(Table.HOLDING, read_at, n_read))
    return bytes((Function.READ_WRITE, len(values))) + values


def _identify(body: bytes, store: Store) -> bytes:
    """Device identification; all objects fit into one answer, or it goes on at the next."""
    if not body or body[0] != _DEVICE_IDENTIFICATION:
        raise Refusal(Code.ILLEGAL_FUNCTION)
    _, level, first = _numbers(">BBB", body)
    objects = {number: text.encode()[: MAX_PDU - 9] for number, text in sorted(store.identity.items())}
    if level == _SPECIFIC:
        if first not in objects:
            raise Refusal(Code.ILLEGAL_ADDRESS)
        chosen = {first: objects[first]}
    elif level in (_BASIC, _REGULAR, _EXTENDED):
        within = {_BASIC: _BASIC_IDS, _REGULAR: _REGULAR_IDS}.get(level, range(0x100))
        start = first if first in objects else 0
        chosen = {n: text for n, text in objects.items() if n in within and n >= start}
    else:
        raise Refusal(Code.ILLEGAL_VALUE)
    data, n, following = b"", 0, 0
    for number, text in chosen.items():
        if len(data) + len(text) + 2 > MAX_PDU - 7:
            following = number
            break
        data += bytes((number, len(text))) + text
        n += 1
    more = 0xFF if following else 0x00
    header = (Function.IDENTIFY, _DEVICE_IDENTIFICATION, level, _STREAM_AND_SINGLE, more, following, n)
    return bytes(header) + data


def _pack_words(values: Sequence[int]) -> bytes:
    return struct.pack(f">{len(values)}H", *values)


def _pack_bits(values: Sequence[int]) -> bytes:
    packed = bytearray((len(values) + 7) // 8)
    for i, bit in enumerate(values):
        packed[i // 8] |= (bit & 1) << i % 8
    return bytes(packed)


def _unpack_bits(data: bytes, count: int) -> tuple[int, ...]:
    return tuple(data[i // 8] >> i % 8 & 1 for i in range(count))
