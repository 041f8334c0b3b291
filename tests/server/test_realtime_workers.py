"""Realtime workers under faults: what dies or hangs costs its own calls only; models go and come back."""

import contextlib
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx_models as models
import psutil
import pytest
import urllib3
from onnx_models import LINEAR, publish
from support import eventually

FOREVER = {"x": [2**50]}


@pytest.fixture(scope="module")
def faulty(server):
    assert publish(server, "lines/1.0", LINEAR).status == 201
    assert publish(server, "loop/1", models.looping(), timeout="4").status == 201
    assert publish(server, "endless/1", models.looping()).status == 201
    assert publish(server, "greedy/1", models.greedy()).status == 201
    assert publish(server, "mixing/1", models.mixing()).status == 201
    return server


def answers(server, path="lines/1.0"):
    answer = server.request("POST", f"/api/{path}", {"a": [1.0], "b": [0.0]}, timeout=20)
    return answer.status == 200 and answer.json()["outputParameters"]["outputData"] == {"prediction": [3.0]}


def workers(server):
    found = []
    for process in server.processes():
        with contextlib.suppress(psutil.Error):
            if "jupyter_mlops.realtime.worker" in process.cmdline():
                found.append(process)
    return found


def works(process):
    """Whether a process is at something."""
    with contextlib.suppress(psutil.Error):
        return process.cpu_percent(0.2) > 20
    return False


def busy(server, name="loop"):
    """The worker that runs a call which does not end."""
    eventually(lambda: server.request("GET", f"/services/{name}/1/pool/kernels").json()["running"] >= 1)
    return eventually(lambda: next((one for one in workers(server) if works(one)), None))


@pytest.mark.slow
def test_a_call_that_hangs_is_given_up_at_its_deadline_and_others_are_answered_throughout(faulty):
    pid = faulty.process.pid
    with ThreadPoolExecutor(3) as threads:
        hanging = [threads.submit(faulty.request, "POST", "/api/loop/1", FOREVER) for _ in range(3)]
        served = 0
        while not all(one.done() for one in hanging):
            assert answers(faulty)
            served += 1
    assert [one.result().status for one in hanging] == [504] * 3
    assert "deadline of 4 s" in hanging[0].result().json()["message"]
    assert served > 0
    assert faulty.process.pid == pid
    assert answers(faulty)
    quick = faulty.request("POST", "/api/loop/1", {"x": [3]})
    assert quick.json()["outputParameters"]["outputData"] == {"y": [3]}


def test_a_worker_that_dies_costs_the_running_call_only(faulty):
    with ThreadPoolExecutor(2) as threads:
        hanging = threads.submit(faulty.request, "POST", "/api/endless/1", FOREVER)
        os.kill(busy(faulty, "endless").pid, signal.SIGKILL)
        died = hanging.result()
    assert died.status == 502
    assert "realtime worker" in died.json()["message"]
    assert answers(faulty)
    failures = eventually(lambda: faulty.request("GET", "/services/endless/1/failures").json())
    assert any("worker" in one["error"] for one in failures)


def test_every_worker_may_die_and_models_come_back_at_the_next_call(faulty):
    assert answers(faulty)
    for process in workers(faulty):
        process.kill()
    eventually(lambda: answers(faulty))
    assert faulty.request("POST", "/api/mixing/1", {"x": [1.0, 3.0]}).status == 200


def test_memory_that_is_not_there_fails_the_call_and_not_the_worker(faulty):
    assert faulty.request("POST", "/api/greedy/1", {"x": [1]}).status == 200
    before = {one.pid for one in workers(faulty)}
    answer = faulty.request("POST", "/api/greedy/1", {"x": [2**42]})
    assert answer.status == 200
    assert answer.json()["success"] is False
    assert "the model failed" in answer.json()["errorMessage"]
    strict = faulty.request("POST", "/api/greedy/1", {"x": [2**42]}, headers={"Prefer": "status=strict"})
    assert strict.status == 422
    arrow = {"Accept": "application/vnd.apache.arrow.stream"}
    assert faulty.request("POST", "/api/greedy/1", {"x": [2**42]}, headers=arrow).status == 422
    assert before == {one.pid for one in workers(faulty)}


def test_callers_get_their_own_rows_whoever_they_run_with(faulty):
    """Rows that know of each other (`mixing`) never meet those of another caller."""

    def one(number):
        odd = faulty.request("POST", "/api/mixing/1", {"x": [0.0, float(number)]}).json()
        even = faulty.request("POST", "/api/lines/1.0", {"a": float(number), "b": 1.0}).json()
        wrong = faulty.request("POST", "/api/lines/1.0", {"a": float(number)})
        return (
            odd["outputParameters"]["outputData"]["y"],
            even["outputParameters"]["outputData"]["prediction"],
            wrong.status,
        )

    with ThreadPoolExecutor(16) as threads:
        found = list(threads.map(one, range(100)))
    assert found == [([-n / 2, n / 2], [2.0 * n], 400) for n in range(100)]


