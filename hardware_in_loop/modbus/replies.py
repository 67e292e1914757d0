"""What a reply to a Modbus request must look like. A client uses nothing that is not exactly that.

Source: MODBUS Application Protocol Specification V1.1b3, clause 6; MODBUS over serial line V1.02; Messaging on TCP/IP
V1.0b, clause 3.1.3.
"""

import struct
from collections import deque

_HEADER = struct.Struct(">HHHB")
_MAX_LENGTH = 254
_ERROR_BIT = 0x80
_BIT_READS = (1, 2)
_WORD_READS = (3, 4)
_SINGLE_WRITES = (5, 6)
_SEVERAL_WRITES = (15, 16)
_CRC = 2
_MAX_EXCEPTION = 11
_REMEMBERED = 64


def expected_length(request: bytes) -> int:
    """Bytes of the reply to a request, without framing.

    Args:
        request: function code and data, of functions 1-6, 15 and 16.
    """
    function = request[0]
    count = int.from_bytes(request[3:5], "big")
    if function in _BIT_READS:
        return 2 + (count + 7) // 8
    if function in _WORD_READS:
        return 2 + 2 * count
    return 5


def reply_problem(request: bytes, reply: bytes) -> str:
    """Why a reply, without framing, does not answer a request; empty if it does, be it with an exception."""
    function = request[0]
    if not reply or reply[0] & ~_ERROR_BIT != function:
        return f"answers function {reply[0] if reply else 'none'}, asked was {function}"
    if reply[0] & _ERROR_BIT:
        if len(reply) != 2 or not 1 <= reply[1] <= _MAX_EXCEPTION:
            return f"has a malformed exception {reply[1:].hex()}"
        return ""
    if len(reply) != expected_length(request):
        return f"has {len(reply)} bytes, {expected_length(request)} were due"
    if function in (*_BIT_READS, *_WORD_READS):
        return "" if reply[1] == len(reply) - 2 else f"states {reply[1]} bytes of data and has {len(reply) - 2}"
    if reply[1:5] != request[1:5]:
        return f"acknowledges {reply[1:5].hex()}, asked was {request[1:5].hex()}"
    return ""


class TcpWatch:
    """Looks at the bytes of a connection with one request at a time."""

    def __init__(self) -> None:
        self._transaction = -1
        self._unit = 0
        self._request = b""
        self._is_open = False
        self._given_up: deque[int] = deque(maxlen=_REMEMBERED)

    def sent(self, packet: bytes) -> None:
        """A request leaves."""
        self._transaction, _, _, self._unit = _HEADER.unpack(packet[: _HEADER.size])
        self._request, self._is_open = packet[_HEADER.size :], True

    def given_up(self) -> None:
        """No reply to the request came in time; should it come later, it is passed over."""
        if self._is_open:
            self._given_up.append(self._transaction)
            self._is_open = False

    def received(self, data: bytes) -> str:
        """Why bytes that wait to be read cannot be trusted; empty if they can, or there are too few to tell."""
        while data:
            if not self._is_open and not self._is_late(data):
                return f"{len(data)} bytes came that nobody asked for"
            if len(data) >= 4 and data[2:4] != b"\0\0":
                return f"reply has protocol {int.from_bytes(data[2:4], 'big')}; allowed: 0"
            if len(data) < _HEADER.size:
                return ""
            transaction, _, length, unit = _HEADER.unpack(data[: _HEADER.size])
            if not 3 <= length <= _MAX_LENGTH:
                return f"reply states a length of {length}; allowed: 3..{_MAX_LENGTH}"
            if len(data) < _HEADER.size - 1 + length:
                return ""
            reply, data = data[_HEADER.size : _HEADER.size - 1 + length], data[_HEADER.size - 1 + length :]
            if transaction in self._given_up:
                self._given_up.remove(transaction)
                continue
            problem = self._frame_problem(transaction, unit, reply)
            if problem:
                return problem
            self._is_open = False
            if data:
                return f"{len(data)} bytes came behind the reply"
        return ""

    def _is_late(self, data: bytes) -> bool:
        """Whether bytes begin as the reply to a request that was given up."""
        return any(struct.pack(">HH", given_up, 0).startswith(data[:4]) for given_up in self._given_up)

    def _frame_problem(self, transaction: int, unit: int, reply: bytes) -> str:
        if not self._is_open or transaction != self._transaction:
            return f"reply belongs to transaction {transaction}, which is not open"
        if unit != self._unit:
            return f"reply comes from unit {unit}, asked was {self._unit}"
        problem = reply_problem(self._request, reply)
        return f"reply {problem}" if problem else ""


class RtuWatch:
    """Looks at the bytes of a serial line with one request at a time; checksums are checked elsewhere."""

    def __init__(self) -> None:
        self._unit = 0
        self._request = b""
        self._is_open = False

    def sent(self, packet: bytes) -> None:
        """A request leaves."""
        self._unit, self._request, self._is_open = packet[0], packet[1:-_CRC], True

    def given_up(self) -> None:
        """No reply to the request came in time."""
        self._is_open = False

    def received(self, data: bytes) -> str:
        """Why bytes that wait to be read cannot be trusted; empty if they can, or there are too few to tell."""
        if not self._is_open:
            return "bytes came that nobody asked for"
        if data and data[0] != self._unit:
            return f"reply comes from unit {data[0]}, asked was {self._unit}"
        if len(data) < 2:
            return ""
        is_exception = data[1] == self._request[0] | _ERROR_BIT
        due = 1 + _CRC + (2 if is_exception else expected_length(self._request))
        if len(data) > due:
            return f"reply has {len(data)} bytes, {due} were due"
        if len(data) < due and (is_exception or data[1] == self._request[0]):
            return ""
        problem = reply_problem(self._request, data[1:-_CRC])
        if not problem:
            self._is_open = False
        return f"reply {problem}" if problem else ""
