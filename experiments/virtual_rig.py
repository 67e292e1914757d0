"""The virtual rig as a process of its own, which never outlives what it was started for."""

import contextlib
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from types import FrameType

from experiments import console
from hardware_in_loop.errors import RigError

READY_WITHIN_S = 300.0
"""Time to compile the simulator's step and listen; half a minute on an idle machine, more beside other work."""
_END_WITHIN_S = 10.0
_READY = re.compile(r"ready: .*; control 127\.0\.0\.1:(\d+)$")
_TERMINATED = 128 + signal.SIGTERM


@contextlib.contextmanager
def virtual_rig(rig: str, limit_s: float) -> Iterator[int]:
    """Inside of a `with` the virtual rig of a rig file serves; what follows is its control port.

    Args:
        rig: name of a file in configs/rig, or a path; it must state `emulated.control_port`.
        limit_s: it ends by itself after as long, should nobody be left to end it.

    Raises:
        RigError: if it does not serve, with what it says itself above.
    """
    command = [sys.executable, "-m", "gridenv", "hil", "emulate", rig, "--seconds", f"{limit_s:g}"]
    # Ctrl-C is for the run, which needs the rig to leave in order.
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    before = signal.signal(signal.SIGTERM, _leave)
    try:
        with console.working("starting the virtual rig"):
            port = _wait_for(process, rig)
        yield port
    finally:
        _end(process)
        signal.signal(signal.SIGTERM, before)


def _wait_for(process: "subprocess.Popen[str]", rig: str) -> int:
    """Control port, once it serves."""
    assert process.stdout is not None
    end_s = time.monotonic() + READY_WITHIN_S
    readable, _, _ = select.select([process.stdout], [], [], max(0.0, end_s - time.monotonic()))
    if not readable:
        raise RigError(f"virtual rig '{rig}': not ready within {READY_WITHIN_S:g} s; try again on a less busy machine")
    line = process.stdout.readline().rstrip()
    found = _READY.match(line)
    if found is not None:
        return int(found[1])
    if not line:
        raise RigError(f"virtual rig '{rig}': ended with code {process.wait()} before it was ready; see above")
    raise RigError(f"virtual rig '{rig}': says '{line}' without a control port; state `emulated.control_port`")


def _end(process: "subprocess.Popen[str]") -> None:
    process.terminate()
    try:
        process.wait(_END_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    assert process.stdout is not None
    process.stdout.close()


def _leave(number: int, frame: FrameType | None) -> None:
    """SIGTERM between runs ends as an exception does, so that the rig is ended too."""
    del number, frame
    raise SystemExit(_TERMINATED)
