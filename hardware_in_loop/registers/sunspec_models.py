"""Definitions of SunSpec models as points at their places; from pysunspec2, which is imported in this file only."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from gridenv.core.errors import MissingExtraError
from hardware_in_loop.errors import RegisterMapError
from hardware_in_loop.registers.codec import REGISTER_MAX
from hardware_in_loop.registers.units import unit_name

HEADER = 2
"""Registers of a model before its points: id and length."""
_LEGACY = (101, 102, 103, 120, 121, 122, 123, 124)
METERS = (201, 202, 203, 204)
"""Makers do not agree on the direction in which these count power, so rig files have to state it."""
SUPPORTED = (1, *_LEGACY, *METERS, 701, 702, 703, 704, 705, 706, 712, 713, 714, 715)
"""Models that register maps are made of; others of a device are passed over."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A point of a model definition at its place."""

    name: str
    """Without the model's id."""
    offset: int
    """From the model's id."""
    size: int
    kind: str
    """SunSpec type."""
    scale: str | int | None
    """Name of the scale factor's entry, or the factor itself as a power of ten."""
    unit: str
    is_writable: bool


def entries(model_id: int, counts: Mapping[str, int], length: int | None = None) -> tuple[Entry, ...]:
    """The points of a model in address order.

    Args:
        counts: number of repetitions by the name of the point that states it; 1 where missing.
        length: of the model, by which groups without a stated number repeat.

    Raises:
        RegisterMapError: if pysunspec2 has no such model.
    """
    return tuple(_walk(_definition(model_id), counts, length))


@cache
def _definition(model_id: int) -> dict[str, Any]:
    try:
        from sunspec2 import device
        from sunspec2.mdef import ModelDefinitionError
    except ImportError as error:
        raise MissingExtraError(
            "package 'pysunspec2' is not installed; install it with pip install \"gridenv[hil]\""
        ) from error
    try:
        group: dict[str, Any] = device.get_model_def(model_id)["group"]
    except ModelDefinitionError as error:
        known = ", ".join(map(str, SUPPORTED))
        raise RegisterMapError(f"unknown SunSpec model {model_id}; supported: {known}") from error
    return group


def _walk(group: Mapping[str, Any], counts: Mapping[str, int], length: int | None) -> Iterator[Entry]:
    top = {p["name"] for p in group["points"]}

    def walk(part: Mapping[str, Any], path: str, offset: int) -> Iterator[Entry]:
        own = {p["name"] for p in part.get("points", [])}
        for p in part.get("points", []):
            scale = p.get("sf")
            if isinstance(scale, str):
                scale = f"{path}{scale}" if scale in own else scale if scale in top else int(scale)
            yield Entry(
                name=f"{path}{p['name']}",
                offset=offset,
                size=int(p["size"]),
                kind=p["type"],
                scale=scale,
                unit=_unit(p.get("units") or ""),
                is_writable=p.get("access") == "RW",
            )
            offset += int(p["size"])
        for child in part.get("groups", []):
            stated = child.get("count")
            size = _size(child, counts)
            n = _repetitions(stated, counts, length, offset, size)
            for i in range(n):
                label = child["name"] if stated is None else f"{child['name']}[{i + 1}]"
                yield from walk(child, f"{path}{label}.", offset)
                offset += size

    yield from walk(group, "", 0)


def _repetitions(
    stated: str | int | None, counts: Mapping[str, int], length: int | None, offset: int, size: int
) -> int:
    if stated is None:
        return 1
    if stated == 0:
        return 1 if length is None else max(0, (HEADER + length - offset) // size)
    n = counts.get(stated, 1) if isinstance(stated, str) else stated
    return n if n != REGISTER_MAX else 0


def _size(group: Mapping[str, Any], counts: Mapping[str, int]) -> int:
    own = sum(int(p["size"]) for p in group.get("points", []))
    parts = ((g, _repetitions(g.get("count"), counts, 0, 0, 1)) for g in group.get("groups", []))
    return own + sum(n * _size(g, counts) for g, n in parts)


def _unit(text: str) -> str:
    return "pct" if text.startswith("%") or text.endswith("Pct") else unit_name(text)
