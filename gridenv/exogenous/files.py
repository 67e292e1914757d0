"""Reading data files with errors that say what is wrong with them; imports no JAX."""

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gridenv.core.errors import DataError, did_you_mean, raise_collected

DATA_FOLDER = Path(__file__).parent / "data"
"""Where the shipped data lie, each with its licence text beside it."""


def read_npz(path: Path, keys: Sequence[str], what: str) -> dict[str, np.ndarray]:
    """The named arrays of a NumPy archive.

    Args:
        path: the archive.
        keys: arrays that it must hold.
        what: what kind of file this is, for the messages; for example `profile file`.

    Raises:
        DataError: if the file is missing or unreadable, or an array is missing from it.
    """
    if not path.is_file():
        raise DataError(f"{what} '{path}': no such file; give the path of a file made with numpy.savez")
    try:
        with np.load(path, allow_pickle=False) as archive:
            present = tuple(archive.files)
            missing = [k for k in keys if k not in present]
            raise_collected([_missing(k, present, what, path) for k in missing], DataError)
            return {k: archive[k] for k in keys}
    except (ValueError, OSError, EOFError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{what} '{path}': cannot be read ({error}); allowed is a NumPy archive without pickled objects; "
            "write it with numpy.savez"
        ) from error


def _missing(key: str, present: Sequence[str], what: str, path: Path) -> str:
    return f"{what} '{path}': array '{key}' is missing; found: {', '.join(present) or 'none'}; add it with numpy.savez"


def unknown_names(names: Sequence[str], known: Sequence[str], what: str) -> list[str]:
    """One message for every name that is not known.

    Args:
        names: what was asked for.
        known: what there is.
        what: kind of the thing, for the messages; for example `profile`.
    """
    return [f"unknown {what} '{name}'{did_you_mean(name, known)}" for name in names if name not in known]


def repeated_names(names: Sequence[str], what: str) -> list[str]:
    """One message for every name that occurs more than once."""
    counts = {name: names.count(name) for name in names}
    return [f"{what} '{n}' appears {c} times; allowed: once; drop the others" for n, c in counts.items() if c > 1]
