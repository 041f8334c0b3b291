"""Models that attack: each is refused with a reason, or given up in time; the server and other services go on."""

import os
import threading
import time

import hostile_models as hostile
import onnx_models as models
import psutil
import pytest
from onnx_models import LINEAR, publish
from support import RunningServer

MUTATIONS, SLOW_MUTATIONS = 100, 400


@pytest.fixture(scope="module")
def attacked(tmp_path_factory):
    """A server that is watched: it stays the same process, and another service answers throughout."""
    place = tmp_path_factory.mktemp("hostile")
    server = RunningServer(place / "data", "--ServeApp.realtime_check_seconds=4")
    assert publish(server, "lines/1.0", LINEAR).status == 201
    pid, wrong, count, done = server.process.pid, [], [0], threading.Event()

    def watch():
        while not done.wait(0.05):
            answer = server.request("POST", "/api/lines/1.0", {"a": 1.0, "b": 0.0}, timeout=20)
            count[0] += 1
            if answer.status != 200:
                wrong.append(answer)

    watcher = threading.Thread(target=watch)
    watcher.start()
    yield server
    done.set()
    watcher.join()
    assert wrong == []
    assert count[0] > 10
    assert server.process.poll() is None
    assert server.process.pid == pid
    assert server.stop() == 0


def refused(server, content, *told):
    answer = publish(server, "evil/1", content)
    assert answer.status == 422, answer
    message = answer.json()["message"]
    assert message.startswith("the model is refused: ")
    assert len(message) < 1000
    assert not told or any(one in message for one in told), message
    return message


def test_data_in_other_files_is_refused_and_they_are_not_read(attacked, tmp_path):
    forms = hostile.externals(tmp_path)
    assert len(forms) == 12
    stamps = os.stat(tmp_path / "secret.bin").st_atime_ns
    for name, model in forms:
        message = refused(attacked, model, "has its data in another file")
        assert "canary" not in message, name
    assert os.stat(tmp_path / "secret.bin").st_atime_ns == stamps
    boxed = models.box(forms[2][1], "a:double:X:0,b:double:X:1", "y:double")
    refused(attacked, boxed, "has its data in another file")


def test_functions_and_branches_without_end_are_refused(attacked):
    refused(attacked, hostile.functions(200), "inside one another")
    refused(attacked, hostile.functions(3, cycle=True), "calls itself")
    refused(attacked, hostile.functions(1, cycle=True), "calls itself")
    refused(attacked, hostile.functions(20, calls=10), "nodes when its functions are written out")
    refused(attacked, hostile.nested(28), "inside one another")
    fine = publish(attacked, "functions/1", hostile.functions(5, calls=2))
    assert fine.status == 201


def test_operators_of_other_libraries_are_refused(attacked):
    for domain in ("evil.example", "ai.onnx.contrib", "com.microsoft.extensions", "../evil.so"):
        refused(attacked, hostile.custom(domain), "custom operators")
    refused(attacked, hostile.custom("com.microsoft"), "does not load", "does not pass")
    refused(attacked, hostile.custom("", "NoSuchOperator"), "does not pass", "does not load")


def test_what_asks_for_the_machines_memory_is_refused(attacked):
    refused(attacked, hostile.oversized(), "says that it has 1099511627776 values")
    for model in (hostile.enormous(), hostile.enormous(2**34), hostile.enormous(2**50), hostile.exploding()):
        refused(attacked, model)


def test_what_runs_for_ever_is_refused_within_the_time_of_a_check(attacked):
    started = time.monotonic()
    refused(attacked, models.looping(10**12), "took longer than the 4 s")
    assert time.monotonic() - started < 40


def test_what_runs_for_ever_later_is_given_up_at_its_deadline(attacked):
    assert publish(attacked, "later/1", models.looping(), timeout="1").status == 201
    assert attacked.request("POST", "/api/later/1", {"x": [10**12]}).status == 504
    assert attacked.request("POST", "/api/later/1", {"x": [2]}).status == 200


def test_what_asks_for_memory_later_fails_alone(attacked):
    assert publish(attacked, "greedy/1", models.greedy()).status == 201
    for size in (2**33, 2**40, 2**60):
        answer = attacked.request("POST", "/api/greedy/1", {"x": [size]}, headers={"Prefer": "status=strict"})
        assert answer.status in {422, 502, 504}, answer
    assert attacked.request("POST", "/api/greedy/1", {"x": [2]}).status == 200


def test_shapes_that_do_not_fit_are_refused(attacked):
    refused(attacked, hostile.reshaping_nothing())
    fixed = models.linear()
    fixed.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 4
    refused(attacked, fixed, "always has 4 rows", "made-up row")


def test_what_is_cut_off_or_no_model_is_refused(attacked):
    for content in hostile.truncated(models.labelled().SerializeToString()):
        answer = publish(attacked, "evil/1", content)
        assert answer.status == 422
    for content in (b"", b"\x00" * 1000, b"GGUF" * 100, b"\x80\x04\x95" + b"x" * 100, LINEAR[: len(LINEAR) // 2]):
        answer = publish(attacked, "evil/1", content)
        assert answer.status == 422


def originals():
    made = (
        models.linear(),
        models.labelled(),
        models.greedy(),
        models.looping(3),
        hostile.functions(3),
        models.mixing(),
    )
    return [one.SerializeToString() for one in made] + [LINEAR, models.LABELLED]


def mutate(server, contents):
    for number, content in enumerate(contents):
        answer = publish(server, f"mutant/{number}", content)
        assert answer.status in {201, 422}, (number, answer)
        if answer.status == 201:
            called = server.request("POST", f"/api/mutant/{number}", {"x": [1]}, headers={"Prefer": "status=strict"})
            assert called.status in {200, 400, 422, 502, 504}
            assert server.request("DELETE", f"/services/mutant/{number}").status == 200


def test_mutated_models_are_refused_or_harmless(attacked):
    mutate(attacked, hostile.mutated(originals(), MUTATIONS, 1))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_many_mutated_models_are_refused_or_harmless(attacked):
    mutate(attacked, hostile.mutated(originals(), SLOW_MUTATIONS, 2))


def test_nothing_is_left_of_what_was_refused(attacked):
    assert attacked.request("GET", "/services/evil").json() == []
    left = [path for path in (attacked.data_dir / "uploads").rglob("*") if path.is_file()]
    assert left == []
    names = [" ".join(one.cmdline()) for one in psutil.Process(attacked.process.pid).children(recursive=True)]
    assert sum("nursery" in name for name in names) <= 2
