"""Settings of the agents of Stable-Baselines3, and what happens where it is not installed."""

import sys
from typing import Any

import pytest

from agents.ppo.config import ProximalConfig
from agents.registry import config_class, make_learner
from gridenv.core.config import Layer, validate
from gridenv.core.errors import ConfigError, MissingExtraError
from tests.environments import functional

AGENTS = ("sb3_ppo", "sb3_sac", "sb3_td3")


def refusal(name: str, **settings: Any) -> str:
    with pytest.raises(ConfigError) as error:
        validate(config_class(name), Layer(settings), f"agent '{name}'")
    return str(error.value)


@pytest.mark.parametrize("name", AGENTS)
def test_missing_package_is_an_error_that_says_what_to_install(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "stable_baselines3", None)
    with pytest.raises(
        MissingExtraError, match=r"'stable-baselines3' is not installed; .*pip install \"gridenv\[sb3\]"
    ):
        make_learner(name, functional("VoltVar-IEEE33-v0")[0], config_class(name)())


def test_ppo_of_the_library_has_every_shared_setting_with_the_same_default() -> None:
    own, library = ProximalConfig().model_dump(), config_class("sb3_ppo")().model_dump()
    assert {key: library[key] for key in own} == own


def test_learning_must_fit_into_an_update() -> None:
    assert refusal("sb3_sac", rollout_steps=12, train_every=5) == (
        "agent 'sb3_sac': train_every = 5 with rollout_steps = 12; allowed: 1, 2, 3, 4, 6, 12; change one of the two"
    )


def test_memory_must_hold_a_step_of_all_environments() -> None:
    assert refusal("sb3_td3", buffer_size=31) == (
        "agent 'sb3_td3': buffer_size = 31 with num_envs = 32; allowed: at least one transition of each environment, "
        "32; make it larger"
    )


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("sb3_ppo", "activation", "gelu"),
        ("sb3_ppo", "torch_threads", 0),
        ("sb3_sac", "entropy_coefficient", "high"),
        ("sb3_sac", "tau", 0.0),
        ("sb3_sac", "hidden", []),
        ("sb3_td3", "exploration_std", -0.1),
        ("sb3_td3", "gamma", 1.5),
    ],
)
def test_values_outside_their_range_are_refused_by_name(name: str, key: str, value: Any) -> None:
    assert key in refusal(name, **{key: value})
    assert str(value) in refusal(name, **{key: value})
