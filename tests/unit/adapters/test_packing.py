import jax
import numpy as np
from jax import numpy as jnp

from gridenv.adapters.packing import Layout, pack

TREE = {
    "a": jnp.arange(6.0).reshape(2, 3),
    "b": (jnp.array(True), jnp.array(7, jnp.int32), jnp.array(0.5)),
    "c": {"flags": jnp.array([True, False]), "counts": jnp.array([3, -4], jnp.int32)},
}


def test_unpack_gives_back_what_was_packed_in_two_transfers():
    packed = jax.jit(pack)(TREE)
    assert len(jax.tree.leaves(packed)) == 2
    tree = Layout.of(TREE).unpack(packed)
    assert jax.tree.structure(tree) == jax.tree.structure(TREE)
    for got, expected in zip(jax.tree.leaves(tree), jax.tree.leaves(TREE), strict=True):
        np.testing.assert_array_equal(got, expected)
        if expected.ndim:
            assert got.dtype == expected.dtype


def test_unpack_single_numbers_are_pythons_own():
    flag, count, share = Layout.of(TREE).unpack(pack(TREE))["b"]
    assert (type(flag), type(count), type(share)) == (bool, int, float)


def test_unpack_arrays_can_be_written_to_and_are_new_each_time():
    packed, layout = pack(TREE), Layout.of(TREE)
    layout.unpack(packed)["a"][:] = 9.0
    np.testing.assert_array_equal(layout.unpack(packed)["a"], TREE["a"])


def test_layout_of_shapes_is_that_of_arrays():
    shapes = jax.eval_shape(lambda: TREE)
    assert Layout.of(shapes) == Layout.of(TREE)
