"""Reinforcement-learning environments of electric distribution grids with exact, batched power flow.

Importing the package registers the Gymnasium ids. Everything heavy is imported when it is first used.
"""

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gridenv.adapters.cost_wrapper import SafetyEnv as SafetyEnv
    from gridenv.adapters.cost_wrapper import SafetyVectorEnv as SafetyVectorEnv
    from gridenv.adapters.hybrid import HybridAction as HybridAction
    from gridenv.adapters.marl import parallel_env as parallel_env
    from gridenv.adapters.ray_local import quiet_ray as quiet_ray
    from gridenv.adapters.register import register_task as register_task
    from gridenv.adapters.rllib import rllib_env as rllib_env
    from gridenv.adapters.rllib import rllib_multi_agent_env as rllib_multi_agent_env
    from gridenv.adapters.sb3 import sb3_vec_env as sb3_vec_env
    from gridenv.network import NetworkSpec as NetworkSpec
    from gridenv.network import PhaseNetworkSpec as PhaseNetworkSpec
    from gridenv.network import from_opendss as from_opendss
    from gridenv.network import from_pandapower as from_pandapower
    from gridenv.network import list_networks as list_networks
    from gridenv.network import load_network as load_network
    from gridenv.powerflow import PowerFlow as PowerFlow
    from gridenv.tasks.env import EnvParams as EnvParams
    from gridenv.tasks.env import GridEnv as GridEnv
    from gridenv.tasks.registry import make as make

_LAZY = {
    "EnvParams": "gridenv.tasks.env:EnvParams",
    "GridEnv": "gridenv.tasks.env:GridEnv",
    "NetworkSpec": "gridenv.network:NetworkSpec",
    "PhaseNetworkSpec": "gridenv.network:PhaseNetworkSpec",
    "PowerFlow": "gridenv.powerflow:PowerFlow",
    "from_opendss": "gridenv.network:from_opendss",
    "from_pandapower": "gridenv.network:from_pandapower",
    "list_networks": "gridenv.network:list_networks",
    "load_network": "gridenv.network:load_network",
    "make": "gridenv.tasks.registry:make",
    "quiet_ray": "gridenv.adapters.ray_local:quiet_ray",
    "register_task": "gridenv.adapters.register:register_task",
    "rllib_multi_agent_env": "gridenv.adapters.rllib:rllib_multi_agent_env",
    "SafetyEnv": "gridenv.adapters.cost_wrapper:SafetyEnv",
    "SafetyVectorEnv": "gridenv.adapters.cost_wrapper:SafetyVectorEnv",
    "rllib_env": "gridenv.adapters.rllib:rllib_env",
    "sb3_vec_env": "gridenv.adapters.sb3:sb3_vec_env",
    "parallel_env": "gridenv.adapters.marl:parallel_env",
    "HybridAction": "gridenv.adapters.hybrid:HybridAction",
}
"""Public names and where they come from."""

__all__ = [
    "EnvParams",
    "GridEnv",
    "HybridAction",
    "NetworkSpec",
    "PhaseNetworkSpec",
    "PowerFlow",
    "SafetyEnv",
    "SafetyVectorEnv",
    "__version__",
    "from_opendss",
    "from_pandapower",
    "list_networks",
    "load_network",
    "make",
    "parallel_env",
    "quiet_ray",
    "register_task",
    "rllib_env",
    "rllib_multi_agent_env",
    "sb3_vec_env",
]

try:
    __version__ = version("gridenv")
except PackageNotFoundError:  # a checkout on the path that was never installed
    __version__ = "0+unknown"


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _LAZY:
        raise AttributeError(f"module 'gridenv' has no attribute '{name}'; public names: {', '.join(__all__)}")
    value = resolve_name(_LAZY[name])
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


# A rig that only runs policies has no need of Gymnasium.
if find_spec("gymnasium") is not None:
    from gridenv.adapters.register import register_tasks

    register_tasks()
