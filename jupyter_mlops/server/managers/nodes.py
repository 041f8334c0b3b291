"""The list of compute nodes: kept and shown; this version runs everything on its own node."""

from __future__ import annotations

from jupyter_mlops.schema.access import Action, Identity
from jupyter_mlops.schema.nodes import GetComputeNodesResponse, check_count, check_nodes
from jupyter_mlops.server.managers.access import require
from jupyter_mlops.server.stores.nodes import NodeStore


class NodeManager:
    """Shows and changes the list of compute nodes.

    Parameters
    ----------
    store:
        Where it is kept.
    """

    def __init__(self, store: NodeStore) -> None:
        self._store = store

    async def list(self, identity: Identity) -> GetComputeNodesResponse:
        """The list, in the order of entry."""
        require(identity, Action.LIST)
        return GetComputeNodesResponse(compute_nodes=await self._store.list())

    async def set(self, identity: Identity, entries: tuple[str, ...]) -> GetComputeNodesResponse:
        """Replace the list.

        Raises
        ------
        InvalidRequest
            For an entry that is no address, with its place.
        """
        require(identity, Action.CONFIGURE)
        wanted = check_nodes(entries)
        return GetComputeNodesResponse(compute_nodes=await self._store.change(lambda _: wanted))

    async def add(self, identity: Identity, entries: tuple[str, ...]) -> GetComputeNodesResponse:
        """Add entries to the list; those that are in it already stay where they are. See `set`."""
        require(identity, Action.CONFIGURE)
        new = check_nodes(entries)

        def change(present: tuple[str, ...]) -> tuple[str, ...]:
            wanted = tuple(dict.fromkeys(present + new))
            check_count(len(wanted))
            return wanted

        return GetComputeNodesResponse(compute_nodes=await self._store.change(change))

    async def remove(self, identity: Identity, entries: tuple[str, ...]) -> GetComputeNodesResponse:
        """Remove entries from the list, ranges by their own spelling; those that are not in it are no fault."""
        require(identity, Action.CONFIGURE)
        gone = set(check_nodes(entries))
        kept = await self._store.change(lambda present: tuple(uri for uri in present if uri not in gone))
        return GetComputeNodesResponse(compute_nodes=kept)
