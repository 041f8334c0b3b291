"""One call inside the kernel: inputs to Python, the user's function, its answer to JSON."""

from __future__ import annotations

import asyncio
import base64
import operator
import time
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from jupyter_mlops.codec import numbers_to_python, stays, to_python
from jupyter_mlops.columns import Columns
from jupyter_mlops.errors import InvalidInput
from jupyter_mlops.inputs import RowsReader
from jupyter_mlops.outputs import wire_outputs
from jupyter_mlops.runtime.console import Console
from jupyter_mlops.runtime.group import split
from jupyter_mlops.runtime.load import Service, user_traceback
from jupyter_mlops.runtime.mark import Mark
from jupyter_mlops.schema.channel import LARGE_REPLY, Call, Group, GroupReply, Outcome, Reply
from jupyter_mlops.schema.executions import WebServiceResult
from jupyter_mlops.schema.types import Parameter


class Ended(NamedTuple):
    """How a row of a batch ended, or many that ran as one."""

    outcome: Outcome
    seconds: float
    body: bytes
    """JSON: its outputs when it is `plain`, else its `WebServiceResult` without the content of artifacts."""
    plain: bool = False
    """Whether it was answered and did nothing else."""
    files: dict[str, bytes | None] = {}
    """Declared artifact to its content, or None when the row did not write it."""
    columns: dict[str, Any] = {}
    """The outputs of many rows that were answered."""


