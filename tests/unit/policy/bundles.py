"""A small bundle made by hand: two measurements, two commands, a network that NumPy works out."""

from typing import Any

import numpy as np

from agents.export import to_onnx
from agents.graph import Graph
from gridenv.core.channels import Channel, ChannelSet
from gridenv.policy.bundle import GOLDEN_PAIRS, Bundle, Golden
from gridenv.policy.manifest import Manifest

OBSERVATION = ChannelSet(
    (
        Channel(name="bus.1.v_pu", unit="pu", low=0.5, high=1.5, scale=0.05, offset=1.0, source="bus.1"),
        Channel(name="pv.1.p_kw", unit="kW", low=0.0, high=100.0, scale=100.0, source="pv.1"),
    )
)
ACTION = ChannelSet(
    (
        Channel(name="pv.1.q_kvar", unit="kvar", low=-200.0, high=200.0, scale=200.0, source="pv.1"),
        Channel(name="tap.1.position", unit="", low=-8.0, high=8.0, scale=8.0, source="tap.1"),
    )
)
WEIGHT = np.array([[-0.5, 0.25], [0.1, 2.0]], np.float32)
BIAS = np.array([0.05, -0.5], np.float32)


class LinearPolicy:
    """Clipped linear law."""

    name = "linear"

    def build_graph(self, graph: Graph, observation: str) -> str:
        return graph.clip(graph.dense(observation, WEIGHT, BIAS), -1.0, 1.0)


def by_hand(observation: np.ndarray) -> np.ndarray:
    """What the policy does."""
    return np.clip(observation @ WEIGHT + BIAS, -1.0, 1.0)


def small_manifest(**changes: Any) -> Manifest:
    entries = {
        "task": "VoltVar-IEEE33-v0",
        "network": "ieee33",
        "step_s": 900.0,
        "observation": OBSERVATION,
        "action": ACTION,
        "cost_names": ("v_band", "pf_fail"),
        "agent": "linear",
        "seed": 3,
        "update": 7,
        "config": {"name": "x", "task": {"id": "VoltVar-IEEE33-v0"}},
        "config_hash": "0" * 64,
        "versions": {"python": "3.11"},
        "exported": {"opset": 17},
    }
    return Manifest(**{**entries, **changes})


def small_bundle(onnx: bytes | None = None, **changes: Any) -> Bundle:
    """The bundle; `changes` are made to its manifest."""
    seen = np.random.default_rng(0).normal(size=(GOLDEN_PAIRS, 2)).astype(np.float32)
    return Bundle(
        name="small",
        onnx=to_onnx(LinearPolicy(), 2, 2) if onnx is None else onnx,
        manifest=small_manifest(**changes),
        golden=Golden(observation=seen, action=by_hand(seen).astype(np.float32)),
    )
