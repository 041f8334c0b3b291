"""The revisions of a version: what they were, and going back to one."""

from __future__ import annotations

from pathlib import Path

from jupyter_mlops.errors import NotFound
from jupyter_mlops.schema.access import Action, Identity
from jupyter_mlops.schema.revisions import Provenance, RevisionView
from jupyter_mlops.schema.services import Revision
from jupyter_mlops.schema.snapshots import Environment
from jupyter_mlops.server.managers.access import require
from jupyter_mlops.server.managers.archives import Archives
from jupyter_mlops.server.managers.catalog import Catalog
from jupyter_mlops.server.managers.services import ServiceManager
from jupyter_mlops.server.managers.uploads import UploadManager
from jupyter_mlops.server.stores.services import ServiceStore

MODEL = "model"
"""What a realtime service's model is called in the zip file of its revision."""


class RevisionManager:
    """Shows revisions to their publisher and to Owners, and goes back to one.

    Parameters
    ----------
    store, catalog:
        Which revisions there are, and which is in force.
    services:
        Puts one in force.
    uploads, archives:
        Where their blobs lie, and what writes them as files.
    """

    def __init__(
        self,
        store: ServiceStore,
        catalog: Catalog,
        services: ServiceManager,
        uploads: UploadManager,
        archives: Archives,
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._services = services
        self._uploads = uploads
        self._archives = archives

    async def list(self, identity: Identity, name: str, version: str) -> list[RevisionView]:
        """Every revision of a version, oldest first.

        Raises
        ------
        Forbidden
            When the version is somebody else's: revisions hold its code.
        """
        current = self._mine(identity, name, version)
        return [_view(one, current) for one in await self._store.revisions(current.name, current.version)]

    async def rollback(self, identity: Identity, name: str, version: str, number: int) -> Revision:
        """Let a version point at an earlier revision, or a later one, which is loaded first as at its publish.

        Raises
        ------
        NotFound
            When the version has no revision of that number.
        PublishRefused
            When it does not load any more; what is in force stays.
        """
        return await self._services.switch(identity, await self._find(self._mine(identity, name, version), number))

    async def archive(self, identity: Identity, name: str, version: str, number: int | None) -> Path:
        """Write a revision of a version, the one in force by default, as a zip file, the caller's to remove: its path.

        Raises
        ------
        NotFound
            When the version has no revision of that number.
        """
        revision = self._mine(identity, name, version)
        if number is not None:
            revision = await self._find(revision, number)
        if revision.manifest is None:
            return await self._archives.write("service.json", revision, None)
        with self._uploads.leased(revision.manifest):
            stream = "objects.pickle" if revision.definition.model is None else MODEL
            return await self._archives.write("service.json", revision, revision.manifest, stream)

    async def _find(self, current: Revision, number: int) -> Revision:
        known = await self._store.revisions(current.name, current.version)
        for one in known:
            if one.number == number:
                return one
        numbers = ", ".join(str(one.number) for one in known)
        raise NotFound(
            f"{current.name} {current.version} has no revision {number}; it has {numbers}", fields="$.revision"
        )

    def _mine(self, identity: Identity, name: str, version: str) -> Revision:
        require(identity, Action.PUBLISH)
        return self._catalog.mine(identity, name, version)


def _view(revision: Revision, current: Revision) -> RevisionView:
    definition, manifest = revision.definition, revision.manifest
    return RevisionView(
        number=revision.number,
        current=revision.id == current.id,
        created=revision.created,
        published_by=revision.published_by,
        proof=revision.proof,
        description=definition.description,
        code=definition.code,
        init_code=definition.init_code,
        function=definition.function,
        inputs=definition.inputs,
        outputs=definition.outputs,
        artifacts=definition.artifacts,
        batchable=definition.batchable,
        timeout=definition.timeout,
        captured=manifest.names if manifest else (),
        files=tuple(file.path for file in manifest.files) if manifest else (),
        snapshot_size=manifest.size() if manifest else 0,
        environment=manifest.environment if manifest else Environment(),
        interpreter=revision.interpreter,
        provenance=revision.provenance or Provenance(),
        sample=revision.sample,
        answer=revision.answer,
    )
