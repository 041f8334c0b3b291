"""The database: one file, one thread, one transaction at a time."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import DatabaseError, OperationalError

from jupyter_mlops.errors import DiskFull, MLOpsError
from jupyter_mlops.server.stores.tables import HEAD, meta

T = TypeVar("T")

_MIGRATIONS = Path(__file__).parent / "migrations"


class DatabaseUnusable(MLOpsError):
    """The database is damaged, or newer than this program."""


def wal_is_safe(version: tuple[int, int, int]) -> bool:
    """Whether this SQLite's write-ahead log is free of the WAL-reset race (3.7.0 to 3.51.2, back-ported fixes aside).

    Parameters
    ----------
    version:
        `sqlite3.sqlite_version_info`.
    """
    return version >= (3, 51, 3) or (3, 50, 7) <= version < (3, 51, 0) or (3, 44, 6) <= version < (3, 45, 0)


class Database:
    """All SQL of the server runs here, on one thread of its own.

    Parameters
    ----------
    path:
        The SQLite file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._engine = create_engine(f"sqlite:///{path}")
        event.listen(self._engine, "connect", _configure)
        event.listen(self._engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))

    async def run(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in one transaction; when this returns, what it changed is on disk.

        Parameters
        ----------
        work:
            Gets the connection; what it raises undoes everything.

        Raises
        ------
        DiskFull
            When the disk has no room for the change, of which then nothing is there.
        """

        def transaction() -> T:
            try:
                with self._engine.begin() as connection:
                    return work(connection)
            except OperationalError as error:
                if "disk is full" not in str(error.orig):
                    raise
                raise DiskFull from error

        return await asyncio.get_running_loop().run_in_executor(self._thread, transaction)

    async def outside(self, work: Callable[[], T]) -> T:
        """Run file work in turn with the transactions, so that no clean-up meets a half-done publish."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def responds(self) -> bool:
        """Whether a transaction can be begun now."""
        try:
            await self.run(lambda connection: connection.execute(text("SELECT 1")))
        except (DatabaseError, sqlite3.DatabaseError):
            return False
        return True

    async def open(self) -> None:
        """Check the file and bring its tables up to date.

        Raises
        ------
        DatabaseUnusable
            When the file is damaged or was written by a newer program. It is never replaced.
        """
        try:
            await self.run(self._check_and_upgrade)
        except (DatabaseError, sqlite3.DatabaseError) as error:
            raise DatabaseUnusable(
                f"the database {self.path} cannot be read ({error.__cause__ or error}); nothing was changed. "
                "Restore it from a backup, or move it away to start with an empty one"
            ) from error

    async def close(self) -> None:
        """Finish what is under way and close the file."""
        await self.outside(self._engine.dispose)
        self._thread.shutdown()

    def _check_and_upgrade(self, connection: Connection) -> None:
        verdict = connection.execute(text("PRAGMA quick_check(1)")).scalar()
        if verdict != "ok":
            raise DatabaseUnusable(
                f"the database {self.path} is damaged ({verdict}); nothing was changed. "
                "Restore it from a backup, or move it away to start with an empty one"
            )
        known = connection.execute(text("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'")).scalar()
        current = connection.execute(text("SELECT version_num FROM alembic_version")).scalar() if known else None
        if current == HEAD:
            return
        from alembic import command
        from alembic.config import Config
        from alembic.script import ScriptDirectory

        config = Config()
        config.set_main_option("script_location", str(_MIGRATIONS))
        config.attributes["connection"] = connection
        if current is not None and current not in {
            s.revision for s in ScriptDirectory.from_config(config).walk_revisions()
        }:
            raise DatabaseUnusable(
                f"the database {self.path} was written by a newer version of jupyter_mlops (schema {current}); "
                "install that version, or restore the backup from before the upgrade"
            )
        command.upgrade(config, "head")


def count_change(connection: Connection) -> None:
    """Raise the change counter: what was read before is to be read again."""
    statement = insert(meta).values(key="changes", value=1)
    connection.execute(statement.on_conflict_do_update(index_elements=["key"], set_={"value": meta.c.value + 1}))


def _configure(connection: sqlite3.Connection, _record: object) -> None:
    # SQLAlchemy begins transactions; the driver must not begin its own.
    connection.isolation_level = None
    cursor = connection.cursor()
    if wal_is_safe(sqlite3.sqlite_version_info):
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = FULL")
    else:
        cursor.execute("PRAGMA journal_mode = DELETE")
        cursor.execute("PRAGMA synchronous = EXTRA")  # in DELETE mode only EXTRA syncs the directory too
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute("PRAGMA busy_timeout = 5000")
    cursor.close()
