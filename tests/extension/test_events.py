"""The events WebSocket through Jupyter: who is let in, what passes, how it ends."""

from __future__ import annotations

import asyncio
import json

import pytest
from jupyter_processes import TOKEN, eventually, server_process
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import websocket_connect

pytest_plugins = ["jupyter_fixtures"]
KNOWN = {"Authorization": f"token {TOKEN}"}
CODE = {"code": "a = 1", "outputParameterDefinitions": [{"name": "a", "type": "numeric"}]}


def connect(jupyter, headers=None, query=""):
    url = "ws" + jupyter.url.removeprefix("http") + "mlops/events" + query
    return websocket_connect(HTTPRequest(url, headers=headers or {}, request_timeout=60))


async def ending(socket):
    while await asyncio.wait_for(socket.read_message(), 60) is not None:
        pass
    socket.close()
    return socket.close_code, socket.close_reason


async def enter(jupyter, headers):
    return await connect(jupyter, headers)


async def leave(socket):
    socket.close(1000)
    await ending(socket)


def test_a_picture_then_what_changes(jupyter, server):
    async def watch():
        socket = await connect(jupyter, KNOWN)
        picture = json.loads(await socket.read_message())
        assert (picture["type"], picture["services"]) == ("snapshot", [])
        await asyncio.to_thread(server.request, "POST", "/services/news/1", CODE)
        change = json.loads(await asyncio.wait_for(socket.read_message(), 10))
        await leave(socket)
        return picture, change

    picture, change = asyncio.run(watch())
    assert (change["type"], change["action"], change["name"], change["version"]) == (
        "service",
        "published",
        "news",
        "1",
    )
    assert change["seq"] == picture["seq"] + 1


def test_messages_and_close_codes_pass_both_ways(before_recorder, recorder):
    async def talk():
        socket = await connect(before_recorder, KNOWN)
        assert await socket.read_message() == "hello"
        for message in ("text", b"\x00bytes"):
            await socket.write_message(message, binary=isinstance(message, bytes))
            assert await socket.read_message() == message
        await socket.write_message("close")
        return await ending(socket)

    assert asyncio.run(talk()) == (4321, "as asked")


def test_the_server_hears_that_the_viewer_has_gone(before_recorder, recorder):
    async def go():
        socket = await connect(before_recorder, KNOWN)
        await socket.read_message()
        await leave(socket)

    asyncio.run(go())
    eventually(lambda: recorder.last() == ("closed", 1000))


def test_no_secret_of_jupyter_reaches_the_server(before_recorder, recorder):
    async def look():
        browser = before_recorder.log_in() | {"Origin": before_recorder.root}
        socket = await connect(before_recorder, browser, f"?token={TOKEN}&start=1")
        await socket.read_message()
        request = recorder.last()
        await leave(socket)
        return request

    request = asyncio.run(look())
    assert request.uri == "/events?start=1"
    assert TOKEN not in str(dict(request.headers.get_all()))
    assert not {"Cookie", "Origin", "Referer"} & set(request.headers)


@pytest.mark.parametrize("headers", [{}, {"Authorization": "token wrong"}, {"Cookie": "_xsrf=1"}])
def test_strangers_are_refused_before_the_upgrade(headers, before_recorder, recorder):
    reached = recorder.requests()
    with pytest.raises(HTTPClientError) as refused:
        asyncio.run(enter(before_recorder, headers))
    assert refused.value.code == 403
    assert recorder.requests() == reached


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1.evil.example", "http://127.0.0.1:1"]
)
def test_foreign_pages_are_refused_before_the_upgrade(origin, before_recorder, recorder):
    browser = before_recorder.log_in()
    reached = recorder.requests()
    with pytest.raises(HTTPClientError) as refused:
        asyncio.run(enter(before_recorder, browser | {"Origin": origin}))
    assert refused.value.code == 403
    assert recorder.requests() == reached


def test_a_plain_get_is_no_upgrade(before_recorder):
    assert before_recorder.request("GET", "mlops/events").status == 400
    assert before_recorder.request("POST", "mlops/events").status == 405


@pytest.mark.slow
def test_watching_starts_nothing_and_asking_does(start_jupyter, tmp_path):
    jupyter = start_jupyter()

    async def watch(query):
        socket = await connect(jupyter, KNOWN, query)
        first = await asyncio.wait_for(socket.read_message(), 60)
        code = socket.close_code
        if first is None:
            socket.close()
        else:
            await leave(socket)
        return first, code

    assert asyncio.run(watch("")) == (None, 4404)
    assert not (tmp_path / "data" / "server.json").exists()
    assert json.loads(asyncio.run(watch("?start=1"))[0])["type"] == "snapshot"
    assert server_process(tmp_path / "data") is not None


@pytest.mark.slow
def test_a_server_that_cannot_be_reached_is_told_by_the_close_code(start_jupyter):
    jupyter = start_jupyter("--MLOpsExtension.server_url=http://127.0.0.1:9")

    async def end():
        return await ending(await connect(jupyter, KNOWN))

    code, reason = asyncio.run(end())
    assert code == 4503
    assert "http://127.0.0.1:9 does not answer" in reason
