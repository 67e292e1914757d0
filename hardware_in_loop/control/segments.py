"""Parquet files of the cycles of a run: small ones as they come, merged into larger ones."""

import hashlib
import io
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

if TYPE_CHECKING:
    from hardware_in_loop.control.recorder import CycleRecord

CYCLES_FOLDER = "cycles"
LATENCIES = ("wake", "read", "policy", "supervise", "write", "total")
"""Lateness of the start, then duration of each step, then from the planned start to the end."""
MERGE_SEGMENTS = 120
_NAME = re.compile(r"cycles-(\d{6})-(\d{6})\.parquet")
_WRITE_OPTIONS: Mapping[str, Any] = {"compression": "zstd", "use_dictionary": False, "write_statistics": False}
"""Dictionaries and statistics of a few rows cost more than they save."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Names of the columns' parts."""

    observations: tuple[str, ...]
    setpoints: tuple[str, ...]
    devices: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As `run.json` has it."""
        return asdict(self)

    @classmethod
    def from_json(cls, entries: Mapping[str, Sequence[str]]) -> "Layout":
        """What `to_json` wrote."""
        return cls(**{key: tuple(names) for key, names in entries.items()})


class Segments:
    """Writes segments and merges them."""

    def __init__(self, folder: Path, layout: Layout) -> None:
        self._folder, self._layout = folder / CYCLES_FOLDER, layout
        self._folder.mkdir(exist_ok=True)
        self._next = 1
        self._waiting: list[tuple[Path, pa.Table]] = []

    @property
    def is_merge_due(self) -> bool:
        """There are as many small files as a merged one takes."""
        return len(self._waiting) >= MERGE_SEGMENTS

    def write(self, rows: Sequence["CycleRecord"]) -> dict[str, Any]:
        """One more segment.

        Returns:
            Its name, hash and cycles.

        Raises:
            OSError: if it cannot be written.
        """
        path = self._folder / _name(self._next, self._next)
        table = to_table(rows, self._layout)
        digest = _write(path, table)
        self._next += 1
        self._waiting.append((path, table))
        return {"file": path.name, "sha256": digest, "cycles": [rows[0].cycle, rows[-1].cycle]}

    def merge(self) -> dict[str, Any] | None:
        """The segments written since the last merge as one file.

        Returns:
            Its name and hash and what it replaces; None if there is nothing to merge.

        Raises:
            OSError: if it cannot be written; the segments stay.
        """
        if len(self._waiting) < 2:
            return None
        replaced = [path.name for path, _ in self._waiting]
        path = self._folder / _name(self._next - len(replaced), self._next - 1)
        digest = _write(path, pa.concat_tables([table for _, table in self._waiting]).combine_chunks())
        for segment, _ in self._waiting:
            segment.unlink(missing_ok=True)
        self._waiting = []
        return {"file": path.name, "sha256": digest, "replaces": [replaced[0], replaced[-1]]}


def files_of(folder: Path) -> list[Path]:
    """Files of the cycles of a run in order, without those that another one holds as well."""
    found = []
    for path in (folder / CYCLES_FOLDER).glob("cycles-*.parquet"):
        match = _NAME.fullmatch(path.name)
        if match:
            found.append((int(match[1]), -int(match[2]), path))
    files, last = [], 0
    for _, end, path in sorted(found):
        if -end > last:
            files.append(path)
            last = -end
    return files


def to_table(rows: Sequence["CycleRecord"], layout: Layout) -> pa.Table:
    """Rows as a table; see docs/hil/bench_guide.md for its columns."""
    columns: dict[str, Any] = {
        "cycle": pa.array([r.cycle for r in rows], pa.int64()),
        "t_s": pa.array([r.t_s for r in rows], pa.float64()),
        "utc": pa.array([r.wall for r in rows], pa.timestamp("us", "UTC")),
        "state": pa.array([r.state for r in rows], pa.string()),
        "findings": pa.array([r.findings for r in rows], pa.string()),
        "interventions": pa.array([r.interventions for r in rows], pa.string()),
        "policy_ran": pa.array([r.policy_ran for r in rows], pa.bool_()),
        "is_late": pa.array([r.is_late for r in rows], pa.bool_()),
        "skipped": pa.array([r.skipped for r in rows], pa.int32()),
        "sent_s": pa.array([r.sent_s for r in rows], pa.float64()),
        "age_s": pa.array([r.age_s for r in rows], pa.float64()),
    }
    columns |= {f"{name}_s": pa.array([r.latencies_s.get(name, np.nan) for r in rows]) for name in LATENCIES}
    for part, names in (
        ("values", layout.observations),
        ("observation", layout.observations),
        *((kind, layout.setpoints) for kind in ("requested", "limited", "written", "in_force")),
    ):
        block = np.array([getattr(r, part) for r in rows])
        prefix = "value" if part == "values" else part
        columns |= {f"{prefix}.{name}": pa.array(block[:, i]) for i, name in enumerate(names)}
    columns |= {f"device.{d}": pa.array([r.problems.get(d, "") for r in rows], pa.string()) for d in layout.devices}
    kind = pa.map_(pa.string(), pa.list_(pa.uint16()))
    columns["raw"] = pa.array([list(r.raw.items()) for r in rows], kind)
    return pa.table(columns)


def _name(first: int, last: int) -> str:
    return f"cycles-{first:06d}-{last:06d}.parquet"


def _write(path: Path, table: pa.Table) -> str:
    """Write a file that is either there as a whole or not at all, and give its SHA-256."""
    buffer = io.BytesIO()
    parquet.write_table(table, buffer, **_WRITE_OPTIONS)
    content = buffer.getvalue()
    part = path.with_suffix(".part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return hashlib.sha256(content).hexdigest()
