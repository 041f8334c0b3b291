"""Small ONNX graphs, made by hand: what each of them does is in its name."""

from __future__ import annotations

import datetime as dt

from onnx import TensorProto, helper, numpy_helper
from urllib3.filepost import encode_multipart_formdata

from jupyter_mlops.container import Header, InputColumn, OutputColumn, pack

FLOAT, INT64, STRING, DOUBLE = TensorProto.FLOAT, TensorProto.INT64, TensorProto.STRING, TensorProto.DOUBLE
_OPSETS = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]


def model(nodes, inputs, outputs, initializers=(), **more):
    """A model; inputs and outputs are (name, type, shape)."""
    graph = helper.make_graph(
        list(nodes),
        "tests",
        [helper.make_tensor_value_info(*one) for one in inputs],
        [helper.make_tensor_value_info(*one) for one in outputs],
        list(initializers),
    )
    return helper.make_model(graph, opset_imports=more.pop("opsets", _OPSETS), ir_version=8, **more)


def constant(name, values, kind=None):
    import numpy as np

    return numpy_helper.from_array(np.array(values, kind), name)


def linear(weights=(2.0, -1.0), bias=1.0):
    """y = X w + b, of a tensor [rows, columns]."""
    return model(
        [helper.make_node("MatMul", ["X", "w"], ["p"]), helper.make_node("Add", ["p", "b"], ["y"])],
        [("X", FLOAT, [None, len(weights)])],
        [("y", FLOAT, [None, 1])],
        [constant("w", [[w] for w in weights], "float32"), constant("b", [bias], "float32")],
    )


def mixing():
    """y = x - mean of all rows: what a row is answered depends on its company."""
    return model(
        [
            helper.make_node("ReduceMean", ["x"], ["m"], axes=[0], keepdims=1),
            helper.make_node("Sub", ["x", "m"], ["y"]),
        ],
        [("x", FLOAT, [None, 1])],
        [("y", FLOAT, [None, 1])],
    )


def labelled():
    """y = 2 a + (1 for "x", 2 for "y", 0 for others), of a number and a string."""
    encoder = helper.make_node(
        "LabelEncoder",
        ["b"],
        ["c"],
        domain="ai.onnx.ml",
        keys_strings=["x", "y"],
        values_floats=[1.0, 2.0],
        default_float=0.0,
    )
    return model(
        [encoder, helper.make_node("Mul", ["a", "two"], ["d"]), helper.make_node("Add", ["d", "c"], ["y"])],
        [("a", FLOAT, [None, 1]), ("b", STRING, [None, 1])],
        [("y", FLOAT, [None, 1])],
        [constant("two", [2.0], "float32")],
    )


def greedy():
    """y = x, by way of as many numbers as the largest x says."""
    return model(
        [
            helper.make_node("ReduceMax", ["x"], ["most"], axes=[0, 1], keepdims=0),
            helper.make_node("Reshape", ["most", "one"], ["shape"]),
            helper.make_node("ConstantOfShape", ["shape"], ["many"], value=constant("", [0], "int64")),
            helper.make_node("ReduceSum", ["many"], ["none"], keepdims=0),
            helper.make_node("Add", ["x", "none"], ["y"]),
        ],
        [("x", INT64, [None, 1])],
        [("y", INT64, [None, 1])],
        [constant("one", [1], "int64")],
    )


def looping(turns=None):
    """y = x after as many turns as the largest x says, or as are given."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Identity", ["v"], ["w"]),
        ],
        "turn",
        [
            helper.make_tensor_value_info("i", INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", INT64, [None, 1]),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("w", INT64, [None, 1]),
        ],
    )
    most = [helper.make_node("ReduceMax", ["x"], ["turns"], axes=[0, 1], keepdims=0)]
    return model(
        [*([] if turns else most), helper.make_node("Loop", ["turns", "yes", "x"], ["y"], body=body)],
        [("x", INT64, [None, 1])],
        [("y", INT64, [None, 1])],
        [constant("yes", True, "bool"), *([constant("turns", turns, "int64")] if turns else [])],
    )


def box(onnx, inputs, outputs, **more):
    """A container; inputs and outputs are written like `a:double,b:string`, each a tensor of its own unless it says
    `a:double:X:0`."""
    header = Header(
        library="tests 1.0",
        kind="Tests",
        inputs=tuple(_column(InputColumn, text, more.get(text.partition(":")[0], {})) for text in inputs.split(",")),
        outputs=tuple(_column(OutputColumn, text, {}) for text in outputs.split(",")),
        created=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    )
    return pack(header, onnx.SerializeToString())


def _column(kind, text, more):
    name, cell, tensor, place = [*text.split(":"), "", ""][:4]
    which = "onnx_input" if kind is InputColumn else "onnx_output"
    return kind(name=name, type=cell, **{which: tensor or name}, position=int(place or 0), **more)


LINEAR = box(linear(), "a:double:X:0,b:double:X:1", "prediction:double:y:0")
"""prediction = 2 a - b + 1"""
LABELLED = box(labelled(), "a:double,b:string", "y:double")


def publish(server, path, content=None, method="POST", token="", **fields):
    """Send a realtime service; the content may be a model."""
    if content is not None:
        content = content if isinstance(content, bytes) else content.SerializeToString()
        fields["model"] = ("model", content, "application/octet-stream")
    body, kind = encode_multipart_formdata(fields)
    return server.request(method, f"/realtime-services/{path}", body, token=token, headers={"Content-Type": kind})
