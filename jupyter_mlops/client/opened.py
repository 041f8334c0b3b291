"""A published service brought back into this Python: its objects, its code, its files."""

from __future__ import annotations

import asyncio
import atexit
import inspect
import linecache
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Self

from jupyter_mlops.client.transport import Transport
from jupyter_mlops.client.unpacked import Unpacked, told_differences, unpack
from jupyter_mlops.codec import to_python
from jupyter_mlops.columns import arguments, takes_arrays
from jupyter_mlops.errors import Conflict
from jupyter_mlops.inputs import InputReader, RowsReader
from jupyter_mlops.schema.failures import Failure
from jupyter_mlops.schema.services import Revision


def fetch(transport: Transport, path: str, title: str) -> Opened:
    """Download what a service holds.

    Parameters
    ----------
    transport:
        The way to the server.
    path:
        Of the zip file there.
    title:
        The service's name and version.

    Raises
    ------
    Conflict
        When its code was compiled by another Python than this one.
    """
    directory = Path(tempfile.mkdtemp(prefix="mlops-service-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)  # its files are of use as long as this Python runs
    content = unpack(transport, path, directory, title)
    revision = content.facts("service.json", Revision)
    if revision.manifest is not None:
        content.check(revision.manifest)
    return Opened(revision, content)


class Opened:
    """A service that was brought back.

    Parameters
    ----------
    revision:
        What it is.
    content:
        What it holds.
    """

    def __init__(self, revision: Revision, content: Unpacked) -> None:
        self.revision = revision
        self._content = content
        self.namespace: dict[str, Any] = {"__name__": "__main__"}
        """The variables: its objects, and whatever was there."""
        self.inputs: dict[str, Any] = {}
        """Inputs of the failed call, as its function got them."""
        self.failure: Failure | None = None
        self._loaded: list[str] = []
        self._told = False

    @property
    def code(self) -> str:
        """The source that was published."""
        return self.revision.definition.code

    @property
    def names(self) -> list[str]:
        """Names of the objects that it holds."""
        return list(self._loaded)

    @property
    def directory(self) -> Path:
        """Where its content lies."""
        return self._content.directory

    @property
    def files(self) -> Path:
        """The directory of its files."""
        return self._content.files

    @property
    def differences(self) -> str:
        """A table of what this Python has otherwise than the one where it was captured; empty when nothing."""
        manifest = self.revision.manifest
        return told_differences(manifest.environment) if manifest is not None else ""

    def into(self, namespace: dict[str, Any] | None, *, overwrite: bool) -> Self:
        """Load the objects into a namespace; `History.open` tells the rest."""
        shell = _shell() if namespace is None else None
        if shell is not None:
            namespace = shell.user_ns
        if namespace is not None:
            self.namespace = namespace
        manifest = self.revision.manifest
        taken = [one.name for one in (manifest.names if manifest else ()) if one.name in self.namespace]
        if taken and not overwrite:  # asked first: loading functions sets the variables that they read
            raise Conflict(
                f"these variables are there already: {', '.join(taken)}; open(overwrite=True) replaces them, "
                "open(namespace={}) leaves them alone"
            )
        self.namespace.update(self._load())
        if shell is not None:
            self._tell_differences()
            shell.set_next_input(self.code)
        return self

    def of_failure(self, failure: Failure) -> Self:
        """Load the objects into a namespace of their own, and bind the inputs of a failed call."""
        self.failure = failure
        self.namespace.update(self._load())
        self.inputs = self._bound(bytes(failure.inputs))
        self.namespace.update(self.inputs)
        shell = _shell()
        if shell is not None:
            self._tell_differences()
            shell.user_ns["failed"] = self
            shell.set_next_input("failed.run()   # raises as the call did; then: %debug")
        return self

    def run(self) -> Any:
        """Run the service here with the failed call's inputs: it raises what the call raised, or returns."""
        definition = self.revision.definition
        if definition.init:
            self.namespace[definition.init]()
        if definition.function:
            answer = self._function(**self.inputs)
            return awaited(answer) if inspect.iscoroutine(answer) else answer
        name = f"<{self.revision.name} {self.revision.version}>"
        source = f"{definition.init_code}\n{self.code}" if definition.init_code else self.code
        linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
        # Whoever may open a service may run it: it is their own code, or they own the server.
        exec(compile(source, name, "exec"), self.namespace)  # noqa: S102
        return {output.name: self.namespace.get(output.name) for output in definition.outputs}

    def __repr__(self) -> str:
        revision = self.revision
        lines = [f"{revision.name} {revision.version}, revision {revision.number} of {revision.created[:16]}"]
        lines += [f"objects: {', '.join(self._loaded)}"] if self._loaded else []
        if self.failure is not None:
            lines.append(f"failed call {self.failure.id} of {self.failure.when[:16]} by {self.failure.caller}:")
            lines += [f"  {name} = {_brief(value)}" for name, value in self.inputs.items()]
            lines += [self.failure.error_message.rstrip(), "run() repeats it here"]
        lines += [self.differences] if self.differences and not self._told else []
        return "\n".join(lines)

    @property
    def _function(self) -> Callable[..., Any]:
        function: Callable[..., Any] = self.namespace[self.revision.definition.function]
        return function

    def _bound(self, body: bytes) -> dict[str, Any]:
        """The inputs of a call by the names of the function's parameters."""
        definition = self.revision.definition
        if not definition.batchable:
            declared = {one.name: one for one in definition.inputs}
            values = InputReader(definition.inputs).read(body)
            return {name: to_python(value, declared[name]) for name, value in values.items()}
        arrays = takes_arrays(self._function, [one.name for one in definition.inputs])
        columns = RowsReader(definition.inputs).read(body).columns
        positional, named = arguments(definition.inputs, columns, arrays=arrays)
        return named or dict(zip(inspect.signature(self._function).parameters, positional, strict=False))

    def _tell_differences(self) -> None:
        """Show them in the cell, also when its result is kept in a variable."""
        if self.differences:
            self._told = True
            print(self.differences)

    def _load(self) -> dict[str, Any]:
        manifest = self.revision.manifest
        if manifest is None:
            return {}
        if self.files.is_dir() and str(self.files) not in sys.path:
            sys.path.append(str(self.files))  # modules that went along
        objects = self._content.objects(manifest, self.namespace)
        self._loaded = list(objects)
        return objects


def awaited(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine on a loop of its own: a notebook's is busy with the cell that asks for it.

    Parameters
    ----------
    coroutine:
        What a call of an async function gave.
    """
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(asyncio.run(coroutine))
        # It is the author's code and may raise anything; it is raised again below, where errors of plain functions are.
        except Exception as error:  # noqa: BLE001
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if isinstance(found[0], Exception):
        raise found[0]
    return found[0]


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else text[:200] + "..."  # noqa: PLR2004


def _shell() -> Any:
    """IPython's shell, when this is one."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython is not None else None
