"""Several agents: PettingZoo is imported when an environment is made."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gridenv.adapters.parallel_env import GridParallelEnv


def parallel_env(task: str, **settings: Any) -> "GridParallelEnv":
    """A task for several agents, with the arguments of `GridParallelEnv`; `gridenv/` may stand in front of its id.

    Raises:
        ConfigError: for an unknown task, view or reward, unknown settings and values that are not allowed.
        MissingExtraError: if PettingZoo is not installed.
    """
    from gridenv.adapters.parallel_env import GridParallelEnv

    return GridParallelEnv(task, **settings)
