"""Open Inference Protocol V2: tensors in JSON and in the binary extension, to columns and back."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from jupyter_mlops.container import OutputColumn
from jupyter_mlops.errors import InvalidInput
from jupyter_mlops.realtime.model import Model
from jupyter_mlops.realtime.reading import Frame, Values, described
from jupyter_mlops.realtime.writing import placed, plain_list
from jupyter_mlops.schema.inference import DATATYPES

_NUMPY: dict[str, Any] = {
    "BOOL": np.bool_,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "FP16": np.float16,
    "FP32": np.float32,
    "FP64": np.float64,
}
_KINDS = {"double": "iuf", "float": "iuf", "integer": "iuf", "logical": "b", "string": "O"}
"""Kinds of numpy's types that a column of each type takes."""
_LENGTH = struct.Struct("<I")


class _Parameters(msgspec.Struct, frozen=True):
    binary_data_size: int | None = None
    binary_data: bool | None = None
    binary_data_output: bool = False


class _Input(msgspec.Struct, frozen=True):
    name: str
    shape: list[int]
    datatype: str
    parameters: _Parameters = _Parameters()
    data: list[Any] | None = None


class _Output(msgspec.Struct, frozen=True):
    name: str
    parameters: _Parameters = _Parameters()


class _Request(msgspec.Struct, frozen=True):
    inputs: list[_Input]
    id: str = ""
    parameters: _Parameters = _Parameters()
    outputs: list[_Output] | None = None


