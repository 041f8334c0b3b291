"""The server's program: its settings, and its life from the first line to the last."""

from __future__ import annotations

import asyncio
import logging
import os
import sys

from jupyter_core.application import JupyterApp
from traitlets import Bool, Float, Int, List, Unicode

import jupyter_mlops
from jupyter_mlops.discovery import data_dir
from jupyter_mlops.errors import MLOpsError
from jupyter_mlops.server.assembly import Server
from jupyter_mlops.server.cluster.settings import ClusterSettings
from jupyter_mlops.server.process import CannotStart, lock
from jupyter_mlops.server.realtime.settings import RealtimeSettings

CANNOT_START = 2
"""Exit code when something stands in the way: a busy port, a held lock, a damaged database."""


class ServeApp(JupyterApp, RealtimeSettings, ClusterSettings):
    """`jupyter mlops serve`: run the server in this process until it is told to stop."""

    name = "jupyter-mlops-serve"
    description = __doc__ or ""
    examples = "jupyter mlops serve --port 12800"
    version = jupyter_mlops.__version__
    aliases = {  # traitlets reads class attributes
        "ip": "ServeApp.ip",
        "port": "ServeApp.port",
        "data-dir": "ServeApp.data_dir",
        "admin-password-file": "ServeApp.admin_password_file",
        "idle-timeout": "ServeApp.idle_timeout",
        "dask": "ServeApp.dask_scheduler",
        "config": "JupyterApp.config_file",
        "log-level": "Application.log_level",
    }
    flags = {
        "auto": (
            {"ServeApp": {"auto": True}},
            "Started by a notebook: end after a day without calls or viewers.",
        ),
        "no-fork": ({"ServeApp": {"fork": False}}, "Start every kernel cold."),
    }

    ip = Unicode("127.0.0.1", config=True, help="Address to listen on; the default is this machine only.")
    port = Int(12800, config=True, help="Port to listen on; 0 takes a free one. A busy port is an error.")
    data_dir = Unicode("", config=True, help="Data directory; the default is Jupyter's data directory + mlops.")
    admin_password_file = Unicode("", config=True, help="File that holds the password of the user admin.")
    allow_hosts = List(
        Unicode(),
        config=True,
        help="Host names that requests may carry besides this machine's; ['*'] for any.",
    )
    access_token_lifetime = Int(3600, min=1, config=True, help="Seconds for which an access token is in force.")
    refresh_token_lifetime = Int(
        14 * 86400,
        min=1,
        config=True,
        help="Seconds for which a refresh token is in force; each renewal gives a new one.",
    )
    login_lifetime = Int(90 * 86400, min=1, config=True, help="Seconds after which a login cannot be renewed any more.")
    auto = Bool(False, config=True, help="Whether a notebook started this server by itself.")
    idle_timeout = Float(
        86400.0,
        config=True,
        help="Seconds without calls or viewers after which a server started by a notebook ends.",
    )
    max_kernels = Int(
        0, config=True, help="Most scoring kernels at a time, all services together; 0 for eight a core, at least 16."
    )
    max_batch_parallelism = Int(100, min=1, config=True, help="Most items of one batch that run at a time.")
    batch_retention = Float(86400.0, config=True, help="Seconds for which a batch is kept after its end.")
    batch_storage_limit = Int(
        2**36, config=True, help="Bytes that ended batches may have on disk, all together; the oldest go first."
    )
    webhook_hosts = List(
        Unicode(),
        config=True,
        help="Hosts (host, or host:port) that may be told of the end of a batch; none by default.",
    )
    sessions_per_user = Int(10, config=True, help="Most sessions that one user may have open at a time.")
    session_idle_timeout = Float(
        4 * 3600.0, config=True, help="Seconds without a request after which a session is closed."
    )
    memory_share = Float(
        0.6, config=True, help="Part of the memory that all scoring kernels together may use; idle ones give way."
    )
    wheels = Unicode(
        "",
        config=True,
        help="Folder of wheels that locked environments are made from; empty for the index that uv is set to.",
    )
    fork = Bool(
        True, config=True, help="Fork kernels from processes that have the service loaded, where the system can."
    )
    common_modules = Unicode(
        "numpy pandas scipy.sparse sklearn.base sklearn.linear_model threadpoolctl",
        config=True,
        help="Modules that are imported ahead of the services that may need them, with spaces between.",
    )
    channel_tcp = Bool(
        sys.platform == "win32",
        config=True,
        help="Talk to scoring kernels over loopback TCP, not a Unix socket.",
    )

    def start(self) -> None:
        """Serve until told to stop; then exit with 0, or with 2 when something stood in the way."""
        super().start()
        os.umask(0o077)
        logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
        logging.getLogger("jupyter_mlops").setLevel(logging.INFO)
        logging.getLogger("alembic").setLevel(logging.WARNING)
        try:
            with _runner() as runner:
                runner.run(self._serve())
        except (CannotStart, MLOpsError) as error:
            print(f"jupyter-mlops cannot start: {error}", file=sys.stderr)  # noqa: T201
            self.exit(CANNOT_START)

    async def _serve(self) -> None:
        directory = data_dir(self.data_dir)
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.chmod(0o700)
        with lock(directory):
            server = Server(self, directory)
            try:
                await server.start()
                await server.until_told()
            finally:
                await server.stop()


def _runner() -> asyncio.Runner:
    if sys.platform == "win32":
        # Unix has no such choice to make; Windows' default loop cannot watch sockets as Tornado needs.
        return asyncio.Runner(loop_factory=asyncio.SelectorEventLoop)
    import uvloop

    return asyncio.Runner(loop_factory=uvloop.new_event_loop)
