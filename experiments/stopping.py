"""Stopping a training where it can go on later."""

import contextlib
import signal
import threading
from collections.abc import Iterator, Sequence
from typing import Any


class StoppedError(Exception):
    """Work was stopped where it can go on; the text says how."""


class TrainingStoppedError(StoppedError):
    """Training was asked to stop and has saved where it is; the text says how to go on."""

    def __init__(self, runs: Sequence[str], seeds_not_begun: Sequence[int] = ()) -> None:
        self.runs = runs
        resume = " ".join(f"--resume {run}" for run in runs)
        rest = f"; seeds not begun: {', '.join(map(str, seeds_not_begun))}" if seeds_not_begun else ""
        super().__init__(f"stopped and saved; go on with: gridenv train {resume}{rest}")


@contextlib.contextmanager
def stop_requests() -> Iterator[list[int]]:
    """A list that fills on Ctrl-C or SIGTERM; a second request stops at once, as without it.

    Outside of the main thread it stays empty: signals come to the main thread only.
    """
    requests: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield requests
        return
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {s: signal.getsignal(s) for s in signals}

    def note(number: int, frame: Any) -> None:
        del frame
        requests.append(number)
        signal.signal(number, before[signal.Signals(number)])

    try:
        for s in signals:
            signal.signal(s, note)
        yield requests
    finally:
        for s in signals:
            signal.signal(s, before[s])
