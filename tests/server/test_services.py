"""The rules of services where Machine Learning Server's clients rely on them."""

import uuid

import pytest

IN = [{"name": "x", "type": "numeric"}]
OUT = [{"name": "y", "type": "numeric"}]


def publish(server, path, **body):
    given = {"code": "y = x", "inputParameterDefinitions": IN, "outputParameterDefinitions": OUT, **body}
    return server.request("POST", f"/services/{path}", given)


def shown(server, path):
    (service,) = server.request("GET", f"/services/{path}").json()
    return service


def test_an_unknown_name_has_no_versions_and_an_unknown_version_is_404(server):
    publish(server, "known/1")
    unknown = server.request("GET", "/services/unknown")
    assert (unknown.status, unknown.json()) == (200, [])
    assert server.request("GET", "/services/known/2").status == 404
    assert server.request("GET", "/services/unknown/1").status == 404


def test_a_string_is_a_character(server):
    parameters = [{"name": "s", "type": "string"}]
    body = {"code": "t = s.upper()", "inputParameterDefinitions": parameters}
    answer = publish(server, "text/1", **body, outputParameterDefinitions=[{"name": "t", "type": "string"}])
    assert answer.status == 201
    service = shown(server, "text/1")
    assert service["inputParameterDefinitions"] == [{"name": "s", "type": "character"}]
    assert service["outputParameterDefinitions"] == [{"name": "t", "type": "character"}]
    assert server.call("text", s="abc").json()["outputParameters"] == {"t": "ABC"}
    odd = publish(server, "text/2", inputParameterDefinitions=[{"name": "s", "type": "text"}])
    assert odd.status == 400
    assert odd.json()["fields"] == "$.inputParameterDefinitions[0].type"


@pytest.mark.parametrize("runtime", [{}, {"runtimeType": None}, {"runtimeType": "Python"}, {"runtimeType": "PYTHON"}])
def test_python_is_the_default_and_has_any_case(server, runtime):
    version = uuid.uuid4().hex
    assert publish(server, f"runtime/{version}", **runtime).status == 201
    assert shown(server, f"runtime/{version}")["runtimeType"] == "Python"


@pytest.mark.parametrize(
    ("runtime", "words"),
    [("R", ["R kernel", "IRkernel", "install"]), ("r", ["IRkernel"]), ("Realtime", ["/realtime-services/"]),
     ("Julia", ["'Julia'", "'Python'"]), ("", ["'Python'"])],
)  # fmt: skip
def test_other_runtimes_are_refused_with_the_way_on(server, runtime, words):
    refused = publish(server, "other/1", runtimeType=runtime)
    assert refused.status == 400
    assert refused.json()["fields"] == "$.runtimeType"
    for word in words:
        assert word in refused.json()["message"]


def test_null_is_as_good_as_left_out(server):
    keys = ("snapshotId", "description", "operationId", "inputParameterDefinitions", "outputParameterDefinitions",
            "runtimeType", "initCode", "outputFileNames")  # fmt: skip
    answer = server.request("POST", "/services/nulls/1", {"code": "print('hi')"} | dict.fromkeys(keys))
    assert answer.status == 201
    service = shown(server, "nulls/1")
    assert service["inputParameterDefinitions"] == service["outputParameterDefinitions"] == []
    assert service["description"] is None
    missing = server.request("POST", "/services/nulls/2", {"code": None})
    assert (missing.status, missing.json()["fields"]) == (400, "$.code")


def test_a_patch_keeps_what_it_leaves_out_and_needs_no_code(server):
    publish(server, "kept/1", description="old", operationId="times", initCode="k = 2", outputFileNames=["a.csv"])
    before = shown(server, "kept/1")
    # As azureml.deploy sends a change of the description.
    assert server.request("PATCH", "/services/kept/1", {"description": "new", "runtimeType": "Python"}).json() == "1"
    after = shown(server, "kept/1")
    changed = {key for key in before if before[key] != after[key]}
    assert changed == {"description", "revision", "creationTime"}
    nulls = dict.fromkeys(("code", "inputParameterDefinitions", "outputParameterDefinitions", "outputFileNames"))
    assert server.request("PATCH", "/services/kept/1", nulls).json() == "1"
    same = {key for key in after if shown(server, "kept/1")[key] != after[key]}
    assert same == {"revision", "creationTime"}
    assert server.call("kept", x=3).json()["outputParameters"] == {"y": 3.0}


@pytest.mark.parametrize("alias", ["add", "lambda", "été", "_1", "manualTransmission"])
def test_an_alias_is_any_identifier(server, alias):
    version = uuid.uuid4().hex
    assert publish(server, f"alias/{version}", operationId=alias).status == 201
    assert shown(server, f"alias/{version}")["operationId"] == alias


def test_unknown_fields_of_a_publish_are_ignored(server):
    extra = {"owner": "eve", "name": "other", "versionPublishedBy": "eve", "unknown": {"a": 1}}
    assert publish(server, "extra/1", **extra).status == 201
    service = shown(server, "extra/1")
    assert service["name"] == "extra"
    assert service["versionPublishedBy"] != "eve"


def test_the_same_version_again_is_409(server):
    assert publish(server, "twice/1").status == 201
    for body in ({}, {"code": "y = 2 * x"}):
        assert publish(server, "twice/1", **body).status == 409
    assert server.request("GET", "/services/twice").json()[0]["revision"] == 1


def test_without_a_version_a_guid_is_made(server):
    first, second = publish(server, "dev").json(), publish(server, "dev").json()
    assert first != second
    assert [service["version"] for service in server.request("GET", "/services/dev").json()] == [first, second]
    for version in (first, second):
        assert str(uuid.UUID(version)) == version


@pytest.mark.parametrize("path", ["/services", "/services/empty", "/services/empty/1", "/status", "/users", "/metrics",
                                  "/computenodes", "/services/empty/1/pool", "/sessions", "/snapshots",
                                  "/api/empty/1/swagger.json"])  # fmt: skip
def test_an_empty_json_body_with_get_is_taken(server, path):
    publish(server, "empty/1")
    for headers in ({"Content-Type": "application/json"}, {"Content-Type": "application/json", "Content-Length": "0"}):
        assert server.request("GET", path, headers=headers).status == 200


def test_an_empty_json_body_with_delete_is_taken(server):
    publish(server, "gone/1")
    headers = {"Content-Type": "application/json"}
    assert server.request("DELETE", "/services/gone/1/pool", headers=headers).status == 200
    assert server.request("DELETE", "/services/gone/1", headers=headers).status == 200
