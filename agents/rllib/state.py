"""A training with RLlib between two updates, as data, and its file."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agents.checkpoint import check_arrays, damaged, read, write

Arrays = Mapping[str, np.ndarray]
MOMENTS = ("exp_avg", "exp_avg_sq", "step")
"""What Adam remembers of a parameter."""
_WEIGHTS = "weights"


@dataclass(frozen=True, kw_only=True)
class TrainingState:
    """All that the following updates depend on.

    Random numbers are no part of it: every update draws from streams of its own, which seed, update and process
    determine, and begins new episodes.
    """

    seed: int
    updates: int
    """Updates done."""
    weights: Mapping[str, Arrays]
    """Parameters of every module by name."""
    moments: Mapping[str, Mapping[str, Arrays]]
    """Kind (one of `MOMENTS`) -> module -> what the optimiser remembers of each parameter."""


def blank_moments(weights: Mapping[str, Arrays]) -> dict[str, dict[str, dict[str, np.ndarray]]]:
    """What Adam remembers before its first step."""
    return {
        kind: {
            module: {n: np.zeros(() if kind == "step" else v.shape, np.float32) for n, v in arrays.items()}
            for module, arrays in weights.items()
        }
        for kind in MOMENTS
    }


def save(path: Path, state: TrainingState, identity: dict[str, Any]) -> None:
    """Write a training so that the file is either complete or absent."""
    write(path, dict(_named(state.weights, state.moments)), {"identity": identity, "updates": state.updates})


def load(path: Path, begun: TrainingState, identity: dict[str, Any]) -> TrainingState:
    """The training that `save` wrote.

    Args:
        path: file to read.
        begun: a training of the same settings before its first update.
        identity: must equal what was saved.

    Raises:
        RunError: if the file is missing, damaged, belongs to something else or holds arrays of other shapes.
    """
    arrays, header = read(path, identity)
    check_arrays(path, dict(_named(begun.weights, begun.moments)), arrays)
    try:
        updates = int(header["updates"])
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(path, error) from error
    return TrainingState(
        seed=begun.seed,
        updates=updates,
        weights={m: {n: arrays[f"{_WEIGHTS}.{m}.{n}"] for n in names} for m, names in begun.weights.items()},
        moments={
            kind: {m: {n: arrays[f"{kind}.{m}.{n}"] for n in names} for m, names in begun.weights.items()}
            for kind in MOMENTS
        },
    )


def _named(weights: Mapping[str, Arrays], moments: Mapping[str, Mapping[str, Arrays]]) -> Iterator[tuple[str, Any]]:
    for kind, modules in {_WEIGHTS: weights, **moments}.items():
        for module, arrays in modules.items():
            yield from ((f"{kind}.{module}.{name}", array) for name, array in arrays.items())
