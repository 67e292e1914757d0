"""A learner's state as one NumPy archive: leaf paths are the names of its arrays, nothing is pickled.

`save` and `load` are for learners whose state is a pytree; `write` and `read` for those that name their arrays.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np
from jax import Array
from jax import numpy as jnp

from gridenv.core.archives import DAMAGED
from gridenv.core.errors import RunError, raise_collected

State = TypeVar("State")
_HEADER = "header"
"""Array with a JSON text: what the state belongs to, and the generator of every random key."""


def save(path: Path, state: Any, identity: dict[str, Any]) -> None:
    """Write a pytree so that the file is either complete or absent.

    Args:
        path: file to write; its folder exists.
        state: arrays and typed random keys in any nesting.
        identity: what the state belongs to, such as the hash of the configuration; `load` asks for the same.
    """
    named = _named(state)
    generators = {name: str(jax.random.key_impl(leaf)) for name, leaf in named if _is_key(leaf)}
    arrays = {name: np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf) for name, leaf in named}
    write(path, arrays, {"identity": identity, "generators": generators})


def load(path: Path, like: State, identity: dict[str, Any]) -> State:
    """The pytree that `save` wrote.

    Args:
        path: file to read.
        like: a state of the same structure; `jax.eval_shape` gives one without computing it.
        identity: must equal what was saved.

    Raises:
        RunError: if the file is missing, damaged, belongs to something else, or holds arrays of other shapes.
    """
    arrays, header = read(path, identity)
    expected = _named(like)
    check_arrays(path, dict(expected), arrays)
    generators = header.get("generators", {})
    leaves = [_restored(arrays[name], generators.get(name)) for name, _ in expected]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def write(path: Path, arrays: Mapping[str, np.ndarray], header: Mapping[str, Any]) -> None:
    """Write named arrays so that the file is either complete or absent.

    Args:
        path: file to write; its folder exists.
        arrays: of any shapes and types.
        header: JSON-serialisable; its `identity` is what `read` compares.
    """
    temporary = path.with_name(f"{path.name}.tmp")
    with temporary.open("wb") as file:
        np.savez(file, **arrays, **{_HEADER: np.array(json.dumps(header, sort_keys=True))})  # type: ignore[arg-type]
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read(path: Path, identity: Mapping[str, Any]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays and the header that `write` wrote.

    Raises:
        RunError: if the file is missing, damaged or belongs to something else.
    """
    if not path.is_file():
        raise RunError(f"checkpoint '{path}': no such file; name a run that has one")
    try:
        # Opened here, since np.load leaves a damaged file open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        header: dict[str, Any] = json.loads(str(arrays.pop(_HEADER)))
        found = header["identity"]
    except DAMAGED as error:
        raise damaged(path, error) from error
    raise_collected(
        [
            f"checkpoint '{path}': {key} is {found.get(key)!r}; this run needs {value!r}; go on with the run it "
            "belongs to, its configuration unchanged"
            for key, value in identity.items()
            if found.get(key) != value
        ],
        RunError,
    )
    return arrays, header


def damaged(path: Path, reason: object) -> RunError:
    """The error of a file that cannot be read."""
    return RunError(f"checkpoint '{path}': damaged ({reason}); delete it to go on from the one before it")


def check_arrays(path: Path, expected: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Refuse missing and unexpected arrays, and those of other shapes and types than `expected` has.

    Raises:
        RunError: all of them, one a line.
    """
    found = [f"checkpoint '{path}': array '{name}' is missing" for name in expected if name not in arrays]
    found += [f"checkpoint '{path}': unexpected array '{name}'" for name in arrays if name not in expected]
    for name, leaf in expected.items():
        if (
            name in arrays
            and not _is_key(leaf)
            and (leaf.shape, leaf.dtype) != (arrays[name].shape, arrays[name].dtype)
        ):
            found.append(
                f"checkpoint '{path}': array '{name}' is {arrays[name].dtype}{list(arrays[name].shape)}; "
                f"this run needs {leaf.dtype}{list(leaf.shape)}"
            )
    raise_collected(found, RunError)


def _named(state: Any) -> list[tuple[str, Any]]:
    """Leaves with their paths."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(state)
    return [(jax.tree_util.keystr(path).lstrip("."), leaf) for path, leaf in leaves]


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _restored(array: np.ndarray, generator: str | None) -> Array:
    return jnp.asarray(array) if generator is None else jax.random.wrap_key_data(jnp.asarray(array), impl=generator)
