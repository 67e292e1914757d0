"""The thermal step against Euler's method, the matrix exponential of SciPy, and the balance of heat."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from jax import numpy as jnp
from scipy.linalg import expm

from gridenv.devices.homes import draw_homes
from gridenv.devices.two_node import advance, settled_mass_c, stored_kwh, two_node

N = 6
CASES = arrays(float, (5, N), elements=st.floats(-1.0, 1.0))
"""Logarithms to the base 30 of capacities and conductances about a usual value."""
USUAL = np.array([0.3, 6.0, 1.1, 0.13, 0.15])[:, None]
STATES = arrays(float, (5, N), elements=st.floats(-1.0, 1.0))
CENTRE, WIDTH = np.array([20.0, 20.0, 5.0, 0.0, 0.0])[:, None], np.array([15.0, 15.0, 25.0, 20.0, 10.0])[:, None]


def by_matrix_exponential(values, state, dt_h):
    """End and mean of (air, mass) from the exponential of the matrix with inputs and integrals as further states."""
    c_air, c_mass, h_am, h_ao, h_mo = values
    air, mass, out, q_air, q_mass = state
    big = np.zeros((5, 5))
    big[0, :2] = -(h_am + h_ao) / c_air, h_am / c_air
    big[1, :2] = h_am / c_mass, -(h_am + h_mo) / c_mass
    big[0, 2], big[1, 2] = (h_ao * out + q_air) / c_air, (h_mo * out + q_mass) / c_mass
    big[3, 0] = big[4, 1] = 1.0
    end = expm(big * dt_h) @ np.array([air, mass, 1.0, 0.0, 0.0])
    return np.array([end[0], end[1], end[3] / dt_h, end[4] / dt_h])


@settings(max_examples=12)
@given(CASES, STATES, st.sampled_from([1 / 60, 0.25, 1.0]))
def test_two_node_step_is_the_matrix_exponential(logs, shares, dt_h):
    values, state = USUAL * 30.0**logs, CENTRE + WIDTH * shares
    expected = np.stack([by_matrix_exponential(values[:, i], state[:, i], dt_h) for i in range(N)], axis=1)
    with jax.enable_x64(True):
        got = advance(two_node(*values, dt_h=dt_h, dtype="float64"), *(jnp.asarray(s) for s in state))
        np.testing.assert_allclose(np.stack(got), expected, rtol=1e-9, atol=1e-9)
    single = advance(two_node(*values, dt_h=dt_h), *(jnp.asarray(s, "float32") for s in state))
    assert single.air_c.dtype == jnp.float32
    np.testing.assert_allclose(np.stack(single), expected, rtol=1e-5, atol=3e-5)


def by_euler(values, state, dt_h, steps):
    """End and mean (trapezoidal) of (air, mass)."""
    c_air, c_mass, h_am, h_ao, h_mo = values
    air, mass, out, q_air, q_mass = state
    sum_air, sum_mass, h = -air / 2, -mass / 2, dt_h / steps
    for _ in range(steps):
        sum_air, sum_mass, across = sum_air + air, sum_mass + mass, h_am * (mass - air)
        air = air + h / c_air * (across + h_ao * (out - air) + q_air)
        mass = mass + h / c_mass * (h_mo * (out - mass) + q_mass - across)
    return np.stack([air, mass, (sum_air + air / 2) / steps, (sum_mass + mass / 2) / steps])


def test_two_node_step_of_a_quarter_of_an_hour_is_90000_euler_steps():
    homes, n, dt_h = draw_homes(50, 0), 50, 0.25
    values = [homes.c_air_kwh_k, homes.c_mass_kwh_k, homes.h_air_mass_kw_k, homes.h_air_out_kw_k, homes.h_mass_out_kw_k]
    rng = np.random.default_rng(0)
    air, mass, out = rng.uniform(20, 22, n), rng.uniform(19, 21, n), rng.uniform(-10, 15, n)
    # Near the heat that holds the temperature, as in normal use: so Euler's own error, which is half a step times the
    # change of the slope, stays below the tolerance.
    q_air, q_mass = rng.uniform(0.5, 1.0, n) * (values[3] + values[4]) * (20 - out), rng.uniform(0, 1, n)
    state = (air, mass, out, q_air, q_mass)
    with jax.enable_x64(True):
        got = np.stack(advance(two_node(*values, dt_h=dt_h, dtype="float64"), *(jnp.asarray(s) for s in state)))
    fine, coarse = by_euler(values, state, dt_h, 90_000), by_euler(values, state, dt_h, 45_000)
    assert np.abs(got[0] - air).max() > 1.0
    np.testing.assert_allclose(got, fine, rtol=0, atol=1e-5)
    np.testing.assert_allclose(got, 2 * fine - coarse, rtol=0, atol=1e-8)  # without the error of first order


@pytest.mark.parametrize(("dtype", "rtol"), [("float64", 1e-10), ("float32", 2e-4)])
def test_two_node_heat_in_is_losses_and_stored_heat(dtype, rtol):
    @settings(max_examples=30)
    @given(CASES, STATES)
    def check(logs, shares):
        values, dt_h = USUAL * 30.0**logs, 0.25
        state = CENTRE + WIDTH * shares
        with jax.enable_x64(dtype == "float64"):
            building = two_node(*values, dt_h=dt_h, dtype=dtype)
            air, mass, out, q_air, q_mass = (jnp.asarray(s, dtype) for s in state)
            end = advance(building, air, mass, out, q_air, q_mass)
            stored = np.asarray(stored_kwh(building, end.air_c - air, end.mass_c - mass), float)
            means = np.asarray(end.mean_air_c, float), np.asarray(end.mean_mass_c, float)
        lost = (values[3] * (means[0] - state[2]) + values[4] * (means[1] - state[2])) * dt_h
        given_kwh = (state[3] + state[4]) * dt_h
        scale = (np.abs(state[3]) + np.abs(state[4])) * dt_h + np.abs(lost) + 20.0 * (values[0] + values[1]) * 1e-2 + 1
        np.testing.assert_array_less(np.abs(given_kwh - lost - stored) / scale, rtol)

    check()


def test_two_node_settled_mass_stays_when_the_air_is_held():
    with jax.enable_x64(True):
        building = two_node(*np.broadcast_to(USUAL, (5, 1)), dt_h=0.25, dtype="float64")
        air, out, q_mass = (jnp.asarray([v]) for v in (21.0, -3.0, 0.4))
        mass = settled_mass_c(building, air, out, q_mass)
        # Heat into the air that holds it: loss to outdoors and to the colder mass.
        q_air = 0.13 * (air - out) + 1.1 * (air - mass)
        np.testing.assert_allclose(advance(building, air, mass, out, q_air, q_mass).mass_c, mass, rtol=1e-13)
        # By hand: 1.1 (21 - T) + 0.15 (-3 - T) + 0.4 = 0.
        np.testing.assert_allclose(mass, [(1.1 * 21 - 0.15 * 3 + 0.4) / 1.25], rtol=1e-13)
