"""Realtime services, as far as this version has them: a publish is checked, and refused with the way on."""

from __future__ import annotations

from jupyter_mlops.schema.access import Action
from jupyter_mlops.schema.operations import SERVICES, Form, Part
from jupyter_mlops.server.handlers import multipart
from jupyter_mlops.server.handlers.operations import operation
from jupyter_mlops.server.managers.uploads import SIZE_LIMIT

_MODEL = "model"
_TEXT = "The binary serialized model to be used for realtime web service."


def _form(*, needs_model: bool) -> Form:
    return Form(
        (
            Part("description", "The description of the realtime web service."),
            Part("operationId", "Swagger operationId/alias for the realtime web service."),
            Part(_MODEL, _TEXT, file=True, required=needs_model),
        )
    )


class Realtime(multipart.FormHandler):
    """`/realtime-services/{name}`."""

    limit = SIZE_LIMIT
    files = frozenset({_MODEL})

    def admit(self) -> None:
        """Check who publishes what before a large model is on its way."""
        super().admit()
        if self.form is not None:
            self.managers.realtime.check(self.identity, *self.path_args, new=self.request.method == "POST")

    def open_file(self, part: multipart.Part) -> multipart.Sink:  # noqa: ARG002  # there is one file
        """Keep nothing of a model that nothing can score."""
        return _Nowhere()

    @operation(
        "publishRealtimeWebServiceByName",
        SERVICES,
        Action.PUBLISH,
        takes=_form(needs_model=True),
        gives={201: str},
        refuses=(400, 415),
    )
    def post(self, name: str) -> None:  # noqa: ARG002  # admit has read the path
        """Publish a model without naming a version.

        This version of the server scores no models by themselves: it answers 400 and names the way on.
        """
        self._publish()

    def _publish(self) -> None:
        form = self.received()
        self.managers.realtime.publish(form.fields, has_model=_MODEL in form.parts)


class RealtimeVersion(Realtime):
    """`/realtime-services/{name}/{version}`."""

    @operation(
        "publishRealtimeWebServiceByNameVersion",
        SERVICES,
        Action.PUBLISH,
        takes=_form(needs_model=True),
        gives={201: str},
        refuses=(400, 409, 415),
    )
    def post(self, name: str, version: str) -> None:  # type: ignore[override]  # noqa: ARG002  # as above
        """Publish a model.

        This version of the server scores no models by themselves: it answers 400 and names the way on.
        """
        self._publish()

    @operation(
        "patchRealtimeWebServiceByNameVersion",
        SERVICES,
        Action.PUBLISH,
        takes=_form(needs_model=False),
        refuses=(400, 404, 415),
    )
    def patch(self, name: str, version: str) -> None:  # noqa: ARG002  # as above
        """Make a new revision of a realtime service.

        This version of the server scores no models by themselves: it answers 400 and names the way on.
        """
        self.managers.realtime.update(self.received().fields)


class _Nowhere:
    """Takes a file's bytes and keeps none."""

    async def write(self, data: bytes) -> None:
        """Take the next bytes."""

    def remove(self) -> None:
        """Remove nothing."""
