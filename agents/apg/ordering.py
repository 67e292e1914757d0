"""Forecasts put in order for a policy: what to do now often depends on how many of the coming values are higher.

A battery charges while few of the prices that it could still wait for are lower. A dense network learns to count them
from the values hour by hour, but takes more steps for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jax import Array, lax
from jax import numpy as jnp
from jaxtyping import Float

from agents.graph import Graph
from agents.networks import NetworkPolicy
from gridenv.core.channels import ChannelSet
from gridenv.core.errors import ConfigError, did_you_mean, raise_collected
from gridenv.core.pytree import pytree, static
from gridenv.tasks.env import EnvParams, EnvState
from gridenv.tasks.observation import AHEAD

_HIDDEN = 1e9
"""Far beyond every normalised value: what a running extreme must not see is moved there."""


@dataclass(frozen=True)
class OrderedForecast:
    """A quantity that is observed with its forecast."""

    present: int
    """Place of its present value in the observation."""
    ahead: tuple[int, ...]
    """Places of what it will be, in the order of time."""

    @property
    def n_added(self) -> int:
        """Inputs that it adds."""
        return 3 * len(self.ahead)

    def added(self, observation: Float[Array, "*batch obs"]) -> Float[Array, "*batch added"]:
        """Coming values less the present one: sorted, and the highest and the lowest up to each of them."""
        rise = observation[..., np.array(self.ahead)] - observation[..., [self.present]]
        last = rise.ndim - 1
        return jnp.concatenate([jnp.sort(rise), lax.cummax(rise, axis=last), lax.cummin(rise, axis=last)], axis=-1)

    def added_graph(self, graph: Graph, observation: str) -> list[str]:
        """`added` as operations of a graph."""
        n = len(self.ahead)
        rise = graph.node("Sub", graph.gather(observation, self.ahead), graph.gather(observation, [self.present]))
        each = graph.node("Unsqueeze", rise, graph.constant([1]))
        later = np.triu(np.ones((n, n)), k=1)
        highest = graph.node("Add", each, graph.constant(-_HIDDEN * later))
        lowest = graph.node("Add", each, graph.constant(_HIDDEN * later))
        return [
            graph.sorted(rise, n),
            graph.node("ReduceMax", highest, axes=[-1], keepdims=0),
            graph.node("ReduceMin", lowest, axes=[-1], keepdims=0),
        ]


@dataclass(frozen=True)
class Ordering:
    """The observation, and forecasts in order beside it."""

    forecasts: tuple[OrderedForecast, ...] = ()

    @property
    def n_added(self) -> int:
        """Inputs beyond the observation."""
        return sum(forecast.n_added for forecast in self.forecasts)

    def inputs(self, observation: Float[Array, "*batch obs"]) -> Float[Array, "*batch inputs"]:
        """What the network sees."""
        return jnp.concatenate([observation, *(f.added(observation) for f in self.forecasts)], axis=-1)

    def inputs_graph(self, graph: Graph, observation: str) -> str:
        """`inputs` as operations of a graph."""
        added = [name for f in self.forecasts for name in f.added_graph(graph, observation)]
        return graph.node("Concat", observation, *added, axis=-1)


@pytree
class OrderedPolicy:
    """A network that sees forecasts in order too."""

    network: NetworkPolicy
    ordering: Ordering = static()

    @property
    def name(self) -> str:
        """That of the network."""
        return self.network.name

    def act(
        self, params: EnvParams, state: EnvState, observation: Float[Array, "*batch obs"]
    ) -> Float[Array, "*batch act"]:
        """Normalised actions from the observation alone."""
        return self.network.act(params, state, self.ordering.inputs(observation))

    def build_graph(self, graph: Graph, observation: str) -> str:
        """The same as operations of a graph."""
        return self.network.build_graph(graph, self.ordering.inputs_graph(graph, observation))


def ordering_of(observation: ChannelSet, names: Sequence[str]) -> Ordering:
    """Where the forecasts of these quantities are.

    Args:
        observation: of the task.
        names: of quantities, such as `price_eur_mwh`.

    Raises:
        ConfigError: for quantities that are not observed with a forecast.
    """
    channels = observation.names
    places = {channel: place for place, channel in enumerate(channels)}
    ahead = {name: tuple(places[c] for c in channels if c.startswith(name + AHEAD)) for name in names}
    known = list(dict.fromkeys(c.rpartition(AHEAD)[0] for c in channels if AHEAD in c))
    raise_collected(
        [_refusal(name, known) for name, found in ahead.items() if not found or name not in places],
        ConfigError,
    )
    return Ordering(tuple(OrderedForecast(places[name], found) for name, found in ahead.items()))


def _refusal(name: str, known: Sequence[str]) -> str:
    fault = f"agent 'apg': ordered names '{name}', which is not observed with a forecast"
    if not known:
        return f"{fault}; set task.forecast_steps to 1 or more, or leave ordered out"
    return fault + did_you_mean(name, known)
