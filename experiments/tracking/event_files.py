"""TensorBoard event files; the step axis is environment steps."""

import time
from collections.abc import Sequence

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary

from experiments.run import Row, Run

FOLDER = "tensorboard"
"""Folder of the event files in a run folder."""
_PREFIX = "events"
_STEPS = "steps"


class EventFiles:
    """Writes one event a row. A run that goes on gets a new file with all its rows, in place of the old one."""

    def __init__(self, run: Run, rows: Sequence[Row]) -> None:
        folder = run.folder / FOLDER
        folder.mkdir(exist_ok=True)
        for old in folder.glob(f"{_PREFIX}.*"):
            old.unlink()
        self._writer = EventsWriter(str(folder / _PREFIX))
        now_s = time.time()
        # A TensorBoard that has read the old file forgets everything from this step on.
        self._write(Event(wall_time=now_s, step=0, session_log=SessionLog(status=SessionLog.START)))
        for row in rows:
            self._write(_event(row, now_s - (rows[-1]["time_s"] - row["time_s"])))

    def write(self, row: Row) -> None:
        """Append a row; a running TensorBoard shows it at its next look."""
        self._write(_event(row, time.time()))
        self._writer.flush()

    def flush(self) -> None:
        """Hand the file to the operating system."""
        self._writer.flush()

    def close(self, failed: bool) -> None:
        """Close the file."""
        del failed
        self._writer.close()

    def _write(self, event: Event) -> None:
        self._writer.write_event(event)


def _event(row: Row, wall_time_s: float) -> Event:
    values = [Summary.Value(tag=name, simple_value=value) for name, value in row.items() if name != _STEPS]
    return Event(wall_time=wall_time_s, step=row[_STEPS], summary=Summary(value=values))
