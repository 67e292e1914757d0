"""Environments divided over all devices of this machine; XLA derives the rest of the program from where they lie."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import jax
import numpy as np
from jax import Array
from jax.sharding import Mesh, NamedSharding, PartitionSpec

Tree = TypeVar("Tree")
_AXIS = "env"


@dataclass(frozen=True)
class EnvSharding:
    """Where arrays of a learner lie: those of environments in equal parts, all others whole on every device.

    With one device every method gives back what it was given, so programs are those without this class.
    """

    n_device: int
    """Devices used."""

    @classmethod
    def of(cls, num_envs: int) -> "EnvSharding":
        """As many local devices as divide the number of environments into equal parts."""
        return cls(math.gcd(num_envs, jax.local_device_count()))

    def split(self, tree: Tree) -> Tree:
        """Arrays with the environments in front, in equal parts; those that cannot be divided are whole."""
        return self._placed(tree, PartitionSpec(_AXIS))

    def whole(self, tree: Tree) -> Tree:
        """Arrays that every device has a copy of."""
        return self._placed(tree, PartitionSpec())

    @cached_property
    def _mesh(self) -> Mesh:
        return Mesh(np.array(jax.local_devices()[: self.n_device]), (_AXIS,))

    def _placed(self, tree: Tree, spec: PartitionSpec) -> Tree:
        if self.n_device == 1:
            return tree

        def place(leaf: Array) -> Array:
            # XLA keeps empty arrays whole, whatever they are asked for.
            divides = leaf.size > 0 and leaf.ndim > 0 and leaf.shape[0] % self.n_device == 0
            sharding = NamedSharding(self._mesh, spec if divides else PartitionSpec())
            placed: Array = jax.lax.with_sharding_constraint(leaf, sharding)
            return placed

        moved: Tree = jax.tree.map(place, tree)
        return moved
