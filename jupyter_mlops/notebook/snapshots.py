"""`%snapshot`: what is in this kernel, kept on the server, listed, brought back."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from types import FunctionType
from typing import Any

import msgspec
from IPython.core.error import UsageError

from jupyter_mlops.capture import Capture, Overlay, Survey, capture, survey
from jupyter_mlops.capture.datafiles import is_file_name
from jupyter_mlops.client.sending import send
from jupyter_mlops.client.snapshot import Snapshot, get_snapshot, snapshots
from jupyter_mlops.client.transport import Transport
from jupyter_mlops.notebook.arguments import SNAPSHOT_ACTIONS, names_of
from jupyter_mlops.notebook.progress import Progress, interruptible
from jupyter_mlops.notebook.restoring import load
from jupyter_mlops.notebook.snapshot_card import SnapshotCard, SnapshotTable
from jupyter_mlops.notebook.survey_table import SurveyTable
from jupyter_mlops.schema.sessions import CreateSnapshotResponse
from jupyter_mlops.schema.snapshots import KeepSnapshotRequest

_SHORTEST_PREFIX = 4
_OURS = frozenset({"jupyter_mlops.notebook.picker", "jupyter_mlops.notebook.snapshots"})


def snapshot_line(shell: Any, connect: Callable[[], Transport], options: argparse.Namespace) -> Any:
    """Do what a line of `%snapshot` says; what the cell shall show.

    Parameters
    ----------
    shell:
        The IPython shell.
    connect:
        Gives the connection; asked only when it is needed.
    options:
        The parsed line.

    Raises
    ------
    UsageError
        When the words do not go together.
    """
    action, *words = options.words or [""]
    if action not in SNAPSHOT_ACTIONS:
        if words:
            raise UsageError(
                f"%snapshot takes one name, or one of {', '.join(SNAPSHOT_ACTIONS)} first; "
                f"{' '.join(options.words)!r} is neither"
            )
        return _take(shell, connect, action, options)
    wants = SNAPSHOT_ACTIONS[action]
    if not sum(not one.startswith("[") for one in wants) <= len(words) <= len(wants):
        raise UsageError(f"write %snapshot {' '.join([action, *wants])}; %snapshot list shows yours")
    transport = connect()
    if action == "list":
        return SnapshotTable(snapshots(transport), transport.url)
    found = find_snapshot(transport, words[0])
    match action:
        case "show":
            return SnapshotCard(found, found.facts().manifest)
        case "load":
            return load(shell, found, overwrite=options.overwrite)
        case "delete":
            found.delete()
            print(f"Deleted snapshot {found.name} ({found.id}).")  # noqa: T201
        case _:
            print(f"Wrote {found.download(words[1] if words[1:] else None)}")  # noqa: T201
    return None


def look(shell: Any, options: argparse.Namespace) -> Survey:
    """Survey the kernel's variables as a line says."""
    with interruptible("nothing was sent"), Progress("Looking at") as progress:
        return survey(
            own_variables(shell),
            options.function,
            keep=[name for name in names_of(options.keep) if not is_file_name(name)],
            drop=names_of(options.drop),
            progress=progress,
        )


def own_variables(shell: Any) -> Overlay:
    """The kernel's variables without what this package put there: `snapshot_widget` and the widgets that it made."""
    namespace = Overlay(shell.user_ns, {})
    for name, value in shell.user_ns.items():
        home = value.__module__ if type(value) is FunctionType else type(value).__module__
        if home in _OURS:
            del namespace[name]
    return namespace


def keep(transport: Transport, captured: Capture, name: str) -> Snapshot:
    """Send a capture and keep it as a snapshot.

    Parameters
    ----------
    transport:
        The way to the server.
    captured:
        The capture.
    name:
        What to call it; empty for its id.
    """
    with interruptible("what was sent is taken back"):
        upload = send(transport, captured)
    request = KeepSnapshotRequest(upload=upload, name=name or None)
    answer = transport.request("POST", "/snapshots", request)
    return get_snapshot(transport, msgspec.json.decode(answer, type=CreateSnapshotResponse).snapshot_id)


def capture_chosen(shell: Any, found: Survey, files: list[str], kept_files: list[str]) -> Capture:
    """Capture the chosen variables of a survey, and of the others nothing but what these hold.

    Parameters
    ----------
    shell:
        The IPython shell.
    found:
        The survey.
    files:
        Data files and patterns.
    kept_files:
        Files that go along although they look like they hold a secret.
    """
    namespace = own_variables(shell)
    for one in found.variables:  # code may read what stays here: the table has said so
        if one.name not in found.selected:
            namespace.pop(one.name, None)
    with interruptible("nothing was sent"), Progress("Capturing") as progress:
        kept = [*found.selected, *kept_files]
        return capture(namespace, found.selected, keep=kept, files=files, progress=progress)


def find_snapshot(transport: Transport, wanted: str) -> Snapshot:
    """The snapshot of an id, of the beginning of an id, or the last one of a name.

    Parameters
    ----------
    transport:
        The way to the server.
    wanted:
        Id or name.

    Raises
    ------
    UsageError
        When there is none, or the beginning fits several.
    """
    known = snapshots(transport)
    exact = [one for one in known if one.id == wanted] or [one for one in known if one.name == wanted]
    if exact:
        return exact[-1]
    begun = [one for one in known if one.id.startswith(wanted)] if len(wanted) >= _SHORTEST_PREFIX else []
    if len(begun) == 1:
        return begun[0]
    what = f"several snapshots begin with {wanted!r}" if begun else f"you have no snapshot {wanted!r}"
    raise UsageError(f"{what}; %snapshot list shows yours")


def _take(shell: Any, connect: Callable[[], Transport], name: str, options: argparse.Namespace) -> Any:
    if options.pick:
        from jupyter_mlops.notebook.picker import snapshot_widget

        kept, dropped, files = names_of(options.keep), names_of(options.drop), names_of(options.files)
        return snapshot_widget(options.function, name=name, keep=kept, drop=dropped, files=files)
    found = look(shell, options)
    _show(shell, SurveyTable(found))
    files = names_of(options.files)
    if not found.selected and not files:
        raise UsageError("there is nothing to keep: define a variable or a function first, or name --files")
    kept_files = [name for name in names_of(options.keep) if is_file_name(name)]
    return SnapshotCard(keep(connect(), capture_chosen(shell, found, files, kept_files), name))


def _show(shell: Any, value: Any) -> None:
    """Show what comes before the cell's result: rich in a notebook, else as text."""
    if getattr(shell, "kernel", None) is None:
        print(repr(value))  # noqa: T201
    else:
        from IPython.display import display

        display(value)  # type: ignore[no-untyped-call]
