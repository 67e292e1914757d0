"""A vector environment between two steps, as data."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """All that the following steps and resets of a vector environment depend on."""

    rows: dict[str, np.ndarray]
    """Arrays of the functional environment's state and observation by their places in it, the environments in front;
    a vector environment of one has two rows."""
    finished: Bool[np.ndarray, " env"]
    """Where the last step ended an episode."""
    generators: tuple[dict[str, Any] | None, ...]
    """State of each environment's generator of episodes, JSON-serialisable; None if it has none yet."""
    seeds: tuple[int | None, ...]
    """Seed of each of them."""


def generator_of(state: dict[str, Any] | None) -> np.random.Generator | None:
    """A generator that goes on from a state."""
    if state is None:
        return None
    generator = np.random.Generator(np.random.PCG64())
    generator.bit_generator.state = state
    return generator
