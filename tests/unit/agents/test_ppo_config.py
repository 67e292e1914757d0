"""Settings of PPO that are refused."""

from typing import Any

import pytest

from agents.ppo.config import PPOConfig
from gridenv.core.config import Layer, validate
from gridenv.core.errors import ConfigError


def refusal(**settings: Any) -> str:
    with pytest.raises(ConfigError) as error:
        validate(PPOConfig, Layer(settings), "agent 'ppo'")
    return str(error.value)


def test_minibatches_must_divide_the_steps_of_an_update() -> None:
    assert refusal(num_envs=4, rollout_steps=24, minibatches=7) == (
        "agent 'ppo': minibatches = 7 with num_envs * rollout_steps = 4 * 24 = 96; allowed: divisors of 96 that leave "
        "at least 2 samples each, such as 4 or 6 or 8; change one of the three"
    )


def test_default_minibatches_are_checked_against_other_settings() -> None:
    text = refusal(num_envs=1, rollout_steps=100)
    assert text.startswith("agent 'ppo': minibatches = 16 with num_envs * rollout_steps = 1 * 100 = 100; allowed:")


@pytest.mark.parametrize(("rollout_steps", "near"), [(8, "1 or 2 or 4"), (1, "none here")])
def test_minibatches_of_a_single_sample_are_refused(rollout_steps: int, near: str) -> None:
    assert refusal(num_envs=1, rollout_steps=rollout_steps, minibatches=rollout_steps) == (
        f"agent 'ppo': minibatches = {rollout_steps} with num_envs * rollout_steps = 1 * {rollout_steps} = "
        f"{rollout_steps}; allowed: divisors of {rollout_steps} that leave at least 2 samples each, such as {near}; "
        "change one of the three"
    )


def test_minibatches_of_two_samples_are_allowed() -> None:
    assert PPOConfig(num_envs=2, rollout_steps=4, minibatches=4).minibatches == 4


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("key", ["learning_rate", "gamma", "initial_log_std", "reward_scale", "max_grad_norm"])
def test_numbers_that_are_not_finite_are_refused(key: str, bad: float) -> None:
    assert refusal(**{key: bad}) == f"agent 'ppo': {key} = {bad}; must be a finite number"
