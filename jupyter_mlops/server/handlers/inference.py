"""Open Inference Protocol V2, for clients of KServe and Triton: the realtime services, under other addresses."""

from __future__ import annotations

from typing import Any

import msgspec

import jupyter_mlops
from jupyter_mlops.errors import InvalidRequest
from jupyter_mlops.schema.access import Action
from jupyter_mlops.schema.channel import Outcome
from jupyter_mlops.schema.errors import ErrorBody
from jupyter_mlops.schema.inference import (
    InferenceAnswer,
    InferenceRequest,
    Liveness,
    ModelMetadata,
    Readiness,
    ServerMetadata,
)
from jupyter_mlops.schema.operations import INFERENCE as TAG
from jupyter_mlops.schema.realtime import INFERENCE, Scored
from jupyter_mlops.server.handlers.base import BaseHandler, plain
from jupyter_mlops.server.handlers.executions import Execution
from jupyter_mlops.server.handlers.operations import operation
from jupyter_mlops.server.kernels.waiting import Caller
from jupyter_mlops.server.managers.access import require
from jupyter_mlops.server.managers.models import Form

_LENGTH = "Inference-Header-Content-Length"


class InferenceHandler(BaseHandler):
    """What these handlers share: a refusal says `error` too, where the protocol's clients look."""

    def answer(self, value: Any, status: int = 200) -> None:
        """Finish with a value as JSON."""
        refusal = isinstance(value, ErrorBody)
        super().answer(msgspec.to_builtins(value) | {"error": value.message} if refusal else value, status)


class Server(InferenceHandler):
    """`/v2`."""

    @operation("serverMetadata", TAG, Action.LIST, gives={200: ServerMetadata})
    def get(self) -> None:
        """Name the server, and what it has of the protocol's extensions."""
        require(self.identity, Action.LIST)
        self.answer(ServerMetadata(name="jupyter_mlops", version=jupyter_mlops.__version__))


class Live(InferenceHandler):
    """`/v2/health/live`."""

    @operation("serverLive", TAG, Action.LIST, gives={200: Liveness})
    def get(self) -> None:
        """Say that the server runs."""
        require(self.identity, Action.LIST)
        self.answer(Liveness(live=True))


class Ready(InferenceHandler):
    """`/v2/health/ready`."""

    @operation("serverReady", TAG, Action.LIST, gives={200: Readiness})
    def get(self) -> None:
        """Say that the server takes calls; one that is about to end answers 503."""
        require(self.identity, Action.LIST)
        ready = not self.managers.status.draining
        self.answer(Readiness(ready=ready), 200 if ready else 503)


class Model(InferenceHandler):
    """`/v2/models/{name}[/versions/{version}]`."""

    @operation(
        "modelMetadata",
        TAG,
        Action.LIST,
        gives={200: ModelMetadata},
        refuses=(404,),
        also={"/v2/models/{name}": "latestModelMetadata"},
    )
    def get(self, name: str, version: str | None = None) -> None:
        """Describe the tensors of a realtime service: one for each column, with a value for each row."""
        self.answer(self.managers.realtime.metadata(self.identity, name, version))


class ModelReady(InferenceHandler):
    """`/v2/models/{name}[/versions/{version}]/ready`."""

    @operation(
        "modelReady",
        TAG,
        Action.LIST,
        gives={200: Readiness},
        refuses=(404,),
        also={"/v2/models/{name}/ready": "latestModelReady"},
    )
    def get(self, name: str, version: str | None = None) -> None:
        """Say that a realtime service can be called."""
        self.managers.realtime.metadata(self.identity, name, version)
        self.answer(Readiness(ready=True))


class Infer(InferenceHandler, Execution):
    """`/v2/models/{name}[/versions/{version}]/infer`."""

    @operation(
        "modelInfer",
        TAG,
        Action.CONSUME,
        takes=InferenceRequest,
        body="inferenceRequest",
        gives={200: InferenceAnswer},
        refuses=(400, 404, 422, 502, 503, 504),
        also={"/v2/models/{name}/infer": "latestModelInfer"},
    )
    async def post(self, name: str, version: str | None = None) -> None:
        """Score rows: a tensor for each column, or one for all columns that the model takes in one.

        Tensors may follow the JSON as bytes (`Inference-Header-Content-Length` says where they begin).
        """
        self._caller = Caller()
        path = "" if self._spool is None else await self._spool.finish()
        form = Form(INFERENCE, INFERENCE, self._head())
        reply = await self.managers.executions.call(
            self.identity, name, version, self.body(), self._caller, path, self.correlation, form
        )
        await self._send(reply)

    async def _send(self, reply: Any) -> None:
        assert isinstance(reply, Scored), "a standard service has been refused"
        if reply.outcome == Outcome.RAISED:
            self.answer(plain(reply.body.decode(), 422, "CodeRaised"), 422)
            return
        self.set_header("Content-Type", "application/octet-stream" if reply.head else "application/json")
        if reply.head:
            self.set_header(_LENGTH, str(reply.head))
        if reply.path:
            await self.send_reply(reply.path, in_memory=True)
        await self.finish(reply.body or None)

    def _head(self) -> int:
        """Bytes of JSON before binary tensors; 0 when there are none."""
        length = self.request.headers.get(_LENGTH, "")
        size = self._size or len(self.body())
        if length and not (length.isdecimal() and 0 < int(length) <= size):
            raise InvalidRequest(f"the header {_LENGTH} is no number from 1 to {size}: {length[:40]!r}", fields=_LENGTH)
        return int(length) if length else 0
