"""A snapshot back into this kernel, nothing of which it changes unasked."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import blake3
from IPython.core.error import StdinNotImplementedError, UsageError

from jupyter_mlops.capture import capture
from jupyter_mlops.client.snapshot import Snapshot
from jupyter_mlops.client.unpacked import told_differences
from jupyter_mlops.errors import MLOpsError
from jupyter_mlops.schema import snapshots as wire

_LISTED = 12


class Loaded:
    """Tells what was loaded.

    Parameters
    ----------
    snapshot:
        What it was.
    differences:
        A table of what this Python has otherwise than the one where it was captured; empty when nothing.
    """

    def __init__(self, snapshot: wire.Snapshot, differences: str) -> None:
        self.names = [one.name for one in snapshot.manifest.names]
        self.files = [one.path for one in snapshot.manifest.files]
        self.differences = differences
        self._name = snapshot.name

    def __repr__(self) -> str:
        lines = [f"Loaded {', '.join(self.names) or 'no variables'} from snapshot {self._name}."]
        lines += [f"Wrote {', '.join(self.files)}."] if self.files else []
        return "\n".join([*lines, self.differences] if self.differences else lines)


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
        When something would be replaced that the user wants to keep.
    Conflict
        When the snapshot does not load here.
    """
    # What is mapped from here stays readable when the folder is gone.
    with tempfile.TemporaryDirectory(prefix="mlops-snapshot-", ignore_cleanup_errors=True) as made:
        content = snapshot.unpack(Path(made))
        facts = content.facts("snapshot.json", wire.Snapshot)
        content.check(facts.manifest)
        taken = [*_taken_names(shell, facts.manifest), *_taken_files(facts.manifest)]
        if taken and not overwrite:
            _ask(taken)
        _write_files(facts.manifest, content.files)
        shell.push(content.objects(facts.manifest, shell.user_ns))
    return Loaded(facts, told_differences(facts.manifest.environment))


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
