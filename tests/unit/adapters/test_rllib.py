import pickle
import sys

import numpy as np
import pytest
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode

from gridenv.adapters.gym_env import GymEnv
from gridenv.adapters.ray_local import quiet_ray
from gridenv.adapters.rllib import RllibMaker, rllib_env, rllib_multi_agent_env
from gridenv.adapters.vector_env import GridVectorEnv
from gridenv.core.errors import ConfigError, MissingExtraError
from tests.environments import SHORT, single

TASK = "VoltVar-IEEE33-v0"
EXTRA = "needs the extra gridenv[ray]"


def test_missing_packages_are_errors_that_say_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray.tune.registry", None)
    monkeypatch.setitem(sys.modules, "gridenv.adapters.rllib_multi_agent", None)
    with pytest.raises(MissingExtraError, match=r"rllib_env: RLlib is not installed; .*\"gridenv\[ray\]\""):
        rllib_env(TASK)
    with pytest.raises(MissingExtraError, match=r"rllib_multi_agent_env: RLlib is not installed"):
        rllib_multi_agent_env(None)


@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, "SAME_STEP", "Disabled"])
def test_other_autoreset_modes_than_next_step_are_refused(mode):
    with pytest.raises(
        ConfigError, match=r"autoreset_mode is '.*'; allowed: NEXT_STEP, with others RLlib mixes up epi"
    ):
        rllib_env(TASK, autoreset_mode=mode)
    with pytest.raises(ConfigError, match=r"autoreset_mode is '.*'; allowed: NEXT_STEP"):
        RllibMaker(TASK)({"autoreset_mode": mode, "num_envs": 2})


def test_maker_makes_single_and_vector_environments_with_the_settings_of_both():
    maker = pickle.loads(pickle.dumps(RllibMaker(TASK, {"split": "test", "autoreset_mode": "NEXT_STEP"})))
    one = maker({})
    assert isinstance(one, GymEnv)
    many = maker({"num_envs": 3, "steps_per_episode": SHORT})
    assert isinstance(many, GridVectorEnv)
    assert many.num_envs == 3
    assert many.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    many.reset(seed=0)
    truncated = [many.step(many.action_space.sample())[3].all() for _ in range(SHORT)]
    assert truncated == [False] * (SHORT - 1) + [True]
    test_days = single(TASK, split="test").unwrapped._episodes.starts
    assert one.reset(seed=0)[1]["start_step"] in test_days


def test_maker_names_unknown_settings():
    with pytest.raises(ConfigError, match=r"unknown .*'load_scal'; did you mean 'load_scale'"):
        RllibMaker(TASK)({"load_scal": 2.0})


ray = pytest.importorskip("ray", reason=EXTRA)
pytest.importorskip("ray.rllib", reason=EXTRA)
pettingzoo = pytest.importorskip("pettingzoo", reason="needs the extra gridenv[marl]")
from pettingzoo.test import parallel_api_test  # noqa: E402
from ray.rllib.algorithms.ppo import PPOConfig  # noqa: E402
from ray.rllib.env.multi_agent_episode import MultiAgentEpisode  # noqa: E402
from ray.rllib.env.single_agent_env_runner import SingleAgentEnvRunner  # noqa: E402
from ray.tune.registry import ENV_CREATOR, _global_registry, register_env  # noqa: E402

# Ray and RLlib use names that they themselves, and Gymnasium, have given up.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*Overriding environment:UserWarning"),
]


def test_rllib_env_registers_a_name_for_each_set_of_settings():
    name = rllib_env("gridenv/" + TASK)
    assert name == "gridenv/" + TASK
    short = rllib_env(TASK, steps_per_episode=SHORT, split="train")
    assert short == rllib_env(TASK, split="train", steps_per_episode=SHORT, autoreset_mode="NEXT_STEP")
    assert len({name, short, rllib_env(TASK, steps_per_episode=SHORT, split="test")}) == 3
    assert short.startswith(name + "-")
    for each in (name, short):
        assert _global_registry.contains(ENV_CREATOR, each)


