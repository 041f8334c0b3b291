"""What an ONNX graph may hold, and the columns that a bare one takes and answers.

Nothing here runs a graph. A graph that passes still runs only in processes that may die.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Iterator
from typing import Any

import onnx
from google.protobuf.message import DecodeError, Message

from jupyter_mlops.container import CellType, Header, InputColumn, OutputColumn
from jupyter_mlops.errors import InvalidRequest

SIZE_LIMIT = 2**31 - 1
"""Bytes of a graph: what the format itself can hold."""

DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})
"""Sets of operators that onnxruntime brings; every other one would be somebody's library."""

DEEPEST = 24
"""Subgraphs and functions inside one another."""
MOST_NODES = 1_000_000
"""Nodes after every function is written out."""
MOST_COLUMNS = 100_000

_CELLS: dict[int, CellType] = {
    onnx.TensorProto.FLOAT: "float",
    onnx.TensorProto.DOUBLE: "double",
    onnx.TensorProto.FLOAT16: "float",
    onnx.TensorProto.STRING: "string",
    onnx.TensorProto.BOOL: "logical",
    **dict.fromkeys(
        (
            onnx.TensorProto.INT64,
            onnx.TensorProto.INT32,
            onnx.TensorProto.INT16,
            onnx.TensorProto.INT8,
            onnx.TensorProto.UINT64,
            onnx.TensorProto.UINT32,
            onnx.TensorProto.UINT16,
            onnx.TensorProto.UINT8,
        ),
        "integer",
    ),
}


def read_graph(content: bytes) -> Any:
    """Parse a graph, and refuse what could reach out of it, or grow beyond measure.

    Parameters
    ----------
    content:
        An ONNX model.

    Returns
    -------
    onnx.ModelProto
        The graph.

    Raises
    ------
    InvalidRequest
        With the reason.
    """
    if len(content) > SIZE_LIMIT:
        raise InvalidRequest(f"the graph has {len(content)} bytes; at most {SIZE_LIMIT} are taken")
    try:
        model = onnx.load_model_from_string(content)
    except (DecodeError, ValueError, RecursionError) as error:
        raise InvalidRequest(f"this is not an ONNX model: {error}") from None
    if not model.graph.node:
        raise InvalidRequest("this is not an ONNX model: its graph has no nodes")
    for tensor in _messages(model, onnx.TensorProto):
        _check_tensor(tensor)
    _check_domains(model)
    _Sizes(model).check()
    try:
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, ValueError, RuntimeError) as error:
        first = next((line for line in str(error).splitlines() if line.strip()), "it is not valid")
        raise InvalidRequest(f"the graph does not pass ONNX's checker: {first[:300]}") from None
    return model


def _messages(root: Message, kind: type[Message]) -> Iterator[Any]:
    """Every message of a kind, wherever in another it lies."""
    waiting = [root]
    while waiting:
        message = waiting.pop()
        if isinstance(message, kind):
            yield message
        for field, value in message.ListFields():
            if field.message_type is None:
                continue
            waiting.extend(value if isinstance(value, Iterable) and not isinstance(value, Message) else [value])


def _check_tensor(tensor: Any) -> None:
    name = tensor.name[:80]
    if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
        raise InvalidRequest(
            f"the tensor {name!r} has its data in another file, and a realtime service is one file: save the model "
            "with its data inside (onnx.load(path), then onnx.save(model, path, save_as_external_data=False))"
        )
    count = math.prod(tensor.dims)
    if any(one < 0 for one in tensor.dims) or (tensor.ByteSize() < 2**20 and count > 2**31):
        raise InvalidRequest(f"the tensor {name!r} says that it has {count} values, and it does not")


def _check_domains(model: Any) -> None:
    own = {function.domain for function in model.functions}
    for one in (*model.opset_import, *(each for function in model.functions for each in function.opset_import)):
        if one.domain not in DOMAINS | own:
            raise _custom(one.domain)
    known = {(function.domain, function.name) for function in model.functions}
    for node in _messages(model, onnx.NodeProto):
        if node.domain not in DOMAINS and (node.domain, node.op_type) not in known:
            raise _custom(f"{node.domain}.{node.op_type}")


def _custom(name: str) -> InvalidRequest:
    return InvalidRequest(
        f"the graph needs the custom operators {name[:80]!r}, which are somebody's library; taken are "
        f"those of {', '.join(sorted(domain or 'ONNX' for domain in DOMAINS))}"
    )


_Key = tuple[str, str]


