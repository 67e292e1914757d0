"""Help for tests on the wire: bytes over a bare socket, peers that misbehave, devices of few registers."""

import asyncio
import struct
from contextlib import asynccontextmanager

from hardware_in_loop.modbus.point_store import PointStore
from hardware_in_loop.modbus.server import ModbusServer
from hardware_in_loop.registers import Point

LIMIT_S = 60.0
"""No test on the wire takes longer."""


def run(coroutine):
    """Run a test's coroutine, within the limit."""
    return asyncio.run(asyncio.wait_for(coroutine, LIMIT_S))


def adu(pdu: bytes, transaction: int = 1, unit: int = 1, protocol: int = 0) -> bytes:
    """A request with its header."""
    return struct.pack(">HHHB", transaction, protocol, len(pdu) + 1, unit) + pdu


def store(**settings) -> PointStore:
    """A device with a measurement, a set-point, a float and a coil."""
    points = [
        Point(name="p", address=0, type="int16", scale=1.0, unit="W", sign="grid"),
        Point(name="set", address=1, type="int16", scale=0.1, access="rw", min=-100.0, max=100.0),
        Point(name="ramp", address=2, type="float32", access="rw", min=0.0, max=10.0),
        Point(name="on", address=5, table="coil", access="rw"),
        Point(name="far", address=100, type="uint16", scale=1.0),
    ]
    return PointStore(points, identity={0: "maker", 1: "code", 2: "1.0"}, **settings)


@asynccontextmanager
async def serving(units=None, **settings):
    """A server on loopback."""
    server = ModbusServer({1: store()} if units is None else units, **settings)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def talk(port: int, data: bytes, pieces: int = 1, wait_s: float = 0.3) -> bytes:
    """Send bytes, in pieces, and read until the other end closes or is silent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    size = max(1, -(-len(data) // pieces))
    for i in range(0, len(data), size):
        writer.write(data[i : i + size])
        await writer.drain()
        await asyncio.sleep(0.01 if pieces > 1 else 0)
    received = b""
    try:
        async with asyncio.timeout(wait_s):
            while chunk := await reader.read(4096):
                received += chunk
            received += b"|closed"
    except (TimeoutError, ConnectionResetError):
        pass
    writer.transport.abort()
    return received


@asynccontextmanager
async def peer(answer):
    """A server that sends `answer(request)` for every request: bytes, or None for nothing."""
    tasks = set()

    async def serve(reader, writer):
        tasks.add(asyncio.current_task())
        try:
            while request := await reader.read(1024):
                reply = answer(request)
                if asyncio.iscoroutine(reply):
                    reply = await reply
                if reply is not None:
                    writer.write(reply)
                    await writer.drain()
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
