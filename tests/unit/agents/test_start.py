"""What policies do before they have learned anything."""

import jax
import numpy as np
import pytest

from agents import schedule
from agents.registry import config_class, make_learner
from agents.rules import DoNothing, UnitRules
from agents.start import first_action
from tests.environments import functional
from tests.marks import slow

TASK = "SmartHome-LV-v0"
CLOSE = 0.05
"""The last weights of a policy network are small, not zero."""
EXTRAS = {"sb3_ppo": "stable_baselines3", "rllib_ppo": "ray.rllib", "rllib_ippo": "ray.rllib"}


@pytest.fixture(scope="module")
def home():
    return functional(TASK, steps_per_episode=96)


@pytest.mark.slow
def test_the_starts_are_the_middle_and_what_doing_nothing_and_the_usual_rule_do_on_average(home):
    env, params = home
    np.testing.assert_array_equal(first_action(env, params, "middle"), np.zeros(env.n_action))
    idle = np.asarray(schedule.recorded(env, DoNothing(env), params))
    np.testing.assert_allclose(first_action(env, params, "idle"), idle.mean(axis=(0, 1)), atol=1e-6)
    rule = np.asarray(schedule.recorded(env, UnitRules(env), params))
    # Of eight days here and of all there.
    np.testing.assert_allclose(first_action(env, params, "rule"), rule.mean(axis=(0, 1)), atol=0.15)
    # Nothing is drawn at the upper end; the thermostat has the heat pump run now and then.
    (pump,) = (i for i, name in enumerate(env.task.action.names) if name.startswith("heat_pump"))
    idle_pump, rule_pump = (float(first_action(env, params, start)[pump]) for start in ("idle", "rule"))
    assert idle_pump == 1.0 > rule_pump > 0.5


@pytest.mark.parametrize(
    "name", ["ppo", slow("ippo"), slow("mappo"), "sb3_ppo", *(slow(n) for n in EXTRAS if "ll" in n)]
)
@pytest.mark.parametrize("start", ["idle", "rule"])
def test_policies_begin_where_they_are_told_to(name, start, home):
    if name in EXTRAS:
        pytest.importorskip(EXTRAS[name], reason="an extra")
    env, params = home
    config = config_class(name)(num_envs=4, rollout_steps=96, total_steps=384, minibatches=2, start=start)
    learner = make_learner(name, env, config)
    policy = learner.policy(learner.begin(0, params))
    observation, state = env.reset_batch(jax.random.key(0), params, 5)
    action = np.asarray(policy.act(params, state, observation))
    wanted = np.asarray(first_action(env, params, start))
    assert np.abs(wanted).max() > 0.3
    np.testing.assert_allclose(action, np.broadcast_to(np.clip(wanted, -1.0, 1.0), action.shape), atol=CLOSE)


def test_positions_drawn_from_categories_are_equally_likely_at_the_start(home):
    env, params = home
    config = config_class("ppo")(num_envs=4, total_steps=384, minibatches=2, start="rule", discrete="categorical")
    learner = make_learner("ppo", env, config)
    heads = learner.model.heads
    assert heads.n_step
    networks = learner.begin(0, params).params
    outputs = np.asarray(networks.actor[-1].bias)
    np.testing.assert_array_equal(outputs[heads.n_continuous :], 0.0)
    assert np.abs(outputs[: heads.n_continuous]).max() > 0.3
