"""Publishing realtime services: a model in a multipart form, as Machine Learning Server took it."""

from __future__ import annotations

from pathlib import Path

from jupyter_mlops.schema.access import Action
from jupyter_mlops.schema.operations import SERVICES, Form, Part
from jupyter_mlops.server.handlers import multipart
from jupyter_mlops.server.handlers.operations import operation
from jupyter_mlops.server.handlers.spool import Spool
from jupyter_mlops.server.managers.realtime import MODEL_LIMIT

_MODEL = "model"
_TEXT = "The model: bytes from `jupyter_mlops.serialize_model`, or an ONNX file."
_REFUSED = (400, 409, 415, 422)


def _form(*, needs_model: bool) -> Form:
    """The form as Machine Learning Server described it; a field `timeout`, in seconds, is taken too."""
    return Form(
        (
            Part("description", "The description of the realtime web service."),
            Part("operationId", "Swagger operationId/alias for the realtime web service."),
            Part(_MODEL, _TEXT, file=True, required=needs_model),
        )
    )


class Realtime(multipart.FormHandler):
    """`/realtime-services/{name}`."""

    limit = MODEL_LIMIT
    files = frozenset({_MODEL})
    _spool: Spool | None = None

    def admit(self) -> None:
        """Check who publishes what before a large model is on its way."""
        super().admit()
        if self.form is not None:
            self.managers.realtime.check(self.identity, *self.path_args, new=self.request.method == "POST")

    def open_file(self, part: multipart.Part) -> multipart.Sink:  # noqa: ARG002  # there is one file
        """Write the model to the data directory while it arrives."""
        announced = self.request.headers.get("Content-Length", "")
        size = int(announced) if announced.isdecimal() else 0
        self._spool = Spool(self.managers.realtime.spool(size))
        return self._spool

    @operation(
        "publishRealtimeWebServiceByName",
        SERVICES,
        Action.PUBLISH,
        takes=_form(needs_model=True),
        gives={201: str},
        refuses=(400, 415, 422),
    )
    async def post(self, name: str) -> None:
        """Publish a model without naming a version.

        The answer is the version, a GUID. The model is read, and answers made-up rows, in a process of its own before
        anybody sees it.
        """
        await self._publish(name, None)

    async def _publish(self, name: str, version: str | None) -> None:
        fields, model = await self._sent()
        revision = await self.managers.realtime.publish(self.identity, name, version, fields, model)
        self.answer(revision.version, 201)

    async def _sent(self) -> tuple[dict[str, str], Path | None]:
        """The fields, and the model's file if it came."""
        form = self.received()
        if self._spool is None:
            return form.fields, None
        await self._spool.finish()
        return form.fields, self._spool.path


class RealtimeVersion(Realtime):
    """`/realtime-services/{name}/{version}`."""

    @operation(
        "publishRealtimeWebServiceByNameVersion",
        SERVICES,
        Action.PUBLISH,
        takes=_form(needs_model=True),
        gives={201: str},
        refuses=_REFUSED,
    )
    async def post(self, name: str, version: str) -> None:  # type: ignore[override]  # one more part of the path
        """Publish a model.

        The model is read, and answers made-up rows, in a process of its own before anybody sees it.
        """
        await self._publish(name, version)

    @operation(
        "patchRealtimeWebServiceByNameVersion",
        SERVICES,
        Action.PUBLISH,
        takes=_form(needs_model=False),
        refuses=(400, 404, 409, 415, 422),
    )
    async def patch(self, name: str, version: str) -> None:
        """Make a new revision of a realtime service.

        What the form leaves out stays as it is. Only its publisher and Owners may. Calls go to the new model as soon
        as it is loaded, and none fails.
        """
        fields, model = await self._sent()
        revision = await self.managers.realtime.update(self.identity, name, version, fields, model)
        self.answer(revision.version)
