"""Starts scoring kernels through jupyter_client, on any Python of this host.

The kernels have their own MultiKernelManager, so they appear neither in JupyterLab's running panel nor
under its culling. Each lives in a private directory that goes with it::

    RUN/            0700, short path: Unix sockets are limited to about 100 characters
    |- scoring      the channel's socket
    |- path/        holds a link to this package only; appended to the interpreter's path
    `- KERNEL/      work/ (its current directory), mark, log
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
import tempfile
import uuid
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.multikernelmanager import AsyncMultiKernelManager
from traitlets.config import Config

import jupyter_mlops
from jupyter_mlops.inner_end import CHANNEL_VARIABLE
from jupyter_mlops.schema.channel import MARK_BYTES
from jupyter_mlops.server.kernels.guardian import INSTANCE_VARIABLE, remove_run
from jupyter_mlops.server.kernels.provisioner import ScoringProvisioner
from jupyter_mlops.server.kernels.templates import Template, boot

_NOT_INHERITED = ("JUPYTER_MLOPS_", "JPY_", "JUPYTER_TOKEN", "JUPYTERHUB_", "MPLBACKEND")


_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Launched:
    """A kernel process that was started.

    Parameters
    ----------
    kernel_id:
        Its id in the MultiKernelManager.
    pid:
        The process, also the leader of its process group.
    directory:
        Its private directory.
    """

    def __init__(self, kernel_id: str, pid: int, directory: Path) -> None:
        self.kernel_id = kernel_id
        self.pid = pid
        self.directory = directory

    @property
    def mark(self) -> Path:
        """The file of the start mark."""
        return self.directory / "mark"

    def log_tail(self, lines: int = 12) -> str:
        """The last lines the process wrote to its standard error."""
        try:
            text = (self.directory / "log").read_text(errors="replace")
        except FileNotFoundError:
            return ""
        return "\n".join(text.splitlines()[-lines:])


class Launcher:
    """Starts and ends kernel processes.

    Parameters
    ----------
    instance:
        The server's instance id.
    """

    def __init__(self, instance: str) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="mlops-"))
        package = self.directory / "path" / "jupyter_mlops"
        package.parent.mkdir()
        package.symlink_to(Path(jupyter_mlops.__file__).parent, target_is_directory=True)
        self.path = package.parent
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(_NOT_INHERITED)}
        self.environment = inherited | {
            INSTANCE_VARIABLE: instance,
            "MPLBACKEND": "Agg",
            "PYTHONUNBUFFERED": "1",
        }
        """Variables of every process that scores: neither the server's own nor Jupyter's."""
        self._manager = AsyncMultiKernelManager(
            kernel_manager_class="jupyter_client.manager.AsyncKernelManager",
            kernel_spec_manager=_Interpreters(self.directory / "path"),
            connection_dir=str(self.directory),
            log=logging.getLogger("jupyter_mlops.kernels"),
            config=Config({"KernelManager": {"transport": "tcp" if sys.platform == "win32" else "ipc"}}),
        )

    async def launch(
        self, interpreter: str, channel: str, template: Template | None = None, *, threads: int = 1
    ) -> Launched:
        """Start a kernel process.

        Parameters
        ----------
        interpreter:
            Path of the Python that runs it.
        channel:
            Address of the scoring channel and the kernel's key, with a space between.
        template:
            What to fork; without one the interpreter starts cold.
        threads:
            Threads that BLAS and OpenMP libraries may use which it is yet to import.

        Raises
        ------
        OSError
            When the interpreter cannot be started.
        """
        kernel_id = uuid.uuid4().hex
        directory = self.directory / kernel_id[:12]
        work = directory / "work"
        work.mkdir(parents=True, mode=0o700)
        (directory / "mark").write_bytes(bytes(MARK_BYTES))
        with (directory / "log").open("wb") as log:
            await self._manager.start_kernel(
                kernel_name=interpreter,
                kernel_id=kernel_id,
                cwd=str(work),
                env=dict.fromkeys(_THREAD_VARIABLES, str(threads)) | self.environment | {CHANNEL_VARIABLE: channel},
                stdout=log,
                stderr=log,
                template=template,
            )
        provisioner = self._manager.get_kernel(kernel_id).provisioner
        assert isinstance(provisioner, ScoringProvisioner)
        assert provisioner.process is not None
        return Launched(kernel_id, provisioner.process.pid, directory)

    async def exited(self, launched: Launched) -> bool:
        """Whether the process has ended."""
        return not await self._manager.is_alive(launched.kernel_id)

    async def end(self, launched: Launched) -> None:
        """Kill the process and its group, wait for it, and remove its directory."""
        if launched.kernel_id in self._manager:
            await self._manager.shutdown_kernel(launched.kernel_id, now=True)
        shutil.rmtree(launched.directory, ignore_errors=True)

    def close(self) -> None:
        """Remove the run directory; every kernel has ended."""
        self._manager.context.destroy(linger=0)
        remove_run(self.directory)


class _Interpreters(KernelSpecManager):
    """Kernel specs by the path of a Python interpreter."""

    def __init__(self, path: Path, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._path = path

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        program = boot(self._path, "kernel")
        return KernelSpec(
            argv=[kernel_name, "-c", program, "-f", "{connection_file}", "--IPKernelApp.capture_fd_output=False"],
            display_name=kernel_name,
            language="python",
            metadata={"kernel_provisioner": {"provisioner_name": "jupyter-mlops"}},
        )
