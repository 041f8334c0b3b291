"""How a server is put together, and how it starts and stops."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import os
import secrets
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import psutil
from tornado.netutil import bind_sockets

import jupyter_mlops
from jupyter_mlops.discovery import ServerFile
from jupyter_mlops.inner_end import keep_what_is_loaded
from jupyter_mlops.schema.base import API_VERSION
from jupyter_mlops.server.cluster.driver import Driver
from jupyter_mlops.server.cluster.settings import make_driver
from jupyter_mlops.server.floors import below_floor
from jupyter_mlops.server.handlers.access_log import AccessLog
from jupyter_mlops.server.handlers.base import Managers, UnknownAddress
from jupyter_mlops.server.handlers.executions import ScoringApplication
from jupyter_mlops.server.handlers.routes import rules
from jupyter_mlops.server.http.server import HttpServer
from jupyter_mlops.server.kernels import guardian, memory
from jupyter_mlops.server.kernels.budget import Budget
from jupyter_mlops.server.kernels.channel import Listener
from jupyter_mlops.server.kernels.environments import Environments
from jupyter_mlops.server.kernels.launcher import Launcher
from jupyter_mlops.server.kernels.session import SessionKernel
from jupyter_mlops.server.kernels.templates import Templates, available
from jupyter_mlops.server.managers.access import AccessManager, Lifetimes
from jupyter_mlops.server.managers.archives import Archives
from jupyter_mlops.server.managers.batch_keeping import BatchLimits
from jupyter_mlops.server.managers.batches import BatchManager
from jupyter_mlops.server.managers.catalog import Catalog
from jupyter_mlops.server.managers.cluster_runner import add_cluster
from jupyter_mlops.server.managers.events import Events
from jupyter_mlops.server.managers.executions import ExecutionManager
from jupyter_mlops.server.managers.failures import FailureManager
from jupyter_mlops.server.managers.metrics import Metrics
from jupyter_mlops.server.managers.models import ModelScoring
from jupyter_mlops.server.managers.nodes import NodeManager
from jupyter_mlops.server.managers.pools import PoolManager, default_budget
from jupyter_mlops.server.managers.realtime import RealtimeManager
from jupyter_mlops.server.managers.revisions import RevisionManager
from jupyter_mlops.server.managers.services import ServiceManager
from jupyter_mlops.server.managers.sessions import SessionManager
from jupyter_mlops.server.managers.snapshots import SnapshotManager
from jupyter_mlops.server.managers.status import StatusManager
from jupyter_mlops.server.managers.uploads import UploadManager
from jupyter_mlops.server.managers.users import UserManager
from jupyter_mlops.server.managers.workspaces import WorkspaceManager
from jupyter_mlops.server.process import CannotStart, write_private
from jupyter_mlops.server.realtime.settings import make_checker, make_workers
from jupyter_mlops.server.stores.access import AccessStore
from jupyter_mlops.server.stores.batch_files import BatchFiles
from jupyter_mlops.server.stores.batches import BatchStore
from jupyter_mlops.server.stores.blobs import BlobStore
from jupyter_mlops.server.stores.database import Database
from jupyter_mlops.server.stores.failures import FailureStore
from jupyter_mlops.server.stores.nodes import NodeStore
from jupyter_mlops.server.stores.services import ServiceStore
from jupyter_mlops.server.stores.snapshots import References, SnapshotStore
from jupyter_mlops.server.stores.users import UserStore
from jupyter_mlops.signing import read_key

if TYPE_CHECKING:
    from jupyter_mlops.server.app import ServeApp

PASSWORD_VARIABLE = "JUPYTER_MLOPS_ADMIN_PASSWORD"  # noqa: S105

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Server:
    """Everything that runs in one server process.

    Parameters
    ----------
    settings:
        The traits of the application.
    directory:
        The data directory, locked.
    """

    def __init__(self, settings: ServeApp, directory: Path) -> None:
        self._settings = settings
        self._directory = directory
        self._instance = secrets.token_hex(16)
        self._stopping = asyncio.Event()
        self._database = Database(directory / "mlops.sqlite")
        self._launcher = Launcher(self._instance)
        self._guardian = guardian.start(self._instance, self._launcher.directory)
        self._listener = Listener(self._launcher.directory, tcp=settings.channel_tcp)
        self._events = Events()
        self._access_log = AccessLog()
        self._catalog = Catalog()
        services, blobs = ServiceStore(self._database), BlobStore(directory)
        references = References(self._database)
        lifetimes = Lifetimes(settings.access_token_lifetime, settings.refresh_token_lifetime, settings.login_lifetime)
        self._access = AccessManager(AccessStore(self._database), read_key(directory), self._instance, lifetimes)
        self._users = UserManager(UserStore(self._database), self._access)
        self._uploads = UploadManager(directory, self._database, references, blobs)
        templates = None
        if settings.fork and available() and not settings.channel_tcp:
            launcher = self._launcher
            templates = Templates(
                launcher.directory, self._listener, launcher.path, launcher.environment, settings.common_modules.split()
            )
        budget = Budget(settings.max_kernels or default_budget(), int(settings.memory_share * memory.total()))
        metrics = Metrics()
        self._failures = FailureManager(FailureStore(directory), services, self._catalog)
        workers = make_workers(settings, self._launcher, self._listener)
        models = ModelScoring(self._catalog, self._uploads, workers, metrics, self._failures)
        self._executions = ExecutionManager(
            self._catalog,
            self._uploads,
            self._launcher,
            self._listener,
            templates,
            budget,
            metrics,
            self._failures,
            models,
        )
        self._pools = PoolManager(services, self._catalog, self._executions, budget, metrics)
        archives = Archives(self._uploads, directory / "uploads")
        self._batches = BatchManager(
            self._catalog,
            self._executions,
            self._uploads,
            BatchStore(self._database),
            BatchFiles(directory / "batches"),
            self._events,
            BatchLimits(
                settings.max_batch_parallelism,
                settings.batch_retention,
                settings.batch_storage_limit,
                frozenset(settings.webhook_hosts),
            ),
        )
        self._driver = make_driver(settings, self._launcher, self._listener)
        add_cluster(self._batches, self._driver, self._uploads)
        self._snapshots = SnapshotManager(SnapshotStore(self._database), self._uploads, archives)
        self._sessions = SessionManager(
            lambda: SessionKernel.start(self._launcher, self._listener, templates),
            self._snapshots,
            self._uploads,
            budget,
            per_user=settings.sessions_per_user,
            idle_seconds=settings.session_idle_timeout,
        )
        self._services = ServiceManager(
            services,
            self._catalog,
            self._uploads,
            self._snapshots,
            self._executions,
            self._events,
            self._pools,
            Environments(directory / "environments", settings.wheels),
        )
        self._revisions = RevisionManager(services, self._catalog, self._services, self._uploads, archives)
        self._realtime = RealtimeManager(
            self._catalog,
            services,
            self._uploads,
            self._services,
            self._executions,
            self._events,
            make_checker(settings, self._launcher),
            directory,
        )
        self._status = StatusManager(self._instance, self._catalog, self._pools, self._database)
        self._http: HttpServer | None = None

    async def start(self) -> None:
        """Open the stores, listen, announce, and say on standard output that requests are accepted."""
        settings, log = self._settings, self._settings.log
        for number in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(NotImplementedError):  # Windows has no such handlers
                asyncio.get_running_loop().add_signal_handler(number, self._stopping.set)
        try:
            sockets = bind_sockets(settings.port, settings.ip)
        except OSError as error:
            raise CannotStart(
                f"port {settings.port} of {settings.ip} cannot be had ({error.strerror}); "
                "choose another with --port, or 0 for a free one"
            ) from error
        self._sweep_predecessor()
        await self._database.open()
        await self._access.open()
        await self._first_password()
        await self._batches.open()
        await self._uploads.start()
        await self._services.open()
        await self._failures.open()
        await self._listener.start()
        self._executions.start()
        await self._batches.start()
        self._sessions.start()
        for outdated in below_floor():
            log.warning("%s: update it; below that it has known weaknesses (docs/security.md)", outdated)
        application = ScoringApplication(
            rules(self._managers()),
            default_handler_class=UnknownAddress,
            default_handler_args={"managers": self._managers()},
            log_function=self._access_log.request,
            websocket_ping_interval=30,
            websocket_ping_timeout=20,
            websocket_max_message_size=65536,
        )
        self._http = HttpServer(application)
        await self._http.listen(sockets)
        url = f"http://{_shown(settings.ip)}:{sockets[0].getsockname()[1]}"
        self._announce(url)
        keep_what_is_loaded()
        print(f"jupyter-mlops ready at {url}", flush=True)  # noqa: T201

    async def until_told(self) -> None:
        """Wait for a signal to stop, or for a day without use when a notebook started this server."""
        while not self._stopping.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(60.0, self._settings.idle_timeout)):
                    await self._stopping.wait()
            if self._settings.auto and self._idle_seconds() > self._settings.idle_timeout:
                self._settings.log.info("nobody used this server for %.0f s; it ends", self._settings.idle_timeout)
                return

    async def stop(self) -> None:
        """Refuse new work, let running calls finish, end every kernel, close the database."""
        self._status.draining = True
        if self._http is not None:
            self._http.stop()
        await self._sessions.close()
        await self._batches.close()
        if isinstance(self._driver, Driver):
            await self._driver.close()
        await self._realtime.close()
        await self._executions.close()
        await asyncio.to_thread(self._failures.close)
        if self._http is not None:
            await self._http.close()
        await self._listener.stop()
        await self._database.close()
        await asyncio.to_thread(self._access_log.close)
        (self._directory / "server.json").unlink(missing_ok=True)
        self._launcher.close()
        assert self._guardian.stdin is not None
        self._guardian.stdin.close()  # it sweeps what the kernels left, and ends
        await asyncio.to_thread(self._guardian.wait)

    def _managers(self) -> Managers:
        hosts = None
        named = set(self._settings.allow_hosts)
        if "*" not in named and self._settings.ip in _LOOPBACK:
            hosts = _LOOPBACK | {name.lower() for name in named}
        return Managers(
            access=self._access,
            users=self._users,
            services=self._services,
            realtime=self._realtime,
            executions=self._executions,
            batches=self._batches,
            uploads=self._uploads,
            pools=self._pools,
            sessions=self._sessions,
            workspaces=WorkspaceManager(self._sessions),
            snapshots=self._snapshots,
            revisions=self._revisions,
            failures=self._failures,
            nodes=NodeManager(NodeStore(self._database)),
            status=self._status,
            events=self._events,
            hosts=hosts,
        )

    async def _first_password(self) -> None:
        chosen = os.environ.pop(PASSWORD_VARIABLE, "")
        if not chosen and self._settings.admin_password_file:
            path = Path(self._settings.admin_password_file)
            chosen = (await asyncio.to_thread(path.read_text)).strip()
        if await self._users.ensure_admin(chosen or (password := secrets.token_urlsafe(18))) and not chosen:
            path = self._directory / "admin-password"
            write_private(path, password.encode() + b"\n")
            self._settings.log.info("the password of the user admin is in %s", path)

    def _announce(self, url: str) -> None:
        user = getpass.getuser()
        announced = ServerFile(
            url=url,
            pid=os.getpid(),
            started=psutil.Process().create_time(),
            instance=self._instance,
            api=API_VERSION,
            token=self._access.local_token(user, self._instance),
            user=user,
            version=jupyter_mlops.__version__,
        )
        write_private(self._directory / "server.json", msgspec.json.encode(announced))

    def _sweep_predecessor(self) -> None:
        """End what a killed server left, should its guardian have been killed with it."""
        with contextlib.suppress(FileNotFoundError, msgspec.DecodeError):
            left = msgspec.json.decode((self._directory / "server.json").read_bytes(), type=ServerFile)
            guardian.sweep(left.instance)
            (self._directory / "server.json").unlink()

    def _idle_seconds(self) -> float:
        if self._events.viewers():
            self._executions.last_call = time.monotonic()
        return time.monotonic() - self._executions.last_call


def _shown(ip: str) -> str:
    return f"[{ip}]" if ":" in ip else ip
