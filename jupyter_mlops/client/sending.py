"""Sending a snapshot: piece by piece, with a progress bar, going on where a lost connection broke off."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import msgspec

from jupyter_mlops.capture import Capture
from jupyter_mlops.client.transport import Transport, segment
from jupyter_mlops.errors import Conflict, MLOpsError, ServerUnreachable
from jupyter_mlops.schema.snapshots import BeginUpload, Upload, UploadState

PIECE = 32 * 2**20
PIECE_SECONDS = 600.0
SHOWN_FROM = 64 * 2**20
"""Bytes from which a progress bar is shown."""
LOST_SECONDS = 60.0
"""How long to try to reach the server again; an upload itself is kept there for an hour."""


def send(transport: Transport, captured: Capture) -> str:
    """Upload the blobs that the server lacks, and return the upload's id.

    Parameters
    ----------
    transport:
        The way to the server.
    captured:
        The snapshot.

    Raises
    ------
    ServerUnreachable
        When the server stayed away for a minute.
    """
    answer = transport.request("POST", "/uploads", BeginUpload(manifest=captured.manifest))
    upload = msgspec.json.decode(answer, type=Upload)
    sizes = captured.manifest.blobs()
    missing = list(dict.fromkeys(upload.missing))
    try:
        with _bar(sum(sizes[digest] for digest in missing)) as bar:
            for digest in missing:
                _send_blob(transport, upload.id, digest, captured.blobs[digest], bar)
    except (MLOpsError, KeyboardInterrupt):
        forget(transport, upload.id)
        raise
    return upload.id


def forget(transport: Transport, upload: str) -> None:
    """Remove an upload, if the server can be reached."""
    with contextlib.suppress(MLOpsError):  # the first error is the one to show; uploads expire by themselves
        transport.request("DELETE", f"/uploads/{segment(upload)}")


def _send_blob(transport: Transport, upload: str, digest: str, content: memoryview, bar: Any) -> None:
    path = f"/uploads/{segment(upload)}/{digest}"
    if content.nbytes <= PIECE:
        transport.request("PUT", path, content=content, usual=PIECE_SECONDS)
        bar.update(content.nbytes)
        return
    sent, lost_since = 0, None
    while sent < content.nbytes:
        try:
            piece = content[sent : sent + PIECE]
            answer = transport.request("PATCH", f"{path}?offset={sent}", content=piece, usual=PIECE_SECONDS)
            lost_since = None
        except (ServerUnreachable, Conflict) as error:
            lost_since = lost_since or time.monotonic()
            if time.monotonic() - lost_since > LOST_SECONDS:
                raise
            time.sleep(0.5)
            answer = _state(transport, upload, error)
        before, sent = sent, msgspec.json.decode(answer, type=UploadState).received.get(digest, 0)
        bar.update(sent - before)


def _state(transport: Transport, upload: str, error: MLOpsError) -> bytes:
    """How much has come; the first error again while nobody answers."""
    deadline = time.monotonic() + LOST_SECONDS
    while True:
        try:
            return transport.request("GET", f"/uploads/{segment(upload)}")
        except ServerUnreachable:
            if time.monotonic() > deadline:
                raise error from None
            time.sleep(0.5)


@contextlib.contextmanager
def _bar(total: int) -> Iterator[Any]:
    from tqdm.auto import tqdm

    shown = total >= SHOWN_FROM
    with tqdm(total=total, desc="sending", unit="B", unit_scale=True, unit_divisor=1024, disable=not shown) as bar:
        yield bar
