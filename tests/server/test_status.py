"""`/status` tells the real state of every part, in Machine Learning Server's shape."""

import sqlite3
import threading

import pytest
from support import eventually

NODE_KEYS = {
    "pythonMaxPoolSize", "pythonActiveShellCount", "pythonCurrentPoolSize", "pythonCanOpenShell", "rMaxPoolSize",
    "rActiveShellCount", "rCurrentPoolSize", "rCanOpenShell", "apiVersion", "logPath",
}  # fmt: skip


def status(server):
    answer = server.request("GET", "/status")
    assert answer.status == 200
    return answer.json()


def node(server):
    (found,) = status(server)["components"]["backends"]["components"].values()
    return found


def check_shape(part):
    assert set(part) == {"statusCode", "components", "details"}
    assert part["statusCode"] in {"pass", "warn", "fail"}
    assert isinstance(part["details"], dict)
    for inner in (part["components"] or {}).values():
        check_shape(inner)


def test_the_shape_is_machine_learning_servers(server):
    server.publish_code("shown", "1", "y = 1", "", "y:numeric")
    found = status(server)
    check_shape(found)
    assert set(found["components"]) == {"backends", "authentication", "database", "services"}
    assert list(found["components"]["backends"]["components"]) == [f"{server.url}/"]
    details = node(server)["details"]
    assert set(details) == NODE_KEYS
    assert details["rCanOpenShell"] == "False"
    assert details["rMaxPoolSize"] == 0
    assert details["logPath"] is None
    database = found["components"]["database"]["details"]
    assert (database["type"], database["name"], database["state"]) == ("sqlite", "main", "Open")
    assert "shown/1" in found["components"]["services"]["components"]
    assert str(server.data_dir) not in server.request("GET", "/status").body.decode()


@pytest.mark.slow
def test_the_numbers_are_those_of_the_kernels(start_server):
    server = start_server("--ServeApp.max_kernels=2")
    empty = node(server)["details"]
    assert empty["pythonMaxPoolSize"] == 2
    assert (empty["pythonCurrentPoolSize"], empty["pythonActiveShellCount"]) == (0, 0)
    assert empty["pythonCanOpenShell"] == "True"
    server.publish_code("slow", "1", "import time; time.sleep(x)", "x:numeric")
    eventually(lambda: node(server)["details"]["pythonCurrentPoolSize"] == 1)
    assert node(server)["details"]["pythonActiveShellCount"] == 0
    calls = [threading.Thread(target=server.call, args=("slow",), kwargs={"x": 4}) for _ in range(2)]
    for call in calls:
        call.start()
    full = eventually(lambda: (found := node(server))["details"]["pythonActiveShellCount"] == 2 and found)
    assert full["details"]["pythonCurrentPoolSize"] == 2
    assert full["details"]["pythonCanOpenShell"] == "False"
    assert full["statusCode"] == status(server)["statusCode"] == "warn"
    for call in calls:
        call.join()
    assert node(server)["details"]["pythonCanOpenShell"] == "True"
    assert status(server)["statusCode"] == "pass"


def test_a_session_is_an_active_shell_and_kept_kernels_leave_no_room(start_server):
    server = start_server("--ServeApp.max_kernels=2")
    session = server.request("POST", "/sessions", {"runtimeType": "Python"}).json()["sessionId"]
    assert node(server)["details"]["pythonActiveShellCount"] == 1
    server.publish_code("kept", "1", "y = 1", "", "y:numeric")
    assert node(server)["details"]["pythonCanOpenShell"] == "True"  # the idle kernel gives way
    assert server.request("POST", "/services/kept/1/pool", {"InitialPoolSize": 1}).status == 200
    eventually(lambda: node(server)["details"]["pythonCanOpenShell"] == "False")
    assert node(server)["statusCode"] == "warn"
    server.request("DELETE", f"/sessions/{session}")
    eventually(lambda: node(server)["details"]["pythonActiveShellCount"] == 0)
    assert node(server)["details"]["pythonCanOpenShell"] == "True"


@pytest.mark.slow
def test_a_database_that_does_not_answer_is_told(start_server):
    server = start_server()
    other = sqlite3.connect(server.data_dir / "mlops.sqlite", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        found = status(server)
        assert found["statusCode"] == "fail"
        assert found["components"]["database"]["details"]["state"] == "Broken"
    finally:
        other.close()
    assert status(server)["components"]["database"]["statusCode"] == "pass"


def test_strangers_learn_nothing(server):
    assert server.request("GET", "/status", token=None).status == 401
