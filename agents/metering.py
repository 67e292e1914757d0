"""What a learner earns while it trains: sums over environment steps, in EUR, and the metrics made of them."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float


class Sums:
    """Sums over environment steps; those of several environments and processes can be added."""

    def __init__(self, n_cost: int) -> None:
        self._n_cost = n_cost
        self.take()

    def add(self, reward_eur: float, economic_eur: float, cost: Float[np.ndarray, " cost"], steps: int) -> None:
        """Add what some steps brought."""
        self._values += np.concatenate([[reward_eur, economic_eur, steps], cost])

    def take(self) -> Float[np.ndarray, " sum"]:
        """Rewards and economic results in EUR, steps and costs since the last call."""
        values = getattr(self, "_values", None)
        self._values = np.zeros(3 + self._n_cost)
        return self._values.copy() if values is None else values


def means(sums: Sequence[Float[np.ndarray, " sum"]], cost_names: Sequence[str]) -> dict[str, float]:
    """Metrics from the sums of several environments: reward and economic result in EUR a step, and each cost."""
    reward_eur, economic_eur, steps, *costs = np.sum(sums, axis=0)
    named = {f"train/cost_{name}": float(cost / steps) for name, cost in zip(cost_names, costs, strict=True)}
    return {"train/reward_eur": float(reward_eur / steps), "train/economic_eur": float(economic_eur / steps), **named}
