"""The answer of one call."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any, Self

import msgspec

from jupyter_mlops.codec import to_python
from jupyter_mlops.errors import CodeRaised, InvalidRequest, NotFound
from jupyter_mlops.schema.executions import WebServiceResult
from jupyter_mlops.schema.types import Parameter, ValueType


@dataclass(frozen=True)
class Asked:
    """What is known of a call before it is answered."""

    id: str
    """What the server knows it by."""
    mine: bool
    """Whether the caller published the service, or is an Owner, and so may look at calls that failed."""

    def hint(self) -> str:
        """How to repeat the call where its code can be looked at, or what to tell its publisher."""
        how = f'service.debug("{self.id}") repeats it here' if self.mine else "its publisher can repeat it by this id"
        return f"\n(request {self.id}: {how})"


class ServiceResponse:
    """What a call of a service answered.

    A function that raised does not raise here: `error` holds its traceback, and `outputs` are None.

    Parameters
    ----------
    api:
        Name of the consume function that was called.
    result:
        The server's answer.
    outputs:
        The service's declared outputs.
    several:
        Whether several rows were sent, to a batchable service: each output is then an array with a value for each
        row in their order, None for what is missing (of points in time a list).
    asked:
        What the server knows the call by; None for a row of a batch.
    """

    def __init__(
        self,
        api: str,
        result: WebServiceResult,
        outputs: tuple[Parameter, ...],
        *,
        several: bool = False,
        asked: Asked | None = None,
    ) -> None:
        self._api = api
        self._asked = asked
        self._result = result
        self._declared = outputs
        parts = result.output_parameters
        decode = _column if several else to_python
        self._outputs = {one.name: decode(parts.get(one.name), one) for one in outputs}

    @property
    def api(self) -> str:
        """Name of the consume function that was called."""
        return self._api

    @property
    def request_id(self) -> str:
        """What the server knows this call by, also for `service.debug` when it failed; empty for a row of a batch."""
        return "" if self._asked is None else self._asked.id

    @property
    def success(self) -> bool:
        """Whether the function returned."""
        return self._result.success

    @property
    def error(self) -> str:
        """The function's traceback when it raised, else empty."""
        return self._result.error_message

    @property
    def console_output(self) -> str:
        """What the function printed."""
        return self._result.console_output

    @property
    def changed_files(self) -> list[str]:
        """Files of the working directory that the call made or changed."""
        return list(self._result.changed_files)

    @property
    def outputs(self) -> dict[str, Any]:
        """The declared outputs as Python values; None for what is missing."""
        return dict(self._outputs)

    @property
    def raw_outputs(self) -> dict[str, Any]:
        """The outputs as they came over the wire."""
        return dict(self._result.output_parameters)

    @property
    def artifacts(self) -> dict[str, str | None]:
        """The declared artifacts: base64 text by file name, None for what was not written."""
        return dict(self._result.output_files)

    def raise_for_error(self) -> Self:
        """Return this response, unless the function raised.

        Raises
        ------
        CodeRaised
            With its traceback, and the id by which `service.debug` repeats it.
        """
        if not self.success:
            raise CodeRaised(f"{self.error.rstrip()}{self._hint()}")
        return self

    def output(self, name: str) -> Any:
        """One output as a Python value.

        Parameters
        ----------
        name:
            A declared output.
        """
        if name not in self._outputs:
            raise NotFound(f"there is no output {name!r}; there are {', '.join(self._outputs) or 'none'}")
        return self._outputs[name]

    def artifact(self, name: str, decode: bool = True, encoding: str | None = None) -> Any:  # noqa: FBT001, FBT002
        """One artifact's content.

        Parameters
        ----------
        name:
            A declared artifact.
        decode:
            False for the base64 text as it came.
        encoding:
            Such as `utf-8`, for text instead of bytes.

        Returns
        -------
        bytes, str or None
            None when the call did not write it.
        """
        if name not in self._result.output_files:
            raise NotFound(f"there is no artifact {name!r}; there are {', '.join(self.artifacts) or 'none'}")
        content = self._result.output_files[name]
        if content is None or not decode:
            return content
        try:
            plain = base64.b64decode(content, validate=True)
        except binascii.Error as error:
            raise InvalidRequest(f"artifact {name!r} did not come as base64: {error}") from None
        return plain if encoding is None else plain.decode(encoding)

    def __repr__(self) -> str:
        if not self.success:
            return f"<ServiceResponse of {self._api}: failed\n{self.error.rstrip()}{self._hint()}>"
        shown = ", ".join(f"{name}={value!r}" for name, value in self._outputs.items())
        files = f"; artifacts: {', '.join(self.artifacts)}" if self.artifacts else ""
        return f"<ServiceResponse of {self._api}: {shown or 'no outputs'}{files}>"

    def _hint(self) -> str:
        return "" if self._asked is None else self._asked.hint()


def _column(values: Any, declared: Parameter) -> Any:
    if values is None or declared.format:
        return None if values is None else [to_python(value, declared) for value in values]
    return to_python(values, msgspec.structs.replace(declared, type=ValueType.VECTOR))
