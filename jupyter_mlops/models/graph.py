"""A graph at work here, in the author's process: columns in, columns out, as the server will do it."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any

from jupyter_mlops.container import InputColumn, OutputColumn
from jupyter_mlops.errors import PublishRefused
from jupyter_mlops.models.original import Candidate, need

ML = "ai.onnx.ml"
OPSET = {"": 21, ML: 3}
"""What the converters may use: ONNX 1.16, which every onnxruntime of the floor runs."""

TREES_VERSION = 5
"""Of `ai.onnx.ml`, where trees answer in 64 bits."""

LOCALE = "C.UTF-8"
"""Unicode's letters without a country's rules; every Linux has it."""

_DTYPES = {
    "tensor(double)": "float64", "tensor(float)": "float32", "tensor(int64)": "int64", "tensor(int32)": "int32",
    "tensor(bool)": "bool", "tensor(string)": "object",
}  # fmt: skip


class Graph:
    """A graph that answers frames.

    Parameters
    ----------
    candidate:
        The graph and its columns.

    Raises
    ------
    PublishRefused
        When onnxruntime does not load it.
    """

    def __init__(self, candidate: Candidate) -> None:
        runtime = need("onnxruntime")
        options = runtime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = 1  # some hundred rows are done before threads have begun
        try:
            self._session = runtime.InferenceSession(candidate.onnx, options, providers=["CPUExecutionProvider"])
        except _failures() as error:
            raise PublishRefused(f"onnxruntime does not load the converted model: {_first_line(error)}") from None
        self.inputs = candidate.inputs
        self.outputs = candidate.outputs

    def answer(self, rows: Any) -> dict[str, Any]:
        """The graph's answers to the rows of a DataFrame: an array for each output column, by its name.

        Raises
        ------
        PublishRefused
            When the graph fails on them.
        """
        names = list(dict.fromkeys(column.onnx_output for column in self.outputs))
        try:
            arrays = dict(zip(names, self._session.run(names, self._feed(rows)), strict=True))
        except _failures() as error:
            raise PublishRefused(f"the converted model does not run: {_first_line(error)}") from None
        return {column.name: _column(arrays[column.onnx_output], column, len(rows)) for column in self.outputs}

    def with_inputs(self, column: InputColumn) -> Graph:
        """The same graph, with one of its columns described anew."""
        other = copy(self)
        other.inputs = tuple(column if one.name == column.name else one for one in self.inputs)
        return other

    def _feed(self, rows: Any) -> dict[str, Any]:
        import numpy as np

        feed: dict[str, Any] = {}
        for tensor in self._session.get_inputs():
            dtype = _DTYPES[tensor.type]
            columns = sorted(
                (one for one in self.inputs if one.onnx_input == tensor.name), key=lambda one: one.position
            )
            arrays = [_values(rows[one.name], one, dtype) for one in columns]
            feed[tensor.name] = arrays[0] if len(tensor.shape) == 1 else np.column_stack(arrays)
        return feed


def _values(series: Any, column: InputColumn, dtype: str) -> Any:
    import numpy as np

    values = np.asarray(series, dtype=object)
    if column.default is not None:
        values = np.array([column.default if one is None or one != one else one for one in values], dtype=object)  # noqa: PLR0124  # NaN is not itself
    return values.astype(dtype)


def _column(array: Any, column: OutputColumn, rows: int) -> Any:
    import numpy as np

    if not isinstance(array, np.ndarray):
        raise PublishRefused(f"the graph's output {column.onnx_output} is a {type(array).__name__}, not a tensor")
    if len(array) != rows:
        raise PublishRefused(f"the graph's output {column.onnx_output} has {len(array)} rows for {rows} rows of input")
    flat = array.reshape(rows, -1)[:, column.position]
    return flat.astype(bool) if column.type == "logical" else flat


def _failures() -> tuple[type[Exception], ...]:
    # onnxruntime's errors have no common base; its module lists them.
    state = need("onnxruntime.capi.onnxruntime_pybind11_state")
    own = (one for one in vars(state).values() if isinstance(one, type) and issubclass(one, Exception))
    return (*own, RuntimeError, ValueError)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:300]


def mended(onnx: Any) -> Any:
    """The same graph without what only some machines have (a country's rules for small letters), with its versions."""
    onnx.graph.name = "model"  # converters draw a name by lot, and a model serialized twice would differ
    if any(node.op_type == "TreeEnsemble" for node in onnx.graph.node):
        for one in [one for one in onnx.opset_import if one.domain == ML]:
            onnx.opset_import.remove(one)
        onnx.opset_import.add(domain=ML, version=TREES_VERSION)
    for node in onnx.graph.node:
        if node.op_type == "StringNormalizer" and not any(one.name == "locale" for one in node.attribute):
            node.attribute.append(need("onnx").helper.make_attribute("locale", LOCALE))
    return _with_true_types(onnx)


def _with_true_types(onnx: Any) -> Any:
    """The same graph, its outputs declared with their true element types: skl2onnx guesses some from the inputs."""
    tensors = [one for one in onnx.graph.output if one.type.HasField("tensor_type")]
    bare = need("onnx").ModelProto()
    bare.CopyFrom(onnx)
    for one in bare.graph.output:
        one.ClearField("type")
    inferred = need("onnx.shape_inference").infer_shapes(bare).graph.output
    found = {one.name: one.type.tensor_type.elem_type for one in inferred}
    for one in tensors:
        one.type.tensor_type.elem_type = found.get(one.name) or one.type.tensor_type.elem_type
    return onnx


def numbered(names: Sequence[str], type_: Any, onnx_input: str) -> tuple[InputColumn, ...]:
    """Columns that share one tensor, in their order."""
    return tuple(InputColumn(name=name, type=type_, onnx_input=onnx_input, position=i) for i, name in enumerate(names))
