"""The table of checkboxes in a real JupyterLab: untick, the total changes, publish, the service answers."""

from __future__ import annotations

import re

import nbformat
import pytest
from jupyter_processes import TOKEN
from playwright.sync_api import expect

pytest_plugins = ["browser_fixtures", "jupyter_fixtures"]
pytestmark = pytest.mark.ui

CELLS = [
    """import numpy as np
big = np.arange(100_000, dtype=float)
weights = np.array([0.5, 2.0])
github = "ghp_0123456789abcdefghijABCDEFGHIJ012345"
globals()["<img src=x onerror=alert(1)>"] = 1
def score(x: float) -> float:
    return float(x * weights.sum())
%load_ext jupyter_mlops""",
    """from jupyter_mlops import snapshot_widget
picker = snapshot_widget()
picker""",
    """picker.service.score(4).output("answer")""",
]


@pytest.fixture
def page(start_jupyter, browser_page):
    """A JupyterLab with a notebook that has run its first two cells."""
    lab = start_jupyter(program="jupyterlab")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, lab.home / "work" / "pick.ipynb")
    page = browser_page(lab.root)
    page.goto(f"{lab.url}lab/tree/pick.ipynb?reset&token={TOKEN}")
    page.locator(".jp-Notebook .jp-Cell").first.wait_for(timeout=60_000)
    expect(page.locator(".jp-Notebook-ExecutionIndicator")).to_have_attribute("data-status", "idle", timeout=60_000)
    run(page, 0)
    run(page, 1)
    expect(page.get_by_role("button", name="Publish", exact=True)).to_be_visible(timeout=60_000)
    return page


def run(page, number):
    cell = page.locator(".jp-Notebook .jp-Cell").nth(number)
    prompt = cell.locator(".jp-InputArea-prompt")
    for _ in range(20):  # a notebook that is still being opened may take the focus away again
        cell.locator(".cm-content").click()
        page.keyboard.press("Control+Enter")
        page.wait_for_timeout(1000)
        if prompt.inner_text().strip() != "[ ]:":
            break
    expect(prompt).to_have_text(re.compile(r"\[\d+\]:"), timeout=60_000)


def test_untick_publish_and_call(page, screenshot):
    output = page.locator(".jp-Notebook .jp-Cell").nth(1).locator(".jp-Cell-outputArea")
    total = output.get_by_role("status").first
    big = output.get_by_label("big", exact=True)
    expect(big).to_be_checked()
    expect(total).to_contain_text("78")
    expect(output.get_by_label("github")).not_to_be_checked()
    expect(output.get_by_text("<img src=x onerror=alert(1)>", exact=True)).to_be_visible()
    expect(output.get_by_text("looks like a GitHub token")).to_be_visible()
    screenshot(page, "picker")
    before = total.inner_text()
    big.uncheck()
    expect(total).not_to_have_text(before)
    assert "KiB" in before
    expect(total).not_to_contain_text("781")
    screenshot(page, "picker-unticked")
    output.get_by_label("Function").select_option("score")
    expect(total).to_contain_text("2 of 5")
    expect(output.get_by_label("big", exact=True)).not_to_be_checked()
    output.get_by_label("weights", exact=True).uncheck()
    expect(total).to_contain_text("score reads weights, which is left out")
    output.get_by_label("weights", exact=True).check()
    output.get_by_label("Name").fill("picked")
    output.get_by_label("Version").fill("1.0")
    output.get_by_label("Sample").fill("3.0")
    output.get_by_role("button", name="Publish", exact=True).click()
    expect(output).to_contain_text("picked 1.0 is published", timeout=60_000)
    expect(output).to_contain_text("Proof: a fresh kernel's answer to the sample is this notebook's")
    screenshot(page, "picker-published")
    run(page, 2)
    expect(page.locator(".jp-OutputArea-output").last).to_have_text("10.0")


def test_by_keyboard(page, screenshot):
    output = page.locator(".jp-Notebook .jp-Cell").nth(1).locator(".jp-Cell-outputArea")
    big = output.get_by_label("big", exact=True)
    big.focus()
    page.keyboard.press("Space")
    expect(big).not_to_be_checked()
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    expect(output.get_by_label("weights", exact=True)).not_to_be_checked()
    name = output.get_by_label("Name")
    name.focus()
    page.keyboard.type("by_keys")
    output.get_by_role("button", name="Snapshot", exact=True).focus()
    page.keyboard.press("Enter")
    expect(output).to_contain_text("Snapshot by_keys is kept", timeout=60_000)
    screenshot(page, "picker-kept")


def test_a_refusal_is_a_message_below(page):
    output = page.locator(".jp-Notebook .jp-Cell").nth(1).locator(".jp-Cell-outputArea")
    output.get_by_role("button", name="Publish", exact=True).click()
    expect(output).to_contain_text("choose the function to publish", timeout=30_000)
    expect(output).not_to_contain_text("Traceback")
