"""Small pictures of files: images as they are, tables and text by their beginning, all others by name and size.

An image is shown by what it is, not by its name, and only as PNG, JPEG or GIF, which hold no script.
"""

from __future__ import annotations

import base64
import csv
from html import escape
from pathlib import PurePath

from jupyter_mlops.notebook.batch_html import FONT, table_of, text_block
from jupyter_mlops.notebook.display import MUTED, size
from jupyter_mlops.schema.batches import BatchArtifact

SMALL = 128 * 2**10
"""Bytes up to which a file is loaded for its thumbnail."""
LARGE = 4 * 2**20
"""Bytes up to which it is loaded when it is opened."""

_IMAGES = ((b"\x89PNG\r\n\x1a\n", "png"), (b"\xff\xd8\xff", "jpeg"), (b"GIF87a", "gif"), (b"GIF89a", "gif"))
_TABLES = {".csv": ",", ".tsv": "\t"}
_MARKUP = frozenset({".svg", ".html", ".htm", ".xhtml", ".xml"})
_TEXT_SHOWN = 20_000
_CELL_SHOWN = 24


def image_type(data: bytes) -> str | None:
    """Which kind of image some bytes are; None for anything else."""
    return next((kind for start, kind in _IMAGES if data.startswith(start)), None)


def thumbnail(one: BatchArtifact, data: bytes | None) -> str:
    """A small picture of an artifact.

    Parameters
    ----------
    one:
        The artifact.
    data:
        What is in it; None when it is too large to be loaded.
    """
    inner = _inner(one.name, data, "max-width: 132px; max-height: 96px", rows=4, columns=3, characters=160)
    box = (
        "width: 140px; height: 104px; box-sizing: border-box; padding: 3px; overflow: hidden; border-radius: 3px; "
        "border: 1px solid var(--jp-border-color2, #bdbdbd); background: var(--jp-layout-color0, transparent); "
        "display: flex; align-items: center; justify-content: center; font-size: 10px"
    )
    return f"<div style='{FONT}; {box}'>{inner or _no_picture(one)}</div>"


def caption(one: BatchArtifact) -> str:
    """Whose file it is, and how large."""
    return f"<div style='{FONT}; {MUTED}; font-size: 12px'>row {one.index:,} · {escape(size(one.size))}</div>"


def opened(one: BatchArtifact, data: bytes | None) -> str:
    """An artifact as large as it can be shown.

    Parameters
    ----------
    one:
        The artifact.
    data:
        What is in it; None when it is too large to be loaded.
    """
    title = (
        f"<strong>{escape(one.name)}</strong> <span style='{MUTED}'>row {one.index:,}, {escape(size(one.size))}</span>"
    )
    inner = _inner(one.name, data, "max-width: 100%", rows=20, columns=10, characters=_TEXT_SHOWN)
    why = "It is too large to be shown here" if data is None else "It is no image, table or text"
    told = inner or f"<div>{why}; <em>Save</em> copies it into the notebook's folder.</div>"
    return f"<div style='{FONT}; overflow-x: auto'><div>{title}</div><div style='margin-top: 4px'>{told}</div></div>"


def _inner(name: str, data: bytes | None, image_style: str, *, rows: int, columns: int, characters: int) -> str:
    """HTML of what is in a file; empty when it is nothing that can be shown."""
    if data is None:
        return ""
    kind = image_type(data)
    if kind is not None:
        return (
            f"<img alt='{escape(name)}' style='{image_style}; object-fit: contain' "
            f"src='data:image/{kind};base64,{base64.b64encode(data).decode()}'>"
        )
    text = _text(data[: 4 * characters])
    suffix = PurePath(name).suffix.lower()
    if text is None or suffix in _MARKUP:
        return ""
    if suffix in _TABLES:
        return _csv(text, _TABLES[suffix], rows, columns, whole=len(data) <= 4 * characters)
    return text_block(text[:characters])


def _text(data: bytes) -> str | None:
    """Bytes as text, when they are text; a character that was cut at the end is left out."""
    if b"\0" in data:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        return data[: error.start].decode() if error.start >= len(data) - 3 and error.start else None


def _csv(text: str, delimiter: str, rows: int, columns: int, *, whole: bool) -> str:
    lines = text.splitlines()
    lines = lines if whole or len(lines) < 2 else lines[:-1]  # noqa: PLR2004  # the last may be cut
    try:
        found = list(csv.reader(lines[: rows + 1], delimiter=delimiter))
    except csv.Error:
        return text_block(text[:_TEXT_SHOWN])
    shown = [[_cut(cell) for cell in row[:columns]] for row in found if row]
    return table_of(shown) if shown else text_block("")


def _cut(cell: str) -> str:
    return cell if len(cell) <= _CELL_SHOWN else f"{cell[: _CELL_SHOWN - 1]}…"


def _no_picture(one: BatchArtifact) -> str:
    suffix = PurePath(one.name).suffix.lstrip(".").upper()[:8] or "file"
    return f"<span style='{MUTED}; font-size: 18px'>{escape(suffix)}</span>"
