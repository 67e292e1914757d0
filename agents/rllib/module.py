"""The networks of a module of RLlib: the same as those of our own PPO."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.torch import TorchRLModule
from torch import Tensor, nn

from agents.ppo.networks import POLICY_GAIN, VALUE_GAIN

POLICY = "policy"
"""Beginning of the names of a policy network's parameters."""
LOG_STD = "log_std"
_ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU}
_HIDDEN_GAIN = math.sqrt(2.0)


class GaussianModule(TorchRLModule, ValueFunctionAPI):
    """A dense policy network with the means of a Gaussian, its spread as a parameter, and a dense value network.

    `model_config` has `hidden`, `activation` and `initial_log_std`.
    """

    def setup(self) -> None:
        """Make the networks, orthogonally initialised by torch's generator."""
        config: Any = self.model_config
        spaces: list[Any] = [self.observation_space, self.action_space]
        (n_observation,), (n_action,) = (space.shape for space in spaces)
        inner = (n_observation, *config["hidden"])
        self.log_std = nn.Parameter(torch.full((n_action,), float(config["initial_log_std"])))
        self.policy = _dense((*inner, n_action), config["activation"], POLICY_GAIN)
        self.value = _dense((*inner, 1), config["activation"], VALUE_GAIN)

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Means and logarithms of the spreads [batch, 2 * act]; the library draws from them."""
        mean = self.policy(batch[Columns.OBS])
        return {Columns.ACTION_DIST_INPUTS: torch.cat([mean, self.log_std.expand_as(mean)], dim=-1)}

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> Tensor:
        """Estimated discounted returns [batch]."""
        del embeddings
        values: Tensor = self.value(batch[Columns.OBS])[..., 0]
        return values


def _dense(sizes: Sequence[int], activation: str, last_gain: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    for i, (inputs, outputs) in enumerate(pairwise(sizes)):
        is_last = i == len(sizes) - 2
        linear = nn.Linear(inputs, outputs)
        nn.init.orthogonal_(linear.weight, last_gain if is_last else _HIDDEN_GAIN)
        nn.init.zeros_(linear.bias)
        layers += [linear] if is_last else [linear, _ACTIVATIONS[activation]()]
    return nn.Sequential(*layers)
