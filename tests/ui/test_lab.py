"""The sidebar in a real JupyterLab and a real browser."""

from __future__ import annotations

import time

import pytest
from jupyter_processes import TOKEN, RunningJupyter, server_process, stop_server
from playwright.sync_api import expect

pytest_plugins = ["browser_fixtures", "jupyter_fixtures"]
pytestmark = pytest.mark.ui

CARS = {
    "code": "answer = hp * wt",
    "description": "Probability of a manual gearbox, from horsepower and weight.",
    "operationId": "manual_transmission",
    "inputParameterDefinitions": [{"name": "hp", "type": "numeric"}, {"name": "wt", "type": "numeric"}],
    "outputParameterDefinitions": [{"name": "answer", "type": "numeric"}],
}
IRIS = {
    "code": "species = 'setosa'",
    "inputParameterDefinitions": [
        {"name": f"{part} {side} (cm)", "type": "numeric"}
        for part in ("sepal", "petal")
        for side in ("length", "width")
    ],
    "outputParameterDefinitions": [{"name": "species", "type": "character"}],
}
HOSTILE = {
    "code": "a = 1",
    "description": "<img src=x onerror=alert(1)><script>alert(1)</script>",
    "outputParameterDefinitions": [],
}


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A JupyterLab with four services, one in two versions."""
    home = tmp_path_factory.mktemp("lab")
    running = RunningJupyter(home, home / "mlops", program="jupyterlab")
    publish(running, "cars", "1.0", CARS)
    publish(running, "cars", "1.1", CARS)
    publish(running, "iris", "1", IRIS)
    publish(running, "hostile", "1", HOSTILE)
    publish(running, "wine_quality_with_a_name_that_does_not_fit", "2026-11", CARS)
    yield running
    running.stop()
    stop_server(running.data_dir)


def open_lab(browser_page, jupyter, workspace="w"):
    page = browser_page(jupyter.root)
    page.goto(f"{jupyter.url}lab/workspaces/{workspace}?reset&token={TOKEN}")
    page.locator(".lm-TabBar-tab[data-id='jupyter-mlops-services']").wait_for(timeout=60_000)
    return page


def open_panel(page):
    page.locator(".lm-TabBar-tab[data-id='jupyter-mlops-services']").click()
    return page.locator("#jupyter-mlops-services")


def publish(jupyter, name, version, service):
    assert jupyter.request("POST", f"mlops/services/{name}/{version}", service).status == 201


def test_the_panel_shows_what_was_just_published(start_jupyter, browser_page, screenshot):
    lab = start_jupyter(program="jupyterlab")
    page = open_lab(browser_page, lab)
    assert server_process(lab.data_dir) is None, "opening JupyterLab starts nothing"
    panel = open_panel(page)
    expect(panel).to_contain_text("No services yet", timeout=30_000)
    expect(panel).to_contain_text("Put %%publish on top of a cell")
    screenshot(page, "empty")
    publish(lab, "cars", "1.0", CARS)
    cars = panel.locator("[data-service=cars]")
    expect(cars).to_contain_text("Probability of a manual gearbox", timeout=2_000)
    expect(panel).to_contain_text("Live · 1 service")
    screenshot(page, "published")
    publish(lab, "cars", "1.1", CARS)
    expect(cars.get_by_label("Version of cars")).to_have_value("1.1", timeout=2_000)


def test_light_and_dark(lab, browser_page, screenshot):
    page = open_lab(browser_page, lab)
    panel = open_panel(page)
    expect(panel.locator("[data-service]")).to_have_count(4)
    expect(panel.locator("[data-service=hostile]")).to_contain_text("<img src=x")
    screenshot(page, "light")
    page.get_by_role("menuitem", name="Settings").click()
    page.get_by_text("Theme", exact=True).hover()
    page.get_by_text("JupyterLab Dark", exact=True).click()
    page.wait_for_function("document.body.dataset.jpThemeLight === 'false'")
    page.mouse.move(900, 700)
    time.sleep(1)
    screenshot(page, "dark")


def test_filter_and_versions(lab, browser_page):
    page = open_lab(browser_page, lab)
    panel = open_panel(page)
    panel.get_by_label("Filter services").fill("gearbox cars")
    expect(panel.locator("[data-service]")).to_have_count(1)
    panel.get_by_label("Version of cars").select_option("1.0")
    expect(panel.get_by_label("Version of cars")).to_have_value("1.0")
    panel.get_by_label("Filter services").fill("nothing like it")
    panel.get_by_role("button", name="Show all").click()
    expect(panel.locator("[data-service]")).to_have_count(4)


def test_what_is_copied_works(lab, browser_page):
    page = open_lab(browser_page, lab)
    panel = open_panel(page)
    panel.get_by_role("button", name="Copy the URL of cars").click()
    url = page.evaluate("navigator.clipboard.readText()")
    assert url == f"{lab.url}mlops/api/cars/1.1"
    assert lab.request("POST", url.removeprefix(lab.url), {"hp": 2, "wt": 3}).json()["outputParameters"] == {
        "answer": 6
    }
    panel.get_by_role("button", name="Copy Python code that calls cars").click()
    code = page.evaluate("navigator.clipboard.readText()")
    assert 'get_service("cars", version="1.1")' in code
    assert "service.manual_transmission(hp=..., wt=...)" in code
    panel.get_by_role("button", name="Copy Python code that calls iris").click()
    assert '{"sepal length (cm)": ...' in page.evaluate("navigator.clipboard.readText()")


def test_everything_by_keyboard(lab, browser_page):
    publish(lab, "short_lived", "1", CARS)
    page = open_lab(browser_page, lab)
    panel = open_panel(page)
    panel.get_by_role("button", name="Delete short_lived 1").focus()
    page.keyboard.press("Enter")
    dialog = page.locator(".jp-Dialog")
    expect(dialog).to_contain_text("Delete short_lived 1?")
    page.keyboard.press("Escape")
    expect(panel.locator("[data-service=short_lived]")).to_be_visible()
    panel.get_by_role("button", name="Delete short_lived 1").press("Enter")
    dialog.get_by_role("button", name="Delete").press("Enter")
    expect(panel.locator("[data-service=short_lived]")).to_have_count(0)
    assert lab.request("GET", "mlops/services/short_lived").json() == []


def test_the_documentation_opens_behind_jupyter(lab, browser_page):
    page = open_lab(browser_page, lab)
    panel = open_panel(page)
    with page.context.expect_page() as opened:
        panel.get_by_role("button", name="Open the documentation of cars").click()
    docs = opened.value
    docs.locator("#swagger textarea").fill('{"hp": 7, "wt": 6}')
    docs.get_by_role("button", name="Execute").click()
    expect(docs.locator(".live-responses-table")).to_contain_text('"answer": 42')
    expect(docs.locator("#sign-in")).to_be_hidden()


def test_a_stopped_server_is_watched_for_and_not_restarted(lab, browser_page, screenshot):
    page = open_lab(browser_page, lab)
    panel = open_panel(page)
    expect(panel).to_contain_text("Live", timeout=20_000)
    process = server_process(lab.data_dir)
    process.terminate()
    process.wait(30)
    expect(panel).to_contain_text("Server not running", timeout=20_000)
    screenshot(page, "stopped")
    time.sleep(3)
    assert server_process(lab.data_dir) is None, "an open panel must not undo `jupyter mlops stop`"
    panel.get_by_role("button", name="Start it").click()
    expect(panel).to_contain_text("Live · 4 services", timeout=30_000)


def test_closing_lab_leaves_the_service_and_a_second_lab_shows_it(start_jupyter, browser_page, tmp_path):
    first = start_jupyter(program="jupyterlab")
    panel = open_panel(open_lab(browser_page, first))
    publish(first, "cars", "1.0", CARS)
    expect(panel.locator("[data-service=cars]")).to_be_visible(timeout=20_000)
    process = server_process(tmp_path / "data")
    first.stop()
    expect(panel).to_contain_text("Not connected, retrying", timeout=20_000)
    assert server_process(tmp_path / "data") == process
    second = start_jupyter(program="jupyterlab")
    panel = open_panel(open_lab(browser_page, second))
    expect(panel.locator("[data-service=cars]")).to_be_visible(timeout=20_000)
    assert second.request("POST", "mlops/api/cars/1.0", {"hp": 2, "wt": 3}).json()["outputParameters"] == {"answer": 6}
