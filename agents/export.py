"""Policies as ONNX files."""

from typing import Any

from agents.graph import ExportablePolicy, Graph, Node
from gridenv.core.errors import BundleError, MissingExtraError
from gridenv.policy.runtime import INPUT, OUTPUT

OPSET = 17
"""Version of the operators."""
_IR_VERSION = 8
"""Version of the file format that goes with it; runtimes since 2022 read both."""


def check_exportable(policy: Any) -> ExportablePolicy:
    """The policy, if it can become a file.

    Raises:
        BundleError: if it cannot.
    """
    if not isinstance(policy, ExportablePolicy):
        raise BundleError(
            f"policy '{policy.name}' ({type(policy).__name__}) cannot be exported: it looks at more than the "
            "observation; allowed: trained policies, which have build_graph"
        )
    return policy


def to_onnx(policy: Any, n_observation: int, n_action: int) -> bytes:
    """A policy as an ONNX file from `observation` [batch, n_observation] to `action` [batch, n_action], float32.

    Args:
        policy: a controller that is an `ExportablePolicy`.
        n_observation: length of the observation vector.
        n_action: length of the action vector.

    Raises:
        BundleError: if the policy cannot be exported, or its graph is no valid one.
        MissingExtraError: if the package onnx is not installed.
    """
    exportable = check_exportable(policy)
    try:
        import onnx
    except ImportError as error:
        raise MissingExtraError(
            "package 'onnx' is not installed; install it with pip install \"gridenv[hil]\""
        ) from error
    graph = Graph()
    # The result gets its fixed name last, whatever the policy called it.
    last = Node("Identity", (exportable.build_graph(graph, INPUT),), (OUTPUT,), {})
    model = _model([*graph.nodes, last], graph, n_observation, n_action)
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise BundleError(
            f"policy '{policy.name}': its graph is not valid ONNX ({str(error).splitlines()[0]}); correct build_graph "
            f"of {type(policy).__name__}"
        ) from error
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _model(nodes: list[Node], graph: Graph, n_observation: int, n_action: int) -> Any:
    from onnx import TensorProto, helper, numpy_helper

    made = helper.make_graph(
        [helper.make_node(n.op, n.inputs, n.outputs, **n.attributes) for n in nodes],
        "policy",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["batch", n_observation])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["batch", n_action])],
        [numpy_helper.from_array(array, name) for name, array in graph.constants.items()],
    )
    return helper.make_model(
        made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=_IR_VERSION, producer_name="gridenv"
    )
