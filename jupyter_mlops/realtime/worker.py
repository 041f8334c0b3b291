"""The realtime worker: a process that holds many models and answers calls of all of them.

Calls run one after another, in the order in which they came, right where their messages are parsed; what arrived
together for one model runs as one, because rows of a model that passed its check do not know of each other.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import mmap
import os
import sys
import time
from collections import deque
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from jupyter_mlops.errors import InvalidInput, InvalidRequest, MLOpsError
from jupyter_mlops.inner_end import InnerEnd, connect, keep_what_is_loaded, told
from jupyter_mlops.realtime.limits import address_space, die_with_parent, limit_memory, resident
from jupyter_mlops.realtime.model import Feeds, Model, RunFailed
from jupyter_mlops.realtime.writing import write
from jupyter_mlops.runtime.mark import Mark
from jupyter_mlops.schema.channel import Outcome
from jupyter_mlops.schema.realtime import (
    ARROW,
    INFERENCE,
    JSON,
    MESSAGEPACK,
    Employ,
    Forget,
    LoadModel,
    ModelLoaded,
    Score,
    Scored,
    ToWorker,
    Unload,
)

log = logging.getLogger(__name__)


class Worker(InnerEnd):
    """Serves calls of the models that it holds.

    Parameters
    ----------
    key:
        What tells the server which worker this is.
    """

    def __init__(self, key: str) -> None:
        super().__init__(key, ToWorker)
        self._waiting: deque[LoadModel | Unload | Score] = deque()
        self._models: dict[str, tuple[Model, LoadModel]] = {}
        self._mark: Mark
        self._replies = ""
        self._threads = 1

    def data_received(self, data: bytes) -> None:
        """Read everything that arrived, so that what came together runs together."""
        for message in self._messages(data):
            match message:
                case Forget(id=forgotten):
                    self._waiting = deque(one for one in self._waiting if getattr(one, "id", 0) != forgotten)
                case Employ() as how:
                    self._mark, self._threads = Mark(how.mark), how.threads
                    self._replies = f"{how.folder}{os.sep}reply-{os.getpid()}-"
                    limit_memory(address_space() + how.memory)
                case request:
                    self._waiting.append(request)
        while self._waiting:
            self._serve(self._waiting.popleft())

    def _serve(self, request: LoadModel | Unload | Score) -> None:
        match request:
            case Score():
                self._score(self._together(request))
            case LoadModel():
                self._mark.begin(request.id)
                self._send(self._load(request))
                self._mark.end()
            case Unload():
                self._models.pop(request.model, None)
                gc.collect()

    def _load(self, request: LoadModel) -> ModelLoaded:
        before = resident()
        try:
            self._models[request.model] = _read(request, self._threads), request
        except MLOpsError as error:
            return ModelLoaded(request.id, error.message, 0)
        except MemoryError:
            return ModelLoaded(request.id, "the model needs more memory than a realtime worker may use", 0)
        return ModelLoaded(request.id, "", max(0, resident() - before))

    def _together(self, first: Score) -> list[Score]:
        """A call, with those behind it that may run with it."""
        members = [first]
        known = self._models.get(first.model)
        if known is None or not known[1].grouped or not _groups(first):
            return members
        waiting, most = self._waiting, known[1].group_size
        while waiting and len(members) < most:
            other = waiting[0]
            if not (isinstance(other, Score) and other.model == first.model and _groups(other)):
                break
            members.append(other)
            waiting.popleft()
        return members

    def _score(self, members: list[Score]) -> None:
        """Run calls of one model as one; when that fails, each by itself."""
        # The last has the largest id: whatever of them is not answered when this process ends was being run.
        begun = self._mark.begin(members[-1].id)
        started = time.perf_counter()
        known = self._models.get(members[0].model) if begun else None
        if known is None:  # the server has taken them back, or the model could not be loaded
            for member in members:
                self._send(Scored(member.id, Outcome.ALONE, b"", 0.0))
        elif len(members) == 1:
            self._answer_one(known[0], members[0], started)
        else:
            self._answer_all(known[0], members, started)
        self._mark.end()

    def _answer_one(self, model: Model, member: Score, started: float) -> None:
        try:
            feeds, count, wanted = self._read_call(model, member)
            found = model.run(feeds, count)
            self._reply(model, member, model.columns(found), wanted, started)
        except (MLOpsError, MemoryError) as error:
            self._refuse(member, error, started)
        except Exception:  # a defect of ours costs the call that met it, and not those of other models
            log.exception("a call of model %s met a defect", member.model)
            self._refuse(member, RunFailed("the realtime worker met a defect of its own; its log has more"), started)

    def _answer_all(self, model: Model, members: list[Score], started: float) -> None:
        read: list[tuple[Score, Feeds, int, Any]] = []
        for member in members:
            try:
                read.append((member, *self._read_call(model, member)))
            except Exception:  # noqa: BLE001  # by itself it meets the same again, and is told
                self._answer_one(model, member, started)
        if not read:
            return
        together = {name: np.concatenate([feeds[name] for _, feeds, _, _ in read]) for name in read[0][1]}
        try:
            found = model.run(together, sum(count for _, _, count, _ in read))
        except (MLOpsError, MemoryError):  # one of them is to blame: the others are answered all the same
            for member, *_ in read:
                self._answer_one(model, member, started)
            return
        start = 0
        for member, _, count, wanted in read:
            try:
                columns = model.columns(found, start=start, stop=start + count)
                self._reply(model, member, columns, wanted, started)
            except MLOpsError as error:
                self._refuse(member, error, started)
            start += count

    def _read_call(self, model: Model, member: Score) -> tuple[Feeds, int, Any]:
        """The tensors of a call, its rows, and, of Open Inference Protocol, what it wants back."""
        body = _mapped(member.path) if member.path else member.body
        if member.media == INFERENCE:
            from jupyter_mlops.realtime.inference import read_request

            read, wanted = read_request(model, body, member.head)
        else:
            read, wanted = model.reader.read(body, member.media), None
        return model.feeds(read), read.count, wanted

    def _reply(self, model: Model, member: Score, columns: dict[str, Any], wanted: Any, started: float) -> None:
        path, head = f"{self._replies}{member.id}", 0
        media = member.accept if member.accept in {ARROW, MESSAGEPACK} else JSON
        if wanted is None:
            body, place = write(columns, model.header.outputs, media, path)
        else:
            from jupyter_mlops.realtime.inference import write_answer

            name = self._models[member.model][1].name
            body, place, head = write_answer(model, columns, wanted, name, path)
            media = INFERENCE
        seconds = time.perf_counter() - started
        self._send(Scored(member.id, Outcome.ANSWERED, body, seconds, place, media, head))

    def _refuse(self, member: Score, error: Exception, started: float) -> None:
        rejected = isinstance(error, InvalidInput)
        words = str(error) or "the call needs more memory than a realtime worker may use"
        outcome = Outcome.REJECTED if rejected else Outcome.RAISED
        fields = error.fields if isinstance(error, MLOpsError) else ""
        self._send(
            Scored(member.id, outcome, words.encode(), time.perf_counter() - started, fields=fields, media="text/plain")
        )


def _groups(call: Score) -> bool:
    return not call.alone and not call.path


def _read(request: LoadModel, threads: int) -> Model:
    try:
        with Path(request.path).open("rb") as file:
            file.seek(request.offset)
            onnx = file.read()
    except OSError as error:
        raise InvalidRequest(f"the model's file cannot be read: {error.strerror}") from None
    return Model(onnx, request.header, threads)


def _mapped(path: str) -> memoryview:
    """A large body where it lies; the pages go when nothing refers to them any more."""
    with Path(path).open("rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


async def _serve() -> None:
    keep_what_is_loaded()
    address, key = told()
    await connect(address, lambda: Worker(key))
    await asyncio.get_running_loop().create_future()


def main() -> None:
    """Connect to the server that the environment names, and serve it."""
    die_with_parent()
    with contextlib.suppress(ImportError):
        import_module("jupyter_mlops.realtime.arrow")  # now, rather than in somebody's call
    if sys.platform != "win32":
        # asyncio's own loop sends an answer the moment it is written; others wait until what came is worked off.
        asyncio.run(_serve())
    else:
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            runner.run(_serve())


if __name__ == "__main__":
    main()