def test_rllib_env_unknown_task_or_setting_is_an_error():
    with pytest.raises(ConfigError, match="unknown task 'VoltVar-IEEE33-v1'; did you mean 'VoltVar-IEEE33-v0'"):
        rllib_env("VoltVar-IEEE33-v1")
    with pytest.raises(ConfigError, match="did you mean 'load_scale'"):
        rllib_env(TASK, load_scal=2.0)


def runner_config(name, num_envs):
    return (
        PPOConfig()
        .environment(name)
        .env_runners(
            num_env_runners=0,
            num_envs_per_env_runner=num_envs,
            gym_env_vectorize_mode="vector_entry_point",
            rollout_fragment_length=SHORT,
        )
        .debugging(seed=0)
    )


@pytest.mark.exact
def test_episodes_that_rllib_puts_together_are_those_of_the_single_env():
    runner = SingleAgentEnvRunner(config=runner_config(rllib_env(TASK, steps_per_episode=SHORT), 3))
    episodes = runner.sample(num_episodes=7, random_actions=True)
    env = single(TASK, steps_per_episode=SHORT)
    assert len(episodes) >= 7
    for episode in episodes:
        observations, actions, rewards = episode.observations, episode.actions, episode.rewards
        assert len(episode) == SHORT
        assert episode.is_truncated
        assert not episode.is_terminated
        first, _ = env.reset(options={"start_step": int(episode.infos[0]["start_step"])})
        np.testing.assert_array_equal(observations[0], first)
        for i in range(SHORT):
            observation, reward, *_, info = env.step(actions[i])
            np.testing.assert_array_equal(observations[i + 1], observation)
            assert rewards[i] == pytest.approx(reward, rel=1e-6)
            np.testing.assert_array_equal(episode.infos[i + 1]["cost"], info["cost"])


class Countdown(pettingzoo.ParallelEnv):
    """Each agent sees the steps left to it; `short` terminates after two steps, the others run out of time at three."""

    metadata = {"name": "countdown"}

    def __init__(self, ends=None):
        self.ends = ends or {"long": (3, "time"), "short": (2, "done"), "alpha": (3, "time")}
        self.possible_agents = list(self.ends)
        self.agents = []

    def observation_space(self, agent):
        return self._spaces(1)[agent]

    def action_space(self, agent):
        return self._spaces(2)[agent]

    def _spaces(self, size):
        if not hasattr(self, f"_spaces_{size}"):
            sizes = range(size, size + len(self.ends))
            spaces = {name: Box(-5, 5, (n,), np.float32) for name, n in zip(self.ends, sizes, strict=True)}
            setattr(self, f"_spaces_{size}", spaces)
        return getattr(self, f"_spaces_{size}")

    def reset(self, seed=None, options=None):
        self.agents, self.t, self.seen = list(self.possible_agents), 0, (seed, options)
        return self._observe(), {name: {} for name in self.agents}

    def _observe(self):
        return {n: np.full(self.observation_space(n).shape, self.ends[n][0] - self.t, np.float32) for n in self.agents}

    def step(self, actions):
        assert set(actions) == set(self.agents)
        self.t += 1
        ended = {kind: {n: self.ends[n] == (self.t, kind) for n in self.agents} for kind in ("done", "time")}
        results = (
            self._observe(),
            {n: float(np.sum(actions[n])) for n in self.agents},
            ended["done"],
            ended["time"],
            {n: {"t": self.t} for n in self.agents},
        )
        self.agents = [n for n in self.agents if not ended["done"][n] and not ended["time"][n]]
        return results


def played(env):
    """One episode through RLlib's own book-keeping."""
    observations, infos = env.reset(seed=3, options={"a": 1})
    episode = MultiAgentEpisode(
        observations=[observations],
        infos=[infos],
        observation_space=env.observation_spaces,
        action_space=env.action_spaces,
        agent_to_module_mapping_fn=lambda agent, episode: agent,
    )
    while not episode.is_done:
        actions = {agent: np.ones(env.action_spaces[agent].shape, np.float32) for agent in env.agents}
        observations, rewards, terminated, truncated, infos = env.step(actions)
        episode.add_env_step(observations, actions, rewards, infos, terminateds=terminated, truncateds=truncated)
    return episode


