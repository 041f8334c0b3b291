"""Every public method of the unmodified SDK against this server, directly and through Jupyter.

What the SDK does wrong by itself is expected here as it is: the numbers S1, S2, ... are in docs/migration.md.
"""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pytest
from azsdk import HttpException, Sdk, fresh, through_jupyter
from jupyter_processes import TOKEN
from onnx_models import LABELLED, LINEAR
from support import PASSWORD, eventually

from jupyter_mlops import DeployClient as OurClient

pytest_plugins = ["jupyter_fixtures"]

TYPES = [
    (int, "int", "integer", 3),
    (float, "float", "numeric", 2.5),
    (str, "str", "character", "hé"),
    (bool, "bool", "logical", True),
    (np.array, "array", "vector", np.array([1.0, 2.5])),
    (np.matrix, "matrix", "matrix", np.matrix([[1, 2], [3, 4]])),
    (pd.DataFrame, "DataFrame", "data.frame", pd.DataFrame({"a": [1, 2], "b": ["x", "y"], "c": [True, False]})),
]


def init():
    global pd, started  # noqa: PLW0603
    import pandas as pd

    started = [started_count]  # noqa: F821


def manualTransmission(hp, wt):  # noqa: N802
    started.append(1)
    print("scoring", len(started))
    answer = pd.DataFrame({"am_Pred": [cars_model["coef"][0] * hp + cars_model["coef"][1] * wt + k]})  # noqa: F821
    answer.to_csv("answer.csv")
    return answer


def better(hp, wt):
    import pandas as pd

    return pd.DataFrame({"am_Pred": [-1.0]})


def divide(x):
    print("before")
    return 1 / x


def four(a, b, cc, d):
    return a + 10 * b + 100 * cc + 1000 * d


def noargs():
    return 7


def two(x):
    return x


def scalars(x):
    import numpy as np

    return np.array([x]).argmax(axis=0) + np.float64(x)


def missing(x):
    import pandas as pd

    return pd.DataFrame({"n": [x, float("nan")], "t": pd.to_datetime(["2020-01-02", None])})


def count(x):
    global seen  # noqa: PLW0603
    seen = x
    return int("unseen" not in globals())


def transmission(client, name):
    return (
        client.service(name)
        .version("1.0")
        .code_fn(manualTransmission, init)
        .inputs(hp=float, wt=float)
        .outputs(answer=pd.DataFrame)
        .models(cars_model={"coef": [1.0, 2.0]})
        .objects(k=5, started_count=0)
        .description("My first python model")
        .artifacts(["image.png", "answer.csv"])
        .deploy()
    )


@pytest.fixture(scope="module")
def service(client):
    return transmission(client, fresh("TxService"))


def test_publish_and_consume(service):
    for _ in range(2):  # the init code runs before each call, and each finds what a fresh kernel would
        response = service.manualTransmission(120, 2.8)
        assert response.error == ""
        assert response.console_output == "scoring 2\n"
        answer = response.output("answer")
        assert isinstance(answer, pd.DataFrame)
        assert answer["am_Pred"].tolist() == [130.6]
    assert response.raw_outputs == {"answer": {"am_Pred": [130.6]}}
    assert response.outputs["answer"].equals(answer)
    assert response.api == service.capabilities()["api"]
    assert response.artifact("answer.csv", encoding="utf-8") == ",am_Pred\n0,130.6\n"
    assert response.artifact("answer.csv") == b",am_Pred\n0,130.6\n"
    assert response.artifact("answer.csv", decode=False) == response.artifacts["answer.csv"]
    assert response.artifacts["image.png"] is None
    assert response.artifact("image.png") is None
    assert "am_Pred" in str(response)
    assert service.manualTransmission(wt=2.8, hp=120).output("answer").equals(answer)


