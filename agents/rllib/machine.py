"""The algorithm of RLlib that does the updates, with Ray and its processes around it."""

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any
from uuid import uuid4

import numpy as np
import ray
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core import COMPONENT_OPTIMIZER, COMPONENT_RL_MODULE
from ray.rllib.core.learner import Learner
from ray.rllib.utils.metrics import LEARNER_RESULTS
from ray.tune.registry import ENV_CREATOR, _global_registry, register_env

from agents.rllib.config import RLlibPPOConfig
from agents.rllib.runners import seed_everything
from agents.rllib.state import MOMENTS, Arrays, TrainingState
from gridenv.adapters.ray_settings import ray_session
from gridenv.core.errors import ConfigError, RunError

_HALF = 0.5
"""Our value loss is half of a mean square, the library's is all of it."""


class Machine:
    """An algorithm that can be brought to any state, does an update, and gives the state after it.

    Between two updates it holds nothing that matters, so that one serves several trainings.
    """

    def __init__(
        self, config: RLlibPPOConfig, make_env: Callable[[Any], Any], shape: Callable[[PPOConfig], PPOConfig]
    ) -> None:
        """Start Ray, where it does not run yet, and the algorithm.

        Args:
            config: settings.
            make_env: what RLlib makes environments with; travels to other processes by pickle.
            shape: adds runners, modules and batch sizes to the library's configuration.

        Raises:
            ConfigError: if the cluster cannot be reached, or lacks processors for the env runners.
        """
        self._config = config
        with ExitStack() as stack:
            if not ray.is_initialized():
                stack.enter_context(ray_session(config.ray))
            _check_processors(config)
            with quiet():
                # Processes of one Ray, as those of a sweep, share these names.
                name = f"gridenv-training-{uuid4().hex}"
                register_env(name, make_env)
                stack.callback(_global_registry.unregister, ENV_CREATOR, name)
                self._algorithm: Any = shape(_base(config).environment(name)).build_algo()
            stack.callback(self._algorithm.stop)
            self._open = stack.pop_all()

    def close(self) -> None:
        """End the algorithm and all processes that were started for it."""
        with quiet():
            self._open.close()

    def update(self, state: TrainingState, learning_rate: float) -> tuple[TrainingState, dict[str, Any]]:
        """The state after one update, and what the library measured of every module.

        Raises:
            RunError: if a process of an env runner ended.
        """
        weights = state.weights
        try:
            with quiet():
                self._learner(lambda learner: _set(learner, state, learning_rate))
                self._runners(lambda runner: runner.begin_update(state.seed, state.updates, weights))
                # After the local env runner's draws, and without them, the order of the samples is the same.
                seed_everything(state.seed, state.updates)
                results = self._algorithm.train()
                weights, moments = self._learner(_get)
        except ray.exceptions.RayError as error:
            reason = str(error).strip().splitlines()[-1]
            raise RunError(f"an env runner's process ended ({reason}); go on with `gridenv train --resume`") from error
        after = TrainingState(seed=state.seed, updates=state.updates + 1, weights=weights, moments=moments)
        return after, results[LEARNER_RESULTS]

    def take_sums(self) -> list[np.ndarray]:
        """Sums of the environments of every env runner since the last call."""
        sums: list[np.ndarray] = self._runners(lambda runner: runner.take_sums())
        return sums

    def _learner(self, function: Callable[[Learner], Any]) -> Any:
        (result,) = self._algorithm.learner_group.foreach_learner(function)
        return result.get()

    def _runners(self, function: Callable[[Any], Any]) -> list[Any]:
        is_local = self._config.num_env_runners == 0
        found: list[Any] = self._algorithm.env_runner_group.foreach_env_runner(function, local_env_runner=is_local)
        return found


