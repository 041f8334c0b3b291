"""The monitor of a batch in a real JupyterLab: it moves, is cancelled, goes on, opens files, and is found again."""

from __future__ import annotations

import re
import zipfile

import nbformat
import pytest
from jupyter_processes import TOKEN, eventually
from playwright.sync_api import expect

pytest_plugins = ["browser_fixtures", "jupyter_fixtures"]
pytestmark = pytest.mark.ui

ROWS = 1500
CELLS = [
    """%load_ext jupyter_mlops
import os, struct, time, zlib
from pathlib import Path
RATES = str(Path("rates.txt").absolute())
def chart(height: int) -> bytes:
    width = 160
    blue, white = b"\\x19v\\xd2", b"\\xff" * 3
    line = lambda y: b"".join(blue if y > 100 - height * (x % 40) / 40 else white for x in range(width))
    rows = b"".join(b"\\0" + line(y) for y in range(100))
    def part(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    head = struct.pack(">IIBBBBB", width, 100, 8, 2, 0, 0, 0)
    return b"\\x89PNG\\r\\n\\x1a\\n" + part(b"IHDR", head) + part(b"IDAT", zlib.compress(rows)) + part(b"IEND", b"")""",
    """%%publish score 1.0 --artifacts chart.png,items.csv,raw.bin --kernels 1:1 --as service
def score(day: int, amount: float, country: str) -> float:
    time.sleep(0.004)
    if day % 100 == 3:
        Path("chart.png").write_bytes(chart(day % 90))
    if day % 100 == 5:
        Path("items.csv").write_text("item,price\\n<b>lamp</b>,12.5\\nchair,80\\n")
        Path("raw.bin").write_bytes(bytes(range(256)) * 40)
    if day % 25 == 7 and not os.path.exists(RATES):
        print("looking up the rate of", country)
        raise LookupError(f"no rate for <img src=x onerror=alert(1)> {country}")
    return amount * 1.5""",
    f"""import pandas as pd
days = range({ROWS})
frame = pd.DataFrame({{"day": days, "amount": [day * 1.25 for day in days], "country": ["DE", "FR"] * {ROWS // 2}}})
%batch score frame --parallel 4 --as job""",
    """Path(RATES).write_text("DE 1.5")""",
    """results.shape, bool(results["_success"].all())""",
    "%load_ext jupyter_mlops",
]


@pytest.fixture
def lab(start_jupyter):
    """A JupyterLab with the notebook."""
    lab = start_jupyter(program="jupyterlab")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, lab.home / "work" / "batch.ipynb")
    return lab


def open_notebook(page, lab):
    page.goto(f"{lab.url}lab/tree/batch.ipynb?reset&token={TOKEN}")
    page.locator(".jp-Notebook .jp-Cell").first.wait_for(timeout=60_000)
    # Keys that are pressed while it is still connecting may leave it so.
    expect(page.locator("#jp-main-statusbar")).to_contain_text("| Idle", timeout=90_000)


def cell(page, number):
    return page.locator(".jp-Notebook .jp-Cell").nth(number)


def run(page, number):
    prompt = cell(page, number).locator(".jp-InputArea-prompt")
    before = prompt.inner_text().strip()
    for _ in range(60):  # a notebook that is still being opened may take the focus away again
        cell(page, number).locator(".cm-content").click()
        page.keyboard.press("Control+Enter")
        page.wait_for_timeout(1000)
        if prompt.inner_text().strip() != before:
            break
    expect(prompt).to_have_text(re.compile(r"\[\d+\]:"), timeout=60_000)


def done(output):
    return int(output.get_by_role("progressbar").get_attribute("aria-valuenow"))


