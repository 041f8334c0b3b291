"""Counterparts of `microsoftml`'s transforms where scikit-learn has none: steps of a Pipeline, for realtime services.

`docs/realtime-models.md` says what to use for each function of `microsoftml`, with code.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from jupyter_mlops.errors import InvalidRequest
from jupyter_mlops.models.original import need
from jupyter_mlops.models.writer import DOUBLE, INT64

__all__ = ["CategoricalHash", "FeaturizeImage", "ResizeImage", "extract_pixels", "load_image"]

_HASHES = "com.microsoft"
_MOST_BITS = 16


class CategoricalHash(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """Give each category one of `2 ** hash_bits` columns, by its hash: no category is unknown, none is stored.

    Parameters
    ----------
    hash_bits:
        1 to 16. The more, the fewer categories share a column.
    seed:
        Of the hash, MurmurHash3.
    """

    def __init__(self, hash_bits: int = 8, seed: int = 0) -> None:
        self.hash_bits = hash_bits
        self.seed = seed

    def fit(self, rows: Any, _answers: Any = None) -> CategoricalHash:
        """Note how many columns come; nothing is learned."""
        if not 1 <= self.hash_bits <= _MOST_BITS:
            raise InvalidRequest(f"hash_bits is 1 to {_MOST_BITS}, and {self.hash_bits!r} came")
        if hasattr(rows, "columns"):
            self.feature_names_in_ = np.asarray(rows.columns, dtype=object)
        self.n_features_in_ = np.asarray(rows, dtype=object).reshape(len(rows), -1).shape[1]
        self.width_ = self.n_features_in_ << self.hash_bits
        return self

    def transform(self, rows: Any) -> Any:
        """1 in the column of each value's hash, 0 in the others."""
        from sklearn.utils import murmurhash3_32

        values = np.asarray(rows, dtype=object).reshape(len(rows), -1)
        size = 1 << self.hash_bits
        made = np.zeros((len(values), self.n_features_in_, size))
        for i, row in enumerate(values):
            for j, value in enumerate(row):
                made[i, j, murmurhash3_32(str(value), seed=self.seed, positive=True) % size] = 1.0
        return made.reshape(len(values), -1)

    def write_graph(self, graph: Any, tensor: str) -> str:
        """The same, as nodes of a graph."""
        size = 1 << self.hash_bits
        hashed = graph.node("MurmurHash3", [tensor], domain=_HASHES, version=1, seed=self.seed, positive=1)
        place = graph.node("Mod", [graph.cast(hashed, INT64), graph.constant(np.array([size]))])
        open_ = graph.node("Reshape", [place, graph.constant(np.array([0, self.n_features_in_, 1]))])
        equal = graph.node("Equal", [open_, graph.constant(np.arange(size).reshape(1, 1, -1))])
        return str(graph.node("Reshape", [graph.cast(equal, DOUBLE), graph.constant(np.array([-1, self.width_]))]))


class _Matrix(TransformerMixin, BaseEstimator, ABC):  # type: ignore[misc]  # scikit-learn ships no types
    """A step that multiplies rows with a matrix."""

    def fit(self, rows: Any, _answers: Any = None) -> Any:
        """Note the columns; nothing is learned."""
        if hasattr(rows, "columns"):
            self.feature_names_in_ = np.asarray(rows.columns, dtype=object)
        self.n_features_in_ = np.shape(rows)[1]
        self.matrix_ = self._matrix()
        self.width_ = self.matrix_.shape[1]
        return self

    @abstractmethod
    def _matrix(self) -> Any:
        """A row for each column that comes, a column for each that goes."""

    def transform(self, rows: Any) -> Any:
        """The rows, times the matrix."""
        return np.asarray(rows, dtype=float) @ self.matrix_

    def write_graph(self, graph: Any, tensor: str) -> str:
        """The same, as a node of a graph."""
        return str(graph.node("MatMul", [graph.cast(tensor, DOUBLE), graph.constant(self.matrix_)]))


