"""Networks of users: read from a file, or given as an object and kept under a name that says what is in them."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from gridenv.core.archives import DAMAGED
from gridenv.core.cache import cache_dir
from gridenv.core.config import display_path
from gridenv.core.errors import NetworkError
from gridenv.network import balanced_yaml, phase_yaml, storage
from gridenv.network.converted import converted
from gridenv.network.import_opendss import from_opendss
from gridenv.network.import_pandapower import from_pandapower, read_pandapower
from gridenv.network.phase_tables import PhaseNetworkSpec
from gridenv.network.spec import NetworkSpec

Spec = NetworkSpec | PhaseNetworkSpec
KEPT_PREFIX = "own:"
"""Begins the names of networks that were given as objects."""
_DIGEST_DIGITS = 16
_PANDAPOWER = "pandapowerNet"


def is_own(name: str) -> bool:
    """Whether a name means a network of the user and none of the catalogue."""
    return name.startswith(KEPT_PREFIX) or Path(name).suffix.lower() in _READERS


def load_own(name: str) -> Spec:
    """The network of a file, or one that `name_of` kept; its name is the one asked for.

    Args:
        name: path of a pandapower network as `pandapower.to_json` writes it (`.json`), of a network file as
            docs/networks.md describes it (`.yaml`) or of an OpenDSS script (`.dss`); or a name from `name_of`.

    Raises:
        NetworkError: if there is no such network, or it is inconsistent or incomplete.
        ConfigError: for a damaged network file of three phases.
        MissingExtraError: for a script without OpenDSS.
    """
    if name.startswith(KEPT_PREFIX):
        return _kept(name)
    path = Path(name)
    if not path.is_file():
        raise NetworkError(f"network '{name}': there is no such file; give the path of one, or a name of the catalogue")
    return replace(_READERS[path.suffix.lower()](path), name=name)


def name_of(network: Any) -> str:
    """A name that stands for a network in settings; an object is kept on disk and named by its contents.

    Args:
        network: a name or path, tables, or a pandapower network (three-phase where it has asymmetric elements).

    Raises:
        NetworkError: if it is none of these, or is inconsistent or incomplete.
    """
    if isinstance(network, str | Path):
        return str(network)
    if not isinstance(network, Spec):
        if type(network).__name__ != _PANDAPOWER:
            raise NetworkError(
                f"network: is a {type(network).__name__}; allowed: a name of the catalogue, the path of a file, or a "
                "network of gridenv or pandapower; give one of them"
            )
        network = from_pandapower(network, phases=_phases(network))
    stem = re.sub(r"[^\w.-]+", "-", network.name).strip("-") or "network"
    name = f"{KEPT_PREFIX}{stem}-{storage.digest(network)[:_DIGEST_DIGITS]}"
    if not _kept_path(name).is_file():
        storage.save(network, _kept_path(name))
    return name


def digest_of(name: str) -> str:
    """SHA-256 of a network that is read from a file; empty for all others, whose name says what they are."""
    return storage.digest(load_own(name)) if is_own(name) and not name.startswith(KEPT_PREFIX) else ""


def _kept_path(name: str) -> Path:
    return cache_dir("own_networks") / f"{name.removeprefix(KEPT_PREFIX)}.npz"


def _kept(name: str) -> Spec:
    try:
        return replace(storage.load(_kept_path(name)), name=name)
    except DAMAGED:
        raise NetworkError(
            f"network '{name}': is not kept on this machine; give it to a task as an object once more, or give "
            "the task a file"
        ) from None


def _phases(net: Any) -> Any:
    """3 for a pandapower network that has asymmetric elements, else 1."""
    tables = [getattr(net, table, ()) for table in ("asymmetric_load", "asymmetric_sgen")]
    return 3 if any(len(table) for table in tables) else 1


def _read_json(path: Path) -> Spec:
    """Converted once for each content of the file."""

    def convert() -> Spec:
        net = read_pandapower(path)
        spec: Spec = from_pandapower(net, phases=_phases(net))
        return spec

    return converted(hashlib.sha256(path.read_bytes()).hexdigest(), ("pandapower",), convert)


def _read_yaml(path: Path) -> Spec:
    try:
        file = yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CBaseLoader", yaml.BaseLoader))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        line = str(error).strip().partition("\n")[0]
        raise NetworkError(f"network file '{display_path(path)}': is not YAML ({line}); correct it") from error
    buses = file.get("buses") if isinstance(file, dict) else None
    # Balanced files have a row for each bus, the others list buses of equal voltage.
    is_balanced = isinstance(buses, list) and all(isinstance(row, dict) and "ids" not in row for row in buses)
    return balanced_yaml.load(path) if is_balanced else phase_yaml.load(path)


_READERS: dict[str, Callable[[Path], Spec]] = {
    ".json": _read_json,
    ".yaml": _read_yaml,
    ".yml": _read_yaml,
    ".dss": lambda path: from_opendss(str(path)),
}
