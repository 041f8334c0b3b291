"""Functions of numpy as nodes of a graph: what `FunctionTransformer` and `TransformedTargetRegressor` are given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jupyter_mlops.models.original import need

_DOUBLE = 11


def applied(to: Any, function: Any, source: str, number: Any) -> str:
    """Add what a function of numpy does to each value; the name of the result.

    Parameters
    ----------
    to:
        A `Writer`, a `PlainGraph` or an `Added`.
    function:
        The function; None changes nothing.
    source:
        The values.
    number:
        Their type in numpy.

    Raises
    ------
    ValueError
        When there is no known form of the function.
    """
    import numpy as np

    alike = {
        np.exp: "Exp", np.log: "Log", np.sqrt: "Sqrt", np.abs: "Abs", np.fabs: "Abs", np.negative: "Neg", np.sin: "Sin",
        np.reciprocal: "Reciprocal", np.cos: "Cos", np.tan: "Tan", np.tanh: "Tanh", np.arctan: "Atan",
        np.floor: "Floor", np.ceil: "Ceil", np.sign: "Sign",
    }  # fmt: skip
    bases = {np.log2: 2.0, np.log10: 10.0}

    def constant(value: float) -> str:
        return str(to.constant(np.array([value], dtype=number)))

    if function is None:
        return source
    if function in alike:
        return str(to.node(alike[function], [source]))
    if function in bases:
        return str(to.node("Div", [to.node("Log", [source]), constant(float(np.log(bases[function])))]))
    if function is np.log1p:
        return str(to.node("Log", [to.node("Add", [source, constant(1.0)])]))
    if function is np.expm1:
        return str(to.node("Sub", [to.node("Exp", [source]), constant(1.0)]))
    if function is np.square:
        return str(to.node("Mul", [source, source]))
    known = ", ".join(sorted(one.__name__ for one in (*alike, *bases, np.log1p, np.expm1, np.square)))
    name = getattr(function, "__name__", repr(function))
    raise ValueError(
        f"{name}, given to a FunctionTransformer or a TransformedTargetRegressor, has no known form as a graph; of "
        f"numpy's functions, these have: {known}"
    )


def inverted(to: Any, transformer: Any, source: str, number: Any) -> str:
    """Add what brings a transformed target back; the name of the result.

    Parameters
    ----------
    to, source, number:
        As of `applied`.
    transformer:
        The fitted one: a `FunctionTransformer`, or any that multiplies and adds.

    Raises
    ------
    ValueError
        When there is no known form of what it does.
    """
    import numpy as np

    if hasattr(transformer, "inverse_func"):
        if transformer.inv_kw_args:
            raise ValueError("an inverse function with arguments has no known form as a graph")
        return applied(to, transformer.inverse_func, source, number)
    steps = np.array([[0.0], [1.0], [2.0], [1000.0]])
    found = np.asarray(transformer.inverse_transform(steps), dtype=float).ravel()
    start, factor = found[0], found[1] - found[0]
    if not np.allclose(found, start + factor * steps.ravel(), rtol=1e-12):
        raise ValueError(f"the inverse of {type(transformer).__name__} has no known form as a graph")
    scaled = to.node("Mul", [source, to.constant(np.array([factor], dtype=number))])
    return str(to.node("Add", [scaled, to.constant(np.array([start], dtype=number))]))


class Added:
    """Adds nodes behind an output of a graph that is done; the output keeps its name.

    Parameters
    ----------
    onnx:
        The graph.
    output:
        Place of the output.
    """

    def __init__(self, onnx: Any, output: int = 0) -> None:
        self._graph = onnx.graph
        self._output = onnx.graph.output[output]
        self.number = "float64" if self._output.type.tensor_type.elem_type == _DOUBLE else "float32"
        """The type of its values in numpy."""
        self.source = f"{self._output.name}_before"
        for node in self._graph.node:
            for place, name in enumerate(node.output):
                if name == self._output.name:
                    node.output[place] = self.source
            for place, name in enumerate(node.input):
                if name == self._output.name:
                    node.input[place] = self.source

    def node(self, kind: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Add a node, and return its output's name."""
        made = f"added_{len(self._graph.node)}"
        self._graph.node.append(need("onnx").helper.make_node(kind, list(inputs), [made], **attributes))
        return made

    def constant(self, values: Any) -> str:
        """Add an array, and return its name."""
        name = f"added_constant_{len(self._graph.initializer)}"
        self._graph.initializer.append(need("onnx").numpy_helper.from_array(values, name))
        return name

    def finish(self, made: str) -> None:
        """Let the output be this."""
        self._graph.node.append(need("onnx").helper.make_node("Identity", [made], [self._output.name]))
