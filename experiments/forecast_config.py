"""What a comparison of forecasters is: series, forecasters with their settings, seeds; imports no JAX."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, field_validator

from experiments.config import CONFIG_FOLDER, Seeds, SplitName
from gridenv.core.config import check, read_named, validate
from gridenv.core.errors import ConfigError, did_you_mean, raise_collected
from gridenv.core.layer import Layer
from gridenv.exogenous.forecasts.quantiles import LEVELS, MEDIAN
from gridenv.exogenous.forecasts.registry import FORECASTERS, config_class

FORECASTS = CONFIG_FOLDER / "forecast"
_GROUP = "forecast"
BASELINE = "slot_mean"
"""What a learned forecaster has to beat."""


class ForecastConfig(BaseModel):
    """Forecasters that are fitted to the training days and scored on the days of a split."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    profiles: Annotated[tuple[str, ...], Field(min_length=1)]
    """Columns of the profile table."""
    price_zones: tuple[str, ...] = ()
    """Market areas whose day-ahead price is forecast, before it is published."""
    forecasters: Annotated[tuple[str, ...], Field(min_length=1)] = tuple(FORECASTERS)
    settings: Mapping[str, Mapping[str, Any]] = Field(default_factory=dict)
    """Settings of forecasters that differ from their defaults, by name; those of a forecaster that is left out wait."""
    horizon: int = Field(default=95, ge=1, le=96)
    """Steps ahead."""
    every: PositiveInt = 1
    """Steps between two forecasts that are scored."""
    levels: Annotated[tuple[float, ...], Field(min_length=1)] = LEVELS
    """Of the quantiles."""
    seeds: Seeds = (0, 1, 2)
    """Of forecasters that are random; the others are fitted once."""
    split: SplitName = "test"
    """Days that are forecast."""

    @field_validator("forecasters")
    @classmethod
    def _known_forecasters(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name not in FORECASTERS:
                raise ValueError(f"unknown forecaster '{name}'{did_you_mean(name, FORECASTERS)}")
        if BASELINE not in value:
            raise ValueError(f"must have '{BASELINE}', which the others are measured against")
        return value

    @field_validator("profiles", "price_zones", "forecasters")
    @classmethod
    def _distinct(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) < len(value):
            raise ValueError("each must be given once")
        return value

    @field_validator("levels")
    @classmethod
    def _rising_levels(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if list(value) != sorted(set(value)) or not 0.0 < value[0] <= value[-1] < 1.0 or MEDIAN not in value:
            raise ValueError(f"must rise between 0 and 1 and have {MEDIAN}, the single value of a learned forecaster")
        return value

    @field_validator("settings")
    @classmethod
    def _settings_of_forecasters(cls, value: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Mapping[str, Any]]:
        for name in value:
            if name not in FORECASTERS:
                raise ValueError(f"unknown forecaster '{name}'{did_you_mean(name, FORECASTERS)}")
        return value

    def settings_of(self, name: str) -> BaseModel:
        """Checked settings of a forecaster.

        Raises:
            ConfigError: one line for every problem.
        """
        return validate(config_class(name), Layer(dict(self.settings.get(name, {}))), "forecast", f"settings.{name}.")

    def seeds_of(self, name: str) -> tuple[int, ...]:
        """Seeds that a forecaster is fitted with; one where all give the same."""
        return self.seeds if FORECASTERS[name].is_random else self.seeds[:1]


def read_forecast(texts: Sequence[str]) -> tuple[str, ForecastConfig]:
    """Name and settings of the comparison that `forecast=NAME` and further `key=value` texts describe.

    Raises:
        ConfigError: one line for every problem.
    """
    chosen, layer = read_named(_GROUP, texts, FORECASTS)
    where = f"forecast '{chosen}'"
    config = validate(ForecastConfig, layer, where)
    problems = []
    for name in config.settings:
        part = layer.part("settings").part(name)
        problems += check(config_class(name), part, where, f"settings.{name}.")[1]
    raise_collected(problems, ConfigError)
    return chosen, config
