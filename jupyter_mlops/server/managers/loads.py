"""What a process is told about a revision so that it can score it."""

from __future__ import annotations

from jupyter_mlops.schema.channel import Load
from jupyter_mlops.schema.services import Revision
from jupyter_mlops.schema.snapshots import Environment
from jupyter_mlops.server.managers.uploads import UploadManager

CONSOLE_LIMIT = 2**20
ARTIFACT_LIMIT = 64 * 2**20


def make_load(revision: Revision, uploads: UploadManager, threads: int) -> Load:
    """Describe a revision to who is to score it.

    Parameters
    ----------
    revision:
        Its blobs are there.
    uploads:
        Where they lie.
    threads:
        How many BLAS and OpenMP may use.
    """
    manifest = revision.manifest
    return Load(
        definition=revision.definition,
        stream=uploads.path(manifest.stream) if manifest else "",
        buffers=tuple(uploads.path(blob) for blob in manifest.buffers) if manifest else (),
        files=tuple((file.path, uploads.path(file.blob)) for file in manifest.files) if manifest else (),
        sources=manifest.sources if manifest else (),
        mark="",
        console_limit=CONSOLE_LIMIT,
        artifact_limit=ARTIFACT_LIMIT,
        threads=threads,
        environment=manifest.environment if manifest else Environment(),
    )
