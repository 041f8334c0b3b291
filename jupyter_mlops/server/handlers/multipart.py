"""Bodies of `multipart/form-data`, read while they arrive: short fields are held, files go where the route says."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Protocol

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from jupyter_mlops.errors import InvalidRequest, MLOpsError, UnsupportedMediaType
from jupyter_mlops.server.handlers.base import BaseHandler

FIELD_LIMIT = 64 * 1024
"""Largest value of a field that is no file, in bytes."""
PART_LIMIT = 20
"""Most parts of one body."""
HEADER_LIMIT = 4096
"""Most bytes of one part's headers, all together."""
_BOUNDARY_LIMIT = 200
_NAME_LIMIT = 200
_PLAIN = {"", "7bit", "8bit", "binary"}


@dataclass(frozen=True)
class Part:
    """What a part says of itself."""

    name: str
    filename: str | None
    """As the sender wrote it: check it before it names anything."""
    content_type: str


class Sink(Protocol):
    """Where a file's bytes go; `spool.Spool` is one."""

    async def write(self, data: bytes) -> None:
        """Take the next bytes, without holding up the event loop."""

    def remove(self) -> None:
        """Remove what was written."""


class Form:
    """The parts of one body.

    Parameters
    ----------
    content_type:
        The request's `Content-Type`.
    open_file:
        Called at the beginning of each part of a name in `files`; returns where its bytes go, or refuses it.
    files:
        Names of the parts that are files; every other part is a field.

    Raises
    ------
    UnsupportedMediaType
        When the body is no `multipart/form-data`, or names no boundary.
    """

    def __init__(self, content_type: str, open_file: Callable[[Part], Sink], files: frozenset[str]) -> None:
        self.fields: dict[str, str] = {}
        """Values by name, of what has arrived."""
        self.parts: dict[str, Part] = {}
        """The files that have arrived, by name; their bytes went to their sinks."""
        self.whole = False
        """Whether `finish` has found the body complete."""
        self._open_file = open_file
        self._files = files
        self._sinks: list[Sink] = []
        self._headers: dict[str, str] = {}
        self._header = [bytearray(), bytearray()]
        self._header_size = 0
        self._count = 0
        self._part: Part | None = None
        self._value = bytearray()
        self._pieces: list[tuple[Sink, bytes]] = []
        self._ended = False
        self._fault: MLOpsError | None = None
        self._parser = MultipartParser(_boundary(content_type), self._callbacks())  # type: ignore[arg-type]

    async def write(self, data: bytes) -> None:
        """Take the next bytes of the body. What is wrong with it is told by `finish`."""
        if self._fault is not None:
            return
        try:
            self._parser.write(data)
            pieces, self._pieces = self._pieces, []
            for sink, piece in pieces:
                await sink.write(piece)
        except FormParserError as error:
            self._fault = InvalidRequest(f"the body is not well-formed multipart/form-data: {error}", fields="$")
        except MLOpsError as error:
            self._fault = error

    def finish(self) -> None:
        """Say that the body has ended.

        Raises
        ------
        InvalidRequest
            When it is malformed, ends before its last boundary, or breaks a limit.
        """
        if self._fault is not None:
            raise self._fault
        if not self._ended:
            raise InvalidRequest(
                "the body ends before its last boundary (`--BOUNDARY--`): it is cut off, or empty", fields="$"
            )
        self.whole = True

    def remove(self) -> None:
        """Remove what was written to files."""
        for sink in self._sinks:
            sink.remove()

    def _callbacks(self) -> dict[str, Callable[..., None]]:
        return {
            "on_part_begin": self._begin_part,
            "on_header_field": lambda data, start, end: self._add_header(0, data[start:end]),
            "on_header_value": lambda data, start, end: self._add_header(1, data[start:end]),
            "on_header_end": self._end_header,
            "on_headers_finished": self._open_part,
            "on_part_data": lambda data, start, end: self._add(data[start:end]),
            "on_part_end": self._end_part,
            "on_end": self._end,
        }

    def _begin_part(self) -> None:
        self._count += 1
        if self._count > PART_LIMIT:
            raise InvalidRequest(f"the body has more than {PART_LIMIT} parts", fields="$")
        self._headers, self._header_size = {}, 0

    def _add_header(self, which: int, data: bytes) -> None:
        self._header_size += len(data)
        if self._header_size > HEADER_LIMIT:
            raise InvalidRequest(f"the headers of a part have more than {HEADER_LIMIT} bytes", fields="$")
        self._header[which] += data

    def _end_header(self) -> None:
        name, value = (bytes(half).decode("latin-1") for half in self._header)
        self._headers[name.lower()] = value
        self._header = [bytearray(), bytearray()]

    def _open_part(self) -> None:
        part = _part(self._headers)
        if part.name in self.fields or part.name in self.parts:
            raise InvalidRequest(f"the body has two parts of the name {part.name!r}", fields=f"$.{part.name}")
        if part.filename is not None and part.name not in self._files:
            known = ", ".join(sorted(self._files))
            raise InvalidRequest(
                f"{part.name!r} is no file of this address; it takes: {known}", fields=f"$.{part.name}"
            )
        if part.name in self._files:
            self._sinks.append(self._open_file(part))
        self._part, self._value = part, bytearray()

    def _add(self, data: bytes) -> None:
        assert self._part is not None
        if self._part.name in self._files:
            self._pieces.append((self._sinks[-1], data))
            return
        self._value += data
        if len(self._value) > FIELD_LIMIT:
            name = self._part.name
            raise InvalidRequest(f"{name!r} has more than the {FIELD_LIMIT} bytes of a field", fields=f"$.{name}")

    def _end_part(self) -> None:
        assert self._part is not None
        name = self._part.name
        if name in self._files:
            self.parts[name] = self._part
        else:
            self.fields[name] = _text(bytes(self._value), name)
        self._part = None

    def _end(self) -> None:
        self._ended = True


