"""Looking back at a service from Python: revisions, failures, and what it was."""

import platform
import re
import traceback

import msgspec
import pytest

from jupyter_mlops import DeployClient
from jupyter_mlops.client.history import Difference
from jupyter_mlops.errors import CodeRaised, Conflict, KernelDied, NotFound, PublishRefused

SOURCE = """
import numpy as np
weights = np.arange(20000.0)
offset = 1.0
def helper(x):
    if x < 0:
        raise ValueError(f"no {x}")
    return x + offset
def score(x: float) -> float:
    return helper(x) + weights.sum()
"""


def notebook(source):
    """Globals as of a notebook whose cell was run."""
    import linecache

    name = f"<ipython-input-{abs(hash(source))}>"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    namespace = {"__name__": "__main__"}
    exec(compile(source, name, "exec"), namespace)
    return namespace


@pytest.fixture
def client(server):
    return DeployClient(server.url, auth=server.token)


@pytest.fixture
def service(client, request):
    name = request.node.name.replace("[", "-").replace("]", "")[:60]
    return client.service(name).version("1").code_fn(notebook(SOURCE)["score"]).deploy()


def change(client, service, source):
    return client.service(service.name).version("1").code_fn(notebook(source)["score"]).redeploy()


def test_revisions_are_told_apart_and_gone_back_to(client, service):
    total = sum(range(20000))
    changed = change(client, service, SOURCE.replace("offset = 1.0", "offset = 5.0").replace("+ weights", "- weights"))
    assert changed.score(1).output("answer") == 6 - total
    first, second = changed.revisions()
    assert (first.number, first.current, second.current) == (1, False, True)
    difference = changed.diff(1)
    assert isinstance(difference, Difference)
    assert "-    return helper(x) + weights.sum()" in difference
    assert "~ offset (float" in difference
    assert "weights" not in [line.split()[1] for line in difference.splitlines() if line.startswith("~")]
    back = changed.rollback(1)
    assert back.score(1).output("answer") == 2 + total
    assert [one.current for one in back.revisions()] == [True, False]
    with pytest.raises(NotFound, match="has no revision 9; it has 1, 2"):
        back.rollback(9)
    with pytest.raises(NotFound, match="has no revision 9"):
        back.diff(9)


def test_an_opened_service_works_in_its_new_namespace(service):
    namespace = {"mine": 1}
    opened = service.open(namespace)
    assert (
        opened.code == SOURCE.partition("def score")[1] + SOURCE.partition("def score")[2].rstrip("\n") or opened.code
    )
    assert namespace["score"](2.0) == 3.0 + sum(range(20000))
    namespace["offset"] = 10.0
    assert namespace["score"](2.0) == 12.0 + sum(range(20000))
    assert namespace["mine"] == 1
    with pytest.raises(Conflict, match="offset"):
        service.open(namespace)
    service.open(namespace, overwrite=True)
    assert namespace["offset"] == 1.0


def test_an_older_revision_can_be_opened(client, service):
    change(client, service, SOURCE.replace("offset = 1.0", "offset = 5.0"))
    assert service.open({}, revision=1).namespace["offset"] == 1.0
    assert service.open({}).namespace["offset"] == 5.0
    with pytest.raises(NotFound, match="no revision 3"):
        service.open({}, revision=3)


def test_a_failed_call_is_repeated_at_its_own_line(service):
    response = service.score(-2.0)
    assert not response.success
    opened = wait_for(service.debug)
    assert opened.inputs == {"x": -2.0}
    assert "no -2.0" in repr(opened)
    with pytest.raises(ValueError, match=r"no -2\.0") as caught:
        opened.run()
    lines = [frame.line for frame in traceback.extract_tb(caught.tb)]
    assert lines[-2:] == ["return helper(x) + weights.sum()", 'raise ValueError(f"no {x}")']
    (failure,) = service.failures()
    assert failure.error == "ValueError: no -2.0"
    assert service.debug(failure.id).inputs == {"x": -2.0}
    with pytest.raises(NotFound, match="nosuch"):
        service.debug("nosuch")


def test_a_failed_call_of_code_is_repeated_too(client):
    definition = client.service("coded").version("1").code_str("y = 1 / x").inputs(x=float).outputs(y=float)
    service = definition.deploy()
    service.consume(0.0)
    opened = wait_for(service.debug)
    with pytest.raises(ZeroDivisionError):
        opened.run()
    opened.namespace["x"] = 2.0
    assert opened.run() == {"y": 0.5}


def test_without_failures_there_is_nothing_to_repeat(service):
    assert service.failures() == []
    with pytest.raises(NotFound, match="no failed call"):
        service.debug()


