"""Every URL of the server on one page."""

from __future__ import annotations

from typing import Any

from jupyter_mlops.server.handlers.access import Login, RefreshToken
from jupyter_mlops.server.handlers.base import Managers
from jupyter_mlops.server.handlers.batch_files import Archive, Artifacts, BatchFile, BatchFiles, Inputs
from jupyter_mlops.server.handlers.batches import AllBatches, Batch, Batches, Cancel, OneBatch, Progress, Retry
from jupyter_mlops.server.handlers.documents import OpenAPI, ServiceOpenAPI, ServiceSwagger, Swagger
from jupyter_mlops.server.handlers.events import EventsSocket
from jupyter_mlops.server.handlers.executions import Execution
from jupyter_mlops.server.handlers.inference import Infer, Live, Model, ModelReady, Ready, Server
from jupyter_mlops.server.handlers.meta import STATIC, Docs, DocsFile, Health, Status
from jupyter_mlops.server.handlers.nodes import ComputeNodes
from jupyter_mlops.server.handlers.pools import Metrics, Pool, PoolKernels
from jupyter_mlops.server.handlers.realtime import Realtime, RealtimeVersion
from jupyter_mlops.server.handlers.revisions import Failures, OneFailure, Revisions, Rollback, ServiceSnapshot
from jupyter_mlops.server.handlers.services import Service, Services, Version
from jupyter_mlops.server.handlers.sessions import (
    CancelSession,
    ConsoleOutput,
    Execute,
    History,
    LoadSnapshot,
    OneSession,
    Sessions,
    SessionSnapshot,
)
from jupyter_mlops.server.handlers.snapshots import OneSnapshot, SnapshotManifest, Snapshots
from jupyter_mlops.server.handlers.uploads import Upload, UploadedBlob, Uploads
from jupyter_mlops.server.handlers.users import User, Users
from jupyter_mlops.server.handlers.workspaces import Files, Objects, OneFile, OneObject

_PART = r"([^/]+)"

PUBLIC = {
    ("GET", "/health"),
    ("POST", "/login"),
    ("POST", "/login/refreshToken"),
    ("DELETE", "/login/refreshToken"),
    ("GET", "/docs"),
    ("GET", "/docs/static/(.*)"),
}
"""What needs no credential, and nothing else."""

ROUTES: list[tuple[str, Any]] = [
    (rf"/api/{_PART}/{_PART}", Execution),  # first, because routes are tried in order
    (rf"/api/{_PART}", Execution),
    (rf"/api/{_PART}/{_PART}/swagger\.json", ServiceSwagger),
    (rf"/api/{_PART}/{_PART}/openapi\.json", ServiceOpenAPI),
    (rf"/api/{_PART}/{_PART}/batch", Batches),
    (rf"/api/{_PART}/{_PART}/batch/{_PART}", Batch),
    (rf"/api/{_PART}/{_PART}/batch/{_PART}/progress", Progress),
    (rf"/api/{_PART}/{_PART}/batch/{_PART}/inputs", Inputs),
    (rf"/api/{_PART}/{_PART}/batch/{_PART}/cancel", Cancel),
    (rf"/api/{_PART}/{_PART}/batch/{_PART}/retry", Retry),
    (rf"/api/{_PART}/{_PART}/batch/{_PART}/artifacts", Artifacts),
    (rf"/api/{_PART}/{_PART}/batch/{_PART}/archive", Archive),
    (rf"/api/{_PART}/{_PART}/batch/{_PART}/{_PART}/files", BatchFiles),
    (rf"/api/{_PART}/{_PART}/batch/{_PART}/{_PART}/files/{_PART}", BatchFile),
    (r"/batches", AllBatches),
    (rf"/batches/{_PART}", OneBatch),
    (r"/swagger\.json", Swagger),
    (r"/openapi\.json", OpenAPI),
    (r"/health", Health),
    (r"/login", Login),
    (r"/login/refreshToken", RefreshToken),
    (r"/users", Users),
    (rf"/users/{_PART}", User),
    (r"/docs", Docs),
    (r"/docs/static/(.*)", DocsFile),
    (r"/status", Status),
    (r"/computenodes", ComputeNodes),
    (r"/events", EventsSocket),
    (r"/services", Services),
    (rf"/services/{_PART}", Service),
    (rf"/services/{_PART}/{_PART}", Version),
    (rf"/realtime-services/{_PART}", Realtime),
    (rf"/realtime-services/{_PART}/{_PART}", RealtimeVersion),
    (rf"/services/{_PART}/{_PART}/pool", Pool),
    (rf"/services/{_PART}/{_PART}/pool/kernels", PoolKernels),
    (rf"/services/{_PART}/{_PART}/revisions", Revisions),
    (rf"/services/{_PART}/{_PART}/rollback", Rollback),
    (rf"/services/{_PART}/{_PART}/snapshot", ServiceSnapshot),
    (rf"/services/{_PART}/{_PART}/failures", Failures),
    (rf"/services/{_PART}/{_PART}/failures/{_PART}", OneFailure),
    (r"/v2", Server),
    (r"/v2/health/live", Live),
    (r"/v2/health/ready", Ready),
    (rf"/v2/models/{_PART}", Model),
    (rf"/v2/models/{_PART}/ready", ModelReady),
    (rf"/v2/models/{_PART}/infer", Infer),
    (rf"/v2/models/{_PART}/versions/{_PART}", Model),
    (rf"/v2/models/{_PART}/versions/{_PART}/ready", ModelReady),
    (rf"/v2/models/{_PART}/versions/{_PART}/infer", Infer),
    (r"/metrics", Metrics),
    (r"/sessions", Sessions),
    (rf"/sessions/{_PART}", OneSession),
    (rf"/sessions/{_PART}/force", OneSession),
    (rf"/sessions/{_PART}/execute", Execute),
    (rf"/sessions/{_PART}/console-output", ConsoleOutput),
    (rf"/sessions/{_PART}/history", History),
    (rf"/sessions/{_PART}/cancel", CancelSession),
    (rf"/sessions/{_PART}/files", Files),
    (rf"/sessions/{_PART}/files/{_PART}", OneFile),
    (rf"/sessions/{_PART}/workspace", Objects),
    (rf"/sessions/{_PART}/workspace/{_PART}", OneObject),
    (rf"/sessions/{_PART}/snapshot", SessionSnapshot),
    (rf"/sessions/{_PART}/loadsnapshot/{_PART}", LoadSnapshot),
    (r"/snapshots", Snapshots),
    (rf"/snapshots/{_PART}", OneSnapshot),
    (rf"/snapshots/{_PART}/manifest", SnapshotManifest),
    (r"/uploads", Uploads),
    (rf"/uploads/{_PART}", Upload),
    (rf"/uploads/{_PART}/{_PART}", UploadedBlob),
]


def rules(managers: Managers) -> list[tuple[str, Any, dict[str, Any]]]:
    """The routes with what each handler is made with."""
    return [
        (pattern, handler, {"path": str(STATIC)} if handler is DocsFile else {"managers": managers})
        for pattern, handler in ROUTES
    ]
