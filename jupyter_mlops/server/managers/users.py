"""The local users: who may add, change and remove them."""

from __future__ import annotations

import asyncio
import datetime as dt

from msgspec import UNSET

from jupyter_mlops.errors import Forbidden, InvalidRequest
from jupyter_mlops.schema.access import Action, Identity, Role
from jupyter_mlops.schema.users import ChangeUserRequest, CreateUserRequest, UserView, check_user_name
from jupyter_mlops.server.auth.passwords import hash_password
from jupyter_mlops.server.managers.access import AccessManager, require
from jupyter_mlops.server.stores.users import UserStore


class UserManager:
    """Lists, adds, changes and removes local users.

    Parameters
    ----------
    store:
        Where they are kept.
    access:
        Refuses the tokens of those whose logins end.
    """

    def __init__(self, store: UserStore, access: AccessManager) -> None:
        self._store = store
        self._access = access

    async def ensure_admin(self, password: str) -> bool:
        """Add the user `admin`, an Owner, if there is no user yet; say whether it was added."""
        if await self._store.list():
            return False
        await self._add("admin", password, Role.OWNER)
        return True

    async def list(self, identity: Identity) -> list[UserView]:
        """Every user, oldest first."""
        require(identity, Action.MANAGE_USERS)
        return await self._store.list()

    async def add(self, identity: Identity, request: CreateUserRequest) -> UserView:
        """Add a user.

        Raises
        ------
        Conflict
            When the name is taken.
        InvalidRequest
            For a name or a password that breaks its rule.
        """
        require(identity, Action.MANAGE_USERS)
        return await self._add(check_user_name(request.name), request.password, request.role)

    async def change(self, identity: Identity, name: str, request: ChangeUserRequest, address: str) -> UserView:
        """Change a user's password, role or both; the user's logins end.

        Parameters
        ----------
        identity:
            An Owner; or the user, who may change the password and gives the present one.
        name:
            The user.
        request:
            What to change.
        address:
            Where the request comes from, for slowing down guesses.

        Raises
        ------
        Forbidden
            When the caller may not, or the present password is wrong.
        Conflict
            When no Owner would be left.
        """
        if request.role is not UNSET or identity.name != name:
            require(identity, Action.MANAGE_USERS)
        if request.password is UNSET and request.role is UNSET:
            raise InvalidRequest("name what is to change: `password`, `role`, or both", fields="$")
        if request.current_password is not UNSET:
            await self._access.check_present(name, request.current_password, address)
        elif not identity.may(Action.MANAGE_USERS):
            raise Forbidden("give your present password as `currentPassword`", fields="$.currentPassword")
        hashed = None
        if request.password is not UNSET:
            hashed = await asyncio.to_thread(hash_password, request.password)
        role = None if request.role is UNSET else request.role
        user, ended = await self._store.change(name, password_hash=hashed, role=role)
        self._access.end(ended)
        return user

    async def remove(self, identity: Identity, name: str) -> None:
        """Remove a user, whose logins end; the services stay, and Owners look after them.

        Raises
        ------
        Conflict
            When no Owner would be left.
        """
        require(identity, Action.MANAGE_USERS)
        self._access.end(await self._store.remove(name))

    async def _add(self, name: str, password: str, role: Role) -> UserView:
        hashed = await asyncio.to_thread(hash_password, password)
        created = dt.datetime.now(dt.UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
        user = UserView(name=name, role=role, created=created)
        await self._store.add(user, hashed)
        return user
