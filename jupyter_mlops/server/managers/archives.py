"""Snapshots as zip files: what is downloaded, and can be opened anywhere."""

from __future__ import annotations

import asyncio
import secrets
import zipfile
from pathlib import Path

import msgspec

from jupyter_mlops.schema.base import Wire
from jupyter_mlops.schema.snapshots import Manifest
from jupyter_mlops.server.managers.uploads import UploadManager


class Archives:
    """Writes zip files of what snapshots and services hold.

    Parameters
    ----------
    uploads:
        Where the blobs lie.
    directory:
        Where the files are made.
    """

    def __init__(self, uploads: UploadManager, directory: Path) -> None:
        self._uploads = uploads
        self._directory = directory

    async def write(self, title: str, facts: Wire, manifest: Manifest | None, stream: str = "objects.pickle") -> Path:
        """Write one; the path of the file, which is the caller's to remove.

        It holds `facts` as JSON under `title`, the objects as one pickle stream (`objects.pickle`) with its buffers
        beside it (`buffers/0`, ...), and the files (`files/...`), all stored as they are.

        Parameters
        ----------
        title:
            Name of the entry that describes the rest.
        facts:
            What it says.
        manifest:
            What goes along; its blobs are leased.
        stream:
            What the entry of the manifest's stream is called.
        """
        path = self._directory / f"archive-{secrets.token_hex(8)}.zip"
        try:
            await asyncio.to_thread(self._write, path, title, facts, manifest, stream)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return path

    def _write(self, path: Path, title: str, facts: Wire, manifest: Manifest | None, stream: str) -> None:
        with zipfile.ZipFile(path, "x", zipfile.ZIP_STORED, allowZip64=True) as archive:
            archive.writestr(title, msgspec.json.format(msgspec.json.encode(facts)))
            if manifest is None:
                return
            archive.write(self._uploads.path(manifest.stream), stream)
            for number, blob in enumerate(manifest.buffers):
                archive.write(self._uploads.path(blob), f"buffers/{number}")
            for file in manifest.files:
                archive.write(self._uploads.path(file.blob), f"files/{file.path}")
