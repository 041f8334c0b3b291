"""The server's own documentation page: signing in, choosing, trying out."""

from __future__ import annotations

import pytest
from jupyter_processes import PASSWORD
from playwright.sync_api import expect

pytest_plugins = ["browser_fixtures"]
pytestmark = pytest.mark.ui


@pytest.fixture(scope="module", autouse=True)
def services(server):
    assert (
        server.publish_code("cars", "1.0", "answer = hp * wt", "hp:numeric,wt:numeric", "answer:numeric").status == 201
    )
    hostile = "# <script>alert(1)</script><img src=x onerror=alert(1)> [x](javascript:alert(1))"
    assert server.publish_code("hostile", "1", "a = 1", "", "a:integer", description=hostile).status == 201


def try_out(page):
    page.locator("#swagger textarea").fill('{"hp": 7, "wt": 6}')
    page.get_by_role("button", name="Execute").click()
    expect(page.locator(".live-responses-table")).to_contain_text('"answer": 42')


def test_sign_in_choose_and_try(server, browser_page, screenshot):
    page = browser_page(server.url)
    page.goto(f"{server.url}/docs")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("#notice")).to_contain_text("Unauthorized")
    screenshot(page, "sign-in")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_label("Service").select_option(label="cars 1.0")
    expect(page).to_have_url(f"{server.url}/docs?service=cars&version=1.0")
    try_out(page)
    screenshot(page, "docs")
    page.reload()
    expect(page.locator(".opblock").first).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.locator("#sign-in")).to_be_visible()


def test_the_server_itself_in_both_formats(server, browser_page, screenshot):
    page = browser_page(server.url)
    page.goto(f"{server.url}/docs?server=")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    for kind, mark in (("OpenAPI 3.1", "OAS 3.1"), ("Swagger 2.0", "OAS 2.0")):
        page.get_by_label("Format").select_option(label=kind)
        expect(page.locator(".swagger-ui .info")).to_contain_text(mark)
        page.locator("#operations-Status_APIs-status").get_by_role("button").first.click()
        page.locator("#operations-Status_APIs-status").get_by_role("button", name="Execute").click()
        expect(page.locator(".live-responses-table")).to_contain_text('"statusCode": "pass"')
        screenshot(page, f"docs-server-{kind}")
    page.locator("#service").select_option(label="cars 1.0")
    try_out(page)


def test_a_pasted_token_and_a_chosen_service(server, browser_page):
    page = browser_page(server.url)
    page.goto(f"{server.url}/docs?service=cars&version=1.0")
    page.get_by_text("Use a token instead").click()
    page.get_by_label("Token").fill(server.token)
    page.get_by_role("button", name="Sign in").click()
    try_out(page)


def test_addresses_in_the_query_are_not_fetched_and_descriptions_do_not_run(server, browser_page):
    page = browser_page(server.url)
    page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
    elsewhere = "http://127.0.0.1:9/evil.json"
    page.goto(f"{server.url}/docs?service=hostile&version=1&url={elsewhere}&configUrl={elsewhere}")
    page.get_by_text("Use a token instead").click()
    page.get_by_label("Token").fill(server.token)
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator(".swagger-ui .info")).to_contain_text("hostile")
    assert (
        page.locator(
            ".swagger-ui .info script, .swagger-ui .info [onerror], .swagger-ui .info [href^=javascript]"
        ).count()
        == 0
    )
