"""PPO with rollout and update in one compiled scan.

Source: J. Schulman et al., "Proximal policy optimization algorithms", arXiv:1707.06347; generalised advantage
estimation, arXiv:1506.02438; bootstrap at truncation, F. Pardo et al., "Time limits in reinforcement learning",
ICML 2018.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import optax
from jax import Array, lax
from jax import numpy as jnp
from jaxtyping import Float, Int

from agents.controller import Controller
from agents.learner import JaxLearner, earned
from agents.ppo.config import PPOConfig
from agents.ppo.heads import levels_of
from agents.ppo.model import JointModel, Model
from agents.ppo.rollout import Batch, Rollout, gae, policy_loss
from agents.sharding import EnvSharding
from gridenv.core.pytree import along
from gridenv.core.random import stream
from gridenv.tasks.env import EnvParams, EnvState, GridEnv

Metrics = dict[str, Array]
_Carry = tuple[Any, optax.OptState]


class LearnerState(NamedTuple):
    """Everything that training needs to go on; saved as it is in a checkpoint."""

    params: Any
    optimiser: optax.OptState
    env: EnvState
    observation: Float[Array, "env obs"]
    key: Array
    updates: Int[Array, ""]
    prices: Any = ()
    """What the lanes of the reward are worth at present, for learners that change it."""


class ProximalLearner(JaxLearner[LearnerState]):
    """PPO of any model; holds settings only, all that changes is in `LearnerState`."""

    name: str
    """Key of the agent in tables."""

    def __init__(self, env: GridEnv, config: PPOConfig, model: Model) -> None:
        super().__init__(env, config.start)
        self.config = config
        self.model = model
        self.optimiser = _optimiser(config)
        self.sharding = EnvSharding.of(config.num_envs)

    def lanes(self, reward: Float[Array, " env"], info: dict[str, Any], env_params: EnvParams) -> Array:
        """Rewards [env, *lane] that values are learned of."""
        del info, env_params
        return reward

    def actor_advantage(self, state: LearnerState, advantage: Array) -> Array:
        """Advantages [time, env, *actor] of the policy, from those of the lanes."""
        del state
        return advantage

    def first_prices(self, env_params: EnvParams) -> Any:
        """`LearnerState.prices` before training."""
        del env_params
        return ()

    def next_prices(self, prices: Any, rollout: Rollout, env_params: EnvParams) -> tuple[Any, Metrics]:
        """`LearnerState.prices` after an update, and metrics of it."""
        del rollout, env_params
        return prices, {}

    @partial(jax.jit, static_argnames="self")
    def init(self, seed: Int[Array, ""] | int, env_params: EnvParams, start: Float[Array, " act"]) -> LearnerState:
        """State before training."""
        key = jax.random.key(seed)
        params = self.model.init(stream(key, "networks"), start)
        observation, env_state = self.env.reset_batch(stream(key, "reset"), env_params, self.config.num_envs)
        return LearnerState(
            params=params,
            optimiser=self.optimiser.init(params),
            env=env_state,
            observation=observation,
            key=stream(key, "training"),
            updates=jnp.int32(0),
            prices=self.first_prices(env_params),
        )

    def place(self, state: LearnerState) -> LearnerState:
        """The state with its environments divided over the devices."""
        split, whole = self.sharding.split, self.sharding.whole
        return state._replace(
            params=whole(state.params),
            optimiser=whole(state.optimiser),
            env=split(state.env),
            observation=split(state.observation),
            key=whole(state.key),
            updates=whole(state.updates),
            prices=whole(state.prices),
        )

    def policy(self, state: LearnerState) -> Controller:
        """The learned policy without exploration."""
        return self.model.policy(state.params, self.name)

    def next(self, state: LearnerState, env_params: EnvParams) -> tuple[LearnerState, Metrics]:
        """State after one update, and what it measured."""
        key = jax.random.fold_in(state.key, state.updates)
        env_state, observation, rollout = self._collect(state, env_params, stream(key, "rollout"))
        batch, fit = self._prepare(state, rollout, observation)
        (params, optimiser), losses = self._optimise(state.params, state.optimiser, batch, stream(key, "minibatches"))
        prices, changes = self.next_prices(state.prices, rollout, env_params)
        new = LearnerState(params, optimiser, env_state, observation, state.key, state.updates + 1, prices)
        metrics = earned(self.env.cost_names, rollout.penalised_eur, rollout.economic_eur, rollout.cost)
        metrics |= self._deviation(params) | fit | losses | changes
        return self.place(new), metrics

    def _collect(
        self, state: LearnerState, env_params: EnvParams, key: Array
    ) -> tuple[EnvState, Float[Array, "env obs"], Rollout]:
        params, env, model = state.params, self.env, self.model

        def one_step(carry: tuple[EnvState, Array], key: Array) -> tuple[tuple[EnvState, Array], Rollout]:
            env_state, observation = carry
            action, log_prob = model.sample(params, observation, key)
            next_observation, env_state, reward, terminated, truncated, info = env.step_batch(
                stream(key, "env"), env_state, action, env_params
            )
            lanes = self.lanes(reward, info, env_params)
            final_value = lax.cond(
                jnp.any(truncated),
                lambda: jnp.where(along(truncated, lanes), model.value(params, info["final_observation"]), 0.0),
                lambda: jnp.zeros_like(lanes),
            )
            return self.sharding.split((env_state, next_observation)), Rollout(
                observation=observation,
                action=action,
                log_prob=log_prob,
                reward=lanes * self.config.reward_scale,
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

    def _prepare(
        self, state: LearnerState, rollout: Rollout, last_observation: Float[Array, "env obs"]
    ) -> tuple[Batch, Metrics]:
        values = self.model.value(state.params, rollout.observation)
        next_values = jnp.concatenate([values[1:], self.model.value(state.params, last_observation)[None]])
        advantage = gae(rollout, values, next_values, self.config.gamma, self.config.gae_lambda)
        wanted = self.actor_advantage(state, advantage)
        batch = Batch(rollout.observation, rollout.action, rollout.log_prob, wanted, advantage + values)
        batch, error = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), (batch, advantage))
        left, whole = jnp.sum(jnp.var(error, axis=0)), jnp.sum(jnp.var(batch.target, axis=0))
        return batch, {"value/explained_variance": 1.0 - left / jnp.maximum(whole, 1e-12)}

    def _optimise(
        self, params: Any, optimiser: optax.OptState, batch: Batch, key: Array
    ) -> tuple[tuple[Any, optax.OptState], Metrics]:
        n_sample, n_part = self.config.steps_per_update, self.config.minibatches
        size = n_sample // n_part

        def one_minibatch(carry: _Carry, rows: Int[Array, " sample"]) -> tuple[_Carry, Metrics]:
            params, optimiser = carry
            part = self.sharding.split(jax.tree.map(lambda x: x[rows], batch))
            gradients, metrics = jax.grad(self._loss, has_aux=True)(params, part)
            updates, optimiser = self.optimiser.update(gradients, optimiser, params)
            return (optax.apply_updates(params, updates), optimiser), metrics

        def one_epoch(carry: _Carry, key: Array) -> tuple[_Carry, Metrics]:
            rows = jax.random.permutation(key, n_sample)[: n_part * size].reshape(n_part, size)
            return lax.scan(one_minibatch, carry, rows)

        carry, metrics = lax.scan(one_epoch, (params, optimiser), jax.random.split(key, self.config.epochs))
        return carry, jax.tree.map(jnp.mean, metrics)

    def _loss(self, params: Any, batch: Batch) -> tuple[Float[Array, ""], Metrics]:
        config = self.config
        judged = self.model.judge(params, batch.observation, batch.action)
        of_policy, changes = policy_loss(judged.log_prob - batch.log_prob, batch.advantage, config.clip)
        of_value = 0.5 * jnp.mean((self.model.value(params, batch.observation) - batch.target) ** 2)
        entropy = jnp.mean(judged.entropy)
        loss = of_policy + config.value_weight * of_value - config.entropy_weight * entropy
        return loss, {"loss/policy": of_policy, "loss/value": of_value, "policy/entropy": entropy, **changes}

    def _deviation(self, params: Any) -> Metrics:
        """Mean standard deviation of the continuous actions, where there are any."""
        deviations = self.model.deviations(params)
        return {"policy/std": jnp.mean(deviations)} if deviations.size else {}


class PPO(ProximalLearner):
    """One policy that sees the whole observation and decides on all actions."""

    name = "ppo"

    def __init__(self, env: GridEnv, config: PPOConfig) -> None:
        super().__init__(env, config, JointModel(env.n_observation, levels_of(env, config.discrete), config))


def _optimiser(config: PPOConfig) -> optax.GradientTransformation:
    steps = config.total_updates * config.epochs * config.minibatches
    schedule = optax.linear_schedule(
        config.learning_rate, config.learning_rate * config.final_learning_rate_share, steps
    )
    return optax.chain(optax.clip_by_global_norm(config.max_grad_norm), optax.adam(schedule, eps=1e-5))
