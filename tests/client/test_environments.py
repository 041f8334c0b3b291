"""Services in an environment of their own."""

import subprocess
import sys
import zipfile
from importlib.metadata import version as version_of
from pathlib import Path

import pytest
from support import eventually

from jupyter_mlops import DeployClient
from jupyter_mlops.errors import Conflict, InvalidRequest, PublishRefused

SOURCE = """
import humanfriendly_stand_in
def where(x: float) -> str:
    import sys
    return sys.prefix + " " + humanfriendly_stand_in.VERSION
"""


def wheel(folder, version):
    """A wheel of a package that no index has."""
    name = f"humanfriendly_stand_in-{version}"
    facts = f"Metadata-Version: 2.1\nName: humanfriendly-stand-in\nVersion: {version}\n"
    kind = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    with zipfile.ZipFile(folder / f"{name}-py3-none-any.whl", "w") as archive:
        archive.writestr("humanfriendly_stand_in.py", f"VERSION = {version!r}\n")
        archive.writestr(f"{name}.dist-info/METADATA", facts)
        archive.writestr(f"{name}.dist-info/WHEEL", kind)
        # Without its own files here the distribution would not be known to own the module.
        archive.writestr(f"{name}.dist-info/RECORD", f"humanfriendly_stand_in.py,,\n{name}.dist-info/METADATA,,\n")


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    """A folder with all that a kernel needs, and two versions of a package."""
    folder = tmp_path_factory.mktemp("wheels")
    for version in ("1.0", "2.0"):
        wheel(folder, version)
    pickler = f"cloudpickle=={version_of('cloudpickle')}"
    names = ["ipykernel", "msgspec", pickler]
    needed = [sys.executable, "-m", "pip", "wheel", "--quiet", "--wheel-dir", str(folder), *names]
    if subprocess.run(needed, capture_output=True, text=True).returncode:
        pytest.skip("LOCKED ENVIRONMENTS WERE NOT TESTED: pip cannot fetch the wheels of ipykernel and msgspec here")
    return folder


@pytest.fixture
def imported(monkeypatch, tmp_path, wheels):
    """The package, installed for this process in its first version."""
    with zipfile.ZipFile(wheels / "humanfriendly_stand_in-1.0-py3-none-any.whl") as archive:
        archive.extractall(tmp_path / "site")
    monkeypatch.syspath_prepend(tmp_path / "site")
    namespace = {"__name__": "__main__"}
    exec(SOURCE, namespace)
    yield namespace["where"]
    sys.modules.pop("humanfriendly_stand_in", None)


@pytest.mark.slow
def test_a_locked_service_has_the_recorded_packages_and_nothing_else(start_server, wheels, imported):
    server = start_server(f"--ServeApp.wheels={wheels}")
    client = DeployClient(server.url, auth=server.token)
    service = client.service("locked").version("1").code_fn(imported).environment("locked").deploy()
    prefix, version = service.where(1.0).output("answer").split()
    made = server.data_dir / "environments"
    assert Path(prefix).parent == made
    assert version == "1.0"
    assert client.service("locked").version("1").code_fn(imported).environment("locked").deploy().unchanged
    assert client.service("again").version("1").code_fn(imported).environment("locked").deploy().where(1.0).success
    assert len(list(made.iterdir())) == 1
    with pytest.raises(Conflict, match="environment"):
        client.service("locked").version("1").code_fn(imported).deploy()
    client.delete_service("locked", version="1")
    assert len(list(made.iterdir())) == 1
    client.delete_service("again", version="1")
    eventually(lambda: not list(made.iterdir()))


@pytest.mark.slow
def test_what_cannot_be_had_is_told_in_uvs_words(start_server, wheels, imported, tmp_path):
    import humanfriendly_stand_in  # noqa: F401

    (tmp_path / "site" / "humanfriendly_stand_in-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: humanfriendly-stand-in\nVersion: 9.9\n"
    )
    server = start_server(f"--ServeApp.wheels={wheels}")
    client = DeployClient(server.url, auth=server.token)
    with pytest.raises(PublishRefused, match=r"humanfriendly-stand-in==9\.9"):
        client.service("missing").version("1").code_fn(imported).environment("locked").deploy()
    assert client.list_services() == []
    with pytest.raises(InvalidRequest, match="locked"):
        client.service("odd").version("1").code_fn(imported).environment("conda").deploy()
    with pytest.raises(InvalidRequest, match="record of a snapshot"):
        client.service("code").version("1").code_str("y = 1").outputs(y=float).environment("locked").deploy()


def test_what_the_scoring_python_has_otherwise_is_told(server):
    import msgspec

    from jupyter_mlops.capture import capture
    from jupyter_mlops.client.sending import send

    client = DeployClient(server.url, auth=server.token)
    namespace = {"__name__": "__main__"}
    exec("import pandas\ndef f(x: float) -> float:\n    return x + len(pandas.DataFrame())", namespace)
    captured = capture(namespace, ["f"])
    elsewhere = msgspec.structs.replace(
        captured.manifest.environment,
        executable="/elsewhere/bin/python",
        packages=captured.manifest.environment.packages | {"pandas": "0.1", "not-anywhere": "7"},
    )
    manifest = msgspec.structs.replace(captured.manifest, environment=elsewhere)
    upload = send(client.transport, _with(captured, manifest))
    body = {
        "upload": upload,
        "function": "f",
        "inputParameterDefinitions": [{"name": "x", "type": "numeric"}],
        "outputParameterDefinitions": [{"name": "answer", "type": "numeric"}],
    }
    assert server.request("POST", "/services/differs/1", body).status == 201
    (view,) = server.request("GET", "/services/differs/1").json()
    told = "\n".join(view["differences"])
    assert "pandas: captured with 0.1, " in told
    assert "not-anywhere: captured with 7, not installed here" in told


def _with(captured, manifest):
    return type(captured)(manifest, captured.blobs)
