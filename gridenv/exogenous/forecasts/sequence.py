"""A small recurrent network of all series in JAX: newest hours in, quantiles of every step ahead out."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import jax
import numpy as np
import optax
from jax import Array
from jax import numpy as jnp
from jaxtyping import Float, Int
from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from gridenv.core.errors import DataError
from gridenv.core.pytree import pytree
from gridenv.core.random import stream
from gridenv.core.units import HOURS_PER_DAY
from gridenv.exogenous.forecasts.examples import drawn_examples, last_known_rows, middle, too_few
from gridenv.exogenous.forecasts.registry import Forecast, Tick
from gridenv.exogenous.forecasts.sequence_network import Inputs, Weights, apply, initial
from gridenv.exogenous.forecasts.series import Series
from gridenv.exogenous.forecasts.windows import SMOOTH, windows

_BLOCK = 100
"""Updates between two signs of life."""
_TOGETHER = 512
"""Forecasts of a series made together; a fixed shape, so that the program is compiled once."""
_LEAST_ROWS = 2
_FOR_SCALE = 20_000


class SequenceConfig(BaseModel):
    """Settings of the recurrent network."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    hidden: PositiveInt = 32
    """Size of the recurrent state."""
    width: PositiveInt = 64
    """Size of the two layers after it."""
    hours: int = Field(default=48, ge=1, le=144)
    """Hours that are read; less than the 7 days of the features, so that nothing more needs to be known."""
    updates: PositiveInt = 3_000
    batch: PositiveInt = 128
    """Forecasts of an update, drawn evenly from the series."""
    leads: PositiveInt = 16
    """Leads of each forecast that are drawn for an update."""
    learning_rate: float = Field(default=2e-3, gt=0.0, le=1.0)
    """At the start; falls to zero along a cosine."""


@pytree
class Drawn:
    """Where to learn from."""

    actual: Float[Array, "series row"]
    """NaN where it is not known."""
    last: Int[Array, "series place"]
    """Last known rows that can be drawn, filled up with the last of them."""
    count: Int[Array, " series"]
    """How many they are."""


@dataclass(frozen=True, kw_only=True)
class Recurrent:
    """A fitted network."""

    weights: Weights
    mean: Float[np.ndarray, "series feature"]
    spread: Float[np.ndarray, "series feature"]
    residual: Float[np.ndarray, " series"]
    low: Float[np.ndarray, " series"]
    """Least value that was learnt from; forecasts are held above it, and below `high`."""
    high: Float[np.ndarray, " series"]
    hours: int
    median: int

    def forecast(self, series: Series, issued: Int[np.ndarray, " issue"], horizon: int) -> Forecast:
        """See `Forecaster`."""
        with jax.enable_x64(False):
            return self._forecast(series, issued, horizon)

    def _forecast(self, series: Series, issued: Int[np.ndarray, " issue"], horizon: int) -> Forecast:
        inputs = _inputs(series, self.mean, self.spread, self.residual, fill=True)
        known = series.known_through(issued)
        parts = []
        for first in range(0, len(issued), _TOGETHER):
            some = np.arange(first, first + _TOGETHER).clip(max=len(issued) - 1)
            rows = issued[some][:, None] + np.arange(1, horizon + 1)
            own = [
                _predict(self.weights, inputs, np.full(_TOGETHER, c), known[some, c], rows, self.hours)
                for c in range(len(series.names))
            ]
            parts.append(np.stack(own, axis=2)[: len(issued) - first])
        quantiles = np.concatenate(parts)
        quantiles = np.clip(quantiles, self.low[:, None], self.high[:, None])
        return Forecast(value=quantiles[..., self.median], quantiles=quantiles)


def fit(
    series: Series, settings: BaseModel, *, horizon: int, levels: Sequence[float], seed: int, tick: Tick
) -> Recurrent:
    """One network for all series, trained on the mean pinball loss of all levels; in float32 wherever it is called.

    Raises:
        DataError: if a series has too few rows to learn from.

    Source: encoder, decoder with what is known of the future, and loss as in Wen et al., "A multi-horizon quantile
    recurrent forecaster", 2017, arXiv:1711.11053; gated recurrent unit, Cho et al. 2014, arXiv:1406.1078.
    """
    assert isinstance(settings, SequenceConfig)
    with jax.enable_x64(False):
        return _fit(series, settings, horizon, levels, seed, tick)


def _fit(
    series: Series, settings: SequenceConfig, horizon: int, levels: Sequence[float], seed: int, tick: Tick
) -> Recurrent:
    inputs = _inputs(series, *_scales(series, horizon, seed), fill=False)
    drawn = _drawn(series, inputs)
    key = jax.random.key(seed)
    weights = initial(stream(key, "weights"), settings.hidden, settings.width, len(series.names), len(levels))
    schedule = optax.cosine_decay_schedule(settings.learning_rate, settings.updates)
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule))
    state = optimiser.init(weights)

    @jax.jit
    def block(carry: tuple, steps: Array) -> tuple:
        def update(carry: tuple, step: Array) -> tuple[tuple, Array]:
            weights, state = carry
            chosen = _draw(jax.random.fold_in(stream(key, "batch"), step), drawn, settings, horizon)
            loss, slopes = jax.value_and_grad(_loss)(weights, inputs, drawn.actual, *chosen, settings.hours, levels)
            moves, state = optimiser.update(slopes, state)
            return (optax.apply_updates(weights, moves), state), loss

        return jax.lax.scan(update, carry, steps)

    for first in range(0, settings.updates, _BLOCK):
        steps = jnp.arange(first, min(first + _BLOCK, settings.updates))
        (weights, state), _ = jax.block_until_ready(block((weights, state), steps))
        tick((first + len(steps)) / settings.updates)
    return Recurrent(
        weights=weights,
        mean=np.asarray(inputs.mean),
        spread=np.asarray(inputs.spread),
        residual=np.asarray(inputs.residual),
        low=np.nanmin(series.values, axis=0),
        high=np.nanmax(series.values, axis=0),
        hours=settings.hours,
        median=middle(levels),
    )


