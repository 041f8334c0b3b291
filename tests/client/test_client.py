"""The client against a real server: publish, find, call, delete, as with azureml.deploy."""

from __future__ import annotations

import datetime as dt
import inspect
import json
import socket

import numpy as np
import pandas as pd
import pytest
from support import PASSWORD

from jupyter_mlops import DeployClient
from jupyter_mlops.client.connect import connect
from jupyter_mlops.client.transport import Address, Transport
from jupyter_mlops.errors import (
    CaptureError,
    Conflict,
    InvalidInput,
    InvalidRequest,
    NotAuthenticated,
    NotFound,
    PublishRefused,
    ServerUnreachable,
)

rate = 2.0


def helper(x):
    return x * rate


def double(x: float) -> float:
    """Double a number."""
    return helper(x)


def shout(text: str, times: int) -> str:
    return text.upper() * times


@pytest.fixture
def client(server):
    with DeployClient(server.url, auth=server.token) as client:
        yield client


def test_a_function_goes_along_with_what_it_reaches(client):
    service = (
        client.service("TxService")
        .version("1.0")
        .description("Doubles")
        .code_fn(double)
        .inputs(x=float)
        .outputs(answer=float)
        .deploy()
    )
    response = service.double(21)
    assert response.output("answer") == 42.0
    assert response.outputs == response.raw_outputs == {"answer": 42.0}
    assert (response.success, response.error, response.console_output, response.api) == (True, "", "", "double")
    assert response.artifacts == {}
    assert type(service).__name__ == "TxserviceService"


def test_hints_do_instead_of_declarations(client):
    service = client.deploy_service("hinted", version="1", code_fn=shout)
    assert service.shout("ab", 2).output("answer") == "ABAB"
    assert service.shout(text="ab", times=1).output("answer") == "AB"
    assert service.shout({"times": 3, "text": "x"}).output("answer") == "XXX"
    assert service("a", 1).output("answer") == "A"


def test_code_with_models_and_objects_and_init_once(client):
    service = (
        client.service("coded")
        .version("1.0")
        .code_str("answer = float(model[0] * x + offset)\nseen = counter", init="counter = 0\ncounter += 1")
        .inputs(x=float)
        .outputs(answer=float, seen=int)
        .models(model=np.array([3.0]))
        .objects(offset=1)
        .deploy()
    )
    assert service.alias == "consume"
    for _ in range(2):
        assert service.consume(2).outputs == {"answer": 7.0, "seen": 1}


def test_objects_given_along_take_the_place_of_globals(client):
    service = client.deploy_service("with-objects", version="1", code_fn=double, objects={"rate": 10.0})
    assert service.double(1).output("answer") == 10.0
    assert rate == 2.0


def test_init_runs_once_per_kernel(client):
    def init():
        global started  # noqa: PLW0603
        started = [1]

    def count(x: int) -> int:
        started.append(x)
        return len(started)

    service = client.service("with-init").version("1").code_fn(count, init).deploy()
    assert [service.count(1).output("answer") for _ in range(2)] == [2, 3]


SENT = {
    "i": 3, "n": 2.5, "s": "ü", "b": True, "v": [1.0, 2.0], "m": np.eye(2), "d": pd.DataFrame({"a": [1, 2]}),
    "t": dt.datetime(2020, 1, 2, 3, 4),
}  # fmt: skip


def test_all_types_both_ways(client):
    def every(
        *, i: int, n: float, s: str, b: bool, v: np.ndarray, m: np.matrix, d: pd.DataFrame, t: dt.datetime
    ) -> None:
        return i, n, s, b, v, m, d, t

    kinds = {
        "i": int,
        "n": float,
        "s": str,
        "b": bool,
        "v": np.array,
        "m": np.matrix,
        "d": pd.DataFrame,
        "t": "datetime",
    }
    service = client.service("every").version("1").code_fn(every).outputs(**kinds).deploy()
    outputs = service.every(**SENT).outputs
    assert {name: type(value) for name, value in outputs.items()} == {
        "i": int, "n": float, "s": str, "b": bool, "v": np.ndarray, "m": np.matrix, "d": pd.DataFrame, "t": dt.datetime,
    }  # fmt: skip
    assert outputs["t"] == SENT["t"]
    assert outputs["d"].equals(SENT["d"])
    assert service.every(*[None] * 8).outputs == dict.fromkeys(kinds)


