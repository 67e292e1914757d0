"""Settings of the volt-var task that are refused, and defaults that follow from others."""

from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from gridenv.core.errors import ConfigError
from gridenv.exogenous.splits import SPLIT_NAMES, load_splits
from gridenv.powerflow.door import DEFAULT_MAX_ITERATIONS, DEFAULT_TOLERANCE_PU
from gridenv.tasks.registry import make

TASK = "VoltVar-IEEE33-v0"
STEPS_PER_DAY = 96
LONGEST_FORECAST = 95


def refusal(**settings: Any) -> str:
    with pytest.raises(ConfigError) as error:
        make(TASK, **settings)
    return str(error.value)


@pytest.mark.parametrize(
    ("key", "rest"),
    [
        ("load_profiles", ""),
        ("inverters", ""),
        ("observed_buses", " or must be 'all'"),
    ],
)
def test_empty_lists_are_refused(key: str, rest: str) -> None:
    assert refusal(**{key: []}) == f"task '{TASK}': {key} = []; must have at least one entry{rest}"


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("key", ["source_v_pu", "load_scale", "grid_fee_eur_kwh", "line_rating_a"])
def test_numbers_that_are_not_finite_are_refused(key: str, bad: float) -> None:
    assert refusal(**{key: bad}) == f"task '{TASK}': {key} = {bad}; must be a finite number"


def test_numbers_that_are_not_finite_are_refused_one_level_deeper() -> None:
    assert refusal(cost_weights={"v_band": float("inf")}) == (
        f"task '{TASK}': cost_weights.v_band = inf; must be a finite number"
    )
    plant = {"bus": "10", "p_dc_kw": float("nan"), "profile": "PV1"}
    assert refusal(inverters=[plant]) == f"task '{TASK}': inverters.0.p_dc_kw = nan; must be a finite number"


def test_power_flow_defaults_are_those_of_the_power_flow() -> None:
    model = make(TASK)[1].model
    assert (model.tolerance_pu, model.max_iterations) == (DEFAULT_TOLERANCE_PU["float32"], DEFAULT_MAX_ITERATIONS)
    with jax.enable_x64(True):
        assert make(TASK, dtype="float64")[1].model.tolerance_pu == DEFAULT_TOLERANCE_PU["float64"]
        assert make(TASK, dtype="float64", tolerance_pu=1e-8)[1].model.tolerance_pu == 1e-8


def test_forecast_that_would_read_beyond_the_gap_day_is_refused() -> None:
    assert refusal(forecast_steps=LONGEST_FORECAST + 1) == (
        f"task '{TASK}': forecast_steps = 96; must be less than or equal to 95"
    )


@pytest.mark.parametrize("steps_per_episode", [pytest.param(STEPS_PER_DAY, marks=pytest.mark.slow), 2 * STEPS_PER_DAY])
@pytest.mark.parametrize("split", SPLIT_NAMES)
def test_no_observation_of_an_episode_reads_a_row_of_another_split(split: str, steps_per_episode: int) -> None:
    """With the rows of all other splits poisoned, every observation is still a number, the last one included."""
    env, params = make(TASK, split=split, forecast_steps=LONGEST_FORECAST, steps_per_episode=steps_per_episode)
    labels = np.repeat(load_splits().labels, STEPS_PER_DAY)
    is_foreign = ~np.isin(labels, (split, "gap"))
    values = np.asarray(params.model.scenario.values).copy()
    values[is_foreign] = np.nan
    times = np.asarray(params.starts)[:, None] + np.array([0, 1, steps_per_episode - 1, steps_per_episode])
    scenario = replace(params.model.scenario, values=jnp.asarray(values))
    poisoned = replace(params, model=replace(params.model, scenario=scenario))
    observation, _ = env.reset_at(times.ravel().astype(np.int32), poisoned)
    assert np.all(np.isfinite(observation))
    # The poison is seen where it is: a row further and some observation reads it.
    beyond, _ = env.reset_at((times[:, -1] + 1).astype(np.int32), poisoned)
    assert not np.all(np.isfinite(beyond))
