"""The example notebooks, run by nbclient with no server running, twice, in the same server and kernel."""

from __future__ import annotations

import json
import operator
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from jupyter_mlops.discovery import read_server_file, running_server

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
STEM = operator.attrgetter("stem")


@pytest.fixture
def data_dir(tmp_path, monkeypatch):
    """A data directory without a server; one that was started is stopped at the end."""
    path = tmp_path / "data"
    monkeypatch.setenv("JUPYTER_MLOPS_DATA_DIR", str(path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]))
    monkeypatch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    monkeypatch.delenv("JUPYTER_MLOPS_URL", raising=False)
    yield path
    subprocess.run([sys.executable, "-m", "jupyter_mlops", "stop"], check=False, capture_output=True)
    assert running_server(path) is None


def execute(notebook, path=ROOT / "notebooks"):
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(path)}}).execute()


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=[] if path.stem == "quickstart" else pytest.mark.slow) for path in NOTEBOOKS],
    ids=STEM,
)
def test_a_notebook_runs_from_nothing(path, data_dir):
    notebook = nbformat.read(path, 4)
    execute(notebook)
    text = nbformat.writes(notebook)
    assert read_server_file(data_dir).token not in text
    assert "<script" not in text


@pytest.mark.slow
def test_the_quickstart_runs_again_in_another_kernel(data_dir):
    first, again = (nbformat.read(ROOT / "notebooks" / "quickstart.ipynb", 4) for _ in range(2))
    execute(first)
    execute(again)
    assert "unchanged: this was published already" not in nbformat.writes(first)
    assert "unchanged: this was published already" in nbformat.writes(again)


@pytest.mark.slow
def test_the_quickstart_runs_twice_in_one_kernel(data_dir):
    notebook = nbformat.read(ROOT / "notebooks" / "quickstart.ipynb", 4)
    notebook.cells += [nbformat.from_dict({**cell, "id": f"{cell.id}-again"}) for cell in notebook.cells]
    execute(notebook)
    text = nbformat.writes(notebook)
    assert "unchanged: this was published already" in text
    assert "0.6418125" in text
    assert "0.533267" in text
    assert text.count("Started a jupyter_mlops server") == 1


@pytest.mark.parametrize("path", NOTEBOOKS, ids=STEM)
def test_a_notebook_is_kept_without_outputs(path):
    notebook = json.loads(path.read_text())
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    for cell in notebook["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


def test_the_data_are_the_32_cars():
    import pandas as pd

    cars = pd.read_csv(ROOT / "notebooks" / "data" / "mtcars.csv")
    assert len(cars) == 32
    means = cars.drop(columns="model").mean().to_dict()
    expected = {
        "mpg": 20.09062, "cyl": 6.1875, "disp": 230.72188, "hp": 146.6875, "drat": 3.59656, "wt": 3.21725,
        "qsec": 17.84875, "vs": 0.4375, "am": 0.40625, "gear": 3.6875, "carb": 2.8125,
    }  # fmt: skip
    assert means == pytest.approx(expected, abs=1e-5)


def test_nbclient_stops_at_a_refusal(data_dir, tmp_path):
    cells = ["%load_ext jupyter_mlops", "%%publish x 1\nnothing = 1", "assert False, 'never reached'"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    with pytest.raises(CellExecutionError, match="the cell defines no function"):
        execute(notebook, tmp_path)
    (output,) = notebook.cells[1].outputs
    assert output.name == "stderr"
    assert output.text.startswith("UsageError: the cell defines no function")


def test_tracebacks_of_a_kernels_cells_have_their_numbers(data_dir, tmp_path):
    cells = [
        "%load_ext jupyter_mlops",
        "def helper(x):\n    # text of the second cell\n    return 1 / x",
        "%%publish x 1 --as service\ndef f(x: float) -> float:\n    return helper(x)",
        "print(service.f(0).error)",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    execute(notebook, tmp_path)
    error = notebook.cells[3].outputs[0].text
    assert 'File "<cell 2>", line 3, in helper\n    return 1 / x' in error
    assert 'File "<cell 3>", line 2, in f\n    return helper(x)' in error
    assert "ipykernel_" not in error