def test_artifacts_console_and_changed_files(client):
    def write(x: int) -> int:
        print("writing", x)
        with open("answer.csv", "w") as file:
            file.write("ä")
        return x

    service = (
        client.service("files").version("1").code_fn(write).artifacts(["answer.csv"]).artifact("none.png").deploy()
    )
    response = service.write(1)
    assert response.console_output == "writing 1\n"
    assert response.artifact("answer.csv") == "ä".encode()
    assert response.artifact("answer.csv", encoding="utf-8") == "ä"
    assert response.artifact("answer.csv", decode=False) == response.artifacts["answer.csv"] == "w6Q="
    assert response.artifact("none.png") is None
    assert response.changed_files == ["answer.csv"]
    with pytest.raises(NotFound, match=r"no artifact 'other'; there are answer\.csv, none\.png"):
        response.artifact("other")
    with pytest.raises(NotFound, match="no output 'other'; there are answer"):
        response.output("other")


def test_a_function_that_raises_does_not_raise_here(client):
    service = client.deploy_service("raises", version="1", code_fn=double)
    service = client.deploy_service(
        "divides", version="1", code_fn=lambda x: 1 / x, inputs={"x": float}, outputs={"y": float}
    )
    response = service.consume(0)
    assert not response.success
    assert "ZeroDivisionError" in response.error
    assert "1 / x" in response.error
    assert response.outputs == {"y": None}
    assert "failed" in repr(response)


def test_bad_values_are_refused_before_anything_is_sent(client):
    service = client.deploy_service("checked", version="1", code_fn=shout)
    service._transport.address = Address(url="http://127.0.0.1:9")
    for arguments, message in [
        (("a", "x"), "Invalid `input` times: expected a value for type integer"),
        (("a",), "'times' is missing"),
        (("a", 1, 2), "3 values for 2 inputs"),
    ]:
        with pytest.raises(ValueError, match=message) as caught:
            service.shout(*arguments)
        assert isinstance(caught.value, InvalidInput)
    with pytest.raises(InvalidInput, match="there is no 'no'"):
        service.shout("a", 1, no=2)
    with pytest.raises(InvalidInput, match="'text' is given twice"):
        service.shout("a", text="b", times=1)
    with pytest.raises(ServerUnreachable, match=r"no server answers at http://127\.0\.0\.1:9.*jupyter mlops serve"):
        service.shout("a", 1)


def test_the_consume_function_tells_about_itself(client):
    service = client.deploy_service("told", version="1", code_fn=shout, description="Shouts", artifacts=["a.csv"])
    assert str(inspect.signature(service.shout)) == "(text: 'str', times: 'int')"
    assert "Shouts" in service.shout.__doc__
    assert ":param times: int" in service.shout.__doc__
    assert repr(service) == f"<Service told 1: shout(text: str, times: int) -> answer: str at {service.url}>"
    assert "shout" in dir(service)


def test_an_alias_never_hides_the_services_own(client):
    for alias, found in [("swagger", "swagger_"), ("name", "name_"), ("class", "class_"), ("go", "go")]:
        service = client.deploy_service(f"alias-{alias}", version="1", code_fn=double, alias=alias)
        assert getattr(service, found)(1).output("answer") == 2.0
        assert json.loads(service.swagger())["swagger"] == "2.0"
        assert service.name == f"alias-{alias}"


def test_capabilities_have_the_old_keys(client):
    service = client.deploy_service("capable", version="1.0", code_fn=double)
    capabilities = service.capabilities()
    assert list(capabilities) == [
        "api", "name", "version", "published_by", "runtime", "description", "creation_time", "snapshot_id", "inputs",
        "outputs", "inputs_encoded", "outputs_encoded", "artifacts", "operation_id", "swagger", "public-functions",
    ]  # fmt: skip
    assert capabilities["api"] == "/api/capable/1.0"
    assert capabilities["inputs"] == [{"name": "x", "type": "numeric"}]
    assert capabilities["inputs_encoded"] == [{"name": "x", "type": "float"}]
    assert capabilities["operation_id"] == "double"
    assert capabilities["swagger"].endswith("/api/capable/1.0/swagger.json")