def test_a_service_tells_about_itself(service, sdk):
    capabilities = service.capabilities()
    name = capabilities["name"]
    assert set(capabilities) == {
        "api", "name", "version", "published_by", "runtime", "description", "creation_time", "snapshot_id", "inputs",
        "outputs", "inputs_encoded", "outputs_encoded", "artifacts", "operation_id", "swagger", "public-functions",
    }  # fmt: skip
    assert capabilities["api"] == f"/api/{name}/1.0"
    assert capabilities["version"] == "1.0"
    assert capabilities["published_by"]
    assert capabilities["runtime"] == "Python"
    assert capabilities["description"] == "My first python model"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6,7}", capabilities["creation_time"])
    assert capabilities["inputs"] == [{"name": "hp", "type": "numeric"}, {"name": "wt", "type": "numeric"}]
    assert capabilities["outputs"] == [{"name": "answer", "type": "data.frame"}]
    assert capabilities["inputs_encoded"] == [{"name": "hp", "type": "float"}, {"name": "wt", "type": "float"}]
    assert capabilities["outputs_encoded"] == [{"name": "answer", "type": "pandas.DataFrame"}]
    assert capabilities["artifacts"] == ["image.png", "answer.csv"]
    assert capabilities["operation_id"] == "manualTransmission"
    assert capabilities["swagger"] == f"{sdk.url}/api/{name}/1.0/swagger.json"
    assert type(service).__name__ == f"{name.title()}Service"
    assert "My first python model" in service.manualTransmission.__doc__
    assert name in str(service)
    swagger = json.loads(service.swagger())
    assert (swagger["swagger"], swagger["info"]["title"], swagger["info"]["version"]) == ("2.0", name, "1.0")
    assert swagger["paths"][f"/api/{name}/1.0"]["post"]["operationId"] == "manualTransmission"


@pytest.mark.parametrize(("kind", "text", "wire", "value"), TYPES, ids=[one[1] for one in TYPES])
def test_the_seven_types_in_and_out(kind, text, wire, value, client):
    name = fresh("type")
    service = client.service(name).version("1").code_str("o = x").inputs(x=kind).outputs(o=text).deploy()
    (listed,) = client.list_services(name, version="1")
    assert listed["inputParameterDefinitions"] == [{"name": "x", "type": wire}]
    assert listed["outputParameterDefinitions"] == [{"name": "o", "type": wire}]
    response = service.consume(value)
    assert response.error == ""
    back = response.output("o")
    assert type(back) is type(value)
    if wire == "data.frame":
        assert back.equals(value)
    else:
        assert np.array_equal(back, value)
    nothing = service.consume(None)
    assert (nothing.error, nothing.output("o"), nothing.raw_outputs) == ("", None, {"o": None})


def test_both_clients_say_the_same_of_a_service(client, server):
    name = fresh("both")
    kinds = {wire.replace(".", "_"): kind for kind, _, wire, _ in TYPES}
    old = client.deploy_service(name, version="1", code_str="pass", inputs=kinds, outputs=kinds).capabilities()
    with OurClient(server.url, auth=server.token) as ours:
        new = ours.get_service(name, "1").capabilities()
    assert set(new) == set(old)
    for key in set(old) - {"public-functions", "swagger", "published_by", "snapshot_id"}:
        assert new[key] == old[key], key


def test_what_functions_return_is_made_to_fit(client):
    service = client.deploy_service(fresh("scalars"), version="1", code_fn=scalars, inputs={"x": int},
                                    outputs={"o": int})  # fmt: skip
    assert service.scalars(np.int64(4)).output("o") == 4
    service = client.deploy_service(fresh("missing"), version="1", code_fn=missing, inputs={"x": float},
                                    outputs={"o": pd.DataFrame})  # fmt: skip
    assert service.missing(1.5).raw_outputs["o"] == {"n": [1.5, None], "t": ["2020-01-02T00:00:00", None]}


def test_code_with_several_outputs(client):
    service = (
        client.service(fresh("coded"))
        .version("v1.0.0-alpha")
        .code_str("y = x * k\nz = str(y)\nw = math.pi", "import math")
        .inputs(x=int)
        .outputs(y=int, z=str, w=float)
        .objects(k=3)
        .deploy()
    )
    assert service.consume(2).outputs == {"y": 6, "z": "6", "w": 3.141592653589793}


def test_of_a_function_only_the_first_output_is_assigned(client):
    service = client.deploy_service(
        fresh("two"), version="1", code_fn=two, inputs={"x": float}, outputs={"a": float, "b": float}
    )
    response = service.two(1)
    assert (response.error, response.outputs) == ("", {"a": 1.0, "b": None})


