"""Settings of the learners of Stable-Baselines3; imports neither it nor torch."""

from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from agents.config import Activation, RolloutConfig
from agents.ppo.config import ProximalConfig


class SB3PPOConfig(ProximalConfig):
    """PPO of Stable-Baselines3: the settings that it shares with our own, which mean the same here, and two more."""

    activation: Activation = "tanh"
    """Between the layers of all networks."""
    torch_threads: PositiveInt = 1
    """Processors for torch. On a busy machine two of them wait for each other (docs/interfaces.md), and another number
    rounds differently."""


class OffPolicyConfig(RolloutConfig):
    """What SAC and TD3 share. An update is `rollout_steps` steps of every environment and the learning between them."""

    total_steps: PositiveInt = 300_000
    num_envs: PositiveInt = 32
    rollout_steps: PositiveInt = 96
    train_every: PositiveInt = 1
    """Steps of each environment between two rounds of learning."""
    gradient_steps: PositiveInt = 4
    """Gradient steps in a round of learning; each takes `batch_size` transitions."""
    learning_starts: NonNegativeInt = 6144
    """Environment steps with random actions before any learning."""
    buffer_size: PositiveInt = 100_000
    """Transitions that are remembered; a checkpoint holds them."""
    batch_size: PositiveInt = 256
    learning_rate: PositiveFloat = 3e-4
    gamma: float = Field(default=0.99, ge=0.0, le=1.0)
    tau: float = Field(default=0.005, gt=0.0, le=1.0)
    """Share of the way that the target networks move towards the learned ones in a step."""
    hidden: tuple[PositiveInt, ...] = Field(default=(64, 64), min_length=1)
    """Widths of the hidden layers of all networks."""
    activation: Activation = "relu"
    torch_threads: PositiveInt = 1
    """Processors for torch. On a busy machine two of them wait for each other (docs/interfaces.md), and another number
    rounds differently."""

    @model_validator(mode="after")
    def _whole_rounds_of_learning(self) -> "OffPolicyConfig":
        if self.rollout_steps % self.train_every:
            divisors = ", ".join(str(n) for n in range(1, self.rollout_steps + 1) if self.rollout_steps % n == 0)
            raise ValueError(
                f"train_every = {self.train_every} with rollout_steps = {self.rollout_steps}; allowed: {divisors}; "
                "change one of the two"
            )
        if self.buffer_size < self.num_envs:
            raise ValueError(
                f"buffer_size = {self.buffer_size} with num_envs = {self.num_envs}; allowed: at least one transition "
                f"of each environment, {self.num_envs}; make it larger"
            )
        return self


class SB3SACConfig(OffPolicyConfig):
    """Soft actor-critic of Stable-Baselines3."""

    entropy_coefficient: PositiveFloat | Literal["auto"] = "auto"
    """Weight of the entropy in the objective; `auto` learns it so that the policy has the target entropy."""
    target_entropy: float | Literal["auto"] = "auto"
    """Nats; `auto` is minus the number of actions. Read only where the weight is learned."""


class SB3TD3Config(OffPolicyConfig):
    """Twin delayed deep deterministic policy gradients of Stable-Baselines3."""

    learning_rate: PositiveFloat = 1e-3
    exploration_std: float = Field(default=0.1, ge=0.0)
    """Standard deviation of the noise on the actions in training, in units of the normalised action."""
    policy_delay: PositiveInt = 2
    """Gradient steps of the critics for one of the policy."""
    target_noise_std: float = Field(default=0.2, ge=0.0)
    target_noise_clip: float = Field(default=0.5, ge=0.0)
    """Noise on the actions of the target policy, and the most of it."""
