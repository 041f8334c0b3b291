"""The fluent builder of `azureml.deploy`: what to publish, step by step."""

from __future__ import annotations

import inspect
import linecache
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self

from msgspec import Raw

from jupyter_mlops.capture import Capture, capture
from jupyter_mlops.client.batchable import describe_batchable
from jupyter_mlops.client.declare import from_type
from jupyter_mlops.client.namespaces import function_namespace
from jupyter_mlops.client.pools import pool_json
from jupyter_mlops.client.publish import Target, publish, published, request_for
from jupyter_mlops.client.sample import arrange
from jupyter_mlops.client.service import Service
from jupyter_mlops.client.signature import MISSING, Signature, describe
from jupyter_mlops.client.snapshot import Snapshot, snapshot_id
from jupyter_mlops.client.source import calling, running, source_of
from jupyter_mlops.client.transport import Transport
from jupyter_mlops.codec import to_wire
from jupyter_mlops.errors import CaptureError, InvalidRequest
from jupyter_mlops.schema.services import PublishRequest, ServiceView
from jupyter_mlops.schema.types import Parameter


class ServiceDefinition:
    """Collects what a service is made of; `deploy()` publishes it.

    Parameters
    ----------
    name:
        The service's name.
    transport:
        The way to the server.
    """

    def __init__(self, name: str, transport: Transport) -> None:
        self._name = name
        self._transport = transport
        self._version: str | None = None
        self._description: str | None = None
        self._alias: str | None = None
        self._function: Callable[..., Any] | None = None
        self._init: Callable[[], Any] | str | None = None
        self._code: str | None = None
        self._inputs: dict[str, Any] | None = None
        self._outputs: dict[str, Any] | None = None
        self._objects: dict[str, Any] = {}
        self._artifacts: list[str] | None = None
        self._timeout: float | None = None
        self._environment: str | None = None
        self._private: bool | None = None
        self._batchable: bool | None = None
        self._sample: Any = MISSING
        self._pool: dict[str, Any] = {}
        self._snapshot: str | None = None

    def version(self, version: str) -> Self:
        """Set the version; without one the next whole number is taken."""
        self._version = version
        return self

    def description(self, description: str) -> Self:
        """Set the description."""
        self._description = description
        return self

    def alias(self, alias: str) -> Self:
        """Name the consume function; otherwise it has the published function's name."""
        self._alias = alias
        return self

    def code_fn(self, code: Callable[..., Any], init: Callable[[], Any] | None = None) -> Self:
        """Publish a function, with what it reaches.

        Parameters
        ----------
        code:
            The function that a call runs.
        init:
            A function that runs once in each scoring kernel, before any call.
        """
        if not callable(code):
            raise InvalidRequest(f"code_fn takes a function, not {type(code).__name__}; code_str takes text")
        self._function, self._init, self._code = code, init, None
        return self

    def code_str(self, code: str, init: str | None = None) -> Self:
        """Publish code that leaves the outputs in variables of their names.

        Parameters
        ----------
        code:
            Python text; inputs, models and objects are its variables.
        init:
            Python text that runs once in each scoring kernel, before any call.
        """
        self._code, self._init, self._function = code, init, None
        return self

    def inputs(self, **types: Any) -> Self:
        """Declare the inputs: name to class or text, such as `hp=float` or `x="DataFrame"`."""
        self._inputs = types
        return self

    def outputs(self, **types: Any) -> Self:
        """Declare the outputs."""
        self._outputs = types
        return self

    def models(self, **objects: Any) -> Self:
        """Give objects along, under the names by which the code knows them."""
        self._objects.update(objects)
        return self

    def objects(self, **objects: Any) -> Self:
        """Give objects along, under the names by which the code knows them."""
        self._objects.update(objects)
        return self

    def snapshot(self, snapshot: Snapshot | str) -> Self:
        """Publish code that runs on what a session left: its variables and files.

        A function then goes along as its text, and what it names is found in the snapshot; `init` runs before
        each call.

        Parameters
        ----------
        snapshot:
            A snapshot of yours, or its id.
        """
        self._snapshot = snapshot_id(snapshot)
        return self

    def artifacts(self, names: Iterable[str]) -> Self:
        """Declare the files that a call writes and its caller gets."""
        self._artifacts = [names] if isinstance(names, str) else list(names)
        return self

    def artifact(self, name: str) -> Self:
        """Declare one more file that a call writes."""
        self._artifacts = [*(self._artifacts or []), name]
        return self

    def timeout(self, seconds: float) -> Self:
        """Set the deadline of one call in seconds; without one it is 60."""
        self._timeout = seconds
        return self

    def environment(self, kind: str) -> Self:
        """Choose what the service is scored in.

        Parameters
        ----------
        kind:
            `"locked"`: a private environment with the packages that this kernel has now, in their versions, made by
            uv on the server. Without it this very Python scores, where the server can run it, else the server's.
        """
        self._environment = kind
        return self

    def private(self, private: bool = True) -> Self:  # noqa: FBT001, FBT002
        """Let the server keep nothing of the service's calls, not even of those that raise."""
        self._private = private
        return self

    def batchable(self, batchable: bool = True) -> Self:  # noqa: FBT001, FBT002
        """Let calls that wait together run as one.

        The function then takes columns, one array per input or one DataFrame of all of them, and returns one value
        or one row per row; callers still send one row. It needs a `sample`.
        """
        self._batchable = batchable
        return self

    def sample(self, *sample: Any) -> Self:
        """Give inputs that the service must answer before it is visible.

        Parameters
        ----------
        sample:
            One row: its values in the order of the inputs, or a dict, tuple or one-row DataFrame of them. Of a
            batchable service also several: a DataFrame, a list of dicts, or a dict of columns.
        """
        self._sample = sample[0] if len(sample) == 1 else sample
        return self

    def kernels(self, minimum: int, maximum: int | None = None) -> Self:
        """Set how many kernels score the service: `minimum` always, up to `maximum` under load (0: one a core)."""
        return self.pool(initial_pool_size=minimum, max_pool_size=maximum)

    def pool(self, **settings: Any) -> Self:
        """Set other limits of the pool: `memory_limit`, `queue_limit`, `group_size`, `group_wait`.

        Parameters
        ----------
        settings:
            By the names of `schema.pools.PoolSettings`; `memory_limit` in bytes or as text (`"2GB"`).
        """
        pool_json(settings)
        self._pool |= {name: value for name, value in settings.items() if value is not None}
        return self

    def deploy(self) -> Service:
        """Publish, and return the service.

        Raises
        ------
        Conflict
            When the version exists with other content; the message says what differs.
        """
        if self._function is None and self._code is None:
            raise InvalidRequest("a service needs code: give a function with code_fn(...), or text with code_str(...)")
        request, captured = self._request()
        return publish(self._transport, Target(self._name, self._version), request, captured)

    def redeploy(self, force: bool = False) -> Service:  # noqa: FBT001, FBT002, ARG002
        """Change a published version, the last one when none is set; what was not given stays as it is.

        A batchable one stays so, with its inputs, outputs and sample, unless they are given.

        Parameters
        ----------
        force:
            Accepted as `azureml.deploy` does, and not needed.
        """
        target = Target(self._name, self._version, update=True)
        old = None
        if self._function is not None and self._batchable is None:
            old = next((view for view in published(self._transport, target)[-1:] if view.batchable), None)
        request, captured = self._request(old)
        return publish(self._transport, target, request, captured)

    def _request(self, batchable: ServiceView | None = None) -> tuple[PublishRequest, Capture | None]:
        """What to publish; the function is to stay batchable like the given version."""
        common = {
            "description": self._description,
            "operation_id": self._alias,
            "output_file_names": self._files(),
            "timeout": self._timeout,
            "environment": self._environment,
            "private": self._private,
            "batchable": self._batchable,
            "pool": pool_json(self._pool),
            "snapshot_id": self._snapshot,
        }
        if self._snapshot is not None:
            return self._snapshot_request(common), None
        if self._function is not None:
            return self._function_request(self._function, common, batchable)
        captured, init = self._code_capture()
        return request_for(code=self._code, init=init, **self._declared(), **common), captured

    def _snapshot_request(self, common: dict[str, Any]) -> PublishRequest:
        if self._objects or self._batchable:
            what = "objects or models" if self._objects else "a batchable function"
            raise InvalidRequest(f"{what} cannot go with a snapshot; put them into the session that it is taken of")
        if self._function is None:
            return request_for(code=self._code, init_code=self._init, **self._declared(), **common)
        signature = describe_declared(self._function, self._inputs, self._outputs, self._sample)
        common["operation_id"] = self._alias or _alias_of(self._function)
        return request_for(
            code=calling(self._function, signature),
            init_code=None if self._init is None else running(self._init),
            inputs=signature.inputs,
            outputs=signature.outputs,
            sample=signature.sample_json(),
            **common,
        )

    def _declared(self) -> dict[str, Any]:
        """What was declared of code that is text."""
        parameters: dict[str, Any] = {
            key: tuple(from_type(name, written) for name, written in types.items())
            for key, types in (("inputs", self._inputs), ("outputs", self._outputs))
            if types is not None
        }
        return parameters | {"sample": self._code_sample(parameters.get("inputs"))}

    def _code_sample(self, inputs: tuple[Parameter, ...] | None) -> Raw | None:
        if self._sample is MISSING:
            return None
        if inputs is None:
            raise InvalidRequest("a sample of a service that is code goes with its declared inputs: .inputs(x=float)")
        declared = {one.name: one for one in inputs}
        values = arrange(self._sample, list(declared), frozenset(), declared)
        wire = {name: to_wire(value, declared[name]) for name, value in values.items()}
        return Signature(inputs, (), wire).sample_json()

    def _files(self) -> tuple[str, ...] | None:
        return None if self._artifacts is None else tuple(self._artifacts)

    def _function_request(
        self, function: Callable[..., Any], common: Mapping[str, Any], batchable: ServiceView | None
    ) -> tuple[PublishRequest, Capture]:
        if batchable is not None and self._sample is MISSING:
            signature = self._as_before(batchable)
        elif self._batchable or batchable is not None:
            signature = describe_batchable(function, inputs=self._inputs, outputs=self._outputs, sample=self._sample)
        else:
            signature = describe_declared(function, self._inputs, self._outputs, self._sample)
        namespace, name, init = function_namespace(function, self._init, self._objects)
        captured = capture(namespace, [name], init=init, keep=self._objects)
        keys = dict(common)
        keys["operation_id"] = self._alias or _alias_of(function)
        request = request_for(
            code=source_of(function),
            function=name,
            init=init,
            inputs=signature.inputs,
            outputs=signature.outputs,
            sample=signature.sample_json(),
            **keys,
        )
        return request, captured

    def _as_before(self, old: ServiceView) -> Signature:
        """The inputs and outputs of a published version, where they are not given anew."""
        inputs, outputs = (
            before if given is None else tuple(from_type(name, written) for name, written in given.items())
            for given, before in (
                (self._inputs, old.input_parameter_definitions),
                (self._outputs, old.output_parameter_definitions),
            )
        )
        return Signature(inputs, outputs, None)

    def _code_capture(self) -> tuple[Capture | None, str | None]:
        namespace = dict(self._objects)
        init = None
        if isinstance(self._init, str):
            init = "init_once"
            namespace[init] = _text_function(self._init, init, namespace)
        if not namespace:
            return None, None
        namespace.setdefault("__name__", "__main__")
        return capture(namespace, [], init=init, keep=self._objects), init


