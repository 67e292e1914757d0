"""The client: replies that are not exactly what was asked for are counted and never used."""

import asyncio
import struct
import time

import pytest

from hardware_in_loop.errors import RigError
from hardware_in_loop.modbus.client import ExchangeError, Fault, ModbusClient
from hardware_in_loop.registers import Table
from hardware_in_loop.rig.schema import Tcp
from tests.hil.wire import peer, run, serving

WORDS = (0x1234, 0x5678)
DATA = struct.pack(">2H", *WORDS)


def transport(port, timeout_s=0.15):
    return Tcp(type="tcp", host="127.0.0.1", port=port, timeout_s=timeout_s)


def reply(request, pdu, transaction=None, unit=1, protocol=0, length=None):
    own = struct.unpack(">H", request[:2])[0] if transaction is None else transaction
    return struct.pack(">HHHB", own, protocol, len(pdu) + 1 if length is None else length, unit) + pdu


GOOD = bytes((3, 4)) + DATA
BAD = {
    "silence": (lambda q: None, Fault.TIMEOUT),
    "transaction 0": (lambda q: reply(q, GOOD, transaction=0), Fault.MALFORMED),
    "other transaction": (lambda q: reply(q, GOOD, transaction=777), Fault.MALFORMED),
    "other protocol": (lambda q: reply(q, GOOD, protocol=1), Fault.MALFORMED),
    "other unit": (lambda q: reply(q, GOOD, unit=2), Fault.MALFORMED),
    "other function": (lambda q: reply(q, bytes((4, 4)) + DATA), Fault.MALFORMED),
    "one register": (lambda q: reply(q, bytes((3, 2)) + DATA[:2]), Fault.MALFORMED),
    "three registers": (lambda q: reply(q, bytes((3, 6)) + DATA + DATA[:2]), Fault.MALFORMED),
    "wrong byte count": (lambda q: reply(q, bytes((3, 2)) + DATA), Fault.MALFORMED),
    "two replies": (lambda q: reply(q, GOOD) * 2, Fault.MALFORMED),
    "long length": (lambda q: reply(q, GOOD, length=9000), Fault.MALFORMED),
    "half a reply": (lambda q: reply(q, GOOD)[:9], Fault.TIMEOUT),
    "exception": (lambda q: reply(q, bytes((0x83, 2))), Fault.EXCEPTION),
    "exception of another function": (lambda q: reply(q, bytes((0x84, 2))), Fault.MALFORMED),
    "exception 200": (lambda q: reply(q, bytes((0x83, 200))), Fault.MALFORMED),
}


async def connected(port, **settings):
    client = ModbusClient("device 'x'", transport(port, **settings))
    await client.open()
    return client


def test_late_word_of_an_old_connection_does_not_stop_the_loop():
    async def check():
        async with serving() as server:
            client = await connected(server.port)
            try:
                # As when the connection before is reported lost after the new one is up.
                client._trace_connect(False)
                await asyncio.wait_for(asyncio.sleep(0.05), 1.0)
                assert not client._lost.is_set()
                assert client.is_connected
                assert client.connections == 1
            finally:
                await client.close()

    run(check())


@pytest.mark.parametrize(("answer", "fault"), BAD.values(), ids=BAD)
def test_wrong_replies_are_faults_and_no_data(answer, fault):
    async def check():
        async with peer(answer) as port:
            client = await connected(port)
            try:
                with pytest.raises(ExchangeError) as error:
                    await client.read(Table.HOLDING, 0, 2)
                assert error.value.fault is fault
                assert client.faults == {fault: 1}
                assert str(error.value).startswith("device 'x': ")
            finally:
                await client.close()

    run(check())


def test_good_replies_are_data():
    async def check():
        async with peer(lambda q: reply(q, GOOD)) as port:
            client = await connected(port)
            assert await client.read(Table.HOLDING, 0, 2) == WORDS
            await client.close()

    run(check())


