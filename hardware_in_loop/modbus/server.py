"""A strict Modbus server on asyncio, over TCP or TLS with roles.

Every request of a connection is answered in order, however its bytes arrive. A connection whose framing is wrong is
closed, as what follows can't be trusted. With TLS, only peers whose certificate has a role that may write can write.
"""

import asyncio
import ssl
import struct
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from hardware_in_loop.modbus.protocol import MAX_PDU, WRITES, Code, Store, answer, refused
from hardware_in_loop.rig.certificates import role_of

OPERATOR = "Operator"
"""Role that may write."""
_HEADER = struct.Struct(">HHHB")
_ERROR_BIT = 0x80


@dataclass(frozen=True, kw_only=True)
class Peer:
    """Who is at the other end of a connection."""

    address: str
    role: str | None
    """Of its certificate; None without one."""
    is_secure: bool


@dataclass(frozen=True, kw_only=True)
class Audit:
    """A request that wanted to write, and what became of it."""

    time_s: float
    """Since the epoch."""
    peer: Peer
    unit: int
    request: bytes
    code: int
    """Exception code; 0 = carried out."""


Disturb = Callable[[int, bytes, bytes], Awaitable[bytes | None]]
"""(unit, request, answer) -> what is sent in its place, None for nothing; for faults on purpose."""


class ModbusServer:
    """Units behind one port."""

    def __init__(
        self,
        units: Mapping[int, Store],
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        tls: ssl.SSLContext | None = None,
        writers: frozenset[str] = frozenset({OPERATOR}),
        audit: Callable[[Audit], None] | None = None,
        disturb: Disturb | None = None,
        frame_timeout_s: float = 5.0,
        max_connections: int = 32,
    ) -> None:
        """Prepare a server.

        Args:
            units: what each unit id holds; requests to others are answered with exception 11.
            host: where to listen.
            port: 0 = any that is free.
            tls: context that demands certificates of clients; None = plain TCP, where everybody may write.
            writers: roles that may write over TLS.
            audit: told of every request that wants to write.
            disturb: put in front of every answer.
            frame_timeout_s: time for a begun request to arrive in full.
            max_connections: further ones are closed at once.
        """
        self._units, self._host, self._port, self._tls = units, host, port, tls
        self._writers, self._audit, self._disturb = writers, audit, disturb
        self._frame_timeout_s, self._max_connections = frame_timeout_s, max_connections
        self._server: asyncio.Server | None = None
        self._writers_open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.requests = 0
        """Answered so far."""

    @property
    def port(self) -> int:
        """Port that it listens on, once started."""
        return self._port

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: if the port is taken.
        """
        self._server = await asyncio.start_server(self._serve, self._host, self._port, ssl=self._tls)
        self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close all connections and the port."""
        if self._server is not None:
            self._server.close()
            self.drop_connections()
            for task in self._tasks:
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks)
            await self._server.wait_closed()
            self._server = None

    def drop_connections(self) -> None:
        """Cut every connection, without a word."""
        for writer in list(self._writers_open):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._writers_open) >= self._max_connections:
            writer.transport.abort()
            return
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers_open.add(writer)
        try:
            peer = _peer(writer)
            while (frame := await self._next(reader)) is not None:
                await self._handle(*frame, peer, writer)
        except (OSError, ssl.SSLError, asyncio.IncompleteReadError, TimeoutError, asyncio.CancelledError):
            pass  # the peer went away, which is its right, or the server stops
        finally:
            self._tasks.discard(task)
            self._writers_open.discard(writer)
            # Not awaited: a peer that does not read would hold the server up.
            writer.close()

    async def _next(self, reader: asyncio.StreamReader) -> tuple[int, int, bytes] | None:
        """Transaction, unit and request; None at the end of the connection or where the framing is wrong."""
        first = await reader.read(1)
        if not first:
            return None
        async with asyncio.timeout(self._frame_timeout_s):
            header = first + await reader.readexactly(_HEADER.size - 1)
            transaction, protocol, length, unit = _HEADER.unpack(header)
            if protocol != 0 or not 2 <= length <= MAX_PDU + 1:
                return None
            return transaction, unit, await reader.readexactly(length - 1)

    async def _handle(
        self, transaction: int, unit: int, request: bytes, peer: Peer, writer: asyncio.StreamWriter
    ) -> None:
        reply: bytes | None = self._answer(unit, request, peer)
        if self._disturb is not None and reply is not None:
            reply = await self._disturb(unit, request, reply)
        self.requests += 1
        if reply is not None:
            writer.write(_HEADER.pack(transaction, 0, len(reply) + 1, unit) + reply)
            await writer.drain()

    def _answer(self, unit: int, request: bytes, peer: Peer) -> bytes:
        is_write = request[0] in WRITES
        store = self._units.get(unit)
        if is_write and peer.is_secure and peer.role not in self._writers:
            reply = refused(request[0], Code.ILLEGAL_FUNCTION)
        elif store is None:
            reply = refused(request[0], Code.NO_GATEWAY_TARGET)
        else:
            reply = answer(request, store)
        if is_write and self._audit is not None:
            code = reply[1] if reply[0] & _ERROR_BIT else 0
            self._audit(Audit(time_s=time.time(), peer=peer, unit=unit, request=request, code=code))
        return reply


def _peer(writer: asyncio.StreamWriter) -> Peer:
    name = writer.get_extra_info("peername") or ("?", 0)
    secured = writer.get_extra_info("ssl_object")
    certificate = secured.getpeercert(True) if secured is not None else None
    return Peer(
        address=f"{name[0]}:{name[1]}",
        role=role_of(certificate) if certificate else None,
        is_secure=secured is not None,
    )
