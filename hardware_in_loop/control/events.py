"""A log of events to which lines are only added, each sealed with the hash of the one before."""

import hashlib
import json
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from gridenv.core.errors import RunError

EVENTS_FILE = "events.jsonl"
_GENESIS = "0" * 64


@dataclass(frozen=True, kw_only=True)
class Event:
    """One line."""

    n: int
    t_s: float
    """Time since the start of the run."""
    utc: str
    kind: str
    data: Mapping[str, Any] = field(default_factory=dict)


class EventLog:
    """Writes events as they happen; they outlive the death of the process.

    A line that cannot be written (disk full) is kept and tried again with the next one and by `flush`, in order.
    """

    def __init__(self, path: Path) -> None:
        """Begin a log.

        Raises:
            RunError: if the file is there already or cannot be made.
        """
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        except OSError as error:
            raise RunError(f"event log '{path}': cannot be made ({error.strerror}); name a new folder") from error
        self._lock = threading.RLock()
        self._previous, self._n, self._size = _GENESIS, 0, 0
        self._waiting: list[bytes] = []
        self.problem = ""
        """Why the newest lines are not in the file; empty if they are."""

    def add(self, kind: str, t_s: float, wall: datetime, data: Mapping[str, Any]) -> None:
        """Seal a line and write it. May be called from any thread."""
        with self._lock:
            entry = {"n": self._n, "t_s": round(t_s, 6), "utc": wall.isoformat(), "kind": kind, "data": dict(data)}
            entry["previous"] = self._previous
            self._previous, self._n = _hash(entry), self._n + 1
            self._waiting.append(f"{json.dumps({**entry, 'hash': self._previous}, default=str)}\n".encode())
            self._write()

    def flush(self, to_disk: bool = False) -> None:
        """Try lines that wait; with `to_disk` see to it that a power failure does not lose what is written."""
        with self._lock:
            self._write()
        if to_disk and not self.problem:
            try:
                os.fsync(self._file)
            except OSError as error:
                self.problem = error.strerror or str(error)

    def close(self) -> None:
        """No more lines."""
        self.flush(to_disk=True)
        os.close(self._file)

    def _write(self) -> None:
        while self._waiting:
            line = self._waiting[0]
            try:
                written = os.write(self._file, line)
                if written < len(line):
                    raise OSError(0, "disk full")
            except OSError as error:
                self.problem = error.strerror or str(error)
                self._cut()
                return
            self._size += len(line)
            self._waiting.pop(0)
        self.problem = ""

    def _cut(self) -> None:
        """Take away what was written of a line."""
        try:
            os.ftruncate(self._file, self._size)
        except OSError as error:
            self.problem = error.strerror or str(error)


def read_events(path: Path) -> tuple[list[Event], list[str]]:
    """Events of a log, and what is wrong with it, one line each.

    A last line that was cut off by the death of the process is left out and not counted as wrong.

    Raises:
        RunError: if there is no such file.
    """
    if not path.is_file():
        raise RunError(f"event log '{path}': no such file; name the folder of a run of `gridenv hil run`")
    content = path.read_bytes()
    lines = content.split(b"\n")
    if lines[-1]:
        lines[-1] = b""
    events: list[Event] = []
    previous = _GENESIS
    for number, line in enumerate(lines[:-1], start=1):
        where = f"event log '{path}': line {number}"
        try:
            entry = json.loads(line)
            stated = entry.pop("hash")
            event = Event(**{key: entry[key] for key in ("n", "t_s", "utc", "kind", "data")})
        except (ValueError, KeyError, AttributeError, TypeError):
            return events, [f"{where} is damaged; do not trust what follows it"]
        if entry.get("previous") != previous or _hash(entry) != stated or event.n != number - 1:
            return events, [f"{where} was changed, added or taken away from; do not trust it or what follows"]
        events.append(event)
        previous = stated
    return events, []


def _hash(entry: Mapping[str, Any]) -> str:
    text = json.dumps(entry, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()