def test_inputs_many_and_none(client):
    service = client.deploy_service(fresh("four"), version="1", code_fn=four, outputs={"o": float},
                                    inputs=dict.fromkeys(("a", "b", "cc", "d"), float))  # fmt: skip
    assert service.four(1, 2, 3, 4).output("o") == service.four(d=4, cc=3, b=2, a=1).output("o") == 4321
    service = client.deploy_service(fresh("noargs"), version="1", code_fn=noargs, outputs={"o": int}, alias="give")
    assert service.give().output("o") == 7


def test_calls_know_nothing_of_one_another(client):
    service = client.deploy_service(fresh("count"), version="1", code_fn=count, inputs={"x": int}, outputs={"o": int})
    assert [service.count(n).error for n in range(3)] == [""] * 3
    reader = client.service(service.capabilities()["name"]).version("2").code_str("o = 'seen' in globals()")
    assert reader.outputs(o=bool).deploy().consume().output("o") is False


def test_a_function_that_raises_is_an_answer(client):
    service = client.deploy_service(
        fresh("divide"), version="1", code_fn=divide, inputs={"x": float}, outputs={"o": float}
    )
    response = service.divide(0)
    assert "ZeroDivisionError" in response.error
    assert response.console_output == "before\n"
    assert response.outputs == {"o": None}
    assert service.divide(2).output("o") == 0.5


def test_versions_lists_and_deletes(client):
    name = fresh("versions")
    for version in ("1.0", "2.0", "1.5"):
        client.deploy_service(name, version=version, code_str=f"v = {version!r}", outputs={"v": str})
    listed = client.list_services(name)
    assert [one["version"] for one in listed] == ["1.0", "2.0", "1.5"]
    for one in listed:
        assert set(one) >= {
            "name", "version", "versionPublishedBy", "creationTime", "snapshotId", "runtimeType", "initCode", "code",
            "description", "operationId", "inputParameterDefinitions", "outputParameterDefinitions",
            "outputFileNames", "myPermissionOnService",
        }  # fmt: skip
        assert one["myPermissionOnService"] == "read/write"
    assert {name} <= {one["name"] for one in client.list_services()}
    assert [one["version"] for one in client.list_services(name, version="2.0")] == ["2.0"]
    assert client.get_service(name).consume().output("v") == "1.5"
    assert client.get_service(name, version="2.0").consume().output("v") == "2.0"
    assert client.delete_service(name, version="1.5") is True
    assert client.get_service(name).capabilities()["version"] == "2.0"
    with pytest.raises(HttpException) as caught:
        client.get_service(name, version="1.5")
    assert caught.value.status == 404
    with pytest.raises(HttpException) as caught:
        client.delete_service(name, version="1.5")
    assert caught.value.status == 404
    with pytest.raises(ValueError, match="Missing the required parameter `version`"):
        client.delete_service(name)
    with pytest.raises(ValueError, match="No service found for never"):
        client.get_service(fresh("never"))


