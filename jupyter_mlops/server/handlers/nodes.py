"""The list of compute nodes."""

from __future__ import annotations

from jupyter_mlops.schema.access import Action
from jupyter_mlops.schema.nodes import GetComputeNodesResponse, UpdateComputeNodesRequest
from jupyter_mlops.schema.operations import CONFIGURATION
from jupyter_mlops.server.handlers.base import BaseHandler
from jupyter_mlops.server.handlers.operations import operation

_GIVES = {200: GetComputeNodesResponse}


class ComputeNodes(BaseHandler):
    """`/computenodes`."""

    @operation("getComputeNodes", CONFIGURATION, Action.LIST, gives=_GIVES)
    async def get(self) -> None:
        """List the compute nodes.

        They are kept and shown; this version of the server runs everything on its own node.
        """
        self.answer(await self.managers.nodes.list(self.identity))

    @operation(
        "setComputeNodes",
        CONFIGURATION,
        Action.CONFIGURE,
        takes=UpdateComputeNodesRequest,
        body="entries",
        gives=_GIVES,
        refuses=(400,),
    )
    async def post(self) -> None:
        """Replace the list of compute nodes."""
        self.answer(await self.managers.nodes.set(self.identity, self.decode(UpdateComputeNodesRequest).entries))

    @operation(
        "addComputeNode",
        CONFIGURATION,
        Action.CONFIGURE,
        takes=UpdateComputeNodesRequest,
        body="entries",
        gives=_GIVES,
        refuses=(400,),
    )
    async def put(self) -> None:
        """Add compute nodes to the list."""
        self.answer(await self.managers.nodes.add(self.identity, self.decode(UpdateComputeNodesRequest).entries))

    @operation(
        "removeComputeNode",
        CONFIGURATION,
        Action.CONFIGURE,
        takes=UpdateComputeNodesRequest,
        body="entries",
        gives=_GIVES,
        refuses=(400,),
    )
    async def delete(self) -> None:
        """Remove compute nodes from the list."""
        self.answer(await self.managers.nodes.remove(self.identity, self.decode(UpdateComputeNodesRequest).entries))
