"""Gradient-boosted trees of LightGBM, one model a series and quantile. The only file that imports LightGBM."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from gridenv.core.errors import DataError, MissingExtraError
from gridenv.exogenous.forecasts.examples import drawn_examples, middle, too_few
from gridenv.exogenous.forecasts.registry import Forecast, Tick
from gridenv.exogenous.forecasts.series import Series
from gridenv.exogenous.forecasts.windows import SMOOTH, features, windows


class BoostingConfig(BaseModel):
    """Settings of the boosted trees."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    rounds: PositiveInt = 150
    """Trees of each model."""
    learning_rate: float = Field(default=0.06, gt=0.0, le=1.0)
    leaves: int = Field(default=31, ge=2, le=4096)
    """Most leaves of a tree."""
    least_rows: PositiveInt = 200
    """Fewest examples in a leaf; neighbouring steps are nearly the same example."""
    most_rows: PositiveInt = 60_000
    """Examples that are drawn from all pairs of a last row known and a lead."""
    threads: PositiveInt = 1


@dataclass(frozen=True, kw_only=True)
class Boosting:
    """Fitted trees."""

    models: tuple[tuple[Any, ...], ...]
    """[series][level] boosters of the departure from the smooth slot mean."""
    low: Float[np.ndarray, " series"]
    """Least value that was learnt from; forecasts are held above it, and below `high`."""
    high: Float[np.ndarray, " series"]
    median: int
    threads: int

    def forecast(self, series: Series, issued: Int[np.ndarray, " issue"], horizon: int) -> Forecast:
        """See `Forecaster`."""
        rows = issued[:, None] + np.arange(1, horizon + 1)
        known = series.known_through(issued)
        columns = []
        for column, models in enumerate(self.models):
            seen = windows(series, column, fill=True)
            newest = np.repeat(seen.known[known[:, column]], horizon, axis=0)
            lead = np.maximum(rows - known[:, [column]], 1).reshape(-1)
            x = features(seen.target[rows.reshape(-1)], newest, lead)
            made = np.stack([m.predict(x, num_threads=self.threads) for m in models], axis=-1)
            made = np.sort(made + x[:, [SMOOTH]], axis=-1)
            columns.append(np.clip(made, self.low[column], self.high[column]).reshape(*rows.shape, -1))
        quantiles = np.stack(columns, axis=2)
        return Forecast(value=quantiles[..., self.median], quantiles=quantiles)


def fit(
    series: Series, settings: BaseModel, *, horizon: int, levels: Sequence[float], seed: int, tick: Tick
) -> Boosting:
    """Trees that lower the pinball loss of each level, of all leads together.

    Raises:
        DataError: if a series has too few rows to learn from.
        MissingExtraError: if LightGBM is not installed.

    Source: Ke et al., "LightGBM: a highly efficient gradient boosting decision tree", NeurIPS 2017; sorted quantiles,
    Chernozhukov et al. 2010, doi:10.3982/ECTA7880.
    """
    assert isinstance(settings, BoostingConfig)
    library = _imported()
    models = []
    for column, name in enumerate(series.names):
        random = np.random.default_rng([seed, column])
        x, y = drawn_examples(series, column, windows(series, column, fill=False), horizon, settings.most_rows, random)
        if len(y) < 2 * settings.least_rows:
            raise DataError(too_few(name, len(y), 2 * settings.least_rows))
        data = library.Dataset(x, y - x[:, SMOOTH], params={"verbosity": -1, "num_threads": settings.threads})
        own = []
        for place, level in enumerate(levels):
            own.append(library.train(_parameters(settings, level, seed), data, settings.rounds))
            tick((column + (place + 1) / len(levels)) / len(series.names))
        models.append(tuple(own))
    return Boosting(
        models=tuple(models),
        low=np.nanmin(series.values, axis=0),
        high=np.nanmax(series.values, axis=0),
        median=middle(levels),
        threads=settings.threads,
    )


def _parameters(settings: BoostingConfig, level: float, seed: int) -> dict[str, Any]:
    return {
        "objective": "quantile",
        "alpha": level,
        "learning_rate": settings.learning_rate,
        "num_leaves": settings.leaves,
        "min_data_in_leaf": settings.least_rows,
        "feature_fraction": 0.7,
        "bagging_fraction": 0.7,
        "bagging_freq": 1,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": settings.threads,
        "verbosity": -1,
    }


def _imported() -> Any:
    try:
        import lightgbm
    except ImportError:
        raise MissingExtraError(
            "forecaster 'boosting': package 'lightgbm' is not installed; install it with "
            'pip install "gridenv[forecast]"'
        ) from None
    except OSError as error:
        raise MissingExtraError(
            f"forecaster 'boosting': package 'lightgbm' cannot be loaded ({error}); install the system library that "
            "it names (libgomp1 on Debian)"
        ) from None
    return lightgbm
