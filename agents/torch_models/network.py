"""The policy of a torch model as our own network, so that it runs compiled and is exported as every other policy."""

import numpy as np
import torch
from jax import Array
from jax import numpy as jnp
from jaxtyping import Float
from torch import Tensor, nn

from agents.networks import Activation, Layer, Limit, NetworkPolicy


def network_policy(*parts: nn.Module, name: str, activation: Activation, limit: Limit) -> NetworkPolicy:
    """A copy of dense layers that follow one another.

    Args:
        parts: modules from the observation to the action; their dense layers are taken in order.
        name: key of the policy in tables.
        activation: between the layers.
        limit: how the output is held inside -1..1.
    """
    dense = [module for part in parts for module in part.modules() if isinstance(module, nn.Linear)]
    layers = tuple(Layer(_copy(one.weight).T, _copy(one.bias)) for one in dense)
    return NetworkPolicy(layers=layers, name=name, activation=activation, limit=limit)


def begin_at(last: nn.Module, outputs: Float[np.ndarray, " outputs"]) -> None:
    """Change the bias of a last layer to these outputs, which a network with small last weights then gives."""
    with torch.no_grad():
        last.get_parameter("bias").copy_(torch.from_numpy(np.array(outputs)))


def _copy(parameter: Tensor) -> Array:
    # A copy: training changes the tensor in place.
    return jnp.array(parameter.detach().numpy(), copy=True)
