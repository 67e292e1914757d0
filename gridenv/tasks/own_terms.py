"""Money and costs that a user's task adds to those of the library."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
from jax import Array
from jax import numpy as jnp
from jaxtyping import Float

from gridenv.core.errors import ConfigError, raise_collected
from gridenv.sim.model import GridModel
from gridenv.sim.state import GridOutput, GridState
from gridenv.tasks.grid_config import GridTaskConfig

Terms = Callable[[GridModel, GridState, GridOutput], Mapping[str, Float[Array, "*batch"]]]
_ROWS = 2
"""Size of the batch that terms are tried with."""


@dataclass(frozen=True, kw_only=True)
class OwnTerms:
    """What a task overrides of `further_eur` and `further_costs`."""

    eur: Terms
    costs: Terms
    cost_names: tuple[str, ...]


def own_terms(
    config: GridTaskConfig,
    model: GridModel,
    begin: Callable[[GridModel, Array], tuple[GridState, GridOutput]],
    taken: set[str],
) -> OwnTerms | None:
    """The terms of a task, tried on shapes alone; None for a task of the library, which has none of its own.

    Args:
        config: settings of the task.
        model: the grid.
        begin: as `Task.begin`.
        taken: names of money and costs that are there already.

    Raises:
        ConfigError: for terms of another shape than the batch, and names that are taken; all problems at once.
    """
    if not _overrides(config, "further_eur") and not _overrides(config, "further_costs"):
        return None
    own = {"further_eur": config.further_eur, "further_costs": config.further_costs}

    def tried(start: Array) -> dict[str, dict[str, Array]]:
        before, output = begin(model, start)
        return {name: _called(name, terms, model, before, output) for name, terms in own.items()}

    shapes = jax.eval_shape(tried, jax.ShapeDtypeStruct((_ROWS,), jnp.int32))
    raise_collected([line for name in own for line in _problems(name, shapes[name], taken)], ConfigError)
    return OwnTerms(eur=config.further_eur, costs=config.further_costs, cost_names=tuple(shapes["further_costs"]))


def _overrides(config: GridTaskConfig, method: str) -> bool:
    return getattr(type(config), method) is not getattr(GridTaskConfig, method)


def _called(name: str, terms: Terms, *arguments: Any) -> dict[str, Array]:
    try:
        values = terms(*arguments)
    except Exception as error:
        # Code of a user may fail with anything; which, and in what, is what helps.
        first = str(error).strip().partition("\n")[0]
        raise ConfigError(f"task: {name} fails ({type(error).__name__}: {first}); correct it") from error
    if not isinstance(values, Mapping):
        raise ConfigError(f"task: {name} returns a {type(values).__name__}; allowed: a dict of names and arrays")
    return dict(values)


def _problems(name: str, shapes: Mapping[str, Any], taken: set[str]) -> list[str]:
    """What is wrong with the names and shapes of terms."""
    found = [
        f"task: {name} has '{term}', which is there already; take another name" for term in shapes if term in taken
    ]
    return found + [
        f"task: {name} '{term}' has shape {shape.shape} where the batch is {(_ROWS,)}; allowed: one number for each "
        "environment; sum over the last axis"
        for term, shape in shapes.items()
        if shape.shape != (_ROWS,)
    ]
