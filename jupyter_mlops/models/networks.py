"""PyTorch modules, through torch's own exporter, and Keras models, through Keras' own."""

from __future__ import annotations

import io
import tempfile
import warnings
from pathlib import Path
from typing import Any

from jupyter_mlops.errors import InvalidRequest
from jupyter_mlops.models.files import OnnxFile
from jupyter_mlops.models.original import Original, need

_KERAS_EXPORTERS = {
    "torch": ("onnxscript", "onnxscript"),
    "tensorflow": ("tf2onnx", "tf2onnx"),
    "jax": ("tf2onnx", "tf2onnx"),
}
"""What Keras needs to export a model, by its backend: the module, and the package to install."""


def original_of(model: Any, sample: Any) -> Original:
    """A network, exported.

    Raises
    ------
    InvalidRequest
        When a PyTorch module came without a sample.
    PublishRefused
        When the exporter is not installed.
    """
    libraries = {base.__module__.partition(".")[0] for base in type(model).__mro__}
    return _torch(model, sample) if "keras" not in libraries and "torch" in libraries else _keras(model, sample)


def _torch(model: Any, sample: Any) -> Original:
    import numpy as np

    torch = need("torch", "torch")
    if sample is None:
        raise InvalidRequest(
            "a PyTorch module does not tell what it takes: serialize_model(module, sample), with some rows"
        )
    rows = np.array(sample)  # a copy: torch warns of arrays that cannot be written to, as pandas gives them
    model = model.eval()
    precise = next((one.dtype for one in model.parameters() if one.dtype.is_floating_point), torch.float32)
    given = torch.as_tensor(rows, dtype=precise)
    written = io.BytesIO()
    with torch.no_grad(), warnings.catch_warnings():
        # The newer exporter needs onnxscript, and warns of this one, which needs nothing.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            model, (given,), written, input_names=["X"], output_names=["prediction"], dynamo=False,
            dynamic_axes={"X": {0: "rows"}, "prediction": {0: "rows"}},
        )  # fmt: skip

    def answer(frame: Any) -> dict[str, Any]:
        shaped = torch.as_tensor(np.array(frame, dtype=float).reshape(-1, *rows.shape[1:]), dtype=precise)
        with torch.no_grad():
            return _named(model(shaped).cpu().numpy())

    flat = sample if hasattr(sample, "columns") else rows.reshape(len(rows), -1)
    return OnnxFile(written.getvalue(), flat, type(model).__name__, f"PyTorch {torch.__version__}", answer)


def _keras(model: Any, sample: Any) -> Original:
    import numpy as np

    keras = need("keras", "keras")
    need(*_KERAS_EXPORTERS[keras.backend.backend()])
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the exporters tell of their own libraries
        path = Path(folder) / "model.onnx"
        model(np.zeros((1, *model.input_shape[1:]), dtype="float32"))  # a model that was never called is not exported
        model.export(str(path), format="onnx", verbose=False)
        content = path.read_bytes()

    def answer(frame: Any) -> dict[str, Any]:
        values = frame.to_numpy(dtype="float32").reshape(-1, *model.input_shape[1:])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Keras and its backend are not always of one mind with numpy
            return _named(np.asarray(model.predict(values, verbose=0)))

    return OnnxFile(content, sample, type(model).__name__, f"Keras {keras.__version__}", answer)


def _named(answers: Any) -> dict[str, Any]:
    flat = answers.reshape(len(answers), -1)
    if flat.shape[1] == 1:
        return {"prediction": flat[:, 0]}
    return {f"prediction_{i}": flat[:, i] for i in range(flat.shape[1])}
