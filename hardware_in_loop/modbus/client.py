"""A Modbus client that trusts no reply. pymodbus carries the bytes.

pymodbus 3.16 accepts replies of transaction 0, of another function and of another length as data, waits 12 s for a
silent device and goes on trying a request by itself. So every byte that arrives is looked at first, every request has
a deadline of its own and is sent once, and a connection that misbehaves is given up.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

from hardware_in_loop.errors import RigError
from hardware_in_loop.modbus.library import library
from hardware_in_loop.modbus.replies import RtuWatch, TcpWatch
from hardware_in_loop.registers.points import Table
from hardware_in_loop.rig.certificates import client_context
from hardware_in_loop.rig.schema import Rtu, Tcp, Tls

FIRST_DELAY_S, LAST_DELAY_S = 0.05, 2.0
"""Between two attempts to connect; doubles from one to the next."""
CONNECT_TIMEOUT_S = 2.0
SILENCES = 2
SILENT_S, SILENT_TIMEOUTS = 0.2, 1.5
"""A connection counts as half open, and is given up, after so many unanswered requests in a row over at least so long,
and so many times the transport's timeout. Cycles may leave less time than that to single requests."""
_EXCEPTIONS = {
    1: "illegal function, or the role may not",
    2: "illegal address",
    3: "illegal value",
    4: "device failure",
    5: "acknowledge",
    6: "busy",
    8: "memory parity",
    10: "gateway path unavailable",
    11: "no such unit, or it does not answer",
}


class Fault(StrEnum):
    """What can go wrong with an exchange."""

    DISCONNECTED = "disconnected"
    TIMEOUT = "timeout"
    EXCEPTION = "exception"
    MALFORMED = "malformed"


class ExchangeError(RigError):
    """An exchange with a device that gave nothing that may be used."""

    def __init__(self, fault: Fault, text: str) -> None:
        super().__init__(text)
        self.fault = fault


