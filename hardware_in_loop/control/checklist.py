"""What a check of a rig found: items, hashes, signature; as a file that a run in mode active asks for."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from gridenv.core.errors import RunError

FORMAT = "gridenv.hil-check/1"


class Status(StrEnum):
    """How an item came out."""

    PASS = "pass"
    WARNING = "warning"
    """For the operator to judge; does not keep from control."""
    FAIL = "fail"
    SKIPPED = "skipped"
    """Not done; keeps from control."""


@dataclass(frozen=True, kw_only=True)
class Item:
    """One thing that was checked."""

    kind: str
    """Such as `read` or `write-readback`."""
    subject: str
    """Channel or device."""
    status: Status
    detail: str


@dataclass(frozen=True, kw_only=True)
class Hashes:
    """What a check is valid for."""

    rig: str
    """Rig file with its register maps."""
    points: str
    """Addresses, types and scales as found at the devices."""
    bundle: str


@dataclass(frozen=True, kw_only=True)
class Checklist:
    """A check of a rig with a bundle."""

    rig: str
    bundle: str
    hashes: Hashes
    utc: str
    signed_by: str
    """Who answers for it; empty if nobody does."""
    items: Sequence[Item]
    times_ms: Mapping[str, float] = field(default_factory=dict)
    """Of reading the rig: p50, p99, max."""

    @property
    def problems(self) -> list[str]:
        """Why control may not be taken with it, one line each."""
        found = [
            f"{i.kind} of '{i.subject}': {i.detail}" for i in self.items if i.status in (Status.FAIL, Status.SKIPPED)
        ]
        return found if self.signed_by else [*found, "nobody has signed it; give --signed-by"]

    def to_json(self) -> dict[str, Any]:
        """Contents of the file, with a seal that shows changes made by accident."""
        entries = {"format": FORMAT, **asdict(self)}
        return {**entries, "seal": _seal(entries)}


def check_path(folder: Path, rig: str, hashes: Hashes) -> Path:
    """Where the check of a rig with a bundle is."""
    return folder / f"{rig}-{hashes.rig[:10]}-{hashes.bundle[:10]}.json"


def write_checklist(path: Path, checklist: Checklist) -> None:
    """Write the file.

    Raises:
        RunError: if it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{json.dumps(checklist.to_json(), indent=2)}\n", encoding="utf-8")
    except OSError as error:
        raise RunError(f"check '{path}': cannot be written ({error.strerror}); name another folder") from error


def arming_problem(path: Path, rig: str, hashes: Hashes) -> str:
    """Why there is no check that allows control of this rig with this bundle; empty if there is one."""
    again = f"do `gridenv hil check --rig {rig}` with this bundle"
    if not path.is_file():
        return f"no check of rig '{rig}' with this rig file, its maps and this bundle; {again}"
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        stated = entries.pop("seal")
        if entries["format"] != FORMAT or _seal(entries) != stated:
            raise ValueError("it was changed")
        entries.pop("format")
        items = [Item(**{**item, "status": Status(item["status"])}) for item in entries.pop("items")]
        checklist = Checklist(**{**entries, "hashes": Hashes(**entries["hashes"]), "items": items})
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"check '{path}' is damaged ({error}); {again}"
    for kind, meaning in (
        ("rig", "rig file or its maps"),
        ("points", "registers of the devices"),
        ("bundle", "bundle"),
    ):
        if getattr(checklist.hashes, kind) != getattr(hashes, kind):
            return f"check '{path}' is of another {meaning}; {again}"
    problems = checklist.problems
    return f"check '{path}' does not allow it: {problems[0]}" if problems else ""


def _seal(entries: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(entries, sort_keys=True).encode()).hexdigest()
