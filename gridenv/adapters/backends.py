"""What a Gymnasium id stands for: the simulator, a rig, or both. Imports neither JAX nor hardware before it must."""

from pkgutil import resolve_name
from typing import Any

import gymnasium

from gridenv.core.errors import ConfigError, MissingExtraError, did_you_mean

SIMULATOR, MODBUS, SHADOW = "simulator", "modbus", "shadow"
BACKENDS = (SIMULATOR, MODBUS, SHADOW)
METADATA: dict[str, Any] = {"render_modes": ["rgb_array", "human"], "render_fps": 4}
"""Of the simulator's environment."""
RIG_SETTINGS = ("rig", "bundle", "rigs", "mode", "checks", "folder", "steps_per_episode")
_RIG_ENV = "hardware_in_loop.rig_env:RigEnv"
_SHADOW_ENV = "hardware_in_loop.rig_env:ShadowEnv"


def make_env(task_id: str, *, backend: str = SIMULATOR, **settings: Any) -> gymnasium.Env[Any, Any]:
    """One environment of a task.

    Args:
        task_id: such as `VoltVar-IEEE33-v0`.
        backend: `simulator`; `modbus`: a rig, see docs/hil/bench_guide.md; `shadow`: both, side by side.
        settings: of the task (and `render_mode`) for the simulator; `rig`, `bundle`, `mode` and others for a rig.

    Raises:
        ConfigError: for an unknown backend, a rig without rig file or bundle, and whatever the environment refuses.
        MissingExtraError: for a rig without the extra `hil`.
    """
    if backend not in BACKENDS:
        raise ConfigError(f"{task_id}: unknown backend '{backend}'{did_you_mean(backend, BACKENDS)}")
    if backend == SIMULATOR:
        return _simulated(task_id, settings)
    missing = [name for name in ("rig", "bundle") if name not in settings]
    if missing:
        raise ConfigError(f"{task_id}: backend '{backend}' needs {' and '.join(missing)}; give a rig file and a bundle")
    of_rig = {name: settings.pop(name) for name in RIG_SETTINGS if name in settings}
    if backend == MODBUS:
        settings.pop("render_mode", None)
        if settings:
            raise ConfigError(
                f"{task_id}: backend '{backend}': unknown setting '{next(iter(settings))}'"
                f"{did_you_mean(next(iter(settings)), RIG_SETTINGS)}"
            )
        return _resolved(_RIG_ENV)(task_id, **of_rig)
    simulated = _simulated(task_id, settings)
    return _resolved(_SHADOW_ENV)(simulated, _resolved(_RIG_ENV)(task_id, **of_rig))


# Gymnasium looks for the render modes at whatever makes the environment.
make_env.metadata = METADATA  # type: ignore[attr-defined]


def _simulated(task_id: str, settings: dict[str, Any]) -> gymnasium.Env[Any, Any]:
    return resolve_name("gridenv.adapters.gym_env:GymEnv")(task_id, **settings)


def _resolved(name: str) -> Any:
    """Something of the hardware bridge, which the layers below it know by name only."""
    try:
        return resolve_name(name)
    except ImportError as error:
        raise MissingExtraError(
            f"package '{error.name}' is not installed; install it with pip install \"gridenv[hil]\""
        ) from error
