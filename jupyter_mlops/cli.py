"""`jupyter mlops ...`: the command line."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
import urllib.request
from typing import Any

import jupyter_mlops
from jupyter_mlops.discovery import ServerFile, data_dir, find_or_start, running_server
from jupyter_mlops.errors import MLOpsError

STOP_SECONDS = 40.0

_HELP = """\
jupyter mlops serve [--ip IP] [--port PORT] [--data-dir DIR]   run a server here (jupyter mlops serve --help)
jupyter mlops start [--data-dir DIR]    find the server of this account, or start one that stays
jupyter mlops status [--data-dir DIR]   what runs
jupyter mlops stop [--data-dir DIR]     stop the server; running calls finish
jupyter mlops token [--data-dir DIR]    print a token of this account, for curl
jupyter mlops users list|add|role|password|remove ...   who may log in (jupyter mlops users --help)
"""


def main(argv: list[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv:
        The words after `jupyter mlops`; the process's own by default.

    Returns
    -------
    int
        The exit code: 0, or 1 when the command did not succeed, or 2 for a wrong use.
    """
    words = sys.argv[1:] if argv is None else argv
    if words[:1] == ["serve"]:
        from jupyter_mlops.server.app import ServeApp

        ServeApp.launch_instance(argv=words[1:])
        return 0
    if words[:1] == ["users"]:
        from jupyter_mlops import cli_users

        return cli_users.main(words[1:])
    parser = argparse.ArgumentParser(
        prog="jupyter mlops", usage="\n" + _HELP, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=sorted(_COMMANDS))
    parser.add_argument(
        "--data-dir", default=None, help="the data directory (default: Jupyter's data directory + mlops)"
    )
    parser.add_argument("--version", action="version", version=jupyter_mlops.__version__)
    chosen = parser.parse_args(words)
    try:
        return int(_COMMANDS[chosen.command](chosen.data_dir))
    except MLOpsError as error:
        print(error, file=sys.stderr)
        return 1


def _start(directory: str | None) -> int:
    found, started = find_or_start(data_dir(directory))
    print(f"{'started' if started else 'runs'}: {found.url} (process {found.pid})")
    return 0


def _stop(directory: str | None) -> int:
    found = running_server(data_dir(directory))
    if found is None:
        print(f"no server runs on {data_dir(directory)}")
        return 0
    os.kill(found.pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while _lives(found):
        if time.monotonic() > deadline:
            print(f"process {found.pid} has not ended after {STOP_SECONDS:.0f} s", file=sys.stderr)
            return 1
        time.sleep(0.05)
    print(f"stopped {found.url}")
    return 0


def _status(directory: str | None) -> int:
    found = running_server(data_dir(directory))
    if found is None:
        print(f"no server runs on {data_dir(directory)}")
        return 1
    request = urllib.request.Request(  # noqa: S310  # the address is our own server's
        f"{found.url}/status", headers={"Authorization": f"Bearer {found.token}"}
    )
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as response:
        status: dict[str, Any] = json.load(response)
    print(f"{found.url} (process {found.pid}, version {found.version}): {status['statusCode']}")
    for name, service in status["components"]["services"]["components"].items():
        details = service["details"]
        print(
            f"  {name}: {len(details['kernels'])} kernels, {details['waiting']} waiting {details.get('lastError', '')}"
        )
    return 0


def _token(directory: str | None) -> int:
    found = running_server(data_dir(directory))
    if found is None:
        print(f"no server runs on {data_dir(directory)}", file=sys.stderr)
        return 1
    print(found.token)
    return 0


def _lives(found: ServerFile) -> bool:
    import psutil

    try:
        process = psutil.Process(found.pid)
        same = abs(process.create_time() - found.started) < 1 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    return bool(same)


_COMMANDS = {"start": _start, "stop": _stop, "status": _status, "token": _token}
