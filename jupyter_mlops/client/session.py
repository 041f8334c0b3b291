"""Sessions: a Python on the server that is driven from here, and keeps what was done in it."""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import msgspec

from jupyter_mlops.client.files import FILE_SECONDS, FileForm, download
from jupyter_mlops.client.snapshot import Snapshot, get_snapshot, snapshot_id
from jupyter_mlops.client.transport import Transport, segment
from jupyter_mlops.codec import json_of
from jupyter_mlops.errors import CaptureError, CodeRaised, Gone, InvalidRequest, NotFound
from jupyter_mlops.schema import sessions as wire


class SessionResponse:
    """What running code in a session gave; code that raised does not raise here.

    Parameters
    ----------
    result:
        The server's answer.
    """

    def __init__(self, result: wire.ExecuteResponse) -> None:
        self._result = result

    @property
    def success(self) -> bool:
        """Whether the code ran to its end."""
        return self._result.success

    @property
    def error(self) -> str:
        """The traceback of code that raised, else empty."""
        return self._result.error_message

    @property
    def console_output(self) -> str:
        """What the code printed, and the value of its last expression."""
        return self._result.console_output

    @property
    def changed_files(self) -> list[str]:
        """Files of the working directory that the code made or changed."""
        return list(self._result.changed_files)

    @property
    def outputs(self) -> dict[str, Any]:
        """The outputs that were asked for, as JSON says them: arrays are lists, a DataFrame is a dict of columns."""
        return {one.name: one.value for one in self._result.output_parameters}

    def output(self, name: str) -> Any:
        """One output.

        Parameters
        ----------
        name:
            An output that was asked for.

        Raises
        ------
        NotFound
            When it was not, or the code raised.
        """
        outputs = self.outputs
        if name not in outputs:
            raise NotFound(f"there is no output {name!r}; there are {', '.join(outputs) or 'none'}")
        return outputs[name]

    def raise_for_error(self) -> Self:
        """Return this response, unless the code raised.

        Raises
        ------
        CodeRaised
            With its traceback.
        """
        if not self.success:
            raise CodeRaised(self.error)
        return self

    def __repr__(self) -> str:
        if not self.success:
            return f"<SessionResponse: failed\n{self.error}>"
        shown = ", ".join(f"{name}={value!r}" for name, value in self.outputs.items())
        return f"<SessionResponse: {shown or 'no outputs'}>"


