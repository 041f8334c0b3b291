"""Listing, adding, changing and removing local users."""

from __future__ import annotations

from jupyter_mlops.schema.access import Action
from jupyter_mlops.schema.operations import USERS
from jupyter_mlops.schema.users import ChangeUserRequest, CreateUserRequest, UserView
from jupyter_mlops.server.handlers.base import BaseHandler
from jupyter_mlops.server.handlers.operations import operation

SMALL = 16 * 1024


class Users(BaseHandler):
    """`/users`."""

    limit = SMALL

    @operation("listUsers", USERS, Action.MANAGE_USERS, gives={200: list[UserView]})
    async def get(self) -> None:
        """List the local users, oldest first."""
        self.answer(await self.managers.users.list(self.identity))

    @operation(
        "addUser", USERS, Action.MANAGE_USERS, takes=CreateUserRequest, gives={201: UserView}, refuses=(400, 409)
    )
    async def post(self) -> None:
        """Add a user."""
        self.answer(await self.managers.users.add(self.identity, self.decode(CreateUserRequest)), 201)


class User(BaseHandler):
    """`/users/{name}`."""

    limit = SMALL

    @operation(
        "changeUser",
        USERS,
        Action.LIST,
        takes=ChangeUserRequest,
        gives={200: UserView},
        refuses=(400, 404, 409, 429),
    )
    async def patch(self, name: str) -> None:
        """Change a user's password, role or both; every login of the user ends.

        Owners change anybody's. Others change their own password, and give the present one.
        """
        request, address = self.decode(ChangeUserRequest), self.request.remote_ip or ""
        self.answer(await self.managers.users.change(self.identity, name, request, address))

    @operation("removeUser", USERS, Action.MANAGE_USERS, refuses=(404, 409))
    async def delete(self, name: str) -> None:
        """Remove a user; every login of the user ends, and the services stay."""
        await self.managers.users.remove(self.identity, name)
        self.answer(f"user {name} is removed")
