"""Analytic policy gradient: the return of whole episodes is differentiated through the exact simulation.

The simulator gives the derivative of every reward with respect to every earlier action, so the policy climbs the mean
return itself: no value function, no estimate from random actions. What moves in whole positions (taps, capacitors,
switches, starts of appliances) has no derivative; such entries of the action stay where they began, idle.

Source: J. Xu et al., "Accelerated policy learning with parallel differentiable simulation", ICLR 2022
(arXiv:2204.07137), parallel episodes and gradients through time; here over the whole episode, so that its learned value
of what follows is not needed.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import optax
from jax import Array, lax
from jax import numpy as jnp
from jaxtyping import Bool, Float, Int

from agents.apg.config import APGConfig
from agents.apg.mixing import check_mixing, mixed, with_stretched_prices
from agents.apg.model import JointModel, Model, Networks, SharedModel
from agents.apg.ordering import ordering_of
from agents.controller import Controller
from agents.learner import JaxLearner, earned
from agents.learner import Metrics as HostMetrics
from gridenv.core.errors import ConfigError
from gridenv.core.pytree import rows_where
from gridenv.core.random import stream
from gridenv.tasks.env import EnvParams, EnvState, GridEnv

Metrics = dict[str, Array]
_SAMPLED_EPISODES = 64
"""Of random actions, from which the mean and the deviation of observations are taken."""
_FAR = 3.0
"""Output of the network before the tanh from which it is pulled back; there the action is at 99.5 % of its range. Much
further out the tanh rounds to its limit, no gradient is left, and the policy would stay there for good."""
_PULL = 0.1
"""Weight of the mean squared excess over `_FAR` in the loss. Assumed: as it grows with the excess, any weight holds the
output in reach; the mean scaled reward of a step is of the order of 1 to 100."""
_GRADIENT = "policy/gradient_norm"
_MOST_SKIPPED = 10
"""Updates in a row that are left out because their gradient is not finite, before training is let diverge."""


class LearnerState(NamedTuple):
    """Everything that training needs to go on; saved as it is in a checkpoint."""

    networks: Networks
    optimiser: optax.OptState
    env: EnvState
    observation: Float[Array, "env obs"]
    key: Array
    updates: Int[Array, ""]


class Rollout(NamedTuple):
    """What an update went through, time first; steps after the end of an episode do not count."""

    alive: Bool[Array, "time env"]
    reward: Float[Array, "time env"]
    cost: Float[Array, "time env cost"]
    economic_eur: Float[Array, "time env"]


class _Window(NamedTuple):
    """Where the episodes have arrived."""

    observation: Float[Array, "env obs"]
    env: EnvState
    alive: Bool[Array, " env"]
    """Whether the episode goes on."""


class APG(JaxLearner[LearnerState]):
    """A learner for one environment; holds settings only, all that changes is in `LearnerState`."""

    def __init__(self, env: GridEnv, config: APGConfig) -> None:
        super().__init__(env, config.start)
        self.config = config
        self.optimiser = _optimiser(config)
        self.model = _model(env, config)

    @partial(jax.jit, static_argnames="self")
    def init(self, seed: Int[Array, ""] | int, env_params: EnvParams, start: Float[Array, " act"]) -> LearnerState:
        """State before training: the policy does the same whatever it sees.

        Raises:
            ConfigError: if the horizon is longer than an episode, or shorter with mixed days, or days cannot be mixed.
        """
        self._check_horizon(env_params)
        if self.config.mixed_days:
            check_mixing(env_params, self.config.mixed_days, self.config.price_stretch)
        key, env = jax.random.key(seed), self.env
        observation, env_state = env.reset_batch(stream(key, "reset"), env_params, self.config.num_envs)
        networks = self.model.init(stream(key, "networks"), start, self._seen(stream(key, "seen"), env_params))
        return LearnerState(
            networks=networks,
            optimiser=self.optimiser.init(networks),
            env=env_state,
            observation=observation,
            key=stream(key, "training"),
            updates=jnp.int32(0),
        )

    def _seen(self, key: Array, env_params: EnvParams) -> Float[Array, "sample obs"]:
        """Observations on the way of random actions; those of episodes that failed are their first."""
        env, count = self.env, _SAMPLED_EPISODES
        first, begun = env.reset_batch(stream(key, "reset"), env_params, count)

        def one_step(carry: tuple[EnvState, Array], key: Array) -> tuple[tuple[EnvState, Array], Array]:
            state, alive = carry
            action = jax.random.uniform(key, (count, env.n_action), minval=-1.0, maxval=1.0)
            t = env.advance(state, action, env_params)
            alive = alive & ~t.terminated
            return (t.state, alive), jnp.where(alive[:, None], t.observation, first)

        keys = jax.random.split(stream(key, "actions"), env_params.steps_per_episode)
        return lax.scan(one_step, (begun, jnp.ones(count, bool)), keys)[1].reshape(-1, first.shape[-1])

    def policy(self, state: LearnerState) -> Controller:
        """What was learned, held inside the action bounds by a tanh."""
        return self.model.policy(state.networks)

    def update(self, state: LearnerState, params: EnvParams) -> tuple[LearnerState, HostMetrics]:
        """State after one update, and what it measured.

        Raises:
            ConfigError: at the first update, if no action of the task has a gradient.
        """
        state, metrics = super().update(state, params)
        self._check_gradient(state, metrics)
        return state, metrics

    def update_together(
        self, states: Sequence[LearnerState], params: EnvParams
    ) -> tuple[list[LearnerState], list[HostMetrics]]:
        """`update` of several states in one program.

        Raises:
            ConfigError: as `update`.
        """
        done, metrics = super().update_together(states, params)
        for state, each in zip(done, metrics, strict=True):
            self._check_gradient(state, each)
        return done, metrics

    def _check_horizon(self, params: EnvParams) -> None:
        horizon, episode = self.config.horizon, params.steps_per_episode
        if horizon > episode:
            raise ConfigError(
                f"agent 'apg': horizon is {horizon} steps, an episode of {self.env.id} has {episode}; "
                f"set agent.horizon to at most {episode}"
            )
        if self.config.mixed_days and horizon < episode:
            raise ConfigError(
                f"agent 'apg': horizon is {horizon} steps; allowed with mixed_days: {episode}, a whole episode of "
                f"{self.env.id}, as days are mixed anew in every update; set agent.horizon={episode}"
            )

    def _check_gradient(self, state: LearnerState, metrics: HostMetrics) -> None:
        if metrics[_GRADIENT] == 0.0 and int(state.updates) == 1:
            raise ConfigError(
                f"agent 'apg': no action of {self.env.id} has a gradient (positions and starts have none), so nothing "
                "can be learned from it; choose another agent, such as agent=ppo"
            )

    def next(self, state: LearnerState, env_params: EnvParams) -> tuple[LearnerState, Metrics]:
        """State after one update, and what it measured."""
        key = jax.random.fold_in(state.key, state.updates)
        if self.config.mixed_days:
            env_params = mixed(env_params, stream(key, "mix"), self.config.mixed_days)
            if self.config.price_stretch:
                env_params = with_stretched_prices(env_params, stream(key, "stretch"), self.config.price_stretch)
            # Episodes that began under the last mix would have observed it.
            begun = self.env.reset_batch(stream(key, "begin"), env_params, self.config.num_envs)
            state = state._replace(observation=begun[0], env=begun[1])
        gradients, (window, rollout) = jax.grad(self._loss, has_aux=True)(
            state.networks, state, env_params, stream(key, "noise")
        )
        updates, optimiser = self.optimiser.update(gradients, state.optimiser, state.networks)
        networks: Networks = optax.apply_updates(state.networks, updates)
        # With mixed days the next update begins episodes under its own mix.
        observation, env_state = window.observation, window.env
        if not self.config.mixed_days:
            observation, env_state = self._begin_again(window, env_params, stream(key, "reset"))
        new = LearnerState(networks, optimiser, env_state, observation, state.key, state.updates + 1)
        metrics = earned(self.env.cost_names, rollout.reward, rollout.economic_eur, rollout.cost, rollout.alive)
        return new, metrics | {_GRADIENT: optax.tree.norm(gradients)}

    def _loss(
        self, networks: Networks, state: LearnerState, env_params: EnvParams, key: Array
    ) -> tuple[Float[Array, ""], tuple[_Window, Rollout]]:
        """Minus the mean scaled reward of a step over the horizon, and the pull back into the range of the policy."""
        deviation = self.config.noise * (1.0 - state.updates / self.config.total_updates)

        # States between the steps and the layers of the network are kept; the simulation is computed again on the way
        # back.
        advance = jax.checkpoint(self.env.advance)

        def one_step(window: _Window, key: Array) -> tuple[_Window, tuple[Rollout, Array]]:
            with jax.default_matmul_precision("float32"):
                output = self.model.output(networks, window.observation)
            noise = deviation * jax.random.normal(key, output.shape) if self.config.noise else 0.0
            t = advance(window.env, jnp.tanh(output + noise), env_params)
            step = Rollout(window.alive, t.reward, t.info["cost"], t.info["economic_eur"])
            excess = jnp.mean(jnp.maximum(jnp.abs(output) - _FAR, 0.0) ** 2, axis=-1)
            return _Window(t.observation, t.state, window.alive & ~(t.terminated | t.truncated)), (step, excess)

        begun = _Window(state.observation, state.env, jnp.ones(self.config.num_envs, bool))
        window, (rollout, excess) = lax.scan(one_step, begun, jax.random.split(key, self.config.horizon))
        earned = jnp.mean(jnp.where(rollout.alive, rollout.reward, 0.0))
        pull = _PULL * jnp.mean(jnp.where(rollout.alive, excess, 0.0))
        return pull - self.config.reward_scale * earned, (window, rollout)

    def _begin_again(self, window: _Window, env_params: EnvParams, key: Array) -> tuple[Array, EnvState]:
        """New episodes in place of those that have ended."""

        def fresh() -> tuple[Array, EnvState]:
            new = self.env.reset_batch(key, env_params, self.config.num_envs)
            renewed: tuple[Array, EnvState] = rows_where(window.alive, (window.observation, window.env), new)
            return renewed

        return lax.cond(jnp.all(window.alive), lambda: (window.observation, window.env), fresh)


def _model(env: GridEnv, config: APGConfig) -> Model:
    if config.shared:
        return SharedModel(env, config.hidden)
    return JointModel(env, config.hidden, ordering_of(env.task.observation, config.ordered))


def _optimiser(config: APGConfig) -> optax.GradientTransformation:
    schedule = optax.cosine_decay_schedule(
        config.learning_rate, config.total_updates, alpha=config.final_learning_rate_share
    )
    chain = optax.chain(optax.clip_by_global_norm(config.max_grad_norm), optax.adam(schedule))
    # A power flow without solution has no derivative either.
    return optax.apply_if_finite(chain, _MOST_SKIPPED)
