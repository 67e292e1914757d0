import jax
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import numpy as jnp

from gridenv.devices.dr_settlement import settle_event


def settle(active, metered, *, baseline=100.0, target=20.0, cap_factor=1.0):
    active, metered = jnp.asarray(active), jnp.asarray(metered)
    fill = [jnp.full(metered.shape, value) for value in (baseline, target, 0.5, 0.1)]
    return settle_event(active, fill[0], metered, *fill[1:], dt_h=0.25, cap_factor=cap_factor)


def test_settlement_as_worked_by_hand():
    # At, under and over the target of 80 kW, at and above the baseline; then outside of an event, below and above it.
    result = settle([1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0], [80.0, 88.0, 60.0, 100.0, 110.0, 60.0, 130.0])
    np.testing.assert_allclose(result.delivered_kwh, [5.0, 3.0, 5.0, 0.0, 0.0, 0.0, 0.0], rtol=1e-6)
    np.testing.assert_allclose(result.shortfall_kwh, [0.0, 2.0, 0.0, 5.0, 7.5, 0.0, 0.0], rtol=1e-6)
    np.testing.assert_allclose(result.eur, [2.5, 1.5 - 0.2, 2.5, -0.5, -0.75, 0.0, 0.0], rtol=1e-6)


def test_settlement_pays_over_delivery_up_to_the_cap_factor():
    np.testing.assert_allclose(settle([1.0, 1.0], [78.0, 60.0], cap_factor=1.2).delivered_kwh, [5.5, 6.0], rtol=1e-6)


@settings(max_examples=40)
@given(st.floats(0, 1e4), st.floats(0, 1e4), st.floats(0, 1e3))
def test_settlement_never_pays_for_more_demand_nor_more_than_the_target(low, more, target):
    result = settle([1.0, 1.0], [low, low + more], target=target)
    assert result.eur[1] <= result.eur[0] + 1e-4
    assert np.all(result.eur <= 0.5 * target * 0.25 * (1 + 1e-6))
    assert np.all(result.delivered_kwh >= 0)


def test_settlement_is_the_same_in_jit_and_batches_and_has_finite_gradients():
    active, metered = np.array([[1.0, 0.0], [1.0, 1.0]], "float32"), np.array([[70.0, 1e9], [-1e9, 95.0]], "float32")
    whole = settle(active, metered)
    np.testing.assert_array_equal(jax.jit(settle)(active, metered).eur, whole.eur)
    np.testing.assert_array_equal(settle(active[1], metered[1]).eur, whole.eur[1])
    assert np.all(np.isfinite(jax.grad(lambda m: settle(active, m).eur.sum())(jnp.asarray(metered))))
