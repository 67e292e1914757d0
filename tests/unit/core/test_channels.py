"""Channel sets: checks, look-up, fingerprint, JSON."""

import json
import math

import pytest

from gridenv.core.channels import Channel, ChannelSet
from gridenv.core.errors import ConfigError


def _channel(name: str = "bus.1.v_pu", **changes) -> Channel:
    return Channel(**{"name": name, "unit": "pu", "low": 0.5, "high": 1.5, "scale": 0.05, "offset": 1.0, **changes})


def test_json_round_trip_keeps_the_fingerprint() -> None:
    channels = ChannelSet((_channel(), _channel("pv.1.q_kvar", unit="kvar", low=-5.0, high=5.0, offset=0.0)))
    copy = ChannelSet.from_json(json.loads(json.dumps(channels.to_json())))
    assert copy == channels
    assert copy.fingerprint == channels.fingerprint


@pytest.mark.parametrize(
    "change", [{"name": "bus.2.v_pu"}, {"unit": "kV"}, {"low": 0.4}, {"high": 1.6}, {"scale": 0.1}, {"offset": 0.9}]
)
def test_fingerprint_changes_with_every_field_that_matters(change) -> None:
    assert ChannelSet((_channel(**change),)).fingerprint != ChannelSet((_channel(),)).fingerprint


def test_fingerprint_changes_with_order() -> None:
    a, b = _channel("a"), _channel("b")
    assert ChannelSet((a, b)).fingerprint != ChannelSet((b, a)).fingerprint


def test_all_problems_of_a_set_are_reported_together() -> None:
    with pytest.raises(ConfigError) as error:
        ChannelSet((_channel("a", low=2.0), _channel("b", scale=0.0), _channel("c", high=math.nan), _channel("c")))
    message = str(error.value)
    assert "channel 'a': low must be < high, got 2.0..1.5" in message
    assert "channel 'b': scale must be > 0, got 0.0" in message
    assert "channel 'c': low, high, scale and offset must be finite" in message
    assert "channel 'c' appears 2 times; names must be unique" in message


def test_unknown_channel_suggests_the_closest() -> None:
    channels = ChannelSet((_channel(),))
    assert channels.index("bus.1.v_pu") == 0
    with pytest.raises(ConfigError, match=r"unknown channel 'bus.1.v_p'; did you mean 'bus.1.v_pu'\?"):
        channels.index("bus.1.v_p")
