"""A graph written by hand: nodes, constants, and the whole of it as bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jupyter_mlops.container import InputColumn
from jupyter_mlops.models.graph import OPSET
from jupyter_mlops.models.original import need
from jupyter_mlops.models.writer import DOUBLE, INT64

STRING = 8
IR_VERSION = 10
_ELEMENTS = {"string": STRING, "integer": INT64}


class PlainGraph:
    """Collects nodes; each has one output, named by this class.

    Parameters
    ----------
    inputs:
        One tensor [rows, 1] for each column.
    opset:
        Versions, by domain.
    """

    def __init__(self, inputs: Sequence[InputColumn], opset: Mapping[str, int] = OPSET) -> None:
        self._helper = need("onnx").helper
        self._opset = opset
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._inputs = [
            self._helper.make_tensor_value_info(one.onnx_input, _ELEMENTS.get(one.type, DOUBLE), [None, 1])
            for one in inputs
        ]

    def taking(self, name: str, columns: int) -> PlainGraph:
        """Let it take one more tensor, of 64-bit numbers [rows, columns]."""
        self._inputs.append(self._helper.make_tensor_value_info(name, DOUBLE, [None, columns]))
        return self

    def node(self, kind: str, inputs: Sequence[str], output: str = "", **attributes: Any) -> str:
        """Add a node, and return its output's name."""
        made = output or f"made_{len(self._nodes)}"
        self._nodes.append(self._helper.make_node(kind, list(inputs), [made], **attributes))
        return made

    def constant(self, values: Any) -> str:
        """Add an array, and return its name."""
        name = f"constant_{len(self._constants)}"
        self._constants.append(need("onnx").numpy_helper.from_array(values, name))
        return name

    def cast(self, name: str, to: int) -> str:
        """Add a change of the element type."""
        return self.node("Cast", [name], to=to)

    def model(self, output: str, columns: int) -> Any:
        """The whole, with one output of 64-bit numbers [rows, columns]."""
        outputs = [self._helper.make_tensor_value_info(output, DOUBLE, [None, columns])]
        graph = self._helper.make_graph(self._nodes, "jupyter_mlops", self._inputs, outputs, self._constants)
        versions = [self._helper.make_opsetid(domain, version) for domain, version in self._opset.items()]
        return self._helper.make_model(graph, opset_imports=versions, ir_version=IR_VERSION)


def products(graph: Any, values: str, factors: Any) -> str:
    """Columns that are products of columns: each row of `factors` says which.

    Parameters
    ----------
    graph:
        A `PlainGraph` or a `Writer`.
    values:
        A tensor [rows, columns] of 64-bit numbers.
    factors:
        [products, factors]: places of columns; the place behind the last means 1.
    """
    import numpy as np

    factors = np.asarray(factors, dtype="int64")
    rows = graph.node("Gather", [graph.node("Shape", [values]), graph.constant(np.array([0]))], axis=0)
    shape = graph.node("Concat", [rows, graph.constant(np.array([1]))], axis=0)
    ones = graph.node("Expand", [graph.constant(np.array([[1.0]])), shape])
    all_ = graph.node("Concat", [values, ones], axis=1)
    made: str = graph.node("Gather", [all_, graph.constant(factors[:, 0])], axis=1)
    for i in range(1, factors.shape[1]):
        made = graph.node("Mul", [made, graph.node("Gather", [all_, graph.constant(factors[:, i])], axis=1)])
    return made
