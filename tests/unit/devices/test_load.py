"""Loads: hand-worked numbers."""

import numpy as np
from jax import numpy as jnp

from gridenv.devices import load

SERIES = ("sun", "home_p", "home_q")


def test_loads_follow_their_profiles_and_stay_consumption() -> None:
    params = load.init(SERIES, np.array([-10.0, -4.0]), np.array([-3.0, -1.0]), ["home_p"] * 2, ["home_q"] * 2)
    p_kw, q_kvar = load.power(params, jnp.array([[0.6, 0.5, 2.0], [0.0, 0.1, -0.2]]))
    np.testing.assert_allclose(p_kw, [[-5.0, -2.0], [-1.0, -0.4]], rtol=1e-6)
    np.testing.assert_allclose(q_kvar, [[-6.0, -2.0], [0.6, 0.2]], rtol=1e-6)