def _base(config: RLlibPPOConfig) -> PPOConfig:
    """The library's configuration without environment, modules and batch sizes."""
    n_runner = config.num_env_runners
    return (
        PPOConfig()
        .framework("torch")
        .environment(disable_env_checking=True, normalize_actions=False, clip_actions=True)
        .env_runners(
            num_env_runners=n_runner,
            num_envs_per_env_runner=config.num_envs // max(n_runner, 1),
            rollout_fragment_length=config.rollout_steps,
            batch_mode="truncate_episodes",
            sample_timeout_s=None,
        )
        .learners(num_learners=0, num_gpus_per_learner=0)
        .fault_tolerance(restart_failed_env_runners=False, ignore_env_runner_failures=False)
        .reporting(
            min_time_s_per_iteration=0, min_train_timesteps_per_iteration=0, min_sample_timesteps_per_iteration=0
        )
        .training(
            lr=config.learning_rate,
            gamma=config.gamma,
            lambda_=config.gae_lambda,
            clip_param=config.clip,
            vf_clip_param=float("inf"),
            vf_loss_coeff=_HALF * config.value_weight,
            entropy_coeff=config.entropy_weight,
            # Measured, but of no weight: the loss is that of the other learners.
            use_kl_loss=True,
            kl_coeff=0.0,
            grad_clip=config.max_grad_norm,
            grad_clip_by="global_norm",
            num_epochs=config.epochs,
            train_batch_size_per_learner=config.steps_per_update,
        )
    )


def _set(learner: Learner, state: TrainingState, learning_rate: float) -> None:
    """Bring a learner to a state."""
    learner.set_state({COMPONENT_RL_MODULE: {name: dict(arrays) for name, arrays in state.weights.items()}})
    optimisers = learner.get_state(components=[COMPONENT_OPTIMIZER])[COMPONENT_OPTIMIZER]
    for optimiser in optimisers.values():
        module = optimiser["module_id"]
        for group in optimiser["state"]["param_groups"]:
            group["lr"] = learning_rate
        optimiser["state"]["state"] = {
            i: {kind: np.array(state.moments[kind][module][name]) for kind in MOMENTS}
            for i, name in enumerate(state.weights[module])
        }
    learner.set_state({COMPONENT_OPTIMIZER: optimisers})


def _get(learner: Learner) -> tuple[dict[str, Arrays], dict[str, dict[str, Arrays]]]:
    """Weights and moments of a learner, as copies."""
    found = learner.get_state(components=[COMPONENT_RL_MODULE, COMPONENT_OPTIMIZER])
    weights: dict[str, Arrays] = {
        module: {name: np.array(value) for name, value in arrays.items()}
        for module, arrays in found[COMPONENT_RL_MODULE].items()
    }
    moments: dict[str, dict[str, Arrays]] = {kind: {} for kind in MOMENTS}
    for optimiser in found[COMPONENT_OPTIMIZER].values():
        module, per_parameter = optimiser["module_id"], optimiser["state"]["state"]
        for kind in MOMENTS:
            moments[kind][module] = {
                name: np.array(per_parameter[i][kind], np.float32) for i, name in enumerate(weights[module])
            }
    return weights, moments


def _check_processors(config: RLlibPPOConfig) -> None:
    """Refuse what Ray would wait for forever."""
    asked = config.num_env_runners
    if not asked:
        return
    if ray.get_runtime_context().worker.mode == ray.WORKER_MODE:
        raise ConfigError(
            f"agent.num_env_runners = {asked} in a process of Ray's; allowed: 0, a sweep has a process for every "
            "training already; leave it out"
        )
    found = int(ray.cluster_resources().get("CPU", 0))
    if asked > found:
        raise ConfigError(
            f"agent.num_env_runners = {asked}; allowed: up to {found}, the processors of this Ray; lower it, or raise "
            "agent.ray.cpus"
        )


@contextmanager
def quiet() -> Iterator[None]:
    """The library without its messages, and without warnings about names that it uses itself."""
    loggers = [logging.getLogger(name) for name in ("ray.rllib", "ray.tune", "ray")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=DeprecationWarning)
            warnings.filterwarnings("ignore", r".*Overriding environment", UserWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def loss_metrics(results: Mapping[str, Any], share: Mapping[str, float]) -> dict[str, float]:
    """Our metrics of what the library measured, as means over modules.

    Args:
        results: of every module by name.
        share: weights of the modules; they sum to one.
    """
    names = (
        ("policy_loss", "loss/policy", 1.0),
        ("vf_loss", "loss/value", _HALF),
        ("mean_kl_loss", "policy/kl", 1.0),
        ("vf_explained_var", "value/explained_variance", 1.0),
    )
    found = {
        ours: factor * sum(weight * float(results[module][name]) for module, weight in share.items())
        for name, ours, factor in names
    }
    # The library's answer where all returns are equal; it says nothing about the training.
    return {name: value for name, value in found.items() if name != "value/explained_variance" or np.isfinite(value)}
