"""Tap changers, capacitor banks and switches as units of a task: positions are the actions."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from jax import Array
from pydantic import Field, NonNegativeFloat, PositiveInt

from gridenv.core.channels import Channel
from gridenv.core.errors import ConfigError
from gridenv.devices import equipment
from gridenv.devices.equipment import EquipmentFeasible, EquipmentParams, EquipmentRequest, EquipmentState
from gridenv.devices.family import Family, Inputs
from gridenv.tasks.units.kind import Control, Surroundings, UnitConfig, UnitKind


class TapChangerConfig(UnitConfig):
    """A tap changer or step regulator of the network; `id` is its name there."""

    low: int = -16
    high: int = 16
    """Positions; 33 positions of 5/8 % as step regulators have them. Source: IEEE Std C57.15."""
    max_move: PositiveInt = 16
    """Positions in a step of a quarter of an hour. Assumed: a change takes some 10 s after a delay of 30 s."""
    dwell_h: NonNegativeFloat = 0.0
    wear_eur: NonNegativeFloat = 0.10
    """EUR for each position moved. Assumed: a maintenance of EUR 30,000 after 300,000 operations of a changer."""

    @property
    def prefix(self) -> str:
        """First part of the unit's name."""
        return "tap"


class _OnOffConfig(UnitConfig):
    """Equipment that is open or closed."""

    max_move: PositiveInt = Field(default=1, frozen=True)

    @property
    def low(self) -> int:
        """Open."""
        return 0

    @property
    def high(self) -> int:
        """Closed."""
        return 1


class CapacitorConfig(_OnOffConfig):
    """A switched capacitor bank of the network; `id` is its name there."""

    dwell_h: NonNegativeFloat = 0.25
    """Hours between operations. Source: discharge to 50 V takes 5 min, IEEE Std 18-2012 clause 6.7; rounded up to a
    step."""
    wear_eur: NonNegativeFloat = 0.50
    """EUR for each closing or opening. Assumed: switches of EUR 5,000 last 10,000 operations."""

    @property
    def prefix(self) -> str:
        """First part of the unit's name."""
        return "capacitor"


class SwitchConfig(_OnOffConfig):
    """A sectionalising or tie switch of the network; `id` is its name there, lines are switches too (`line.33`)."""

    dwell_h: NonNegativeFloat = 1.0
    """Hours between operations. Assumed: after each one the operator checks flows and protection before the next."""
    wear_eur: NonNegativeFloat = 2.0
    """EUR for each closing or opening. Assumed: a switch with its remote control of EUR 20,000 lasts 10,000 operations,
    the 5,000 cycles of class M2 of IEC 62271-103."""

    @property
    def prefix(self) -> str:
        """First part of the unit's name."""
        return "switch"


def _controls(quantity: str, config: Any, name: str) -> tuple[Control, ...]:
    half = (config.high - config.low) / 2
    channel = Channel(
        name=f"{name}.{quantity}",
        unit="",
        low=float(config.low),
        high=float(config.high),
        offset=config.low + half,
        scale=half,
        source=name,
    )
    return (Control(channel=channel, levels=config.high - config.low + 1),)


def _parameters(configs: Sequence[Any], around: Surroundings) -> EquipmentParams:
    missing = [name for name, c in zip(around.names, configs, strict=True) if c.id is None]
    if missing:
        raise ConfigError(f"task: {missing[0]} has no `id`; allowed: a name of the network's equipment; set it")
    return equipment.equipment_params(
        around.names,
        np.array([c.low for c in configs]),
        np.array([c.high for c in configs]),
        np.array(around.element_default),
        max_move=np.array([c.max_move for c in configs]),
        dwell_h=np.array([c.dwell_h for c in configs]),
        wear_eur=np.array([c.wear_eur for c in configs]),
        dtype=around.dtype,
    )


def _request(params: EquipmentParams, state: EquipmentState, action: Array, inputs: Inputs) -> EquipmentRequest:
    del params, state, inputs
    return EquipmentRequest(position=action[..., 0])


def _applied(params: EquipmentParams, feasible: EquipmentFeasible, inputs: Inputs, asked: Array) -> Array:
    del params, inputs, asked
    return feasible.position[..., None]


def _idle(params: EquipmentParams, state: EquipmentState, inputs: Inputs) -> Array:
    """Hold."""
    del params, inputs
    return state.position[..., None]


def _channels(quantity: str, config: Any, name: str) -> tuple[Channel, ...]:
    return (_controls(quantity, config, name)[0].channel,)


def _observe(params: EquipmentParams, state: EquipmentState, feasible: EquipmentFeasible, inputs: Inputs) -> Array:
    del params, feasible, inputs
    return state.position[..., None]


def _kind(quantity: str, family: Family) -> UnitKind:
    return UnitKind(
        family=family,
        controls=partial(_controls, quantity),
        parameters=_parameters,
        request=_request,
        applied=_applied,
        idle=_idle,
        channels=partial(_channels, quantity),
        observe=_observe,
    )


TAP_CHANGERS = _kind("position", equipment.TAP_CHANGER)
CAPACITORS = _kind("closed", equipment.CAPACITOR)
SWITCHES = _kind("closed", equipment.SWITCH)
