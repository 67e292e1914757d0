"""SunSpec devices: the models of a device as points, found by reading it. Definitions come from pysunspec2.

A point is called `<model>.<point>`, with groups between: `704.VarSetPct`, `704.PFWInj.PF`, `705.Crv[1].Pt[2].V`. A
model that a device has twice is called `<model>#2` the second time.
"""

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from gridenv.core.errors import MissingExtraError
from hardware_in_loop.errors import EncodingError, RegisterMapError, RigError
from hardware_in_loop.registers.codec import REGISTER_MAX, DataType, decode, encode
from hardware_in_loop.registers.points import MAX_READ_REGISTERS, Point
from hardware_in_loop.registers.units import DIRECTED, quantity, unit_name

MARKER = (0x5375, 0x6E53)
"""`SunS`. Source: SunSpec Device Information Model Specification 1.1, clause 6."""
BASES = (40000, 0, 50000)
"""Addresses at which the marker may be. Source: as above."""
END = 0xFFFF
HEADER = 2
"""Registers of a model before its points: id and length."""
_LEGACY = (101, 102, 103, 120, 121, 122, 123, 124)
METERS = (201, 202, 203, 204)
"""Makers do not agree on the direction in which these count power, so rig files have to state it."""
SUPPORTED = (1, *_LEGACY, *METERS, 701, 702, 703, 704, 705, 706, 712, 713, 714, 715)
"""Models that register maps are made of; others of a device are passed over."""
_MAX_MODELS = 200
_NO_SCALE = -32768
_NAN_WORDS = (0x7FC0, 0x0000)
_NUMBERS: Mapping[str, DataType] = {
    "int16": DataType.INT16,
    "sunssf": DataType.INT16,
    "uint16": DataType.UINT16,
    "count": DataType.UINT16,
    "acc16": DataType.UINT16,
    "enum16": DataType.UINT16,
    "raw16": DataType.UINT16,
    "bitfield16": DataType.BITFIELD,
    "int32": DataType.INT32,
    "uint32": DataType.UINT32,
    "acc32": DataType.UINT32,
    "enum32": DataType.UINT32,
    "bitfield32": DataType.BITFIELD32,
    "int64": DataType.INT64,
    "uint64": DataType.UINT64,
    "acc64": DataType.UINT64,
    "float32": DataType.FLOAT32,
    "float64": DataType.FLOAT64,
}
Read = Callable[[int, int], Awaitable[Sequence[int]]]
"""(address, count) -> holding registers."""


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


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model in a device."""

    id: int
    address: int
    """Of the model's id."""
    length: int
    """Registers behind id and length."""


@dataclass(frozen=True, kw_only=True)
class Discovery:
    """What a device has."""

    models: tuple[Model, ...]
    points: tuple[Point, ...]
    texts: Mapping[str, str] = field(default_factory=dict)
    """Values of points that are text, such as `1.Md`."""


def entries(model_id: int, counts: Mapping[str, int], length: int | None = None) -> tuple[Entry, ...]:
    """The points of a model in address order.

    Args:
        counts: number of repetitions by the name of the point that states it; 1 where missing.
        length: of the model, by which groups without a stated number repeat.

    Raises:
        RegisterMapError: if pysunspec2 has no such model.
    """
    return tuple(_walk(_definition(model_id), counts, length))


def points_of(model: Model, registers: Sequence[int], label: str = "") -> tuple[tuple[Point, ...], dict[str, str]]:
    """Points and texts of a model that was read.

    Args:
        registers: of the whole model, from its id on.
        label: what points are called after; None = the model's id.

    Points whose scale factor the device does not implement are left out: it does not support them.
    """
    label = label or str(model.id)
    every = entries(model.id, _counts(model, registers), model.length)
    listed = [e for e in every if e.offset + e.size <= len(registers)]
    factors = {e.name: _signed(registers[e.offset]) for e in listed if e.kind == "sunssf"}
    points, texts = [], {}
    for entry in listed:
        name = f"{label}.{entry.name}"
        if entry.kind == "string":
            words = registers[entry.offset : entry.offset + entry.size]
            texts[name] = b"".join(w.to_bytes(2, "big") for w in words).rstrip(b"\0 ").decode("latin-1")
            continue
        power = factors.get(entry.scale, _NO_SCALE) if isinstance(entry.scale, str) else entry.scale or 0
        if entry.kind in _NUMBERS and power != _NO_SCALE:
            points.append(_point(entry, name, model, power))
    return tuple(points), texts


@cache
def placeholders(model_id: int) -> Mapping[str, Point]:
    """Points that a model can have, by name with every repetition written as [1]; addresses and scales mean nothing."""
    model = Model(id=model_id, address=0, length=0)
    listed = [e for e in entries(model_id, {}) if e.kind in _NUMBERS or e.kind == "string"]
    return {f"{model_id}.{e.name}": _point(e, f"{model_id}.{e.name}", model, 0) for e in listed}


