"""Modbus/TCP Security: certificates on both sides, roles, and what must not get through."""

import asyncio
import re
import shutil
import ssl
import struct
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from hardware_in_loop.errors import RigError
from hardware_in_loop.modbus.client import ExchangeError, Fault, ModbusClient
from hardware_in_loop.registers import Table
from hardware_in_loop.rig.certificates import client_context, role_of, server_context
from hardware_in_loop.rig.schema import Tcp, Tls
from tests.hil.certificates import Authority
from tests.hil.wire import adu, run, serving, talk

READ = bytes((3, 0, 0, 0, 1))


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    own, foreign = Authority(folder), Authority(folder, "foreign")
    for name, role in (("device", None), ("operator", "Operator"), ("viewer", "Viewer"), ("nobody", None)):
        own.issue(name, role)
    foreign.issue("stranger", "Operator")
    return folder


def server_tls(keys):
    return server_context(keys / "ca.pem", keys / "device.pem", keys / "device.key")


def transport(keys, port, name, ca="ca"):
    files = {"ca": keys / f"{ca}.pem", "certificate": keys / f"{name}.pem", "key": keys / f"{name}.key"}
    return Tls(type="tls", host="127.0.0.1", port=port, timeout_s=0.5, **files)


async def use(keys, port, name, ca="ca"):
    """Read, then write; what came of both."""
    client = ModbusClient(name, transport(keys, port, name, ca))
    outcomes = []
    try:
        await client.open()
        for step in (client.read(Table.HOLDING, 0, 2), client.write(Table.HOLDING, 1, (7,))):
            try:
                outcomes.append(await step)
            except ExchangeError as error:
                outcomes.append((error.fault, str(error)))
    except RigError as error:
        outcomes.append(str(error))
    finally:
        await client.close()
    return outcomes


def test_operator_reads_and_writes_others_only_read(keys):
    audited = []

    async def check():
        async with serving(tls=server_tls(keys), audit=audited.append) as server:
            assert await use(keys, server.port, "operator") == [(0, 0), None]
            for name in ("viewer", "nobody"):
                read, written = await use(keys, server.port, name)
                assert read == (0, 7)
                assert written == (Fault.EXCEPTION, f"{name}: exception 1 (illegal function, or the role may not)")

    run(check())
    assert [(a.peer.role, a.peer.is_secure, a.code) for a in audited] == [
        ("Operator", True, 0),
        ("Viewer", True, 1),
        (None, True, 1),
    ]


def test_certificate_of_a_foreign_authority_gets_nothing(keys):
    async def check():
        async with serving(tls=server_tls(keys)) as server:
            outcomes = await use(keys, server.port, "stranger")
            assert all(isinstance(o, str) or o[0] is Fault.DISCONNECTED for o in outcomes)
            assert server.requests == 0

    run(check())


def test_device_of_a_foreign_authority_is_not_spoken_to(keys):
    async def check():
        async with serving(tls=server_tls(keys)) as server:
            (problem,) = await use(keys, server.port, "operator", ca="foreign")
            assert "cannot be reached" in problem
            assert server.requests == 0

    run(check())


def test_plain_tcp_is_refused_on_the_secure_port(keys):
    async def check():
        async with serving(tls=server_tls(keys)) as server:
            received = await talk(server.port, adu(READ))
            # A TLS alert at most, and no byte of Modbus.
            assert received in (b"", b"|closed") or received[0] == 0x15
            client = ModbusClient("plain", Tcp(type="tcp", host="127.0.0.1", port=server.port, timeout_s=0.3))
            await client.open()
            with pytest.raises(ExchangeError):
                await client.read(Table.HOLDING, 0, 1)
            await client.close()
            assert server.requests == 0

    run(check())


def test_client_without_certificate_gets_nothing(keys):
    async def check():
        async with serving(tls=server_tls(keys)) as server:
            context = ssl.create_default_context(cafile=keys / "ca.pem")
            context.check_hostname = False
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=context)
            try:
                writer.write(adu(READ))
                assert await reader.read(100) == b""
            except (ssl.SSLError, ConnectionError):
                pass
            finally:
                writer.transport.abort()
                await asyncio.sleep(0.05)
            assert server.requests == 0

    run(check())


def test_old_versions_of_tls_are_refused(keys):
    async def check():
        async with serving(tls=server_tls(keys)) as server:
            context = client_context(transport(keys, server.port, "operator"), lambda path: path)
            context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
            context.maximum_version = ssl.TLSVersion.TLSv1_1
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await asyncio.open_connection("127.0.0.1", server.port, ssl=context)

    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        run(check())


def test_request_and_reply_split_over_records_are_put_together(keys):
    async def check():
        async with serving(tls=server_tls(keys)) as server:
            context = client_context(transport(keys, server.port, "operator"), lambda path: path)
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=context)
            request = adu(READ)
            for part in (request[:5], request[5:]):
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0.05)
            assert await reader.readexactly(11) == adu(bytes((3, 2, 0, 0)))
            writer.close()

    run(check())


def test_client_puts_a_reply_in_two_records_together(keys):
    async def check():
        async def serve(reader, writer):
            request = await reader.read(100)
            reply = struct.pack(">HHHB", *struct.unpack(">H", request[:2]), 0, 5, 1) + bytes((3, 2, 0, 9))
            for part in (reply[:4], reply[4:]):
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0.05)
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server_tls(keys))
        client = ModbusClient("operator", transport(keys, server.sockets[0].getsockname()[1], "operator"))
        await client.open()
        assert await client.read(Table.HOLDING, 0, 1) == (9,)
        await client.close()
        server.close()

    run(check())


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is missing; install it from the distribution")
def test_certificates_of_openssl_as_in_the_documentation(tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "hil" / "emulator.md").read_text(encoding="utf-8")
    (commands,) = re.findall(r"```\n(openssl req -x509.*?)```", page, re.DOTALL)
    subprocess.run(["sh", "-e", "-c", commands], cwd=tmp_path, check=True, capture_output=True, timeout=20)
    certificate = x509.load_pem_x509_certificate((tmp_path / "operator.pem").read_bytes())
    assert role_of(certificate.public_bytes(serialization.Encoding.DER)) == "Operator"

    async def check():
        tls = server_context(*(tmp_path / n for n in ("ca.pem", "operator.pem", "operator.key")))
        async with serving(tls=tls) as server:
            assert await use(tmp_path, server.port, "operator") == [(0, 0), None]

    run(check())
