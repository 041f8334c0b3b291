"""Open Inference Protocol V2, as KServe and Triton speak it: what is told of the server and of models."""

from __future__ import annotations

from typing import Any

import msgspec

from jupyter_mlops.container import CellType, Header

DATATYPES: dict[CellType, str] = {
    "double": "FP64",
    "float": "FP32",
    "integer": "INT64",
    "string": "BYTES",
    "logical": "BOOL",
}
"""The protocol's name for each type of a column."""


class ServerMetadata(msgspec.Struct, frozen=True):
    """What `GET /v2` answers."""

    name: str
    version: str
    extensions: tuple[str, ...] = ("binary_tensor_data",)


class TensorMetadata(msgspec.Struct, frozen=True):
    """A tensor that a model takes or answers: one for each column, a value a row."""

    name: str
    datatype: str
    shape: tuple[int, ...] = (-1,)


class ModelMetadata(msgspec.Struct, frozen=True):
    """What `GET /v2/models/{name}` answers."""

    name: str
    versions: tuple[str, ...]
    platform: str
    inputs: tuple[TensorMetadata, ...]
    outputs: tuple[TensorMetadata, ...]


class Liveness(msgspec.Struct, frozen=True):
    """What `GET /v2/health/live` answers."""

    live: bool


class Readiness(msgspec.Struct, frozen=True):
    """What the questions whether the server or a model is ready answer."""

    ready: bool


class InferenceRequest(msgspec.Struct, frozen=True):
    """Body of `POST /v2/models/{name}/infer`: tensors, in JSON or as bytes behind it."""

    inputs: tuple[dict[str, Any], ...]
    """Each with `name`, `shape`, `datatype`, and `data`, or `binary_data_size` in its `parameters`."""
    id: str = ""
    parameters: dict[str, Any] = {}
    outputs: tuple[dict[str, Any], ...] = ()
    """The outputs that are wanted, each with its `name`; all of them when there are none."""


class InferenceAnswer(msgspec.Struct, frozen=True):
    """What `POST /v2/models/{name}/infer` answers."""

    model_name: str
    model_version: str
    outputs: tuple[dict[str, Any], ...]
    id: str = ""


def metadata(name: str, versions: tuple[str, ...], header: Header) -> ModelMetadata:
    """Describe a model.

    Parameters
    ----------
    name, versions:
        What it is called, and the versions that there are.
    header:
        Its columns.
    """
    return ModelMetadata(
        name=name,
        versions=versions,
        platform="onnxruntime_onnx",
        inputs=tuple(TensorMetadata(one.name, DATATYPES[one.type]) for one in header.inputs),
        outputs=tuple(TensorMetadata(one.name, DATATYPES[one.type]) for one in header.outputs),
    )
