"""A call on its way through a pool."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from jupyter_mlops.errors import MLOpsError
from jupyter_mlops.inputs import Rows
from jupyter_mlops.schema.channel import Group, Reply
from jupyter_mlops.server.kernels.kernel import Kernel


class Caller:
    """Lets whoever asked for a call take it back."""

    __slots__ = ("abandon",)

    def __init__(self) -> None:
        self.abandon: Callable[[], None] | None = None
        """Set once the call waits or runs."""


class Waiting:
    """A call and its caller.

    Parameters
    ----------
    body, checked:
        A MessagePack map of checked inputs, or, not checked, the caller's JSON.
    rows:
        The checked inputs as columns, when the call may run together with others.
    future:
        The caller's answer.
    since:
        When it was accepted, on the monotonic clock.
    """

    __slots__ = ("alone", "body", "checked", "future", "path", "rows", "sent", "since", "timer")

    def __init__(
        self,
        body: bytes,
        checked: bool,  # noqa: FBT001
        rows: Rows | None,
        future: asyncio.Future[Reply],
        since: float,
    ) -> None:
        self.body = body
        self.checked = checked
        self.rows = rows
        self.future = future
        self.since = since
        self.sent: Sent | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.alone = False
        self.path = ""
        """File that holds the caller's JSON instead of `body`, when it is large."""

    def hand(self, sent: Sent) -> None:
        """Note that a kernel has it now."""
        self.sent = sent

    def stop_timer(self) -> None:
        """Have no deadline any more."""
        if self.timer is not None:
            self.timer.cancel()

    def groups(self) -> bool:
        """Whether it may run together with others."""
        return self.rows is not None and not self.alone

    def size(self) -> int:
        """Its rows."""
        return 1 if self.rows is None else self.rows.count

    def answer(self, reply: Reply) -> None:
        """Give the caller the answer, if the caller still waits."""
        if not self.future.done():
            self.future.set_result(reply)

    def fail(self, error: MLOpsError) -> None:
        """Give the caller an error, if the caller still waits."""
        if not self.future.done():
            self.future.set_exception(error)


class Sent:
    """One message to a kernel: a call, or several that run as one.

    Parameters
    ----------
    number:
        The message's id, which the kernel's start mark names while it runs.
    members:
        The calls.
    kernel:
        Where it was sent.
    """

    __slots__ = ("id", "kernel", "members")

    def __init__(self, number: int, members: list[Waiting], kernel: Kernel) -> None:
        self.id = number
        self.members = members
        self.kernel = kernel

    def group(self) -> Group:
        """The message for members that run as one: their rows as columns."""
        rows = [waiting.rows for waiting in self.members if waiting.rows is not None]
        columns: dict[str, list[Any]] = {name: [] for name in rows[0].columns}
        for one in rows:
            for name, values in one.columns.items():
                columns[name] += values
        return Group(self.id, tuple(-1 if one.single else one.count for one in rows), msgspec.msgpack.encode(columns))