class FormHandler(BaseHandler):
    """A route whose POST, PUT and PATCH take a form; what it wrote to files is removed when the request ends."""

    files: ClassVar[frozenset[str]] = frozenset()
    """Names of the parts that are files."""
    form: Form | None = None

    def admit(self) -> None:
        """Refuse a body of another kind before it is read."""
        super().admit()
        if self.request.method in {"POST", "PUT", "PATCH"}.intersection(self._allowed()):
            self.form = Form(self.request.headers.get("Content-Type", ""), self.open_file, self.files)

    @abstractmethod
    def open_file(self, part: Part) -> Sink:
        """Say where the bytes of a file go.

        Parameters
        ----------
        part:
            The beginning of the file; raise `InvalidRequest` to refuse it.
        """

    async def data_received(self, chunk: bytes) -> None:
        """Hand on what came; nothing of it is held here."""
        self._size += len(chunk)
        if self._size > self.limit:
            self._refuse_later(self._too_large())
        elif self.form is not None:
            await self.form.write(chunk)

    def received(self) -> Form:
        """The form, whole.

        Raises
        ------
        InvalidRequest
            When it is malformed, cut off, or breaks a limit.
        """
        assert self.form is not None
        self.form.finish()
        return self.form

    def on_finish(self) -> None:
        """Remove what nobody took."""
        if self.form is not None:
            self.form.remove()

    def on_connection_close(self) -> None:
        """Remove what will never be whole; while the verb runs, its end removes the rest."""
        super().on_connection_close()
        if self.form is not None and not self.form.whole:
            self.form.remove()


def _boundary(content_type: str) -> bytes:
    """The boundary that a `Content-Type` names."""
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not 0 < len(boundary) <= _BOUNDARY_LIMIT:
        raise UnsupportedMediaType(
            "this address takes Content-Type: multipart/form-data; boundary=..., with a boundary of 1 to "
            f"{_BOUNDARY_LIMIT} characters; got {content_type[:200]!r}"
        )
    return boundary


def _part(headers: dict[str, str]) -> Part:
    """What a part's headers say."""
    kind, options = parse_options_header(headers.get("content-disposition", ""))
    name = _text(options.get(b"name", b""), "")
    if kind != b"form-data" or not name:
        raise InvalidRequest("every part needs the header `Content-Disposition: form-data; name=...`", fields="$")
    path = f"$.{name}"
    if len(name) > _NAME_LIMIT:
        raise InvalidRequest(f"the name of a part has more than {_NAME_LIMIT} characters", fields="$")
    if headers.get("content-transfer-encoding", "").strip().lower() not in _PLAIN:
        raise InvalidRequest(f"{name!r} has a Content-Transfer-Encoding; send its bytes as they are", fields=path)
    filename = _text(options[b"filename"], name) if b"filename" in options else None
    return Part(name, filename, headers.get("content-type", ""))


def _text(data: bytes, name: str) -> str:
    """Decode a name or a value."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise InvalidRequest(f"{name or 'the name of a part'} is not UTF-8 text", fields=f"$.{name}") from None
