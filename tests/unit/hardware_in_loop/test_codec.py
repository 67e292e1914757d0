"""Numbers and registers: values worked by hand, and what must be refused."""

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware_in_loop.errors import EncodingError
from hardware_in_loop.registers.codec import ByteOrder, DataType, decode, encode

ORDERS = {
    ByteOrder.ABCD: (0x4148, 0xF5C3),
    ByteOrder.BADC: (0x4841, 0xC3F5),
    ByteOrder.CDAB: (0xF5C3, 0x4148),
    ByteOrder.DCBA: (0xC3F5, 0x4841),
}
"""12.56 as float32 is 41 48 F5 C3."""


@pytest.mark.parametrize(("order", "words"), ORDERS.items())
def test_float32_has_the_bytes_of_ieee_754_in_each_order(order, words):
    assert encode(12.56, DataType.FLOAT32, order) == words
    assert decode(words, DataType.FLOAT32, order) == pytest.approx(12.56, rel=1e-7)


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        (DataType.INT16, -2, (0xFFFE,)),
        (DataType.UINT16, 65535, (0xFFFF,)),
        (DataType.INT32, -2, (0xFFFF, 0xFFFE)),
        (DataType.UINT32, 0x12345678, (0x1234, 0x5678)),
        (DataType.UINT64, 0x0123456789ABCDEF, (0x0123, 0x4567, 0x89AB, 0xCDEF)),
        (DataType.BITFIELD, 0b101, (0b101,)),
        (DataType.FLOAT64, 1.0, (0x3FF0, 0, 0, 0)),
    ],
)
def test_numbers_have_the_registers_of_the_specification(kind, value, words):
    assert encode(value, kind) == words
    assert decode(words, kind) == value


def test_word_and_byte_swaps_of_wide_numbers():
    value = 0x0123456789ABCDEF
    assert encode(value, DataType.UINT64, ByteOrder.CDAB) == (0xCDEF, 0x89AB, 0x4567, 0x0123)
    assert encode(value, DataType.UINT64, ByteOrder.DCBA) == (0xEFCD, 0xAB89, 0x6745, 0x2301)


@pytest.mark.parametrize("kind", DataType)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_refused(kind, value):
    with pytest.raises(EncodingError, match="is not finite; allowed: finite numbers"):
        encode(value, kind)


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        (DataType.INT16, 32768, r"32768 does not fit into int16; allowed: -32768..32767"),
        (DataType.UINT16, -1, r"-1 does not fit into uint16; allowed: 0..65535"),
        (DataType.UINT32, 2**32, r"does not fit into uint32"),
        (DataType.FLOAT32, 1e39, r"1e\+39 does not fit into float32"),
        (DataType.UINT16, 1.5, r"1.5 is not a whole number; uint16 carries whole numbers"),
    ],
)
def test_what_does_not_fit_is_refused(kind, value, message):
    with pytest.raises(EncodingError, match=message):
        encode(value, kind)


def test_registers_of_another_number_are_refused():
    with pytest.raises(EncodingError, match=r"\[1\] is not a float32; allowed: 2 registers of 0..65535"):
        decode((1,), DataType.FLOAT32)
    with pytest.raises(EncodingError, match=r"registers of 0\.\.65535"):
        decode((70000,), DataType.UINT16)


@given(st.floats(allow_nan=False, allow_infinity=False, width=32), st.sampled_from(ByteOrder))
def test_every_float32_comes_back(value, order):
    words = encode(value, DataType.FLOAT32, order)
    assert struct.pack(">f", decode(words, DataType.FLOAT32, order)) == struct.pack(">f", value)


@given(st.sampled_from([k for k in DataType if not k.is_float]), st.sampled_from(ByteOrder), st.data())
def test_every_whole_number_comes_back(kind, order, data):
    low, high = kind.limits
    value = data.draw(st.integers(low, high))
    assert decode(encode(value, kind, order), kind, order) == value
