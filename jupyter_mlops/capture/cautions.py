"""What a person should know before a variable goes along: open files, connections, threads, devices, sheer size."""

from __future__ import annotations

import asyncio
import io
import socket
import sqlite3
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Executor
from itertools import islice
from types import AsyncGeneratorType, CoroutineType, FrameType, GeneratorType, ModuleType, TracebackType
from typing import Any

from jupyter_mlops.capture.look import bases, children, module_of, type_name
from jupyter_mlops.capture.surveys import VERY_LARGE, Caution

DEPTH = 4
"""How many steps inside a variable are looked at."""

_WIDTH = 500
_IN_ALL = 5_000
_FILES = io.IOBase.__mro__[1]
_LOCKS = (type(threading.Lock()), type(threading.RLock()))
_PLAIN = frozenset({int, float, complex, bool, str, bytes, bytearray, type(None)})

_KINDS: tuple[tuple[str, str, tuple[type, ...]], ...] = (
    ("database", "a database connection", (sqlite3.Connection, sqlite3.Cursor)),
    ("socket", "an open socket", (socket.socket,)),
    ("thread", "a running thread", (threading.Thread,)),
    (
        "thread",
        "a lock, which belongs to the threads of this process",
        (*_LOCKS, threading.Condition, threading.Semaphore, threading.Event, threading.Barrier),
    ),
    ("process", "another process", (subprocess.Popen,)),
    ("thread", "a pool of threads or processes", (Executor,)),
    ("thread", "a running task or event loop", (asyncio.Future, asyncio.AbstractEventLoop)),
    ("generator", "a generator in the middle of its work", (GeneratorType, AsyncGeneratorType, CoroutineType)),
    ("generator", "a stack frame", (FrameType, TracebackType)),
)

_DATABASES = frozenset(
    {
        *(
            "psycopg",
            "psycopg2",
            "psycopg_c",
            "asyncpg",
            "pymysql",
            "MySQLdb",
            "mysql",
            "pyodbc",
            "cx_Oracle",
            "oracledb",
        ),
        *("duckdb", "pymongo", "redis", "snowflake", "cassandra", "neo4j", "ibm_db", "pymssql", "clickhouse_driver"),
        *("clickhouse_connect", "trino", "elasticsearch", "sqlalchemy", "pyspark"),
    }
)
_DATABASE_WORDS = ("Connection", "Cursor", "Client", "Engine", "Session", "Pool", "Driver", "Redis", "Elasticsearch")


def cautions_of(name: str, value: Any, size: int | None) -> tuple[Caution, ...]:
    """Look for what does not travel, or should not go unseen.

    Parameters
    ----------
    name, value:
        The variable.
    size:
        Bytes it takes in a snapshot; None when that is not known.
    """
    found: dict[tuple[str, str], Caution] = {}
    for where, obj in _reached(name, value):
        kind, text = _kind(obj)
        if kind:
            found.setdefault((kind, where), Caution(kind, where, text))
    if size is not None and size >= VERY_LARGE:
        found["large", name] = Caution("large", name, f"very large: {size / 2**20:,.0f} MiB")
    return tuple(found.values())


def _reached(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The variable and what is some steps inside it, each once, the nearest first."""
    seen = {id(value): value}
    queue = deque([(name, value, DEPTH)])
    while queue and len(seen) < _IN_ALL:
        where, obj, depth = queue.popleft()
        yield where, obj
        if depth == 0 or _kind(obj)[0]:
            continue
        for step, child in islice(children(obj), _WIDTH):
            if type(child) not in _PLAIN and id(child) not in seen and not issubclass(type(child), ModuleType):
                seen[id(child)] = child
                queue.append((where + step, child, depth - 1))


def _kind(obj: Any) -> tuple[str, str]:
    kind = type(obj)
    if issubclass(kind, _FILES):
        plain = issubclass(kind, io.BytesIO | io.StringIO)
        return ("", "") if plain else ("file", "an open file")
    for name, text, kinds in _KINDS:
        if issubclass(kind, kinds):
            return name, text
    for base in bases(kind):
        top = module_of(base).partition(".")[0]
        if top in _DATABASES and type_name_of(base).endswith(_DATABASE_WORDS):
            return "database", "a database connection"
        if top == "multiprocessing":
            return "process", "a process, or what processes share"
        if top in {"torch", "cupy"} and _is_on_device(obj, top):
            return "cuda", "in the memory of a graphics card"
    return "", ""


def type_name_of(kind: type) -> str:
    """A class's plain name."""
    return str(type.__dict__["__name__"].__get__(kind))


def _is_on_device(obj: Any, top: str) -> bool:
    library: Any = sys.modules.get(top)
    tensor = getattr(library, "Tensor", None) if top == "torch" else None
    if tensor is not None and issubclass(type(obj), tensor):
        return bool(tensor.is_cuda.__get__(obj))
    return top == "cupy" and type_name(obj) == "ndarray"
