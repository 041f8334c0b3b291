"""Webhooks are told of the end of a batch: also by the next server, and only where that is allowed."""

import http.server
import json
import threading

import pytest
from support import eventually

pytestmark = pytest.mark.slow


class Hook(http.server.ThreadingHTTPServer):
    """A host that refuses the first so many messages."""

    def __init__(self, refused):
        self.told = []
        self.refused = refused
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def host(self):
        return f"127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        told = self.server.told
        told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(503 if len(told) <= self.server.refused else 204)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def hook():
    with Hook(refused=1) as found:
        yield found
        found.shutdown()


def submit(server, hook):
    answer = server.request("POST", f"/api/one/1/batch?webhook=http://{hook.host}/done", [{}])
    assert answer.status == 202, answer
    return f"/batches/{answer.json()['batchExecutionId']}"


@pytest.fixture
def start_one(start_server):
    def start(*options):
        server = start_server(*options)
        assert server.publish_code("one", "1", "y = 1", "", "y:integer").status == 201
        return server

    return start


def test_an_allowed_host_is_told_until_it_takes_it(start_one, hook):
    server = start_one(f"--ServeApp.webhook_hosts={hook.host}")
    path = submit(server, hook)
    eventually(lambda: len(hook.told) == 2, 20)
    assert hook.told[0] == hook.told[1]
    assert (hook.told[1]["id"], hook.told[1]["state"], hook.told[1]["completed"]) == (
        path.split("/")[-1],
        "Complete",
        1,
    )


def test_a_server_that_was_killed_before_it_told_leaves_it_to_the_next(start_one, hook):
    hook.refused = 2
    server = start_one(f"--ServeApp.webhook_hosts={hook.host}")
    submit(server, hook)
    eventually(lambda: hook.told, 20)  # and refused: it waits now before the second time
    server.stop(kill=True)
    hook.refused = 1
    server.start()
    eventually(lambda: len(hook.told) == 2, 20)
    server.stop()
    server.start()
    assert server.request("GET", "/batches").json()[0]["state"] == "Complete"
    assert len(hook.told) == 2, "what was told is not told again"


def test_a_host_that_is_allowed_no_longer_is_not_called(start_one, start_server, hook):
    server = start_one(f"--ServeApp.webhook_hosts={hook.host}")
    submit(server, hook)
    eventually(lambda: hook.told, 20)
    server.stop(kill=True)
    server.arguments = [one for one in server.arguments if "webhook" not in one]
    log = server.data_dir.parent / f"{server.data_dir.name}.log"
    server.start()
    assert server.request("GET", "/batches").json()[0]["state"] == "Complete"
    eventually(lambda: "is not told" in log.read_text(), 10)
    assert len(hook.told) == 1
