"""Soft actor-critic with collection and gradient steps in one compiled program; the replay buffer is part of the state.

Source: T. Haarnoja et al., "Soft actor-critic algorithms and applications", arXiv:1812.05905 (two critics, learned
temperature); bootstrap at truncation, F. Pardo et al., "Time limits in reinforcement learning", ICML 2018.
"""

from functools import partial
from typing import NamedTuple

import jax
import optax
from jax import Array, lax
from jax import numpy as jnp
from jaxtyping import Float, Int

from agents.learner import JaxLearner, earned
from agents.networks import Layer, NetworkPolicy
from agents.sac import replay
from agents.sac.config import SACConfig
from agents.sac.networks import Networks, init_networks, mean_layers, sample, values
from agents.sac.replay import Transitions
from gridenv.core.random import stream
from gridenv.tasks.env import EnvParams, EnvState, GridEnv

Metrics = dict[str, Array]
_LOSSES = ("loss/actor", "loss/critic", "policy/entropy", "policy/temperature", "value/mean")


class Learned(NamedTuple):
    """What a gradient step changes."""

    networks: Networks
    targets: tuple[Layer, ...]
    """Critics that follow slowly."""
    optimiser: optax.OptState


class LearnerState(NamedTuple):
    """Everything that training needs to go on; saved as it is in a checkpoint."""

    learned: Learned
    buffer: Transitions
    env: EnvState
    observation: Float[Array, "env obs"]
    key: Array
    updates: Int[Array, ""]


class Paid(NamedTuple):
    """What the steps of a rollout were worth, time first."""

    reward_eur: Float[Array, "time env"]
    economic_eur: Float[Array, "time env"]
    cost: Float[Array, "time env cost"]


