"""What a three-phase network file may hold: models made from the columns of the tables, and matrices as triangles."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator

from gridenv.core.units import S_PER_US
from gridenv.network.phase_tables import (
    MAX_CONDUCTORS,
    CapacitorControlTable,
    CapacitorTable,
    PhaseInjectionTable,
    PhaseLineTable,
    PhaseSourceTable,
    PhaseTransformerTable,
    RegulatorTable,
    WindingTable,
)
from gridenv.network.spec import Table

Triangle = tuple[tuple[float, ...], ...]
"""Lower triangle of a symmetric matrix, a row a conductor: [[a], [b, c], [d, e, f]]."""

LENGTH_UNITS_M = {"mi": 1609.344, "kft": 304.8, "km": 1e3, "m": 1.0, "ft": 0.3048}
"""Units of length, m. Source: international mile and foot."""


class Strict(BaseModel):
    """Frozen, and refuses keys that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def square(triangle: Triangle, factor: float = 1.0) -> NDArray[np.float64]:
    """The 3 x 3 matrix of a lower triangle times `factor`; rows of absent conductors are zero."""
    matrix = np.zeros((MAX_CONDUCTORS, MAX_CONDUCTORS))
    for i, row in enumerate(triangle):
        for j, value in enumerate(row):
            matrix[i, j] = matrix[j, i] = value * factor
    return matrix


class Matrices(Strict):
    """Series resistance and reactance and shunt admittance of coupled conductors."""

    r_ohm: Triangle = ()
    x_ohm: Triangle = ()
    b_us: Triangle = ()
    g_us: Triangle = ()

    @model_validator(mode="after")
    def _are_triangles(self) -> "Matrices":
        for name in ("r_ohm", "x_ohm", "b_us", "g_us"):
            rows = getattr(self, name)
            lengths = [len(row) for row in rows]
            n = len(self.r_ohm)
            if lengths != list(range(1, len(rows) + 1)) or n > MAX_CONDUCTORS or (rows and len(rows) != n):
                raise ValueError(
                    f"{name} has rows of {lengths} numbers; must be a lower triangle [[a], [b, c], [d, e, f]] with at "
                    f"most {MAX_CONDUCTORS} rows, as many as r_ohm"
                )
        if len(self.x_ohm) != len(self.r_ohm):
            raise ValueError("x_ohm is missing; must have as many rows as r_ohm")
        return self

    def z_ohm(self, length: float = 1.0) -> NDArray[np.complex128]:
        """Series impedance over a length."""
        return np.asarray(square(self.r_ohm, length) + 1j * square(self.x_ohm, length), dtype=complex)

    def y_s(self, length: float = 1.0) -> NDArray[np.complex128]:
        """Shunt admittance over a length."""
        g, b = (square(t, length * S_PER_US) for t in (self.g_us, self.b_us))
        return np.asarray(g + 1j * b, dtype=complex)


def row_model(
    name: str, table: type[Table], *, without: Sequence[str] = (), base: type[BaseModel] = Strict, **extra: Any
) -> type[BaseModel]:
    """A model of a row of a table; columns of complex numbers are left out.

    Args:
        name: of the model.
        table: whose columns become fields, with their defaults.
        without: columns that are written in another way.
        base: model to extend.
        extra: further fields, as `pydantic.create_model` takes them.
    """
    columns: dict[str, Any] = {}
    for f in fields(table):
        dtype = f.metadata.get("dtype", str)
        if f.name in without or dtype is complex:
            continue
        default = f.metadata.get("default")
        columns[f.name] = (dtype, ... if default is None else default)
    model: type[BaseModel] = create_model(name, __base__=base, **columns, **extra)
    return model


class BusGroup(Strict):
    """Buses of one nominal voltage."""

    vn_kv: float
    ids: tuple[str, ...]


SourceRow: Any = row_model("SourceRow", PhaseSourceTable, without=("angle_rad",), base=Matrices, angle_deg=(float, 0.0))
LineRow: Any = row_model(
    "LineRow",
    PhaseLineTable,
    without=("from_phases", "to_phases"),
    base=Matrices,
    phases=(str, ...),
    to_phases=(str, ""),
    code=(str, ""),
    length=(float, 0.0),
)
WindingRow: Any = row_model(
    "WindingRow",
    WindingTable,
    without=("id", "transformer"),
    r_neutral_ohm=(float, 0.0),
    x_neutral_ohm=(float, 0.0),
)
TransformerRow: Any = row_model(
    "TransformerRow", PhaseTransformerTable, windings=(tuple[WindingRow, ...], Field(min_length=2, max_length=3))
)
RegulatorRow: Any = row_model("RegulatorRow", RegulatorTable)
CapacitorRow: Any = row_model("CapacitorRow", CapacitorTable)
CapacitorControlRow: Any = row_model("CapacitorControlRow", CapacitorControlTable)
InjectionRow: Any = row_model("InjectionRow", PhaseInjectionTable)

PLAIN_TABLES: dict[str, type[Table]] = {
    "regulators": RegulatorTable,
    "capacitors": CapacitorTable,
    "capacitor_controls": CapacitorControlTable,
    "injections": PhaseInjectionTable,
}
"""Tables that a file holds column by column."""

NetworkFile: Any = create_model(
    "NetworkFile",
    __base__=Strict,
    name=(str, ...),
    description=(str, ""),
    source=(str, ""),
    code_length_unit=(str, "km"),
    length_unit=(str, "km"),
    buses=(tuple[BusGroup, ...], ...),
    sources=(tuple[SourceRow, ...], ...),
    line_codes=(dict[str, Matrices], Field(default_factory=dict)),
    lines=(tuple[LineRow, ...], ()),
    transformers=(tuple[TransformerRow, ...], ()),
    regulators=(tuple[RegulatorRow, ...], ()),
    capacitors=(tuple[CapacitorRow, ...], ()),
    capacitor_controls=(tuple[CapacitorControlRow, ...], ()),
    injections=(tuple[InjectionRow, ...], ()),
)
