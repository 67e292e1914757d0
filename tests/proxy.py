"""A proxy on loopback that writes down what it is asked for, to see whether a program asks for anything."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


@contextmanager
def recording_proxy() -> Iterator[tuple[list[str], dict[str, str]]]:
    """Addresses that were asked for, and the environment that tells processes to use the proxy."""
    urls: list[str] = []

    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self):
            urls.append(self.path)
            self.send_error(404)

        do_CONNECT = do_PUT = do_POST = do_GET  # noqa: N815

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    Thread(target=server.serve_forever, daemon=True).start()
    proxy = f"http://127.0.0.1:{server.server_port}"
    try:
        yield urls, {"http_proxy": proxy, "https_proxy": proxy, "no_proxy": "127.0.0.1,localhost"}
    finally:
        server.shutdown()
        server.server_close()