def test_multi_agent_env_has_the_agents_and_spaces_of_the_parallel_env():
    parallel = Countdown()
    parallel_api_test(parallel, num_cycles=20)
    env = rllib_multi_agent_env(parallel)
    assert env.possible_agents == ["long", "short", "alpha"]
    assert [env.get_observation_space(a).shape for a in env.possible_agents] == [(1,), (2,), (3,)]
    assert [env.get_action_space(a).shape for a in env.possible_agents] == [(2,), (3,), (4,)]
    env.metadata["autoreset_mode"] = "next_step"
    assert "autoreset_mode" not in Countdown.metadata
    observations, infos = env.reset(seed=7)
    assert list(observations) == list(infos) == env.agents == env.possible_agents
    assert parallel.seen == (7, None)


def test_multi_agent_episode_ends_for_each_agent_as_in_the_parallel_env():
    episode = played(rllib_multi_agent_env(Countdown()))
    lengths = {agent: len(single) for agent, single in episode.agent_episodes.items()}
    assert lengths == {"long": 3, "short": 2, "alpha": 3}
    ends = {agent: (single.is_terminated, single.is_truncated) for agent, single in episode.agent_episodes.items()}
    assert ends == {"long": (False, True), "short": (True, False), "alpha": (False, True)}
    assert episode.agent_episodes["alpha"].get_return() == 3 * 4.0
    np.testing.assert_array_equal(episode.agent_episodes["long"].observations[-1], [0.0])


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ({"a": (2, "done"), "b": (2, "done")}, {"a": (True, False), "b": (True, False)}),
        ({"a": (2, "time"), "b": (2, "time")}, {"a": (False, True), "b": (False, True)}),
        ({"a": (1, "time"), "b": (2, "done")}, {"a": (False, True), "b": (True, False)}),
    ],
)
def test_multi_agent_episode_tells_running_out_of_time_from_failure(ends, expected):
    episode = played(rllib_multi_agent_env(Countdown(ends)))
    assert {a: (single.is_terminated, single.is_truncated) for a, single in episode.agent_episodes.items()} == expected


def test_multi_agent_episode_with_both_kinds_in_its_last_step_bootstraps_the_one_that_ran_out_of_time():
    episode = played(rllib_multi_agent_env(Countdown({"a": (2, "done"), "b": (2, "time")})))
    assert episode.agent_episodes["a"].is_terminated
    assert not episode.agent_episodes["b"].is_terminated


@pytest.fixture(scope="module")
def local_ray(tmp_path_factory):
    with quiet_ray(tmp_path_factory.mktemp("home")):
        yield


def trained(config):
    """Results of one iteration."""
    algorithm = config.training(train_batch_size_per_learner=64, minibatch_size=32, num_epochs=1).build_algo()
    try:
        return algorithm.train()
    finally:
        algorithm.stop()


@pytest.mark.parametrize("num_env_runners", [0, 1])
def test_ppo_trains_on_the_vector_env_here_and_in_another_process(local_ray, num_env_runners):
    config = runner_config(rllib_env(TASK, steps_per_episode=SHORT), 4).env_runners(num_env_runners=num_env_runners)
    results = trained(config)["env_runners"]
    assert results["num_env_steps_sampled"] >= 64
    assert results["episode_len_mean"] == SHORT
    assert results["episode_return_mean"] < 0.0


def test_ppo_trains_the_agents_of_a_parallel_env(local_ray):
    register_env("countdown", lambda config: rllib_multi_agent_env(Countdown()))
    agents = Countdown().possible_agents
    config = (
        PPOConfig()
        .environment("countdown")
        .env_runners(num_env_runners=0)
        .multi_agent(policies=set(agents), policy_mapping_fn=lambda agent, episode, **kwargs: agent)
    )
    results = trained(config)
    assert results["env_runners"]["episode_len_mean"] == 3
    assert set(agents) <= set(results["learners"])
