"""PPO, SAC and TD3 of Stable-Baselines3 as learners.

Source: A. Raffin et al., "Stable-Baselines3: Reliable reinforcement learning implementations", Journal of Machine
Learning Research 22 (2021) 268; PPO: J. Schulman et al., arXiv:1707.06347; SAC: T. Haarnoja et al., arXiv:1812.05905;
TD3: S. Fujimoto et al., arXiv:1802.09477.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from stable_baselines3 import PPO, SAC, TD3
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.vec_env import VecEnv
from torch import nn

from agents.networks import NetworkPolicy
from agents.sb3.config import OffPolicyConfig, SB3PPOConfig, SB3SACConfig, SB3TD3Config
from agents.sb3.learner import SB3Learner
from agents.sb3.state import TrainingState
from agents.start import first_action
from agents.torch_models.network import begin_at, network_policy
from gridenv.tasks.env import EnvParams

_ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU}
_DEVICE = "cpu"
_HALF = 0.5
"""Our value loss is half of a mean square, the library's is all of it."""


class PPOLearner(SB3Learner[SB3PPOConfig, PPO]):
    """PPO: an update is a rollout and the optimisation on it."""

    metrics = (
        ("train/policy_gradient_loss", "loss/policy", 1.0),
        ("train/value_loss", "loss/value", _HALF),
        ("train/approx_kl", "policy/kl", 1.0),
        ("train/clip_fraction", "policy/clip_share", 1.0),
        ("train/std", "policy/std", 1.0),
        ("train/explained_variance", "value/explained_variance", 1.0),
    )

    def make_model(self, envs: VecEnv, seed: int, done: Callable[[], float]) -> PPO:
        """A model before training."""
        config = self.config
        start, end = config.learning_rate, config.learning_rate * config.final_learning_rate_share
        return PPO(
            "MlpPolicy",
            envs,
            # The library's own progress is that of one call of `learn`.
            learning_rate=lambda _: start + (end - start) * done(),
            n_steps=config.rollout_steps,
            batch_size=config.steps_per_update // config.minibatches,
            n_epochs=config.epochs,
            gamma=config.gamma,
            gae_lambda=config.gae_lambda,
            clip_range=config.clip,
            ent_coef=config.entropy_weight,
            vf_coef=_HALF * config.value_weight,
            max_grad_norm=config.max_grad_norm,
            policy_kwargs={**_networks(config), "log_std_init": config.initial_log_std},
            seed=seed,
            device=_DEVICE,
        )

    def set_start(self, model: PPO, params: EnvParams) -> None:
        """The bias at the end of the policy network."""
        begin_at(model.policy.action_net, np.asarray(first_action(self.env, params, self.config.start)))

    def policy(self, state: TrainingState[PPO]) -> NetworkPolicy:
        """Mean of the learned Gaussian, held inside the action bounds."""
        policy = state.model.policy
        return network_policy(
            policy.mlp_extractor.policy_net,
            policy.action_net,
            name="sb3_ppo",
            activation=self.config.activation,
            limit="clip",
        )


class SACLearner(SB3Learner[SB3SACConfig, SAC]):
    """Soft actor-critic: an update is a number of steps with learning between them."""

    metrics = (
        ("train/actor_loss", "loss/policy", 1.0),
        ("train/critic_loss", "loss/critic", 1.0),
        ("train/ent_coef_loss", "loss/entropy_coefficient", 1.0),
        ("train/ent_coef", "policy/entropy_coefficient", 1.0),
    )

    def make_model(self, envs: VecEnv, seed: int, done: Callable[[], float]) -> SAC:
        """A model before training."""
        del done
        config = self.config
        return SAC(
            "MlpPolicy",
            envs,
            ent_coef=config.entropy_coefficient,
            target_entropy=config.target_entropy,
            seed=seed,
            **_off_policy(config),
        )

    def policy(self, state: TrainingState[SAC]) -> NetworkPolicy:
        """The mode of the learned distribution."""
        actor = state.model.actor
        return network_policy(
            actor.latent_pi, actor.mu, name="sb3_sac", activation=self.config.activation, limit="tanh"
        )


class TD3Learner(SB3Learner[SB3TD3Config, TD3]):
    """TD3: an update is a number of steps with learning between them."""

    metrics = (("train/actor_loss", "loss/policy", 1.0), ("train/critic_loss", "loss/critic", 1.0))

    def make_model(self, envs: VecEnv, seed: int, done: Callable[[], float]) -> TD3:
        """A model before training."""
        del done
        config = self.config
        spread = np.full(self.env.n_action, config.exploration_std)
        return TD3(
            "MlpPolicy",
            envs,
            action_noise=NormalActionNoise(np.zeros_like(spread), spread),
            policy_delay=config.policy_delay,
            target_policy_noise=config.target_noise_std,
            target_noise_clip=config.target_noise_clip,
            seed=seed,
            **_off_policy(config),
        )

    def policy(self, state: TrainingState[TD3]) -> NetworkPolicy:
        """The learned policy without its exploration noise."""
        return network_policy(state.model.actor.mu, name="sb3_td3", activation=self.config.activation, limit="tanh")


def _off_policy(config: OffPolicyConfig) -> dict[str, Any]:
    """Arguments that SAC and TD3 share."""
    return {
        "learning_rate": config.learning_rate,
        "buffer_size": config.buffer_size,
        "learning_starts": config.learning_starts,
        "batch_size": config.batch_size,
        "tau": config.tau,
        "gamma": config.gamma,
        "train_freq": config.train_every,
        "gradient_steps": config.gradient_steps,
        "policy_kwargs": _networks(config),
        "device": _DEVICE,
    }


def _networks(config: SB3PPOConfig | OffPolicyConfig) -> dict[str, Any]:
    return {"net_arch": list(config.hidden), "activation_fn": _ACTIVATIONS[config.activation]}
