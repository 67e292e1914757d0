"""SunSpec devices: the models of a device as points, found by reading it. Definitions come from pysunspec2.

A point is called `<model>.<point>`, with groups between: `704.VarSetPct`, `704.PFWInj.PF`, `705.Crv[1].Pt[2].V`. A
model that a device has twice is called `<model>#2` the second time.
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from hardware_in_loop.errors import EncodingError, RigError
from hardware_in_loop.registers.codec import REGISTER_MAX, DataType, decode, encode
from hardware_in_loop.registers.points import MAX_READ_REGISTERS, Point
from hardware_in_loop.registers.sunspec_models import HEADER, METERS, SUPPORTED, Entry, entries
from hardware_in_loop.registers.units import DIRECTED, quantity

MARKER = (0x5375, 0x6E53)
"""`SunS`. Source: SunSpec Device Information Model Specification 1.1, clause 6."""
BASES = (40000, 0, 50000)
"""Addresses at which the marker may be. Source: as above."""
END = 0xFFFF
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


def _signed(word: int) -> int:
    try:
        return int(decode((word,), DataType.INT16))
    except EncodingError:
        return _NO_SCALE
