"""The registers of a SunSpec device that is made up: models one after another, nothing implemented until it is set."""

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gridenv.core.units import W_PER_KW
from hardware_in_loop.registers import sunspec, sunspec_models
from hardware_in_loop.registers.codec import DataType, encode
from hardware_in_loop.registers.points import Point

BASE = 40000
_COUNTS = {705: {"NCrv": 3, "NPt": 4}, 706: {"NCrv": 3, "NPt": 2}, 712: {"NCrv": 3, "NPt": 6}, 714: {"NPrt": 1}}
"""Curves and ports of the models that have such; three curves, of which the first shows what is in force."""
_FACTORS = {
    "WMaxLimPct_SF": -2,
    "WSetPct_SF": -2,
    "VarSetPct_SF": -2,
    "PF_SF": -3,
    "Hz_SF": -2,
    "V_SF": -1,
    "A_SF": -1,
    "DeptRef_SF": -2,
    "RspTms_SF": -1,
    "Pct_SF": -2,
}
"""Powers of ten of scale factors; 0 for others, and what `power_factor` gives for powers."""
_POWERS = ("W_SF", "VA_SF", "Var_SF", "VAr_SF", "VAR_SF", "WSet_SF", "VarSet_SF", "WH_SF", "WHRtg_SF")
_CURVE_FACTORS = {705: {"V_SF": -2}, 706: {"V_SF": -2}}
_INT16_MAX = 32767
_TEXT_PAD = 0


@dataclass(frozen=True)
class Image:
    """Registers of a device and the points among them."""

    words: Mapping[int, int]
    points: tuple[Point, ...]


def power_factor(largest_kva: float) -> int:
    """Smallest power of ten with which a power in W fits into an int16."""
    power = 0
    while largest_kva * W_PER_KW > _INT16_MAX * 10**power:
        power += 1
    return power


def build(models: Iterable[int], texts: Mapping[str, str], largest_kva: float, base: int = BASE) -> Image:
    """Registers of a device with these models.

    Args:
        models: in the order in which they come.
        texts: values of points that are text, such as `1.Md`.
        largest_kva: largest power of the device, by which powers are scaled.
        base: address of the marker.
    """
    words = dict(enumerate(sunspec.MARKER, start=base))
    points: list[Point] = []
    address = base + len(sunspec.MARKER)
    for model_id in models:
        registers = _model(model_id, texts, power_factor(largest_kva))
        model = sunspec.Model(id=model_id, address=address, length=len(registers) - sunspec_models.HEADER)
        points += sunspec.points_of(model, registers)[0]
        words.update(enumerate(registers, start=address))
        address += len(registers)
    words[address], words[address + 1] = sunspec.END, 0
    return Image(words, tuple(points))


def _model(model_id: int, texts: Mapping[str, str], power: int) -> list[int]:
    counts = _COUNTS.get(model_id, {})
    listed = sunspec_models.entries(model_id, counts)
    registers: list[int] = []
    for entry in listed:
        registers += _initial(entry, texts.get(f"{model_id}.{entry.name}", ""))
    factors = {**_FACTORS, **dict.fromkeys(_POWERS, power), **_CURVE_FACTORS.get(model_id, {})}
    known = {"ID": model_id, "L": len(registers) - sunspec_models.HEADER, **counts}
    for entry in listed:
        value = factors.get(entry.name, 0) if entry.kind == "sunssf" else known.get(entry.name)
        if value is not None:
            registers[entry.offset] = encode(value, DataType.INT16 if entry.kind == "sunssf" else DataType.UINT16)[0]
    return registers


def _initial(entry: sunspec_models.Entry, text: str) -> list[int]:
    """Registers of a point that is not implemented, or of a text."""
    if entry.kind == "string":
        data = text.encode("utf-8")[: 2 * entry.size].ljust(2 * entry.size, bytes((_TEXT_PAD,)))
        return list(struct.unpack(f">{entry.size}H", data))
    return list(sunspec.absent_words(entry))
