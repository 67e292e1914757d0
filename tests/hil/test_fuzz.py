"""Replies that are broken at random: the client never crashes, and uses none that is not exactly what it asked for."""

import asyncio
import random
import struct

import pytest

from hardware_in_loop.modbus import client as client_module
from hardware_in_loop.modbus.client import ExchangeError, ModbusClient
from hardware_in_loop.modbus.protocol import answer
from hardware_in_loop.registers import Table
from hardware_in_loop.rig.schema import Tcp
from tests.hil.wire import adu, peer, serving, store, talk


def mutated(rng, frame):
    """A reply with one to three things wrong with it, or by chance with nothing."""
    data = bytearray(frame)
    for _ in range(rng.choice((1, 1, 2, 3))):
        kind = rng.randrange(8)
        if kind == 0 and data:
            data[rng.randrange(len(data))] = rng.randrange(256)
        elif kind == 1:
            del data[rng.randrange(len(data) + 1) :]
        elif kind == 2:
            data += rng.randbytes(rng.randrange(1, 30))
        elif kind == 3:
            data = bytearray(rng.randbytes(rng.randrange(0, 300)))
        elif kind == 4 and len(data) >= 8:
            data[7] |= 0x80
        elif kind == 5 and len(data) >= 6:
            data[4:6] = struct.pack(">H", rng.randrange(70))
        elif kind == 6 and len(data) >= 2:
            data[0:2] = struct.pack(">H", rng.choice((0, 1, 65535)))
        elif kind == 7:
            data *= 2
    return bytes(data)


def usable(request, sent):
    """The two registers, where the bytes sent are one whole right answer and nothing else, save late ones before it."""
    transaction, unit = request[:2], request[6:7]
    while len(sent) > 13 and sent[2:4] == b"\0\0" and sent[:2] < transaction:
        sent = sent[6 + struct.unpack(">H", sent[4:6])[0] :]
    right = transaction + b"\0\0\0\x07" + unit + b"\x03\x04"
    return struct.unpack(">2H", sent[9:]) if len(sent) == 13 and sent.startswith(right) else None


async def fuzz(seed, n):
    rng = random.Random(seed)
    last = {"sent": b"", "request": b""}

    def reply(request):
        good = request[:2] + b"\0\0\0\x07" + request[6:7] + b"\x03\x04" + rng.randbytes(4)
        last["request"], last["sent"] = request, mutated(rng, good)
        return last["sent"]

    used = refused = 0
    async with peer(reply) as port:
        client = ModbusClient("fuzzed", Tcp(type="tcp", host="127.0.0.1", port=port, timeout_s=0.02))
        await client.open()
        while used + refused < n:
            if not client.is_connected:
                await asyncio.sleep(0.001)
                continue
            try:
                values = await client.read(Table.HOLDING, 0, 2)
            except ExchangeError:
                refused += 1
            else:
                assert values == usable(last["request"], last["sent"])
                used += 1
        assert sum(client.faults.values()) >= refused
        await client.close()
    # Some mutations touch the data alone, which no client can tell.
    assert 0 < used < 0.2 * n


def test_some_hundred_broken_replies(monkeypatch):
    monkeypatch.setattr(client_module, "FIRST_DELAY_S", 0.0)
    asyncio.run(asyncio.wait_for(fuzz(1, 400), 60.0))


@pytest.mark.slow
def test_ten_thousand_broken_replies(monkeypatch):
    monkeypatch.setattr(client_module, "FIRST_DELAY_S", 0.0)
    asyncio.run(asyncio.wait_for(fuzz(2, 10_000), 600.0))


def test_ten_thousand_broken_requests_are_answered_or_refused_as_specified():
    rng = random.Random(3)
    units = store()
    seeds = [
        bytes.fromhex(text) for text in ("030000 0002", "100002 0002 04 41200000", "170000 0002 0001 0001 02 0007")
    ]
    for _ in range(10_000):
        request = mutated(rng, rng.choice(seeds)) or b"\x03"
        reply = answer(request[:253], units)
        assert 1 < len(reply) <= 253
        assert reply[0] == request[0] & 0x7F | (reply[0] & 0x80)
        if reply[0] & 0x80:
            assert len(reply) == 2
            assert reply[1] in (1, 2, 3)


def test_server_survives_broken_connections():
    async def check():
        rng = random.Random(4)
        async with serving() as server:
            for _ in range(60):
                await talk(server.port, mutated(rng, adu(bytes((3, 0, 0, 0, 1)))), wait_s=0.01)
            assert await talk(server.port, adu(bytes((3, 0, 0, 0, 1)))) == adu(bytes((3, 2, 0, 0)))

    asyncio.run(asyncio.wait_for(check(), 60.0))
