"""What a family of models must be able to say, so that any of them can be converted, compared and packed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from jupyter_mlops.container import InputColumn, OutputColumn, Scalar
from jupyter_mlops.errors import PublishRefused


class Candidate:
    """One form of a model as a graph, with the way from columns into it and back.

    Parameters
    ----------
    onnx:
        The graph.
    inputs, outputs:
        Its columns.
    precision:
        How it calculates, for the reader: `double` or `float`.
    """

    def __init__(
        self, onnx: bytes, inputs: tuple[InputColumn, ...], outputs: tuple[OutputColumn, ...], precision: str = "double"
    ) -> None:
        self.onnx = onnx
        self.inputs = inputs
        self.outputs = outputs
        self.precision = precision


class Original(ABC):
    """A trained model, as its own library runs it."""

    library: str
    """Its library with version."""
    kind: str
    """Its class."""
    others: tuple[str, ...] = ()
    """Columns of the data that it was trained on, which it does not look at."""

    @abstractmethod
    def candidates(self) -> Iterator[Candidate]:
        """The model's forms as a graph, the most exact first.

        Raises
        ------
        PublishRefused
            When it has no further form: the reason.
        """

    @abstractmethod
    def rows(self, count: int) -> Any:
        """About so many rows to compare with, as a DataFrame: the sample's, and such as lie where the model decides."""

    @abstractmethod
    def answer(self, rows: Any) -> dict[str, Any]:
        """What the model itself answers to rows: an array for each output column, by its name."""

    def known(self) -> dict[str, tuple[Scalar, ...]]:
        """By column, the values that the model knows, where it refuses others."""
        return {}


def need(module: str, package: str = "") -> Any:
    """Import a library that conversion needs.

    Raises
    ------
    PublishRefused
        When it is not installed, with the line that installs it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        wanted = package or "'jupyter_mlops[realtime]'"
        raise PublishRefused(
            f"realtime services need {error.name or module} to convert this model: pip install {wanted}"
        ) from None
