"""Policies as ONNX files: onnxruntime does what the policy does."""

import sys
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from jax import numpy as jnp

from agents.export import OPSET, to_onnx
from agents.graph import ExportablePolicy, Graph
from agents.multi_agent.groups import AgentGroup
from agents.multi_agent.policy import GroupPolicy, JointPolicy
from agents.networks import Activation, Layer, Limit, NetworkPolicy
from agents.ppo.heads import ActionHeads
from agents.ppo.policy import HybridPolicy
from agents.rules import DoNothing
from gridenv.core.errors import BundleError, MissingExtraError
from gridenv.tasks.env import EnvParams, EnvState

onnx = pytest.importorskip("onnx", reason="extra hil: writes the files")
onnxruntime = pytest.importorskip("onnxruntime", reason="extra hil: runs them")

SIZES = (37, 64, 64, 6)


def network(activation: Activation, limit: Limit) -> NetworkPolicy:
    """Random weights, so large that many actions reach their limits."""
    rng = np.random.default_rng(7)
    layers = [
        Layer(
            jnp.asarray(rng.normal(size=(inputs, outputs)) * 2.0 / np.sqrt(inputs), jnp.float32),
            jnp.asarray(rng.normal(size=outputs) * 0.1, jnp.float32),
        )
        for inputs, outputs in pairwise(SIZES)
    ]
    return NetworkPolicy(layers=tuple(layers), name="net", activation=activation, limit=limit)


def run(content: bytes, observation: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return session.run(["action"], {"observation": observation})[0]


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("limit", ["clip", "tanh"])
def test_onnxruntime_acts_as_the_network_does(activation: Activation, limit: Limit) -> None:
    policy = network(activation, limit)
    observation = np.random.default_rng(8).uniform(-3.0, 3.0, size=(1000, SIZES[0])).astype(np.float32)
    # The policy looks at neither the parameters nor the state.
    unread = object.__new__(EnvParams), object.__new__(EnvState)
    expected = np.asarray(policy.act(*unread, jnp.asarray(observation)))
    assert 0.1 < np.mean(np.abs(expected) < 0.99) < 0.99
    content = to_onnx(policy, SIZES[0], SIZES[-1])
    np.testing.assert_allclose(run(content, observation), expected, rtol=0.0, atol=1e-5)
    np.testing.assert_allclose(run(content, observation[:1]), expected[:1], rtol=0.0, atol=1e-5)


def test_a_file_is_the_same_every_time_and_has_fixed_names_and_versions() -> None:
    content = to_onnx(network("tanh", "clip"), SIZES[0], SIZES[-1])
    assert content == to_onnx(network("tanh", "clip"), SIZES[0], SIZES[-1])
    model = onnx.load_from_string(content)
    assert [(o.domain, o.version) for o in model.opset_import] == [("", OPSET)]
    assert ([p.name for p in model.graph.input], [p.name for p in model.graph.output]) == (["observation"], ["action"])


class TapChooser:
    """A policy of another form: for two devices, each seeing part of the observation, the best of three positions."""

    name = "taps"
    weight = np.array([[1.0, 0.0, -1.0], [0.0, 0.5, 0.0]])
    seen = np.array([[0, 2], [1, 2]])
    positions = np.array([-1.0, 0.0, 1.0])

    def build_graph(self, graph: Graph, observation: str) -> str:
        seen = graph.node("Gather", observation, graph.constant(self.seen), axis=1)
        logits = graph.dense(seen, self.weight, np.zeros(3))
        best = graph.node("ArgMax", logits, axis=-1, keepdims=0)
        return graph.node("Gather", graph.constant(self.positions), best, axis=0)


def test_policies_that_gather_and_choose_can_be_exported() -> None:
    assert isinstance(TapChooser(), ExportablePolicy)
    observation = np.random.default_rng(9).normal(size=(50, 3)).astype(np.float32)
    logits = observation[:, TapChooser.seen] @ TapChooser.weight
    expected = TapChooser.positions[logits.argmax(axis=-1)]
    assert len(np.unique(expected)) == 3
    np.testing.assert_array_equal(run(to_onnx(TapChooser(), 3, 2), observation), expected)


def test_policies_that_are_no_networks_are_refused() -> None:
    rule = DoNothing.__new__(DoNothing)
    with pytest.raises(BundleError, match=r"policy 'none' \(DoNothing\) cannot be exported: it looks at more than"):
        to_onnx(rule, 3, 2)


class Wrong:
    name = "wrong"

    def build_graph(self, graph: Graph, observation: str) -> str:
        return graph.node("Tanh", "nothing")


class Unknown:
    name = "wrong"

    def build_graph(self, graph: Graph, observation: str) -> str:
        return graph.node("Hyperbolic", observation)


class TooWide:
    name = "wrong"

    def build_graph(self, graph: Graph, observation: str) -> str:
        return observation


@pytest.mark.parametrize("policy", [Wrong(), Unknown(), TooWide()])
def test_graphs_that_are_not_valid_are_refused(policy: Any) -> None:
    with pytest.raises(BundleError, match=r"policy 'wrong': its graph is not valid ONNX \(.*correct build_graph of"):
        to_onnx(policy, 3, 2)


def test_without_onnx_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtraError, match=r"'onnx' is not installed; install it with pip install \"gridenv\[hil"):
        to_onnx(network("tanh", "clip"), SIZES[0], SIZES[-1])


def dense(*sizes: int, seed: int) -> tuple[Layer, ...]:
    """Layers with random weights of the order of one."""
    rng = np.random.default_rng(seed)
    return tuple(
        Layer(
            jnp.asarray(rng.normal(size=s) / np.sqrt(s[0]), jnp.float32),
            jnp.asarray(rng.normal(size=s[1]), jnp.float32),
        )
        for s in pairwise(sizes)
    )


def assert_exported_alike(policy: Any, n_observation: int, n_action: int) -> None:
    observation = np.random.default_rng(8).uniform(-3.0, 3.0, size=(1000, n_observation)).astype(np.float32)
    unread = object.__new__(EnvParams), object.__new__(EnvState)
    expected = np.asarray(policy.act(*unread, jnp.asarray(observation)))
    assert expected.shape == (1000, n_action)
    # Every action takes several values, so that an entry in a wrong place would be seen.
    assert all(len(np.unique(column)) > 1 for column in expected.T)
    np.testing.assert_allclose(run(to_onnx(policy, n_observation, n_action), observation), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("levels", [(0, 3, 0, 33, 2), (2, 5), (0, 0)])
def test_onnxruntime_takes_the_likeliest_positions(levels: tuple[int, ...]) -> None:
    heads = ActionHeads(levels)
    policy = HybridPolicy(layers=dense(9, 16, heads.n_output, seed=3), heads=heads, name="hybrid")
    assert_exported_alike(policy, 9, len(levels))


def test_onnxruntime_acts_for_all_agents_of_shared_networks() -> None:
    alike = AgentGroup(
        names=("a", "b"),
        observations=((0, 2, 5), (1, 2, 4)),
        actions=((3, 0), (1, 4)),
        levels=(0, 4),
        unit_rows=((0,), (1,)),
    )
    alone = AgentGroup(names=("c",), observations=((6, 3),), actions=((2,),), levels=(0,), unit_rows=((2,),))
    members = []
    for group in (alike, alone):
        heads = ActionHeads(group.levels)
        layers = dense(group.n_input, 16, heads.n_output, seed=len(members))
        members.append(GroupPolicy(layers=layers, group=group, heads=heads))
    assert_exported_alike(JointPolicy(members=tuple(members), name="ippo"), 7, 5)
