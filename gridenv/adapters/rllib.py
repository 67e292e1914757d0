"""Tasks for RLlib's new API stack; Ray is imported when an environment is registered."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from gymnasium.vector import AutoresetMode

from gridenv.core.errors import ConfigError, MissingExtraError
from gridenv.tasks.registry import NAMESPACE, full_task_id, task_id

if TYPE_CHECKING:
    from pettingzoo import ParallelEnv

    from gridenv.adapters.rllib_multi_agent import ParallelMultiAgentEnv

_NUM_ENVS = "num_envs"
_AUTORESET = "autoreset_mode"


def rllib_env(task: str, **config: Any) -> str:
    """Register a task with RLlib, and return the name to give to `AlgorithmConfig.environment`.

    With `env_runners(gym_env_vectorize_mode="vector_entry_point", num_envs_per_env_runner=n)` an env runner steps its
    n environments in one compiled call; other modes loop over single environments. Settings can be changed again with
    `environment(name, env_config={...})`, also by a sweep. Call it while Ray runs: what was registered before, only the
    first Ray of a process knows.

    Args:
        task: id such as `VoltVar-IEEE33-v0`; the namespace `gridenv/` may stand in front.
        config: settings that differ from the task's defaults, such as `split="test"`.

    Raises:
        ConfigError: for an unknown task, unknown settings and values that are not allowed; also for every
            `autoreset_mode` but `NEXT_STEP`, with which alone RLlib puts episodes together rightly.
        MissingExtraError: if Ray is not installed.
    """
    known = task_id(task)
    settings = _without_next_step(config)
    name = NAMESPACE + known + _suffix(known, settings)
    try:
        from ray.tune.registry import register_env
    except ImportError:
        raise _missing("rllib_env") from None
    register_env(name, RllibMaker(full_task_id(known), settings))
    return name


def rllib_multi_agent_env(parallel_env: "ParallelEnv[Any, Any, Any]") -> "ParallelMultiAgentEnv":
    """A PettingZoo environment as RLlib's `MultiAgentEnv`.

    Register it with `ray.tune.registry.register_env(name, lambda config: rllib_multi_agent_env(...))`.

    Args:
        parallel_env: all agents act in every step; agents may leave during an episode.

    Raises:
        MissingExtraError: if RLlib is not installed.
    """
    try:
        from gridenv.adapters.rllib_multi_agent import ParallelMultiAgentEnv
    except ImportError:
        raise _missing("rllib_multi_agent_env") from None
    return ParallelMultiAgentEnv(parallel_env)


@dataclass(frozen=True)
class RllibMaker:
    """Makes the environments of an env runner; travels to it by pickle."""

    task: str
    config: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, env_config: Mapping[str, Any]) -> Any:
        """An environment: a vector environment if RLlib says how many there shall be, else a single one.

        Raises:
            ConfigError: as `rllib_env`, for the settings of both together; those given here count.
        """
        from gridenv.adapters.gym_env import GymEnv
        from gridenv.adapters.vector_env import GridVectorEnv

        settings = _without_next_step({**self.config, **env_config})
        num_envs = settings.pop(_NUM_ENVS, None)
        if num_envs is None:
            return GymEnv(self.task, **settings)
        return GridVectorEnv(self.task, num_envs, autoreset_mode=AutoresetMode.NEXT_STEP, **settings)


def _without_next_step(config: Mapping[str, Any]) -> dict[str, Any]:
    mode = config.get(_AUTORESET, AutoresetMode.NEXT_STEP)
    if mode not in (AutoresetMode.NEXT_STEP, AutoresetMode.NEXT_STEP.name, AutoresetMode.NEXT_STEP.value):
        shown = mode.name if isinstance(mode, AutoresetMode) else mode
        raise ConfigError(
            f"rllib_env: autoreset_mode is '{shown}'; allowed: NEXT_STEP, with others RLlib mixes up episodes; "
            "leave it out"
        )
    return {name: value for name, value in config.items() if name != _AUTORESET}


def _suffix(task: str, settings: Mapping[str, Any]) -> str:
    """What sets the name apart from that of the task's defaults; checks the settings before they travel."""
    from gridenv.core.config import Layer, validate
    from gridenv.tasks.registry import config_class

    checked = validate(config_class(task), Layer(dict(settings)), f"task '{task}'")
    return f"-{sha256(checked.model_dump_json().encode()).hexdigest()[:8]}" if settings else ""


def _missing(name: str) -> MissingExtraError:
    return MissingExtraError(f'{name}: RLlib is not installed; install it with pip install "gridenv[ray]"')
