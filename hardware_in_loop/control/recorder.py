"""Every cycle of a run as Parquet files of less than a second, merged by the minute; written by a thread of its own.

A row is on its way to a file at most `FLUSH_S` after its cycle, so the sudden death of the process loses less than a
second. What cannot be written (disk full) is kept in memory and tried again; `problem` says so meanwhile.
"""

import json
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridenv.core.errors import RunError
from hardware_in_loop.control.events import EVENTS_FILE, EventLog
from hardware_in_loop.control.segments import Layout, Segments

RUN_FILE = "run.json"
FLUSH_S = 0.4
_STALLED_S = 5.0
"""Rows that have waited this long are reported; a slow disk takes a second."""
_MOST_ROWS = 60_000
"""Rows that are kept while they cannot be written; the oldest are given up, and counted, beyond."""


@dataclass(frozen=True, kw_only=True, eq=False)
class CycleRecord:
    """One cycle; arrays are in the order of the layout, NaN where there is nothing."""

    cycle: int
    t_s: float
    """Planned start, since the start of the run."""
    wall: datetime
    state: str
    findings: str
    interventions: str
    policy_ran: bool
    is_late: bool
    skipped: int
    """Cycles that were left out before this one."""
    latencies_s: Mapping[str, float]
    """By step of the cycle, see `segments.LATENCIES`."""
    sent_s: float
    """When set-points were handed over, since the start of the run; NaN if none were."""
    age_s: float
    """Age of the oldest measurement."""
    values: NDArray[np.float64]
    """[observation] in channel units."""
    observation: NDArray[np.float32]
    """[observation] as given to the network."""
    requested: NDArray[np.float64]
    """[setpoint] by the policy."""
    limited: NDArray[np.float64]
    """[setpoint] what the supervisor lets through."""
    written: NDArray[np.float64]
    """[setpoint] as encoded in the registers that were sent."""
    in_force: NDArray[np.float64]
    """[setpoint] read back in this cycle, before its own write."""
    problems: Mapping[str, str] = field(default_factory=dict)
    """By device; empty text for those without."""
    raw: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


class Recorder:
    """Folder of a run: `run.json`, `cycles/`, `events.jsonl`."""

    def __init__(self, folder: Path, layout: Layout, header: Mapping[str, Any]) -> None:
        """Begin a record.

        Args:
            folder: new or empty.
            layout: channels and devices.
            header: what the run is, JSON-serialisable.

        Raises:
            RunError: if the folder holds a run already or cannot be written.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if (folder / RUN_FILE).exists():
                raise RunError(f"run '{folder}': is there already; name a new folder")
            content = json.dumps({**header, "layout": layout.to_json()}, indent=2, default=str)
            (folder / RUN_FILE).write_text(f"{content}\n", encoding="utf-8")
        except OSError as error:
            raise RunError(f"run '{folder}': cannot be written ({error.strerror}); name another folder") from error
        self.folder = folder
        self.events = EventLog(folder / EVENTS_FILE)
        self.lost_rows = 0
        self._segments = Segments(folder, layout)
        self._rows: deque[CycleRecord] = deque()
        self._lock = threading.Lock()
        self._problem = ""
        self._start = self._flushed_s = time.monotonic()
        self._wake, self._is_closing = threading.Event(), False
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    @property
    def problem(self) -> str:
        """Why the newest rows or events are not in files; empty if they are."""
        if not self._is_closing and time.monotonic() - self._flushed_s > _STALLED_S:
            return f"nothing was written for {_STALLED_S:g} s"
        return self._problem or self.events.problem

    def add(self, row: CycleRecord) -> None:
        """Take a row; it does not wait for the disk."""
        with self._lock:
            self._rows.append(row)
            while len(self._rows) > _MOST_ROWS:
                self._rows.popleft()
                self.lost_rows += 1

    def event(self, kind: str, t_s: float, wall: datetime, **data: Any) -> None:
        """Write an event."""
        self.events.add(kind, t_s, wall, data)

    def close(self, timeout_s: float = 10.0) -> None:
        """Write what is left and merge the files."""
        self._is_closing = True
        self._wake.set()
        self._thread.join(timeout_s)
        self.events.close()

    def _run(self) -> None:
        while not self._is_closing:
            self._wake.wait(FLUSH_S)
            self._flush()
            self._flushed_s = time.monotonic()
        self._flush()
        self._merge()

    def _flush(self) -> None:
        with self._lock:
            rows = list(self._rows)
        if rows:
            try:
                written = self._segments.write(rows)
            except OSError as error:
                self._problem = error.strerror or str(error)
            else:
                self._problem = ""
                with self._lock:
                    while self._rows and self._rows[0].cycle <= rows[-1].cycle:
                        self._rows.popleft()
                self._seal("segment", written)
        if self._segments.is_merge_due:
            self._merge()
        self.events.flush(to_disk=True)

    def _merge(self) -> None:
        try:
            merged = self._segments.merge()
        except OSError as error:
            self._problem = error.strerror or str(error)
        else:
            if merged is not None:
                self._seal("merged", merged)

    def _seal(self, kind: str, data: Mapping[str, Any]) -> None:
        self.events.add(kind, time.monotonic() - self._start, datetime.now(UTC), data)
