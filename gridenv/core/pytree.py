"""Frozen, keyword-only dataclasses that JAX treats as pytrees."""

import dataclasses
from typing import Any, TypeVar, dataclass_transform

import jax
from jax import Array
from jax import numpy as jnp
from jaxtyping import Bool

T = TypeVar("T")
_STATIC = "gridenv_static"


def static(**kwargs: Any) -> Any:
    """A dataclass field that is part of the compiled program's structure (sizes, names, switches)."""
    return dataclasses.field(metadata={_STATIC: True}, **kwargs)


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(static, dataclasses.field))
def pytree(cls: type[T]) -> type[T]:
    """Class decorator: a frozen, keyword-only dataclass registered as a pytree.

    Fields made with `static()` are compared, not traced; they must be hashable.
    """
    data_class = dataclasses.dataclass(frozen=True, kw_only=True)(cls)
    fields = dataclasses.fields(data_class)  # type: ignore[arg-type]
    meta = [f.name for f in fields if f.metadata.get(_STATIC)]
    data = [f.name for f in fields if not f.metadata.get(_STATIC)]
    return jax.tree_util.register_dataclass(data_class, data_fields=data, meta_fields=meta)


def rows_where(mask: Bool[Array, "*lead"], yes: Any, no: Any) -> Any:
    """Leaves of `yes` where the mask of their leading axes is set, those of `no` elsewhere."""
    return jax.tree.map(lambda a, b: jnp.where(along(mask, a), a, b), yes, no)


def along(mask: Bool[Array, "*lead"], values: Array) -> Bool[Array, "..."]:
    """A mask of leading axes, with an axis of length one for each further one of `values`."""
    return mask.reshape(mask.shape + (1,) * (values.ndim - mask.ndim))
