"""Marks of single values of a parametrised test."""

from typing import Any

import pytest


def slow(*values: Any) -> Any:
    """Values that `make test-all` tests and `make test` leaves out."""
    return pytest.param(*values, marks=pytest.mark.slow)
