"""The client: publish, find and call services from any Python program. Needs neither Jupyter nor IPython."""

from jupyter_mlops.client.deploy import DeployClient
from jupyter_mlops.client.response import ServiceResponse
from jupyter_mlops.client.service import Service

__all__ = ["DeployClient", "Service", "ServiceResponse"]
