"""A policy as the loop asks it: measurements by name in, set-points out, with the lines of training."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gridenv.core.channels import ChannelSet
from gridenv.policy.codec import Codec
from gridenv.policy.runtime import Policy
from hardware_in_loop.control.settings import ControlSettings


class Network(Protocol):
    """From a normalised observation to a normalised action."""

    def act_normalised(self, observation: Any) -> Any:
        """Action [n_action] for an observation [n_observation]."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Answer:
    """What a policy was shown and what it asks for."""

    observation: NDArray[np.float32]
    """[observation] normalised."""
    request: NDArray[np.float64] | None
    """[setpoint] in channel units; None if it failed or gave something that is no action."""
    problem: str = ""


class Pilot:
    """Channels of a policy with its network."""

    def __init__(self, network: Network, observation: ChannelSet, action: ChannelSet) -> None:
        self.observation, self.action = observation, action
        self._network = network
        self._encode, self._decode = Codec.of(observation), Codec.of(action)

    @classmethod
    def of(cls, policy: Policy) -> "Pilot":
        """The policy of a bundle."""
        return cls(policy, policy.manifest.observation, policy.manifest.action)

    def vector(self, values: Mapping[str, float]) -> NDArray[np.float64]:
        """Values in the order of the observation, NaN for those that are not there."""
        return np.array([values.get(name, np.nan) for name in self.observation.names])

    def normalised(self, vector: NDArray[np.float64]) -> NDArray[np.float32]:
        """The vector as the network gets it."""
        encoded: NDArray[np.float32] = self._encode.encode(vector.astype(np.float32))
        return encoded

    def ask(self, vector: NDArray[np.float64]) -> Answer:
        """What the policy does with an observation; whatever goes wrong in it ends here."""
        observation = self.normalised(vector)
        try:
            action = np.asarray(self._network.act_normalised(observation), np.float32)
        except Exception as error:  # a policy may fail in any way, the loop must not
            return Answer(observation=observation, request=None, problem=f"{type(error).__name__}: {error}")
        if action.shape != (len(self.action),):
            return Answer(observation=observation, request=None, problem=f"action of shape {action.shape}")
        # Before decoding, which would turn an infinity into a limit.
        if not np.isfinite(action).all():
            return Answer(observation=observation, request=None, problem="action is not finite")
        return Answer(observation=observation, request=np.asarray(self._decode.decode(action), float))


def mismatch(settings: ControlSettings, pilot: Pilot) -> list[str]:
    """Why a policy cannot be run with these settings, one line each."""
    own, other = settings.limits.channels, pilot.action.names
    found = []
    if own != other:
        found = [f"rig '{settings.rig}': has the set-points {', '.join(own)}; the policy commands {', '.join(other)}"]
    measured = {rule.channel for rule in settings.measurements}
    return found + [
        f"rig '{settings.rig}': no rule for '{name}', which the policy observes; give it a source in the rig file"
        for name in pilot.observation.names
        if name not in measured
    ]
