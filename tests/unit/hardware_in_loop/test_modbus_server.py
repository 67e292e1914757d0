"""The server, byte by byte: what the specification demands."""

import struct

import pytest

from hardware_in_loop.modbus.protocol import Code, Refusal, answer
from hardware_in_loop.registers import Table
from tests.hil.wire import adu, run, serving, store, talk

READ = bytes((3, 0, 0, 0, 1))
CASES = {
    "holding": ("03 0000 0002", "03 04 0000 0000"),
    "hole": ("03 0004 0001", "83 02"),
    "across a hole": ("03 0000 0010", "83 02"),
    "none": ("03 0000 0000", "83 03"),
    "too many": ("03 0000 007E", "83 03"),
    "beyond the end": ("03 FFFF 0002", "83 02"),
    "short": ("03 0000 00", "83 03"),
    "long": ("03 0000 0001 00", "83 03"),
    "coil": ("01 0005 0001", "01 01 00"),
    "inputs that are not there": ("04 0000 0001", "84 02"),
    "unknown function": ("55", "D5 01"),
    "single": ("06 0001 0064", "06 0001 0064"),
    "read only": ("06 0000 0064", "86 02"),
    "beyond the limits": ("06 0001 03E9", "86 03"),
    "half of a float": ("06 0002 4120", "86 02"),
    "float": ("10 0002 0002 04 4120 0000", "10 0002 0002"),
    "NaN": ("10 0002 0002 04 7FC0 0000", "90 03"),
    "count and bytes differ": ("10 0002 0002 02 4120", "90 03"),
    "bytes and data differ": ("10 0002 0002 04 4120 00", "90 03"),
    "coil on": ("05 0005 FF00", "05 0005 FF00"),
    "coil neither on nor off": ("05 0005 0001", "85 03"),
    "coils": ("0F 0005 0001 01 01", "0F 0005 0001"),
    "mask": ("16 0001 00F2 0025", "16 0001 00F2 0025"),
    "write and read": ("17 0000 0002 0001 0001 02 0007", "17 04 0000 0007"),
    "write and read of a hole": ("17 0004 0001 0001 0001 02 0007", "97 02"),
    "identity": ("2B 0E 01 00", "2B 0E 01 83 00 00 03 00 05 6D616B6572 01 04 636F6465 02 03 312E30"),
    "one object": ("2B 0E 04 01", "2B 0E 04 83 00 00 01 01 04 636F6465"),
    "object that is not there": ("2B 0E 04 77", "AB 02"),
    "other encapsulated": ("2B 0D 00 00", "AB 01"),
}


@pytest.mark.parametrize(("request_", "expected"), CASES.values(), ids=CASES)
def test_answers_are_those_of_the_specification(request_, expected):
    assert answer(bytes.fromhex(request_), store()).hex(" ") == bytes.fromhex(expected).hex(" ")


def test_mask_write_follows_its_formula():
    units = store()
    units.set_words("set", (0x0012,))
    answer(bytes.fromhex("16 0001 00F2 0025"), units)
    # Source: the specification's own example, clause 6.16: 0x12 masked by F2 and 25 gives 0x17.
    assert units.words("set") == (0x0017,)


def test_nothing_of_a_refused_write_is_taken():
    units = store()
    assert answer(bytes.fromhex("10 0001 0003 06 0005 7FC0 0000"), units) == bytes((0x90, 3))
    assert units.words("set") == (0,)
    assert answer(bytes.fromhex("17 0004 0001 0001 0001 02 0007"), units) == bytes((0x97, 2))
    assert units.words("set") == (0,)


def test_device_may_refuse_by_itself():
    units = store()

    def refuse(values):
        raise Refusal(Code.BUSY)

    units.on_write = refuse
    assert answer(bytes.fromhex("06 0001 0064"), units) == bytes((0x86, 6))
    assert units.words("set") == (0,)


def transactions(data):
    found = []
    while data and not data.startswith(b"|"):
        length = struct.unpack(">H", data[4:6])[0]
        found.append(struct.unpack(">H", data[:2])[0])
        data = data[6 + length :]
    return found


@pytest.mark.parametrize("n", [2, 3, 16])
@pytest.mark.parametrize("pieces", [1, 7])
def test_every_pipelined_request_is_answered_in_order(n, pieces):
    async def check():
        async with serving() as server:
            data = b"".join(adu(READ, transaction=i + 1) for i in range(n))
            assert transactions(await talk(server.port, data, pieces)) == list(range(1, n + 1))

    run(check())


@pytest.mark.parametrize(
    "junk",
    [adu(READ, protocol=7), struct.pack(">HHHB", 1, 0, 1, 1), struct.pack(">HHHB", 1, 0, 300, 1) + READ, b"\xff" * 20],
    ids=["protocol", "length 1", "length 300", "junk"],
)
def test_wrong_framing_closes_the_connection_without_an_answer(junk):
    async def check():
        async with serving() as server:
            assert await talk(server.port, junk + adu(READ)) in (b"", b"|closed")
            assert server.requests == 0

    run(check())


def test_request_that_does_not_go_on_is_given_up():
    async def check():
        async with serving(frame_timeout_s=0.1) as server:
            assert await talk(server.port, adu(READ)[:5], wait_s=1.0) == b"|closed"

    run(check())


def test_unknown_unit_is_a_gateway_without_target():
    async def check():
        async with serving() as server:
            assert await talk(server.port, adu(READ, unit=9)) == adu(bytes((0x83, 0x0B)), unit=9)

    run(check())


def test_writes_are_audited_with_peer_and_outcome():
    seen = []

    async def check():
        async with serving(audit=seen.append) as server:
            await talk(server.port, adu(bytes.fromhex("06 0001 0064")) + adu(bytes.fromhex("06 0000 0064")) + adu(READ))

    run(check())
    assert [(a.unit, a.request.hex(), a.code) for a in seen] == [(1, "0600010064", 0), (1, "0600000064", 2)]
    assert seen[0].peer.address.startswith("127.0.0.1:")
    assert not seen[0].peer.is_secure


def test_connections_beyond_the_limit_are_closed():
    import asyncio

    async def check():
        async with serving(max_connections=2) as server:
            held = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(2)]
            await asyncio.sleep(0.05)
            assert await talk(server.port, adu(READ)) in (b"", b"|closed")
            for _, writer in held:
                writer.close()
            await asyncio.sleep(0.05)
            assert transactions(await talk(server.port, adu(READ))) == [1]

    run(check())


def test_points_that_can_only_be_written_are_not_read():
    from hardware_in_loop.modbus.point_store import PointStore
    from hardware_in_loop.registers import Point

    units = PointStore([Point(name="w", address=0, type="uint16", scale=1.0, access="w", min=0, max=9)])
    with pytest.raises(Refusal):
        units.read(Table.HOLDING, 0, 1)
    assert answer(bytes.fromhex("06 0000 0005"), units) == bytes.fromhex("06 0000 0005")
