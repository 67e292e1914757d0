"""A batch of power flows to be solved: the network as an operator, the laws of its slots, and what each sample asks."""

from typing import Any

import jax
from jax import Array
from jax import numpy as jnp
from jaxtyping import Bool, Float

from gridenv.core.pytree import pytree
from gridenv.powerflow.law import Gain, LoadLaw, Power, currents


@pytree
class Problem:
    """All that the solvers need. Power and gain have a sample axis, where the layout of the operator has it."""

    operator: Any
    """`Dense`, `Blocks` or `Elimination`."""
    law: LoadLaw
    is_load: Float[Array, "*layout"] | None
    is_voltage: Float[Array, "*layout"] | None
    power: Power
    gain: Gain | None

    def respond(self, x: Float[Array, "*layout"]) -> Float[Array, "*layout"]:
        """What the slots see when x acts in them."""
        return self.operator.respond(x)

    def act(self, y: Float[Array, "*layout"]) -> Float[Array, "*layout"]:
        """What acts in the slots when they see y."""
        return currents(self.law, self.power, self.gain, y, self.operator.slot_axis)

    def rows(self, values: Array) -> Array:
        """A value a sample, to combine with the layout."""
        return self.operator.rows(values)

    def greatest(self, values: Float[Array, "*layout"]) -> Float[Array, " sample"]:
        """Largest absolute value of each sample."""
        return jnp.max(jnp.abs(values), axis=self._other_axes(values), initial=0)

    def largest(self, change: Float[Array, "*layout"]) -> Float[Array, " sample"]:
        """Largest change of a voltage that a slot sees; currents have another scale, and follow."""
        if self.is_voltage is None:
            return self.greatest(change)
        both = jnp.concatenate([self.is_voltage, self.is_voltage], axis=self.operator.slot_axis)
        return self.greatest(jnp.where(both > 0.0, change, 0.0))

    def every(self, flags: Bool[Array, "*layout"]) -> Bool[Array, " sample"]:
        """Whether a flag is set in all slots of a sample."""
        return jnp.all(flags, axis=self._other_axes(flags))

    def taken(self, rows: Array) -> "Problem":
        """The problem of some samples; rows out of range get no power."""
        axis = self.operator.sample_axis

        def pick(values: Array) -> Array:
            return jnp.take(values, rows, axis=axis, mode="fill", fill_value=0)

        return Problem(
            operator=self.operator.taken(rows),
            law=self.law,
            is_load=self.is_load,
            is_voltage=self.is_voltage,
            power=jax.tree.map(pick, self.power),
            gain=jax.tree.map(pick, self.gain),
        )

    def _other_axes(self, values: Array) -> tuple[int, ...]:
        return tuple(axis for axis in range(values.ndim) if axis != self.operator.sample_axis)
