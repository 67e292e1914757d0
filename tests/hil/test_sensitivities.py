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


@pytest.mark.slow
def test_sensitivities_of_positions_are_those_of_whole_ones(tmp_path):
    path = tmp_path / "s.csv"
    write_sensitivities("VoltVar-IEEE13-v0", path, 1)
    header, *rows = csv.reader(path.read_text().splitlines())
    by_bus = {row[0]: dict(zip(header[1:], map(float, row[1:]), strict=True)) for row in rows}
    # A position of a step regulator is 5/8 % of its voltage, which is somewhat above 1 pu behind it.
    assert by_bus["bus.rg60.1.v_pu"]["tap.regcontrol.reg1.position"] == pytest.approx(0.00625, rel=0.05)
    assert abs(by_bus["bus.rg60.2.v_pu"]["tap.regcontrol.reg1.position"]) < 1e-4
    # 100 kvar on one phase of 2.4 kV behind some 0.6 to 1 ohm of reactance: of the order of 0.01 to 0.02 pu.
    assert 0.005 < by_bus["bus.611.3.v_pu"]["capacitor.capacitor.cap2.closed"] < 0.03
