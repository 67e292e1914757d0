"""The numbers of an evaluation: per controller, with confidence, as tables and `evaluation.json` show them."""

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.dates import date_of
from experiments.evaluate import Evaluation
from experiments.per_episode import EpisodeValues
from experiments.rollout import EpisodeResults, Floats
from experiments.statistics import ORACLE, RULE, Interval, mean_interval, score, score_interval

_TOLERANCE = 1e-3
"""References may miss their order by this share before it is reported: float32 and a search that stops early."""
_REFERENCE_ORDER = (ORACLE, RULE, "none")


@dataclass(frozen=True, kw_only=True)
class ControllerSummary:
    """One line of the table of controllers; all values are per episode."""

    name: str
    return_eur: Interval
    economic_eur: Interval
    constraint_eur: Interval
    """Weighted costs of the limits broken: economic less penalised return."""
    cost: dict[str, Interval]
    loss_kwh: Interval
    v_band_share: Interval
    """Share of bus-steps outside the voltage band."""
    v_min_pu: float
    """Lowest voltage of all episodes (and seeds)."""
    v_max_pu: float
    score: Interval | None
    """0 = rule, 1 = oracle; None where one of the two was not run."""
    confidence_over: str
    """What the intervals vary: `seeds` or `episodes`."""
    score_per_seed: dict[int, float]
    cost_per_seed: dict[int, dict[str, float]]
    per_episode: EpisodeValues

    def to_json(self) -> dict[str, Any]:
        """Entry of `evaluation.json`."""
        return {
            "return_eur": self.return_eur.to_json(),
            "economic_eur": self.economic_eur.to_json(),
            "constraint_eur": self.constraint_eur.to_json(),
            "cost": {name: interval.mean for name, interval in self.cost.items()},
            "cost_interval": {name: interval.to_json() for name, interval in self.cost.items()},
            "score": _number(self.score.mean) if self.score else None,
            "score_interval": {k: _number(v) for k, v in self.score.to_json().items()} if self.score else None,
            "score_per_seed": {str(seed): _number(value) for seed, value in self.score_per_seed.items()},
            "cost_per_seed": {str(seed): costs for seed, costs in self.cost_per_seed.items()},
            "loss_kwh": self.loss_kwh.mean,
            "loss_kwh_interval": self.loss_kwh.to_json(),
            "v_band_share": self.v_band_share.mean,
            "v_band_share_interval": self.v_band_share.to_json(),
            "v_min_pu": _number(self.v_min_pu),
            "v_max_pu": _number(self.v_max_pu),
            "confidence_over": self.confidence_over,
            "per_episode": self.per_episode.to_json(),
        }


@dataclass(frozen=True, kw_only=True)
class Summary:
    """An evaluation in numbers."""

    experiment: str
    task: str
    split: str
    episodes: int
    episodes_hash: str
    """Hash of the list of episodes, `provenance.episodes_hash`: equal hashes are means over the same days."""
    episode_starts: tuple[str, ...]
    """Date and time at which each episode begins."""
    steps_per_episode: int
    agent: str
    seeds: tuple[int, ...]
    config_hash: str
    controllers: tuple[ControllerSummary, ...]
    """The agent first."""
    warnings: tuple[str, ...]

    def controller(self, name: str) -> ControllerSummary | None:
        """The line of a controller, if it was run."""
        return next((c for c in self.controllers if c.name == name), None)

    def to_json(self) -> dict[str, Any]:
        """Contents of `evaluation.json`."""
        return {
            "task": self.task,
            "split": self.split,
            "experiment": self.experiment,
            "agent": self.agent,
            "seeds": list(self.seeds),
            "episodes": self.episodes,
            "episodes_hash": self.episodes_hash,
            "episode_starts": list(self.episode_starts),
            "steps_per_episode": self.steps_per_episode,
            "config_hash": self.config_hash,
            "controllers": {c.name: c.to_json() for c in self.controllers},
            "warnings": list(self.warnings),
        }


def summarise(evaluation: Evaluation) -> Summary:
    """All numbers of an evaluation."""
    config = evaluation.config
    references = [_reference_summary(evaluation, name, r) for name, r in evaluation.references.items()]
    return Summary(
        experiment=config.name,
        task=config.task_id,
        split=evaluation.split,
        episodes=len(evaluation.starts),
        episodes_hash=evaluation.episodes_hash,
        episode_starts=tuple(date_of(int(start)).isoformat(timespec="minutes") for start in evaluation.starts),
        steps_per_episode=evaluation.params.steps_per_episode,
        agent=evaluation.agent_name,
        seeds=tuple(evaluation.seeds),
        config_hash=evaluation.config_hash,
        controllers=(_agent_summary(evaluation), *references),
        warnings=tuple(_warnings(evaluation)),
    )


