"""Settings of soft actor-critic."""

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from agents.config import RolloutConfig


class SACConfig(RolloutConfig):
    """Soft actor-critic."""

    total_steps: PositiveInt = 200_000
    num_envs: PositiveInt = 16
    rollout_steps: PositiveInt = 8
    update_to_data: PositiveFloat = 0.125
    """Gradient steps for each environment step."""
    batch_size: PositiveInt = 256
    """Transitions drawn from the buffer for a gradient step."""
    buffer_size: PositiveInt = 100_000
    """Newest transitions that are kept, rounded down to full steps of all environments. A checkpoint holds them too."""
    learning_starts: PositiveInt = 5_000
    """Environment steps with actions drawn evenly from -1..1, before the first gradient step."""
    learning_rate: PositiveFloat = 1e-3
    gamma: float = Field(default=0.99, ge=0.0, le=1.0)
    target_rate: float = Field(default=0.005, gt=0.0, le=1.0)
    """Share by which the target critics move to the critics in a gradient step."""
    max_grad_norm: PositiveFloat = 10.0
    hidden: tuple[PositiveInt, ...] = (128, 128)
    initial_temperature: PositiveFloat = 0.1
    """Reward for one nat of entropy at the beginning; learned from there."""
    target_entropy: float = -1.0
    """Entropy for each entry of the action that the temperature aims at, nats. Source of the default: T. Haarnoja et
    al., arXiv:1812.05905, appendix D."""

    @model_validator(mode="after")
    def _parts_fit_together(self) -> "SACConfig":
        envs, steps = self.num_envs, self.steps_per_update
        if self.gradient_steps < 1:
            raise ValueError(
                f"update_to_data = {self.update_to_data:g} with num_envs * rollout_steps = {envs} * "
                f"{self.rollout_steps} = {steps} gives no gradient step in an update; "
                f"allowed: more than {0.5 / steps:g}; raise one of the three"
            )
        if self.buffer_rows < self.rollout_steps:
            raise ValueError(
                f"buffer_size = {self.buffer_size} is less than the num_envs * rollout_steps = {envs} * "
                f"{self.rollout_steps} = {steps} transitions of an update; raise it to at least {steps}"
            )
        if self.learning_starts >= self.total_steps:
            raise ValueError(
                f"learning_starts = {self.learning_starts} is not less than total_steps = {self.total_steps}, so "
                "nothing would be learned; lower it"
            )
        return self

    @property
    def gradient_steps(self) -> int:
        """Gradient steps of an update."""
        return round(self.steps_per_update * self.update_to_data)

    @property
    def buffer_rows(self) -> int:
        """Steps of all environments that the buffer holds."""
        return self.buffer_size // self.num_envs
