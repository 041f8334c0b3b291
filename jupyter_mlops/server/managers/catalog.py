"""Every published version in memory: what the scoring path looks up."""

from __future__ import annotations

from jupyter_mlops.errors import Forbidden, NotFound
from jupyter_mlops.schema.access import Action, Identity
from jupyter_mlops.schema.pools import PoolSettings
from jupyter_mlops.schema.services import MINE, Revision, ServiceView

LATEST = "latest"


class Catalog:
    """Versions by name, in order of publication; a copy of what the store has committed."""

    def __init__(self) -> None:
        self._services: dict[str, dict[str, Revision]] = {}
        self._settings: dict[tuple[str, str], PoolSettings] = {}

    def settings(self, revision: Revision) -> PoolSettings:
        """The pool settings of a revision's version."""
        return self._settings.get((revision.name, revision.version), PoolSettings())

    def set_settings(self, revision: Revision, settings: PoolSettings) -> None:
        """Change the pool settings of a revision's version."""
        self._settings[revision.name, revision.version] = settings

    def put(self, revision: Revision) -> None:
        """Add a version at the end, or point an existing one at a new revision."""
        self._services.setdefault(revision.name, {})[revision.version] = revision

    def remove(self, revision: Revision) -> None:
        """Remove a version."""
        versions = self._services[revision.name]
        del versions[revision.version]
        self._settings.pop((revision.name, revision.version), None)
        if not versions:
            del self._services[revision.name]

    def find(self, name: str, version: str | None = None) -> Revision:
        """The revision of a version; without one, or for `latest`, of the last published.

        Raises
        ------
        NotFound
            Saying which services or versions there are.
        """
        versions = self._services.get(name)
        if versions is None:
            raise NotFound(f"there is no service {name!r}; see GET /services for those there are")
        if version is None or version == LATEST:
            return next(reversed(versions.values()))
        revision = versions.get(version)
        if revision is None:
            known = ", ".join(list(versions)[-10:])
            raise NotFound(f"service {name!r} has no version {version!r}; it has {known}")
        return revision

    def mine(self, identity: Identity, name: str, version: str) -> Revision:
        """The revision of a version that the caller may change.

        Raises
        ------
        Forbidden
            When it was published by somebody else, and the caller is no Owner.
        """
        revision = self.find(name, version)
        if not may_change(identity, revision):
            raise Forbidden(
                f"service {name} version {version} was published by {revision.published_by}; "
                "only its publisher and Owners may change it"
            )
        return revision

    def get(self, name: str, version: str) -> Revision | None:
        """The revision of a version, or None."""
        return self._services.get(name, {}).get(version)

    def is_realtime(self, name: str, version: str | None = None) -> bool:
        """Whether there is such a version, and it is a realtime service."""
        versions = self._services.get(name, {})
        latest = version is None or version == LATEST
        found = next(reversed(versions.values()), None) if latest else versions.get(str(version))
        return found is not None and found.definition.model is not None

    def versions(self, name: str) -> list[Revision]:
        """Every version of a service, oldest first; empty for an unknown name."""
        return list(self._services.get(name, {}).values())

    def all(self) -> list[Revision]:
        """Every version of every service, oldest first within a service."""
        return [revision for versions in self._services.values() for revision in versions.values()]


def view(revision: Revision, identity: Identity, settings: PoolSettings) -> ServiceView:
    """A version as one caller may see it: code and snapshot only for its publisher and Owners.

    Parameters
    ----------
    revision:
        The current revision.
    identity:
        Who asks.
    settings:
        The version's pool settings.
    """
    definition, manifest = revision.definition, revision.manifest
    mine = may_change(identity, revision)
    return ServiceView(
        name=revision.name,
        version=revision.version,
        version_published_by=revision.published_by,
        creation_time=revision.created,
        runtime_type=definition.runtime_type,
        description=definition.description,
        operation_id=definition.operation_id,
        input_parameter_definitions=definition.inputs,
        output_parameter_definitions=definition.outputs,
        output_file_names=definition.artifacts,
        my_permission_on_service=MINE if mine else "read only",
        revision=revision.number,
        proof=revision.proof,
        timeout=definition.timeout,
        batchable=definition.batchable,
        pool=settings,
        captured=manifest.names if manifest else (),
        snapshot_size=manifest.size() if manifest else 0,
        differences=revision.differences,
        snapshot_id=revision.id if mine and manifest else None,
        code=definition.code if mine else None,
        init_code=definition.init_code if mine else None,
        model=definition.model.header if definition.model else None,
    )


def may_change(identity: Identity, revision: Revision) -> bool:
    """Whether the caller may update or delete this version, and see its code."""
    own = identity.may(Action.PUBLISH) and identity.name == revision.published_by
    return own or identity.may(Action.MANAGE_ALL)
