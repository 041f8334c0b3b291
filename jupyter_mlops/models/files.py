"""ONNX files and bytes: no conversion, but columns."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from jupyter_mlops.container import CellType, InputColumn, OutputColumn, is_container
from jupyter_mlops.errors import InvalidRequest, PublishRefused
from jupyter_mlops.models.original import Candidate, Original, need
from jupyter_mlops.models.sample import frame_of

_TYPES: dict[int, CellType] = {1: "float", 6: "integer", 7: "integer", 8: "string", 9: "logical", 11: "double"}
MATRIX = 2
"""Dimensions of a tensor whose columns are a frame's."""


def original_of(model: Any, sample: Any) -> Original:
    """An ONNX file, ready to be packed.

    Parameters
    ----------
    model:
        Its path or its bytes.
    sample:
        Rows that it takes; they name its columns.

    Raises
    ------
    InvalidRequest
        When it is no ONNX file.
    """
    if isinstance(model, (bytes, bytearray)):
        return OnnxFile(bytes(model), sample, "an ONNX file")
    path = Path(os.fspath(model))
    if not path.is_file():
        raise InvalidRequest(f"there is no file {path}: give a trained model, or the path of an .onnx file")
    return OnnxFile(path.read_bytes(), sample, path.name)


class OnnxFile(Original):
    """A graph that somebody else wrote.

    Parameters
    ----------
    content:
        Its bytes.
    sample:
        Rows that it takes, or None.
    kind:
        What it is called.
    answer:
        The original's answers to an array of rows, where there is an original.
    """

    def __init__(self, content: bytes, sample: Any, kind: str, library: str = "", answer: Any = None) -> None:
        if is_container(content):
            raise InvalidRequest("these bytes are a serialized model already: publish them as they are")
        onnx = need("onnx")
        try:
            self._model = onnx.load_model_from_string(content)
        except (ValueError, TypeError, RuntimeError) as error:
            raise InvalidRequest(f"{kind} is not an ONNX model: {error}") from None
        except need("google.protobuf.message").DecodeError as error:
            raise InvalidRequest(f"{kind} is not an ONNX model: {error}") from None
        graph = self._model.graph
        if not graph.input or not graph.output:
            raise InvalidRequest(f"{kind} is not an ONNX model: it has no inputs or no outputs")
        self.kind = kind
        self.library = (
            library or f"ONNX of {self._model.producer_name or 'unknown origin'} {self._model.producer_version}"
        )
        self.library = self.library.strip()
        constants = {one.name for one in graph.initializer}
        self._given = [one for one in graph.input if one.name not in constants]
        names = _column_names(self._given, sample)
        self._sample = frame_of(sample, names)
        self._names = names if self._sample is None else list(getattr(sample, "columns", names))
        if self._sample is not None and all(isinstance(name, str) for name in self._names):
            self._sample = self._sample.set_axis(self._names, axis=1)
        else:
            self._names = names
        self._answer = answer

    def candidates(self) -> Iterator[Candidate]:
        """The graph itself, with tensors of more dimensions made flat."""
        onnx = need("onnx")
        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        inputs: list[InputColumn] = []
        for tensor in self._given:
            inputs += self._columns(tensor, self._names[len(inputs) :])
        outputs: list[OutputColumn] = []
        for tensor in model.graph.output:
            outputs += _outputs(tensor, alone=len(model.graph.output) == 1)
        for tensor in list(self._given):
            if len(_shape(tensor)) > MATRIX:
                _flattened(model, tensor)
        precision = "double" if any(one.type == "double" for one in inputs) else "float"
        yield Candidate(model.SerializeToString(), tuple(inputs), tuple(outputs), precision)

    def _columns(self, tensor: Any, names: Sequence[str]) -> list[InputColumn]:
        width = _width(tensor, self._sample)
        kind = _type(tensor)
        missing = kind in {"double", "float"} and self._sample is not None
        return [
            InputColumn(
                name=names[i],
                type=kind,
                onnx_input=tensor.name,
                position=i,
                nullable=bool(missing and self._sample[names[i]].isna().any()),
            )
            for i in range(width)
        ]

    def rows(self, count: int) -> Any:
        """The sample's rows alone."""
        return None if self._sample is None else self._sample.iloc[:count]

    def answer(self, rows: Any) -> dict[str, Any]:
        """The original's answers, of an exporter; a file has none to compare with."""
        if self._answer is None:
            return {}
        made: dict[str, Any] = self._answer(rows)
        return made


