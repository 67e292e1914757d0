"""Register maps in files: our own YAML, and the CSV registries of VOLTTRON."""

import csv
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gridenv.core.config import check, display_path, named_file, read_yaml
from gridenv.core.errors import raise_collected
from gridenv.core.layer import Layer
from hardware_in_loop.errors import RegisterMapError
from hardware_in_loop.registers.codec import ByteOrder, DataType
from hardware_in_loop.registers.maps import RegisterMap
from hardware_in_loop.registers.points import Table

CSV_SUFFIX = ".csv"
_NAME = ("Volttron Point Name", "Register Name", "Point Name")
_ADDRESS = ("Point Address", "Address")
_TYPE = ("Modbus Register", "Type")
_FORMATS: Mapping[str, DataType] = {
    "h": DataType.INT16,
    "H": DataType.UINT16,
    "i": DataType.INT32,
    "l": DataType.INT32,
    "I": DataType.UINT32,
    "L": DataType.UINT32,
    "q": DataType.INT64,
    "Q": DataType.UINT64,
    "f": DataType.FLOAT32,
    "d": DataType.FLOAT64,
    "int16": DataType.INT16,
    "uint16": DataType.UINT16,
    "int32": DataType.INT32,
    "uint32": DataType.UINT32,
    "int64": DataType.INT64,
    "uint64": DataType.UINT64,
    "float": DataType.FLOAT32,
    "float32": DataType.FLOAT32,
    "float64": DataType.FLOAT64,
}
"""Letters of Python's struct module, and the names of the modbus_tk driver."""
_TABLES: Mapping[str, Table] = {
    "analog_output_holding_registers": Table.HOLDING,
    "analog_input_registers": Table.INPUT,
    "discrete_output_coils": Table.COIL,
    "discrete_input_registers": Table.DISCRETE,
}
_SCALE = re.compile(r"scale\(\s*([-+0-9.eE]+)\s*\)")
_YES = ("true", "yes", "1", "y", "t")


def read_register_map(path: Path) -> RegisterMap:
    """The map of a file.

    Args:
        path: YAML as in docs/hil/register_maps.md, or a CSV registry of VOLTTRON's modbus or modbus_tk driver; there
            the further columns Scale, Offset, Min, Max and Sign may stand.

    Raises:
        ConfigError: with everything that is wrong with it, one line each.
    """
    shown = display_path(path)
    where = f"register map '{shown}'"
    layer = _read_csv(path) if path.suffix.lower() == CSV_SUFFIX else read_yaml(path)
    layer = Layer({"name": path.stem, **layer.values}, layer.origin)
    checked, problems = check(RegisterMap, layer, where)
    if checked is not None:
        problems = [f"{where}: {p.partition(': ')[2]}" for p in checked.problems]
    raise_collected(problems, RegisterMapError)
    assert checked is not None
    return checked


def named_register_map(name: str, folder: Path, beside: Path) -> RegisterMap:
    """A map by its name in `folder`, or by a path, which is relative to `beside`.

    Raises:
        ConfigError: if there is none, or with everything that is wrong with it.
    """
    path = beside / name
    if Path(name).suffix.lower() in (CSV_SUFFIX, ".yaml") and path.is_file():
        return read_register_map(path)
    return read_register_map(named_file("register map", name, folder))


def _read_csv(path: Path) -> Layer:
    shown = display_path(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RegisterMapError(f"register map '{shown}': cannot be read ({error}); name a CSV file") from error
    points: list[dict[str, Any]] = []
    problems: list[str] = []
    origin: dict[str, str] = {}
    for line, row in enumerate(rows, start=2):
        cells = {key.strip(): (value or "").strip() for key, value in row.items() if isinstance(key, str)}
        if not any(cells.values()):
            continue
        try:
            point = _csv_point(cells)
        except ValueError as error:
            problems.append(f"register map '{shown}': line {line}: {error}")
            continue
        origin[f"points.{len(points)}"] = f"{shown}:{line}"
        points.append(point)
    raise_collected(problems, RegisterMapError)
    return Layer({"points": points, "readable_holes": False}, origin)


def _csv_point(cells: Mapping[str, str]) -> dict[str, Any]:
    is_writable = cells.get("Writable", "").lower() in _YES
    text = _cell(cells, _TYPE)
    is_bit = text.lower() in ("bool", "boolean")
    point: dict[str, Any] = {
        "name": _cell(cells, _NAME),
        "address": int(_cell(cells, _ADDRESS)),
        "table": _table(cells, is_bit, is_writable),
        "access": "rw" if is_writable else "r",
        "unit": cells.get("Units", ""),
        "description": cells.get("Notes", ""),
    }
    if not is_bit:
        point |= _csv_number(text, cells)
    for key, column in (("offset", "Offset"), ("min", "Min"), ("max", "Max")):
        if cells.get(column):
            point[key] = float(cells[column])
    if cells.get("Sign"):
        point["sign"] = cells["Sign"].lower()
    return point


def _csv_number(text: str, cells: Mapping[str, str]) -> dict[str, Any]:
    """Type, order and scale; without a scale VOLTTRON takes counts as they are."""
    little = text.startswith("<")
    kind = _FORMATS.get(text.lstrip("<>!=@"))
    if kind is None:
        raise ValueError(f"unknown type '{text}'; known: {', '.join(_FORMATS)}, BOOL")
    mixed = cells.get("Mixed Endian", "").lower() in _YES
    order = {
        (False, False): ByteOrder.ABCD,
        (False, True): ByteOrder.CDAB,
        (True, False): ByteOrder.DCBA,
        (True, True): ByteOrder.BADC,
    }[little, mixed]
    scale = _SCALE.fullmatch(cells.get("Transform", ""))
    if cells.get("Transform") and scale is None:
        raise ValueError(f"transform '{cells['Transform']}' is not known; allowed: scale(<number>)")
    given = scale[1] if scale else cells.get("Scale") or "1"
    return {"type": kind, "byte_order": order, "scale": float(given)}


def _table(cells: Mapping[str, str], is_bit: bool, is_writable: bool) -> Table:
    """As stated, or as VOLTTRON's modbus driver chooses: what cannot be written is an input."""
    stated = cells.get("Table", "")
    if stated:
        if stated not in _TABLES:
            raise ValueError(f"unknown table '{stated}'; known: {', '.join(_TABLES)}")
        return _TABLES[stated]
    if is_bit:
        return Table.COIL if is_writable else Table.DISCRETE
    return Table.HOLDING if is_writable else Table.INPUT


def _cell(cells: Mapping[str, str], names: tuple[str, ...]) -> str:
    for name in names:
        if cells.get(name):
            return cells[name]
    raise ValueError(f"has no {' or '.join(names)}; fill the column in")