def generic_name(name: str) -> str:
    """The name with every repetition written as [1] and no number of a second model, as in `placeholders`."""
    return re.sub(r"#\d+", "", re.sub(r"\[\d+\]", "[1]", name))


async def discover(read: Read, base: int | None, where: str) -> Discovery:
    """Read the chain of models of a device, and what they hold.

    Args:
        read: gives holding registers, and raises `RigError` if the device does not answer or refuses.
        base: address of the marker; None = wherever it is.
        where: begins every message, such as `device 'pv_10'`.

    Raises:
        RigError: if there is no marker, the chain is broken, or the device does not answer.
    """
    address = await _marker(read, base, where) + len(MARKER)
    models: list[Model] = []
    points: list[Point] = []
    texts: dict[str, str] = {}
    for _ in range(_MAX_MODELS):
        model_id = (await read(address, 1))[0]
        if model_id == END:
            return Discovery(models=tuple(models), points=tuple(points), texts=texts)
        model = Model(id=model_id, address=address, length=(await read(address + 1, 1))[0])
        following = address + HEADER + model.length
        if following > REGISTER_MAX:
            raise RigError(
                f"{where}: SunSpec model {model_id} at {address} states a length of {model.length}; allowed: up to "
                f"{REGISTER_MAX - address - HEADER}; check the device's byte order and base address"
            )
        if model_id in SUPPORTED:
            seen = sum(m.id == model_id for m in models)
            registers = await _read_all(read, address, HEADER + model.length)
            found, strings = points_of(model, registers, f"{model_id}#{seen + 1}" if seen else "")
            points += found
            texts |= strings
        models.append(model)
        address = following
    raise RigError(f"{where}: more than {_MAX_MODELS} SunSpec models without an end; check the device")


async def _marker(read: Read, base: int | None, where: str) -> int:
    tried = BASES if base is None else (base,)
    answers = []
    for address in tried:
        try:
            found = tuple(await read(address, len(MARKER)))
        except RigError as error:
            answers.append(f"{address}: {error}")
            continue
        if found == MARKER:
            return address
        answers.append(f"{address}: holds {' '.join(f'0x{word:04X}' for word in found)}")
    raise RigError(f"{where}: no SunSpec marker 'SunS' ({'; '.join(answers)}); give its address as `sunspec.base`")


async def _read_all(read: Read, address: int, count: int) -> list[int]:
    registers: list[int] = []
    while len(registers) < count:
        registers += await read(address + len(registers), min(count - len(registers), MAX_READ_REGISTERS))
    return registers


def _point(entry: Entry, name: str, model: Model, power: int) -> Point:
    kind = _NUMBERS.get(entry.kind, DataType.UINT16)
    scale = 1.0 if kind.is_bits else 10.0**power
    low: float | None = None
    high: float | None = None
    absent = _absent(entry.kind, kind)
    if entry.is_writable and not kind.is_float:
        smallest, largest = kind.limits
        low = (smallest + (smallest in absent)) * scale
        high = (largest - (largest in absent)) * scale
    is_directed = quantity(entry.unit) in DIRECTED and model.id not in METERS
    return Point(
        name=name,
        address=model.address + entry.offset,
        type=kind,
        scale=scale,
        unit=entry.unit,
        sign="grid" if is_directed else None,
        access="rw" if entry.is_writable else "r",
        min=low,
        max=high,
        not_available=absent,
    )


def _absent(kind: str, number: DataType) -> tuple[int, ...]:
    """Counts for `not implemented`. Source: SunSpec Device Information Model Specification 1.1, clause 5."""
    if number.is_float or kind.startswith("acc") or kind == "raw16":
        return ()
    low, high = number.limits
    return (low,) if low < 0 else (high,)


def absent_words(entry: Entry) -> tuple[int, ...]:
    """Registers with which a device says that it does not implement a point that is a number."""
    kind = _NUMBERS.get(entry.kind)
    if kind is None:
        return (0,) * entry.size
    if kind is DataType.FLOAT32:
        return _NAN_WORDS[: entry.size]
    absent = _absent(entry.kind, kind)
    return encode(absent[0], kind) if absent else (0,) * entry.size


def _counts(model: Model, registers: Sequence[int]) -> dict[str, int]:
    """Repetitions that the device states; these points come before all groups."""
    top = [e for e in entries(model.id, {}, model.length) if "." not in e.name and e.offset < len(registers)]
    return {e.name: registers[e.offset] for e in top if e.size == 1}


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


def _signed(word: int) -> int:
    try:
        return int(decode((word,), DataType.INT16))
    except EncodingError:
        return _NO_SCALE
