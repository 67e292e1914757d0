"""PPO with rollout and update in one compiled scan.

Source: J. Schulman et al., "Proximal policy optimization algorithms", arXiv:1707.06347; generalised advantage
estimation, arXiv:1506.02438; bootstrap at truncation, F. Pardo et al., "Time limits in reinforcement learning",
ICML 2018.
"""

from functools import partial
from typing import NamedTuple

import jax
import optax
from jax import Array, lax
from jax import numpy as jnp
from jaxtyping import Bool, Float, Int

from agents.learner import JaxLearner
from agents.networks import NetworkPolicy
from agents.ppo.config import PPOConfig
from agents.ppo.networks import ActorCritic, entropy, init_actor_critic, log_prob, mean_action, value
from gridenv.core.random import stream
from gridenv.tasks.env import EnvParams, EnvState, GridEnv

Metrics = dict[str, Array]
_Carry = tuple[ActorCritic, optax.OptState]


class LearnerState(NamedTuple):
    """Everything that training needs to go on; saved as it is in a checkpoint."""

    params: ActorCritic
    optimiser: optax.OptState
    env: EnvState
    observation: Float[Array, "env obs"]
    key: Array
    updates: Int[Array, ""]


class Rollout(NamedTuple):
    """Experience of one update, time first."""

    observation: Float[Array, "time env obs"]
    action: Float[Array, "time env act"]
    log_prob: Float[Array, "time env"]
    reward: Float[Array, "time env"]
    terminated: Bool[Array, "time env"]
    truncated: Bool[Array, "time env"]
    final_value: Float[Array, "time env"]
    """Value of the last observation of an episode, where it was truncated; else 0."""
    cost: Float[Array, "time env cost"]
    economic_eur: Float[Array, "time env"]
    penalised_eur: Float[Array, "time env"]


class Batch(NamedTuple):
    """Samples of a policy update."""

    observation: Float[Array, "sample obs"]
    action: Float[Array, "sample act"]
    log_prob: Float[Array, " sample"]
    advantage: Float[Array, " sample"]
    target: Float[Array, " sample"]


class PPO(JaxLearner[LearnerState]):
    """A learner for one environment; holds settings only, all that changes is in `LearnerState`."""

    def __init__(self, env: GridEnv, config: PPOConfig) -> None:
        super().__init__(env, config)
        self.config = config
        self.optimiser = _optimiser(config)

    @partial(jax.jit, static_argnames="self")
    def init(self, seed: Int[Array, ""] | int, env_params: EnvParams) -> LearnerState:
        """State before training."""
        key = jax.random.key(seed)
        params = init_actor_critic(
            stream(key, "networks"),
            self.env.n_observation,
            self.env.n_action,
            self.config.hidden,
            self.config.initial_log_std,
        )
        observation, env_state = self.env.reset_batch(stream(key, "reset"), env_params, self.config.num_envs)
        return LearnerState(
            params=params,
            optimiser=self.optimiser.init(params),
            env=env_state,
            observation=observation,
            key=stream(key, "training"),
            updates=jnp.int32(0),
        )

    @partial(jax.jit, static_argnames=("self", "updates"), donate_argnames="state")
    def advance(self, state: LearnerState, env_params: EnvParams, updates: int) -> tuple[LearnerState, Metrics]:
        """Train for a number of updates in one compiled call.

        Returns:
            The new state and metrics with a leading axis of `updates`.
        """
        return lax.scan(lambda s, _: self._update(s, env_params), state, length=updates)

    def policy(self, state: LearnerState) -> NetworkPolicy:
        """Mean of the learned Gaussian, held inside the action bounds."""
        return NetworkPolicy(layers=state.params.actor, name="ppo")

    def _update(self, state: LearnerState, env_params: EnvParams) -> tuple[LearnerState, Metrics]:
        key = jax.random.fold_in(state.key, state.updates)
        env_state, observation, rollout = self._collect(state, env_params, stream(key, "rollout"))
        batch = self._prepare(state.params, rollout, observation)
        (params, optimiser), losses = self._optimise(state.params, state.optimiser, batch, stream(key, "minibatches"))
        new = LearnerState(params, optimiser, env_state, observation, state.key, state.updates + 1)
        return new, _metrics(self.env.cost_names, rollout, batch, losses, params)

    def _collect(
        self, state: LearnerState, env_params: EnvParams, key: Array
    ) -> tuple[EnvState, Float[Array, "env obs"], Rollout]:
        params, env = state.params, self.env

        def one_step(carry: tuple[EnvState, Array], key: Array) -> tuple[tuple[EnvState, Array], Rollout]:
            env_state, observation = carry
            mean = mean_action(params, observation)
            noise = jax.random.normal(stream(key, "action"), mean.shape)
            action = mean + jnp.exp(params.log_std) * noise
            next_observation, env_state, reward, terminated, truncated, info = env.step_batch(
                stream(key, "env"), env_state, action, env_params
            )
            final_value = lax.cond(
                jnp.any(truncated),
                lambda: jnp.where(truncated, value(params, info["final_observation"]), 0.0),
                lambda: jnp.zeros_like(reward),
            )
            return (env_state, next_observation), Rollout(
                observation=observation,
                action=action,
                log_prob=log_prob(mean, params.log_std, action),
                reward=reward * self.config.reward_scale,
                terminated=terminated,
                truncated=truncated,
                final_value=final_value,
                cost=info["cost"],
                economic_eur=info["economic_eur"],
                penalised_eur=reward,
            )

        keys = jax.random.split(key, self.config.rollout_steps)
        (env_state, observation), rollout = lax.scan(one_step, (state.env, state.observation), keys)
        return env_state, observation, rollout

    def _prepare(self, params: ActorCritic, rollout: Rollout, last_observation: Float[Array, "env obs"]) -> Batch:
        values = value(params, rollout.observation)
        next_values = jnp.concatenate([values[1:], value(params, last_observation)[None]])
        advantage = gae(rollout, values, next_values, self.config.gamma, self.config.gae_lambda)
        batch = Batch(rollout.observation, rollout.action, rollout.log_prob, advantage, advantage + values)
        return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), batch)

    def _optimise(
        self, params: ActorCritic, optimiser: optax.OptState, batch: Batch, key: Array
    ) -> tuple[tuple[ActorCritic, optax.OptState], Metrics]:
        n_sample, n_part = self.config.steps_per_update, self.config.minibatches
        size = n_sample // n_part

        def one_minibatch(carry: _Carry, rows: Int[Array, " sample"]) -> tuple[_Carry, Metrics]:
            params, optimiser = carry
            part = jax.tree.map(lambda x: x[rows], batch)
            gradients, metrics = jax.grad(_loss, has_aux=True)(params, part, self.config)
            updates, optimiser = self.optimiser.update(gradients, optimiser, params)
            return (optax.apply_updates(params, updates), optimiser), metrics

        def one_epoch(carry: _Carry, key: Array) -> tuple[_Carry, Metrics]:
            rows = jax.random.permutation(key, n_sample)[: n_part * size].reshape(n_part, size)
            return lax.scan(one_minibatch, carry, rows)

        carry, metrics = lax.scan(one_epoch, (params, optimiser), jax.random.split(key, self.config.epochs))
        return carry, jax.tree.map(jnp.mean, metrics)


