"""A vector environment between two steps, as data."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """All that the following steps and resets of a vector environment depend on."""

    rows: tuple[Any, Any]
    """State and observation of the functional environment, a pytree of arrays with the environments in front."""
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
