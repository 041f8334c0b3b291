"""`DeployClient`: the names and meaning of `azureml.deploy`, for this server."""

from __future__ import annotations

from typing import Any, Self

import msgspec

from jupyter_mlops.client.batch import Batch
from jupyter_mlops.client.connect import Auth, connect
from jupyter_mlops.client.definition import ServiceDefinition
from jupyter_mlops.client.lookup import find, services_path
from jupyter_mlops.client.patience import CONNECT_SECONDS, Patience
from jupyter_mlops.client.pools import configure, pool_path
from jupyter_mlops.client.realtime import RealtimeDefinition
from jupyter_mlops.client.service import Service, make_service
from jupyter_mlops.client.session import Session, create_session, get_session, sessions
from jupyter_mlops.client.snapshot import Snapshot, get_snapshot, snapshots
from jupyter_mlops.client.transport import Transport, segment
from jupyter_mlops.errors import InvalidRequest, NotFound
from jupyter_mlops.schema.batches import BatchProgress
from jupyter_mlops.schema.pools import PoolSettings

_OPTIONS = (
    "version", "description", "alias", "inputs", "outputs", "artifacts", "models", "objects",
    "timeout", "environment", "batchable", "sample", "kernels", "pool", "snapshot",
)  # fmt: skip
_BY_NAME = frozenset({"inputs", "outputs", "models", "objects", "pool"})
_CODE = ("code_fn", "init_fn", "code_str", "init_str")
_REALTIME = ("version", "description", "alias", "serialized_model", "timeout")