def test_names_that_are_no_identifiers_go_through_a_dict(client):
    def flower(**measures) -> float:
        return measures["petal.length"] * measures["petal width (cm)"]

    types = {"petal.length": float, "petal width (cm)": float}
    service = client.service("flower").version("1").code_fn(flower).inputs(**types).deploy()
    assert service.flower({"petal width (cm)": 2, "petal.length": 3}).output("answer") == 6.0
    assert service.flower(3, 2).output("answer") == 6.0


def test_find_list_and_delete(client):
    for version in ("1.0", "2.0"):
        client.deploy_service("found", version=version, code_fn=double)
    assert [one["version"] for one in client.list_services("found")] == ["1.0", "2.0"]
    assert client.list_services("found", "1.0")[0]["operationId"] == "double"
    assert {"found"} <= {one["name"] for one in client.list_services()}
    assert client.get_service("found").version == "2.0"
    assert client.get_service("found", version="1.0").double(4).output("answer") == 8.0
    with pytest.raises(InvalidRequest, match="say which version"):
        client.delete_service("found")
    assert client.delete_service("found", version="2.0") is True
    assert client.get_service("found").version == "1.0"
    with pytest.raises(NotFound):
        client.get_service("found", "2.0")
    with pytest.raises(NotFound):
        client.get_service("never-there")


def test_without_a_version_the_numbers_count(client):
    first = client.deploy_service("numbers", code_fn=double)
    same = client.deploy_service("numbers", code_fn=double)
    second = client.deploy_service("numbers", code_fn=shout)
    assert [first.version, same.version, second.version] == ["1", "1", "2"]
    assert [first.unchanged, same.unchanged, second.unchanged] == [False, True, False]


def test_a_version_that_exists_is_told_apart(client):
    client.deploy_service("taken", version="1.0", code_fn=double)
    assert client.deploy_service("taken", version="1.0", code_fn=double).unchanged
    with pytest.raises(Conflict, match=r"taken.*1\.0"):
        client.deploy_service("taken", version="1.0", code_fn=shout)


def test_redeploy_changes_what_is_given(client):
    client.deploy_service("again", version="1.0", code_fn=double, description="one")
    service = client.service("again").version("1.0").description("two").redeploy()
    assert service.view.description == "two"
    assert service.double(2).output("answer") == 4.0
    service = client.redeploy_service("again", code_fn=shout)
    assert (service.version, service.view.description) == ("1.0", "two")
    assert service.shout("a", 2).output("answer") == "AA"


def test_refusals_before_anything_is_sent(client):
    with pytest.raises(ValueError, match='Invalid encoding type "set" for "x"'):
        client.service("bad").code_fn(double).inputs(x=set).deploy()
    with pytest.raises(ValueError, match="Input 'b' is not a code argument"):
        client.service("bad").code_fn(double).inputs(b=float).deploy()
    with pytest.raises(InvalidRequest, match="needs code"):
        client.service("bad").deploy()
    with pytest.raises(InvalidRequest, match="name 'a/b' is not allowed"):
        client.service("a/b").code_fn(double).deploy()
    with pytest.raises(InvalidRequest, match="there is no option 'versoin'"):
        client.deploy_service("bad", versoin="1")
    with pytest.raises(CaptureError, match="rate: generator objects cannot be pickled"):
        client.deploy_service("bad", code_fn=double, objects={"rate": (n for n in [])})
    assert "bad" not in {one["name"] for one in client.list_services()}


def test_what_does_not_load_is_one_message_and_leaves_nothing(client, server):
    def broken(x: float) -> float:
        return x

    def init():
        raise RuntimeError("no disk")

    blobs = sorted(path.name for path in server.data_dir.rglob("*") if path.is_file() and len(path.name) == 64)
    with pytest.raises(PublishRefused, match="no disk"):
        client.service("broken").version("1").code_fn(broken, init).objects(
            big=np.random.default_rng(7).random(20_000)
        ).deploy()
    with pytest.raises(NotFound):
        client.get_service("broken")
    after = sorted(path.name for path in server.data_dir.rglob("*") if path.is_file() and len(path.name) == 64)
    assert after == blobs


