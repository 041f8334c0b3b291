"""Answers as finished bytes: JSON, MessagePack or Arrow, as the caller asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from jupyter_mlops.container import OutputColumn
from jupyter_mlops.schema.executions import WebServiceResult
from jupyter_mlops.schema.realtime import ARROW, INLINE_BODY, MESSAGEPACK, OUTPUT

_json = msgspec.json.Encoder()
_msgpack = msgspec.msgpack.Encoder()
_HEAD = _json.encode(WebServiceResult(success=True)).removesuffix(b"{}}") + f'{{"{OUTPUT}":'.encode()


def write(columns: dict[str, Any], outputs: tuple[OutputColumn, ...], media: str, path: str) -> tuple[bytes, str]:
    """Make the body of an answer, here or in a file.

    Parameters
    ----------
    columns:
        A numpy array or list for each output.
    outputs:
        Their types.
    media:
        The media type to write.
    path:
        A new file for a body that is large.

    Returns
    -------
    tuple of bytes and str
        The body and no path, or nothing and the path.
    """
    if media == ARROW:
        return _arrow(columns, outputs, path)
    plain = {output.name: plain_list(columns[output.name], output) for output in outputs}
    if media == MESSAGEPACK:
        result = WebServiceResult(success=True, output_parameters={OUTPUT: plain})
        return placed(_msgpack.encode(result), path)
    return placed(b"%b%b}}" % (_HEAD, _json.encode(plain)), path)


def placed(body: bytes, path: str) -> tuple[bytes, str]:
    """The body, or, when it is large, nothing and the path of a file that holds it."""
    if len(body) < INLINE_BODY:
        return body, ""
    Path(path).write_bytes(body)
    return b"", path


def plain_list(values: Any, output: OutputColumn) -> list[Any]:
    """Values as JSON knows them; what is no number is null."""
    plain: list[Any] = values.tolist() if isinstance(values, np.ndarray) else values
    if output.type == "string":
        return [one.decode("utf-8", "replace") if isinstance(one, bytes) else one for one in plain]
    return plain


def _arrow(columns: dict[str, Any], outputs: tuple[OutputColumn, ...], path: str) -> tuple[bytes, str]:
    import pyarrow as pa

    from jupyter_mlops.realtime.arrow import write_columns

    rows = len(columns[outputs[0].name])
    if rows * len(outputs) * 8 < INLINE_BODY:
        buffer = pa.BufferOutputStream()
        write_columns(columns, outputs, buffer)
        return placed(buffer.getvalue().to_pybytes(), path)
    with pa.OSFile(path, "wb") as file:
        write_columns(columns, outputs, file)
    return b"", path
