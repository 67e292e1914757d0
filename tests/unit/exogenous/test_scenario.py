from datetime import date, datetime

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gridenv.exogenous
from gridenv.core.errors import DataError
from gridenv.exogenous import (
    ProfileTable,
    Scenario,
    build_scenario,
    calendar_features,
    load_price,
    load_profiles,
    sample,
    sample_window,
    weekday,
)

PROFILES = ("H0-A_pload", "H0-A_qload", "PV1")


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return build_scenario(PROFILES, "Netherlands")


@pytest.fixture
def small() -> Scenario:
    """Four rows of six hours from a Sunday; the values tell row and column."""
    values = jnp.array([[0.0, 0.5], [1.0, 1.5], [2.0, 2.5], [3.0, 3.5]])
    return Scenario(values=values, names=("a", "b"), dt_h=6.0, start_weekday=6)


def row_of(day: date, hour: int) -> int:
    return (day - date(2016, 1, 1)).days * 96 + hour * 4


def test_scenario_columns_are_profiles_price_and_calendar(scenario):
    calendar = ("time.day_sin", "time.day_cos", "time.year_sin", "time.year_cos")
    assert scenario.names == (*PROFILES, "price_eur_mwh", *calendar)
    assert scenario.values.shape == (35136, 8)
    assert scenario.values.dtype == jnp.float32
    assert (scenario.n_steps, scenario.steps_per_day, scenario.dt_h, scenario.start_weekday) == (35136, 96, 0.25, 4)
    table = load_profiles()
    np.testing.assert_array_equal(scenario.values[:, 2], table.values[:, table.names.index("PV1")])
    np.testing.assert_array_equal(scenario.values[:, 3], load_price("Netherlands"))


def test_scenario_has_no_price_column_without_a_zone():
    assert "price_eur_mwh" not in build_scenario(["PV1"]).names


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (0, (0.0, 1.0, 0.0, 1.0)),
        (row_of(date(2016, 1, 1), 6), (1.0, 0.0, 0.004291, 0.999991)),  # a quarter of a day is 1 / 1464 of the year
        (row_of(date(2016, 1, 1), 12), (0.0, -1.0, 0.008583, 0.999963)),
        (row_of(date(2016, 7, 2), 0), (0.0, 1.0, 0.0, -1.0)),  # day 183 of 366
        (row_of(date(2016, 6, 21), 0), (0.0, 1.0, 0.187719, -0.982223)),  # day 172: sin and cos of 169.1803 degrees
        (row_of(date(2016, 6, 21), 18), (-1.0, 0.0, 0.175057, -0.984558)),  # day 172.75: 169.9180 degrees
    ],
)
def test_scenario_calendar_columns_as_worked_by_hand(scenario, row, expected):
    np.testing.assert_allclose(scenario.values[row, 4:], expected, atol=2e-6)


def test_calendar_features_use_the_length_of_their_own_year():
    features = calendar_features(datetime(2018, 7, 2, 12), 3600, 1)  # the middle of a year of 365 days, at noon
    np.testing.assert_allclose(features, [[0.0, -1.0, 0.0, -1.0]], atol=1e-6)
    across = calendar_features(datetime(2017, 12, 31, 23), 3600, 2)
    np.testing.assert_allclose(across[1], [0.0, 1.0, 0.0, 1.0], atol=1e-6)


def test_sample_gathers_rows_with_any_leading_axes(small):
    assert sample(small, 2).tolist() == [2.0, 2.5]
    assert sample(small, jnp.array([[3, 0], [1, 1]])).tolist() == [[[3.0, 3.5], [0.0, 0.5]], [[1.0, 1.5], [1.0, 1.5]]]


def test_sample_holds_the_end_rows_when_the_step_is_outside(small):
    assert sample(small, jnp.array([-1, -7, 4, 2**31 - 1]))[:, 0].tolist() == [0.0, 0.0, 3.0, 3.0]


def test_sample_window_starts_with_the_present_row(small):
    assert sample_window(small, 1, 2).tolist() == [[1.0, 1.5], [2.0, 2.5]]
    assert sample_window(small, jnp.array([0, 2]), 3)[..., 0].tolist() == [[0.0, 1.0, 2.0], [2.0, 3.0, 3.0]]


def test_sample_window_refuses_an_empty_horizon(small):
    with pytest.raises(DataError, match="horizon must be >= 1 row, got 0; ask for the present row with 1"):
        sample_window(small, 1, 0)


def test_sample_is_the_same_in_jit_vmap_and_under_strict_promotion(small):
    t = jnp.array([[0, 3], [2, 9]])
    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        direct, ahead = sample(small, t), sample_window(small, t, 3)
        weekday(small, t)
    np.testing.assert_array_equal(jax.jit(sample)(small, t), direct)
    np.testing.assert_array_equal(jax.vmap(jax.vmap(sample, (None, 0)), (None, 0))(small, t), direct)
    np.testing.assert_array_equal(jax.jit(sample_window, static_argnums=2)(small, t, 3), ahead)
    np.testing.assert_array_equal(jax.vmap(lambda i: sample_window(small, i, 3))(t), ahead)


def test_scenario_of_equal_layout_does_not_compile_again(small):
    traced = []

    @jax.jit
    def first_value(scenario: Scenario, t: jax.Array) -> jax.Array:
        traced.append(1)
        return sample(scenario, t)[..., scenario.column("b")]

    other = Scenario(values=small.values + 1, names=("a", "b"), dt_h=6.0, start_weekday=6)
    t = jnp.array([1])
    assert first_value(small, t).tolist() == [1.5]
    assert first_value(other, t).tolist() == [2.5]
    assert len(traced) == 1


def test_weekday_counts_from_the_first_row(scenario, small):
    assert weekday(small, jnp.arange(0, 12, 4)).tolist() == [6, 0, 1]
    days = [date(2016, 1, 1), date(2016, 2, 29), date(2016, 12, 31)]
    assert weekday(scenario, jnp.array([row_of(d, 23) for d in days])).tolist() == [d.weekday() for d in days]


def test_scenario_column_suggests_the_closest_series(scenario):
    assert scenario.column("price_eur_mwh") == 3
    with pytest.raises(DataError, match=r"scenario: unknown series 'PV11'; did you mean 'PV1'\?"):
        scenario.column("PV11")


def test_build_scenario_reports_all_problems_at_once():
    table = load_profiles()
    half = ProfileTable(start=table.start, step_s=1800, names=table.names, values=table.values)
    with pytest.raises(DataError) as caught:
        build_scenario(["PV1", "PV1", "WP99"], "Germany", table=half)
    text = str(caught.value)
    assert "unknown profile 'WP99'; did you mean 'WP" in text
    assert "profile 'PV1' appears 2 times" in text
    assert "unknown price zone 'Germany'" in text
    assert "profiles have 35136 rows of 1800 s from 2016-01-01 00:00:00; prices need 35136 rows of 900 s" in text


def test_exogenous_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"module 'gridenv\.exogenous' has no attribute 'Scenrio'"):
        gridenv.exogenous.Scenrio  # noqa: B018
