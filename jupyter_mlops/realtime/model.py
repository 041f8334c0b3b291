"""One loaded model: columns to tensors, the run, and tensors to columns."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from jupyter_mlops.container import Header, InputColumn, OutputColumn
from jupyter_mlops.errors import InvalidInput, InvalidRequest, MLOpsError
from jupyter_mlops.realtime.reading import Frame, Reader, Values

Tensor = npt.NDArray[Any]
Feeds = dict[str, Tensor]

NUMPY_TYPES: dict[str, Any] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(int16)": np.int16,
    "tensor(int8)": np.int8,
    "tensor(uint64)": np.uint64,
    "tensor(uint32)": np.uint32,
    "tensor(uint16)": np.uint16,
    "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
    "tensor(string)": np.object_,
}
"""Types of tensors that a column can become or come from."""

_ARRAYS: dict[str, Any] = {
    "double": np.float64,
    "float": np.float32,
    "integer": np.int64,
    "logical": np.bool_,
    "string": np.object_,
}
_BLOCK = 8192
"""Rows that are put into a tensor at a time, so that they stay in the processor's cache."""


class RunFailed(MLOpsError):
    """The model ran, and failed."""


class Model:
    """A model that can be called.

    Parameters
    ----------
    onnx:
        The graph, checked before.
    header:
        How columns become its tensors and back.
    threads:
        Threads that one run may use.

    Raises
    ------
    InvalidRequest
        When the graph does not load, or the header names what it does not have.
    """

    def __init__(self, onnx: bytes, header: Header, threads: int = 1) -> None:
        self.header = header
        self.session = open_session(onnx, threads)
        self.reader = Reader(header.inputs, header.ignored)
        tensors = {tensor.name: tensor for tensor in self.session.get_inputs()}
        self._inputs = [_Input(tensors, name, columns) for name, columns in _by_tensor(header.inputs).items()]
        lacking = tensors.keys() - {one.name for one in self._inputs}
        if lacking:
            raise InvalidRequest(f"no column is meant for the graph's input {min(lacking)!r}")
        known = {tensor.name for tensor in self.session.get_outputs()}
        self._outputs = list(dict.fromkeys(column.onnx_output for column in header.outputs))
        strange = [name for name in self._outputs if name not in known]
        if strange:
            raise InvalidRequest(f"the graph has no output {strange[0]!r}; it has {', '.join(sorted(known))}")
        self._places = {name: place for place, name in enumerate(self._outputs)}
        self._run = self.session.run

    def feeds(self, frame: Frame) -> Feeds:
        """The tensors of a frame.

        Raises
        ------
        InvalidInput
            When a number does not fit the graph's type.
        """
        try:
            return {one.name: one.tensor(frame) for one in self._inputs}
        except (OverflowError, ValueError, TypeError) as error:
            raise InvalidInput(f"a value does not fit the model: {error}", fields="$") from None

    def run(self, feeds: Feeds, count: int) -> list[Any]:
        """Run the graph on some rows; the values of each output, row by row.

        Raises
        ------
        InvalidInput
            When the graph does not take a value, such as a category that it does not know.
        RunFailed
            When it fails otherwise, or does not answer one row for each.
        """
        if count == 0:
            return [None] * len(self._outputs)
        try:
            found = self._run(self._outputs, feeds)
        except Exception as error:  # noqa: BLE001  # onnxruntime's errors have no common class
            raise _failure(error) from None
        for name, values in zip(self._outputs, found, strict=True):
            if len(values) != count:
                raise RunFailed(f"the model's output {name!r} has {len(values)} rows for {count} rows of input")
        return list(found)

    def mapped(self, row: Mapping[str, Any]) -> list[OutputColumn]:
        """A column for each class whose probability the graph gives as a map, as scikit-learn's converter has it.

        Parameters
        ----------
        row:
            Values that tell, when the graph has answered them, which classes there are.
        """
        names = [one.name for one in self.session.get_outputs() if one.type.startswith("seq(map(")]
        if not names:
            return []
        frame = self.reader.checked({name: [value] for name, value in row.items()})
        try:
            found = self._run(names, self.feeds(frame))
        except Exception as error:  # noqa: BLE001  # onnxruntime's errors have no common class
            raise _failure(error) from None
        return [
            OutputColumn(name=f"{name}_{key}", type="float", onnx_output=name, position=place)
            for name, maps in zip(names, found, strict=True)
            for place, key in enumerate(maps[0])
        ]

    def columns(self, found: Sequence[Any], *, start: int = 0, stop: int | None = None) -> dict[str, Any]:
        """The answer's columns, of all rows or of those of one caller, as numpy arrays or lists."""
        return {
            output.name: _column(found[self._places[output.onnx_output]], output, start, stop)
            for output in self.header.outputs
        }


