"""The process's own random generators, which libraries on torch draw from, kept apart for each training."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


class Generators:
    """States of the generators of `random`, NumPy and torch that belong to one training.

    Whatever else runs in the process neither disturbs the training nor is disturbed by it.
    """

    def __init__(self) -> None:
        self._state = _current()

    @contextmanager
    def used(self) -> Iterator[None]:
        """Within this context the process's generators are those of the training."""
        outside = _current()
        _set(self._state)
        try:
            yield
        finally:
            self._state = _current()
            _set(outside)

    def to_json(self) -> dict[str, Any]:
        """The states, JSON-serialisable."""
        version, words, gauss = self._state["python"]
        numpy = self._state["numpy"]
        return {
            "python": [version, list(words), gauss],
            "numpy": {**numpy, "state": {**numpy["state"], "key": numpy["state"]["key"].tolist()}},
            "torch": self._state["torch"].tolist(),
        }

    def take_over(self, values: dict[str, Any]) -> None:
        """Go on from states that `to_json` gave.

        Raises:
            KeyError, TypeError, ValueError: for anything else.
        """
        version, words, gauss = values["python"]
        numpy = values["numpy"]
        key = np.asarray(numpy["state"]["key"], np.uint32)
        self._state = {
            "python": (version, tuple(words), gauss),
            "numpy": {**numpy, "state": {**numpy["state"], "key": key}},
            "torch": torch.tensor(values["torch"], dtype=torch.uint8),
        }


@contextmanager
def threads(number: int) -> Iterator[None]:
    """Within this context torch uses this many processors."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _current() -> dict[str, Any]:
    return {
        "python": random.getstate(),
        "numpy": np.random.get_state(legacy=False),  # noqa: NPY002
        "torch": torch.get_rng_state(),
    }


def _set(state: dict[str, Any]) -> None:
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])  # noqa: NPY002
    torch.set_rng_state(state["torch"])
