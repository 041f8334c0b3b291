"""The documents that describe the HTTP interface and each service."""

from __future__ import annotations

from functools import cache
from typing import Any

import jupyter_mlops
from jupyter_mlops.schema.access import Action
from jupyter_mlops.schema.openapi import openapi
from jupyter_mlops.schema.operations import CONSUMPTION, DOCUMENTS, Operation
from jupyter_mlops.schema.service_documents import service_openapi, service_swagger
from jupyter_mlops.schema.swagger2 import swagger2
from jupyter_mlops.server.handlers.base import BaseHandler
from jupyter_mlops.server.handlers.operations import operation, operations
from jupyter_mlops.server.managers.access import require

_DOCUMENT = dict[str, Any]


class Swagger(BaseHandler):
    """`/swagger.json`."""

    @operation("swagger", DOCUMENTS, Action.LIST, gives={200: _DOCUMENT})
    def get(self) -> None:
        """Describe every operation in Swagger 2.0."""
        require(self.identity, Action.LIST)
        self.answer(core()[0])


class OpenAPI(BaseHandler):
    """`/openapi.json`."""

    @operation("openapi", DOCUMENTS, Action.LIST, gives={200: _DOCUMENT})
    def get(self) -> None:
        """Describe every operation in OpenAPI 3.1."""
        require(self.identity, Action.LIST)
        self.answer(core()[1])


class ServiceSwagger(BaseHandler):
    """`/api/{name}/{version}/swagger.json`."""

    @operation("GetWebServiceSwagger", CONSUMPTION, Action.LIST, gives={200: _DOCUMENT}, refuses=(404,))
    def get(self, name: str, version: str) -> None:
        """Describe a service in Swagger 2.0, as Machine Learning Server did."""
        (service,) = self.managers.services.list(self.identity, name, version)
        self.set_header("Content-Disposition", 'attachment; filename="swagger.json"')
        self.answer(service_swagger(service, declared()))


class ServiceOpenAPI(BaseHandler):
    """`/api/{name}/{version}/openapi.json`."""

    @operation("GetWebServiceOpenAPI", CONSUMPTION, Action.LIST, gives={200: _DOCUMENT}, refuses=(404,))
    def get(self, name: str, version: str) -> None:
        """Describe a service in OpenAPI 3.1, with all that is known of its inputs and outputs."""
        (service,) = self.managers.services.list(self.identity, name, version)
        self.set_header("Content-Disposition", 'attachment; filename="openapi.json"')
        example = self.managers.services.example(self.identity, name, version)
        self.answer(service_openapi(service, declared(), example))


@cache
def declared() -> list[Operation]:
    """Every operation of the server, in the order of the page of URLs."""
    from jupyter_mlops.server.handlers.routes import ROUTES  # which names these handlers too

    return operations(ROUTES)


@cache
def core() -> tuple[dict[str, Any], dict[str, Any]]:
    """The two documents of the whole interface: Swagger 2.0 and OpenAPI 3.1."""
    info = {
        "title": "jupyter_mlops",
        "version": jupyter_mlops.__version__,
        "description": "Publishes functions of notebooks as web services, and runs them. Log in with `POST /login`, "
        "and send the access token as `Authorization: Bearer TOKEN` with everything else.",
    }
    document = openapi(declared(), info, ".")
    return swagger2(document), document
