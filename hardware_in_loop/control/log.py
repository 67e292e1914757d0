"""The record of a run, read back and checked."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet

from gridenv.core.errors import RunError
from hardware_in_loop.control.events import EVENTS_FILE, Event, read_events
from hardware_in_loop.control.gap import Gap, read_gaps
from hardware_in_loop.control.recorder import RUN_FILE
from hardware_in_loop.control.segments import CYCLES_FOLDER, Layout, files_of


@dataclass(frozen=True, kw_only=True, eq=False)
class Log:
    """A run as it was recorded."""

    folder: Path
    header: Mapping[str, Any]
    layout: Layout
    cycles: pa.Table
    """One row a cycle, see docs/hil/bench_guide.md."""
    events: Sequence[Event]
    problems: Sequence[str]
    """What does not agree with the hashes, one line each."""

    def column(self, name: str) -> NDArray[Any]:
        """One column [cycle]."""
        return np.asarray(self.cycles[name].to_numpy())

    def block(self, part: str) -> NDArray[np.float64]:
        """Columns [cycle, channel] of a part: value, observation, requested, limited, written, in_force."""
        names = self.layout.observations if part in ("value", "observation") else self.layout.setpoints
        return np.stack([self.column(f"{part}.{name}") for name in names], axis=-1)

    def of_kind(self, kind: str) -> list[Event]:
        """Events of a kind."""
        return [event for event in self.events if event.kind == kind]

    @cached_property
    def gaps(self) -> list[Gap]:
        """Differences of simulation and rig, where they were worked out."""
        return read_gaps(self.folder)

    @cached_property
    def states(self) -> list[str]:
        """State in which each cycle ended."""
        return list(self.cycles["state"].to_pylist())


def read_log(folder: Path) -> Log:
    """The record of a run; one that was cut off is read as far as it goes.

    Raises:
        RunError: if the folder holds no run, or a file of it cannot be read.
    """
    where = f"run '{folder}'"
    try:
        header = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
        layout = Layout.from_json(header["layout"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{where}: is no run of `gridenv hil run` ({error}); name its folder") from error
    events, problems = read_events(folder / EVENTS_FILE)
    files = files_of(folder)
    if not files:
        raise RunError(f"{where}: has no cycles in '{CYCLES_FOLDER}'; the run ended before its first second")
    problems += _altered(folder, events, [file.name for file in files])
    try:
        cycles = pa.concat_tables([parquet.read_table(file) for file in files])
    except (OSError, pa.ArrowException) as error:
        raise RunError(f"{where}: a file of '{CYCLES_FOLDER}' cannot be read ({error}); copy the run again") from error
    return Log(folder=folder, header=header, layout=layout, cycles=cycles, events=events, problems=problems)


def _altered(folder: Path, events: Sequence[Event], names: Sequence[str]) -> list[str]:
    """Files that do not have the hash of their event, or are not there."""
    stated: dict[str, str] = {}
    replaced: set[str] = set()
    for event in events:
        if event.kind in ("segment", "merged"):
            stated[str(event.data["file"])] = str(event.data["sha256"])
        if event.kind == "merged":
            first, last = event.data["replaces"]
            replaced |= {name for name in stated if first <= name <= last and name != event.data["file"]}
    found = []
    for name in names:
        digest = hashlib.sha256((folder / CYCLES_FOLDER / name).read_bytes()).hexdigest()
        # The newest file may be there while its event is not, if the process died between the two.
        is_newest = name == names[-1] and name not in stated
        if not is_newest and digest != stated.get(name):
            found.append(f"'{CYCLES_FOLDER}/{name}' is not what the event log states; it was changed or exchanged")
    found += [
        f"'{CYCLES_FOLDER}/{name}' is missing; the event log states it"
        for name in stated
        if name not in names and name not in replaced
    ]
    return found