def _agent_summary(evaluation: Evaluation) -> ControllerSummary:
    per_seed = evaluation.seeds
    costs = {
        seed: {name: float(r.cost_of(evaluation.cost_names, name).mean()) for name in evaluation.cost_names}
        for seed, r in per_seed.items()
    }
    scores = {seed: _score(evaluation, r) for seed, r in per_seed.items()} if evaluation.has_score else {}
    return _summary(evaluation, evaluation.agent_name, per_seed, scores, costs)


def _reference_summary(evaluation: Evaluation, name: str, results: EpisodeResults) -> ControllerSummary:
    return _summary(evaluation, name, {0: results}, {}, {})


def _summary(
    evaluation: Evaluation,
    name: str,
    by_seed: Mapping[int, EpisodeResults],
    score_per_seed: dict[int, float],
    cost_per_seed: dict[int, dict[str, float]],
) -> ControllerSummary:
    results = list(by_seed.values())

    def interval(values: Callable[[EpisodeResults], Floats]) -> Interval:
        return mean_interval([values(r).mean() for r in results] if len(results) > 1 else values(results[0]))

    names = evaluation.cost_names
    return ControllerSummary(
        name=name,
        return_eur=interval(lambda r: r.return_eur),
        economic_eur=interval(lambda r: r.economic_eur),
        constraint_eur=interval(lambda r: r.economic_eur - r.return_eur),
        cost={cost: interval(lambda r, cost=cost: r.cost_of(names, cost)) for cost in names},  # type: ignore[misc]
        loss_kwh=interval(lambda r: r.loss_kwh),
        v_band_share=interval(lambda r: r.v_band_share),
        v_min_pu=min(float(r.v_min_pu.min()) for r in results),
        v_max_pu=max(float(r.v_max_pu.max()) for r in results),
        score=_score_interval(evaluation, results, score_per_seed),
        confidence_over="seeds" if len(results) > 1 else "episodes",
        score_per_seed=score_per_seed,
        cost_per_seed=cost_per_seed,
        per_episode=EpisodeValues.of(by_seed, names, is_trained=bool(cost_per_seed)),
    )


def _score_interval(
    evaluation: Evaluation, results: list[EpisodeResults], score_per_seed: dict[int, float]
) -> Interval | None:
    if not evaluation.has_score:
        return None
    if len(results) > 1:
        return mean_interval(list(score_per_seed.values()))
    rule, oracle = (evaluation.references[name].return_eur for name in (RULE, ORACLE))
    return score_interval(results[0].return_eur, rule, oracle)


def _score(evaluation: Evaluation, results: EpisodeResults) -> float:
    rule, oracle = (float(evaluation.references[name].return_eur.mean()) for name in (RULE, ORACLE))
    return score(float(results.return_eur.mean()), rule, oracle)


def _warnings(evaluation: Evaluation) -> list[str]:
    """What a score takes for granted and is not so: the order of the references, and the list of episodes."""
    mean = {name: float(r.return_eur.mean()) for name, r in evaluation.references.items()}
    order = [name for name in _REFERENCE_ORDER if name in mean]
    found = [
        f"reference '{better}' ({mean[better]:,.2f} EUR) is worse than '{worse}' ({mean[worse]:,.2f} EUR) on the "
        f"{evaluation.split} days; scores mean little here"
        for better, worse in itertools.pairwise(order)
        if mean[better] < mean[worse] - _TOLERANCE * abs(mean[worse])
    ]
    failed = [name for name, r in evaluation.references.items() if np.isinf(r.v_min_pu).any()]
    found += [f"reference '{name}' has episodes without any power-flow solution" for name in failed]
    return found + [
        f"run '{run}' was made when the {evaluation.split} split had other episodes; compare it with none made since"
        for run in evaluation.runs
        if run.versions.get("episodes", {}).get(evaluation.split, evaluation.episodes_hash) != evaluation.episodes_hash
    ]


def _number(value: float) -> float | None:
    """The value as JSON can hold it."""
    return value if math.isfinite(value) else None