def gae(
    rollout: Rollout,
    values: Float[Array, "time env"],
    next_values: Float[Array, "time env"],
    gamma: float,
    gae_lambda: float,
) -> Float[Array, "time env"]:
    """Generalised advantage estimates.

    A terminated episode has no future; a truncated one goes on unseen, so its last value is bootstrapped. Neither
    passes advantages back across its end.
    """
    done = rollout.terminated | rollout.truncated
    following = jnp.where(done, rollout.final_value, next_values)
    delta = rollout.reward + gamma * following - values
    decay = gamma * gae_lambda * (1.0 - done)

    def back(later: Array, now: tuple[Array, Array]) -> tuple[Array, Array]:
        delta, decay = now
        advantage = delta + decay * later
        return advantage, advantage

    return lax.scan(back, jnp.zeros_like(values[0]), (delta, decay), reverse=True)[1]


def _loss(params: ActorCritic, batch: Batch, config: PPOConfig) -> tuple[Float[Array, ""], Metrics]:
    mean = mean_action(params, batch.observation)
    log_ratio = log_prob(mean, params.log_std, batch.action) - batch.log_prob
    ratio = jnp.exp(log_ratio)
    advantage = (batch.advantage - batch.advantage.mean()) / (batch.advantage.std() + 1e-8)
    clipped = jnp.clip(ratio, 1.0 - config.clip, 1.0 + config.clip)
    policy_loss = -jnp.mean(jnp.minimum(ratio * advantage, clipped * advantage))
    value_loss = 0.5 * jnp.mean((value(params, batch.observation) - batch.target) ** 2)
    loss = policy_loss + config.value_weight * value_loss - config.entropy_weight * entropy(params.log_std)
    return loss, {
        "loss/policy": policy_loss,
        "loss/value": value_loss,
        "policy/kl": jnp.mean(ratio - 1.0 - log_ratio),
        "policy/clip_share": jnp.mean(jnp.abs(ratio - 1.0) > config.clip),
    }


def _metrics(
    cost_names: tuple[str, ...], rollout: Rollout, batch: Batch, losses: Metrics, params: ActorCritic
) -> Metrics:
    target_variance = jnp.var(batch.target)
    return {
        "train/reward_eur": jnp.mean(rollout.penalised_eur),
        "train/economic_eur": jnp.mean(rollout.economic_eur),
        **{f"train/cost_{name}": jnp.mean(rollout.cost[..., i]) for i, name in enumerate(cost_names)},
        "policy/std": jnp.mean(jnp.exp(params.log_std)),
        "value/explained_variance": 1.0 - jnp.var(batch.advantage) / jnp.maximum(target_variance, 1e-12),
        **losses,
    }


def _optimiser(config: PPOConfig) -> optax.GradientTransformation:
    steps = config.total_updates * config.epochs * config.minibatches
    schedule = optax.linear_schedule(
        config.learning_rate, config.learning_rate * config.final_learning_rate_share, steps
    )
    return optax.chain(optax.clip_by_global_norm(config.max_grad_norm), optax.adam(schedule, eps=1e-5))
