"""The tasks by id. A new task of the library is one new file and one entry here; users register theirs."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel

from gridenv.core.config import SUFFIX, read_config, validate
from gridenv.core.errors import ConfigError, did_you_mean
from gridenv.core.layer import Layer
from gridenv.core.modules import import_named, is_same_module, name_of_module

if TYPE_CHECKING:
    from gridenv.tasks.env import EnvParams, GridEnv

NAMESPACE = "gridenv/"
Settings = TypeVar("Settings", bound=type[BaseModel])
_TASK_ID = re.compile(r"[A-Za-z0-9][\w.-]*-v\d+")
_MODULE_SIGN = ":"
"""Between the module that registers a task and the task's id, as in `my_tasks:PeakShaving-v0`."""


@dataclass(frozen=True, kw_only=True)
class TaskEntry:
    """Where a task's parts are, as `module:attribute`, imported only when asked for; or the parts themselves."""

    config: str | type[BaseModel]
    """Frozen pydantic model of the settings; its `split` names the days that episodes are drawn from."""
    make: str = "gridenv.tasks.grid_task:make"
    """Function (settings, task id) -> (GridEnv, EnvParams)."""
    summary: str
    """One line for `gridenv list`."""
    origin: str = ""
    """Module or file that registered the task; empty for those of the library."""


TASKS: dict[str, TaskEntry] = {
    "VoltVar-IEEE33-v0": TaskEntry(
        config="gridenv.tasks.volt_var:VoltVarConfig",
        summary="reactive power of six PV inverters holds the voltage band of the IEEE 33-bus feeder at least loss",
    ),
    "VoltVar-IEEE13-v0": TaskEntry(
        config="gridenv.tasks.volt_var:VoltVarIEEE13Config",
        summary="inverters, regulators and capacitors hold the band of the unbalanced IEEE 13-node feeder",
    ),
    "VoltVar-IEEE123-v0": TaskEntry(
        config="gridenv.tasks.volt_var:VoltVarIEEE123Config",
        summary="inverters, regulators and capacitors hold the band of the unbalanced IEEE 123-node feeder",
    ),
    "ActiveDER-CigreMV-v0": TaskEntry(
        config="gridenv.tasks.active_der:ActiveDerConfig",
        summary="plants of the CIGRE MV network are curtailed and set their reactive power within its limits",
    ),
    "Storage-IEEE33-v0": TaskEntry(
        config="gridenv.tasks.storage:StorageConfig",
        summary="four batteries trade on the day-ahead market within the limits of the IEEE 33-bus feeder",
    ),
    "V2G-SimBenchLV-v0": TaskEntry(
        config="gridenv.tasks.low_voltage:V2GSimBenchConfig",
        summary="a charging station and homes charge vehicles and feed back on a rural low-voltage feeder",
    ),
    "V2G-EuropeanLV-v0": TaskEntry(
        config="gridenv.tasks.low_voltage:V2GEuropeanConfig",
        summary="single-phase chargers of homes on the unbalanced IEEE European low-voltage feeder",
    ),
    "DemandResponse-SimBenchLV-v0": TaskEntry(
        config="gridenv.tasks.low_voltage:DemandResponseConfigLV",
        summary="heat pumps and a business answer demand-response events on a rural low-voltage feeder",
    ),
    "SmartHome-LV-v0": TaskEntry(
        config="gridenv.tasks.low_voltage:SmartHomeConfig",
        summary="one home with a roof, a battery, a vehicle, a heat pump and appliances under a retail tariff",
    ),
    "DistrictEMS-CigreMV-v0": TaskEntry(
        config="gridenv.tasks.district:DistrictConfig",
        summary="plants, batteries, vehicles, heat pumps and businesses of a district together",
    ),
}