class DeployClient:
    """Publishes, finds, calls and deletes services.

    Parameters
    ----------
    host:
        The server's URL. Without it: `JUPYTER_MLOPS_URL`, else the server of this account, which is
        started when none runs.
    auth:
        `(user, password)`, or a token.
    use:
        Accepted and ignored; `azureml.deploy` chose its server's kind by it.
    timeout:
        Seconds to wait for each answer. Without it a call waits for its service's deadline, a publish for ten minutes,
        an execution in a session for as long as it takes, and everything else for a minute.
    connect_timeout:
        Seconds to wait for a connection.
    retries:
        How often a request that changes nothing the second time (never a call) is sent again when the connection
        breaks or the server has no room.
    """

    def __init__(
        self,
        host: str | None = None,
        auth: Auth = None,
        use: object = None,  # noqa: ARG002
        *,
        timeout: float | None = None,
        connect_timeout: float = CONNECT_SECONDS,
        retries: int = 2,
    ) -> None:
        self._transport = connect(host, auth, patience=Patience(connect=connect_timeout, read=timeout, retries=retries))

    @classmethod
    def over(cls, transport: Transport) -> Self:
        """Make a client of a connection that exists."""
        client = cls.__new__(cls)
        client._transport = transport  # noqa: SLF001
        return client

    @property
    def transport(self) -> Transport:
        """The connection."""
        return self._transport

    def service(self, name: str) -> ServiceDefinition:
        """Begin a definition, to be continued with `.version()`, `.code_fn()` and so on."""
        return ServiceDefinition(name, self._transport)

    def deploy_service(self, name: str, **opts: Any) -> Service:
        """Publish in one call.

        Parameters
        ----------
        name:
            The service's name.
        opts:
            `version, description, code_fn, init_fn, code_str, init_str, objects, models, inputs, outputs,
            artifacts, alias, timeout, environment, batchable, sample, kernels, pool, snapshot`, with the meaning of
            the definition's methods; `kernels` is a pair, `pool` a dict of settings.
        """
        return self._defined(name, opts).deploy()

    def redeploy_service(self, name: str, **opts: Any) -> Service:
        """Change a published version in one call; what is not given stays as it is."""
        return self._defined(name, opts).redeploy()

    def realtime_service(self, name: str) -> RealtimeDefinition:
        """Begin the definition of a realtime service, to be continued with `.version()`, `.serialized_model()` ..."""
        return RealtimeDefinition(name, self._transport)

    def deploy_realtime(self, name: str, **opts: Any) -> Service:
        """Publish a serialized model in one call.

        Parameters
        ----------
        name:
            The service's name.
        opts:
            `version, description, alias, serialized_model, timeout`, with the meaning of the definition's methods.
        """
        return self._defined_realtime(name, opts).deploy()

    def redeploy_realtime(self, name: str, **opts: Any) -> Service:
        """Change a published realtime service in one call; what is not given stays as it is."""
        return self._defined_realtime(name, opts).redeploy()

    def list_services(self, name: str | None = None, version: str | None = None) -> list[dict[str, Any]]:
        """Describe services as the server's plain dicts, oldest first."""
        listed: list[dict[str, Any]] = self._transport.json("GET", services_path(name, version))
        return listed

    def get_service(self, name: str, version: str | None = None) -> Service:
        """Find a service, its last version when none is named.

        Raises
        ------
        NotFound
            When there is none.
        """
        found = find(self._transport, name, version)
        if not found:
            raise NotFound(f"No service found for {name!r}" + (f" version {version!r}" if version else ""))
        return make_service(found[-1], self._transport)

    def delete_service(self, name: str, version: str | None = None) -> bool:
        """Delete a version of a service.

        Raises
        ------
        InvalidRequest
            When no version is named: deleting all of them must be said one by one.
        """
        if not version:
            raise InvalidRequest(f"say which version of {name!r} to delete: delete_service({name!r}, version='1.0')")
        self._transport.request("DELETE", services_path(name, version))
        return True

    def get_batch(self, batch_id: str) -> Batch:
        """Find a batch of yours, of whichever service, by its id.

        Raises
        ------
        NotFound
            When you have none of that id.
        """
        answer = self._transport.request("GET", f"/batches/{segment(batch_id)}")
        found = msgspec.json.decode(answer, type=BatchProgress)
        return self.get_service(found.name, found.version).get_batch(batch_id)

    def batches(self) -> list[BatchProgress]:
        """How far your batches of all services are, the newest first; for Owners everybody's."""
        return msgspec.json.decode(self._transport.request("GET", "/batches"), type=list[BatchProgress])

    def create_session(self, name: str | None = None, snapshot: Snapshot | str | None = None) -> Session:
        """Open a session: a Python on the server that is driven from here.

        Parameters
        ----------
        name:
            What to call it.
        snapshot:
            A snapshot of yours to begin with, or its id.
        """
        return create_session(self._transport, name, snapshot)

    def sessions(self) -> list[Session]:
        """Your open sessions, oldest first."""
        return sessions(self._transport)

    def get_session(self, session_id: str) -> Session:
        """Find an open session of yours.

        Raises
        ------
        NotFound
            When you have none of that id.
        """
        return get_session(self._transport, session_id)

    def snapshots(self) -> list[Snapshot]:
        """Your snapshots, oldest first."""
        return snapshots(self._transport)

    def get_snapshot(self, snapshot_id: str) -> Snapshot:
        """Find a snapshot of yours.

        Raises
        ------
        NotFound
            When you have none of that id.
        """
        return get_snapshot(self._transport, snapshot_id)

    def create_or_update_service_pool(
        self, name: str, version: str, initial_pool_size: int, max_pool_size: int
    ) -> PoolSettings:
        """Set how many kernels a version has at once, and at most, and return the settings in force."""
        sizes = {"initial_pool_size": initial_pool_size, "max_pool_size": max_pool_size}
        return configure(self._transport, name, version, sizes)

    def get_service_pool_status(self, name: str, version: str) -> list[dict[str, str]]:
        """Say whether a version's initial kernels run: `Success`, `Pending` or `NotFound` for each compute node.

        `Service.pool()` has the numbers.
        """
        listed = self._transport.json("GET", pool_path(name, version))
        return [{key[:1].lower() + key[1:]: value for key, value in node.items()} for node in listed]

    def delete_service_pool(self, name: str, version: str) -> bool:
        """Give a version's pool the default settings again."""
        self._transport.request("DELETE", pool_path(name, version))
        return True

    def close(self) -> None:
        """Close the connections to the server."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<DeployClient of {self._transport.url}>"

    def _defined_realtime(self, name: str, opts: dict[str, Any]) -> RealtimeDefinition:
        unknown = next((key for key in opts if key not in _REALTIME), None)
        if unknown is not None:
            raise InvalidRequest(f"there is no option {unknown!r}; the options are {', '.join(_REALTIME)}")
        definition = self.realtime_service(name)
        for key, value in opts.items():
            if value is not None:
                getattr(definition, key)(value)
        return definition

    def _defined(self, name: str, opts: dict[str, Any]) -> ServiceDefinition:
        unknown = [key for key in opts if key not in _OPTIONS and key not in _CODE]
        if unknown:
            raise InvalidRequest(f"there is no option {unknown[0]!r}; the options are {', '.join(_OPTIONS + _CODE)}")
        definition = self.service(name)
        for key in _OPTIONS:
            value = opts.get(key)
            if value is not None:
                setter = getattr(definition, key)
                if key in _BY_NAME and isinstance(value, dict):
                    setter(**value)
                elif key == "kernels" and isinstance(value, tuple | list):
                    setter(*value)
                else:
                    setter(value)
        if opts.get("code_fn") is not None:
            definition.code_fn(opts["code_fn"], opts.get("init_fn"))
        elif opts.get("code_str") is not None:
            definition.code_str(opts["code_str"], opts.get("init_str"))
        return definition
