"""What a predictive controller believes of the rest of the day: the scenario with its future rows replaced."""

from dataclasses import replace
from typing import Literal

import numpy as np
from jax import numpy as jnp

from gridenv.core.errors import ConfigError
from gridenv.devices import inverter
from gridenv.exogenous.scenario import Scenario
from gridenv.sim.model import GridModel
from gridenv.tasks.env import EnvParams

Kind = Literal["perfect", "noisy", "persistence"]
"""`perfect`: what will be. `noisy`: wrong by `error * sqrt(h / 24) * z` as a share of the value, h hours ahead, z
standard normal, as in the observations of tasks. `persistence`: the mean of the same quarter-hour on past days."""


def check_starts(params: EnvParams, kind: Kind) -> None:
    """Refuse episodes that share steps, as each has a forecast of its own in one table.

    Raises:
        ConfigError: for episodes that overlap.
    """
    starts = np.sort(np.asarray(params.starts))
    close = np.flatnonzero(np.diff(starts) < params.steps_per_episode)
    if kind != "perfect" and len(close):
        raise ConfigError(
            f"mpc: episodes that begin at steps {starts[close[0]]} and {starts[close[0] + 1]} overlap with forecast "
            f"'{kind}'; allowed: {params.steps_per_episode} steps apart, or forecast 'perfect'; drop some of the starts"
        )


def believed(
    params: EnvParams, now: np.ndarray, n_step: int, kind: Kind, error: float, history_days: int, seed: int
) -> EnvParams:
    """The parameters with the forecast of each episode in place of what will be; the present row is measured.

    Profiles of loads and plants are forecast. The price is that of the day-ahead market and known; temperatures and
    events are left as they are.

    Args:
        params: with what will be.
        now: [episode] present scenario steps.
        n_step: rows from the present one on.
        kind: see `Kind`.
        error: standard deviation a day ahead as a share of the value; of `noisy` only.
        history_days: past days whose mean is taken; of `persistence` only.
        seed: of the errors.
    """
    if kind == "perfect" or n_step < 2:
        return params
    scenario = params.model.scenario
    columns = np.flatnonzero(_is_forecast(params.model))
    values = np.array(scenario.values)
    ahead = np.arange(1, n_step)
    for t in now:
        rows = np.minimum(t + ahead, scenario.n_steps - 1)
        true = values[np.ix_(rows, columns)]
        if kind == "noisy":
            drawn = np.random.default_rng([seed, int(t)]).standard_normal(true.shape)
            made = true * (1.0 + error * np.sqrt(ahead / scenario.steps_per_day)[:, None] * drawn)
        else:
            made = _slot_means(np.asarray(scenario.values), rows, columns, int(t), scenario, history_days)
        values[np.ix_(rows, columns)] = made
    seen = replace(scenario, values=jnp.asarray(values))
    return replace(params, model=replace(params.model, scenario=seen))


def _slot_means(
    values: np.ndarray, rows: np.ndarray, columns: np.ndarray, now: int, scenario: Scenario, history_days: int
) -> np.ndarray:
    """Mean of the same slot on past days; the present row where there is no past yet."""
    past = rows[:, None] - scenario.steps_per_day * np.arange(1, history_days + 1)
    known = (past >= 0) & (past <= now)
    total = np.einsum("hd,hdc->hc", known, values[np.maximum(past, 0)][..., columns])
    count = known.sum(axis=1)[:, None]
    return np.where(count > 0, total / np.maximum(count, 1), values[now, columns])


def _is_forecast(model: GridModel) -> np.ndarray:
    """[series] whether a load or a plant follows it."""
    weights = [model.loads.p_weight_kw, model.loads.q_weight_kvar]
    weights += [group.params.p_weight_kw for group in model.groups if group.family is inverter.FAMILY]
    return np.any([np.asarray(w).any(axis=1) for w in weights], axis=0)
