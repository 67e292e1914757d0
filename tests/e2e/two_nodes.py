"""A Ray cluster of two nodes on one machine, and a command beside it: `two_nodes.py FOLDER COMMAND...`.

Meant for a network namespace of its own (`unshare --map-root-user --net`), in which nothing but loopback exists: a Ray
that others join listens to all networks. Ends with the command's exit code; ends all processes that it started.
"""

import fcntl
import os
import secrets
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from gridenv.adapters.ray_local import quiet_environment

HEAD, NODE, PORT = "127.0.0.2", "127.0.0.3", 6379
_START_S = 180.0
_SET_FLAGS, _UP_AND_RUNNING = 0x8914, 0x41


def bring_loopback_up() -> None:
    """In a new namespace it is there, but down."""
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sh14x", b"lo", _UP_AND_RUNNING))


@contextmanager
def ray_node(log: Path, environment: dict[str, str], *arguments: str) -> Iterator[None]:
    """A node of a cluster, which ends with this context."""
    program = str(Path(sys.executable).parent / "ray")
    size = ("--num-cpus=1", f"--object-store-memory={80 * 1024**2}")
    with log.open("w") as file:
        process = subprocess.Popen(
            [program, "start", "--block", *size, *arguments], env=environment, stdout=file, stderr=file, cwd=log.parent
        )
        try:
            deadline = time.monotonic() + _START_S
            while "Ray runtime started" not in log.read_text():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(log.read_text())
                time.sleep(0.2)
            yield
        finally:
            # It ends the processes that it started.
            process.terminate()
            process.wait(60.0)


def main(folder: Path, command: list[str]) -> int:
    """Exit code of the command, run with both nodes up."""
    bring_loopback_up()
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    silent = {**os.environ, **quiet_environment(folder / "home"), **token}
    head = ("--head", f"--node-ip-address={HEAD}", f"--port={PORT}", "--include-dashboard=false")
    node = (f"--address={HEAD}:{PORT}", f"--node-ip-address={NODE}")
    with ExitStack() as cluster:
        cluster.enter_context(ray_node(folder / "head.log", silent, *head))
        cluster.enter_context(ray_node(folder / "node.log", silent, *node))
        return subprocess.run([*command, f"ray.address={HEAD}:{PORT}"], env={**os.environ, **token}).returncode


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