def test_code_of_another_python_is_refused_in_words(service, monkeypatch):
    monkeypatch.setattr(platform, "python_version", lambda: "3.99.0")
    namespace = {}
    with pytest.raises(Conflict, match=r"needs Python 3\.\d+\.\d+, and this is Python 3\.99\.0: it holds functions"):
        service.open(namespace)
    assert namespace == {}


def test_what_differs_here_is_told(client, monkeypatch):
    from jupyter_mlops.environments import environment

    def forged(*args, **kwargs):
        return msgspec.structs.replace(environment(*args, **kwargs), packages={"numpy": "1.0", "gone-from-here": "7"})

    same = client.service("same").code_fn(notebook(SOURCE)["score"]).deploy()
    assert not same.open({}).differences
    monkeypatch.setattr("jupyter_mlops.capture.snapshot.environment", forged)
    service = client.service("differing").code_fn(notebook(SOURCE)["score"]).deploy()
    opened = service.open({})
    for text in (opened.differences, repr(opened)):
        assert re.search(r"numpy +1\.0 +\d\S+ +pip install numpy==1\.0", text)
        assert "gone-from-here" in text
        assert "not installed" in text


def test_a_failed_call_names_its_id_and_how_to_repeat_it(client, server, service):
    response = service.score(-2.0)
    assert response.error.rstrip().endswith("ValueError: no -2.0"), "what Machine Learning Server answers, and no more"
    hint = f'service.debug("{response.request_id}") repeats it here'
    assert hint in repr(response)
    with pytest.raises(CodeRaised, match=re.escape(hint)):
        response.raise_for_error()
    assert service.debug(response.request_id).inputs == {"x": -2.0}
    assert service.score(1.0).request_id != response.request_id
    headers = {"X-Correlation-Id": "of-a-caller"}
    server.request("POST", f"/api/{service.name}/1", {"x": -3.0}, headers=headers)
    assert service.debug("of-a-caller").inputs == {"x": -3.0}


def test_a_call_whose_kernel_died_can_be_repeated_too(client):
    source = "import os\ndef end(x: float) -> float:\n    if x < 0:\n        os._exit(3)\n    return x\n"
    service = client.service("dying").code_fn(notebook(source)["end"]).deploy()
    with pytest.raises(KernelDied, match=r'service\.debug\("(\w+)"\)') as caught:
        service.end(-1.0)
    identifier = re.search(r'debug\("(\w+)"\)', str(caught.value))[1]
    assert service.debug(identifier).inputs == {"x": -1.0}


def test_an_async_call_and_one_of_columns_are_repeated(client):
    source = """
async def slow(x: float) -> float:
    return helper(x)
def helper(x):
    return 1 / x
def many(x, y):
    return [1 / float(one) for one in x]
"""
    names = notebook(source)
    service = client.service("slow").code_fn(names["slow"]).deploy()
    opened = service.debug(service.slow(0.0).request_id)
    with pytest.raises(ZeroDivisionError):
        opened.run()
    opened.inputs["x"] = 2.0
    assert opened.run() == 0.5
    columns = client.service("many").code_fn(names["many"]).inputs(x=float, y=float).outputs(answer=float)
    service = columns.batchable().sample([{"x": 1.0, "y": 2.0}, {"x": 2.0, "y": 3.0}]).deploy()
    for failed in (service.many(0.0, 1.0), service.many([1.0, 0.0], [1.0, 2.0])):
        opened = service.debug(failed.request_id)
        assert list(opened.inputs) == ["x", "y"]
        with pytest.raises(ZeroDivisionError):
            opened.run()


def test_going_back_to_what_does_not_load_any_more_leaves_what_works(client, server, service):
    change(client, service, SOURCE.replace("arange(20000.0)", "arange(30000.0)"))
    blobs = [p for p in (server.data_dir / "blobs").rglob("*") if p.is_file() and p.stat().st_size == 160_000]
    content = bytearray(blobs[0].read_bytes())
    blobs[0].write_bytes(bytes([content[0] ^ 1]) + content[1:])
    with pytest.raises((Conflict, PublishRefused), match="damaged"):
        service.rollback(1)
    assert service.score(1).output("answer") == 2 + sum(range(30000))
    blobs[0].write_bytes(content)
    assert service.rollback(1).score(1).output("answer") == 2 + sum(range(20000))


def wait_for(ask):
    """Failures are kept beside the call: ask until there is one."""
    from support import eventually

    def asked():
        try:
            return ask()
        except NotFound:
            return None

    return eventually(asked)
