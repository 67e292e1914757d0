"""Settings of the learners of RLlib; imports neither it nor torch."""

from typing import Literal

from pydantic import NonNegativeInt, PositiveInt, model_validator

from agents.config import Activation
from agents.ppo.config import ProximalConfig
from gridenv.adapters.ray_settings import RaySettings


class RLlibPPOConfig(ProximalConfig):
    """PPO of RLlib: the settings that it shares with our own, which mean the same here, and where its processes run.

    An update consists of whole episodes: `rollout_steps` is a multiple of their length. Where episodes fail, an
    update has up to `num_envs` steps more than `num_envs * rollout_steps`.
    """

    total_steps: PositiveInt = 300_000
    num_envs: PositiveInt = 32
    """Of all env runners together."""
    num_env_runners: NonNegativeInt = 0
    """Processes that step environments, each `num_envs / num_env_runners` of them; 0: none but that of the training.
    Another number draws other episodes."""
    activation: Activation = "tanh"
    """Between the layers of all networks."""
    torch_threads: PositiveInt = 1
    """Processors for torch in the process of the training. Another number rounds differently."""
    ray: RaySettings = RaySettings()
    """Where the processes run; not part of the hash of a configuration."""

    @model_validator(mode="after")
    def _runners_share_the_environments(self) -> "RLlibPPOConfig":
        if self.num_env_runners and self.num_envs % self.num_env_runners:
            divisors = ", ".join(str(n) for n in range(1, self.num_envs + 1) if self.num_envs % n == 0)
            raise ValueError(
                f"num_env_runners = {self.num_env_runners} with num_envs = {self.num_envs}; allowed: 0, {divisors}; "
                "change one of the two"
            )
        return self


class RLlibIPPOConfig(RLlibPPOConfig):
    """PPO of RLlib for several agents, each with what it sees itself; those of a kind share a network.

    A minibatch has as many samples as for one agent. So in an epoch the network of n agents gets n times as many of
    them, and those of fewer agents go through their samples again meanwhile.
    """

    total_steps: PositiveInt = 100_000
    num_envs: PositiveInt = 8
    minibatches: PositiveInt = 2
    reward: Literal["shared", "own"] = "shared"
    """As for `ippo`: what everybody gets, or what an agent's own units earned and an equal part of the rest."""
