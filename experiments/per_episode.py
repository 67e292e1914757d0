"""What a controller earned and violated in every single episode, as `evaluation.json` keeps it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from experiments.statistics import Floats

if TYPE_CHECKING:
    from experiments.rollout import EpisodeResults

_DIGITS = 7
"""What float32 of the simulator holds."""
Values = tuple[float | None, ...]
"""A value an episode; None where it has none, as no power flow of the episode has a solution."""


@dataclass(frozen=True, kw_only=True)
class EpisodeValues:
    """One value an episode, in the order of the episodes; of several seeds their mean, of voltages the extreme."""

    return_eur: Values
    economic_eur: Values
    loss_kwh: Values
    v_min_pu: Values
    v_max_pu: Values
    cost: dict[str, Values]
    """By name of the cost."""
    return_eur_per_seed: dict[str, Values]
    """Of trained agents; by seed."""

    @classmethod
    def of(cls, results: Mapping[int, "EpisodeResults"], names: tuple[str, ...], *, is_trained: bool) -> Self:
        """Values of one controller.

        Args:
            results: by seed; a reference has one, under any key.
            names: of the costs, in the order of `EpisodeResults.cost`.
            is_trained: whether the keys are seeds.
        """
        every = list(results.values())
        mean_cost = np.mean([r.cost for r in every], axis=0)
        return cls(
            return_eur=_kept(np.mean([r.return_eur for r in every], axis=0)),
            economic_eur=_kept(np.mean([r.economic_eur for r in every], axis=0)),
            loss_kwh=_kept(np.mean([r.loss_kwh for r in every], axis=0)),
            v_min_pu=_kept(np.min([r.v_min_pu for r in every], axis=0)),
            v_max_pu=_kept(np.max([r.v_max_pu for r in every], axis=0)),
            cost={name: _kept(mean_cost[:, i]) for i, name in enumerate(names)},
            return_eur_per_seed={str(s): _kept(r.return_eur) for s, r in results.items()} if is_trained else {},
        )

    def to_json(self) -> dict[str, Any]:
        """Entry of `evaluation.json`."""
        return asdict(self)


def _kept(values: Floats) -> Values:
    return tuple(float(f"{value:.{_DIGITS}g}") if np.isfinite(value) else None for value in values)
