"""The recurrent network of `sequence`: how it reads the newest hours and what it makes of the features of a row."""

import jax
from jax import Array
from jax import numpy as jnp
from jaxtyping import Float, Int

from gridenv.core.pytree import pytree, static
from gridenv.core.random import stream
from gridenv.exogenous.forecasts.windows import KNOWN_NAMES, NAMES, TARGET_NAMES, features

_READ = tuple(KNOWN_NAMES.index(name) for name in ("mean_1h", "above_1h"))
"""Features that the recurrent part reads, hour by hour."""
_READ_OF_ALL = tuple(len(TARGET_NAMES) + i for i in _READ)
_MOST_SPREADS = 10.0
"""Standardised features are held within this; beyond it are ratios of small numbers."""
Weights = dict[str, Array]


@pytree
class Inputs:
    """Everything of all series that a forecast may be made of."""

    target: Float[Array, "series row of_target"]
    """NaN where it is not to be learnt from."""
    known: Float[Array, "series time of_known"]
    mean: Float[Array, "series feature"]
    """Of every feature on the training days."""
    spread: Float[Array, "series feature"]
    residual: Float[Array, " series"]
    """Spread of the departure from the smooth slot mean on the training days."""
    steps_per_hour: int = static()


def apply(
    weights: Weights,
    inputs: Inputs,
    column: Int[Array, " batch"],
    known: Int[Array, " batch"],
    target: Float[Array, "batch lead of_target"],
    lead: Int[Array, "batch lead"],
    hours: int,
) -> Float[Array, "batch lead level"]:
    """Quantiles of the departure from the smooth slot mean, in units of its spread."""
    state = _encode(weights, inputs, column, known, hours)
    newest = jnp.broadcast_to(inputs.known[column, known][:, None], (*lead.shape, len(KNOWN_NAMES)))
    x = features(target, newest, lead, jnp)
    x = (x - inputs.mean[column, None]) / inputs.spread[column, None]
    x = jnp.clip(x, -_MOST_SPREADS, _MOST_SPREADS)
    which = jax.nn.one_hot(column, inputs.mean.shape[0])
    # The state and the name of the series are the same for all leads: they enter once, not once a lead.
    once = state @ weights["state"] + which @ weights["series"]
    hidden = jax.nn.relu(x @ weights["first"] + once[:, None])
    hidden = jax.nn.relu(hidden @ weights["second"] + weights["second_bias"])
    return hidden @ weights["last"] + weights["last_bias"]


def _encode(
    weights: Weights, inputs: Inputs, column: Int[Array, " batch"], known: Int[Array, " batch"], hours: int
) -> Float[Array, "batch hidden"]:
    """State of the gated recurrent unit after the newest hours, the oldest first."""
    read = jnp.array(_READ)
    all_read = jnp.array(_READ_OF_ALL)
    mean, spread = inputs.mean[column][:, all_read], inputs.spread[column][:, all_read]
    back = inputs.steps_per_hour * jnp.arange(hours - 1, -1, -1)
    rows = jnp.maximum(known - back[:, None], 0)
    read_values = (inputs.known[column, rows][..., read] - mean) / spread
    # Nothing is learnt from hours that may not be seen; forecasts have all of them.
    read_values = jnp.where(jnp.isfinite(read_values), read_values, 0.0)

    def step(h: Array, x: Array) -> tuple[Array, None]:
        update, reset = jnp.split(
            jax.nn.sigmoid(x @ weights["gate_x"] + h @ weights["gate_h"] + weights["gate"]), 2, -1
        )
        new = jnp.tanh(x @ weights["new_x"] + (reset * h) @ weights["new_h"] + weights["new"])
        return update * h + (1.0 - update) * new, None

    start = jnp.zeros((column.shape[0], weights["new"].shape[0]), read_values.dtype)
    return jax.lax.scan(step, start, jnp.clip(read_values, -_MOST_SPREADS, _MOST_SPREADS))[0]


def initial(key: Array, hidden: int, width: int, n_series: int, n_level: int) -> Weights:
    """Weights before training."""
    shapes = {
        "gate_x": (len(_READ), 2 * hidden),
        "gate_h": (hidden, 2 * hidden),
        "new_x": (len(_READ), hidden),
        "new_h": (hidden, hidden),
        "state": (hidden, width),
        "series": (n_series, width),
        "first": (len(NAMES), width),
        "second": (width, width),
        "last": (width, n_level),
    }
    glorot = jax.nn.initializers.glorot_uniform()
    weights = {name: glorot(stream(key, name), shape, jnp.float32) for name, shape in shapes.items()}
    sizes = {"gate": 2 * hidden, "new": hidden, "second_bias": width, "last_bias": n_level}
    return weights | {name: jnp.zeros(size) for name, size in sizes.items()}
