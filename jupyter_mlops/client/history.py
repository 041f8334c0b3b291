"""What a version was before, and which of its calls failed: for its publisher and Owners."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from jupyter_mlops.client.lookup import find, services_path
from jupyter_mlops.client.opened import Opened, fetch
from jupyter_mlops.client.transport import Transport, segment
from jupyter_mlops.errors import NotFound
from jupyter_mlops.schema.failures import Failure, FailureView
from jupyter_mlops.schema.revisions import RevisionView, RollbackRequest
from jupyter_mlops.schema.services import ServiceView

if TYPE_CHECKING:
    from jupyter_mlops.client.service import Service

_SETTINGS = ("description", "init_code", "function", "inputs", "outputs", "artifacts", "batchable", "timeout")


class Difference(str):
    """What changed between two revisions, as text that shows itself."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


class History:
    """The part of a service that looks back."""

    _view: ServiceView
    _transport: Transport

    def revisions(self) -> list[RevisionView]:
        """Every revision of this version, oldest first: each publish, update and redeploy made one."""
        return msgspec.json.decode(self._ask("GET", "/revisions"), type=list[RevisionView])

    def diff(self, before: int, after: int | None = None) -> Difference:
        """Tell what changed between two revisions: code, settings, and what they hold.

        Parameters
        ----------
        before, after:
            Their numbers; without the second, the one that is in force.

        Raises
        ------
        NotFound
            When there is no such revision.
        """
        revisions = {one.number: one for one in self.revisions()}
        current = next(one.number for one in revisions.values() if one.current)
        wanted = [before, current if after is None else after]
        for number in wanted:
            if number not in revisions:
                known = ", ".join(map(str, revisions))
                raise NotFound(f"{self._view.name} {self._view.version} has no revision {number}; it has {known}")
        return Difference("\n".join(_differences(*(revisions[number] for number in wanted))))

    def rollback(self, revision: int) -> Service:
        """Let this version point at another of its revisions; the service as it is then.

        Parameters
        ----------
        revision:
            Its number. It is loaded, and must answer its sample, before calls go to it.

        Raises
        ------
        NotFound
            When there is no such revision.
        PublishRefused
            When it does not load any more.
        """
        from jupyter_mlops.client.service import make_service

        self._ask("POST", "/rollback", RollbackRequest(revision=revision))
        (view,) = find(self._transport, self._view.name, self._view.version)
        return make_service(view, self._transport)

    def failures(self) -> list[FailureView]:
        """The calls that failed and are kept, newest first: up to twenty of each error."""
        return msgspec.json.decode(self._ask("GET", "/failures"), type=list[FailureView])

    def open(
        self, namespace: dict[str, Any] | None = None, *, revision: int | None = None, overwrite: bool = False
    ) -> Opened:
        """Bring the service back: its objects as variables, its code in the next cell of a notebook.

        Parameters
        ----------
        namespace:
            Where the variables go; in a notebook its own, elsewhere a new dict.
        revision:
            Which revision; the one in force by default.
        overwrite:
            Replace variables of the same name.

        Raises
        ------
        Conflict
            Naming variables that are there already, or the Python that the service needs.
        """
        query = "" if revision is None else f"?revision={revision}"
        path = f"{self._base()}/snapshot{query}"
        return fetch(self._transport, path, self._title()).into(namespace, overwrite=overwrite)

    def debug(self, request_id: str | None = None) -> Opened:
        """Repeat a failed call here: `.run()` raises what it raised, at the line of the cell that it came from.

        Parameters
        ----------
        request_id:
            The id that the caller got (`response.request_id`, `X-Correlation-Id`); the newest failure by default.

        Raises
        ------
        NotFound
            When no failure of that id is kept.
        """
        if request_id is None:
            kept = self.failures()
            if not kept:
                raise NotFound(f"no failed call of {self._view.name} {self._view.version} is kept")
            request_id = kept[0].id
        failure = msgspec.json.decode(self._ask("GET", f"/failures/{segment(request_id)}"), type=Failure)
        path = f"{self._base()}/snapshot?revision={failure.revision}"
        return fetch(self._transport, path, self._title()).of_failure(failure)

    def _title(self) -> str:
        return f"service {self._view.name} {self._view.version}"

    def _base(self) -> str:
        return services_path(self._view.name, self._view.version)

    def _ask(self, method: str, path: str, body: Any = None) -> bytes:
        return self._transport.request(method, self._base() + path, body)


def _differences(before: RevisionView, after: RevisionView) -> Iterator[str]:
    names = _title(before), _title(after)
    yield f"{names[0]} -> {names[1]}"
    for name in _SETTINGS:
        old, new = getattr(before, name), getattr(after, name)
        if old != new:
            yield f"{name}: {_shown(old)} -> {_shown(new)}"
    old_names = {one.name: one for one in before.captured}
    new_names = {one.name: one for one in after.captured}
    for name in sorted(old_names.keys() | new_names.keys()):
        if name not in new_names:
            yield f"- {name} ({old_names[name].type})"
        elif name not in old_names:
            yield f"+ {name} ({new_names[name].type})"
        elif old_names[name].fingerprint != new_names[name].fingerprint:
            yield f"~ {name} ({old_names[name].type}, {old_names[name].size} -> {new_names[name].size} bytes)"
    packages = before.environment.packages, after.environment.packages
    for name in sorted(packages[0].keys() | packages[1].keys()):
        if packages[0].get(name) != packages[1].get(name):
            yield f"package {name}: {packages[0].get(name, 'none')} -> {packages[1].get(name, 'none')}"
    yield from difflib.unified_diff(before.code.splitlines(), after.code.splitlines(), *names, lineterm="")


def _title(revision: RevisionView) -> str:
    return f"revision {revision.number} ({revision.created[:16]}, {revision.published_by})"


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return "(" + ", ".join(str(getattr(one, "name", one)) for one in value) + ")"
    return repr(value)
