"""What a comparison of agents is: experiments, each with the same seeds and references; imports no JAX."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, field_validator

from agents import registry as agent_registry
from experiments.config import CONFIG_FOLDER, EXPERIMENTS
from gridenv.core.config import SUFFIX, names_in, read_config, read_overrides, validate
from gridenv.core.errors import ConfigError, did_you_mean
from gridenv.core.layer import Layer
from gridenv.exogenous.splits import SPLIT_NAMES

COMPARISONS = CONFIG_FOLDER / "comparison"
_GROUP = "comparison"


class ComparisonConfig(BaseModel):
    """Experiments that are trained, scored and put into one table."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    experiments: Annotated[tuple[str, ...], Field(min_length=1)]
    """Names of `configs/experiment`, one for each task and agent; in the table the agents of a task stand together."""
    seeds: Annotated[tuple[NonNegativeInt, ...], Field(min_length=1)] = (0, 1, 2)
    """Of every experiment, in place of its own."""
    references: tuple[str, ...] = ("none", "rule", "oracle")
    split: str = "test"

    @field_validator("experiments")
    @classmethod
    def _known_experiments(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        known = names_in(EXPERIMENTS)
        for name in value:
            if name not in known:
                raise ValueError(f"unknown experiment '{name}'{did_you_mean(name, known)}")
        if len(set(value)) < len(value):
            raise ValueError("each experiment must be given once")
        return value

    @field_validator("references")
    @classmethod
    def _known_references(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        known = agent_registry.REFERENCES
        for name in value:
            if name not in known:
                raise ValueError(f"unknown reference controller '{name}'{did_you_mean(name, known)}")
        return value

    @field_validator("split")
    @classmethod
    def _known_split(cls, value: str) -> str:
        if value not in SPLIT_NAMES:
            raise ValueError(f"must be one of {', '.join(SPLIT_NAMES)}")
        return value


def read_comparison(texts: Sequence[str]) -> tuple[str, ComparisonConfig]:
    """Name and settings of the comparison that `comparison=NAME` and further `key=value` texts describe.

    Raises:
        ConfigError: one line for every problem.
    """
    asked = read_overrides(texts)
    named = asked.values.get(_GROUP)
    known = names_in(COMPARISONS)
    if not isinstance(named, str):
        raise ConfigError(f"comparison: none is named; write comparison=NAME with one of: {', '.join(known)}")
    if named.endswith(SUFFIX):
        path = Path(named)
        if not path.is_file():
            raise ConfigError(f"comparison '{named}': no such file; known names: {', '.join(known)}")
    elif named in known:
        path = COMPARISONS / f"{named}{SUFFIX}"
    else:
        raise ConfigError(f"unknown comparison '{named}'{did_you_mean(named, known)}")
    layer: Layer = read_config(path).merged(asked.without(_GROUP))
    return path.stem, validate(ComparisonConfig, layer, f"comparison '{path.stem}'")
