"""Where gridenv keeps what it can compute again: compiled programs and converted networks."""

import os
from pathlib import Path

CACHE_VARIABLE = "GRIDENV_CACHE_DIR"


def cache_dir(name: str) -> Path:
    """A folder below `$GRIDENV_CACHE_DIR`, made if missing; else `$XDG_CACHE_HOME/gridenv` or `~/.cache/gridenv`."""
    base = os.environ.get(CACHE_VARIABLE)
    root = Path(base) if base else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "gridenv"
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder
