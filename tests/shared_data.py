"""Where the public acceptance data lie; tests that need them are skipped with a clear message when they are absent."""

from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).parents[1] / ".." / "shared" / "data"


def shared_file(relative: str) -> Path:
    """Path of a shared data file, such as `pandapower/cigre_mv.npz`; skips the test when it is absent."""
    path = SHARED_DATA / relative
    if not path.exists():
        pytest.skip(f"shared data file {relative} is absent; put it into shared/data beside the checkout")
    return path