class _Input:
    """One tensor of the graph, and the columns that it is made of."""

    def __init__(self, tensors: Mapping[str, Any], name: str, columns: Sequence[InputColumn]) -> None:
        tensor = tensors.get(name)
        if tensor is None:
            raise InvalidRequest(f"the graph has no input {name!r}; it has {', '.join(sorted(tensors))}")
        if tensor.type not in NUMPY_TYPES:
            raise InvalidRequest(f"the graph's input {name!r} is a {tensor.type}, which columns cannot fill")
        if [column.position for column in columns] != list(range(len(columns))):
            raise InvalidRequest(f"the columns of the graph's input {name!r} do not have the places 0 to n-1")
        self.name = name
        self._names = [column.name for column in columns]
        self._type = NUMPY_TYPES[tensor.type]
        self._shape = _tail(tensor.shape, len(columns), name)

    def tensor(self, frame: Frame) -> Tensor:
        columns = [frame.columns[name] for name in self._names]
        if all(type(values) is list for values in columns):
            matrix = np.array(columns, self._type).T
            return np.ascontiguousarray(matrix).reshape(frame.count, *self._shape)
        if len(columns) == 1:
            return np.ascontiguousarray(columns[0], self._type).reshape(frame.count, *self._shape)
        return self._filled(columns, frame.count).reshape(frame.count, *self._shape)

    def _filled(self, columns: list[Values], count: int) -> Tensor:
        matrix = np.empty((count, len(columns)), self._type)
        with np.errstate(all="ignore"):  # what a narrower type does not hold becomes infinite
            for start in range(0, count, _BLOCK):
                for place, values in enumerate(columns):
                    matrix[start : start + _BLOCK, place] = values[start : start + _BLOCK]
        return matrix


def open_session(onnx: bytes, threads: int = 1) -> Any:
    """Load a graph; no option of it reads a file.

    Raises
    ------
    InvalidRequest
        With onnxruntime's reason.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.enable_cpu_mem_arena = False  # an arena keeps for ever what the largest call needed
    options.enable_mem_pattern = False
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001  # onnxruntime's errors have no common class
        raise InvalidRequest(f"the model does not load: {_words(error)}") from None


def _by_tensor(columns: Sequence[InputColumn]) -> dict[str, list[InputColumn]]:
    found: dict[str, list[InputColumn]] = {}
    for column in sorted(columns, key=lambda one: one.position):
        found.setdefault(column.onnx_input, []).append(column)
    return found


def _tail(shape: Sequence[Any], width: int, name: str) -> tuple[int, ...]:
    """The shape of one row."""
    dimensions = shape[1:]
    if not dimensions:
        tail: tuple[int, ...] = () if width == 1 else (width,)
    elif len(dimensions) == 1:
        tail = (width,)
    else:
        tail = tuple(one if isinstance(one, int) else 1 for one in dimensions)
    fixed = [one for one in dimensions if isinstance(one, int)]
    if math.prod(tail) != width or (len(fixed) == len(dimensions) and dimensions and math.prod(fixed) != width):
        raise InvalidRequest(f"the graph's input {name!r} has the shape {list(shape)}, and {width} columns are for it")
    return tail


def _column(found: Any, output: OutputColumn, start: int, stop: int | None) -> Any:
    if found is None:
        return np.empty(0, _ARRAYS[output.type])
    rows = found[start:stop]
    if not isinstance(rows, np.ndarray):  # a sequence of maps, such as ZipMap makes
        return [list(row.values())[output.position] if isinstance(row, dict) else row for row in rows]
    if rows.ndim == 1:
        return rows
    flat = rows.reshape(len(rows), -1)
    if output.position >= flat.shape[1]:
        raise RunFailed(f"the model's output {output.onnx_output!r} has no column for {output.name!r}")
    return flat[:, output.position]


def _failure(error: Exception) -> MLOpsError:
    text = _words(error)
    if "nknown Category" in text or "nvalid input" in text or "nvalidArgument" in type(error).__name__:
        return InvalidInput(f"the model does not take these values: {text}", fields="$")
    return RunFailed(f"the model failed: {text}")


def _words(error: Exception) -> str:
    """What onnxruntime said, without its code and without places in its source."""
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", " ".join(str(error).split()))
    running = re.search(r"while running (\w+) node\..*?Status Message: (.*)", text)
    text = f"{running[1]}: {running[2]}" if running else text
    text = re.sub(r"(/\S+\.(h|cc|cpp):\d+ )[^(]*\([^()]*(\([^()]*\)[^()]*)*\)( \[[^\]]*\])? ?", "", text)
    return text.replace("std::bad_alloc", "there is not enough memory")[:500]
