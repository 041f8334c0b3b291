"""Users, logins and refresh tokens in SQL."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select, update

from jupyter_mlops.schema.access import Role
from jupyter_mlops.server.stores.database import Database
from jupyter_mlops.server.stores.tables import logins, refresh_tokens, users


@dataclass(frozen=True)
class User:
    """A local user."""

    name: str
    password_hash: str
    role: Role


@dataclass(frozen=True)
class Refresh:
    """A refresh token as it was found: its login, and what may be done with it."""

    login: str
    user: User
    ends: float
    expires: float
    used: bool
    revoked: bool


class AccessStore:
    """Keeps who may log in, and what logins are in force.

    Parameters
    ----------
    database:
        Where they are kept.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def user(self, name: str) -> User | None:
        """Find a user by name."""
        query = select(users).where(users.c.name == name)

        def work(connection: Connection) -> User | None:
            row = connection.execute(query).first()
            return None if row is None else User(row.name, row.password_hash, Role(row.role))

        return await self._database.run(work)

    async def begin_login(self, login: str, user: User, ends: float, digest: str, expires: float) -> bool:
        """Record a login and its first refresh token.

        Parameters
        ----------
        login:
            Its id.
        user:
            As read when the password was checked.
        ends, expires:
            Seconds since 1970 after which the login, and its first refresh token, are of no more use.
        digest:
            Of the refresh token.

        Returns
        -------
        bool
            False, and nothing recorded, when the user was changed or removed meanwhile.
        """
        unchanged = select(users.c.name).where(
            users.c.name == user.name, users.c.password_hash == user.password_hash, users.c.role == user.role.value
        )

        def work(connection: Connection) -> bool:
            if connection.scalar(unchanged) is None:
                return False
            connection.execute(insert(logins).values(id=login, user=user.name, ends=ends, revoked=False))
            connection.execute(insert(refresh_tokens).values(digest=digest, login=login, expires=expires, used=False))
            return True

        return await self._database.run(work)

    async def forget_logins(self, before: float) -> set[str]:
        """Forget logins that ended before a time, in seconds since 1970; their ids."""
        statement = delete(logins).where(logins.c.ends < before).returning(logins.c.id)
        return await self._database.run(lambda connection: set(connection.scalars(statement)))

    async def use_refresh(self, digest: str, successor: str, now: float, expires: float) -> Refresh | None:
        """Spend a refresh token for its successor, at most once.

        A token that was spent before revokes its whole login: somebody has a copy (RFC 9700, 4.14.2).

        Parameters
        ----------
        digest, successor:
            Digests of the token that came and of the one that replaces it.
        now, expires:
            Seconds since 1970: now, and when the successor expires.

        Returns
        -------
        Refresh or None
            What was found, before it was spent; None for an unknown token.
        """
        query = (
            select(
                refresh_tokens.c.login, refresh_tokens.c.expires, refresh_tokens.c.used,
                logins.c.ends, logins.c.revoked, users.c.name, users.c.password_hash, users.c.role,
            )
            .join(logins, logins.c.id == refresh_tokens.c.login)
            .join(users, users.c.name == logins.c.user)
            .where(refresh_tokens.c.digest == digest)
        )  # fmt: skip

        def work(connection: Connection) -> Refresh | None:
            row = connection.execute(query).first()
            if row is None:
                return None
            user = User(row.name, row.password_hash, Role(row.role))
            found = Refresh(row.login, user, row.ends, row.expires, row.used, row.revoked)
            if found.used:
                _revoke(connection, found.login)
            elif not found.revoked and now < min(found.expires, found.ends):
                spent = update(refresh_tokens).where(refresh_tokens.c.digest == digest).values(used=True)
                connection.execute(spent)
                connection.execute(
                    insert(refresh_tokens).values(
                        digest=successor, login=found.login, expires=min(expires, found.ends), used=False
                    )
                )
            return found

        return await self._database.run(work)

    async def revoke(self, digest: str) -> str | None:
        """Revoke the login of a refresh token; its id, or None for an unknown token."""

        def work(connection: Connection) -> str | None:
            login = connection.scalar(select(refresh_tokens.c.login).where(refresh_tokens.c.digest == digest))
            if login is not None:
                _revoke(connection, login)
            return login

        return await self._database.run(work)

    async def logins(self) -> set[str]:
        """Ids of the logins that were not revoked."""
        query = select(logins.c.id).where(logins.c.revoked.is_(False))
        return await self._database.run(lambda connection: set(connection.scalars(query)))


def _revoke(connection: Connection, login: str) -> None:
    connection.execute(update(logins).where(logins.c.id == login).values(revoked=True))
