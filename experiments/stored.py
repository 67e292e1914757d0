"""`comparison.json`: what a comparison found, as it is kept. Pages and documents are made from it alone."""

from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator

from experiments.per_episode import EpisodeValues
from experiments.statistics import Interval

RESULTS_FILE = "comparison.json"


class _Stored(BaseModel):
    """A part of the file. What later versions add is kept when the file is written again."""

    model_config = ConfigDict(frozen=True, extra="allow")


class StoredController(_Stored):
    """Entry of `evaluation.json`: one controller; means an episode with their intervals."""

    return_eur: Interval
    economic_eur: Interval
    constraint_eur: Interval
    cost: dict[str, float]
    cost_interval: dict[str, Interval]
    score_interval: Interval | None
    loss_kwh: float
    v_min_pu: float | None
    v_max_pu: float | None
    confidence_over: str
    per_episode: EpisodeValues | None = None
    """None for references that stand in an earlier entry of the file with it."""

    @field_validator("score_interval", mode="before")
    @classmethod
    def _none_without_scale(cls, value: Any) -> Any:
        return None if isinstance(value, dict) and None in value.values() else value


class StoredEvaluation(_Stored):
    """`evaluation.json`: an agent with all its seeds beside the references."""

    task: str
    split: str
    agent: str
    seeds: tuple[int, ...]
    episodes: int
    episodes_hash: str
    episode_starts: tuple[str, ...]
    steps_per_episode: int
    config_hash: str
    controllers: dict[str, StoredController]
    warnings: tuple[str, ...]


class StoredCurve(_Stored):
    """Evaluations on the way of one training."""

    steps: tuple[int, ...]
    return_eur: tuple[float, ...]


class Learning(_Stored):
    """How the return grew in training."""

    split: str
    references_eur: dict[str, float]
    """Mean return of references on the same days."""
    seeds: dict[str, StoredCurve]


class MadeWith(_Stored):
    """Where, when and with what the runs of an entry were made; several where they differ."""

    trained_utc: tuple[str, ...]
    machines: tuple[str, ...]
    python: tuple[str, ...]
    packages: dict[str, tuple[str, ...]]
    commits: tuple[str, ...]
    """Ends in `+` where files differed from the commit."""
    data_hash: tuple[str, ...]


class StoredEntry(_Stored):
    """One experiment of a comparison."""

    experiment: str
    agent: str
    steps: int
    training_s: float
    seeds_together: bool
    learning: Learning
    made_with: MadeWith
    evaluation: StoredEvaluation

    @property
    def trained(self) -> StoredController:
        """Results of the trained agent."""
        return self.evaluation.controllers[self.evaluation.agent]

    @property
    def references(self) -> dict[str, StoredController]:
        """Results of the references."""
        return {name: c for name, c in self.evaluation.controllers.items() if name != self.evaluation.agent}


class StoredComparison(_Stored):
    """`comparison.json`."""

    comparison: str
    entries: tuple[StoredEntry, ...]