def _scales(series: Series, horizon: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    means, spreads, residuals = [], [], []
    for column, name in enumerate(series.names):
        seen = windows(series, column, fill=False)
        x, y = drawn_examples(series, column, seen, horizon, _FOR_SCALE, np.random.default_rng([seed, column]))
        if len(y) < _LEAST_ROWS:
            raise DataError(too_few(name, len(y), _LEAST_ROWS))
        spread = x.std(axis=0)
        means.append(x.mean(axis=0))
        spreads.append(np.where(spread > 1e-6, spread, 1.0))
        residuals.append(max(float((y - x[:, SMOOTH]).std()), 1e-6))
    return np.stack(means), np.stack(spreads), np.asarray(residuals, np.float32)


def _inputs(series: Series, mean: np.ndarray, spread: np.ndarray, residual: np.ndarray, *, fill: bool) -> Inputs:
    seen = [windows(series, column, fill=fill) for column in range(len(series.names))]
    return Inputs(
        target=jnp.asarray(np.stack([w.target for w in seen])),
        known=jnp.asarray(np.stack([w.known for w in seen])),
        mean=jnp.asarray(mean),
        spread=jnp.asarray(spread),
        residual=jnp.asarray(residual),
        steps_per_hour=max(series.steps_per_day // HOURS_PER_DAY, 1),
    )


def _drawn(series: Series, inputs: Inputs) -> Drawn:
    """Last known rows that a row of the training days follows."""
    n_series = len(series.names)
    padding = np.full((series.steps_per_day, n_series), np.nan, np.float32)
    actual = np.concatenate([series.values, padding]).T
    usable = np.isfinite(actual) & np.isfinite(np.asarray(inputs.target)).all(axis=-1)
    every = []
    for column in range(n_series):
        last = last_known_rows(series, column, windows(series, column, fill=False))
        every.append(last[usable[column, last + 1]])
    most = max(map(len, every))
    filled = np.stack([np.concatenate([rows, np.full(most - len(rows), rows[-1])]) for rows in every])
    return Drawn(actual=jnp.asarray(actual), last=jnp.asarray(filled), count=jnp.asarray([len(rows) for rows in every]))


def _draw(
    key: Array, drawn: Drawn, settings: SequenceConfig, horizon: int
) -> tuple[Int[Array, " batch"], Int[Array, " batch"], Int[Array, "batch lead"]]:
    """Series, last known row and rows to forecast of a batch."""
    shape = (settings.batch,)
    column = jax.random.randint(stream(key, "series"), shape, 0, drawn.count.shape[0])
    place = jax.random.randint(stream(key, "place"), shape, 0, drawn.count[column])
    known = drawn.last[column, place]
    lead = jax.random.randint(stream(key, "lead"), (settings.batch, settings.leads), 1, horizon + 1)
    return column, known, known[:, None] + lead


def _loss(
    weights: Weights,
    inputs: Inputs,
    actual: Float[Array, "series row"],
    column: Int[Array, " batch"],
    known: Int[Array, " batch"],
    rows: Int[Array, "batch lead"],
    hours: int,
    levels: Sequence[float],
) -> Float[Array, ""]:
    """Mean pinball loss in units of the spread of each series; rows that are not to be learnt from do not count."""
    target = inputs.target[column[:, None], rows]
    came = actual[column[:, None], rows]
    counts = jnp.isfinite(came) & jnp.isfinite(target).all(axis=-1)
    # No NaN may enter what is differentiated: zero times NaN is NaN.
    target = jnp.where(counts[..., None], target, inputs.mean[column, None, : target.shape[-1]])
    made = apply(weights, inputs, column, known, target, rows - known[:, None], hours)
    residual = (jnp.where(counts, came, 0.0) - target[..., SMOOTH]) / inputs.residual[column, None]
    below = residual[..., None] - made
    share = jnp.asarray(levels, below.dtype)
    loss = jnp.maximum(share * below, (share - 1.0) * below).mean(axis=-1)
    return jnp.sum(jnp.where(counts, loss, 0.0)) / jnp.maximum(jnp.sum(counts), 1)


@partial(jax.jit, static_argnames="hours")
def _predict(
    weights: Weights,
    inputs: Inputs,
    column: Int[Array, " issue"],
    known: Int[Array, " issue"],
    rows: Int[Array, "issue horizon"],
    hours: int,
) -> Float[Array, "issue horizon level"]:
    target = inputs.target[column[:, None], rows]
    lead = jnp.maximum(rows - known[:, None], 1)
    made = apply(weights, inputs, column, known, target, lead, hours)
    values = target[..., SMOOTH, None] + inputs.residual[column, None, None] * made
    return jnp.sort(values, axis=-1)
