"""What runs in a worker's process. Imports the standard library only, so that no engine carries another's memory."""

import gc
import math
import resource
import signal
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, Protocol

_KB_PER_MB = 1024.0
_SHORTEST_S = 1e-9


class Subject(Protocol):
    """What is measured; lives in the worker's process."""

    work: int
    """Solves or steps done by one `call`; known after `prepare`."""

    def prepare(self, **inputs: Any) -> None:
        """Take the inputs in the form that the engine likes best; not timed."""

    def call(self) -> object:
        """Do the work; return only when it is done."""

    def outcome(self) -> Any:
        """What the last call found, to be checked."""


@dataclass(frozen=True)
class FirstCall:
    """What the first call with new inputs took."""

    prepare_s: float
    call_s: float
    peak_mb: float
    """Largest resident memory of the process so far, interpreter and libraries included."""


def serve(pipe: Connection) -> None:
    """Body of the process: do what comes through the pipe until None comes."""
    # Ctrl-C reaches the whole process group; the parent decides what happens then.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    subject: Any = None
    while (message := _next(pipe)) is not None:
        command, arguments = message
        try:
            if command == "build":
                start = time.perf_counter()
                subject = resolve_name(arguments["target"])(**arguments["arguments"])
                value = time.perf_counter() - start
            else:
                value = _COMMANDS[command](subject, **arguments)
        # Whatever a peer's library raises ends up in one line of the result, not in a hanging pipe.
        except Exception as error:
            pipe.send((False, "".join(traceback.format_exception_only(error)).strip()))
        else:
            pipe.send((True, value))


def _next(pipe: Connection) -> Any:
    try:
        return pipe.recv()
    except EOFError:
        return None


def _prepare(subject: Subject, inputs: dict[str, Any]) -> FirstCall:
    start = time.perf_counter()
    subject.prepare(**inputs)
    ready = time.perf_counter()
    subject.call()
    done = time.perf_counter()
    subject.call()
    return FirstCall(ready - start, done - ready, peak_mb())


def _measure(subject: Subject, seconds: float) -> float:
    gc.collect()
    gc.disable()
    try:
        once = _time(subject, 1)
        calls = math.ceil(seconds / max(once, _SHORTEST_S))
        return (_time(subject, calls) / calls if calls > 1 else once) / subject.work
    finally:
        gc.enable()


def _time(subject: Subject, calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        subject.call()
    return time.perf_counter() - start


def _outcome(subject: Subject) -> Any:
    return subject.outcome()


_COMMANDS: dict[str, Callable[..., Any]] = {"prepare": _prepare, "measure": _measure, "outcome": _outcome}


def peak_mb() -> float:
    """Largest resident memory of this process so far."""
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text(encoding="ascii").splitlines():
            # Not getrusage: there a new process starts with its parent's peak.
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / _KB_PER_MB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _KB_PER_MB
