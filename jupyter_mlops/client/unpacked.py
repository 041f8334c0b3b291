"""What a snapshot or a service holds, brought here as files, and loaded from them."""

from __future__ import annotations

import linecache
import zipfile
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from jupyter_mlops.client.files import download
from jupyter_mlops.client.transport import Transport
from jupyter_mlops.environments import Differences, differences
from jupyter_mlops.errors import Conflict
from jupyter_mlops.objects import OtherPython, read_objects
from jupyter_mlops.schema.snapshots import Environment, Manifest

T = TypeVar("T")


class Unpacked:
    """A downloaded zip file, unpacked into a folder.

    Parameters
    ----------
    directory:
        The folder. What is mapped from it stays readable when it is gone, where the system allows that.
    title:
        What is in it, for messages, such as `snapshot cars`.
    """

    def __init__(self, directory: Path, title: str) -> None:
        self.directory = directory
        self.title = title

    @property
    def files(self) -> Path:
        """The folder of its files."""
        return self.directory / "files"

    def facts(self, name: str, kind: type[T]) -> T:
        """What it says of itself.

        Parameters
        ----------
        name:
            Of the file that does.
        kind:
            As what to read it.
        """
        return msgspec.json.decode((self.directory / name).read_bytes(), type=kind)

    def check(self, manifest: Manifest) -> None:
        """Refuse what this Python cannot load, before anything is changed.

        Raises
        ------
        Conflict
            When it holds functions that another Python compiled.
        """
        manifest.check()
        fatal = [row for row in differences(manifest.environment).fatal if row.what == "Python"]
        if fatal:
            needed, found = fatal[0].recorded, fatal[0].here
            raise Conflict(
                f"{self.title} needs Python {needed}, and this is Python {found}: it holds functions compiled by that "
                f"one, which no other runs; use a kernel with Python {needed}, or capture it again with this one"
            )

    def objects(self, manifest: Manifest, namespace: dict[str, Any]) -> dict[str, Any]:
        """Load the objects; tracebacks through them then show the lines of the cells.

        Parameters
        ----------
        manifest:
            What it holds.
        namespace:
            What functions shall have as their globals.

        Raises
        ------
        Conflict
            When they do not load here, with what differs from where they were captured.
        """
        for source in manifest.sources:
            lines = source.text.splitlines(keepends=True)
            linecache.cache[source.filename] = (len(source.text), None, lines, source.filename)
        buffers = tuple(str(self.directory / "buffers" / str(number)) for number in range(len(manifest.buffers)))
        try:
            return read_objects(str(self.directory / "objects.pickle"), buffers, namespace)
        except OtherPython as error:
            raise Conflict(f"{self.title} does not load: {error}") from None
        # What objects do while they are unpickled is their own code, which may raise anything; the answer is one
        # message.
        except Exception as error:
            told = told_differences(manifest.environment)
            reason = f"{type(error).__name__}: {error}"
            raise Conflict(f"{self.title} does not load here: {reason}{told and f'. {told}'}") from error


def unpack(transport: Transport, path: str, directory: Path, title: str) -> Unpacked:
    """Download a zip file and unpack it.

    Parameters
    ----------
    transport:
        The way to the server.
    path:
        Of the zip file there.
    directory:
        An empty folder for its content.
    title:
        What is in it, for messages.
    """
    archive = download(transport, path, directory, "content.zip")
    with zipfile.ZipFile(archive) as content:
        content.extractall(directory)
    archive.unlink()
    return Unpacked(directory, title)


def told_differences(recorded: Environment) -> str:
    """A table of what this Python has otherwise than the one where something was captured; empty when nothing.

    Parameters
    ----------
    recorded:
        That one's record.
    """
    found: Differences = differences(recorded)
    return f"This Python differs:\n{found}" if found else ""
