"""The policies of several agents as one controller of the whole action vector."""

from typing import Protocol, runtime_checkable

import numpy as np
from jax import Array
from jaxtyping import Float

from agents.graph import Graph
from agents.multi_agent.groups import AgentGroup, joined, places
from agents.networks import Activation, Layer, exact_mlp, mlp_graph
from gridenv.core.pytree import pytree, static
from gridenv.tasks.env import EnvParams, EnvState


@runtime_checkable
class Heads(Protocol):
    """What the outputs of a network mean; hashable."""

    def most_likely(self, outputs: Float[Array, "*batch outputs"]) -> Float[Array, "*batch act"]:
        """Normalised actions."""
        ...

    def most_likely_graph(self, graph: Graph, outputs: str) -> str:
        """`most_likely` as operations of a graph."""
        ...


@pytree
class GroupPolicy:
    """The network that the agents of a group share."""

    layers: tuple[Layer, ...]
    group: AgentGroup = static()
    heads: Heads = static()
    activation: Activation = static(default="tanh")

    def decide(self, observation: Float[Array, "*batch obs"]) -> Float[Array, "*batch agent own"]:
        """Normalised actions of every agent from its part of the observation."""
        return self.heads.most_likely(exact_mlp(self.layers, self.group.inputs(observation), self.activation))

    def build_graph(self, graph: Graph, observation: str) -> str:
        """Actions of all agents of the group one after the other, [batch, agent * own]."""
        seen = graph.gather(observation, np.array(self.group.observations))
        n_seen, first = len(self.group.observations[0]), self.layers[0]
        # The number of an agent picks a row of the weights, which is a bias of its own.
        own_bias = first.bias + first.weight[n_seen:] if self.group.n_agent > 1 else first.bias
        layers = (Layer(first.weight[:n_seen], own_bias), *self.layers[1:])
        action = self.heads.most_likely_graph(graph, mlp_graph(graph, layers, seen, self.activation))
        return graph.node("Reshape", action, graph.constant([0, -1]))


@pytree
class JointPolicy:
    """All agents together: gathers what each sees, asks its network, and puts the actions into the action vector."""

    members: tuple[GroupPolicy, ...]
    name: str = static()

    def act(
        self, params: EnvParams, state: EnvState, observation: Float[Array, "*batch obs"]
    ) -> Float[Array, "*batch act"]:
        """Normalised actions; each agent's from its own part of the observation alone."""
        del params, state
        return joined([m.group for m in self.members], [m.decide(observation) for m in self.members])

    def build_graph(self, graph: Graph, observation: str) -> str:
        """The same as operations of a graph."""
        parts = [member.build_graph(graph, observation) for member in self.members]
        flat = graph.node("Concat", *parts, axis=-1)
        return graph.gather(flat, places([member.group for member in self.members]))
