"""A process that has loaded what kernels need, and is forked to make them; nothing of it is ever called.

Forking costs milliseconds where a cold start costs seconds, and the forks share the template's memory: a
forest of 135 MiB adds 4 MiB to each. Calling anything in a template could start threads that a fork would not
have; where loading alone starts some, the template says so and is not used.
"""

from __future__ import annotations

import contextlib
import os
import platform
import random
import signal
import socket
import sys
import threading
from importlib import import_module

import msgspec

from jupyter_mlops.framing import Frames, frame
from jupyter_mlops.inner_end import keep_what_is_loaded, told
from jupyter_mlops.objects import load_objects
from jupyter_mlops.runtime import kernel
from jupyter_mlops.runtime.load import explain
from jupyter_mlops.schema.channel import MAX_FRAME, Fork, Forked, Greeting, ToTemplate, Warm, Warmed

_CHUNK = 65536


def main() -> None:
    """Serve the server's requests to warm up and to fork, until it goes away."""
    kernel.die_with_parent()
    kernel.empty_main()
    # Children are reaped by the system; the server watches them by itself.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    address, key = told()
    while serve(address, key):
        # This is a fork that shall be a template of its own: it greets with the key that it was given.
        address, key = told()


def serve(address: str, key: str) -> bool:
    """Connect, greet, and answer until the connection ends.

    Returns
    -------
    bool
        True in a child that shall go on as a template; never otherwise, because a kernel's child ends its
        process, and so does a template whose server has gone.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address.removeprefix("unix:"))
        _send(connection, Greeting(key, os.getpid(), platform.python_version()))
        frames, decoder = Frames(MAX_FRAME), msgspec.msgpack.Decoder(ToTemplate)
        while data := connection.recv(_CHUNK):
            for message in frames.feed(data):
                match decoder.decode(message):
                    case Warm() as request:
                        _send(connection, _warm(request))
                    case Fork() as request:
                        child = os.fork()
                        if child == 0:
                            connection.close()
                            _become(request)
                            return True
                        _send(connection, Forked(child))
    os._exit(0)


def _warm(request: Warm) -> Warmed:
    before = set(sys.modules)
    for name in request.modules:
        with contextlib.suppress(ImportError):  # known from another snapshot; this interpreter may lack it
            import_module(name)
    error = ""
    if request.stream:
        try:
            load_objects(request.stream, request.buffers)
        except BaseException as raised:  # noqa: BLE001  # the user's code, as in load.py
            error = explain(raised)
    brought = {name.partition(".")[0] for name in set(sys.modules) - before}
    keep_what_is_loaded()
    return Warmed(error, tuple(sorted(brought)), threading.active_count() == 1)


def _become(request: Fork) -> None:
    """Turn this fork into the process that was asked for."""
    os.setsid()
    parent = os.getppid()
    os.environ.clear()
    os.environ.update(request.environment)
    os.environ["JPY_PARENT_PID"] = str(parent)
    kernel.die_with_parent()
    os.chdir(request.directory)
    log = os.open(request.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, descriptor in enumerate((nothing, log, log)):
        os.dup2(descriptor, number)
    random.seed()
    if "numpy" in sys.modules:  # forks must not draw the same numbers
        sys.modules["numpy"].random.seed()
    if request.arguments:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        sys.argv = list(request.arguments)
        kernel.main()
        os._exit(0)


def _send(connection: socket.socket, message: Greeting | Warmed | Forked) -> None:
    connection.sendall(frame(msgspec.msgpack.encode(message)))


if __name__ == "__main__":
    main()
