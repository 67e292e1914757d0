"""Settings of the agents of RLlib, and what happens where it is not installed."""

import sys
from typing import Any

import pytest

from agents.ppo.config import ProximalConfig
from agents.registry import config_class, make_learner
from experiments.config import compose
from gridenv.core.config import Layer, validate
from gridenv.core.errors import ConfigError, MissingExtraError
from tests.environments import functional

AGENTS = ("rllib_ppo", "rllib_ippo")
EXPERIMENT = "experiment=voltvar_ieee33_rllib_ppo"


def refusal(name: str, **settings: Any) -> str:
    with pytest.raises(ConfigError) as error:
        validate(config_class(name), Layer(settings), f"agent '{name}'")
    return str(error.value)


@pytest.mark.parametrize("name", AGENTS)
def test_missing_package_is_an_error_that_says_what_to_install(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray.rllib", None)
    with pytest.raises(MissingExtraError, match=r"RLlib is not installed; install it with pip install \"gridenv\[ray"):
        make_learner(name, functional("VoltVar-IEEE33-v0")[0], config_class(name)())


@pytest.mark.parametrize("name", AGENTS)
def test_agents_of_the_library_have_every_shared_setting(name: str) -> None:
    own, library = ProximalConfig().model_dump(), config_class(name)().model_dump()
    sizes = ("total_steps", "num_envs", "minibatches")
    assert {key: library[key] for key in own if key not in sizes} == {k: v for k, v in own.items() if k not in sizes}


def test_env_runners_must_share_the_environments_evenly() -> None:
    assert refusal("rllib_ppo", num_envs=6, num_env_runners=4, minibatches=4) == (
        "agent 'rllib_ppo': num_env_runners = 4 with num_envs = 6; allowed: 0, 1, 2, 3, 6; change one of the two"
    )


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("rllib_ppo", "activation", "gelu"),
        ("rllib_ppo", "num_env_runners", -1),
        ("rllib_ppo", "torch_threads", 0),
        ("rllib_ippo", "reward", "mine"),
        ("rllib_ppo", "ray", {"address": "somewhere"}),
        ("rllib_ppo", "ray", {"object_store_mb": 10}),
    ],
)
def test_values_outside_their_range_are_refused_by_name(name: str, key: str, value: Any) -> None:
    assert key in refusal(name, **{key: value})


def test_where_processes_run_is_no_part_of_the_hash_and_how_many_is() -> None:
    plain = compose([EXPERIMENT])
    assert compose([EXPERIMENT, "agent.ray.address=10.0.0.1:6379"]).hash == plain.hash
    assert compose([EXPERIMENT, "agent.num_env_runners=2"]).hash != plain.hash
