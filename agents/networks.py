"""Dense networks as plain pytrees, and the policy that is one of them: the form that every learner's result takes."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

import jax
from jax import Array
from jax import numpy as jnp
from jaxtyping import Float

from agents.config import Activation
from agents.graph import Graph
from gridenv.core.pytree import pytree, static
from gridenv.tasks.env import EnvParams, EnvState

Limit = Literal["clip", "tanh"]
_ACTIVATIONS = {"tanh": jnp.tanh, "relu": jax.nn.relu}
_ONNX_ACTIVATIONS = {"tanh": "Tanh", "relu": "Relu"}
_HIDDEN_GAIN = math.sqrt(2.0)
"""Source: M. Andrychowicz et al., "What matters for on-policy deep actor-critic methods?", ICLR 2021, section 3.2."""


class Layer(NamedTuple):
    """One dense layer."""

    weight: Float[Array, "inputs outputs"]
    bias: Float[Array, " outputs"]


def init_mlp(key: Array, sizes: Sequence[int], last_gain: float) -> tuple[Layer, ...]:
    """Layers with orthogonal weights and no bias; `sizes` from the inputs to the outputs."""
    layers = []
    for i, (inputs, outputs) in enumerate(pairwise(sizes)):
        gain = last_gain if i == len(sizes) - 2 else _HIDDEN_GAIN
        weight = jax.nn.initializers.orthogonal(gain)(jax.random.fold_in(key, i), (inputs, outputs))
        layers.append(Layer(weight, jnp.zeros(outputs)))
    return tuple(layers)


def begun_at(layers: tuple[Layer, ...], outputs: Float[Array, " outputs"]) -> tuple[Layer, ...]:
    """The layers with this bias at the end: what they give before training, if the last weights are small."""
    *inner, last = layers
    return (*inner, Layer(last.weight, outputs.astype(last.bias.dtype)))


def mlp(
    layers: tuple[Layer, ...], x: Float[Array, "*batch inputs"], activation: Activation = "tanh"
) -> Float[Array, "*batch outputs"]:
    """The activation between layers, linear at the end."""
    for layer in layers[:-1]:
        x = _ACTIVATIONS[activation](x @ layer.weight + layer.bias)
    return x @ layers[-1].weight + layers[-1].bias


def mlp_graph(graph: Graph, layers: tuple[Layer, ...], x: str, activation: Activation = "tanh") -> str:
    """`mlp` as operations of a graph; `x` names its inputs."""
    for layer in layers[:-1]:
        x = graph.node(_ONNX_ACTIVATIONS[activation], graph.dense(x, layer.weight, layer.bias))
    return graph.dense(x, layers[-1].weight, layers[-1].bias)


def exact_mlp(
    layers: tuple[Layer, ...], x: Float[Array, "*batch inputs"], activation: Activation = "tanh"
) -> Float[Array, "*batch outputs"]:
    """`mlp` in full float32; GPUs may round the factors of products to 10 bits, and an exported policy would differ."""
    with jax.default_matmul_precision("float32"):
        return mlp(layers, x, activation)


@pytree
class NetworkPolicy:
    """A dense network from the observation to the action, held inside the action bounds."""

    layers: tuple[Layer, ...]
    name: str = static()
    activation: Activation = static(default="tanh")
    limit: Limit = static(default="clip")
    """How the network's output is held inside -1..1."""

    def act(
        self, params: EnvParams, state: EnvState, observation: Float[Array, "*batch obs"]
    ) -> Float[Array, "*batch act"]:
        """Normalised actions from the observation alone."""
        del params, state
        output = exact_mlp(self.layers, observation, self.activation)
        return jnp.tanh(output) if self.limit == "tanh" else jnp.clip(output, -1.0, 1.0)

    def build_graph(self, graph: Graph, observation: str) -> str:
        """The same as operations of a graph."""
        output = mlp_graph(graph, self.layers, observation, self.activation)
        return graph.node("Tanh", output) if self.limit == "tanh" else graph.clip(output, -1.0, 1.0)
