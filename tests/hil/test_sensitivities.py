"""Sensitivities that are written for a rig, against the environment's own steps."""

import csv

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from experiments.hil_sensitivities import write_sensitivities
from gridenv.policy.codec import Codec
from gridenv.tasks.registry import make


@pytest.mark.slow
def test_sensitivities_predict_what_a_step_does(tmp_path):
    path = tmp_path / "s.csv"
    assert "33 voltages, 6 set-points, 12 times of 1 days" in write_sensitivities("VoltVar-IEEE33-v0", path, 1)
    rows = list(csv.reader(path.read_text().splitlines()))
    matrix = np.array([[float(x) for x in row[1:]] for row in rows[1:]])
    env, params = make("VoltVar-IEEE33-v0", split="test")
    codec = Codec.of(env.task.observation)
    state = env.reset_at(jnp.asarray(params.starts[3] + 48), params)[1]

    @jax.jit
    def voltages(action):
        return codec.decode(env.advance(state, action, params).observation)[:33]

    action = np.array([0.3, -0.2, 0.4, 0.1, 0.2, -0.3])
    change = np.asarray(voltages(jnp.asarray(action, jnp.float32)) - voltages(jnp.zeros(6)))
    # Linear around rest and a mean over times: within a tenth of the largest change.
    np.testing.assert_allclose(matrix @ action, change, atol=0.1 * np.abs(change).max())
    assert np.abs(change).max() > 0.005
