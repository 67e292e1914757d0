"""From the outputs of a policy network to actions: continuous entries are Gaussians, positions are categories.

Positions are ordered, so an output says how much more likely a position is than the one below it (in log odds): what is
learned of one position then holds for all above it, and 33 positions are learned about as fast as a continuous action.

Source: Y. Tang and S. Agrawal, "Discretizing continuous action space for on-policy optimization", AAAI 2020, section 4
(the ordinal architecture; as a sum of log odds it is the same distribution).
"""

from dataclasses import dataclass
from functools import cached_property

import jax
import numpy as np
from jax import Array
from jax import numpy as jnp
from jaxtyping import Float

from agents.graph import FLOAT, Graph
from agents.ppo.networks import entropy, log_prob
from gridenv.core.random import stream
from gridenv.tasks.env import GridEnv

_NEVER = -1e9
"""Logit of a position that an entry does not have."""


@dataclass(frozen=True)
class ActionHeads:
    """What the outputs of a network mean: first the means of all continuous entries, then the steps of the others.

    Position i of an entry with n positions is the normalised value 2 i / (n - 1) - 1, as in `adapters.hybrid`.
    """

    levels: tuple[int, ...]
    """Number of positions of every entry of the action vector; 0 = continuous."""

    @property
    def n_continuous(self) -> int:
        """Number of continuous entries."""
        return self.levels.count(0)

    @property
    def n_step(self) -> int:
        """Number of log odds, one less than an entry has positions."""
        return sum(n - 1 for n in self.levels if n)

    @property
    def n_output(self) -> int:
        """Outputs of a policy network."""
        return self.n_continuous + self.n_step

    def outputs_at(self, action: Float[Array, "*batch act"]) -> Float[Array, "*batch outputs"]:
        """Outputs with these means of the continuous entries, and equally likely positions."""
        means = action[..., self._continuous]
        return jnp.concatenate([means, jnp.zeros((*means.shape[:-1], self.n_step), means.dtype)], axis=-1)

    def most_likely(self, outputs: Float[Array, "*batch outputs"]) -> Float[Array, "*batch act"]:
        """Means inside the bounds, and the most likely positions."""
        means = jnp.clip(outputs[..., : self.n_continuous], -1.0, 1.0)
        return self._joined(means, jnp.argmax(self._logits(outputs), axis=-1))

    def most_likely_graph(self, graph: Graph, outputs: str) -> str:
        """`most_likely` as operations of a graph; `outputs` names what the network says."""
        means = graph.clip(graph.gather(outputs, np.arange(self.n_continuous)), -1.0, 1.0)
        if not self.n_step:
            return means
        index, has_step, exists = self._steps
        steps = graph.node("Mul", graph.gather(outputs, index), graph.constant(has_step.astype(np.float32)))
        sums = graph.node("CumSum", steps, graph.constant(np.int64(-1)))
        logits = graph.node("Add", sums, graph.constant(np.where(exists, 0.0, _NEVER)))
        position = graph.node("Cast", graph.node("ArgMax", logits, axis=-1, keepdims=0), to=FLOAT)
        scaled = graph.node("Mul", position, graph.constant(2.0 / (self._counts - 1)))
        values = graph.node("Sub", scaled, graph.constant(1.0))
        return graph.gather(graph.node("Concat", means, values, axis=-1), self._order)

    def sample(
        self, outputs: Float[Array, "*batch outputs"], log_std: Float[Array, " continuous"], key: Array
    ) -> Float[Array, "*batch act"]:
        """A draw; continuous entries are not yet limited to the action bounds."""
        means = outputs[..., : self.n_continuous]
        noise = jax.random.normal(stream(key, "action"), means.shape)
        drawn = means + jnp.exp(log_std) * noise
        if not self.n_step:
            return drawn
        return self._joined(drawn, jax.random.categorical(stream(key, "position"), self._logits(outputs)))

    def log_prob(
        self,
        outputs: Float[Array, "*batch outputs"],
        log_std: Float[Array, " continuous"],
        action: Float[Array, "*batch act"],
    ) -> Float[Array, "*batch"]:
        """Log density of an action that `sample` drew; of continuous entries before they are limited."""
        means = outputs[..., : self.n_continuous]
        density = log_prob(means, log_std, action if not self.n_step else action[..., self._continuous])
        if not self.n_step:
            return density
        top = self._counts - 1
        positions = jnp.round((action[..., self._discrete] + 1.0) * (0.5 * top)).astype(jnp.int32)
        log_shares = jax.nn.log_softmax(self._logits(outputs))
        return density + jnp.sum(jnp.take_along_axis(log_shares, positions[..., None], axis=-1)[..., 0], axis=-1)

    def entropy(
        self, outputs: Float[Array, "*batch outputs"], log_std: Float[Array, " continuous"]
    ) -> Float[Array, "*#batch"]:
        """Entropy, nats; a single number where no entry has positions, as it does not depend on the outputs then."""
        if not self.n_step:
            return entropy(log_std)
        log_shares = jax.nn.log_softmax(self._logits(outputs))
        return entropy(log_std) - jnp.sum(jnp.exp(log_shares) * log_shares, axis=(-2, -1))

    @cached_property
    def _counts(self) -> np.ndarray:
        """[entry with positions] number of positions."""
        return np.array([n for n in self.levels if n], np.float32)

    @cached_property
    def _continuous(self) -> np.ndarray:
        """Places of the continuous entries in the action vector."""
        return np.flatnonzero(np.array(self.levels) == 0)

    @cached_property
    def _discrete(self) -> np.ndarray:
        """Places of the entries with positions in the action vector."""
        return np.flatnonzero(self.levels)

    @cached_property
    def _order(self) -> np.ndarray:
        """From continuous entries and then positions to the order of the action vector."""
        return np.argsort(np.concatenate([self._continuous, self._discrete]))

    @cached_property
    def _steps(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """[entry, position] place of its step among the outputs, whether it has one, and whether it exists."""
        counts = self._counts.astype(np.int64)
        position = np.arange(counts.max(initial=1))
        exists = position < counts[:, None]
        has_step = exists & (position > 0)
        first = self.n_continuous + np.cumsum(counts - 1) - (counts - 1)
        return np.where(has_step, first[:, None] + position - 1, 0), has_step, exists

    def _logits(self, outputs: Array) -> Array:
        """Logits as [*batch, entry, position]; entries with fewer positions than the largest are filled up."""
        index, has_step, exists = self._steps
        steps = jnp.where(has_step, outputs[..., index], 0.0)
        return jnp.where(exists, jnp.cumsum(steps, axis=-1), _NEVER)

    def _joined(self, continuous: Array, positions: Array) -> Array:
        values = 2.0 * positions / (self._counts - 1) - 1.0
        return jnp.concatenate([continuous, values.astype(continuous.dtype)], axis=-1)[..., self._order]


def levels_of(env: GridEnv, discrete: str) -> tuple[int, ...]:
    """Number of positions of every action entry; all 0 where positions are to be treated as continuous (`box`)."""
    if discrete == "box":
        return (0,) * env.n_action
    return tuple(control.levels for control in env.task.actuator.entries)