class Session:
    """A session of yours; as a context manager it is closed at the end.

    Its variables are its items: `session["model"] = model` sends one, `session["model"]` gets it, as dill pickles
    them, so that this Python and the server's must know the same classes.

    Parameters
    ----------
    view:
        What the server says about it.
    transport:
        The way to the server.
    """

    def __init__(self, view: wire.Session, transport: Transport) -> None:
        self._view = view
        self._transport = transport

    @property
    def id(self) -> str:
        """What names it to the server."""
        return self._view.id

    @property
    def name(self) -> str:
        """What it was called, or is called when that was nothing."""
        return self._view.name

    def execute(
        self,
        code: str,
        inputs: Mapping[str, Any] | None = None,
        outputs: str | Iterable[str] = (),
        *,
        timeout: float | None = None,
    ) -> SessionResponse:
        """Run code, behind what runs already, and wait for it; an interrupt here stops it there too.

        Parameters
        ----------
        code:
            Python text, as in a notebook's cell.
        inputs:
            Variables to set before, as far as JSON says them: arrays become lists, a DataFrame a dict of columns.
            Other objects are sent as items.
        outputs:
            Variables whose values the response holds.
        timeout:
            Seconds to wait for it; without it as long as it takes. The code runs on when they are over.
        """
        request = wire.ExecuteRequest(
            code=code,
            input_parameters=tuple(_said(name, value) for name, value in (inputs or {}).items()),
            output_parameters=(outputs,) if isinstance(outputs, str) else tuple(outputs),
        )
        try:
            answer = self._request("POST", "execute", request, timeout=timeout, usual=None)
        except KeyboardInterrupt:
            self.cancel()
            raise
        return SessionResponse(msgspec.json.decode(answer, type=wire.ExecuteResponse))

    def console(self) -> str:
        """What the running code has printed so far, or the last one printed."""
        answer = self._request("GET", "console-output")
        return msgspec.json.decode(answer, type=wire.ConsoleOutputResponse).console_output

    def history(self) -> list[str]:
        """The code that was run, oldest first."""
        return msgspec.json.decode(self._request("GET", "history"), type=list[str])

    def cancel(self) -> None:
        """Stop what runs, if it can be stopped; the session stays."""
        self._request("POST", "cancel")

    def upload(self, path: str | Path, name: str | None = None) -> str:
        """Copy a file into the session's working directory, over one that is there, and return its name there.

        Parameters
        ----------
        path:
            The file here.
        name:
            What to call it there; as here when it is not given.
        """
        name = name or Path(path).name
        with Path(path).open("rb") as file:
            self._request("POST", "files", content=FileForm(file, name), usual=FILE_SECONDS)
        return name

    def files(self) -> list[str]:
        """Names of the files in the session's working directory."""
        return msgspec.json.decode(self._request("GET", "files"), type=list[str])

    def download(self, name: str, destination: str | Path | None = None) -> Path:
        """Copy a file of the session here, and return its path.

        Parameters
        ----------
        name:
            The file there.
        destination:
            The file to write, or the directory to write it into; the working directory when there is none.
        """
        return download(self._transport, self._path(f"files/{segment(name)}"), destination, name)

    def delete_file(self, name: str) -> None:
        """Delete a file of the session."""
        self._request("DELETE", f"files/{segment(name)}")

    def snapshot(self, name: str | None = None) -> Snapshot:
        """Keep the session's variables and files.

        Parameters
        ----------
        name:
            What to call the snapshot.

        Raises
        ------
        Conflict
            Naming the variable that cannot go along.
        """
        answer = self._request("POST", "snapshot", wire.CreateSnapshotRequest(name=name), usual=FILE_SECONDS)
        made = msgspec.json.decode(answer, type=wire.CreateSnapshotResponse)
        return get_snapshot(self._transport, made.snapshot_id)

    def load_snapshot(self, snapshot: Snapshot | str) -> None:
        """Add a snapshot's variables and files to the session, over those of the same name.

        Parameters
        ----------
        snapshot:
            The snapshot, or its id.
        """
        self._request("POST", f"loadsnapshot/{segment(snapshot_id(snapshot))}", usual=FILE_SECONDS)

    def close(self, force: bool = False) -> None:  # noqa: FBT001, FBT002
        """End the session, with what runs in it; one that has ended already is no error.

        Parameters
        ----------
        force:
            Send Machine Learning Server's request to kill it. Here both do the same.
        """
        with contextlib.suppress(NotFound, Gone):
            self._request("DELETE", "force" if force else "")

    def __setitem__(self, name: str, value: Any) -> None:
        import dill

        try:
            content = dill.dumps(value)
        except (pickle.PickleError, TypeError, AttributeError, ValueError, RecursionError) as error:
            raise CaptureError(f"{name}: {type(value).__name__} objects cannot be pickled ({error})") from error
        self._request("POST", f"workspace/{segment(name)}", content=content, usual=FILE_SECONDS)

    def __getitem__(self, name: str) -> Any:
        import dill

        with _as_key_error(name):
            content = self._request("GET", f"workspace/{segment(name)}", usual=FILE_SECONDS)
        return dill.loads(content)  # noqa: S301  # from the caller's own session

    def __delitem__(self, name: str) -> None:
        with _as_key_error(name):
            self._request("DELETE", f"workspace/{segment(name)}")

    def __contains__(self, name: object) -> bool:
        return name in self._names()

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())

    def __bool__(self) -> bool:
        return True  # also without variables

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Session {self.name} at {self._transport.url}{self._path()}>"

    def _names(self) -> list[str]:
        return msgspec.json.decode(self._request("GET", "workspace"), type=list[str])

    def _path(self, part: str = "") -> str:
        return f"/sessions/{segment(self.id)}" + (f"/{part}" if part else "")

    def _request(self, method: str, part: str, body: Any = None, **more: Any) -> bytes:
        return self._transport.request(method, self._path(part), body, **more)


def create_session(transport: Transport, name: str | None, snapshot: Snapshot | str | None) -> Session:
    """Open a session.

    Parameters
    ----------
    transport:
        The way to the server.
    name:
        What to call it.
    snapshot:
        A snapshot to begin with, or its id.
    """
    request = wire.CreateSessionRequest(
        name=name, snapshot_id=None if snapshot is None else snapshot_id(snapshot), runtime_type=wire.PYTHON
    )
    answer = transport.request("POST", "/sessions", request, usual=FILE_SECONDS)
    return get_session(transport, msgspec.json.decode(answer, type=wire.CreateSessionResponse).session_id)


def sessions(transport: Transport) -> list[Session]:
    """The caller's sessions, oldest first."""
    views = msgspec.json.decode(transport.request("GET", "/sessions"), type=list[wire.Session])
    return [Session(view, transport) for view in views]


def get_session(transport: Transport, identifier: str) -> Session:
    """Find a session.

    Raises
    ------
    NotFound
        When the caller has none of that id.
    """
    for session in sessions(transport):
        if session.id == identifier:
            return session
    raise NotFound(f"you have no session {identifier!r}; client.sessions() lists yours")


def _said(name: str, value: Any) -> wire.WorkspaceObject:
    try:
        return wire.WorkspaceObject(name=name, value=json_of(value))
    except (TypeError, ValueError) as error:
        raise InvalidRequest(
            f"{name}: JSON cannot say this value ({error}); send it as an item: session[{name!r}] = ..."
        ) from error


@contextlib.contextmanager
def _as_key_error(name: str) -> Iterator[None]:
    try:
        yield
    except NotFound as error:
        if error.fields:  # it is the session that is not there
            raise
        raise KeyError(name) from error
