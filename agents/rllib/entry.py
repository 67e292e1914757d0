"""The door to the learners of RLlib: Ray and torch are imported when one is made."""

from typing import TYPE_CHECKING

from agents.rllib.config import RLlibIPPOConfig, RLlibPPOConfig
from gridenv.core.errors import MissingExtraError
from gridenv.tasks.env import GridEnv

if TYPE_CHECKING:
    from agents.learner import Learner


def make_learner(env: GridEnv, config: RLlibPPOConfig) -> "Learner":
    """The learner that the settings belong to; Ray is started by its first update.

    Raises:
        MissingExtraError: if RLlib is not installed, or PettingZoo for several agents.
    """
    try:
        import ray.rllib  # noqa: F401
    except ImportError:
        raise MissingExtraError(
            'agents rllib_ppo and rllib_ippo: RLlib is not installed; install it with pip install "gridenv[ray,marl]"'
        ) from None
    if isinstance(config, RLlibIPPOConfig):
        from agents.rllib.multi_agent import IPPOLearner

        return IPPOLearner(env, config)
    from agents.rllib.single_agent import PPOLearner

    return PPOLearner(env, config)
