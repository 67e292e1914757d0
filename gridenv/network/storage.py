"""Networks in a file: one NumPy archive without pickle, a member a column."""

import hashlib
import os
import tempfile
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

import numpy as np

from gridenv.network.phase_tables import PhaseNetworkSpec
from gridenv.network.spec import NetworkSpec, Table

FORMAT_VERSION = 2
"""Part of every cache key; raise it when the layout of the file changes."""

Spec = NetworkSpec | PhaseNetworkSpec
_SPEC_TYPES: dict[str, type[Spec]] = {"balanced": NetworkSpec, "three-phase": PhaseNetworkSpec}


def table_types(spec_type: type[Spec]) -> dict[str, type[Table]]:
    """Tables of a kind of network and their classes."""
    return {f.name: cast(type[Table], f.type) for f in fields(spec_type) if f.name != "name"}


def save(spec: Spec, path: Path) -> None:
    """Write a network; the file appears complete or not at all."""
    members = _members(spec)
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez_compressed(file, allow_pickle=False, **members)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def digest(spec: Spec) -> str:
    """SHA-256 of everything in a network."""
    hashed = hashlib.sha256()
    for name, column in _members(spec).items():
        hashed.update(f"{name} {column.dtype} {column.shape}\n".encode())
        hashed.update(repr(column.tolist()).encode() if column.dtype.hasobject else np.ascontiguousarray(column).data)
    return hashed.hexdigest()


def _members(spec: Spec) -> dict[str, np.ndarray]:
    kind = next(kind for kind, spec_type in _SPEC_TYPES.items() if isinstance(spec, spec_type))
    members: dict[str, np.ndarray] = {"name": np.array(spec.name), "kind": np.array(kind)}
    for table_name in table_types(type(spec)):
        table = getattr(spec, table_name)
        members |= {f"{table_name}.{f.name}": np.asarray(getattr(table, f.name)) for f in fields(table)}
    return members


def load(path: Path) -> Spec:
    """Read a network that `save` wrote.

    Raises:
        OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error: if the file is absent or damaged.
    """
    with path.open("rb") as file, np.load(file, allow_pickle=False) as members:
        tables: dict[str, Any] = {}
        spec_type = _SPEC_TYPES[str(members["kind"])]
        for table_name, table_type in table_types(spec_type).items():
            columns: dict[str, Any] = {f.name: members[f"{table_name}.{f.name}"] for f in fields(table_type)}
            names = {
                name: tuple(str(i) for i in column) for name, column in columns.items() if column.dtype.kind == "U"
            }
            empty = {f.name: () for f in fields(table_type) if "dtype" not in f.metadata and f.name not in names}
            tables[table_name] = table_type(**(columns | names | empty))
        return spec_type(name=str(members["name"]), **tables)
