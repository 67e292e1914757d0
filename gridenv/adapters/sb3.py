"""A batch of one task for Stable-Baselines3; the package is imported when an environment is made."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gridenv.core.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    from gridenv.adapters.sb3_vec_env import GridVecEnv


def sb3_vec_env(task: str, num_envs: int = 1, *, info_keys: Sequence[str] = ("cost",), **config: Any) -> "GridVecEnv":
    """Environments of one task as a `stable_baselines3.common.vec_env.VecEnv`; a step of all is one compiled call.

    An environment whose episode ended begins the next one in the same step, as Stable-Baselines3 expects.

    Args:
        task: id such as `VoltVar-IEEE33-v0`; the namespace `gridenv/` may stand in front.
        num_envs: number of environments.
        info_keys: what each environment's info of a step holds, of the keys in docs/environments.md. Each costs time
            in every step; `batch_infos` of the result has all of them for nothing.
        config: settings that differ from the task's defaults, such as `split="test"`.

    Raises:
        ConfigError: for an unknown task, unknown settings or info keys, and values that are not allowed.
        MissingExtraError: if Stable-Baselines3 is not installed.
    """
    if "autoreset_mode" in config:
        raise ConfigError(
            f"sb3_vec_env: autoreset_mode is {config['autoreset_mode']!r}; Stable-Baselines3 works with SAME_STEP, "
            "which is always used; leave the argument out"
        )
    try:
        import stable_baselines3  # noqa: F401
    except ImportError:
        raise MissingExtraError(
            "sb3_vec_env: package 'stable-baselines3' is not installed; install it with pip install \"gridenv[sb3]\""
        ) from None
    from gridenv.adapters.sb3_vec_env import GridVecEnv
    from gridenv.adapters.vector_env import GridVectorEnv

    return GridVecEnv(GridVectorEnv(task, num_envs, **config), info_keys)
