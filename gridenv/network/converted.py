"""Networks that are converted once and kept on disk, as converting takes seconds."""

import hashlib
import importlib.metadata
from collections.abc import Callable, Sequence
from pathlib import Path

from gridenv.core.archives import DAMAGED
from gridenv.core.cache import cache_dir
from gridenv.core.errors import MissingExtraError
from gridenv.network import storage
from gridenv.network.storage import Spec

_SOURCES = (
    "import_pandapower.py",
    "import_pandapower_phases.py",
    "pandapower_phase_transformers.py",
    "pandapower_tables.py",
    "transformer.py",
    "spec.py",
    "phase_tables.py",
    "storage.py",
    "catalog.py",
    "own.py",
)


def converted(what: str, packages: Sequence[str], convert: Callable[[], Spec]) -> Spec:
    """The network from the cache, or converted and put there; a damaged file is written anew.

    Args:
        what: says with the packages' versions what is converted.
        packages: that `convert` uses; of the extras of the same names.
        convert: makes the network.

    Raises:
        MissingExtraError: if one of the packages is not installed.
    """
    path = cache_dir("networks") / f"{cache_key(what, packages)}.npz"
    try:
        return storage.load(path)
    except DAMAGED:
        spec = convert()
        storage.save(spec, path)
        return spec


def cache_key(what: str, packages: Sequence[str]) -> str:
    """Changes with the packages' versions and with the code that converts and stores.

    Raises:
        MissingExtraError: if one of the packages is not installed.
    """
    digest = hashlib.sha256(f"{what}\n{storage.FORMAT_VERSION}\n".encode())
    for package in packages:
        digest.update(f"{package} {_version(package)}\n".encode())
    for source in _SOURCES:
        digest.update(Path(__file__).with_name(source).read_bytes())
    return digest.hexdigest()


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        raise MissingExtraError(
            f"network catalogue: package '{package}' is not installed; "
            f'install it with pip install "gridenv[{package}]"'
        ) from None
