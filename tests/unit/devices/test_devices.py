"""Devices: hand-worked numbers and what must hold for every command."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax import numpy as jnp

from gridenv.devices import load, pv

SERIES = ("sun", "home_p", "home_q")
INVERTERS = pv.init(
    SERIES, np.array([100.0, 50.0]), np.array([110.0, 50.0]), np.array([110.0, 22.0]), ["sun", "sun"], [1, 2]
)


def test_loads_follow_their_profiles_and_stay_consumption() -> None:
    params = load.init(SERIES, np.array([-10.0, -4.0]), np.array([-3.0, -1.0]), ["home_p"] * 2, ["home_q"] * 2)
    p_kw, q_kvar = load.power(params, jnp.array([[0.6, 0.5, 2.0], [0.0, 0.1, -0.2]]))
    np.testing.assert_allclose(p_kw, [[-5.0, -2.0], [-1.0, -0.4]], rtol=1e-6)
    np.testing.assert_allclose(q_kvar, [[-6.0, -2.0], [0.6, 0.2]], rtol=1e-6)


def test_reactive_power_left_is_the_circle_within_the_capability() -> None:
    p_kw = pv.available_kw(INVERTERS, jnp.array([0.6, 0.0, 0.0]))
    np.testing.assert_allclose(p_kw, [60.0, 30.0], rtol=1e-6)
    # sqrt(110^2 - 60^2) = 92.2 < 110; sqrt(50^2 - 30^2) = 40 > 22.
    np.testing.assert_allclose(pv.q_available_kvar(INVERTERS, p_kw), [92.195, 22.0], rtol=1e-4)


def test_sun_beyond_the_rating_is_held_at_the_rating() -> None:
    p_kw = pv.available_kw(INVERTERS, jnp.array([1.3, 0.0, 0.0]))
    np.testing.assert_allclose(p_kw, [110.0, 50.0], rtol=1e-6)
    assert np.all(pv.q_available_kvar(INVERTERS, p_kw) == pytest.approx(1e-3))


@given(st.floats(0.0, 1.5), st.floats(-1e4, 1e4), st.floats(-1e4, 1e4))
def test_projection_stays_in_the_circle_and_twice_is_once(sun: float, q_first: float, q_second: float) -> None:
    p_kw = pv.available_kw(INVERTERS, jnp.array([sun, 0.0, 0.0]))
    request = jnp.array([q_first, q_second])
    q_kvar = pv.project(INVERTERS, p_kw, request)
    np.testing.assert_array_equal(pv.project(INVERTERS, p_kw, q_kvar), q_kvar)
    assert np.all(np.hypot(p_kw, q_kvar) <= INVERTERS.s_rated_kva * (1 + 1e-6))
    assert np.all(np.abs(q_kvar) <= INVERTERS.q_max_kvar)
    inside = np.abs(request) <= pv.q_available_kvar(INVERTERS, p_kw)
    np.testing.assert_array_equal(q_kvar[inside], request[inside])
