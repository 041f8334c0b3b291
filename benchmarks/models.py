"""The models of the realtime figures: every contestant runs the same graph on the same rows."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import work
from sklearn.linear_model import LinearRegression
from sklearn.tree import DecisionTreeRegressor

from jupyter_mlops import serialize_model
from jupyter_mlops.container import unpack

ROWS, COLUMNS = 100_000, 10
NAMES = [f"c{place}" for place in range(COLUMNS)]
MLS_ROWS_PER_SECOND = 1_000_000
"""What Machine Learning Server was advertised with."""
ARROW = "application/vnd.apache.arrow.stream"
CAR, LINEAR, TREE = "cars", "linear", "tree"


@functools.cache
def matrix() -> np.ndarray:
    """The rows: numbers of 64 bits, as a data frame has them."""
    return np.random.default_rng(7).normal(size=(ROWS, COLUMNS))


@functools.cache
def model(name: str) -> Any:
    """A trained model."""
    if name == CAR:
        return work.MODEL
    data = matrix()[:5_000]
    wanted = data @ np.arange(COLUMNS) + np.sin(data[:, 0])
    return (LinearRegression() if name == LINEAR else DecisionTreeRegressor(max_depth=6)).fit(data, wanted)


@functools.cache
def box(name: str) -> bytes:
    """It, as it is published."""
    sample = None if name == CAR else pd.DataFrame(matrix()[:50], columns=NAMES)
    return serialize_model(model(name), sample, quiet=True)


def frame() -> bytes:
    """The rows, as they are sent: a data frame's columns in an Arrow stream."""
    return stream({name: matrix()[:, place] for place, name in enumerate(NAMES)})


def stream(columns: dict[str, np.ndarray]) -> bytes:
    """Columns as an Arrow stream."""
    batch = pa.RecordBatch.from_arrays([pa.array(column) for column in columns.values()], names=list(columns))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


class Scorer:
    """A model's graph in this very process, with the options that a realtime worker gives it, or with none.

    Parameters
    ----------
    name:
        The model.
    alone:
        Whether it is to use one thread, as a worker beside another one does.
    """

    def __init__(self, name: str, *, alone: bool) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        if alone:
            options.intra_op_num_threads = options.inter_op_num_threads = 1
        _, offset = unpack(box(name))
        providers = ["CPUExecutionProvider"]
        self._session = onnxruntime.InferenceSession(box(name)[offset:], options, providers=providers)
        (tensor,) = self._session.get_inputs()
        self._input = tensor.name
        self._type = np.float64 if "double" in tensor.type else np.float32

    def row(self, *values: float) -> Any:
        """The answer to one row: of a classifier the probabilities."""
        return self._session.run(None, {self._input: np.array([values], self._type)})[-1][0]

    def arrow(self, body: bytes) -> bytes:
        """The answers to an Arrow stream of rows, as an Arrow stream."""
        table = pa.ipc.open_stream(body).read_all()
        rows = np.column_stack([table.column(name).to_numpy() for name in NAMES]).astype(self._type, copy=False)
        return stream({"prediction": self._session.run(None, {self._input: rows})[0].ravel()})


@functools.cache
def scorer(name: str, *, alone: bool = False) -> Scorer:
    """A model's graph, loaded once."""
    return Scorer(name, alone=alone)
