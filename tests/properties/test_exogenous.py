"""Laws that hold for every step, window, calendar and episode."""

from datetime import datetime, timedelta

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gridenv.exogenous import (
    SPLIT_NAMES,
    Scenario,
    build_scenario,
    calendar_features,
    episode_starts,
    load_splits,
    price_source_days,
    sample,
    sample_window,
)

SCENARIO = build_scenario(["H0-L_pload", "PV1", "WP4"], "Denmark 1")
VALUES = np.asarray(SCENARIO.values)
N = len(VALUES)
FAST = settings(max_examples=40, deadline=None)
SAMPLE = jax.jit(sample)
STEPS = hnp.arrays(np.int32, st.sampled_from([(), (1,), (5,), (2, 3)]), elements=st.integers(0, N - 1))
ANY_STEPS = hnp.arrays(np.int32, (6,), elements=st.integers(-(2**31), 2**31 - 1))


@FAST
@given(STEPS)
def test_sample_is_the_row_of_the_table(t):
    rows = SAMPLE(SCENARIO, t)
    assert rows.shape == (*t.shape, len(SCENARIO.names))
    np.testing.assert_array_equal(rows, VALUES[t])


@FAST
@given(ANY_STEPS)
def test_sample_outside_the_table_is_the_nearest_row(t):
    np.testing.assert_array_equal(SAMPLE(SCENARIO, t), VALUES[np.clip(t, 0, N - 1)])


@FAST
@given(STEPS, st.sampled_from([1, 4, 96]))
def test_sample_window_is_the_samples_that_follow(t, horizon):
    ahead = np.asarray(sample_window(SCENARIO, t, horizon))
    for k in (0, horizon // 2, horizon - 1):
        np.testing.assert_array_equal(ahead[..., k, :], VALUES[np.minimum(t + k, N - 1)])


@FAST
@given(st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1)), st.sampled_from([60, 900, 3600]))
def test_calendar_features_lie_on_circles_and_tell_the_time(start, step_s):
    start = start.replace(microsecond=0)
    rows = calendar_features(start, step_s, 30).astype(np.float64)
    np.testing.assert_allclose(rows[:, 0] ** 2 + rows[:, 1] ** 2, 1.0, atol=1e-6)
    np.testing.assert_allclose(rows[:, 2] ** 2 + rows[:, 3] ** 2, 1.0, atol=1e-6)
    last = start + timedelta(seconds=29 * step_s)
    seconds = np.arctan2(rows[-1, 0], rows[-1, 1]) / (2 * np.pi) % 1.0 * 86400
    expected = (last - last.replace(hour=0, minute=0, second=0)).total_seconds()
    assert abs((seconds - expected + 43200) % 86400 - 43200) < 0.1


@FAST
@given(st.integers(0, 365))
def test_price_day_keeps_weekday_and_stays_in_the_year(day):
    source = int(price_source_days()[day])
    assert 0 <= source < 365
    assert (datetime(2016, 1, 1) + timedelta(days=day)).weekday() == (
        datetime(2018, 1, 1) + timedelta(days=source)
    ).weekday()


@FAST
@given(st.sampled_from(SPLIT_NAMES), st.integers(1, 6 * 96))
def test_episode_never_leaves_its_split(split, steps):
    labels = np.array(load_splits().labels)
    starts = episode_starts(split, steps)
    assert (starts % 96 == 0).all()
    assert (np.diff(starts) > 0).all()
    covered = starts[:, None] + np.arange(steps)
    assert (labels[covered // 96] == split).all()


def test_scenario_is_an_argument_not_a_constant_of_the_program():
    doubled = Scenario(
        values=SCENARIO.values * 2, names=SCENARIO.names, dt_h=SCENARIO.dt_h, start_weekday=SCENARIO.start_weekday
    )
    np.testing.assert_array_equal(SAMPLE(doubled, jnp.int32(5000)), 2 * VALUES[5000])
