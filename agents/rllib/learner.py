"""What the learners of RLlib share: a state that is data, and a machine that does the updates."""

import weakref
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from gymnasium.spaces import Box
from jaxtyping import Float
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.rl_module import RLModuleSpec

from agents.controller import Controller
from agents.learner import Metrics
from agents.metering import means
from agents.networks import Layer
from agents.rllib import state as states
from agents.rllib.config import RLlibPPOConfig
from agents.rllib.machine import Machine, loss_metrics, quiet
from agents.rllib.module import LOG_STD, POLICY, GaussianModule
from agents.rllib.runners import seed_everything
from agents.rllib.state import Arrays, TrainingState
from agents.start import first_action
from agents.torch_models.generators import Generators, threads
from gridenv.core.errors import ConfigError
from gridenv.tasks.env import EnvParams, GridEnv

Config = TypeVar("Config", bound=RLlibPPOConfig)


class RLlibLearner(ABC, Generic[Config]):
    """A `Learner` whose update is one iteration of RLlib's PPO. The first update starts Ray; `close` ends it."""

    def __init__(self, env: GridEnv, config: Config) -> None:
        self.env = env
        self.config = config
        self._machine: Machine | None = None
        self._params: EnvParams | None = None
        self._end = lambda: None

    @abstractmethod
    def modules(self) -> dict[str, tuple[Box, Box, float]]:
        """Observation and action space of every module, and its share in the metrics."""

    @abstractmethod
    def own_part(self, name: str, action: Float[np.ndarray, " act"]) -> Float[np.ndarray, " own"]:
        """What a module decides of an action; the mean over its agents."""

    @abstractmethod
    def make_env(self, params: EnvParams) -> Any:
        """Callable that makes the environments of an env runner."""

    @abstractmethod
    def shape(self, config: PPOConfig) -> PPOConfig:
        """The library's configuration with env runners, modules and the size of minibatches."""

    @abstractmethod
    def policy(self, state: TrainingState) -> Controller:
        """The policy learned so far; it does not explore."""

    def begin(self, seed: int, params: EnvParams) -> TrainingState:
        """State before training.

        Raises:
            ConfigError: if an update would cut episodes off.
        """
        state, start = self._blank(seed, params), np.asarray(first_action(self.env, params, self.config.start))
        weights = {name: {**own, _last_bias(own): self.own_part(name, start)} for name, own in state.weights.items()}
        return replace(state, weights=weights)

    def _blank(self, seed: int, params: EnvParams) -> TrainingState:
        """State whose policies begin in the middle of their ranges."""
        self._check_whole_episodes(params)
        generators = Generators()
        with generators.used(), quiet():
            seed_everything(seed)
            made = {name: self.spec(name).build() for name in self.modules()}
        weights = {name: dict(module.get_state()) for name, module in made.items()}
        return TrainingState(seed=seed, updates=0, weights=weights, moments=states.blank_moments(weights))

    def update(self, state: TrainingState, params: EnvParams) -> tuple[TrainingState, Metrics]:
        """The state after one update, and what it measured.

        Raises:
            ConfigError: if Ray cannot be reached or lacks processors.
            RunError: if a process of an env runner ended.
        """
        config = self.config
        done = min(state.updates / config.total_updates, 1.0)
        share = 1.0 + (config.final_learning_rate_share - 1.0) * done
        with Generators().used(), threads(config.torch_threads):
            machine = self._started(params)
            state, results = machine.update(state, config.learning_rate * share)
            sums = machine.take_sums()
        spread = np.exp(np.concatenate([arrays[LOG_STD] for arrays in state.weights.values()]))
        shares = {name: part for name, (_, _, part) in self.modules().items()}
        return state, {
            **means(sums, self.env.cost_names),
            **loss_metrics(results, shares),
            "policy/std": float(spread.mean()),
        }

    def save(self, path: Path, state: TrainingState, identity: dict[str, Any]) -> None:
        """Write a checkpoint, complete or not at all."""
        states.save(path, state, identity)

    def load(self, path: Path, seed: int, params: EnvParams, identity: dict[str, Any]) -> TrainingState:
        """State of a checkpoint; training goes on from it to the same result.

        Raises:
            RunError: if the file is missing, damaged or does not belong to `identity`.
        """
        return states.load(path, self._blank(seed, params), identity)

    def close(self) -> None:
        """End Ray and its processes, if an update started them; the next one starts them again."""
        self._end()
        self._machine = self._params = None

    def spec(self, name: str) -> RLModuleSpec:
        """What the library needs to know of a module."""
        config, (seen, acted, _) = self.config, self.modules()[name]
        return RLModuleSpec(
            module_class=GaussianModule,
            observation_space=seen,
            action_space=acted,
            model_config={
                "hidden": list(config.hidden),
                "activation": config.activation,
                "initial_log_std": config.initial_log_std,
            },
        )

    def _started(self, params: EnvParams) -> Machine:
        if self._machine is not None and self._params is not params:
            self.close()
        if self._machine is None:
            self._check_whole_episodes(params)
            self._machine, self._params = Machine(self.config, self.make_env(params), self.shape), params
            # Also where nobody calls `close`.
            self._end = weakref.finalize(self, self._machine.close)
        return self._machine

    def _check_whole_episodes(self, params: EnvParams) -> None:
        length, steps = params.steps_per_episode, self.config.rollout_steps
        if steps % length:
            raise ConfigError(
                f"agent.rollout_steps = {steps} with episodes of {length} steps; allowed: {length}, {2 * length}, "
                f"{3 * length}, ...: an update of RLlib consists of whole episodes; change one of the two"
            )


def policy_layers(weights: Arrays) -> tuple[Layer, ...]:
    """The policy network of a module as layers of our own."""
    return tuple(Layer(*_dense(weights, name)) for name in _policy_weights(weights))


def _policy_weights(weights: Arrays) -> list[str]:
    """Names of the weights of a policy network, from the first layer to the last."""
    return [name for name in weights if name.startswith(f"{POLICY}.") and name.endswith(".weight")]


def _last_bias(weights: Arrays) -> str:
    return _bias(_policy_weights(weights)[-1])


def _bias(weight: str) -> str:
    return weight.removesuffix("weight") + "bias"


def _dense(weights: Mapping[str, np.ndarray], name: str) -> tuple[Any, Any]:
    from jax import numpy as jnp

    return jnp.asarray(weights[name].T), jnp.asarray(weights[_bias(name)])
