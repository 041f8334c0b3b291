"""The local users in SQL, as their administrators change them."""

from __future__ import annotations

from sqlalchemy import Connection, delete, func, insert, select, update

from jupyter_mlops.errors import Conflict, NotFound
from jupyter_mlops.schema.access import Role
from jupyter_mlops.schema.users import UserView
from jupyter_mlops.server.stores.database import Database
from jupyter_mlops.server.stores.tables import logins, users


class UserStore:
    """Keeps who may log in. Whatever is changed of a user ends that user's logins, in the same transaction.

    Parameters
    ----------
    database:
        Where they are kept.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self) -> list[UserView]:
        """Every user, oldest first."""
        query = select(users).order_by(users.c.created, users.c.name)

        def work(connection: Connection) -> list[UserView]:
            return [UserView(name=r.name, role=Role(r.role), created=r.created) for r in connection.execute(query)]

        return await self._database.run(work)

    async def add(self, user: UserView, password_hash: str) -> None:
        """Add a user.

        Raises
        ------
        Conflict
            When there is one of that name, or of one that differs in case alone.
        """
        taken = select(users.c.name).where(func.lower(users.c.name) == user.name.lower())
        statement = insert(users).values(
            name=user.name, password_hash=password_hash, role=user.role.value, created=user.created
        )

        def work(connection: Connection) -> None:
            other = connection.scalar(taken)
            if other is not None:
                raise Conflict(f"there is a user {other!r} already; choose another name", fields="$.name")
            connection.execute(statement)

        await self._database.run(work)

    async def change(self, name: str, *, password_hash: str | None, role: Role | None) -> tuple[UserView, set[str]]:
        """Change a user's password, role or both.

        Parameters
        ----------
        name:
            The user.
        password_hash, role:
            The new ones; None for what stays.

        Returns
        -------
        tuple of UserView and set of str
            The user as it is now, and the logins that ended.

        Raises
        ------
        NotFound
            When there is no such user.
        Conflict
            When no Owner would be left.
        """
        values = {} if password_hash is None else {"password_hash": password_hash}
        if role is not None:
            values["role"] = role.value

        def work(connection: Connection) -> tuple[UserView, set[str]]:
            _find(connection, name)
            connection.execute(update(users).where(users.c.name == name).values(values))
            _check_owner_left(connection, name)
            row = connection.execute(select(users).where(users.c.name == name)).one()
            return UserView(name=row.name, role=Role(row.role), created=row.created), _end_logins(connection, name)

        return await self._database.run(work)

    async def remove(self, name: str) -> set[str]:
        """Remove a user; the logins that ended.

        Raises
        ------
        NotFound
            When there is no such user.
        Conflict
            When no Owner would be left.
        """

        def work(connection: Connection) -> set[str]:
            _find(connection, name)
            ended = _end_logins(connection, name)
            connection.execute(delete(users).where(users.c.name == name))
            _check_owner_left(connection, name)
            return ended

        return await self._database.run(work)


def _find(connection: Connection, name: str) -> None:
    if connection.scalar(select(users.c.name).where(users.c.name == name)) is None:
        raise NotFound(f"there is no user {name[:100]!r}; see GET /users")


def _check_owner_left(connection: Connection, name: str) -> None:
    """Undo what leaves no Owner behind: nobody could make another."""
    if connection.scalar(select(users.c.name).where(users.c.role == Role.OWNER.value).limit(1)) is None:
        raise Conflict(
            f"{name} is the last Owner, who can be neither removed nor demoted; make somebody else an Owner first",
            fields="$.role",
        )


def _end_logins(connection: Connection, name: str) -> set[str]:
    return set(connection.scalars(delete(logins).where(logins.c.user == name).returning(logins.c.id)))
