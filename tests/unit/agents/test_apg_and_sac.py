"""Settings of APG and SAC that are refused, and their policies as files."""

from typing import Any

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from pydantic import BaseModel

from agents import registry
from agents.apg.config import APGConfig
from agents.apg.model import unit_agents
from agents.apg.ordering import ordering_of
from agents.export import to_onnx
from agents.multi_agent.groups import groups_of
from agents.sac.config import SACConfig
from gridenv.core.channels import ChannelSet
from gridenv.core.config import Layer, validate
from gridenv.core.errors import ConfigError
from gridenv.tasks.env import GridEnv
from gridenv.tasks.registry import make


def refusal(agent: str, **settings: Any) -> str:
    with pytest.raises(ConfigError) as error:
        validate(registry.config_class(agent), Layer(settings), f"agent '{agent}'")
    return str(error.value)


def test_an_update_without_a_gradient_step_is_refused() -> None:
    assert refusal("sac", num_envs=4, rollout_steps=2, update_to_data=0.05) == (
        "agent 'sac': update_to_data = 0.05 with num_envs * rollout_steps = 4 * 2 = 8 gives no gradient step in an "
        "update; allowed: more than 0.0625; raise one of the three"
    )
    assert SACConfig(num_envs=4, rollout_steps=2, update_to_data=0.07).gradient_steps == 1


def test_a_buffer_smaller_than_an_update_is_refused() -> None:
    assert refusal("sac", num_envs=40, rollout_steps=8, buffer_size=319) == (
        "agent 'sac': buffer_size = 319 is less than the num_envs * rollout_steps = 40 * 8 = 320 transitions of an "
        "update; raise it to at least 320"
    )


def test_a_training_that_ends_before_learning_starts_is_refused() -> None:
    assert refusal("sac", total_steps=5000, learning_starts=5000) == (
        "agent 'sac': learning_starts = 5000 is not less than total_steps = 5000, so nothing would be learned; lower it"
    )


@pytest.mark.parametrize(("agent", "key"), [("apg", "learning_rate"), ("apg", "max_grad_norm"), ("sac", "gamma")])
def test_numbers_that_are_not_finite_are_refused(agent: str, key: str) -> None:
    assert refusal(agent, **{key: float("nan")}) == f"agent '{agent}': {key} = nan; must be a finite number"


@pytest.fixture(scope="module")
def task() -> tuple[GridEnv, Any]:
    return make("Storage-IEEE33-v0", steps_per_episode=4, forecast_steps=8, forecast_every=2)


SMALL: dict[str, tuple[str, dict[str, Any]]] = {
    "apg": ("apg", {"horizon": 4}),
    "apg, one network for all batteries": ("apg", {"horizon": 4, "shared": True}),
    "apg, prices in order": ("apg", {"horizon": 4, "ordered": ("price_eur_mwh",)}),
    "sac": ("sac", {"buffer_size": 128, "rollout_steps": 8}),
}


@pytest.mark.parametrize(("agent", "small"), SMALL.values(), ids=SMALL)
def test_onnxruntime_acts_as_the_policy_does(agent: str, small: dict[str, Any], task: tuple[GridEnv, Any]) -> None:
    pytest.importorskip("onnx", reason="extra hil: writes the files")
    onnxruntime = pytest.importorskip("onnxruntime", reason="extra hil: runs them")
    env, params = task
    config: BaseModel = registry.config_class(agent)(num_envs=8, hidden=(16,), **small)
    learner = registry.make_learner(agent, env, config)
    state = learner.begin(0, params)
    policy = learner.policy(state)
    # The last layer begins at (almost) zero; as after some training, it is not.
    policy = jax.tree.map(lambda leaf: leaf + 0.3 * jax.random.normal(jax.random.key(1), leaf.shape), policy)
    observation = np.random.default_rng(2).normal(size=(200, env.n_observation)).astype(np.float32)
    expected = np.asarray(policy.act(params, state.env, jnp.asarray(observation)))
    assert expected.shape == (200, env.n_action)
    assert expected.std() > 0.1
    content = to_onnx(policy, env.n_observation, env.n_action)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(["action"], {"observation": observation})[0], expected, atol=1e-5)


