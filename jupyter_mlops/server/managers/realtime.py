"""Publishing realtime services: every rule is kept up to the last, that this version cannot score them."""

from __future__ import annotations

from collections.abc import Mapping

from jupyter_mlops.errors import Conflict, InvalidRequest
from jupyter_mlops.schema.access import Action, Identity
from jupyter_mlops.schema.types import check_alias, check_name
from jupyter_mlops.server.managers.access import require
from jupyter_mlops.server.managers.catalog import Catalog

WAY_ON = "publish a function that calls the model instead, by POST /services/NAME/VERSION or %%publish in a notebook"


class RealtimeManager:
    """The rules of realtime services.

    Parameters
    ----------
    catalog:
        What is published.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def check(self, identity: Identity, name: str, version: str | None = None, *, new: bool) -> None:
        """Refuse what is wrong before a model is read.

        Parameters
        ----------
        identity:
            The publisher.
        name, version:
            What it is called.
        new:
            Whether the version is to be made; else it is to be there, and the publisher's.

        Raises
        ------
        Forbidden
            When the role does not allow it, or the version to change is somebody else's.
        Conflict
            When the version to make exists.
        """
        require(identity, Action.PUBLISH)
        check_name(name, "name")
        if version is None:
            return
        check_name(version, "version")
        if not new:
            self._catalog.mine(identity, name, version)
        elif self._catalog.get(name, version) is not None:
            raise Conflict(
                f"service {name} version {version} exists; change it with PATCH, or publish another version",
                fields="$.version",
            )

    def publish(self, fields: Mapping[str, str], *, has_model: bool) -> None:
        """Publish a model, as soon as there is something that scores one.

        Parameters
        ----------
        fields:
            `description` and `operationId`, if they came.
        has_model:
            Whether the file `model` came.

        Raises
        ------
        InvalidRequest
            For now always.
        """
        if not has_model:
            raise InvalidRequest("a realtime service needs the file `model`", fields="$.model")
        self.update(fields)

    def update(self, fields: Mapping[str, str]) -> None:
        """Change a realtime service, as soon as there can be one; see `publish`."""
        check_alias(fields.get("operationId"))
        raise InvalidRequest(f"realtime services are not served by this version; {WAY_ON}", fields="$.model")