def test_logging_in_and_being_let_in_again(server):
    with DeployClient(server.url, auth=("admin", PASSWORD), use="MLServer") as client:
        assert isinstance(client.list_services(), list)
        client.transport.address = Address(url=server.url, token="expired")
        assert isinstance(client.list_services(), list)
    with pytest.raises(NotAuthenticated):
        DeployClient(server.url, auth=("admin", "wrong"))
    with pytest.raises(NotAuthenticated):
        DeployClient(server.url, auth="no token").list_services()
    with pytest.raises(InvalidRequest, match="auth is"):
        DeployClient(server.url, auth={"tenant": "x"})


def test_the_environment_says_where(server, monkeypatch):
    monkeypatch.setenv("JUPYTER_MLOPS_URL", server.url.removeprefix("http://") + "/")
    monkeypatch.setenv("JUPYTER_MLOPS_TOKEN", server.token)
    with DeployClient() as client:
        assert client.transport.url == server.url
        assert isinstance(client.list_services(), list)


def test_the_data_directory_says_where_and_a_server_that_moved_is_found_again(server, monkeypatch):
    monkeypatch.setenv("JUPYTER_MLOPS_DATA_DIR", str(server.data_dir))
    monkeypatch.delenv("JUPYTER_MLOPS_URL", raising=False)
    transport = connect()
    assert transport.address == Address(url=server.url, token=server.token)
    transport.address = Address(url="http://127.0.0.1:9", token="old")
    assert transport.json("GET", "/services") is not None
    assert transport.url == server.url
    transport.close()
    explicit = connect(server.url)
    assert explicit.address.token == server.token
    explicit.close()


def test_something_else_that_answers_is_told_from_a_server():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        import threading

        def answer():
            for _ in range(2):
                connection, _ = listener.accept()
                with connection:
                    connection.recv(10_000)
                    connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\nConnection: close\r\n\r\nnope")

        thread = threading.Thread(target=answer)
        thread.start()
        transport = Transport(Address(url=f"http://127.0.0.1:{listener.getsockname()[1]}"))
        with pytest.raises(NotFound, match="not in the way of a jupyter_mlops server"):
            transport.json("GET", "/services")
        with pytest.raises(NotFound):
            transport.json("POST", "/services", {})
        thread.join()
        transport.close()


def test_a_call_whose_connection_breaks_is_not_sent_again():
    asked = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        import threading

        listener.settimeout(2)

        def answer():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    asked.append(connection.recv(10_000).split(b" ", 1)[0])

        thread = threading.Thread(target=answer)
        thread.start()
        transport = Transport(Address(url=f"http://127.0.0.1:{listener.getsockname()[1]}"))
        with pytest.raises(ServerUnreachable, match="broke before the answer came"):
            transport.json("POST", "/api/x", {})
        assert asked == [b"POST"]
        with pytest.raises(ServerUnreachable):
            transport.json("GET", "/services")
        assert asked == [b"POST", b"GET", b"GET", b"GET"]
        thread.join()
        transport.close()


def test_the_client_needs_no_ipython(server):
    import subprocess
    import sys

    code = (
        "import sys; from jupyter_mlops import DeployClient\n"
        "def f(x: float) -> float: return x + 1\n"
        f"s = DeployClient({server.url!r}, auth={server.token!r}).deploy_service('plain', version='1', code_fn=f)\n"
        "assert s.f(1).output('answer') == 2.0\n"
        "assert 'IPython' not in sys.modules and 'jupyter_mlops.notebook' not in sys.modules, 'IPython'"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_a_sample_from_python(client):
    service = client.service("sampled").version("1").code_fn(lambda x, y: {"z": x * y}).sample(2, 3.0).deploy()
    assert service.view.proof == "answered"
    assert [one.type.value for one in service.view.input_parameter_definitions] == ["integer", "numeric"]
    assert service(2, 4).outputs == {"z": 8.0}
    with pytest.raises(PublishRefused, match="ZeroDivisionError"):
        client.service("sampled").code_fn(lambda x: 1 / x).inputs(x=float).outputs(z=float).sample(0).deploy()
    coded = client.service("sampled-code").version("1").code_str("z = x + y").inputs(x=float, y=float)
    with pytest.raises(PublishRefused, match="ZeroDivisionError"):
        client.service("sampled-code").version("0").code_str("z = 1 / x").inputs(x=float).sample({"x": 0}).deploy()
    assert coded.outputs(z=float).sample((1, 2)).deploy().view.proof == "answered"
    with pytest.raises(InvalidRequest, match="declared inputs"):
        client.service("sampled-code").code_str("z = 1").sample(1).deploy()
