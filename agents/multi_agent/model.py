"""Networks of several agents: one policy for every group, and values of what each agent or everybody sees."""

from typing import NamedTuple

import jax
from jax import Array
from jax import numpy as jnp
from jaxtyping import Float

from agents.multi_agent.config import MultiAgentConfig
from agents.multi_agent.groups import AgentGroup, joined, split_keys
from agents.multi_agent.policy import GroupPolicy, JointPolicy
from agents.networks import Layer, begun_at, init_mlp, mlp
from agents.ppo.heads import ActionHeads
from agents.ppo.model import Judgement
from agents.ppo.networks import POLICY_GAIN, VALUE_GAIN


class Actor(NamedTuple):
    """Policy network of a group, and the spread of its continuous actions."""

    layers: tuple[Layer, ...]
    log_std: Float[Array, " continuous"]


class MultiAgentParams(NamedTuple):
    """Parameters of all networks."""

    actors: tuple[Actor, ...]
    """[group]"""
    critics: tuple[tuple[Layer, ...], ...]
    """[group], or one for all agents."""


class MultiAgentModel:
    """Agents act on their own observations; actors and lanes are all agents, group by group.

    With `central` values, one network sees the whole observation and has an output for every agent, or a single one if
    all have the same reward. Else every group has a network that sees what its agents see.
    """

    def __init__(
        self, n_observation: int, groups: tuple[AgentGroup, ...], config: MultiAgentConfig, *, central: bool
    ) -> None:
        self.n_observation, self.groups, self.config, self.central = n_observation, groups, config, central
        self.heads = tuple(ActionHeads(group.levels) for group in groups)
        self.n_agent = sum(group.n_agent for group in groups)

    def init(self, key: Array, start: Float[Array, " act"]) -> MultiAgentParams:
        """Parameters before training, of policies that act close to the mean of `start` over the agents of a group."""
        hidden, actor_key, critic_key = self.config.hidden, *jax.random.split(key)
        log_std, actors = self.config.initial_log_std, []
        for k, group, heads in zip(split_keys(actor_key, self.groups), self.groups, self.heads, strict=True):
            layers = init_mlp(k, (group.n_input, *hidden, heads.n_output), POLICY_GAIN)
            spread = jnp.full(heads.n_continuous, log_std, jnp.float32)
            outputs = heads.outputs_at(jnp.mean(group.own(start), axis=0))
            actors.append(Actor(begun_at(layers, outputs), spread))
        if self.central:
            n_value = self.n_agent if self.config.reward == "own" else 1
            return MultiAgentParams(
                tuple(actors), (init_mlp(critic_key, (self.n_observation, *hidden, n_value), VALUE_GAIN),)
            )
        critics = tuple(
            init_mlp(k, (group.n_input, *hidden, 1), VALUE_GAIN)
            for k, group in zip(split_keys(critic_key, self.groups), self.groups, strict=True)
        )
        return MultiAgentParams(tuple(actors), critics)

    def sample(
        self, params: MultiAgentParams, observation: Float[Array, "*batch obs"], key: Array
    ) -> tuple[Float[Array, "*batch act"], Float[Array, "*batch agent"]]:
        """Actions of all agents drawn, and the log probability of each agent's."""
        outputs = self._outputs(params, observation)
        keys = split_keys(key, self.groups)
        drawn = [h.sample(o, a.log_std, k) for h, o, a, k in zip(self.heads, outputs, params.actors, keys, strict=True)]
        chances = [
            h.log_prob(o, a.log_std, d) for h, o, a, d in zip(self.heads, outputs, params.actors, drawn, strict=True)
        ]
        return joined(self.groups, drawn), jnp.concatenate(chances, axis=-1)

    def judge(
        self, params: MultiAgentParams, observation: Float[Array, "*batch obs"], action: Float[Array, "*batch act"]
    ) -> Judgement:
        """Log probability and entropy [*batch, agent] of actions that were drawn before."""
        chances, entropies = [], []
        outputs = self._outputs(params, observation)
        for group, heads, out, actor in zip(self.groups, self.heads, outputs, params.actors, strict=True):
            chances.append(heads.log_prob(out, actor.log_std, group.own(action)))
            entropies.append(jnp.broadcast_to(heads.entropy(out, actor.log_std), chances[-1].shape))
        return Judgement(jnp.concatenate(chances, axis=-1), jnp.concatenate(entropies, axis=-1))

    def value(self, params: MultiAgentParams, observation: Float[Array, "*batch obs"]) -> Float[Array, "*batch agent"]:
        """Estimated discounted return of every agent."""
        if self.central:
            values = mlp(params.critics[0], observation)
            return jnp.broadcast_to(values, (*values.shape[:-1], self.n_agent))
        zipped = zip(self.groups, params.critics, strict=True)
        return jnp.concatenate([mlp(critic, group.inputs(observation))[..., 0] for group, critic in zipped], axis=-1)

    def deviations(self, params: MultiAgentParams) -> Float[Array, " continuous"]:
        """Standard deviations of the continuous actions of every group."""
        return jnp.exp(jnp.concatenate([actor.log_std for actor in params.actors]))

    def policy(self, params: MultiAgentParams, name: str) -> JointPolicy:
        """The policies of all agents without exploration."""
        zipped = zip(params.actors, self.groups, self.heads, strict=True)
        return JointPolicy(
            members=tuple(GroupPolicy(layers=a.layers, group=g, heads=h) for a, g, h in zipped), name=name
        )

    def _outputs(self, params: MultiAgentParams, observation: Array) -> list[Float[Array, "*batch agent outputs"]]:
        zipped = zip(self.groups, params.actors, strict=True)
        return [mlp(actor.layers, group.inputs(observation)) for group, actor in zipped]
