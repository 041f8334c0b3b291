"""Scores a container as the server does, from what its header says and nothing else."""

import numpy as np
import onnxruntime
import pandas as pd

from jupyter_mlops.container import unpack

DTYPES = {"tensor(double)": "float64", "tensor(float)": "float32", "tensor(int64)": "int64", "tensor(string)": "object"}


def score(container, frame):
    """Every output column's values for the rows of a DataFrame."""
    header, offset = unpack(container)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(bytes(container[offset:]), options, providers=["CPUExecutionProvider"])
    feed = {}
    for tensor in session.get_inputs():
        columns = sorted((one for one in header.inputs if one.onnx_input == tensor.name), key=lambda one: one.position)
        arrays = [
            np.array([_given(value, column) for value in frame[column.name]], dtype=object).astype(DTYPES[tensor.type])
            for column in columns
        ]
        feed[tensor.name] = arrays[0] if len(tensor.shape) == 1 else np.column_stack(arrays)
    answers = {}
    for column in header.outputs:
        (values,) = session.run([column.onnx_output], feed)
        answers[column.name] = np.asarray(values).reshape(len(frame), -1)[:, column.position]
    return answers


def _given(value, column):
    missing = pd.isna(value)
    if not missing:
        assert not column.categories or value in column.categories, (column.name, value)
        return value
    assert column.nullable, column.name
    return np.nan if column.default is None else column.default
