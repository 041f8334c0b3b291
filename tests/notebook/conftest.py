"""A real IPython shell, connected to a real server."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from traitlets.config import Config


@dataclass
class Ran:
    """What running a cell gave."""

    value: Any
    error: BaseException | None
    out: str
    err: str


class Notebook:
    """Runs cells."""

    def __init__(self, shell: InteractiveShell) -> None:
        self.shell = shell

    def run(self, cell: str) -> Ran:
        with capture_output() as captured:
            result = self.shell.run_cell(cell, store_history=True)
        return Ran(result.result, result.error_before_exec or result.error_in_exec, captured.stdout, captured.stderr)

    def ok(self, cell: str) -> Ran:
        ran = self.run(cell)
        assert ran.error is None, (ran.error, ran.out, ran.err)
        return ran

    def refused(self, cell: str) -> str:
        """Run a cell that must fail in one message without a traceback, and return the message."""
        ran = self.run(cell)
        assert type(ran.error).__name__ == "UsageError", ran
        assert "jupyter_mlops" not in ran.out + ran.err, "a traceback of ours"
        assert ran.err == f"UsageError: {ran.error}\n"
        return str(ran.error)


@pytest.fixture
def notebook(server, monkeypatch, tmp_path):
    monkeypatch.setenv("JUPYTER_MLOPS_DATA_DIR", str(server.data_dir))
    monkeypatch.delenv("JUPYTER_MLOPS_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    main = sys.modules["__main__"]
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance(config=config)
    shell.run_line_magic("load_ext", "jupyter_mlops")
    yield Notebook(shell)
    transport = shell.magics_manager.registry["MLOpsMagics"].connected
    if transport is not None:
        transport.close()
    shell.restore_sys_module_state()
    InteractiveShell.clear_instance()
    sys.modules["__main__"] = main
