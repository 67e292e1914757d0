"""What network decides on the actions: one for all of them, or one for each kind of unit."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol, runtime_checkable

import jax
import numpy as np
from jax import Array, lax
from jax import numpy as jnp
from jaxtyping import Float

from agents.apg.ordering import OrderedPolicy, Ordering
from agents.controller import Controller
from agents.graph import Graph
from agents.multi_agent.groups import AgentGroup, groups_of, joined
from agents.multi_agent.policy import GroupPolicy, JointPolicy
from agents.networks import Layer, NetworkPolicy, begun_at, init_mlp, mlp
from gridenv.tasks.agents import Agent
from gridenv.tasks.env import GridEnv


class Network(NamedTuple):
    """A dense network that sees its inputs less their mean, in multiples of their deviation."""

    layers: tuple[Layer, ...]
    mean: Float[Array, " inputs"]
    scale: Float[Array, " inputs"]
    """Not learned, as the mean; one over the deviation."""

    def output(self, inputs: Float[Array, "*batch inputs"]) -> Float[Array, "*batch outputs"]:
        """What the last layer gives."""
        mean, scale = lax.stop_gradient((self.mean, self.scale))
        return mlp(self.layers, (inputs - mean) * scale)

    @property
    def folded(self) -> tuple[Layer, ...]:
        """The same as layers alone."""
        first, *others = self.layers
        weight = self.scale[:, None] * first.weight
        return (Layer(weight, first.bias - self.mean @ weight), *others)


Networks = tuple[Network, ...]
_NAME = "apg"
_LEAST_DEVIATION = 0.1
"""Of observations, which are -1..1: what hardly moves is magnified by no more than ten. Assumed."""
_FARTHEST_START = 0.9
"""Actions at the ends of the range begin here: at the very end the policy's limit lets no gradient through."""


@runtime_checkable
class Model(Protocol):
    """From the observation to the action before it is limited by a tanh."""

    def init(self, key: Array, start: Float[Array, " act"], seen: Float[Array, "sample obs"]) -> Networks:
        """Networks that give this action whatever they see, and are meant for what was `seen`."""
        ...

    def output(self, networks: Networks, observation: Float[Array, "*batch obs"]) -> Float[Array, "*batch act"]:
        """Action before the tanh."""
        ...

    def policy(self, networks: Networks) -> Controller:
        """The policy."""
        ...


class JointModel:
    """One network that sees everything, and some forecasts in order too, and decides on everything."""

    def __init__(self, env: GridEnv, hidden: Sequence[int], ordering: Ordering) -> None:
        self._ordering = ordering
        self._sizes = (env.n_observation + ordering.n_added, *hidden, env.n_action)

    def init(self, key: Array, start: Float[Array, " act"], seen: Float[Array, "sample obs"]) -> Networks:
        """One network that gives this action."""
        return (_constant_network(key, self._sizes, start, self._ordering.inputs(seen)),)

    def output(self, networks: Networks, observation: Float[Array, "*batch obs"]) -> Float[Array, "*batch act"]:
        """Action before the tanh."""
        return networks[0].output(self._ordering.inputs(observation))

    def policy(self, networks: Networks) -> Controller:
        """The network, held inside the action bounds by a tanh."""
        network = NetworkPolicy(layers=networks[0].folded, name=_NAME, limit="tanh")
        return OrderedPolicy(network=network, ordering=self._ordering) if self._ordering.forecasts else network


class SharedModel:
    """A network for each kind of unit, which sees what can be measured at one of them and which of them it is."""

    def __init__(self, env: GridEnv, hidden: Sequence[int]) -> None:
        task = env.task
        self._groups = groups_of(unit_agents(env), task.action, [0] * env.n_action, task.observation)
        self._hidden = tuple(hidden)

    def init(self, key: Array, start: Float[Array, " act"], seen: Float[Array, "sample obs"]) -> Networks:
        """A network for each group that gives the mean of this action over its units."""
        return tuple(
            _constant_network(
                jax.random.fold_in(key, i),
                self._sizes(group),
                jnp.mean(group.own(start), axis=0),
                group.inputs(seen).reshape(-1, group.n_input),
            )
            for i, group in enumerate(self._groups)
        )

    def output(self, networks: Networks, observation: Float[Array, "*batch obs"]) -> Float[Array, "*batch act"]:
        """Action before the tanh."""
        own = [n.output(g.inputs(observation)) for n, g in zip(networks, self._groups, strict=True)]
        return joined(self._groups, own)

    def policy(self, networks: Networks) -> Controller:
        """All units together, each held inside its bounds by a tanh."""
        members = tuple(
            GroupPolicy(layers=network.folded, group=group, heads=TanhHeads())
            for network, group in zip(networks, self._groups, strict=True)
        )
        return JointPolicy(members=members, name=_NAME)

    def _sizes(self, group: AgentGroup) -> tuple[int, ...]:
        return (group.n_input, *self._hidden, len(group.levels))


@dataclass(frozen=True)
class TanhHeads:
    """Outputs of a network are actions before a tanh."""

    def most_likely(self, outputs: Float[Array, "*batch outputs"]) -> Float[Array, "*batch act"]:
        """Actions inside the bounds."""
        return jnp.tanh(outputs)

    def most_likely_graph(self, graph: Graph, outputs: str) -> str:
        """`most_likely` as operations of a graph."""
        return graph.node("Tanh", outputs)


def unit_agents(env: GridEnv) -> list[Agent]:
    """An agent for every unit, also of those that a zone puts together in the multi-agent form."""
    units, channels = env.task.actuator.units, list(env.task.observation)
    return [
        replace(
            agent,
            name=unit,
            units=(unit,),
            unit_rows=agent.unit_rows[[i]],
            actions=agent.actions[[units[a] == unit for a in agent.actions]],
            local=np.array([c for c in agent.local if channels[c].source not in {*agent.units} - {unit}]),
        )
        for agent in env.task.agents
        for i, unit in enumerate(agent.units)
    ]


def _constant_network(
    key: Array, sizes: Sequence[int], start: Float[Array, " own"], seen: Float[Array, "sample inputs"]
) -> Network:
    outputs = jnp.arctanh(jnp.clip(start, -_FARTHEST_START, _FARTHEST_START))
    return Network(
        layers=begun_at(init_mlp(key, sizes, last_gain=0.0), outputs),
        mean=jnp.mean(seen, axis=0),
        scale=1.0 / jnp.maximum(jnp.std(seen, axis=0), _LEAST_DEVIATION),
    )
