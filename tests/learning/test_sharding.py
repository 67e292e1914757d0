"""Environments divided over several devices give the numbers of one device."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from agents.sharding import EnvSharding

_PROGRAM = """
import json
import jax
from agents.ppo.config import PPOConfig
from agents.ppo.learner import PPO
from gridenv.tasks.registry import make
from tests.learning.probes import Follow

env, params = make("Storage-IEEE33-v0")
env = Follow() if {probe} else env
ppo = PPO(env, PPOConfig(num_envs=4, rollout_steps=8, minibatches=2, epochs=2, total_steps=96, hidden=(8,)))
state, rows = ppo.begin(0, params), []
before = [leaf.sharding for leaf in jax.tree.leaves(state)]
for _ in range(3):
    state, metrics = ppo.update(state, params)
    rows.append(metrics)
devices = [len(leaf.sharding.device_set) for leaf in jax.tree.leaves((state.env, state.params))]
parts = {leaf.addressable_shards[0].data.shape[0] for leaf in jax.tree.leaves(state.env) if leaf.size}
after = [leaf.sharding for leaf in jax.tree.leaves(state)]
found = dict(rows=rows, devices=sorted(set(devices)), parts=sorted(parts), stays=before == after)
print(json.dumps(found))
"""


def trained_on(n_device: int, probe: bool) -> dict:
    flags = f"--xla_force_host_platform_device_count={n_device}"
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM.replace("{probe}", str(probe))],
        env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(root)},
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    read: dict = json.loads(done.stdout.splitlines()[-1])
    return read


@pytest.mark.parametrize("probe", [True, pytest.param(False, marks=pytest.mark.slow, id="power flow")])
def test_two_devices_train_as_one_does(probe: bool) -> None:
    one, two = trained_on(1, probe), trained_on(2, probe)
    assert (one["devices"], one["parts"]) == ([1], [4])
    assert (two["devices"], two["parts"]) == ([2], [2])
    # Else the second update would be compiled anew.
    assert two["stays"]
    for a, b in zip(one["rows"], two["rows"], strict=True):
        np.testing.assert_allclose([b[name] for name in a], list(a.values()), rtol=2e-3, atol=1e-5)


@pytest.mark.parametrize(("num_envs", "n_device", "used"), [(128, 8, 8), (6, 4, 2), (5, 2, 1)])
def test_as_many_devices_are_used_as_divide_the_environments(monkeypatch, num_envs, n_device, used) -> None:
    monkeypatch.setattr("jax.local_device_count", lambda: n_device)
    assert EnvSharding.of(num_envs).n_device == used