class ResizeImage(_Matrix):
    """Resize grey pictures inside the model, so that callers may send them as they are: each new pixel is a mean.

    Parameters
    ----------
    height, width:
        Of the pictures that come, in pixels.
    to_height, to_width:
        Of those that go on.
    """

    def __init__(self, height: int = 28, width: int = 28, to_height: int = 8, to_width: int = 8) -> None:
        self.height = height
        self.width = width
        self.to_height = to_height
        self.to_width = to_width

    def _matrix(self) -> Any:
        if self.n_features_in_ != self.height * self.width:
            raise InvalidRequest(
                f"pictures of {self.height} x {self.width} have {self.height * self.width} pixels, and rows of "
                f"{self.n_features_in_} came"
            )
        return np.kron(_shares(self.height, self.to_height), _shares(self.width, self.to_width))


def _shares(before: int, after: int) -> Any:
    """[before, after]: which part of a new pixel each old one is."""
    edges = np.arange(after + 1) * before / after
    begin = np.arange(before)[:, None]
    overlap = np.minimum(begin + 1, edges[1:]) - np.maximum(begin, edges[:-1])
    return np.clip(overlap, 0, None) * after / before


class FeaturizeImage(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """What a trained network's last hidden layer makes of a picture: features to train another model on.

    Parameters
    ----------
    network:
        A fitted MLPClassifier or MLPRegressor.
    """

    def __init__(self, network: Any = None) -> None:
        self.network = network

    def fit(self, rows: Any, _answers: Any = None) -> FeaturizeImage:
        """Note the columns; the network stays as it is."""
        if not hasattr(self.network, "coefs_"):
            raise InvalidRequest("FeaturizeImage takes a network that is trained: MLPClassifier(...).fit(...)")
        if hasattr(rows, "columns"):
            self.feature_names_in_ = np.asarray(rows.columns, dtype=object)
        self.n_features_in_ = np.shape(rows)[1]
        self.width_ = self.network.coefs_[-2].shape[1]
        return self

    def transform(self, rows: Any) -> Any:
        """The last hidden layer's values."""
        values = np.asarray(rows, dtype=float)
        for weights, bias in self._layers():
            values = _ACTIVATIONS[self.network.activation][0](values @ weights + bias)
        return values

    def write_graph(self, graph: Any, tensor: str) -> str:
        """The same, as nodes of a graph."""
        made = graph.cast(tensor, DOUBLE)
        for weights, bias in self._layers():
            made = graph.node("Add", [graph.node("MatMul", [made, graph.constant(weights)]), graph.constant(bias)])
            made = graph.node(_ACTIVATIONS[self.network.activation][1], [made])
        return str(made)

    def _layers(self) -> Iterable[tuple[Any, Any]]:
        layers = zip(self.network.coefs_[:-1], self.network.intercepts_[:-1], strict=True)
        return [(np.asarray(weights, dtype=float), np.asarray(bias, dtype=float)) for weights, bias in layers]


_ACTIVATIONS: dict[str, tuple[Any, str]] = {
    "relu": (lambda values: np.maximum(values, 0.0), "Relu"),
    "tanh": (np.tanh, "Tanh"),
    "logistic": (lambda values: 1.0 / (1.0 + np.exp(-values)), "Sigmoid"),
    "identity": (lambda values: values, "Identity"),
}


def load_image(path: str | os.PathLike[str]) -> Any:
    """A picture file as an array [height, width] of greys from 0 to 255, in the caller's process.

    A service takes columns of numbers, not files: what opens files of strangers stays out of it.
    """
    image = need("PIL.Image", "pillow")
    with image.open(path) as picture:
        return np.asarray(picture.convert("L"), dtype=float)


def extract_pixels(images: Iterable[Any]) -> Any:
    """Pictures of one size as a DataFrame with a column for each pixel: `pixel_0_0`, `pixel_0_1`, ...

    Raises
    ------
    InvalidRequest
        When they are not of one size.
    """
    import pandas as pd

    arrays = [np.asarray(one, dtype=float) for one in images]
    shapes = {one.shape for one in arrays}
    if len(shapes) != 1 or len(next(iter(shapes))) != 2:  # noqa: PLR2004
        raise InvalidRequest(
            f"pictures of one size are taken, [height, width] of greys; {sorted(map(str, shapes))} came"
        )
    height, width = arrays[0].shape
    names = [f"pixel_{y}_{x}" for y in range(height) for x in range(width)]
    return pd.DataFrame(np.array([one.ravel() for one in arrays]), columns=names)
