"""The door to the learners of Stable-Baselines3: torch is imported when one is made."""

from typing import TYPE_CHECKING

from agents.sb3.config import SB3PPOConfig, SB3SACConfig, SB3TD3Config
from gridenv.core.errors import MissingExtraError
from gridenv.tasks.env import GridEnv

if TYPE_CHECKING:
    from agents.learner import Learner


def make_learner(env: GridEnv, config: SB3PPOConfig | SB3SACConfig | SB3TD3Config) -> "Learner":
    """The learner that the settings belong to.

    Raises:
        MissingExtraError: if Stable-Baselines3 is not installed.
    """
    try:
        import stable_baselines3  # noqa: F401
    except ImportError:
        raise MissingExtraError(
            "agents sb3_ppo, sb3_sac and sb3_td3: package 'stable-baselines3' is not installed; install it with "
            'pip install "gridenv[sb3]"'
        ) from None
    from agents.sb3.algorithms import PPOLearner, SACLearner, TD3Learner

    if isinstance(config, SB3PPOConfig):
        return PPOLearner(env, config)
    return SACLearner(env, config) if isinstance(config, SB3SACConfig) else TD3Learner(env, config)
