"""Frozen, keyword-only dataclasses that JAX treats as pytrees."""

import dataclasses
from typing import Any, TypeVar, dataclass_transform

import jax

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
