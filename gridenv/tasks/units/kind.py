"""What a task needs to know of a kind of unit, around the physics of its device family."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Array, Float, Int
from pydantic import BaseModel, ConfigDict

from gridenv.core.channels import Channel
from gridenv.core.pytree import pytree
from gridenv.devices.family import Family, Inputs
from gridenv.exogenous.scenario import Scenario


class UnitConfig(BaseModel):
    """Settings that all kinds of units have."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    id: str | None = None
    """Name of the unit behind that of its kind; default the bus, and the phases where there are fewer than three."""
    bus: str = ""
    """Where it is connected; equipment of the network has its place already."""
    phases: str = "123"
    """Conductors that it is connected to, each to ground; in three-phase networks only."""
    zone: str | None = None
    """Agent that controls it, together with others of the same zone; default one of its own."""

    @property
    def prefix(self) -> str:
        """First part of the unit's name, such as `battery`."""
        raise NotImplementedError

    @property
    def label(self) -> str:
        """Second part of the unit's name."""
        if self.id is not None:
            return self.id
        return self.bus if self.phases == "123" else f"{self.bus}.{self.phases}"


@dataclass(frozen=True, kw_only=True)
class Control:
    """One action of a unit."""

    channel: Channel
    levels: int = 0
    """Number of equally spaced positions from low to high; 0 = continuous."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Column:
    """A series from outside that a kind of unit brings along."""

    channel: Channel
    """How it is observed; its name is that of the scenario's column."""
    values: np.ndarray
    """[time] over the scenario."""


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What the parameters of units are made with."""

    names: tuple[str, ...]
    """Names of the units."""
    scenario: Scenario
    dtype: str
    element_default: tuple[float, ...] = ()
    """Positions of the equipment that the units move, as the network has them; empty for units that inject power."""


@pytree
class Outlook:
    """What a rule may look at besides its own unit: the prices of the day, which are known ahead."""

    price_eur_mwh: Float[Array, "*batch step"]
    """Day-ahead prices of all steps of the present day."""
    step_of_day: Int[Array, "*batch"]


@dataclass(frozen=True, kw_only=True)
class UnitKind:
    """A kind of unit. Functions of groups see `Params`, states and arrays [*batch, unit, ...] as their family does."""

    family: Family
    controls: Callable[[Any, str], tuple[Control, ...]]
    """(config, unit name) -> actions of the unit."""
    parameters: Callable[[Sequence[Any], Surroundings], Any]
    """(configs, surroundings) -> parameters of the family."""
    request: Callable[[Any, Any, Float[Array, "*batch unit control"], Inputs], Any]
    """(params, state, action in physical units, inputs) -> request of the family."""
    applied: Callable[[Any, Any, Inputs, Array], Float[Array, "*batch unit control"]]
    """(params, feasible, inputs, action asked for) -> action that was carried out, both in physical units."""
    idle: Callable[[Any, Any, Inputs], Float[Array, "*batch unit control"]]
    """(params, state, inputs) -> action in physical units that asks for nothing; the entries of `controls` are its
    first ones."""
    channels: Callable[[Any, str], tuple[Channel, ...]]
    """(config, unit name) -> what is observed of the unit."""
    observe: Callable[[Any, Any, Any, Inputs], Float[Array, "*batch unit channel"]]
    """(params, state, feasible of the step before, inputs of the step to decide on) -> physical values."""
    rule: Callable[[Any, Any, Inputs, Outlook], Float[Array, "*batch unit control"]] | None = None
    """Action of the usual rule, as `idle`; None = idle, or a rule that needs the network (see `agents.rules`)."""
    level: Callable[[Any, Any, Int[Array, "*batch"]], Float[Array, "*batch unit"]] | None = None
    """(params, state, its scenario step) -> how full each unit is, 0..1, NaN where there is nothing; for drawing."""
    event_kw: Callable[[Any], float] | None = None
    """(config) -> largest demand of a unit that takes part in demand response; None = units of this kind do not."""
    profiles: Callable[[Sequence[Any]], Sequence[str]] = lambda configs: ()
    """Columns of the profile table that the units follow."""
    columns: Callable[[Sequence[Any]], Sequence[Column]] = lambda configs: ()
    """Further series that the units need."""
    follows_voltage: Callable[[Any], bool] = lambda config: False
    """(config) -> whether the unit's reactive power follows the voltage at its terminals within the step."""
    split: Callable[[Any], Any] = lambda config: None
    """Units for which it differs are put into groups of their own, for instance those without controls."""


@dataclass(frozen=True, kw_only=True)
class UnitGroup:
    """Units of one kind that have the same controls."""

    kind: UnitKind
    configs: tuple[Any, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Unit names, such as `battery.18`."""
        return tuple(f"{config.prefix}.{config.label}" for config in self.configs)

    @property
    def injects(self) -> bool:
        """Whether the units feed in or draw power, and are not equipment of the network."""
        return self.kind.family.moves is None
