"""A scoring kernel: an ipykernel whose event loop also serves the scoring channel.

Started by the server as `python -c ... -f CONNECTION_FILE`, with the channel's address and this kernel's
key in the environment. Shell messages are served between calls, so a console can attach to it.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
from types import ModuleType
from typing import Any

from ipykernel.ipkernel import IPythonKernel
from ipykernel.kernelapp import IPKernelApp

from jupyter_mlops.inner_end import connect, told
from jupyter_mlops.runtime.channel import Channel

_PR_SET_PDEATHSIG = 1


class ScoringKernel(IPythonKernel):
    """An IPython kernel that connects to the server's scoring channel when its loop runs."""

    def start(self) -> None:
        """Start serving shell messages, and connect to the server."""
        super().start()  # type: ignore[no-untyped-call]
        address, key = told()
        loop = asyncio.get_event_loop_policy().get_event_loop()
        self._connecting = loop.create_task(connect(address, lambda: Channel(key)))

    async def do_shutdown(self, restart: bool) -> dict[str, Any]:  # noqa: FBT001
        """Refuse to end for an attached console: the pool owns this kernel's life."""
        return {"status": "ok", "restart": restart}


def die_with_parent() -> None:
    """Ask Linux to kill this process when the server dies, even while C code holds the interpreter.

    ipykernel's own parent poller does the same elsewhere, within a second, when Python code can run.
    """
    if sys.platform == "linux":
        parent = int(os.environ.get("JPY_PARENT_PID", "0"))
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if parent and os.getppid() != parent:  # it died before the request took hold
            os._exit(1)


def empty_main() -> None:
    """Give the user's code a `__main__` of its own, without the names that started this process."""
    sys.modules["__main__"] = ModuleType("__main__")


def cold() -> None:
    """Start a kernel in a process of its own."""
    empty_main()
    main()


def main() -> None:
    """Run the kernel until the server goes away."""
    die_with_parent()
    # What a snapshot or a template loads lives in `__main__`; the shell must take that module for its own.
    ScoringKernel.user_module = sys.modules["__main__"]  # type: ignore[assignment]
    app = IPKernelApp.instance(kernel_class=ScoringKernel)
    app.config.HistoryManager.enabled = False
    app.initialize()  # type: ignore[no-untyped-call]
    app.start()  # type: ignore[no-untyped-call]