class SAC(JaxLearner[LearnerState]):
    """A learner for one environment; holds settings only, all that changes is in `LearnerState`."""

    def __init__(self, env: GridEnv, config: SACConfig) -> None:
        super().__init__(env)
        self.config = config
        # Each part is clipped by itself: critics with large errors must not slow down the actor.
        each = optax.chain(optax.clip_by_global_norm(config.max_grad_norm), optax.adam(config.learning_rate))
        self.optimiser = optax.partition(
            {name: each for name in Networks._fields},
            Networks(*Networks._fields),  # type: ignore[arg-type]
        )

    @partial(jax.jit, static_argnames="self")
    def init(self, seed: Int[Array, ""] | int, env_params: EnvParams, start: Float[Array, " act"]) -> LearnerState:
        """State before training; the first actions are random."""
        del start
        key, env, config = jax.random.key(seed), self.env, self.config
        networks = init_networks(
            stream(key, "networks"), env.n_observation, env.n_action, config.hidden, config.initial_temperature
        )
        observation, env_state = env.reset_batch(stream(key, "reset"), env_params, config.num_envs)
        return LearnerState(
            learned=Learned(networks, networks.critics, self.optimiser.init(networks)),
            buffer=replay.empty(config.buffer_rows, config.num_envs, env.n_observation, env.n_action),
            env=env_state,
            observation=observation,
            key=stream(key, "training"),
            updates=jnp.int32(0),
        )

    def policy(self, state: LearnerState) -> NetworkPolicy:
        """Tanh of the learned mean."""
        layers = mean_layers(state.learned.networks.actor)
        return NetworkPolicy(layers=layers, name="sac", activation="relu", limit="tanh")

    def next(self, state: LearnerState, env_params: EnvParams) -> tuple[LearnerState, Metrics]:
        """State after one update, and what it measured."""
        config, key = self.config, jax.random.fold_in(state.key, state.updates)
        is_random = state.updates * config.steps_per_update < config.learning_starts
        env_state, observation, rollout, paid = self._collect(state, env_params, stream(key, "rollout"), is_random)
        buffer = replay.add(state.buffer, rollout, state.updates * config.rollout_steps)
        rows_added = (state.updates + 1) * config.rollout_steps

        def one_step(learned: Learned, key: Array) -> tuple[Learned, Metrics]:
            batch = replay.draw(buffer, stream(key, "batch"), rows_added, config.batch_size)
            return self._learn(learned, batch, key)

        def learn() -> tuple[Learned, Metrics]:
            keys = jax.random.split(stream(key, "learning"), config.gradient_steps)
            learned, metrics = lax.scan(one_step, state.learned, keys)
            return learned, jax.tree.map(jnp.mean, metrics)

        def wait() -> tuple[Learned, Metrics]:
            return state.learned, dict.fromkeys(_LOSSES, jnp.float32(0.0))

        learned, losses = lax.cond(is_random, wait, learn)
        new = LearnerState(learned, buffer, env_state, observation, state.key, state.updates + 1)
        return new, earned(self.env.cost_names, *paid) | losses

    def _collect(
        self, state: LearnerState, env_params: EnvParams, key: Array, is_random: Array
    ) -> tuple[EnvState, Float[Array, "env obs"], Transitions, Paid]:
        def one_step(
            carry: tuple[EnvState, Array], key: Array
        ) -> tuple[tuple[EnvState, Array], tuple[Transitions, Paid]]:
            env_state, observation = carry
            learned, _ = sample(state.learned.networks.actor, observation, stream(key, "action"))
            drawn = jax.random.uniform(stream(key, "drawn"), learned.shape, minval=-1.0, maxval=1.0)
            action = jnp.where(is_random, drawn, learned)
            following, env_state, reward, terminated, _, info = self.env.step_batch(
                stream(key, "env"), env_state, action, env_params
            )
            # A truncated episode would go on from its last observation, so it is worth what follows there.
            scaled, last = reward * self.config.reward_scale, info["final_observation"]
            step = Transitions(observation, action, scaled, last, terminated)
            return (env_state, following), (step, Paid(reward, info["economic_eur"], info["cost"]))

        keys = jax.random.split(key, self.config.rollout_steps)
        (env_state, observation), (rollout, paid) = lax.scan(one_step, (state.env, state.observation), keys)
        return env_state, observation, rollout, paid

    def _learn(self, learned: Learned, batch: Transitions, key: Array) -> tuple[Learned, Metrics]:
        target = self._target(learned, batch, stream(key, "following"))
        gradients, metrics = jax.grad(self._loss, has_aux=True)(learned.networks, batch, target, stream(key, "policy"))
        updates, optimiser = self.optimiser.update(gradients, learned.optimiser, learned.networks)
        networks: Networks = optax.apply_updates(learned.networks, updates)
        targets = optax.incremental_update(networks.critics, learned.targets, self.config.target_rate)
        return Learned(networks, targets, optimiser), metrics

    def _target(self, learned: Learned, batch: Transitions, key: Array) -> Float[Array, " sample"]:
        """What the critics should expect: the reward and the value, with entropy, of what follows."""
        action, log_density = sample(learned.networks.actor, batch.following, key)
        temperature = jnp.exp(learned.networks.log_temperature)
        following = jnp.min(values(learned.targets, batch.following, action), axis=0) - temperature * log_density
        return batch.reward + self.config.gamma * jnp.where(batch.terminated, 0.0, following)

    def _loss(
        self, networks: Networks, batch: Transitions, target: Float[Array, " sample"], key: Array
    ) -> tuple[Float[Array, ""], Metrics]:
        """Sum of three losses, each of which has a gradient in its own part of the networks only."""
        fixed: Networks = lax.stop_gradient(networks)
        expected = values(networks.critics, batch.observation, batch.action)
        critic = 0.5 * jnp.mean((expected - target) ** 2)
        action, log_density = sample(networks.actor, batch.observation, key)
        worth = jnp.min(values(fixed.critics, batch.observation, action), axis=0)
        actor = jnp.mean(jnp.exp(fixed.log_temperature) * log_density - worth)
        missing = self.config.target_entropy * action.shape[-1] + jnp.mean(lax.stop_gradient(log_density))
        return critic + actor - networks.log_temperature * missing, {
            "loss/actor": actor,
            "loss/critic": critic,
            "policy/entropy": -jnp.mean(log_density),
            "policy/temperature": jnp.exp(networks.log_temperature),
            "value/mean": jnp.mean(expected),
        }
