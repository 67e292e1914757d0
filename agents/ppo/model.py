"""The networks that PPO trains, behind one interface, and those of one policy for all actions."""

from typing import Any, NamedTuple, Protocol, runtime_checkable

from jax import Array
from jax import numpy as jnp
from jaxtyping import Float

from agents.controller import Controller
from agents.networks import NetworkPolicy, begun_at, mlp
from agents.ppo.config import PPOConfig
from agents.ppo.heads import ActionHeads
from agents.ppo.networks import ActorCritic, init_actor_critic
from agents.ppo.policy import HybridPolicy


class Judgement(NamedTuple):
    """What a policy says of actions that were taken."""

    log_prob: Float[Array, "*batch actor"]
    entropy: Float[Array, "*#batch actor"]


@runtime_checkable
class Model(Protocol):
    """Policies and value functions as pure functions of their parameters.

    Observations and actions are those of the environment, [*batch, entry]. An axis of actors stands behind the batch
    where each of several has a probability of its own, and one of lanes where there are several values.
    """

    def init(self, key: Array, start: Float[Array, " act"]) -> Any:
        """Parameters before training, of policies that act close to `start` whatever they see."""
        ...

    def sample(self, params: Any, observation: Array, key: Array) -> tuple[Array, Array]:
        """Actions drawn, and their log probability [*batch, *actor]."""
        ...

    def judge(self, params: Any, observation: Array, action: Array) -> Judgement:
        """Log probability and entropy of actions that were drawn before."""
        ...

    def value(self, params: Any, observation: Array) -> Array:
        """Estimated discounted returns [*batch, *lane]."""
        ...

    def deviations(self, params: Any) -> Array:
        """Standard deviations of all continuous actions [entry]."""
        ...

    def policy(self, params: Any, name: str) -> Controller:
        """The policy without exploration."""
        ...


class JointModel:
    """One policy that sees the whole observation and decides on all actions."""

    def __init__(self, n_observation: int, levels: tuple[int, ...], config: PPOConfig, n_lane: int = 0) -> None:
        """Networks of a task.

        Args:
            n_observation: length of the observation.
            levels: number of positions of each action entry, 0 = continuous.
            config: sizes and initial values.
            n_lane: number of values; 0 for a single one without an axis of lanes.
        """
        self.n_observation, self.config, self.n_lane = n_observation, config, n_lane
        self.heads = ActionHeads(levels)

    def init(self, key: Array, start: Float[Array, " act"]) -> ActorCritic:
        """Parameters before training, of a policy that acts close to `start` and has equally likely positions."""
        heads, config = self.heads, self.config
        params = init_actor_critic(
            key,
            self.n_observation,
            heads.n_continuous,
            config.hidden,
            config.initial_log_std,
            n_step=heads.n_step,
            n_value=max(self.n_lane, 1),
        )
        return params._replace(actor=begun_at(params.actor, heads.outputs_at(start)))

    def sample(
        self, params: ActorCritic, observation: Float[Array, "*batch obs"], key: Array
    ) -> tuple[Float[Array, "*batch act"], Float[Array, "*batch"]]:
        """Actions drawn, and their log probability."""
        outputs = mlp(params.actor, observation)
        action = self.heads.sample(outputs, params.log_std, key)
        return action, self.heads.log_prob(outputs, params.log_std, action)

    def judge(
        self, params: ActorCritic, observation: Float[Array, "*batch obs"], action: Float[Array, "*batch act"]
    ) -> Judgement:
        """Log probability and entropy of actions that were drawn before."""
        outputs = mlp(params.actor, observation)
        return Judgement(
            self.heads.log_prob(outputs, params.log_std, action), self.heads.entropy(outputs, params.log_std)
        )

    def value(self, params: ActorCritic, observation: Float[Array, "*batch obs"]) -> Float[Array, "*batch_lane"]:
        """Estimated discounted returns."""
        values = mlp(params.critic, observation)
        return values if self.n_lane else values[..., 0]

    def deviations(self, params: ActorCritic) -> Float[Array, " continuous"]:
        """Standard deviations of the continuous actions."""
        return jnp.exp(params.log_std)

    def policy(self, params: ActorCritic, name: str) -> Controller:
        """Means of the Gaussians and the most likely positions, inside the action bounds."""
        if self.heads.n_step:
            return HybridPolicy(layers=params.actor, heads=self.heads, name=name)
        return NetworkPolicy(layers=params.actor, name=name)
