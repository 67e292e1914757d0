"""The control port of the virtual rig, on loopback: one JSON object a line asks, one answers.

{"ask": "status"}
{"ask": "fault", "device": "pv_10", "kind": "latency", "seconds": 2}
{"ask": "clear"}                                    all devices; or "device", "kind"
{"ask": "set", "device": "scada", "point": "operator_stop", "value": 1}
{"ask": "restart", "day": 60, "hour": 16}
{"ask": "stop"}
"""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from gridenv.core.errors import GridEnvError
from hardware_in_loop.errors import RigError
from hardware_in_loop.virtual_rig.emulator import Emulator
from hardware_in_loop.virtual_rig.faults import fault_of

HOST = "127.0.0.1"
_LINE_LIMIT = 1 << 16
_TIMEOUT_S = 5.0


class ControlPort:
    """Takes requests for an emulator."""

    def __init__(self, emulator: Emulator, port: int, stop: asyncio.Event) -> None:
        self._emulator, self._port, self._stop = emulator, port, stop
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """Port that it listens on, once started."""
        return self._port

    async def start(self) -> None:
        """Listen.

        Raises:
            RigError: if the port is taken.
        """
        try:
            self._server = await asyncio.start_server(self._serve, HOST, self._port, limit=_LINE_LIMIT)
        except OSError as error:
            raise RigError(f"control port {self._port} cannot be used ({error.strerror}); free it") from error
        self._port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(json.dumps(await self._answer(line)).encode() + b"\n")
                await writer.drain()
        except (OSError, ValueError):
            pass  # the peer went away, or sent a line without end
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
            if not isinstance(request, dict):
                raise RigError("request is no JSON object; see docs/hil/emulator.md")
            return {"ok": True, **await self._do(request)}
        except (GridEnvError, ValueError, KeyError, TypeError) as error:
            return {"ok": False, "error": f"lacks {error}" if isinstance(error, KeyError) else str(error)}

    async def _do(self, request: Mapping[str, Any]) -> dict[str, Any]:
        emulator, ask = self._emulator, request["ask"]
        rest = {k: v for k, v in request.items() if k not in ("ask", "device")}
        if ask == "status":
            return emulator.status()
        if ask == "history":
            return {"steps": [vars(step) for step in emulator.history]}
        if ask == "fault":
            name = emulator.device(request["device"]).name
            await emulator.faults[name].begin(fault_of(rest), emulator.servers[name], emulator.now_s)
        elif ask == "clear":
            names = [emulator.device(request["device"]).name] if "device" in request else list(emulator.devices)
            for name in names:
                emulator.faults[name].end(request.get("kind"))
        elif ask == "set":
            store = emulator.device(request["device"]).store
            if request["point"] not in store.points:
                raise RigError(f"device '{request['device']}' has no point '{request['point']}'")
            store.set(request["point"], float(request["value"]))
        elif ask == "restart":
            emulator.restart(int(request.get("day", 0)), float(request.get("hour", 0.0)))
        elif ask == "stop":
            self._stop.set()
        else:
            raise RigError(f"unknown request '{ask}'; allowed: status, history, fault, clear, set, restart, stop")
        return {}


async def ask(port: int, request: Mapping[str, Any]) -> dict[str, Any]:
    """Ask a virtual rig on this machine.

    Raises:
        RigError: if it does not answer, or says that the request is wrong.
    """
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(HOST, port, limit=1 << 24)
            writer.write(json.dumps(request).encode() + b"\n")
            line = await reader.readline()
            writer.close()
    except (OSError, TimeoutError) as error:
        raise RigError(f"virtual rig: control port {port} does not answer ({error}); start it first") from error
    answer: dict[str, Any] = json.loads(line)
    if not answer.pop("ok"):
        raise RigError(f"virtual rig: {answer['error']}")
    return answer
