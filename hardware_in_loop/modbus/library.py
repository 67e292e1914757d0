"""pymodbus, which carries the bytes of clients; it is imported in this file only."""

import logging
from functools import partial
from typing import Any

from gridenv.core.errors import MissingExtraError


class Library:
    """What is used of pymodbus."""

    def __init__(self) -> None:
        from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
        from pymodbus.framer import FramerType
        from pymodbus.transport import CommParams, CommType

        # It says on standard error what is counted and told here.
        logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL + 1)
        self.tcp, self.serial = AsyncModbusTcpClient, AsyncModbusSerialClient

        class TlsClient(AsyncModbusTcpClient):
            """Frames over TLS as over TCP; pymodbus's own loses what comes in two records."""

            def __init__(self, host: str, port: int, context: Any, name: str, common: dict[str, Any]) -> None:
                self.comm_params = CommParams(
                    comm_type=CommType.TLS,
                    host=host,
                    port=port,
                    sslctx=context,
                    comm_name="tls",
                    reconnect_delay=0,
                    timeout_connect=common["timeout"],
                )
                super().__init__(host, framer=FramerType.SOCKET, **common)
                self.ctx.call_create = partial(self.ctx.call_create, server_hostname=name)  # type: ignore[call-arg]

        self.tls = TlsClient


def library() -> Library:
    """The library.

    Raises:
        MissingExtraError: if it is not installed.
    """
    try:
        return Library()
    except ImportError as error:
        raise MissingExtraError(
            "package 'pymodbus' is not installed; install it with pip install \"gridenv[hil]\""
        ) from error