class ModbusClient:
    """One device. Requests go one at a time; none is ever sent twice, not even after connecting again."""

    def __init__(
        self, label: str, transport: Tcp | Tls | Rtu, beside: Callable[[Path], Path] = lambda path: path
    ) -> None:
        """Prepare a client.

        Args:
            label: begins messages, such as `device 'pv_10'`.
            transport: of the rig file.
            beside: where relative paths of the transport are.

        Raises:
            MissingExtraError: if pymodbus is not installed.
        """
        self.label, self._transport, self._beside = label, transport, beside
        self._library = library()
        self._client: Any = None
        self._watch: TcpWatch | RtuWatch = TcpWatch()
        self._violation: asyncio.Future[tuple[Fault, str]] | None = None
        self._lock = asyncio.Lock()
        self._keeper: asyncio.Task[None] | None = None
        self._lost = asyncio.Event()
        self._why = "not yet connected"
        self._silences, self._silent_since_s = 0, 0.0
        self.faults: Counter[str] = Counter()
        """What went wrong so far, by `Fault`."""
        self.connections = 0
        """Times that a connection came about."""

    @property
    def is_connected(self) -> bool:
        """Whether requests can be sent."""
        return self._client is not None and self._client.connected

    @property
    def where(self) -> str:
        """Address for messages."""
        t = self._transport
        return t.serial_port if isinstance(t, Rtu) else f"{t.host}:{t.port}"

    async def open(self) -> None:
        """Connect, and from then on connect again whenever the connection is lost.

        Raises:
            RigError: if the device cannot be reached.
        """
        await self._connect()
        if not self.is_connected:
            raise RigError(
                f"{self.label}: {self.where} cannot be reached ({self._why}); check address, cable and power"
            )
        self._keeper = asyncio.create_task(self._keep())

    async def close(self) -> None:
        """Drop the connection."""
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
            self._keeper = None
        self._drop("closed")

    async def read(self, table: Table, address: int, count: int, timeout_s: float | None = None) -> tuple[int, ...]:
        """Registers or bits.

        Args:
            table: where they are.
            address: of the first.
            count: how many.
            timeout_s: None = that of the transport.

        Raises:
            ExchangeError: if the device did not give exactly these in time.
        """
        call = {
            Table.HOLDING: "read_holding_registers",
            Table.INPUT: "read_input_registers",
            Table.COIL: "read_coils",
            Table.DISCRETE: "read_discrete_inputs",
        }[table]
        reply = await self._exchange(lambda c: getattr(c, call)(address, count=count, device_id=self._unit), timeout_s)
        values = reply.bits[:count] if table.is_bits else reply.registers
        if len(values) != count:
            raise self._fault(Fault.MALFORMED, f"gave {len(values)} values for {count}")
        return tuple(int(v) for v in values)

    async def write(self, table: Table, address: int, values: Sequence[int], timeout_s: float | None = None) -> None:
        """Write registers or coils in one request.

        Raises:
            ExchangeError: if the device did not acknowledge exactly these in time.
        """
        if table is Table.COIL:
            bits = [bool(v) for v in values]
            await self._exchange(lambda c: c.write_coils(address, bits, device_id=self._unit), timeout_s)
        else:
            words = list(values)
            await self._exchange(lambda c: c.write_registers(address, words, device_id=self._unit), timeout_s)

    @property
    def _unit(self) -> int:
        return self._transport.unit

    async def _exchange(self, call: Callable[[Any], Awaitable[Any]], timeout_s: float | None) -> Any:
        limit_s = self._transport.timeout_s if timeout_s is None else timeout_s
        async with self._lock:
            if not self.is_connected:
                raise self._fault(Fault.DISCONNECTED, f"not connected ({self._why})")
            if limit_s <= 0.0:
                raise self._fault(Fault.TIMEOUT, "no time left in this cycle")
            start_s = time.monotonic()
            violation = self._violation = asyncio.get_running_loop().create_future()
            request = asyncio.ensure_future(call(self._client))
            try:
                await asyncio.wait({request, violation}, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
                return self._judged(request, violation, start_s, limit_s)
            finally:
                self._violation = None
                if not request.done():
                    self._watch.given_up()
                    request.cancel()
                    with contextlib.suppress(asyncio.CancelledError, Exception):
                        await request

    def _judged(
        self,
        request: "asyncio.Future[Any]",
        violation: "asyncio.Future[tuple[Fault, str]]",
        start_s: float,
        limit_s: float,
    ) -> Any:
        """The reply, if it may be used."""
        if violation.done():
            fault, text = violation.result()
            self._drop(text)
            raise self._fault(fault, text)
        if not request.done():
            self._silent_since_s = self._silent_since_s if self._silences else start_s
            self._silences += 1
            silent_s = time.monotonic() - self._silent_since_s
            is_long = silent_s >= max(SILENT_S, SILENT_TIMEOUTS * self._transport.timeout_s)
            # On a serial line a late reply could not be told from that to the next request.
            if (self._silences >= SILENCES and is_long) or isinstance(self._transport, Rtu):
                self._drop(f"silent for {silent_s:.1f} s")
            raise self._fault(Fault.TIMEOUT, f"no answer within {limit_s:g} s")
        error = request.exception()
        if error is not None:
            self._drop(str(error))
            raise self._fault(Fault.DISCONNECTED, f"connection lost ({error})")
        self._silences = 0
        reply = request.result()
        if reply.isError():
            code = reply.exception_code
            raise self._fault(Fault.EXCEPTION, f"exception {code} ({_EXCEPTIONS.get(code, 'unknown')})")
        return reply

    def _fault(self, fault: Fault, text: str) -> ExchangeError:
        self.faults[fault] += 1
        return ExchangeError(fault, f"{self.label}: {text}")

    def _drop(self, why: str) -> None:
        self._why, self._silences = why, 0
        client, self._client = self._client, None
        if client is not None:
            transport = client.ctx.transport
            client.close()
            abort = getattr(transport, "abort", None)
            if abort is not None:
                abort()
        self._lost.set()

    async def _keep(self) -> None:
        """Connect again, with pauses that grow."""
        while True:
            await self._lost.wait()
            # Also that of an old connection comes here, once the new one is up.
            self._lost.clear()
            delay_s = FIRST_DELAY_S
            while not self.is_connected:
                await asyncio.sleep(delay_s)
                delay_s = min(2.0 * delay_s, LAST_DELAY_S)
                await self._connect()

    async def _connect(self) -> None:
        client, is_up = None, False
        try:
            client = self._new_client()
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                is_up = await client.connect()
            if not is_up:
                self._why = "refused, or no such host"
        except Exception as error:  # pymodbus, ssl and pyserial share no base
            self._why = str(error) or type(error).__name__
        finally:
            if client is not None and not is_up:
                client.close()
        if is_up:
            self._client = client
            self.connections += 1

    def _new_client(self) -> Any:
        t = self._transport
        common: dict[str, Any] = {
            "timeout": CONNECT_TIMEOUT_S,
            "retries": 0,
            # It would connect again by itself, unseen; 0 switches that off.
            "reconnect_delay": 0,
            "trace_packet": self._trace,
            "trace_connect": self._trace_connect,
        }
        if isinstance(t, Rtu):
            self._watch = RtuWatch()
            return self._library.serial(
                t.serial_port, baudrate=t.baudrate, parity=t.parity, stopbits=t.stopbits, **common
            )
        self._watch = TcpWatch()
        if isinstance(t, Tls):
            name = t.server_name or t.host
            return self._library.tls(t.host, t.port, client_context(t, self._beside), name, common)
        return self._library.tcp(t.host, port=t.port, **common)

    def _trace(self, is_sent: bool, data: bytes) -> bytes:
        """Sees all bytes before pymodbus does; what cannot be trusted never reaches it."""
        if is_sent:
            self._watch.sent(data)
            return data
        problem = self._watch.received(data)
        if not problem:
            return data
        if self._violation is None:
            self.faults[Fault.MALFORMED] += 1
            self._drop(problem)
        elif not self._violation.done():
            self._violation.set_result((Fault.MALFORMED, problem))
        return b""

    def _trace_connect(self, is_up: bool) -> None:
        if not is_up:
            self._why = "the device closed the connection"
            if self._violation is not None and not self._violation.done():
                self._violation.set_result((Fault.DISCONNECTED, self._why))
            self._lost.set()
