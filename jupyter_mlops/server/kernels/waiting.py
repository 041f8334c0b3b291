"""A call on its way through a pool."""

from __future__ import annotations

import asyncio

from jupyter_mlops.errors import MLOpsError
from jupyter_mlops.inputs import Rows
from jupyter_mlops.schema.channel import Reply
from jupyter_mlops.server.kernels.kernel import Kernel


class Waiting:
    """A call and its caller.

    Parameters
    ----------
    body, checked, rows:
        What `Pool.call` was given.
    future:
        The caller's answer.
    since:
        When it was accepted, on the monotonic clock.
    """

    __slots__ = ("alone", "body", "checked", "future", "rows", "sent", "since", "timer")

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