def describe_declared(
    function: Callable[..., Any],
    inputs: Mapping[str, Any] | None,
    outputs: Mapping[str, Any] | None,
    sample: Any = MISSING,
) -> Signature:
    """Tell a function's inputs and outputs; nothing declared, no hint and no sample means no output."""
    if outputs is None and sample is MISSING and "return" not in getattr(function, "__annotations__", {}):
        outputs = {}
    return describe(function, inputs=inputs, outputs=outputs, sample=sample)


def _alias_of(function: Callable[..., Any]) -> str | None:
    name = getattr(function, "__name__", "")
    return name if name.isidentifier() else None


def _text_function(text: str, name: str, namespace: dict[str, Any]) -> Callable[[], Any]:
    """Make a function of the namespace that runs code text in it."""
    compile(text, "<init>", "exec")
    maker = f"def {name}():\n    exec(compile({text!r}, '<init>', 'exec'), globals())\n"
    made: dict[str, Any] = namespace
    exec(compile(maker, "<init>", "exec"), made)  # noqa: S102  # the publisher's own code, which is made a function here
    made.pop("__builtins__", None)
    function: Callable[[], Any] = made[name]
    return function


def remember_source(filename: str, text: str) -> None:
    """Let tracebacks and captures find the text of code that was made, not read from a file."""
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)


def must_be_synchronous(function: Callable[..., Any], artifacts: Iterable[str]) -> None:
    """Refuse artifacts of async functions: their calls overlap, so that a file has no call of its own."""
    names = list(artifacts)
    if names and inspect.iscoroutinefunction(function):
        raise CaptureError(
            f"an async function writes no artifacts ({', '.join(names)}): its calls overlap in one working directory; "
            "make it a plain function (def instead of async def), or return the content as an output"
        )
