"""Means with confidence intervals, and scores.

Intervals are percentile bootstraps of the mean with a fixed random stream, so the same results give the same interval.
Source: B. Efron, R. Tibshirani, "An Introduction to the Bootstrap", Chapman & Hall, 1993, chapter 13.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

CONFIDENCE = 0.95
RULE, ORACLE = "rule", "oracle"
"""The two references at the ends of the scale of scores, 0 and 1."""
_RESAMPLES = 9_999
_SEED = 0

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A mean and the interval that holds the true one with 95 % confidence."""

    mean: float
    low: float
    high: float

    def to_json(self) -> dict[str, float]:
        """The three numbers by name."""
        return {"mean": self.mean, "low": self.low, "high": self.high}


def mean_interval(samples: Sequence[float] | Floats) -> Interval:
    """Mean of independent samples with its interval; a single sample is its own interval."""
    return _bootstrap(np.mean, [np.asarray(samples, np.float64)])


def score(agent: float, rule: float, oracle: float) -> float:
    """0 = as good as the rule, 1 = as good as the upper reference; NaN where the two references are equal."""
    return (agent - rule) / (oracle - rule) if oracle != rule else float("nan")


def score_interval(agent: Floats, rule: Floats, oracle: Floats) -> Interval:
    """Score of one policy from the returns of the same episodes, the interval over episodes."""

    def of_means(agent: Floats, rule: Floats, oracle: Floats, axis: int = -1) -> Any:
        gained, possible = np.mean(agent - rule, axis=axis), np.mean(oracle - rule, axis=axis)
        return np.divide(gained, possible, out=np.full_like(gained, np.nan), where=possible != 0)

    return _bootstrap(of_means, [agent, rule, oracle])


def ratio_interval(above: Floats, below: Floats) -> Interval:
    """Ratio of the means of paired samples with its interval; NaN where the mean below is zero."""

    def of_means(above: Floats, below: Floats, axis: int = -1) -> Any:
        top, bottom = np.mean(above, axis=axis), np.mean(below, axis=axis)
        return np.divide(top, bottom, out=np.full_like(top, np.nan), where=bottom != 0)

    if not np.any(below):
        return Interval(np.nan, np.nan, np.nan)
    ratio = float(of_means(above, below))
    # In proportion every resample gives the same, of which the bootstrap makes no interval.
    return Interval(ratio, ratio, ratio) if np.allclose(above, ratio * below) else _bootstrap(of_means, [above, below])


def _bootstrap(statistic: Callable[..., Any], samples: list[Floats]) -> Interval:
    mean = float(statistic(*samples, axis=-1))
    if len(samples[0]) < 2 or all(np.ptp(s) == 0.0 for s in samples):
        return Interval(mean, mean, mean)
    interval = stats.bootstrap(
        samples,
        statistic,
        paired=len(samples) > 1,
        vectorized=True,
        confidence_level=CONFIDENCE,
        n_resamples=_RESAMPLES,
        method="percentile",
        batch=1_000,
        rng=np.random.default_rng(_SEED),
    ).confidence_interval
    return Interval(mean, float(interval.low), float(interval.high))
