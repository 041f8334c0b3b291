"""ONNX files of others, and what an exporter needs."""

import importlib.util
import warnings

import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import TensorProto, helper
from scoring import score
from sklearn.linear_model import LogisticRegression

from jupyter_mlops import serialize_model
from jupyter_mlops.container import unpack
from jupyter_mlops.errors import InvalidRequest, PublishRefused

ROWS = np.arange(8, dtype="float32").reshape(2, 4)


def _graph(shape=(None, 4), kind=TensorProto.FLOAT, output=(None, 2)):
    weights = np.arange(8, dtype="float32").reshape(4, 2)
    nodes = [helper.make_node("Flatten", ["pixels"], ["flat"]), helper.make_node("MatMul", ["flat", "w"], ["scores"])]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("pixels", kind, shape)],
        [helper.make_tensor_value_info("scores", kind, output)],
        [onnx.numpy_helper.from_array(weights, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()


def test_a_file_and_its_bytes_are_packed_with_the_columns_of_its_tensors(tmp_path):
    (tmp_path / "scores.onnx").write_bytes(_graph())
    packed = serialize_model(tmp_path / "scores.onnx", quiet=True)
    header = packed.header
    assert header.kind == "scores.onnx"
    assert [(one.name, one.type, one.position) for one in header.inputs] == [(f"x{i}", "float", i) for i in range(4)]
    assert [one.name for one in header.outputs] == ["prediction_0", "prediction_1"]
    assert header.parity is None
    named = serialize_model(_graph(), pd.DataFrame(ROWS, columns=list("abcd")), quiet=True)
    assert [one.name for one in named.header.inputs] == list("abcd")
    assert unpack(named)[0] == named.header
    answers = score(named, pd.DataFrame(ROWS, columns=list("abcd")))
    np.testing.assert_allclose(answers["prediction_1"], ROWS @ np.array([1, 3, 5, 7]))


def test_columns_that_miss_values_in_the_sample_may_miss_them():
    sample = pd.DataFrame(ROWS, columns=list("abcd"))
    sample.loc[0, "c"] = np.nan
    packed = serialize_model(_graph(), sample, quiet=True)
    assert [one.nullable for one in packed.header.inputs] == [False, False, True, False]


def test_tensors_of_pictures_become_columns():
    packed = serialize_model(_graph((None, 1, 2, 2)), quiet=True)
    rows = pd.DataFrame(ROWS, columns=[one.name for one in packed.header.inputs])
    np.testing.assert_allclose(score(packed, rows)["prediction_0"], ROWS @ np.array([0, 2, 4, 6]))


@pytest.mark.parametrize(
    ("graph", "refusal", "said"),
    [
        (b"not onnx at all", InvalidRequest, "not an ONNX model"),
        (b"", InvalidRequest, "not an ONNX model"),
        ("nowhere.onnx", InvalidRequest, "no file nowhere.onnx"),
        (_graph((1, 4)), PublishRefused, "open first dimension"),
        (_graph((None, None)), InvalidRequest, "give a sample"),
        (_graph(kind=TensorProto.FLOAT16), PublishRefused, "type that no column has"),
    ],
)
def test_what_is_no_such_file_is_refused(graph, refusal, said):
    with pytest.raises(refusal, match=said):
        serialize_model(graph, quiet=True)


def test_a_container_is_not_packed_again():
    packed = serialize_model(_graph(), quiet=True)
    with pytest.raises(InvalidRequest, match="already"):
        serialize_model(bytes(packed), quiet=True)


def test_a_map_as_output_is_refused_with_the_way_on():
    from skl2onnx import to_onnx

    frame = np.arange(12, dtype="float32").reshape(6, 2)
    model = LogisticRegression().fit(frame, [0, 1, 0, 1, 0, 1])
    with pytest.raises(PublishRefused, match="zipmap"):
        serialize_model(to_onnx(model, frame, target_opset=17).SerializeToString(), quiet=True)


MISSING = [
    one for one in ("torch.nn.modules.linear", "keras.models") if not importlib.util.find_spec(one.split(".")[0])
]


@pytest.mark.skipif(not MISSING, reason="PyTorch and Keras are installed: what is told without them is NOT TRIED")
def test_a_library_that_is_missing_is_named_with_the_line_that_installs_it():
    class Module:
        """Stands for a module of a library that is not here; its class says where it is from."""

    Module.__module__ = MISSING[0]
    with pytest.raises(PublishRefused, match=r"pip install (torch|keras)"):
        serialize_model(Module(), ROWS, quiet=True)


@pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="PyTorch is not installed: its exporter is NOT TRIED"
)
def test_a_pytorch_module_with_a_sample():
    import torch

    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2))
    packed = serialize_model(module, ROWS, quiet=True)
    assert packed.parity.holds
    with pytest.raises(InvalidRequest, match="some rows"):
        serialize_model(module, quiet=True)


@pytest.mark.skipif(
    importlib.util.find_spec("keras") is None, reason="Keras is not installed: its exporter is NOT TRIED"
)
def test_a_keras_model():
    import keras

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(2, "softmax")])
    packed = serialize_model(model, ROWS, quiet=True)
    assert packed.parity.holds
    rows = pd.DataFrame(ROWS, columns=[one.name for one in packed.header.inputs])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Keras' own
        wanted = model.predict(ROWS, verbose=0)
    np.testing.assert_allclose(score(packed, rows)["prediction_1"], wanted[:, 1], rtol=1e-5)


def test_a_class_that_nothing_knows_is_refused_with_all_that_is_known():
    with pytest.raises(PublishRefused, match="scikit-learn, XGBoost, LightGBM"):
        serialize_model(object(), quiet=True)
