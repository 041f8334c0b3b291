"""Adding nodes to the graph that skl2onnx writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

ML = "ai.onnx.ml"
FLOAT, INT64, DOUBLE = 1, 7, 11
"""Element types of onnx.TensorProto."""


class Writer:
    """Adds the nodes of one operator to skl2onnx's graph."""

    def __init__(self, scope: Any, operator: Any, container: Any) -> None:
        self.model = operator.raw_operator
        self.input = operator.inputs[0].full_name
        self.outputs = operator.outputs
        self._scope = scope
        self._container = container

    def node(
        self, kind: str, inputs: Sequence[str], output: str = "", domain: str = "", version: Any = None, **more: Any
    ) -> str:
        """Add a node with one output, and return the output's name."""
        made = output or self._scope.get_unique_variable_name(f"made_{kind.lower()}")
        if version is None:
            version = self._container.target_opset_any_domain(domain)
        name = self._scope.get_unique_operator_name(kind)
        self._container.add_node(kind, list(inputs), [made], op_domain=domain, op_version=version, name=name, **more)
        return str(made)

    def newer(self, kind: str, source: str, **attributes: Any) -> str:
        """Add a node that is newer than the versions that skl2onnx writes; `graph.mended` declares its version."""
        from onnx.helper import make_node

        made = str(self._scope.get_unique_variable_name(f"made_{kind.lower()}"))
        name = self._scope.get_unique_operator_name(kind)
        self._container.nodes.append(make_node(kind, [source], [made], domain=ML, name=name, **attributes))
        return made

    def constant(self, values: Any) -> str:
        """Add an array to the graph, and return its name."""
        from onnx.numpy_helper import from_array

        name = self._scope.get_unique_variable_name("made_constant")
        self._container.initializers.append(from_array(values, name))
        return str(name)

    def cast(self, name: str, to: int, output: str = "") -> str:
        """Add a change of the element type."""
        return self.node("Cast", [name], output, to=to)

    def finish(self, name: str, output: int) -> None:
        """Give a tensor to an output, in the output's type."""
        from skl2onnx.common.data_types import guess_proto_type

        wanted = self.outputs[output]
        self.cast(name, guess_proto_type(wanted.type), wanted.full_name)
