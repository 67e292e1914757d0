"""Policies of bundles at work: physical values in and out, replay of recorded pairs, and that they need no JAX."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx", reason="extra hil: makes the network of the bundle")
pytest.importorskip("onnxruntime", reason="extra hil: runs the network of the bundle")

from agents.export import to_onnx
from agents.graph import Graph
from gridenv.core.errors import BundleError, MissingExtraError, ObservationError
from gridenv.policy.bundle import Golden, write_bundle
from gridenv.policy.runtime import Policy
from tests.unit.policy.bundles import by_hand, small_bundle


@pytest.fixture(scope="module")
def policy() -> Policy:
    return Policy(small_bundle())


def test_physical_values_give_the_commands_worked_by_hand(policy: Policy) -> None:
    # Normalised (0.95 - 1) / 0.05 = -1 and 30 / 100 = 0.3; then -1 * -0.5 + 0.3 * 0.1 + 0.05 = 0.58 of 200 kvar,
    # -1 * 0.25 + 0.3 * 2 - 0.5 = -0.15 of 8 positions.
    assert policy.act({"pv.1.p_kw": 30.0, "bus.1.v_pu": 0.95}) == pytest.approx(
        {"pv.1.q_kvar": 116.0, "tap.1.position": -1.2}, rel=1e-5
    )
    np.testing.assert_allclose(policy.act([0.95, 30.0]), [116.0, -1.2], rtol=1e-5)
    np.testing.assert_allclose(policy.act_normalised([-1.0, 0.3]), [0.58, -0.15], rtol=1e-5)


def test_commands_and_measurements_are_held_inside_their_ranges(policy: Policy) -> None:
    assert policy.act({"bus.1.v_pu": 0.5, "pv.1.p_kw": 100.0}) == {"pv.1.q_kvar": 200.0, "tap.1.position": -8.0}
    np.testing.assert_array_equal(policy.act([0.1, 900.0]), policy.act([0.5, 100.0]))


def test_batches_give_what_each_row_gives(policy: Policy) -> None:
    observation = np.random.default_rng(1).normal(size=(3, 5, 2)).astype(np.float32)
    actions = policy.act_normalised(observation)
    assert actions.dtype == np.float32
    np.testing.assert_allclose(actions, by_hand(observation), atol=1e-6)
    np.testing.assert_array_equal(actions[1, 2], policy.act_normalised(observation[1, 2]))
    named = policy.act({"bus.1.v_pu": np.array([0.95, 1.0]), "pv.1.p_kw": np.array([30.0, 0.0])})
    np.testing.assert_allclose(named["pv.1.q_kvar"], [116.0, 10.0], rtol=1e-5)
    assert policy.act_normalised(np.zeros((0, 2))).shape == (0, 2)


@pytest.mark.parametrize(
    ("observation", "culprit"),
    [
        ({"bus.1.v_pu": 1.0}, "observation lacks 'pv.1.p_kw'"),
        ({"bus.1.v_pu": 1.0, "pv.1.p_kw": 1.0, "pv.1.p_kv": 1.0}, "unknown channel 'pv.1.p_kv'; did you mean 'pv.1"),
        ({"bus.1.v_pu": float("nan"), "pv.1.p_kw": 1.0}, "observation is not finite in 'bus.1.v_pu'; check"),
        ({"bus.1.v_pu": 1.0, "pv.1.p_kw": float("inf")}, "observation is not finite in 'pv.1.p_kw'; check"),
        ({"bus.1.v_pu": "high", "pv.1.p_kw": 1.0}, "observation 'bus.1.v_pu' cannot be read as numbers"),
        ({"bus.1.v_pu": [1.0, 1.0], "pv.1.p_kw": 1.0}, r"'pv.1.p_kw' has shape \(\), 'bus.1.v_pu' has \(2,\)"),
        ([1.0, 2.0, 3.0], r"shape \(3,\); its last axis must have one number for each of the 2 channels"),
        (1.0, r"shape \(\); its last axis"),
    ],
)
def test_bad_observations_are_refused(policy: Policy, observation: Any, culprit: str) -> None:
    with pytest.raises(ObservationError, match=culprit):
        policy.act(observation)


def test_long_lists_of_channels_are_cut_in_messages(policy: Policy) -> None:
    with pytest.raises(ObservationError, match=r"lacks 'bus.1.v_pu', 'pv.1.p_kw'; give a value"):
        policy.act({})


@pytest.mark.parametrize("error", [2e-5, float("nan")])
def test_a_network_that_acts_otherwise_than_recorded_is_refused(error: float) -> None:
    bundle = small_bundle()
    action = bundle.golden.action.copy()
    action[17, 1] += np.float32(error)
    changed = replace(bundle, golden=Golden(observation=bundle.golden.observation, action=action))
    with pytest.raises(BundleError, match=r"policy.onnx differs by up to (2e-05|nan) from the actions.*allowed: 1e-05"):
        Policy(changed)


class Constant:
    """A policy with as many actions as it is told."""

    name = "constant"

    def __init__(self, n_action: int) -> None:
        self.n_action = n_action

    def build_graph(self, graph: Graph, observation: str) -> str:
        return graph.dense(observation, np.zeros((2, self.n_action)), np.zeros(self.n_action))


def test_a_network_with_other_ports_than_the_manifest_is_refused() -> None:
    with pytest.raises(BundleError, match=r"has the inputs and outputs .*'action', 'tensor\(float\)', \[3\]"):
        Policy(small_bundle(onnx=to_onnx(Constant(3), 2, 3)))


def test_without_onnxruntime_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match=r"'onnxruntime' is not installed; .* pip install \"gridenv\[hil\]\""):
        Policy(small_bundle())


def test_a_bundle_runs_with_numpy_and_onnxruntime_alone(tmp_path: Path) -> None:
    write_bundle(tmp_path / "b", small_bundle())
    absent = ["jax", "torch", "onnx", "gymnasium", "pydantic", "omegaconf", "yaml", "scipy", "pandas", "pandapower"]
    code = f"""
import sys
sys.modules.update(dict.fromkeys({absent}))
import gridenv.policy.bundle
from gridenv.policy.runtime import load_policy
action = load_policy(sys.argv[1]).act({{"bus.1.v_pu": 0.95, "pv.1.p_kw": 30.0}})
print(round(action["pv.1.q_kvar"], 3), [name for name in {absent} if sys.modules[name]])
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "b")],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    assert done.stdout.strip() == "116.0 []", done.stderr


def test_importing_and_acting_brings_in_neither_jax_nor_torch(tmp_path: Path) -> None:
    write_bundle(tmp_path / "b", small_bundle())
    code = """
import sys
import gridenv.policy.bundle
from gridenv.policy.runtime import load_policy
load_policy(sys.argv[1]).act([0.95, 30.0])
print(sorted({"jax", "torch", "onnx", "pandapower", "ray"} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "b")],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    assert done.stdout.strip() == "[]", done.stderr