def _shape(tensor: Any) -> list[int]:
    """The dimensions; 0 where one is open."""
    if not tensor.type.HasField("tensor_type"):
        raise PublishRefused(
            f"the graph's {tensor.name} is no tensor but a sequence or map: export the model without it (of skl2onnx: "
            "options={'zipmap': False})"
        )
    return [one.dim_value for one in tensor.type.tensor_type.shape.dim]


def _type(tensor: Any) -> CellType:
    kind = _TYPES.get(tensor.type.tensor_type.elem_type)
    if kind is None:
        raise PublishRefused(f"the graph's {tensor.name} has elements of a type that no column has (32 or 64 bits)")
    return kind


def _width(tensor: Any, sample: Any) -> int:
    import numpy as np

    shape = _shape(tensor)
    if shape and shape[0] > 0:
        raise PublishRefused(
            f"the graph's {tensor.name} takes {shape[0]} row(s) and no other number: export the model with an open "
            "first dimension (dynamic_axes or dynamic_shapes of torch.onnx.export)"
        )
    if len(shape) == 1:
        return 1
    if 0 not in shape[1:]:
        return int(np.prod(shape[1:])) if shape else 1
    if len(shape) == MATRIX and sample is not None:
        return int(sample.shape[1])
    raise InvalidRequest(f"the graph does not tell how many columns {tensor.name} has: give a sample of its rows")


def _column_names(tensors: Sequence[Any], sample: Any) -> list[str]:
    import numpy as np

    names: list[str] = []
    for tensor in tensors:
        width = _width(tensor, np.atleast_2d(np.asarray(sample)) if sample is not None and len(tensors) == 1 else None)
        prefix = "x" if len(tensors) == 1 else f"{tensor.name}_"
        names += [tensor.name] if width == 1 else [f"{prefix}{i}" for i in range(width)]
    return names


def _outputs(tensor: Any, *, alone: bool) -> list[OutputColumn]:
    import numpy as np

    shape = _shape(tensor)
    width = int(np.prod(shape[1:])) if len(shape) > 1 else 1
    if not width:
        raise PublishRefused(f"the graph does not tell how many columns {tensor.name} has: infer its shapes first")
    name = "prediction" if alone or tensor.name in {"label", "output_label"} else tensor.name
    if tensor.name in {"probabilities", "output_probability"}:
        name = "probability"
    return [
        OutputColumn(
            name=name if width == 1 else f"{name}_{i}", type=_type(tensor), onnx_output=tensor.name, position=i
        )
        for i in range(width)
    ]


def _flattened(model: Any, tensor: Any) -> None:
    """Let the graph take rows of columns where it took rows of pictures: a first node gives them their shape."""
    onnx = need("onnx")
    shape = _shape(tensor)
    inner, wanted = f"{tensor.name}_shaped", f"{tensor.name}_shape"
    for node in model.graph.node:
        for i, name in enumerate(node.input):
            if name == tensor.name:
                node.input[i] = inner
    import numpy as np

    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([-1, *shape[1:]], dtype="int64"), wanted))
    model.graph.node.insert(0, onnx.helper.make_node("Reshape", [tensor.name, wanted], [inner]))
    for one in model.graph.input:
        if one.name == tensor.name:
            kind = tensor.type.tensor_type.elem_type
            flat = onnx.helper.make_tensor_value_info(one.name, kind, [None, int(np.prod(shape[1:]))])
            one.CopyFrom(flat)