_decoder = msgspec.json.Decoder(_Request)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a request wants back."""

    id: str
    outputs: tuple[tuple[str, bool], ...]
    """Columns, and whether each is to be binary."""


def read_request(model: Model, body: bytes | memoryview, head: int) -> tuple[Frame, Wanted]:
    """Read an inference request.

    Parameters
    ----------
    model:
        What it is for.
    body:
        JSON, with binary tensors behind it when `head` is not 0.
    head:
        Bytes of JSON.

    Raises
    ------
    InvalidInput
        Naming the tensor that does not fit.
    """
    try:
        request = _decoder.decode(memoryview(body)[: head or len(body)])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"the body is not an inference request: {error}", fields="$") from None
    rest = memoryview(body)[head:] if head else memoryview(b"")
    tensors: dict[str, npt.NDArray[Any]] = {}
    for place, one in enumerate(request.inputs):
        where = f"$.inputs[{place}]"
        if one.name in tensors:
            raise InvalidInput(f"{where}: the tensor {one.name!r} comes twice", fields=where)
        tensors[one.name], rest = _tensor(one, rest, where)
    if rest:
        raise InvalidInput(f"{len(rest)} bytes of binary data belong to no tensor", fields="$.inputs")
    frame = model.reader.checked(_columns(model, tensors), "$.inputs")
    return frame, _wanted(model, request)


def write_answer(
    model: Model, columns: Mapping[str, Any], wanted: Wanted, name: tuple[str, str], path: str
) -> tuple[bytes, str, int]:
    """Make the body of an answer, here or in a file.

    Parameters
    ----------
    model:
        What answered.
    columns:
        A numpy array or list for each output.
    wanted:
        What the caller wants back.
    name:
        The model's name and version.
    path:
        A new file for a body that is large.

    Returns
    -------
    tuple of bytes, str and int
        The body and no path, or nothing and the path; and the bytes of JSON when binary tensors follow them, else 0.
    """
    known = {output.name: output for output in model.header.outputs}
    outputs, pieces = [], []
    for column, binary in wanted.outputs:
        output = known[column]
        shown: dict[str, Any] = {"name": column, "datatype": DATATYPES[output.type], "shape": [len(columns[column])]}
        if binary:
            pieces.append(_bytes(columns[column], output))
            shown["parameters"] = {"binary_data_size": len(pieces[-1])}
        else:
            shown["data"] = plain_list(columns[column], output)
        outputs.append(shown)
    answer = {"model_name": name[0], "model_version": name[1], "outputs": outputs}
    if wanted.id:
        answer["id"] = wanted.id
    text = msgspec.json.encode(answer)
    return (*placed(b"".join([text, *pieces]), path), len(text) if pieces else 0)


def _tensor(one: _Input, rest: memoryview, where: str) -> tuple[npt.NDArray[Any], memoryview]:
    """A tensor, and the binary data behind it."""
    if one.datatype != "BYTES" and one.datatype not in _NUMPY:
        known = ", ".join([*_NUMPY, "BYTES"])
        raise InvalidInput(f"{where}.datatype: {one.datatype[:40]!r} is not known; known are {known}", fields=where)
    if any(size < 0 for size in one.shape) or not one.shape:
        raise InvalidInput(f"{where}.shape: expected [rows] or [rows, columns], got {one.shape}", fields=where)
    count = math.prod(one.shape)
    size = one.parameters.binary_data_size
    if size is not None:
        if not 0 <= size <= len(rest):
            raise InvalidInput(f"{where}: {size} bytes of binary data are announced, {len(rest)} came", fields=where)
        data, rest = rest[:size], rest[size:]
        flat = _strings(data, where) if one.datatype == "BYTES" else _numbers(data, one.datatype, where)
    elif one.data is not None:
        flat = _listed(one, where)
    else:
        raise InvalidInput(f"{where}: the tensor {one.name!r} has no data", fields=where)
    if flat.size != count:
        raise InvalidInput(f"{where}: the shape {one.shape} has {count} values, {flat.size} came", fields=where)
    return flat.reshape(one.shape), rest


def _numbers(data: memoryview, datatype: str, where: str) -> npt.NDArray[Any]:
    kind = np.dtype(_NUMPY[datatype])
    if len(data) % kind.itemsize:
        raise InvalidInput(f"{where}: {len(data)} bytes are no whole number of {datatype}", fields=where)
    return np.frombuffer(data, kind.newbyteorder("<")).astype(kind, copy=False)


def _strings(data: memoryview, where: str) -> npt.NDArray[Any]:
    found: list[str] = []
    start = 0
    try:
        while start < len(data):
            (length,) = _LENGTH.unpack_from(data, start)
            start += _LENGTH.size
            if start + length > len(data):
                raise InvalidInput(f"{where}: the binary data ends inside a string", fields=where)
            found.append(str(data[start : start + length], "utf-8"))
            start += length
    except (struct.error, UnicodeDecodeError) as error:
        raise InvalidInput(f"{where}: the binary data does not hold strings: {error}", fields=where) from None
    return np.array(found, object)


def _listed(one: _Input, where: str) -> npt.NDArray[Any]:
    """Values from JSON, flat or nested."""
    kind = object if one.datatype == "BYTES" else _NUMPY[one.datatype]
    try:
        flat = np.array(one.data, object).reshape(-1)
    except ValueError:
        raise InvalidInput(f"{where}.data: the nested lists have different lengths", fields=f"{where}.data") from None
    expected = (str,) if kind is object else (bool,) if kind is np.bool_ else (int, float)
    for value in flat:
        if not isinstance(value, expected) or (kind is not np.bool_ and isinstance(value, bool)):
            raise InvalidInput(f"{where}.data: expected {one.datatype}, got {value!r}"[:300], fields=f"{where}.data")
    try:
        return flat.astype(kind)
    except (OverflowError, ValueError) as error:
        raise InvalidInput(f"{where}.data: {error}", fields=f"{where}.data") from None


def _columns(model: Model, tensors: Mapping[str, npt.NDArray[Any]]) -> dict[str, Values]:
    """The columns that tensors stand for: each one for itself, or one for all columns of a graph's input."""
    header = model.header
    found: dict[str, Values] = {}
    left = {name: tensor for name, tensor in tensors.items() if name not in header.ignored}
    for column in header.inputs:
        name = column.name if column.name in tensors else column.onnx_input
        tensor = tensors.get(name)
        if tensor is None:
            raise InvalidInput(
                f"$.inputs: the column {column.name!r} is missing; the model takes a tensor [rows] for each of "
                f"{described(header.inputs)}, or one [rows, columns] named {column.onnx_input!r}",
                fields="$.inputs",
            )
        left.pop(name, None)
        flat = tensor.reshape(len(tensor), -1) if tensor.size else tensor.reshape(len(tensor), tensor.ndim - 1 or 1)
        place = 0 if name == column.name and flat.shape[1] == 1 else column.position
        if tensor.size and place >= flat.shape[1]:
            raise InvalidInput(f"$.inputs: the tensor {name!r} has no column for {column.name!r}", fields="$.inputs")
        if tensor.size and tensor.dtype.kind not in _KINDS[column.type]:
            raise InvalidInput(
                f"$.inputs: expected {DATATYPES[column.type]} for {name!r}, got a tensor of {tensor.dtype}",
                fields="$.inputs",
            )
        found[column.name] = flat[:, place] if tensor.size else np.empty(len(tensor), tensor.dtype)
    if left:
        raise InvalidInput(
            f"$.inputs: the model has no input {next(iter(left))!r}; it takes {described(header.inputs)}",
            fields="$.inputs",
        )
    return found


def _wanted(model: Model, request: _Request) -> Wanted:
    binary = request.parameters.binary_data_output
    known = {output.name for output in model.header.outputs}
    if not request.outputs:
        return Wanted(request.id, tuple((output.name, binary) for output in model.header.outputs))
    wanted: list[tuple[str, bool]] = []
    for place, one in enumerate(request.outputs):
        if one.name not in known:
            raise InvalidInput(
                f"$.outputs[{place}]: the model has no output {one.name!r}; it has {', '.join(sorted(known))}",
                fields=f"$.outputs[{place}]",
            )
        asked = one.parameters.binary_data
        wanted.append((one.name, binary if asked is None else asked))
    return Wanted(request.id, tuple(wanted))


def _bytes(values: Any, output: OutputColumn) -> bytes:
    if output.type == "string":
        encoded = [str(one).encode() for one in plain_list(values, output)]
        return b"".join(_LENGTH.pack(len(one)) + one for one in encoded)
    kind = np.dtype(_NUMPY[DATATYPES[output.type]]).newbyteorder("<")
    return np.ascontiguousarray(values, kind).tobytes()
