"""Settings of PPO."""

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt


class PPOConfig(BaseModel):
    """Proximal policy optimisation; defaults are those of the volt-var experiment."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    total_steps: PositiveInt = 2_000_000
    """Environment steps of the whole training, rounded up to full updates."""
    num_envs: PositiveInt = 128
    rollout_steps: PositiveInt = 96
    """Steps of each environment between two updates."""
    epochs: PositiveInt = 4
    minibatches: PositiveInt = 16
    learning_rate: PositiveFloat = 1e-3
    final_learning_rate_share: float = Field(default=0.05, ge=0.0, le=1.0)
    """The learning rate falls linearly to this share of its start."""
    gamma: float = Field(default=0.99, ge=0.0, le=1.0)
    gae_lambda: float = Field(default=0.95, ge=0.0, le=1.0)
    clip: PositiveFloat = 0.2
    value_weight: PositiveFloat = 0.5
    entropy_weight: float = Field(default=0.0, ge=0.0)
    max_grad_norm: PositiveFloat = 0.5
    hidden: tuple[PositiveInt, ...] = (64, 64)
    initial_log_std: float = -1.0
    reward_scale: PositiveFloat = 1.0
    """Rewards are multiplied by this for learning only, so that returns are of the order of one."""

    @property
    def steps_per_update(self) -> int:
        """Environment steps that one update consumes."""
        return self.num_envs * self.rollout_steps

    @property
    def total_updates(self) -> int:
        """Number of updates in the whole training."""
        return -(-self.total_steps // self.steps_per_update)
