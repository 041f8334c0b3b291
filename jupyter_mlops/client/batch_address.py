"""Where a batch is."""

from __future__ import annotations

from jupyter_mlops.client.transport import Transport, segment
from jupyter_mlops.errors import InvalidRequest
from jupyter_mlops.schema.types import Parameter


class BatchAddress:
    """A batch's place on the server; all parts of `Batch` stand on it.

    Parameters
    ----------
    transport:
        The way to the server.
    service:
        The service's path.
    outputs:
        The service's declared outputs.
    execution_id:
        The batch, when it exists.
    """

    def __init__(
        self, transport: Transport, service: str, outputs: tuple[Parameter, ...], execution_id: str | None
    ) -> None:
        self._transport = transport
        self._service = service
        self._outputs = outputs
        self._execution_id = execution_id

    @property
    def api(self) -> str:
        """The path of the service's batches."""
        return f"{self._service}/batch"

    @property
    def execution_id(self) -> str | None:
        """What names it to the server; None while it has not been started."""
        return self._execution_id

    def _path(self, rest: str = "") -> str:
        if self._execution_id is None:
            raise InvalidRequest("Batch not started, call start() first")
        return f"{self.api}/{segment(self._execution_id)}{rest}"