def test_reply_in_pieces_is_put_together():
    async def check():
        async with serving() as server:
            client = await connected(server.port)
            await client.write(Table.HOLDING, 1, (100,))
            assert await client.read(Table.HOLDING, 0, 4) == (0, 100, 0, 0)
            await client.write(Table.COIL, 5, (1,))
            assert await client.read(Table.COIL, 5, 1) == (1,)
            await client.close()

    run(check())


@pytest.mark.parametrize("pdu", ["10 0001 0002", "10 0002 0001", "06 0001 0064"])
def test_acknowledgement_of_something_else_is_no_success(pdu):
    async def check():
        async with peer(lambda q: reply(q, bytes.fromhex(pdu))) as port:
            client = await connected(port)
            with pytest.raises(ExchangeError) as error:
                await client.write(Table.HOLDING, 1, (100,))
            assert error.value.fault is Fault.MALFORMED
            await client.close()

    run(check())


def test_late_reply_is_not_taken_for_the_next():
    values = iter(range(10))

    async def answer(request):
        n = next(values)
        if n == 0:
            await asyncio.sleep(0.25)
        return reply(request, bytes((3, 2)) + struct.pack(">H", n))

    async def check():
        async with peer(answer) as port:
            client = await connected(port)
            with pytest.raises(ExchangeError, match=r"no answer within 0\.15 s"):
                await client.read(Table.HOLDING, 0, 1)
            assert await client.read(Table.HOLDING, 0, 1) == (1,)
            await client.close()

    run(check())


def test_silent_device_costs_the_deadline_and_no_more_then_it_is_connected_anew():
    async def check():
        seen = []
        async with peer(lambda q: seen.append(q)) as port:
            client = await connected(port)
            for _ in range(2):
                start = time.monotonic()
                with pytest.raises(ExchangeError):
                    await client.read(Table.HOLDING, 0, 1)
                assert time.monotonic() - start < 0.4
            assert not client.is_connected
            with pytest.raises(ExchangeError, match="not connected") as error:
                await client.read(Table.HOLDING, 0, 1)
            assert error.value.fault is Fault.DISCONNECTED
            await asyncio.sleep(0.2)
            assert client.is_connected
            # Nothing was sent again by itself.
            assert len(seen) == 2
            await client.close()

    run(check())


def test_shorter_deadline_of_a_cycle_holds():
    async def check():
        async with peer(lambda q: None) as port:
            client = await connected(port)
            start = time.monotonic()
            with pytest.raises(ExchangeError, match=r"no answer within 0.03 s"):
                await client.read(Table.HOLDING, 0, 1, timeout_s=0.03)
            assert time.monotonic() - start < 0.13
            with pytest.raises(ExchangeError, match="no time left in this cycle"):
                await client.read(Table.HOLDING, 0, 1, timeout_s=-1.0)
            await client.close()

    run(check())


def test_device_that_goes_away_and_comes_back_is_found_again():
    async def check():
        async with serving() as server:
            client = await connected(server.port)
            port = server.port
            server.drop_connections()
            await asyncio.sleep(0.02)
            assert not client.is_connected
            await asyncio.sleep(0.3)
            assert await client.read(Table.HOLDING, 0, 1) == (0,)
            assert client.connections == 2
            await server.stop()
            with pytest.raises(ExchangeError):
                await client.read(Table.HOLDING, 0, 1)
        async with serving(port=port):
            await asyncio.sleep(2.2)
            assert await client.read(Table.HOLDING, 0, 1) == (0,)
            await client.close()

    run(check())


def test_unreachable_device_is_one_line():
    async def check():
        async with serving() as server:
            port = server.port
        client = ModbusClient("device 'x'", transport(port))
        with pytest.raises(
            RigError, match=rf"device 'x': 127.0.0.1:{port} cannot be reached \(refused, or no such host\)"
        ):
            await client.open()

    run(check())
