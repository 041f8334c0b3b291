"""A published model as a Python object: many rows in, many rows out."""

from __future__ import annotations

import io
import zipfile
from typing import Any, NoReturn

from jupyter_mlops.client.frames import answer_of, body_of, parameters_of, rows_of, takes
from jupyter_mlops.client.response import ServiceResponse
from jupyter_mlops.client.service import Service
from jupyter_mlops.container import Header
from jupyter_mlops.errors import InvalidRequest
from jupyter_mlops.schema.realtime import ARROW, JSON
from jupyter_mlops.schema.types import Parameter


class RealtimeService(Service):
    """A version of a realtime service: a model that takes data frames and answers data frames."""

    @property
    def model(self) -> Header:
        """What the server knows of the model: its columns, its library, and how its conversion compared."""
        header = self._view.model
        assert header is not None, "what has no model is a plain Service"
        return header

    def __call__(self, *args: Any, **inputs: Any) -> ServiceResponse:
        """Score rows: a DataFrame, or anything that can stand for some.

        That is a dict of columns or of the values of one row, a list of dicts, an array whose columns are in the
        model's order, a pyarrow Table; or `a=1, b="x"`, with a value or a list for each column. The answer is the
        response's output `outputData`, a DataFrame with a row for each, and with the index of a DataFrame that was
        given. Many rows go as Arrow, where pyarrow is installed.

        Raises
        ------
        InvalidInput
            Naming the column that is missing, unknown, or holds what the model does not take.
        """
        rows = rows_of(args, inputs, self.model.inputs, self.model.ignored)
        body = body_of(rows, self.model.inputs)
        answer, asked = self._call(content=body, accept=ARROW if body.content_type == ARROW else JSON)
        return answer_of(self._alias, answer, rows, self._view.output_parameter_definitions, asked)

    def serialized_model(self, revision: int | None = None) -> bytes:
        """The bytes that were published: a container of `serialize_model`'s, or an ONNX file.

        Parameters
        ----------
        revision:
            Of which revision; the one in force by default.
        """
        query = "" if revision is None else f"?revision={revision}"
        archive = self._ask("GET", f"/snapshot{query}")
        with zipfile.ZipFile(io.BytesIO(archive)) as zipped:
            return zipped.read("model")

    def open(self, *_: Any, **__: Any) -> NoReturn:
        """Refuse: there is nothing here that Python could load."""
        raise InvalidRequest(
            f"{self._title()} is a model alone, with neither code nor objects to open: serialized_model() gives its "
            "bytes, and consume(rows) its answers"
        )

    def debug(self, request_id: str | None = None) -> NoReturn:  # noqa: ARG002  # as of every service
        """Refuse: no code runs that could be looked at."""
        raise InvalidRequest(
            f"{self._title()} runs no code that could be repeated here: failures() lists the calls that failed, and why"
        )

    def _of_rows(self) -> tuple[tuple[Parameter, ...], tuple[Parameter, ...]]:
        return parameters_of(self.model.inputs), parameters_of(self.model.outputs)

    def _usage(self) -> list[str]:
        model = self.model
        answered = ", ".join(f"{one.name}: {one.type}" for one in model.outputs)
        return [
            f"{model.kind} of {model.library}: {takes(model.inputs)}, and answers {answered}.",
            "Takes a DataFrame, a dict of columns or of one row's values, a list of dicts, an array, or a value or a",
            "list for each column by name; returns a ServiceResponse, whose output `outputData` is a DataFrame.",
        ]
