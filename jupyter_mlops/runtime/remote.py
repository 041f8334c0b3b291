"""A scoring process on another machine: the scoring channel over a socket that it inherits, and nothing of Jupyter.

A worker of a cluster starts it as `python -m jupyter_mlops.runtime.remote DESCRIPTOR` in a directory of its own, so
that whatever a row does, it does it to this process: hang, print, change files, or end it.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import threading
import time
from types import ModuleType

from jupyter_mlops.runtime.channel import Channel

_LOOK_SECONDS = 1.0


async def _serve(connection: socket.socket) -> None:
    await asyncio.get_running_loop().create_connection(lambda: Channel(""), sock=connection)
    await asyncio.get_running_loop().create_future()


def _end_with(parent: int) -> None:
    """End when the worker has ended, even while a row hangs."""
    while os.getppid() == parent:
        time.sleep(_LOOK_SECONDS)
    os._exit(1)


def main() -> None:
    """Serve the worker until it goes away."""
    sys.modules["__main__"] = ModuleType("__main__")  # what a snapshot loads lives there
    parent = os.getppid()
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    asyncio.run(_serve(socket.socket(fileno=int(sys.argv[1]))))


if __name__ == "__main__":
    main()
