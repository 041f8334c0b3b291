"""Which family a model is of."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

from jupyter_mlops.errors import PublishRefused
from jupyter_mlops.models.original import Original

_FAMILIES = {
    "xgboost": "scikit",
    "lightgbm": "scikit",
    "catboost": "scikit",
    "statsmodels": "linear",
    "torch": "networks",
    "keras": "networks",
    "tensorflow": "networks",
    "sklearn": "scikit",
    "onnx": "files",
}
"""Module of this package, by the top-level module of a model's class or of one of its bases."""


def original_of(model: Any, sample: Any) -> Original:
    """What can convert a model.

    Raises
    ------
    PublishRefused
        When nothing here can.
    """
    if hasattr(type(model), "as_original"):  # a model of this package's own, which knows best
        own: Original = model.as_original(sample)
        return own
    family = _family(model)
    if not family:
        raise PublishRefused(
            f"no way is known to convert {type(model).__module__}.{type(model).__name__}: scikit-learn, XGBoost, "
            "LightGBM, CatBoost, statsmodels' OLS and Logit, PyTorch, Keras and ONNX files are. "
            "A standard service runs any model: %publish, or client.service(...)"
        )
    original: Original = import_module(f"jupyter_mlops.models.{family}").original_of(model, sample)
    return original


def _family(model: Any) -> str:
    if isinstance(model, (bytes, bytearray, str, os.PathLike)):
        return "files"
    for base in type(model).__mro__:
        # A class of the user's own is of the family of its first base that has one.
        root = base.__module__.partition(".")[0]
        if root in _FAMILIES:
            return _FAMILIES[root]
    return ""
