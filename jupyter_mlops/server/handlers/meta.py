"""Health, status, and the documentation page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from tornado.web import StaticFileHandler

import jupyter_mlops
from jupyter_mlops.schema.access import Action
from jupyter_mlops.schema.operations import DOCUMENTS, STATUS, Content
from jupyter_mlops.schema.status import Health as HealthView
from jupyter_mlops.schema.status import StatusResponse
from jupyter_mlops.server.handlers.base import BaseHandler, plain
from jupyter_mlops.server.handlers.operations import operation

STATIC = Path(jupyter_mlops.__file__).parent / "static"
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)


class Health(BaseHandler):
    """`/health`: public, and says nothing that helps an attacker."""

    public = True

    @operation("health", STATUS, None, gives={200: HealthView})
    def get(self) -> None:
        """Say that the server answers, and which it is."""
        self.answer(self.managers.status.health())


class Status(BaseHandler):
    """`/status`."""

    @operation("status", STATUS, Action.LIST, gives={200: StatusResponse})
    async def get(self) -> None:
        """Describe the server's parts, in Machine Learning Server's shape."""
        self.answer(await self.managers.status.status(self.identity, f"{self.endpoint()}/"))


class Docs(BaseHandler):
    """`/docs`: a static page; what it shows it asks for with the visitor's own login."""

    public = True
    content_policy = _PAGE_POLICY

    @operation("docs", DOCUMENTS, None, gives={200: Content("text/html", "The page")})
    def get(self) -> None:
        """Send the documentation page."""
        self.set_header("Content-Type", "text/html; charset=UTF-8")
        self.set_header("Cache-Control", "no-cache")
        self.finish((STATIC / "docs.html").read_bytes())


class DocsFile(StaticFileHandler):
    """`/docs/static/...`: the page's scripts and styles, which come with this package."""

    def set_default_headers(self) -> None:
        """Let nothing be sniffed."""
        self.clear_header("Server")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Content-Security-Policy", _PAGE_POLICY)

    @operation("docsFile", DOCUMENTS, None, gives={200: Content("*/*")}, refuses=(404,), shown=False)
    async def get(self, path: str, include_body: bool = True) -> None:  # noqa: FBT001, FBT002  # as tornado has it
        """Send a script or a style of the documentation page."""
        await super().get(path, include_body)

    def write_error(self, status_code: int, **kwargs: Any) -> None:  # noqa: ARG002
        """Say only that there is no such file."""
        self.set_header("Content-Type", "application/json; charset=UTF-8")
        self.finish(msgspec.json.encode(plain("there is no such file", status_code, "NotFound")))
