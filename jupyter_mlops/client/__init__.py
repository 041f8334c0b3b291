"""The client: publish, find and call services from any Python program. Needs neither Jupyter nor IPython."""

from jupyter_mlops.client.batch import Batch
from jupyter_mlops.client.batch_results import BatchResponse
from jupyter_mlops.client.deploy import DeployClient
from jupyter_mlops.client.response import ServiceResponse
from jupyter_mlops.client.service import Service
from jupyter_mlops.client.session import Session, SessionResponse
from jupyter_mlops.client.snapshot import Snapshot

__all__ = [
    "Batch", "BatchResponse", "DeployClient", "Service", "ServiceResponse", "Session", "SessionResponse", "Snapshot",
]  # fmt: skip
