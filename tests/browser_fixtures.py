"""A plugin of the tests: pages of a real Chromium that may speak to one origin only and must not fail."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser():
    """A Chromium for the tests of a module."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("THE BROWSER TESTS DID NOT RUN: no Chromium on this machine (apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, headless=True, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def browser_page(browser):
    """Open pages; afterwards none has asked another origin for anything, or has had an uncaught error."""
    contexts, elsewhere, errors = [], [], []

    def opened(origin: str):
        context = browser.new_context(
            viewport={"width": 1280, "height": 800}, permissions=["clipboard-read", "clipboard-write"]
        )
        contexts.append(context)
        allowed = (origin, "ws" + origin.removeprefix("http"), "data:", "blob:")
        context.on("request", lambda request: request.url.startswith(allowed) or elsewhere.append(request.url))
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        return page

    yield opened
    for context in contexts:
        context.close()
    assert elsewhere == []
    assert errors == []


@pytest.fixture
def screenshot(tmp_path):
    """Keep a picture: in the folder that the environment variable SCREENSHOTS names, else with the test's files."""
    folder = Path(os.environ.get("SCREENSHOTS", tmp_path))

    def take(page, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=folder / f"{name}.png")

    return take
