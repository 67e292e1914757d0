"""Settings of IPPO and MAPPO."""

from typing import Literal

from agents.ppo.config import PPOConfig


class MultiAgentConfig(PPOConfig):
    """Those of PPO for every agent, and whose reward it learns from."""

    reward: Literal["shared", "own"] = "shared"
    """`shared`: everybody gets the reward of the task. `own`: what an agent's own units earned, and an equal part of
    all that belongs to no unit (loads, losses, violations); own rewards sum to the shared one, as in `parallel_env`."""
