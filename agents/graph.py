"""A policy as a graph of operations: what it has to offer to become a bundle, written without the package onnx."""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

FLOAT = 1
"""Number of the type float32 in the ONNX standard, for `Cast`."""


@dataclass(frozen=True)
class Node:
    """One operation."""

    op: str
    """Operator of the ONNX standard, such as `MatMul`."""
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]


class Graph:
    """Operations in the order they are done. Every value is known by a name that the methods return."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.constants: dict[str, NDArray[Any]] = {}

    def constant(self, value: Any) -> str:
        """A fixed array or number; real numbers become float32, whole ones int64, as the operators take them."""
        array = np.asarray(value)
        name = f"constant_{len(self.constants)}"
        self.constants[name] = array.astype(np.int64 if array.dtype.kind in "iu" else np.float32)
        return name

    def node(self, op: str, *inputs: str, **attributes: Any) -> str:
        """The result of an operator of the ONNX standard (opset `agents.export.OPSET`).

        Args:
            op: operator, such as `Gather`.
            inputs: names of its inputs.
            attributes: of the operator, such as `axis=1`.
        """
        name = f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(Node(op, inputs, (name,), attributes))
        return name

    def dense(self, x: str, weight: Any, bias: Any) -> str:
        """`x @ weight + bias` along the last axis."""
        return self.node("Add", self.node("MatMul", x, self.constant(weight)), self.constant(bias))

    def gather(self, x: str, index: Any) -> str:
        """`x[..., index]`, for an array of places."""
        return self.node("Gather", x, self.constant(np.asarray(index, np.int64)), axis=-1)

    def sorted(self, x: str, length: int) -> str:
        """`x` in rising order along the last axis, which has this length."""
        name = f"sorted_{len(self.nodes)}"
        # The operator gives the places too.
        outputs = (name, f"{name}_places")
        self.nodes.append(Node("TopK", (x, self.constant([length])), outputs, {"axis": -1, "largest": 0}))
        return name

    def clip(self, x: str, low: float, high: float) -> str:
        """`x` held inside a range."""
        return self.node("Clip", x, self.constant(low), self.constant(high))


@runtime_checkable
class ExportablePolicy(Protocol):
    """A controller that looks at the observation only and can say how, operation by operation."""

    def build_graph(self, graph: Graph, observation: str) -> str:
        """Add what the policy does.

        Args:
            graph: to add to.
            observation: name of the normalised observation, float32 [batch, n_observation].

        Returns:
            Name of the normalised action, float32 [batch, n_action].
        """
        ...
