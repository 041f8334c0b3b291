"""The demo: run the quickstart notebook against a server of its own, and call what it published."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from jupyter_mlops import DeployClient
from jupyter_mlops.cli import main as jupyter_mlops
from jupyter_mlops.discovery import DATA_DIR_VARIABLE, find_or_start

HERE = Path(__file__).parent
EXECUTED = HERE.parent / "build" / "demo" / "quickstart.ipynb"


def run() -> None:
    """Execute the quickstart cell by cell and show what it published and how to call it."""
    with tempfile.TemporaryDirectory(prefix="jupyter-mlops-demo-") as directory:
        os.environ[DATA_DIR_VARIABLE] = directory
        found, _ = find_or_start(Path(directory))
        try:
            print(f"A server for this demo runs at {found.url}; its data directory is {directory}\n")
            execute()
            show(directory)
        finally:
            jupyter_mlops(["stop", "--data-dir", directory])


def execute() -> None:
    """Execute the notebook, telling of each cell, and keep it with its outputs."""
    notebook = nbformat.read(HERE / "quickstart.ipynb", as_version=4)
    cells = [index for index, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    started: dict[int, float] = {}

    def begin(cell: nbformat.NotebookNode, cell_index: int) -> None:
        started[cell_index] = time.monotonic()
        first = next((line for line in cell.source.splitlines() if line.strip()), "")
        print(f"  cell {cells.index(cell_index) + 1:2}/{len(cells)}  {first[:70]:70}", end="", flush=True)

    def end(cell: nbformat.NotebookNode, cell_index: int, execute_reply: object) -> None:
        print(f" {time.monotonic() - started[cell_index]:5.1f} s")

    print("Executing notebooks/quickstart.ipynb")
    client = NotebookClient(
        notebook,
        timeout=120,
        kernel_name="python3",
        resources={"metadata": {"path": str(HERE)}},
        on_cell_execute=begin,
        on_cell_executed=end,
    )
    try:
        client.execute()
    finally:
        EXECUTED.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, EXECUTED)


def show(directory: str) -> None:
    """Tell what was published, and call one service as any program could."""
    client = DeployClient()
    print("\nPublished")
    for service in client.list_services():
        inputs = ", ".join(f"{p['name']}: {p['type']}" for p in service["inputParameterDefinitions"])
        outputs = ", ".join(f"{p['name']}: {p['type']}" for p in service["outputParameterDefinitions"])
        print(f"  {service['name']} {service['version']}   ({inputs}) -> ({outputs})")
    cars = client.get_service("cars")
    answer = cars.manual_transmission(120, 2.8).output("answer")
    print(f"\nScored from Python\n  cars.manual_transmission(120, 2.8) = {answer:.7f}")
    url = f"{cars.url}"
    token = shlex.join([str(Path(sys.executable).with_name("jupyter-mlops")), "token", "--data-dir", directory])
    line = (
        f'curl -s {url} -H "Authorization: Bearer $({token})" '
        """-H 'Content-Type: application/json' -d '{"hp": 120, "wt": 2.8}'"""
    )
    print(f"\nThe service's URL\n  {url}\n\nFrom a shell, while this demo runs\n  {line}")
    if shutil.which("curl"):
        ended = subprocess.run(line, shell=True, capture_output=True, text=True, check=True)
        print(f"  {ended.stdout}")
    else:
        print("  (curl is not installed here)")
    print(f"\nThe executed notebook\n  {EXECUTED}\n\nNext: make lab opens it in JupyterLab.\n")


if __name__ == "__main__":
    run()
