"""The gap between simulation and rig, channel by channel."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

GAP_FILE = "gap.json"
"""In the folder of a run."""


@dataclass(frozen=True, kw_only=True)
class Gap:
    """Measured less simulated of one channel."""

    channel: str
    unit: str
    mean: float
    rms: float
    largest: float
    """Largest absolute value."""
    cycles: int


def gaps(
    measured: NDArray[np.float64], simulated: NDArray[np.float64], channels: Sequence[tuple[str, str]]
) -> list[Gap]:
    """Gaps of all channels.

    Args:
        measured: [cycle, channel]; cycles in which a channel is NaN on either side are left out for it.
        simulated: [cycle, channel]
        channels: names and units.
    """
    found = []
    for i, (name, unit) in enumerate(channels):
        difference = measured[:, i] - simulated[:, i]
        difference = difference[np.isfinite(difference)]
        if len(difference):
            found.append(
                Gap(
                    channel=name,
                    unit=unit,
                    mean=float(difference.mean()),
                    rms=float(np.sqrt((difference**2).mean())),
                    largest=float(np.abs(difference).max()),
                    cycles=len(difference),
                )
            )
    return found


def write_gaps(folder: Path, found: Sequence[Gap], how: Mapping[str, str]) -> None:
    """Put gaps beside the record of a run."""
    entries = {"how": dict(how), "gaps": [asdict(gap) for gap in found]}
    (folder / GAP_FILE).write_text(f"{json.dumps(entries, indent=2)}\n", encoding="utf-8")


def read_gaps(folder: Path) -> list[Gap]:
    """Gaps beside a record; none if nobody has put them there."""
    path = folder / GAP_FILE
    if not path.is_file():
        return []
    return [Gap(**entry) for entry in json.loads(path.read_text(encoding="utf-8"))["gaps"]]