class Invoker:
    """Runs calls of one loaded service, one at a time.

    Parameters
    ----------
    service:
        The loaded revision.
    console:
        Catches what a call prints.
    mark:
        Where the running call's id is written before its code runs.
    artifact_limit:
        Largest artifact in bytes.
    """

    def __init__(self, service: Service, console: Console, mark: Mark, artifact_limit: int) -> None:
        self._service = service
        self._console = console
        self._mark = mark
        self._artifact_limit = artifact_limit
        self._encoder = msgspec.json.Encoder()
        self._inputs = {parameter.name: parameter for parameter in service.definition.inputs}
        self._each: list[Parameter] = []
        """Inputs of rows of a batch that are turned row by row."""
        self._armed = False
        self._running = 0
        self._task: asyncio.Task[Any] | None = None
        self.asynchronous = service.asynchronous
        if service.definition.batchable:
            self._columns = Columns(service.function, service.definition)
            self._rows = RowsReader(service.definition.inputs)

    def interrupt(self) -> None:
        """Stop the running call, at most once; called from the SIGINT handler.

        Raises
        ------
        KeyboardInterrupt
            Into the user's synchronous code, when it is running.
        """
        if self._mark.unwanted() != self._running:
            return
        if self._task is not None:
            self._task.get_loop().call_soon_threadsafe(self._task.cancel)
        elif self._armed:
            self._armed = False
            raise KeyboardInterrupt

    def begin(self, call: Call | Group) -> bool:
        """Mark a call as begun; False when the server has withdrawn it, so that it may not be run."""
        self._running = call.id
        return self._mark.begin(call.id)

    def begin_row(self, number: int) -> bool:
        """The same for a row of a slice."""
        self._running = number
        return self._mark.begin(number)

    def convert(self, columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
        """Turn the inputs of a batch's rows into Python's, as far as that can be done for all rows at once.

        The others are turned when a row is attempted: it may change them, and be attempted again.
        """
        found = {name: numbers_to_python(values, self._inputs[name]) for name, values in columns.items()}
        self._each = [self._inputs[name] for name in columns if found[name] is None and not stays(self._inputs[name])]
        return {name: columns[name] if values is None else values for name, values in found.items()}

    def attempt(self, row: dict[str, Any]) -> Ended:
        """Run one row of a batch, whose inputs were checked and `convert` had, as `run` does a call."""
        begun = self._prepare()
        try:
            self._arm()
            value = self._call(self._whole(row) if self._each else row)
            self._armed = False
            ending = self._answer(value)
        except BaseException as error:  # noqa: BLE001  # the same as for a single call
            self._armed = False
            ending = _ending(error)
        return self._end_row(begun, *ending)

    async def attempt_async(self, row: dict[str, Any]) -> Ended:
        """Run one row of a batch as `run_async` does a call."""
        begun = self._prepare()
        return self._end_row(begun, *await self._await(self._whole(row)))

    def attempt_columns(self, columns: dict[str, Any], count: int) -> Ended:
        """Run rows of a batch as one."""
        begun = self._prepare()
        try:
            self._arm()
            value = self._columns.call(columns)
            self._armed = False
            parts = self._read_columns(value, count)
        except BaseException as error:  # noqa: BLE001  # the same as for a single call
            self._armed = False
            return self._end_row(begun, *_ending(error))
        self._undo(begun[1])
        self._console.end()  # what many rows printed is no row's own
        self._mark.end()
        names = [output.name for output in self._service.definition.outputs]
        seconds = time.perf_counter() - begun[0]
        return Ended(Outcome.ANSWERED, seconds, b"", columns=dict(zip(names, parts, strict=True)))

    def run(self, call: Call) -> Reply:
        """Run one call of a synchronous function, or of code, to its end; like all, it has begun."""
        if self._service.definition.batchable:
            return self._run_rows(call)
        begun = self._prepare()
        try:
            self._arm()
            value = self._call(self._read(call))
            self._armed = False
            ending = self._answer(value)
        # The function is the user's: whatever it raises, sys.exit() included, is this call's answer.
        except BaseException as error:  # noqa: BLE001
            self._armed = False
            ending = _ending(error)
        return self._end(call, begun, *ending)

    def _run_rows(self, call: Call) -> Reply:
        """Read a large body of a batchable service and run it as a group of its own."""
        try:
            rows = self._rows.read(_body(call))
        except InvalidInput as error:
            self._mark.end()
            rejected = _envelope(Outcome.REJECTED, str(error), "")
            return Reply(call.id, Outcome.REJECTED, self._encode(rejected), 0.0)
        shape = (-1,) if rows.single else (rows.count,)
        reply = self.run_group(Group(call.id, shape, msgspec.msgpack.encode(rows.columns)))
        return _reply(call.id, reply.outcomes[0], reply.bodies[0], reply.seconds)

    def run_group(self, group: Group) -> GroupReply:
        """Run several calls as one; when that fails, ask for each to be run by itself."""
        begun = self._prepare()
        names = [output.name for output in self._service.definition.outputs]
        try:
            self._arm()
            value = self._columns.call(msgspec.msgpack.decode(group.columns))
            self._armed = False
            columns = self._read_columns(value, sum(map(abs, group.rows)))
            endings: list[tuple[Outcome, Any]] = [
                (Outcome.ANSWERED, share) for share in split(columns, names, group.rows)
            ]
        except BaseException as error:  # noqa: BLE001  # the same as for a single call
            self._armed = False
            outcome, message = _ending(error)
            if len(group.rows) > 1 and outcome is not Outcome.INTERRUPTED:
                outcome = Outcome.ALONE
            endings = [(outcome, message)] * len(group.rows)
        self._undo(begun[1])
        printed = self._console.end()
        # What a group printed may tell of others' rows.
        shown = printed if len(group.rows) == 1 else ""
        bodies = tuple(self._encode(_envelope(outcome, result, shown)) for outcome, result in endings)
        self._mark.end()
        outcomes = tuple(outcome for outcome, _ in endings)
        return GroupReply(group.id, outcomes, bodies, time.perf_counter() - begun[0])

    def _read_columns(self, value: Any, count: int) -> list[list[Any]]:
        try:
            return self._columns.read(value, count)
        except InvalidInput as error:
            raise _Misfit(str(error)) from None

    async def run_async(self, call: Call) -> Reply:
        """Run one call of an asynchronous function to its end."""
        begun = self._prepare()
        try:
            inputs = self._read(call)
        except _Rejected as error:
            return self._end(call, begun, *_ending(error))
        return self._end(call, begun, *await self._await(inputs))

    async def _await(self, inputs: dict[str, Any]) -> tuple[Outcome, Any]:
        assert self._service.function is not None
        try:
            self._task = asyncio.ensure_future(self._service.function(**inputs))
            if self._mark.unwanted() == self._running:
                self._task.cancel()
            value = await self._task
            self._task = None
            return self._answer(value)
        except BaseException as error:  # noqa: BLE001  # the same as for a synchronous function
            self._task = None
            return _ending(error)

    def _arm(self) -> None:
        """Let interrupts stop what follows; one that came since the call was marked stops it now."""
        self._armed = True
        if self._mark.unwanted() == self._running:
            self.interrupt()

    def _prepare(self) -> tuple[float, dict[str, Any]]:
        started = time.perf_counter()
        self._console.begin()
        return started, dict(self._service.namespace)

    def _read(self, call: Call) -> dict[str, Any]:
        try:
            reader = self._service.reader
            values = msgspec.msgpack.decode(call.body) if call.checked else reader.read(_body(call))
            return self._to_python(values)
        except (InvalidInput, ValueError) as error:
            raise _Rejected(str(error)) from error

    def _to_python(self, values: dict[str, Any]) -> dict[str, Any]:
        return {name: to_python(value, self._inputs[name]) for name, value in values.items()}

    def _whole(self, row: dict[str, Any]) -> dict[str, Any]:
        """The rest of what `convert` began."""
        return row | {one.name: to_python(row[one.name], one) for one in self._each}

    def _call(self, inputs: dict[str, Any]) -> Any:
        service = self._service
        if service.function is not None:
            return service.function(**inputs)
        namespace = service.namespace
        namespace.update(inputs)
        # This is what the service is: code its publisher wrote, run in the kernel made for it.
        if service.init_code is not None:
            exec(service.init_code, namespace)  # noqa: S102
        assert service.code is not None
        exec(service.code, namespace)  # noqa: S102
        return {
            output.name: namespace[output.name] for output in service.definition.outputs if output.name in namespace
        }

    def _answer(self, value: Any) -> tuple[Outcome, Any]:
        outputs = self._service.definition.outputs
        try:
            return Outcome.ANSWERED, wire_outputs(value, outputs, by_name=self._service.function is None)
        except InvalidInput as error:
            return _ending(_Misfit(str(error)))

    def _end(self, call: Call, begun: tuple[float, dict[str, Any]], outcome: Outcome, result: Any) -> Reply:
        started, before = begun
        files: dict[str, str | None] = {}
        try:
            contents = self._artifacts()
            files = {
                name: None if content is None else base64.b64encode(content).decode()
                for name, content in contents.items()
            }
        except ValueError as error:
            outcome, result = Outcome.RAISED, str(error)
        changed = self._undo(before)
        body = self._encode(_envelope(outcome, result, self._console.end(), changed, files))
        self._mark.end()
        return _reply(call.id, outcome, body, time.perf_counter() - started)

    def _end_row(self, begun: tuple[float, dict[str, Any]], outcome: Outcome, result: Any) -> Ended:
        started, before = begun
        if outcome is Outcome.INTERRUPTED:
            result = f"the call ran past its deadline of {self._service.definition.timeout:g} s and was interrupted"
        files: dict[str, bytes | None] = {}
        try:
            files = self._artifacts()
        except ValueError as error:
            outcome, result = Outcome.RAISED, str(error)
        changed = self._undo(before)
        printed = self._console.end()
        plain = outcome is Outcome.ANSWERED and not (printed or changed or files)
        told = result if plain else _envelope(outcome, result, printed, changed, dict.fromkeys(files))
        body = self._encode(told)
        self._mark.end()
        return Ended(outcome, time.perf_counter() - started, body, plain, files)

    def _undo(self, before: dict[str, Any]) -> tuple[str, ...]:
        """Put back what the call rebound and which files it changed; the names of those files."""
        changed, dirty = self._service.workdir.changes()
        if dirty:
            self._service.workdir.put_back()
        namespace = self._service.namespace
        # `is` never runs code of the user's objects, as `==` would.
        if len(namespace) != len(before) or not all(map(operator.is_, namespace.values(), before.values())):
            namespace.clear()
            namespace.update(before)
        return changed

    def _artifacts(self) -> dict[str, bytes | None]:
        """Declared artifact to its content, or None when the call did not write it."""
        if not self._service.definition.artifacts:
            return {}
        read, limit = self._service.workdir.read, self._artifact_limit
        return {name: read(name, limit) for name in self._service.definition.artifacts}

    def _encode(self, envelope: Any) -> bytes:
        try:
            return self._encoder.encode(envelope)
        except UnicodeEncodeError:  # text that is no Unicode, such as a lone surrogate, is replaced
            return self._encoder.encode(_replaced(msgspec.to_builtins(envelope)))


def _envelope(
    outcome: Outcome,
    result: Any,
    printed: str,
    changed: tuple[str, ...] = (),
    files: dict[str, str | None] | None = None,
) -> WebServiceResult:
    answered = outcome is Outcome.ANSWERED
    return WebServiceResult(
        success=answered,
        error_message="" if answered else result,
        console_output=printed,
        changed_files=changed,
        output_files=files or {},
        output_parameters=result if answered else {},
    )


def _body(call: Call) -> bytes:
    return Path(call.path).read_bytes() if call.path else call.body


def _reply(call: int, outcome: int, body: bytes, seconds: float) -> Reply:
    """The reply; a large body is put beside the working directory, for the server to send piece by piece."""
    if len(body) < LARGE_REPLY:
        return Reply(call, outcome, body, seconds)
    path = Path(f"../reply-{call}").absolute()
    path.write_bytes(body)
    return Reply(call, outcome, b"", seconds, str(path))


class _Rejected(Exception):
    """The inputs do not fit; the message says how."""


class _Misfit(Exception):
    """The answer does not fit the declared outputs; the message says how."""


def _ending(error: BaseException) -> tuple[Outcome, str]:
    match error:
        case KeyboardInterrupt() | asyncio.CancelledError():
            return Outcome.INTERRUPTED, "the call was interrupted: it ran past its deadline"
        case _Rejected():
            return Outcome.REJECTED, str(error)
        case _Misfit():
            return Outcome.RAISED, f"the answer does not fit the service's declared outputs: {error}"
        case _:
            return Outcome.RAISED, user_traceback(error)


def _replaced(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_replaced(key): _replaced(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_replaced(part) for part in value]
    return value
