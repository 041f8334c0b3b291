"""Revisions of a version, going back to one, and the calls that failed."""

import io
import json
import zipfile

import pytest
from support import eventually

from jupyter_mlops.schema.access import Identity, Role
from jupyter_mlops.signing import read_key, sign


@pytest.fixture
def other(server):
    return sign(read_key(server.data_dir), Identity(name="somebody", role=Role.CONTRIBUTOR), 3600)


def publish(server, name, factor, **more):
    return server.publish_code(name, "1", f"y = x * {factor}", "x:numeric", "y:numeric", **more)


def answer(server, name):
    return server.call(name, "1", x=2).json()["outputParameters"].get("y")


class TestRevisions:
    def test_each_change_is_a_revision_and_any_can_be_gone_back_to(self, server, other):
        origin = {"notebook": "work.ipynb", "cells": [{"source": "y = x", "executionCount": 3}], "commit": "abc"}
        assert publish(server, "back", 10, provenance=origin).status == 201
        assert server.request("PATCH", "/services/back/1", {"code": "y = x * 100"}).status == 200
        assert answer(server, "back") == 200
        first, second = server.request("GET", "/services/back/1/revisions").json()
        assert (first["number"], first["current"], first["code"]) == (1, False, "y = x * 10")
        assert first["provenance"] == origin | {"dirty": False}
        assert (second["number"], second["current"], second["code"]) == (2, True, "y = x * 100")
        assert server.request("POST", "/services/back/1/rollback", {"revision": 1}).status == 200
        assert answer(server, "back") == 20
        assert [one["current"] for one in server.request("GET", "/services/back/1/revisions").json()] == [True, False]
        assert server.request("POST", "/services/back/1/rollback", {"revision": 2}).status == 200
        assert answer(server, "back") == 200
        unknown = server.request("POST", "/services/back/1/rollback", {"revision": 7})
        assert (unknown.status, unknown.json()["fields"]) == (404, "$.revision")
        for method, path, body in [("GET", "revisions", None), ("GET", "snapshot", None), ("GET", "failures", None)]:
            assert server.request(method, f"/services/back/1/{path}", body, token=other).status == 403

    @pytest.mark.slow
    def test_going_back_survives_the_server_and_the_next_change_counts_on(self, start_server):
        server = start_server()
        publish(server, "kept", 10)
        server.request("PATCH", "/services/kept/1", {"code": "y = x * 100"})
        server.request("POST", "/services/kept/1/rollback", {"revision": 1})
        server.stop(kill=True)
        again = start_server(data_dir=server.data_dir)
        assert answer(again, "kept") == 20
        assert again.request("PATCH", "/services/kept/1", {"code": "y = x * 3"}).status == 200
        numbers = [one["number"] for one in again.request("GET", "/services/kept/1/revisions").json()]
        assert numbers == [1, 2, 3]

    def test_calls_fail_for_nobody_while_it_goes_back_and_forth(self, server):
        publish(server, "swing", 10)
        server.request("PATCH", "/services/swing/1", {"code": "y = x * 100"})
        for number in (1, 2, 1, 2):
            assert server.request("POST", "/services/swing/1/rollback", {"revision": number}).status == 200
            assert {answer(server, "swing") for _ in range(20)} == {20.0 if number == 1 else 200.0}

    def test_what_a_version_holds_downloads_as_a_zip(self, server):
        publish(server, "whole", 10)
        archive = zipfile.ZipFile(io.BytesIO(server.request("GET", "/services/whole/1/snapshot").body))
        assert archive.namelist() == ["service.json"]
        assert json.loads(archive.read("service.json"))["definition"]["code"] == "y = x * 10"


class TestFailures:
    def failures(self, server, name):
        return server.request("GET", f"/services/{name}/1/failures").json()

    def publish(self, server, name, **more):
        code = "print('before')\nif x < 0: raise ValueError(f'no {x}')\ny = 1 / x"
        assert server.publish_code(name, "1", code, "x:numeric", "y:numeric", **more).status == 201

    def test_a_call_that_raised_is_kept_with_its_inputs(self, server, other):
        self.publish(server, "raises")
        failed = server.call("raises", "1", x=-3)
        identifier = failed.headers["X-Correlation-Id"]
        (listed,) = eventually(lambda: self.failures(server, "raises"))
        assert listed["id"] == identifier
        assert listed["error"] == "ValueError: no -3.0"
        kept = server.request("GET", f"/services/raises/1/failures/{identifier}").json()
        assert kept["inputs"] == {"x": -3}
        assert kept["errorMessage"] == failed.json()["errorMessage"]
        assert kept["consoleOutput"] == "before\n"
        assert kept["revision"] == 1
        assert server.request("GET", f"/services/raises/1/failures/{identifier}", token=other).status == 403
        assert server.request("GET", "/services/raises/1/failures/nosuch").status == 404
        assert server.request("DELETE", "/services/raises/1/failures").status == 200
        assert self.failures(server, "raises") == []

    def test_twenty_of_each_error_are_kept_the_newest(self, server):
        self.publish(server, "floods")
        for number in range(30):
            server.call("floods", "1", x=-number - 1)
        server.call("floods", "1", x=0)
        kept = eventually(lambda: (found := self.failures(server, "floods")) and len(found) == 21 and found)
        assert kept[0]["error"].startswith("ZeroDivisionError")
        assert {one["error"] for one in kept[1:]} == {f"ValueError: no {-n:.1f}" for n in range(11, 31)}

    def test_calls_whose_kernel_died_or_was_late_are_kept_too(self, server):
        code = "import os, time\nif x: os._exit(1)\ntime.sleep(30)\ny = 1"
        server.publish_code("dies", "1", code, "x:integer", "y:integer", timeout=0.5)
        assert server.call("dies", "1", x=1).status == 502
        assert server.call("dies", "1", x=0).status == 504
        errors = eventually(lambda: (found := self.failures(server, "dies")) and len(found) == 2 and found)
        assert "deadline" in errors[0]["error"]
        assert "kernel" in errors[1]["error"]

    def test_nothing_is_kept_of_a_private_service(self, server):
        self.publish(server, "hush", private=True)
        self.publish(server, "loud")
        server.call("hush", "1", x=-1)
        server.call("loud", "1", x=-1)
        eventually(lambda: self.failures(server, "loud"))
        assert self.failures(server, "hush") == []

    @pytest.mark.slow
    def test_they_go_with_their_service_and_stay_over_a_restart(self, start_server):
        server = start_server()
        self.publish(server, "one")
        self.publish(server, "two")
        for name in ("one", "two"):
            server.call(name, "1", x=-1)
            eventually(lambda name=name: self.failures(server, name))
        server.request("DELETE", "/services/one/1")
        server.stop()
        again = start_server(data_dir=server.data_dir)
        assert len(self.failures(again, "two")) == 1
        assert len(list((server.data_dir / "failures").iterdir())) == 1
