"""Saving a learner's state and refusing what does not belong."""

from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from agents import checkpoint
from gridenv.core.errors import RunError

IDENTITY = {"config_hash": "abc", "seed": 3}


class State(NamedTuple):
    weights: tuple[jax.Array, ...]
    key: jax.Array
    count: jax.Array


def state() -> State:
    weights = (jnp.arange(6, dtype=jnp.float32).reshape(2, 3) / 7, jnp.full(2, jnp.pi, jnp.float32))
    return State(weights, jax.random.key(5), jnp.int32(12))


def like(given: State) -> State:
    return jax.eval_shape(lambda: given)


def test_a_state_comes_back_bit_for_bit(tmp_path: Path) -> None:
    saved = state()
    checkpoint.save(tmp_path / "c.npz", saved, IDENTITY)
    loaded = checkpoint.load(tmp_path / "c.npz", like(saved), IDENTITY)
    assert jax.tree.structure(loaded) == jax.tree.structure(saved)
    for a, b in zip(jax.tree.leaves(loaded._replace(key=0)), jax.tree.leaves(saved._replace(key=0)), strict=True):
        np.testing.assert_array_equal(a, b)
    assert loaded.key.dtype == saved.key.dtype
    np.testing.assert_array_equal(jax.random.normal(loaded.key, (4,)), jax.random.normal(saved.key, (4,)))
    assert not list(tmp_path.glob("*.tmp"))


def test_arrays_are_named_by_their_place_and_nothing_is_pickled(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "c.npz", state(), IDENTITY)
    with np.load(tmp_path / "c.npz", allow_pickle=False) as archive:
        assert set(archive.files) == {"header", "weights[0]", "weights[1]", "key", "count"}


def test_another_configuration_or_seed_is_refused(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "c.npz", state(), IDENTITY)
    with pytest.raises(RunError) as caught:
        checkpoint.load(tmp_path / "c.npz", like(state()), {"config_hash": "xyz", "seed": 4})
    assert "config_hash is 'abc'; this run needs 'xyz'" in str(caught.value)
    assert "seed is 3; this run needs 4" in str(caught.value)


def test_missing_and_damaged_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "c.npz"
    with pytest.raises(RunError, match=r"checkpoint '.*c.npz': no such file"):
        checkpoint.load(path, like(state()), IDENTITY)
    checkpoint.save(path, state(), IDENTITY)
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", whole[:200] + bytes(40) + whole[240:]):
        path.write_bytes(damaged)
        with pytest.raises(RunError, match="damaged"):
            checkpoint.load(path, like(state()), IDENTITY)


def test_other_shapes_are_refused(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "c.npz", state(), IDENTITY)
    other = state()._replace(weights=(jnp.zeros((4, 3)),))
    with pytest.raises(RunError) as caught:
        checkpoint.load(tmp_path / "c.npz", like(other), IDENTITY)
    assert "array 'weights[0]' is float32[2, 3]; this run needs float32[4, 3]" in str(caught.value)
    assert "unexpected array 'weights[1]'" in str(caught.value)