def register_task(name: str, *, summary: str = "") -> Callable[[Settings], Settings]:
    """Add a task to `TASKS`; `gridenv.register_task` also tells Gymnasium of it.

    Args:
        name: id that ends in a version, such as `PeakShaving-IEEE33-v0`; one of your own that is registered already is
            replaced.
        summary: one line for `gridenv list`; the first line of the class's docstring if left out.

    Returns:
        Decorator of a subclass of `GridTaskConfig`.

    Raises:
        ConfigError: for an id that is malformed or one of the library's, and for a class of another kind.
    """
    bare = name.removeprefix(NAMESPACE)
    if not _TASK_ID.fullmatch(bare):
        raise ConfigError(
            f"register_task: id is '{name}'; allowed: a name and a version, such as 'MyTask-v0'; correct it"
        )
    if bare in TASKS and not TASKS[bare].origin:
        raise ConfigError(f"register_task: '{bare}' is a task of the library; allowed: ids that are free; take another")

    def registered(settings: Settings) -> Settings:
        from gridenv.tasks.grid_config import GridTaskConfig

        if not (isinstance(settings, type) and issubclass(settings, GridTaskConfig)):
            raise ConfigError(
                f"register_task: '{bare}' is given {settings!r}; allowed: a subclass of GridTaskConfig or of the "
                "settings of another task; make it one"
            )
        line = summary or (settings.__doc__ or "").strip().partition("\n")[0]
        TASKS[bare] = TaskEntry(config=settings, summary=line, origin=name_of_module(settings.__module__))
        return settings

    return registered


def task_id(name: str) -> str:
    """The registered id of a task.

    Args:
        name: id, with or without the namespace `gridenv/` in front; `module:id` or `file.py:id` imports what registers
            it first.

    Raises:
        ConfigError: if no such task is registered, or the module cannot be imported; the message suggests the closest.
    """
    origin, _, rest = name.rpartition(_MODULE_SIGN)
    bare = rest.removeprefix(NAMESPACE)
    if origin and (bare not in TASKS or not is_same_module(TASKS[bare].origin, origin)):
        import_named(origin, f"task '{name}'")
    if bare not in TASKS:
        hint = did_you_mean(bare, TASKS)
        own = f"; name a task of your own with its module or file before it: 'my_tasks.py{_MODULE_SIGN}{bare}'"
        raise ConfigError(f"unknown task '{name}'{hint}{own if not origin and 'mean' not in hint else ''}")
    return bare


def full_task_id(name: str) -> str:
    """The id with the module or file that registers it in front, so that another process finds it."""
    bare = task_id(name)
    origin = TASKS[bare].origin
    return f"{origin}{_MODULE_SIGN}{bare}" if origin else bare


def config_class(name: str) -> type[BaseModel]:
    """The settings model of a task.

    Raises:
        ConfigError: if no such task is registered.
    """
    config = TASKS[task_id(name)].config
    loaded: type[BaseModel] = resolve_name(config) if isinstance(config, str) else config
    return loaded


def build(name: str, config: BaseModel) -> "tuple[GridEnv, EnvParams]":
    """The functional environment of a task and its parameters, from checked settings.

    Raises:
        ConfigError: if no such task is registered, or settings name things that the network or the data have not.
    """
    known = task_id(name)
    built: tuple[GridEnv, EnvParams] = resolve_name(TASKS[known].make)(config, known)
    return built


def settings_of(
    task: str | BaseModel, overrides: Mapping[str, Any], bases: Path | None = None
) -> tuple[str, BaseModel]:
    """Id and checked settings of a task.

    Args:
        task: as of `make`.
        overrides: settings that differ.
        bases: folder in which the `base` of a task file is looked for when it is not beside the file.

    Raises:
        ConfigError: as `make`.
    """
    if isinstance(task, BaseModel):
        known, layer = _id_of(type(task)), Layer(task.model_dump(exclude_unset=True))
    elif task.endswith(SUFFIX):
        layer = read_config(Path(task), bases)
        chosen = layer.values.get("id")
        if not isinstance(chosen, str):
            raise ConfigError(f"task file '{task}': id is {chosen!r}; allowed: the id of a task; write `id: NAME`")
        known, layer = task_id(chosen), layer.without("id")
    else:
        known, layer = task_id(task), Layer()
    return known, validate(config_class(known), layer.merged(Layer(dict(overrides))), f"task '{known}'")


def make(task: str | BaseModel, **config_overrides: Any) -> "tuple[GridEnv, EnvParams]":
    """The functional environment of a task and its parameters.

    Args:
        task: id such as `VoltVar-IEEE33-v0`; the namespace `gridenv/` may stand in front. Or the path of a task file
            (`.yaml` with the `id` and settings), or settings of a registered class.
        config_overrides: settings that differ from the task's defaults.

    Raises:
        ConfigError: for an unknown id, unknown settings and values that are not allowed; all problems at once.
    """
    return build(*settings_of(task, config_overrides))


def _id_of(kind: type[BaseModel]) -> str:
    for name in TASKS:
        if config_class(name) is kind:
            return name
    raise ConfigError(
        f"task: {kind.__name__} is not registered; allowed: settings of a registered task; put "
        "@gridenv.register_task('MyTask-v0') before the class"
    )
