"""Settings of the analytic policy gradient."""

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt


class APGConfig(BaseModel):
    """Analytic policy gradient."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    total_steps: PositiveInt = 1_000_000
    """Environment steps of the whole training, rounded up to full updates."""
    num_envs: PositiveInt = 16
    """Episodes side by side in an update."""
    horizon: PositiveInt = 96
    """Steps of each episode in an update. Actions are judged by what they earn up to its end, so it should be a whole
    episode where they reach far; at most the task's `steps_per_episode`."""
    learning_rate: PositiveFloat = 3e-3
    final_learning_rate_share: float = Field(default=0.05, ge=0.0, le=1.0)
    """The learning rate falls to this share of its start, along half a cosine."""
    max_grad_norm: PositiveFloat = 1.0
    """Longer gradients of the mean scaled reward of a step are shortened to this."""
    hidden: tuple[PositiveInt, ...] = (64, 64)
    reward_scale: PositiveFloat = 1.0
    """Rewards are multiplied by this for learning only."""

    @property
    def steps_per_update(self) -> int:
        """Environment steps that one update consumes."""
        return self.num_envs * self.horizon

    @property
    def total_updates(self) -> int:
        """Number of updates in the whole training."""
        return -(-self.total_steps // self.steps_per_update)
