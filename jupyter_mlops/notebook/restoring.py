"""A snapshot back into this kernel, nothing of which it changes unasked."""

from __future__ import annotations

import importlib.metadata
import linecache
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import blake3
import msgspec
from IPython.core.error import StdinNotImplementedError, UsageError

from jupyter_mlops.capture import capture
from jupyter_mlops.client.snapshot import Snapshot
from jupyter_mlops.errors import MLOpsError
from jupyter_mlops.objects import PYTHON, OtherPython, read_objects
from jupyter_mlops.schema import snapshots as wire

_LISTED = 12


class Loaded:
    """Tells what was loaded.

    Parameters
    ----------
    snapshot:
        What it was.
    different:
        Distributions that are not here as they were there: name, version there, version here.
    """

    def __init__(self, snapshot: wire.Snapshot, different: list[tuple[str, str, str]]) -> None:
        self.names = [one.name for one in snapshot.manifest.names]
        self.files = [one.path for one in snapshot.manifest.files]
        self.different = different
        self._name = snapshot.name

    def __repr__(self) -> str:
        lines = [f"Loaded {', '.join(self.names) or 'no variables'} from snapshot {self._name}."]
        lines += [f"Wrote {', '.join(self.files)}."] if self.files else []
        return "\n".join([*lines, *table_of(self.different)])


def load(shell: Any, snapshot: Snapshot, *, overwrite: bool) -> Loaded:
    """Bring the variables and files of a snapshot into this kernel and its working directory.

    Parameters
    ----------
    shell:
        The IPython shell.
    snapshot:
        Which one.
    overwrite:
        Do not ask before variables and files that are there and differ are replaced.

    Raises
    ------
    UsageError
        When something would be replaced that the user wants to keep, or the snapshot does not load here.
    """
    # What is mapped from here stays readable when the folder is gone.
    with tempfile.TemporaryDirectory(prefix="mlops-snapshot-", ignore_cleanup_errors=True) as made:
        directory = Path(made)
        archive = snapshot.download(directory / "snapshot.zip")
        with zipfile.ZipFile(archive) as content:
            content.extractall(directory)
        archive.unlink()
        facts = msgspec.json.decode((directory / "snapshot.json").read_bytes(), type=wire.Snapshot)
        facts.manifest.check()
        _check_python(facts)
        taken = [*_taken_names(shell, facts.manifest), *_taken_files(facts.manifest)]
        if taken and not overwrite:
            _ask(taken)
        _write_files(facts.manifest, directory / "files")
        shell.push(_objects(shell, facts, directory))
    return Loaded(facts, differences(facts.manifest.environment))


def differences(environment: wire.Environment) -> list[tuple[str, str, str]]:
    """Distributions that are not here as they were when something was captured.

    Parameters
    ----------
    environment:
        Where it was captured.

    Returns
    -------
    list of tuple
        Name, version there, version here, which is empty for what is not installed; Python is among them.
    """
    here = {"Python": (environment.python, sys.version.split()[0])} if environment.python else {}
    here |= {name: (version, _version(name)) for name, version in sorted(environment.packages.items())}
    return [(name, there, found) for name, (there, found) in here.items() if there != found]


def table_of(different: list[tuple[str, str, str]]) -> list[str]:
    """Lines that show differences; none when there are none."""
    if not different:
        return []
    rows = [("", "captured with", "here"), *((name, there, here or "not installed") for name, there, here in different)]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return [
        "This Python differs:",
        *(
            "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ),
    ]


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _check_python(facts: wire.Snapshot) -> None:
    needed = facts.manifest.environment.bytecode
    if needed and needed != PYTHON:
        raise UsageError(
            f"snapshot {facts.name} holds functions compiled by Python {needed}, and this is Python {PYTHON}, which "
            f"cannot run them; use a kernel of Python {needed}"
        )


def _objects(shell: Any, facts: wire.Snapshot, directory: Path) -> dict[str, Any]:
    for source in facts.manifest.sources:  # tracebacks then show the lines of the cells
        lines = source.text.splitlines(keepends=True)
        linecache.cache[source.filename] = (len(source.text), None, lines, source.filename)
    buffers = tuple(str(directory / "buffers" / str(n)) for n in range(len(facts.manifest.buffers)))
    try:
        return read_objects(str(directory / "objects.pickle"), buffers, shell.user_ns)
    except OtherPython as error:
        raise UsageError(f"snapshot {facts.name} does not load: {error}") from None
    # What objects do while they are unpickled is their own code, which may raise anything; the answer is one message.
    except Exception as error:
        told = "\n".join(table_of(differences(facts.manifest.environment)))
        raise UsageError(
            f"snapshot {facts.name} does not load here: {type(error).__name__}: {error}{'. ' if told else ''}{told}"
        ) from error


def _taken_names(shell: Any, manifest: wire.Manifest) -> Iterator[str]:
    """Names that are there with other values, found by content."""
    wanted = {one.name: one.fingerprint for one in manifest.names}
    there = [name for name in wanted if name in shell.user_ns]
    found = _fingerprints(shell, there)
    if found is None:  # one of them cannot be captured: which?
        found = {}
        for name in there:
            found |= _fingerprints(shell, [name]) or {}
    yield from (name for name in there if found.get(name) != wanted[name])


def _fingerprints(shell: Any, names: list[str]) -> dict[str, str] | None:
    if not names:
        return {}
    try:
        captured = capture(shell.user_ns, names, secrets=True)
    except MLOpsError:
        return None
    return {one.name: one.fingerprint for one in captured.manifest.names}


def _taken_files(manifest: wire.Manifest) -> Iterator[str]:
    here = Path.cwd().resolve()
    for file in manifest.files:
        path = Path(file.path)
        if not path.resolve().is_relative_to(here):
            raise UsageError(f"{file.path} of the snapshot would be written outside of {here}, through a link")
        if path.is_dir() or (path.is_file() and _digest(path) != file.blob.digest):
            yield f"file {file.path}"


def _digest(path: Path) -> str:
    hasher = blake3.blake3()
    with path.open("rb") as file:
        while piece := file.read(2**20):
            hasher.update(piece)
    return hasher.hexdigest()


def _write_files(manifest: wire.Manifest, source: Path) -> None:
    for file in manifest.files:
        target = Path(file.path)
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.is_file() or _digest(target) != file.blob.digest:
            draft = target.with_name(f".{target.name}.mlops")
            draft.write_bytes((source / file.path).read_bytes())
            draft.replace(target)


def _ask(taken: list[str]) -> None:
    listed = ", ".join(taken[:_LISTED]) + (f" and {len(taken) - _LISTED} more" if len(taken) > _LISTED else "")
    try:
        answer = input(f"These exist here with other content: {listed}. Replace them? [y/N] ")
    except (StdinNotImplementedError, EOFError, OSError):
        raise UsageError(
            f"these exist here with other content: {listed}; nothing was loaded. Rename or delete them, or replace "
            "them with --overwrite"
        ) from None
    if answer.strip().lower() not in {"y", "yes"}:
        raise UsageError(f"nothing was loaded; {listed} stay as they are")
