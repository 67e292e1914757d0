"""Physical values <-> normalised vectors; the same lines serve NumPy on a rig and JAX in training."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridenv.core.channels import ChannelSet


@dataclass(frozen=True)
class Codec:
    """Scaling of one channel set as arrays in vector order."""

    low: NDArray[np.float32]
    high: NDArray[np.float32]
    offset: NDArray[np.float32]
    scale: NDArray[np.float32]

    @classmethod
    def of(cls, channels: ChannelSet) -> "Codec":
        """The codec of a channel set."""
        columns = (
            [c.low for c in channels],
            [c.high for c in channels],
            [c.offset for c in channels],
            [c.scale for c in channels],
        )
        return cls(*(np.asarray(column, np.float32) for column in columns))

    @property
    def encoded_low(self) -> NDArray[np.float32]:
        """Smallest normalised value of each channel."""
        return self._normalise(self.low)

    @property
    def encoded_high(self) -> NDArray[np.float32]:
        """Largest normalised value of each channel."""
        return self._normalise(self.high)

    def encode(self, physical: Any) -> Any:
        """Normalised values of `physical` [*batch, channel]; values beyond a channel's range saturate at it."""
        return self._normalise(physical.clip(self.low, self.high))

    def decode(self, normalised: Any) -> Any:
        """Physical values of `normalised` [*batch, channel], held inside each channel's range."""
        return (normalised * self.scale + self.offset).clip(self.low, self.high)

    def _normalise(self, physical: Any) -> Any:
        return (physical - self.offset) * (np.float32(1.0) / self.scale)