def test_without_a_version_it_is_a_guid(client):
    name = fresh("unversioned")
    first = client.deploy_service(name, code_str="y = 1", outputs={"y": int})
    second = client.deploy_service(name, code_str="y = 1", outputs={"y": int})
    versions = [one.capabilities()["version"] for one in (first, second)]
    assert all(re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", version) for version in versions)
    assert versions[0] != versions[1]
    assert client.get_service(name).capabilities()["version"] == versions[1]


def test_a_version_that_is_taken(client, service):
    name = service.capabilities()["name"]
    with pytest.raises(HttpException) as caught:
        transmission(client, name)
    error = caught.value
    assert (error.status, error.reason) == (409, "Conflict")
    body = json.loads(error.body)
    assert set(body) >= {"message", "link", "exceptionType", "code", "fields"}
    assert name in body["message"]
    assert error.headers["Content-Type"].startswith("application/json")
    assert "(409)" in str(error)


def test_redeploy_changes_what_it_names_and_keeps_the_models(client):
    name = fresh("again")
    transmission(client, name)
    changed = client.service(name).version("1.0").description("new").redeploy()
    assert changed.capabilities()["description"] == "new"
    assert changed.manualTransmission(120, 2.8).output("answer")["am_Pred"].tolist() == [130.6]
    changed = client.service(name).version("1.0").models(cars_model={"coef": [0.0, 0.0]}).objects(
        k=1, started_count=0).redeploy()  # fmt: skip
    assert changed.manualTransmission(120, 2.8).output("answer")["am_Pred"].tolist() == [1.0]
    changed = client.redeploy_service(
        name, version="1.0", code_fn=better, inputs={"hp": float, "wt": float}, outputs={"answer": pd.DataFrame},
        artifacts=[],
    )  # fmt: skip
    assert changed.better(1, 2).output("answer")["am_Pred"].tolist() == [-1.0]
    assert changed.better(1, 2).artifacts == {}
    with pytest.raises(HttpException) as caught:
        client.service(name).version("9").description("x").redeploy()
    assert caught.value.status == 404
    with pytest.raises(ValueError, match="Attempt to patch latest service version failed"):  # S7
        client.service(name).description("x").redeploy()


def test_refusals_before_anything_is_sent(client, service):
    with pytest.raises(ValueError, match="Invalid `input`"):
        service.manualTransmission("seven", 1)
    with pytest.raises(ValueError, match='Invalid `encoding` type "set" for "x"'):
        client.service(fresh("no")).version("1").code_str("").inputs(x="set").deploy()


def test_nothing_is_left_behind(client, sdk):
    with pytest.raises(ValueError, match="Input x not a code argument"):
        client.deploy_service(fresh("no"), version="1", code_fn=two, inputs={"y": float})  # S16
    with pytest.raises(HttpException) as caught:
        client.deploy_service(fresh("no"), version="latest", code_str="y = 1")
    assert caught.value.status == 400
    assert eventually(lambda: sdk.ask(client, "/sessions") == [])
    assert sdk.ask(client, "/snapshots") == []


def test_realtime_services(client, sdk):
    name, rows = fresh("LinMod"), pd.DataFrame({"a": [1.0, 2.0], "b": [0.0, 1.0]})
    service = (
        client.realtime_service(name).version("1.0").serialized_model(LINEAR).description("rt").alias("score").deploy()
    )
    assert service.score(rows).output("outputData")["prediction"].tolist() == [3.0, 4.0]
    assert service.swagger()
    again = client.get_service(name, version="1.0")
    assert again.score(rows).output("outputData")["prediction"].tolist() == [3.0, 4.0]
    changed = client.realtime_service(name).version("1.0").serialized_model(LABELLED).alias("score").redeploy()
    answer = changed.score(pd.DataFrame({"a": [1.0], "b": ["y"]}))
    assert answer.output("outputData")["y"].tolist() == [4.0]
    (shown,) = sdk.ask(client, f"/services/{name}/1.0")
    assert (shown["runtimeType"], shown["description"]) == ("Realtime", "rt")
    unversioned = client.deploy_realtime(fresh("LinMod"), serialized_model=LINEAR)
    assert unversioned.consume(rows).output("outputData")["prediction"].tolist() == [3.0, 4.0]
    assert client.delete_service(name, version="1.0")


def test_what_is_no_model_is_refused_with_the_way_on(client):
    with pytest.raises(HttpException) as caught:
        client.realtime_service(fresh("LinMod")).version("1.0").serialized_model(b"blob1").description("rt").deploy()
    assert caught.value.status == 422
    assert "revoscalepy" in json.loads(caught.value.body)["message"]
    with pytest.raises(HttpException) as caught:
        client.redeploy_realtime(fresh("LinMod"), version="1.0", serialized_model=b"blob2")
    assert caught.value.status == 404
    with pytest.raises(ValueError, match="rx_serialize_model"):
        client.deploy_realtime(fresh("LinMod"), version="1.0", serialized_model=b"pickle")


def test_every_credential_leads_in(server, jupyter, request):
    for through, auth in (
        (Sdk(server.url, None), server.token),
        (through_jupyter(request), ("admin", PASSWORD)),
        (through_jupyter(request), TOKEN),
    ):
        client, name = through.connect(auth), fresh("way")
        service = client.deploy_service(name, version="1", code_fn=two, inputs={"x": int}, outputs={"y": int})
        assert service.two(3).output("y") == 3
        assert client.delete_service(name, version="1")
        through.close()


def test_wrong_credentials(sdk):
    for auth in (("admin", "wrong"), ("nobody", "wrong")):
        with pytest.raises(HttpException) as caught:
            sdk.connect(auth)
        assert caught.value.status == 401
    for auth in (None, "not.a.token", "nonsense"):
        stranger = sdk.connect(auth)
        with pytest.raises(HttpException) as caught:
            stranger.list_services()
        assert caught.value.status == (403 if "mlops" in sdk.url else 401)  # Jupyter's own answer
