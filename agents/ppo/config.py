"""Settings of PPO."""

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from agents.config import RolloutConfig, Start

_MIN_SAMPLES = 2
"""Fewest samples of a minibatch; advantages are divided by their spread in it."""


class ProximalConfig(RolloutConfig):
    """What all implementations of proximal policy optimisation share; defaults are those of the volt-var experiment."""

    total_steps: PositiveInt = 2_000_000
    num_envs: PositiveInt = 128
    rollout_steps: PositiveInt = 96
    epochs: PositiveInt = 4
    minibatches: PositiveInt = 16
    """Parts that the steps of an update are divided into, all of one size."""
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
    start: Start = "middle"
    """Mean action of the policy before it has learned; positions drawn from categories are equally likely then. Agents
    that share a network begin at the mean over them. `rule` looks at the task's model once, before training."""

    @model_validator(mode="after")
    def _minibatches_divide_the_steps_of_an_update(self) -> "ProximalConfig":
        n_step, most = self.steps_per_update, self.steps_per_update // _MIN_SAMPLES
        if n_step % self.minibatches or self.minibatches > most:
            allowed = [n for n in range(1, most + 1) if n_step % n == 0]
            near = sorted(sorted(allowed, key=lambda n: abs(n - self.minibatches))[:3])
            raise ValueError(
                f"minibatches = {self.minibatches} with num_envs * rollout_steps = {self.num_envs} * "
                f"{self.rollout_steps} = {n_step}; allowed: divisors of {n_step} that leave at least {_MIN_SAMPLES} "
                f"samples each, such as {' or '.join(map(str, near)) or 'none here'}; change one of the three"
            )
        return self


class PPOConfig(ProximalConfig):
    """Proximal policy optimisation written in JAX."""

    discrete: Literal["box", "categorical"] = "box"
    """Actions that are positions (taps, capacitors, starts): `box` treats them as continuous and has the task round
    them, `categorical` draws one of them. Tasks without positions do not care; docs/training.md compares both."""
