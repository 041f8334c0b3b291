"""A published service brought back into this Python: its objects, its code, its files."""

from __future__ import annotations

import linecache
import platform
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import msgspec

from jupyter_mlops.client.files import download
from jupyter_mlops.client.transport import Transport
from jupyter_mlops.codec import to_python
from jupyter_mlops.errors import Conflict
from jupyter_mlops.inputs import InputReader
from jupyter_mlops.objects import read_objects
from jupyter_mlops.schema.failures import Failure
from jupyter_mlops.schema.services import Revision


def fetch(transport: Transport, path: str) -> Opened:
    """Download what a service holds.

    Parameters
    ----------
    transport:
        The way to the server.
    path:
        Of the zip file there.

    Raises
    ------
    Conflict
        When its code was captured by another Python than this one.
    """
    directory = Path(tempfile.mkdtemp(prefix="mlops-service-"))
    archive = download(transport, path, directory, "service.zip")
    with zipfile.ZipFile(archive) as content:
        content.extractall(directory)
    archive.unlink()
    revision = msgspec.json.decode((directory / "service.json").read_bytes(), type=Revision)
    needed = revision.manifest.environment.python if revision.manifest else ""
    if needed and tuple(needed.split(".")[:2]) != platform.python_version_tuple()[:2]:
        raise Conflict(
            f"{revision.name} {revision.version} was captured by Python {needed}, and this is Python "
            f"{platform.python_version()}: the code in it cannot be loaded here; use a kernel with that Python"
        )
    return Opened(revision, directory)


class Opened:
    """A service that was brought back.

    Parameters
    ----------
    revision:
        What it is.
    directory:
        Where its content lies; its files are in `files`.
    """

    def __init__(self, revision: Revision, directory: Path) -> None:
        self.revision = revision
        self.directory = directory
        self.namespace: dict[str, Any] = {"__name__": "__main__"}
        """The variables: its objects, and whatever was there."""
        self.inputs: dict[str, Any] = {}
        """Inputs of the failed call, as its function got them."""
        self.failure: Failure | None = None
        self._loaded: list[str] = []

    @property
    def code(self) -> str:
        """The source that was published."""
        return self.revision.definition.code

    @property
    def names(self) -> list[str]:
        """Names of the objects that it holds."""
        return list(self._loaded)

    @property
    def files(self) -> Path:
        """The directory of its files."""
        return self.directory / "files"

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
            shell.set_next_input(self.code)
        return self

    def of_failure(self, failure: Failure) -> Self:
        """Load the objects into a namespace of their own, and bind the inputs of a failed call."""
        self.failure = failure
        self.namespace.update(self._load())
        definition = self.revision.definition
        declared = {one.name: one for one in definition.inputs}
        values = InputReader(definition.inputs).read(bytes(failure.inputs))
        self.inputs = {name: to_python(value, declared[name]) for name, value in values.items()}
        self.namespace.update(self.inputs)
        shell = _shell()
        if shell is not None:
            shell.user_ns["failed"] = self
            shell.set_next_input("failed.run()   # raises as the call did; then: %debug")
        return self

    def run(self) -> Any:
        """Run the service here with the failed call's inputs: it raises what the call raised, or returns."""
        definition = self.revision.definition
        if definition.init:
            self.namespace[definition.init]()
        if definition.function:
            function: Callable[..., Any] = self.namespace[definition.function]
            return function(**self.inputs)
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
        return "\n".join(lines)

    def _load(self) -> dict[str, Any]:
        manifest = self.revision.manifest
        if manifest is None:
            return {}
        for source in manifest.sources:  # tracebacks then show the lines of the cells
            lines = source.text.splitlines(keepends=True)
            linecache.cache[source.filename] = (len(source.text), None, lines, source.filename)
        if self.files.is_dir() and str(self.files) not in sys.path:
            sys.path.append(str(self.files))  # modules that went along
        buffers = tuple(str(self.directory / "buffers" / str(n)) for n in range(len(manifest.buffers)))
        objects: Mapping[str, Any] = read_objects(str(self.directory / "objects.pickle"), buffers, self.namespace)
        self._loaded = list(objects)
        return dict(objects)


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else text[:200] + "..."  # noqa: PLR2004


def _shell() -> Any:
    """IPython's shell, when this is one."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython is not None else None
