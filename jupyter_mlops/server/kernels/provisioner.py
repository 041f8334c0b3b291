"""How jupyter_client gets a scoring kernel's process: started, or forked from a template."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

from jupyter_mlops.server.kernels.templates import ForkedProcess, Template

_INTERPRETER_WORDS = 3
"""Words of a kernel's command line before its own: the interpreter, `-c` and the program."""


class ScoringProvisioner(LocalProvisioner):
    """Local processes, forked where there is a template to fork."""

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Start the process.

        Parameters
        ----------
        cmd:
            The command line of a cold start.
        kwargs:
            What `start_kernel` was given; `template` is ours.
        """
        template: Template | None = kwargs.pop("template")
        if template is None:
            return await super().launch_kernel(cmd, **kwargs)
        pid = await template.fork(
            ("kernel", *cmd[_INTERPRETER_WORDS:]), Path(kwargs["cwd"]), kwargs["env"], Path(kwargs["stdout"].name)
        )
        self.process = ForkedProcess(pid)  # type: ignore[assignment]  # it has the methods that are used
        self.pid = self.pgid = pid  # a fork begins a session of its own
        return self.connection_info
