"""Error helpers, named streams, cache folder and the pytree decorator."""

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from gridenv.core.cache import cache_dir
from gridenv.core.errors import NetworkError, did_you_mean, raise_collected
from gridenv.core.pytree import pytree, static
from gridenv.core.random import stream


def test_hint_lists_what_is_known_when_nothing_is_close() -> None:
    assert did_you_mean("zzz", ["beta", "alpha"]) == "; known: alpha, beta"
    assert did_you_mean("zzz", []) == ""


def test_problems_are_raised_once_and_none_is_no_error() -> None:
    raise_collected([], NetworkError)
    with pytest.raises(NetworkError, match="first\nsecond"):
        raise_collected(["first", "second"], NetworkError)


def test_streams_differ_by_name_and_repeat_by_key() -> None:
    key = jax.random.key(3)
    draw = [float(jax.random.uniform(stream(key, name))) for name in ("a", "b", "a")]
    assert draw[0] == draw[2]
    assert draw[0] != draw[1]


def test_cache_folder_follows_the_environment_variable(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setenv("GRIDENV_CACHE_DIR", str(tmp_path / "here"))
    assert cache_dir("x") == tmp_path / "here" / "x"
    assert cache_dir("x").is_dir()


def test_pytree_traces_data_and_compares_static_fields() -> None:
    @pytree
    class Pair:
        value: object
        size: int = static()

    pair = Pair(value=jnp.arange(3.0), size=2)
    doubled = jax.jit(lambda p: jax.tree.map(lambda x: x * p.size, p))(pair)
    np.testing.assert_array_equal(doubled.value, [0.0, 2.0, 4.0])
    assert jax.tree.structure(pair) != jax.tree.structure(Pair(value=pair.value, size=3))
    with pytest.raises(AttributeError):
        pair.size = 4