def test_watch_cancel_retry_open_reload_and_attach(lab, browser_page, screenshot):
    page = browser_page(lab.root)
    page.set_viewport_size({"width": 1280, "height": 1100})
    open_notebook(page, lab)
    for number in (0, 1, 2):
        run(page, number)
    output = cell(page, 2).locator(".jp-Cell-outputArea")

    expect(output.get_by_role("progressbar")).to_be_visible(timeout=60_000)
    eventually(lambda: 0 < done(output) < ROWS, 60)
    first = done(output)
    eventually(lambda: done(output) > first, 30)
    expect(output).to_contain_text("rows/s")
    expect(output.get_by_text("Newest results")).to_be_visible()
    output.get_by_role("button", name="Cancel").scroll_into_view_if_needed()
    expect(output.get_by_role("button", name="Retry failed rows")).to_be_disabled()
    screenshot(page, "batch-1-running")

    output.get_by_role("button", name="Cancel").click()
    expect(output.get_by_text("Cancelled", exact=True)).to_be_visible(timeout=30_000)
    stopped = done(output)
    assert stopped < ROWS
    output.get_by_role("button", name="Row 7", exact=True).click()
    expect(output).to_contain_text("LookupError: no rate for <img src=x onerror=alert(1)> FR", timeout=30_000)
    expect(output).to_contain_text("looking up the rate of FR")
    screenshot(page, "batch-2-cancelled")

    try_again(page, output)
    open_and_save(page, lab, output, screenshot)

    output.get_by_role("button", name="Results as DataFrame").click()
    expect(output).to_contain_text(f"results is a DataFrame of {ROWS:,} rows", timeout=30_000)
    run(page, 4)
    expect(cell(page, 4).locator(".jp-OutputArea-output")).to_have_text(f"(({ROWS}, 8), True)")
    output.get_by_role("button", name="Download artifacts").click()
    expect(output).to_contain_text("All artifacts are in", timeout=30_000)
    (archive,) = (lab.home / "work").glob("batch-*.zip")
    assert "3/chart.png" in zipfile.ZipFile(archive).namelist()
    output.get_by_role("button", name="Cancel").scroll_into_view_if_needed()
    screenshot(page, "batch-4-complete")

    find_again(page, lab)
    screenshot(page, "batch-5-attached-dark")


def try_again(page, output):
    """Remove what made rows fail, and have them run again."""
    run(page, 3)
    output.get_by_role("button", name="Retry failed rows").click()
    expect(output.get_by_text("InProgress", exact=True)).to_be_visible(timeout=30_000)
    expect(output.get_by_text("Complete", exact=True)).to_be_visible(timeout=60_000)
    assert done(output) == ROWS
    expect(output.get_by_text(re.compile(r"^[\d,]+ failed$"))).to_have_count(0)


def open_and_save(page, lab, output, screenshot):
    """Look at a picture that a row wrote, and copy it."""
    output.get_by_role("button", name="chart.png").first.click()
    picture = output.locator("img[alt='chart.png']").last
    expect(picture).to_be_visible(timeout=30_000)
    eventually(lambda: picture.evaluate("one => one.naturalWidth") == 160)
    expect(output.get_by_role("button", name="Close")).to_be_visible()
    expect(output).to_contain_text("<b>lamp</b>")
    output.get_by_role("button", name="Close").scroll_into_view_if_needed()
    screenshot(page, "batch-3-opened")
    output.get_by_role("button", name="Save").click()
    expect(output).to_contain_text("row-3-chart.png")
    assert (lab.home / "work" / "row-3-chart.png").read_bytes().startswith(b"\x89PNG")


def find_again(page, lab):
    """Restart the kernel, open the page anew, and attach in a dark JupyterLab."""
    identifier = lab.request("GET", "mlops/batches").json()[0]["id"]
    page.get_by_role("menuitem", name="Kernel").click()
    page.get_by_text("Restart Kernel…", exact=True).click()
    page.get_by_role("button", name="Confirm Kernel Restart").click()
    page.wait_for_timeout(1000)
    page.on("dialog", lambda dialog: dialog.accept())
    open_notebook(page, lab)
    cell(page, 5).locator(".cm-content").click()
    page.keyboard.press("Control+End")
    page.keyboard.type(f"\n%batch attach {identifier}")
    run(page, 5)
    output = cell(page, 5).locator(".jp-Cell-outputArea")
    expect(output.get_by_text("Complete", exact=True)).to_be_visible(timeout=60_000)
    expect(output.get_by_role("button", name="chart.png").first).to_be_visible()
    page.get_by_role("menuitem", name="Settings").click()
    page.get_by_text("Theme", exact=True).hover()
    page.get_by_text("JupyterLab Dark", exact=True).click()
    page.wait_for_function("document.body.dataset.jpThemeLight === 'false'")
