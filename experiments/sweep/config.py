"""What a sweep is: an experiment, what is varied, how trials are judged and where they run; imports no Ray."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    StringConstraints,
    field_validator,
)

from experiments.config import CONFIG_FOLDER, Seeds
from experiments.sweep.spaces import GRID, Space, read_spaces
from gridenv.adapters.ray_settings import RaySettings
from gridenv.core.config import check, display_path, read_config, read_named
from gridenv.core.errors import ConfigError, raise_collected
from gridenv.core.layer import Layer

SWEEPS = CONFIG_FOLDER / "sweep"
_SEARCH = "search"


class AshaConfig(BaseModel):
    """Asynchronous successive halving: trials that are worse than others at the same point are stopped.

    Source: L. Li et al., "A system for massively parallel hyperparameter tuning", MLSys 2020, algorithm 2.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Literal["asha"] = "asha"
    grace_steps: PositiveInt | None = None
    """Environment steps before a trial may be stopped; one reduction before two reductions of the longest training if
    left out."""
    reduction_factor: float = Field(default=3.0, ge=1.5, le=16.0)
    """At each decision one of so many trials goes on; the next decision is after so many times the steps."""


class Resources(BaseModel):
    """What a trial occupies while it runs."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    cpus: PositiveFloat = 1.0
    gpus: NonNegativeFloat = 0.0


class SweepConfig(BaseModel):
    """A checked sweep."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][\w.-]*$")]
    """Folder of the sweeps."""
    experiment: str
    """File of `configs/experiment`, or the path of a YAML file."""
    settings: dict[str, Any] = {}
    """Settings of the experiment that are changed in all trials."""
    search: dict[str, Any] = Field(min_length=1)
    """Settings of task and agent that differ between trials."""
    samples: PositiveInt = 1
    """How often values are drawn; with grids, for each combination of their values."""
    sample_seed: NonNegativeInt = 0
    """Seed of the draws."""
    seeds: Seeds = (0,)
    """Each trial is trained with each of them, and judged by the mean."""
    metric: str = "validation/score"
    """Field of the metrics; the last evaluation of a training counts."""
    mode: Literal["max", "min"] = "max"
    """Whether more of it is better."""
    scheduler: AshaConfig | None = None
    """Ends hopeless trainings early; null: all are trained to their end."""
    resources: Resources = Resources()
    max_concurrent: PositiveInt | None = None
    """Most trainings at a time; as many as the resources allow if left out."""
    ray: RaySettings = RaySettings()

    @field_validator("scheduler", mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        if value == "none":
            return None
        return {"name": value} if isinstance(value, str) else value

    @field_validator("settings")
    @classmethod
    def _no_keys_of_the_sweep(cls, value: dict[str, Any]) -> dict[str, Any]:
        if taken := sorted(value.keys() & {"name", "seed", "seeds", "experiment"}):
            raise ValueError(
                f"{', '.join(taken)}: the sweep has name, seeds and experiment of its own; write them there"
            )
        return value

    @property
    def spaces(self) -> dict[str, Space]:
        """Spaces by the dotted key of the setting."""
        return read_spaces(Layer(self.search))[0]


def compose_sweep(overrides: Sequence[str]) -> SweepConfig:
    """The sweep that `sweep=NAME` and further `key=value` texts describe.

    Args:
        overrides: `sweep` names a file of `configs/sweep` or is the path of a YAML file; all others set a value.

    Raises:
        ConfigError: one line for every problem.
    """
    name, layer = read_named("sweep", overrides, SWEEPS)
    return check_sweep(Layer({"name": name}).merged(layer), f"sweep '{name}'")


def read_sweep(path: Path) -> SweepConfig:
    """A sweep from its resolved file.

    Raises:
        ConfigError: one line for every problem.
    """
    return check_sweep(read_config(path), display_path(path))


def check_sweep(layer: Layer, where: str) -> SweepConfig:
    """Check all parts of a sweep but the trials that it leads to.

    Raises:
        ConfigError: one line for every problem.
    """
    config, problems = check(SweepConfig, layer, where)
    search = layer.values.get(_SEARCH)
    if isinstance(search, dict) and search:
        spaces, found = read_spaces(layer.part(_SEARCH))
        problems += [f"{where}: {problem}" for problem in found]
        samples = layer.values.get("samples", 1)
        if not found and samples != 1 and all(space.kind == GRID for space in spaces.values()):
            problems.append(
                f"{where}: samples = {samples}; nothing is drawn, so the same trials would be trained again; "
                "allowed: 1; add a space that is drawn from, or more seeds"
            )
    raise_collected(problems, ConfigError)
    assert config is not None
    return config