def test_units_of_a_kind_share_a_network_that_sees_one_of_them(task: tuple[GridEnv, Any]) -> None:
    env, params = task
    learner = registry.make_learner("apg", env, APGConfig(horizon=4, num_envs=8, hidden=(16,), shared=True))
    state = learner.begin(0, params)
    assert len(state.networks) == 1
    own = env.task.agents[0]
    # What one battery sees, and which of the four it is.
    assert state.networks[0].layers[0].weight.shape == (len(own.local) + 4, 16)
    policy = jax.tree.map(
        lambda leaf: leaf + 0.3 * jax.random.normal(jax.random.key(1), leaf.shape), learner.policy(state)
    )
    observation = jnp.asarray(np.random.default_rng(2).normal(size=(50, env.n_observation)), jnp.float32)
    hidden = np.setdiff1d(np.arange(env.n_observation), own.local)
    before, after = (policy.act(params, state.env, o) for o in (observation, observation.at[:, hidden].add(1.0)))
    np.testing.assert_array_equal(before[:, own.actions], after[:, own.actions])
    assert np.abs(np.asarray(before - after)).max() > 0.01


def test_what_is_seen_in_order_is_how_the_forecast_differs_from_now(task: tuple[GridEnv, Any]) -> None:
    env, params = task
    names = env.task.observation.names
    ordering = ordering_of(env.task.observation, ["price_eur_mwh"])
    observation = np.random.default_rng(3).normal(size=(40, env.n_observation)).astype(np.float32)
    seen = np.asarray(ordering.inputs(jnp.asarray(observation)))
    ahead = observation[:, [names.index(f"price_eur_mwh.ahead_{k}") for k in (2, 4, 6, 8)]]
    rise = ahead - observation[:, [names.index("price_eur_mwh")]]
    extremes = [f(rise[:, : k + 1], axis=1) for f in (np.max, np.min) for k in range(4)]
    np.testing.assert_array_equal(seen, np.hstack([observation, np.sort(rise, axis=1), np.stack(extremes, axis=1)]))
    learner = registry.make_learner("apg", env, APGConfig(horizon=4, num_envs=8, ordered=("price_eur_mwh",)))
    assert learner.begin(0, params).networks[0].layers[0].weight.shape[0] == env.n_observation + 12


def test_quantities_without_a_forecast_are_refused_by_name(task: tuple[GridEnv, Any]) -> None:
    channels = task[0].task.observation
    with pytest.raises(ConfigError) as error:
        ordering_of(channels, ["price_eur_mw"])
    assert str(error.value) == (
        "agent 'apg': ordered names 'price_eur_mw', which is not observed with a forecast; did you mean "
        "'price_eur_mwh'?"
    )
    without = ChannelSet(tuple(c for c in channels if ".ahead_" not in c.name))
    with pytest.raises(ConfigError) as error:
        ordering_of(without, ["price_eur_mwh"])
    assert str(error.value) == (
        "agent 'apg': ordered names 'price_eur_mwh', which is not observed with a forecast; set task.forecast_steps "
        "to 1 or more, or leave ordered out"
    )
    assert refusal("apg", shared=True, ordered=["price_eur_mwh"]) == (
        "agent 'apg': ordered = price_eur_mwh with shared; allowed with shared: none; leave one of them out"
    )


def test_every_unit_of_a_zone_is_an_agent_of_its_own() -> None:
    env, _ = make("V2G-SimBenchLV-v0", forecast_steps=1, forecast_series=["price_eur_mwh"])
    agents, names = unit_agents(env), env.task.observation.names
    assert [a.units for a in agents] == [(unit,) for zone in env.task.agents for unit in zone.units]
    assert sorted(a for agent in agents for a in agent.actions) == list(range(env.n_action))
    first = [names[i] for i in agents[0].local]
    assert [n for n in first if n.startswith("ev.")] == [n for n in names if n.startswith("ev.station0.")]
    assert {"bus.2.v_pu", "price_eur_mwh.ahead_1", "time.day_sin"} <= set(first)
    assert len(groups_of(agents, env.task.action, [0] * env.n_action, env.task.observation)) == 1


@pytest.mark.parametrize("shared", [False, True])
def test_policies_begin_idle_or_in_the_middle(shared: bool, task: tuple[GridEnv, Any]) -> None:
    env, params = task
    observation = jnp.asarray(np.random.default_rng(2).normal(size=(5, env.n_observation)), jnp.float32)

    def first(start: str) -> np.ndarray:
        config = APGConfig(horizon=4, num_envs=8, hidden=(16,), shared=shared, start=start)
        learner = registry.make_learner("apg", env, config)
        state = learner.begin(0, params)
        return np.asarray(learner.policy(state).act(params, state.env, observation))

    idle = float(env.idle(params, env.reset_at(params.starts[:1], params)[1])[0, 0])
    np.testing.assert_allclose(first("idle"), idle, atol=1e-6)
    np.testing.assert_allclose(first("middle"), 0.0, atol=1e-6)
