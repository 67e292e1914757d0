"""The tasks by id. A new task is one new file and one entry here."""

from collections.abc import Mapping
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from gridenv.core.config import validate
from gridenv.core.errors import ConfigError, did_you_mean
from gridenv.core.layer import Layer

if TYPE_CHECKING:
    from gridenv.tasks.env import EnvParams, GridEnv

NAMESPACE = "gridenv/"


@dataclass(frozen=True, kw_only=True)
class TaskEntry:
    """Where a task's parts are, as `module:attribute`; they are imported only when asked for."""

    config: str
    """Frozen pydantic model of the settings; its `split` names the days that episodes are drawn from."""
    make: str = "gridenv.tasks.grid_task:make"
    """Function (settings, task id) -> (GridEnv, EnvParams)."""
    summary: str
    """One line for `gridenv list`."""


TASKS: Mapping[str, TaskEntry] = {
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


def task_id(name: str) -> str:
    """The registered id of a task, with or without the namespace `gridenv/` in front.

    Raises:
        ConfigError: if no such task is registered; the message suggests the closest one.
    """
    bare = name.removeprefix(NAMESPACE)
    if bare not in TASKS:
        raise ConfigError(f"unknown task '{name}'{did_you_mean(bare, TASKS)}")
    return bare


def config_class(name: str) -> type[BaseModel]:
    """The settings model of a task.

    Raises:
        ConfigError: if no such task is registered.
    """
    loaded: type[BaseModel] = resolve_name(TASKS[task_id(name)].config)
    return loaded


def build(name: str, config: BaseModel) -> "tuple[GridEnv, EnvParams]":
    """The functional environment of a task and its parameters, from checked settings.

    Raises:
        ConfigError: if no such task is registered, or settings name things that the network or the data have not.
    """
    known = task_id(name)
    built: tuple[GridEnv, EnvParams] = resolve_name(TASKS[known].make)(config, known)
    return built


def make(name: str, **config_overrides: Any) -> "tuple[GridEnv, EnvParams]":
    """The functional environment of a task and its parameters.

    Args:
        name: id such as `VoltVar-IEEE33-v0`; the namespace `gridenv/` may stand in front.
        config_overrides: settings that differ from the task's defaults.

    Raises:
        ConfigError: for an unknown id, unknown settings and values that are not allowed; all problems at once.
    """
    known = task_id(name)
    return build(known, validate(config_class(known), Layer(config_overrides), f"task '{known}'"))
