"""What a comparison of agents is: experiments, each with the same seeds and references; imports no JAX."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from experiments.config import CONFIG_FOLDER, EXPERIMENTS, References, Seeds, SplitName
from gridenv.core.config import names_in, read_named, validate
from gridenv.core.errors import did_you_mean

COMPARISONS = CONFIG_FOLDER / "comparison"
_GROUP = "comparison"


class ComparisonConfig(BaseModel):
    """Experiments that are trained, scored and put into one table."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    experiments: Annotated[tuple[str, ...], Field(min_length=1)]
    """Names of `configs/experiment`, one for each task and agent; in the table the agents of a task stand together."""
    seeds: Seeds = (0, 1, 2)
    """Of every experiment, in place of its own."""
    references: References = ("none", "rule", "oracle")
    """Those that a task does not fit are left out there."""
    split: SplitName = "test"

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


def read_comparison(texts: Sequence[str]) -> tuple[str, ComparisonConfig]:
    """Name and settings of the comparison that `comparison=NAME` and further `key=value` texts describe.

    Raises:
        ConfigError: one line for every problem.
    """
    name, layer = read_named(_GROUP, texts, COMPARISONS)
    return name, validate(ComparisonConfig, layer, f"comparison '{name}'")