class _Sizes:
    """How many nodes there are when every function is written out.

    Parameters
    ----------
    model:
        The graph with its functions.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._bodies: dict[_Key, Any] = {(one.domain, one.name): one for one in model.functions}
        self._known: dict[_Key, int] = {}

    def check(self) -> None:
        """Refuse functions that call themselves, nest too deep, or multiply."""
        if len(self._bodies) < len(self._model.functions):
            raise InvalidRequest("two functions of the graph have one name")
        self._measure(self._model.graph.node, 0, ())
        for key in self._bodies:
            self._function(key, 0, ())

    def _measure(self, nodes: Any, depth: int, path: tuple[_Key, ...]) -> int:
        if depth > DEEPEST:
            raise InvalidRequest(f"the graph has functions or subgraphs inside one another more than {DEEPEST} deep")
        total = 0
        for node in nodes:
            total += 1 + self._function((node.domain, node.op_type), depth + 1, path)
            for attribute in node.attribute:
                graphs = (attribute.g, *attribute.graphs) if attribute.HasField("g") else attribute.graphs
                total += sum(self._measure(graph.node, depth + 1, path) for graph in graphs)
            if total > MOST_NODES:
                raise InvalidRequest(f"the graph has more than {MOST_NODES} nodes when its functions are written out")
        return total

    def _function(self, key: _Key, depth: int, path: tuple[_Key, ...]) -> int:
        """The nodes of a function's body; none when this is an operator."""
        if key not in self._bodies:
            return 0
        if key in path:
            raise InvalidRequest(f"the graph's function {key[1][:80]!r} calls itself")
        if key not in self._known:
            self._known[key] = self._measure(self._bodies[key].node, depth, (*path, key))
        return self._known[key]


def derive(model: Any) -> Header:
    """The columns of a graph that came without a container: named like its tensors.

    Raises
    ------
    InvalidRequest
        When a tensor cannot be made of columns.
    """
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs: list[InputColumn] = []
    for value in model.graph.input:
        if value.name not in constants:
            names, kind = _tensor(value)
            inputs += [InputColumn(name=n, type=kind, onnx_input=value.name, position=i) for i, n in enumerate(names)]
    outputs: list[OutputColumn] = []
    for value in model.graph.output:
        if value.type.HasField("sequence_type"):
            continue  # its columns are known when it has run: see `check`
        names, kind = _tensor(value, unknown=1)
        outputs += [OutputColumn(name=n, type=kind, onnx_output=value.name, position=i) for i, n in enumerate(names)]
    for side, columns in (("inputs", inputs), ("outputs", outputs)):
        if not columns:
            raise InvalidRequest(f"the graph has no {side} that columns could stand for")
        if len(columns) > MOST_COLUMNS:
            raise InvalidRequest(f"the graph has {len(columns)} {side}; at most {MOST_COLUMNS} are taken")
        if len({column.name for column in columns}) < len(columns):
            raise InvalidRequest(f"two {side} of the graph would be columns of one name")
    producer = " ".join(part for part in (model.producer_name, model.producer_version) if part)
    return Header(
        library=producer[:100] or "ONNX",
        kind=model.graph.name[:100] or "ONNX",
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        created=dt.datetime.now(dt.UTC),
    )


def _tensor(value: Any, unknown: int = 0) -> tuple[list[str], CellType]:
    """The names of a tensor's columns, and their type."""
    name, tensor = value.name, value.type.tensor_type
    if not value.type.HasField("tensor_type") or tensor.elem_type not in _CELLS:
        raise InvalidRequest(f"{name[:80]!r} is no tensor of numbers, strings or truth values")
    dimensions = [one.dim_value if one.HasField("dim_value") else 0 for one in tensor.shape.dim]
    if dimensions and dimensions[0] > 0 and len(dimensions) > 1:
        raise InvalidRequest(
            f"{name[:80]!r} always has {dimensions[0]} rows: export the model with a first axis of any length"
        )
    width = math.prod(dimensions[1:])
    if width < 1:
        if not unknown:
            raise InvalidRequest(
                f"{name[:80]!r} does not say how many columns it has; make the container with "
                "jupyter_mlops.serialize_model(model, sample)"
            )
        width = unknown
    if width > MOST_COLUMNS:
        raise InvalidRequest(f"{name[:80]!r} has {width} columns; at most {MOST_COLUMNS} are taken")
    names = [name] if width == 1 else [f"{name}_{place}" for place in range(width)]
    return names, _CELLS[tensor.elem_type]