def test_a_redeploy_swaps_without_a_failed_call(faulty):
    assert publish(faulty, "swapped/1", LINEAR).status == 201
    doubled = models.box(models.linear((4.0, -2.0), 2.0), "a:double:X:0,b:double:X:1", "prediction:double:y:0")
    seen, wrong, done = set(), [], threading.Event()

    def call():
        while not done.is_set():
            answer = faulty.request("POST", "/api/swapped/1", {"a": 1.0, "b": 0.0})
            if answer.status == 200:
                seen.add(answer.json()["outputParameters"]["outputData"]["prediction"][0])
            else:
                wrong.append(answer)

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for content in (doubled, LINEAR, doubled):
        assert publish(faulty, "swapped/1", content, "PATCH").status == 200
    done.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert seen == {3.0, 6.0}


def test_a_stop_lets_accepted_calls_finish_and_leaves_no_process(start_server):
    server = start_server()
    assert publish(server, "lines/1.0", LINEAR).status == 201
    assert answers(server)
    processes = server.processes()
    assert server.stop() == 0
    assert not [one for one in processes if one.is_running()]


def test_workers_die_with_a_killed_server(start_server):
    server = start_server()
    assert publish(server, "loop/1", models.looping()).status == 201
    with ThreadPoolExecutor(1) as threads:
        threads.submit(server.request, "POST", "/api/loop/1", FOREVER)
        process = busy(server)
        server.stop(kill=True)
        eventually(lambda: not process.is_running())


@pytest.mark.slow
def test_models_give_their_memory_to_others_and_come_back(start_server):
    budget = 24 * 2**20
    server = start_server(f"--ServeApp.realtime_memory={budget}", "--ServeApp.realtime_workers=1")
    for number in range(4):
        weights = np.full(2**21, number, "float32")  # 8 MiB
        large = models.model(
            [
                models.helper.make_node("Gather", ["weights", "x"], ["y"]),
            ],
            [("x", models.INT64, [None])],
            [("y", models.FLOAT, [None])],
            [models.constant("weights", weights)],
        )
        assert publish(server, f"large{number}/1", large).status == 201

    def holding():
        views = [server.request("GET", f"/services/large{number}/1/pool/kernels").json() for number in range(4)]
        return [number for number, view in enumerate(views) if view["kernels"]]

    assert 0 < len(holding()) < 4
    for number in (0, 1, 2, 3, 0, 0, 3):
        answer = server.request("POST", f"/api/large{number}/1", {"x": [5]})
        assert answer.json()["outputParameters"]["outputData"] == {"y": [float(number)]}
        assert number in holding()
    assert 0 < len(holding()) < 4
    huge = models.linear(np.zeros(8 * 2**20, "float32"))
    answer = publish(server, "huge/1", huge)
    assert answer.status == 422


def test_without_onnxruntime_a_publish_names_what_to_install(start_server):
    code = (
        "import importlib.util as util; find = util.find_spec; "
        "util.find_spec = lambda name, *rest: None if name == 'onnxruntime' else find(name, *rest); "
        "from jupyter_mlops.cli import main; main()"
    )
    server = start_server(launch=("-c", code))
    answer = publish(server, "lines/1.0", LINEAR)
    assert answer.status == 503
    assert "pip install 'jupyter_mlops[realtime]'" in answer.json()["message"]


def test_a_call_whose_caller_has_gone_keeps_its_deadline(faulty):
    for _ in range(3):
        with pytest.raises(urllib3.exceptions.HTTPError):
            faulty.request("POST", "/api/loop/1", FOREVER, timeout=0.3)
    eventually(lambda: not any(works(one) for one in workers(faulty)))
    assert answers(faulty)


@pytest.mark.slow
def test_a_queue_has_an_end(faulty):
    assert faulty.request("POST", "/services/loop/1/pool", {"queueLimit": 1}).status == 200
    with ThreadPoolExecutor(1) as threads:
        hanging = threads.submit(faulty.request, "POST", "/api/loop/1", FOREVER)
        view = "/services/loop/1/pool/kernels"
        eventually(lambda: hanging.done() or faulty.request("GET", view).json()["running"] >= 1)
        assert not hanging.done(), hanging.result()
        full = faulty.request("POST", "/api/loop/1", {"x": [1]})
        assert hanging.result().status == 504
    assert full.status == 503
    assert "Retry-After" in full.headers
    started = time.monotonic()
    assert faulty.request("POST", "/api/loop/1", {"x": [1]}).status == 200
    assert time.monotonic() - started < 30
