"""Intervals and scores against hand-worked numbers."""

import math

import numpy as np
import pytest

from experiments.statistics import mean_interval, score, score_interval


def test_score_is_zero_for_the_rule_and_one_for_the_oracle() -> None:
    assert score(-100.0, -100.0, -50.0) == 0.0
    assert score(-50.0, -100.0, -50.0) == 1.0
    assert score(-60.0, -100.0, -50.0) == pytest.approx(0.8)
    assert math.isnan(score(-60.0, -50.0, -50.0))


def test_the_interval_of_normal_samples_is_near_the_textbook_one() -> None:
    samples = np.random.default_rng(1).normal(5.0, 2.0, 400)
    interval = mean_interval(samples)
    half = 1.96 * samples.std(ddof=1) / math.sqrt(400)
    assert interval.mean == pytest.approx(samples.mean())
    # The bootstrap's own noise with 9,999 resamples is about 2 % of the half width.
    assert interval.low == pytest.approx(samples.mean() - half, abs=0.1 * half)
    assert interval.high == pytest.approx(samples.mean() + half, abs=0.1 * half)


def test_the_interval_is_the_same_every_time_and_a_point_for_one_sample() -> None:
    assert mean_interval([1.0, 2.0, 4.0]) == mean_interval([1.0, 2.0, 4.0])
    one = mean_interval([3.0])
    assert (one.low, one.mean, one.high) == (3.0, 3.0, 3.0)


def test_a_score_that_is_equal_in_every_episode_has_no_width() -> None:
    """Episodes differ much more than controllers do; pairing them takes that out."""
    rule = np.array([-100.0, -10.0, -1000.0, -50.0])
    interval = score_interval(rule + 8.0, rule, rule + 10.0)
    assert interval.mean == pytest.approx(0.8)
    assert interval.low == pytest.approx(0.8)
    assert interval.high == pytest.approx(0.8)
