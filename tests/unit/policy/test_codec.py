"""The codec: hand-worked numbers, NumPy equal to JAX, saturation, and that it needs no JAX."""

import subprocess
import sys

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from jax import numpy as jnp

from gridenv.core.channels import Channel, ChannelSet
from gridenv.policy.codec import Codec

CHANNELS = ChannelSet(
    (
        Channel(name="bus.1.v_pu", unit="pu", low=0.5, high=1.5, scale=0.05, offset=1.0),
        Channel(name="pv.1.q_kvar", unit="kvar", low=-200.0, high=200.0, scale=200.0),
    )
)
CODEC = Codec.of(CHANNELS)


def test_encode_gives_the_numbers_worked_by_hand() -> None:
    np.testing.assert_allclose(CODEC.encode(np.array([0.95, 50.0])), [-1.0, 0.25], rtol=1e-5)
    np.testing.assert_allclose(CODEC.decode(np.array([2.0, -0.5])), [1.1, -100.0], rtol=1e-6)


def test_values_beyond_the_range_saturate_at_the_bounds() -> None:
    np.testing.assert_array_equal(CODEC.encode(np.array([9.0, -1e9], np.float32)), [10.0, -1.0])
    np.testing.assert_array_equal([CODEC.encoded_low[0], CODEC.encoded_high[0]], [-10.0, 10.0])
    np.testing.assert_array_equal(CODEC.decode(np.array([99.0, 7.0])), [1.5, 200.0])


@given(st.floats(0.5, 1.5), st.floats(-200.0, 200.0))
def test_decode_undoes_encode_and_numpy_agrees_with_jax(v_pu: float, q_kvar: float) -> None:
    physical = np.array([v_pu, q_kvar], np.float32)
    encoded = CODEC.encode(physical)
    # XLA divides by a constant as a product with its inverse, one rounding away from NumPy.
    np.testing.assert_allclose(encoded, CODEC.encode(jnp.asarray(physical)), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(CODEC.decode(encoded), physical, rtol=1e-5, atol=1e-4)


def test_codec_and_channels_import_no_jax() -> None:
    code = "import gridenv.policy.codec, sys; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
