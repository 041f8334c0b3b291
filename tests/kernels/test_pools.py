"""Many kernels for one service: they grow, are shared, limited, replaced, and never mix calls up."""

import json
import os
import random
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
import urllib3
from prometheus_client.parser import text_string_to_metric_families
from support import eventually

from jupyter_mlops import DeployClient
from jupyter_mlops.errors import InvalidRequest, NotFound

SLEEP = "import time\ntime.sleep(x)\nz = x"
BURN = "import time\nend = time.process_time() + x\nwhile time.process_time() < end: pass\nz = x"


def publish(server, name, code, pool=None, **more):
    answer = server.publish_code(name, "1", code, "x:numeric", "z:numeric", pool=pool or {}, **more)
    assert answer.status == 201, answer.body
    return answer


def look(server, name, version="1"):
    return server.request("GET", f"/services/{name}/{version}/pool/kernels").json()


def results(answers):
    return [answer.json()["outputParameters"].get("z") for answer in answers]


@pytest.mark.slow
def test_a_pool_grows_under_load_and_never_beyond_its_maximum(server):
    publish(server, "grows", BURN, {"maxPoolSize": 2})
    most = 0
    with ThreadPoolExecutor(8) as threads:
        calls = [threads.submit(server.call, "grows", x=0.02) for _ in range(150)]
        while not all(call.done() for call in calls):
            view = look(server, "grows")
            most = max(most, len(view["kernels"]) + view["starting"])
            time.sleep(0.01)
    assert results(call.result() for call in calls) == [0.02] * 150
    assert most == 2
    kernels = look(server, "grows")["kernels"]
    assert len(kernels) == 2
    assert all(kernel["calls"] > 10 for kernel in kernels)


def test_one_short_call_at_a_time_needs_one_kernel(server):
    publish(server, "short", "z = x", {"maxPoolSize": 2})
    assert results(server.call("short", x=i) for i in range(200)) == list(range(200))
    assert len(server.kernels("short", "1")) == 1


def test_initial_kernels_and_settings_survive_a_restart(start_server):
    server = start_server()
    publish(server, "initial", "z = x", {"initialPoolSize": 2, "maxPoolSize": 3, "queueLimit": 7})
    eventually(lambda: len(server.kernels("initial", "1")) == 2)
    assert server.request("POST", "/services/initial/1/pool", {"groupSize": 5, "memoryLimit": 10**10}).status == 200
    settings = look(server, "initial")["settings"]
    assert settings == {
        "initialPoolSize": 2, "maxPoolSize": 3, "queueLimit": 7, "memoryLimit": 10**10, "groupSize": 5,
        "groupWait": 0.002,
    }  # fmt: skip
    publish(server, "unused", "z = x")
    server.stop()
    server.start()
    eventually(lambda: len(server.kernels("initial", "1")) == 2)
    assert look(server, "initial")["settings"] == settings
    assert server.kernels("unused", "1") == []
    assert results([server.call("unused", x=4)]) == [4]


@pytest.mark.slow
def test_the_least_recently_used_idle_kernel_makes_room_and_comes_back(start_server):
    server = start_server("--ServeApp.max_kernels=2")
    for name in ("one", "two", "three"):
        publish(server, name, "z = x", {"maxPoolSize": 1})
        assert server.call(name, x=1).status == 200
    assert [len(server.kernels(name, "1")) for name in ("one", "two", "three")] == [0, 1, 1]
    assert results([server.call("one", x=2)]) == [2]
    assert [len(server.kernels(name, "1")) for name in ("one", "two", "three")] == [1, 0, 1]
    for i in range(9):
        name = ("two", "three", "one")[i % 3]
        assert results([server.call(name, x=i)]) == [i], name


@pytest.mark.slow
def test_initial_sizes_that_do_not_fit_are_409_and_kept_kernels_stay(start_server):
    server = start_server("--ServeApp.max_kernels=2")
    publish(server, "kept", "z = x", {"initialPoolSize": 1})
    refused = server.publish_code("more", "1", "z = x", "x:numeric", "z:numeric", pool={"initialPoolSize": 2})
    assert refused.status == 409
    assert "other services keep 1 of this server's 2 kernels" in refused.json()["message"]
    assert server.request("GET", "/services/more/1").status == 404
    assert server.request("POST", "/services/kept/1/pool", {"initialPoolSize": 3, "maxPoolSize": 3}).status == 409
    kept = server.kernels("kept", "1")
    for name in ("a", "b", "c"):
        publish(server, name, "z = x")
        assert server.call(name, x=1).status == 200
    assert server.kernels("kept", "1") == kept
    with ThreadPoolExecutor(2) as threads:
        publish(server, "busy", SLEEP)
        call = threads.submit(server.call, "busy", x=2)
        eventually(lambda: look(server, "busy")["running"] == 1)
        refused = server.call("a", x=1)
        assert refused.status == 503
        assert "all 2 kernels of this server are busy or kept" in refused.json()["message"]
        assert call.result().status == 200
    assert server.call("a", x=1).status == 200


def test_a_full_queue_is_503_at_once(server):
    publish(server, "full", SLEEP, {"maxPoolSize": 1, "queueLimit": 2})
    with ThreadPoolExecutor(3) as threads:
        calls = [threads.submit(server.call, "full", x=1) for _ in range(3)]
        eventually(lambda: look(server, "full")["waiting"] == 2)
        started = time.monotonic()
        refused = server.call("full", x=0)
        assert time.monotonic() - started < 0.3
        assert refused.status == 503
        assert int(refused.headers["Retry-After"]) >= 1
        assert "2 calls wait already" in refused.json()["message"]
        assert results(call.result() for call in calls) == [1] * 3
    assert server.call("full", x=0).status == 200


def raw_call(server, name, **inputs):
    """Send a call on a connection of its own, and read nothing."""
    host, port = server.url.removeprefix("http://").split(":")
    body = json.dumps(inputs).encode()
    connection = socket.create_connection((host, int(port)))
    head = f"POST /api/{name}/1 HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {server.token}\r\n"
    connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    return connection


def test_a_client_that_goes_away_frees_its_place(server):
    publish(server, "leaving", SLEEP, {"maxPoolSize": 1, "queueLimit": 2})
    (kernel,) = server.kernels("leaving", "1")
    running = raw_call(server, "leaving", x=30)
    eventually(lambda: look(server, "leaving")["running"] == 1)
    waiting = [raw_call(server, "leaving", x=20) for _ in range(2)]
    eventually(lambda: look(server, "leaving")["waiting"] == 2)
    assert server.call("leaving", x=0).status == 503
    for connection in waiting:
        connection.close()
    eventually(lambda: look(server, "leaving")["waiting"] == 0, seconds=2)
    running.close()  # this one is interrupted
    eventually(lambda: look(server, "leaving")["running"] == 0, seconds=2)
    started = time.monotonic()
    assert results([server.call("leaving", x=0)]) == [0]
    assert time.monotonic() - started < 1
    assert server.kernels("leaving", "1") == [kernel]


def test_a_kernel_over_its_memory_limit_is_ended_with_a_reason(server):
    code = "import time\nheld = b'x' * int(x)\ntime.sleep(3 if x else 0)\nz = x"
    publish(server, "greedy", code, {"memoryLimit": 500 * 2**20})
    refused = server.call("greedy", x=700 * 2**20)
    assert refused.status == 502
    assert "used more than its memory limit of 524288000 bytes" in refused.json()["message"]
    assert server.call("greedy", x=0).status == 200


def test_kernels_that_end_one_after_another_are_held_back_and_it_recovers(server):
    publish(server, "mortal", "import os\nif x: os._exit(1)\nz = x", {"maxPoolSize": 1})
    statuses = [server.call("mortal", x=1).status for _ in range(5)]
    assert statuses == [502] * 5
    refused = server.call("mortal", x=0)
    assert refused.status == 503
    assert int(refused.headers["Retry-After"]) >= 1
    assert "the service cannot start: its last 5 kernels ended while they ran a call" in refused.json()["message"]
    service = server.request("GET", "/status").json()["components"]["services"]["components"]["mortal/1"]
    assert service["statusCode"] == "warn"
    assert service["details"]["lastError"] == "its last 5 kernels ended while they ran a call"
    assert service["details"]["restarts"] == 5
    eventually(lambda: server.call("mortal", x=0).status == 200, seconds=20, every=0.3)
    eventually(lambda: look(server, "mortal")["lastError"] == "", seconds=3)
    assert server.call("mortal", x=1).status == 502
    assert server.call("mortal", x=0).status == 200


def test_pools_in_machine_learning_servers_spelling(server):
    publish(server, "mls", "z = x")
    assert server.request("GET", "/services/mls/1/pool").json() == [
        {"ComputeNodeEndpoint": server.url, "Status": "Success"}
    ]
    made = server.request("POST", "/services/mls/1/pool", {"InitialPoolSize": 2, "MaxPoolSize": 2})
    assert made.status == 200
    assert made.json() == "the pool of service mls version 1 has 2 to 2 kernels"  # a string, as the old document says
    eventually(lambda: server.request("GET", "/services/mls/1/pool").json()[0]["Status"] == "Success")
    assert len(server.kernels("mls", "1")) == 2
    assert server.request("DELETE", "/services/mls/1/pool").status == 200
    assert look(server, "mls")["settings"]["initialPoolSize"] == 0
    for body, word in (
        ({"InitialPoolSize": 3, "MaxPoolSize": 2}, "initialPoolSize"),
        ({"InitialPoolSize": -1}, "initialPoolSize"),
        ({"MaxPoolSize": "two"}, "maxPoolSize"),
        ({"Odd": 1}, "odd"),
        ([], "object"),
    ):
        refused = server.request("POST", "/services/mls/1/pool", body)
        assert refused.status == 400, body
        assert word in refused.json()["message"]
    assert server.request("GET", "/services/never/1/pool").status == 404
    assert server.request("POST", "/services/mls/9/pool", {}).status == 404


def test_pools_from_python(client):
    def add(x: float) -> float:
        return x + 1

    service = client.service("pooled").version("1").code_fn(add).kernels(1, 2).pool(memory_limit="2GB").deploy()
    assert service.view.pool.max_pool_size == 2
    assert service.add(1).output("answer") == 2.0
    pool = service.pool()
    assert (pool.calls, pool.errors, pool.restarts, len(pool.kernels)) == (1, 0, 0, 1)
    assert pool.settings.memory_limit == 2 * 10**9
    assert 0 < pool.p50 <= pool.p99
    assert "1 kernel(s), 0 busy, 0 starting; at least 1, at most 2\n1 calls, 0 errors" in repr(pool)
    assert service.configure_pool(group_size=3, max_pool_size=4).group_size == 3
    assert service.pool().settings.memory_limit == 2 * 10**9
    with pytest.raises(InvalidRequest, match="there is no pool setting 'size'"):
        service.configure_pool(size=3)
    with pytest.raises(InvalidRequest, match="no amount of memory"):
        service.configure_pool(memory_limit="much")
    assert client.create_or_update_service_pool("pooled", "1", 2, 3).initial_pool_size == 2
    eventually(lambda: client.get_service_pool_status("pooled", "1")[0]["status"] == "Success")
    assert list(client.get_service_pool_status("pooled", "1")[0]) == ["computeNodeEndpoint", "status"]
    assert client.delete_service_pool("pooled", "1")
    assert service.pool().settings.initial_pool_size == 0
    with pytest.raises(NotFound):
        client.get_service_pool_status("never", "1")


def test_metrics_count_right(server):
    publish(server, "counted", "import os\nif x == 9: os._exit(1)\nz = 1 / x")
    for x in (1, 2, 4, 0, 0, 9):
        server.call("counted", x=x)
    server.request("POST", "/api/counted/1", {"y": 1})
    answer = server.request("GET", "/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert server.request("GET", "/metrics", token=None).status == 401
    found = {
        (sample.name, *(sample.labels.get(key, "") for key in ("outcome", "state"))): sample.value
        for family in text_string_to_metric_families(answer.body.decode())
        for sample in family.samples
        if sample.labels.get("service") == "counted" and "le" not in sample.labels
    }
    assert found["mlops_calls_total", "answered", ""] == 3
    assert found["mlops_calls_total", "raised", ""] == 2
    assert found["mlops_calls_total", "failed", ""] == 2
    assert found["mlops_call_seconds_count", "", ""] == 7
    assert found["mlops_kernel_deaths", "", ""] == 1
    assert found["mlops_waiting_calls", "", ""] == 0


def test_a_correlation_id_comes_back(server):
    publish(server, "traced", "z = x")
    asked = server.request("POST", "/api/traced/1", {"x": 1}, headers={"X-Correlation-Id": "order-66"})
    assert asked.headers["X-Correlation-Id"] == "order-66"
    made = {server.call("traced", x=1).headers["X-Correlation-Id"] for _ in range(3)}
    assert len(made) == 3


def test_redeploy_under_load_loses_and_mixes_nothing(server):
    def code(number):
        return f"import time\nbefore = {number}\ntime.sleep(0.005)\nz = before * 1000000 + {number} * 1000 + x"

    publish(server, "swapped", code(1), {"initialPoolSize": 2, "maxPoolSize": 2})
    stop = threading.Event()
    seen: list[tuple[int, int]] = []

    def call():
        while not stop.is_set():
            x = random.randrange(1000)
            begun = revision
            answer = server.call("swapped", x=x)
            assert answer.status == 200, answer.body
            first, rest = divmod(int(answer.json()["outputParameters"]["z"]), 1_000_000)
            assert rest == first * 1000 + x
            assert first >= begun, "an old revision answered a call that came after the new one was published"
            seen.append((begun, first))

    revision = 1
    with ThreadPoolExecutor(8) as threads:
        calls = [threads.submit(call) for _ in range(8)]
        for number in range(2, 6):
            time.sleep(0.3)
            assert server.request("PATCH", "/services/swapped/1", {"code": code(number)}).status == 200
            revision = number
        time.sleep(0.3)
        stop.set()
        for done in calls:
            done.result()
    assert {first for _, first in seen} == {1, 2, 3, 4, 5}
    eventually(lambda: len(server.kernels("swapped", "1")) == 2)


def test_every_call_finds_what_a_fresh_kernel_would(server):
    code = "count = count + 1 if 'count' in globals() else 1\nfresh = x\ntable = {'a': x}\nz = count * 1000000 + x"
    publish(server, "state", code, {"initialPoolSize": 2, "maxPoolSize": 2})
    eventually(lambda: len(server.kernels("state", "1")) == 2)
    with ThreadPoolExecutor(16) as threads:
        answers = threads.map(lambda x: server.call("state", x=x), range(1000))
        assert results(answers) == [1_000_000 + x for x in range(1000)]


def test_random_numbers_of_two_kernels_differ(server):
    code = "import random, numpy, time\ntime.sleep(0.02)\nz = random.random() + numpy.random.rand()"
    publish(server, "chance", code, {"initialPoolSize": 2, "maxPoolSize": 2})
    eventually(lambda: len(server.kernels("chance", "1")) == 2)
    with ThreadPoolExecutor(8) as threads:
        assert len(set(results(threads.map(lambda x: server.call("chance", x=x), range(50))))) == 50


@pytest.mark.parametrize("arguments", [("--no-fork",), ("--ServeApp.channel_tcp=True",)], ids=["no-fork", "tcp"])
def test_without_forks_it_is_the_same(start_server, arguments):
    server = start_server(*arguments)
    client = DeployClient(server.url, auth=server.token)

    def double(x):
        return x * 2

    sizes = {"initial_pool_size": 2, "max_pool_size": 2}
    service = client.deploy_service("plain", code_fn=double, batchable=True, sample=1.0, pool=sizes)
    eventually(lambda: len(service.pool().kernels) == 2, seconds=20)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda x: service.double(x).output("answer"), range(200)))
    assert answers == [x * 2.0 for x in range(200)]
    client.close()


@pytest.mark.parametrize("batchable", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_no_answer_reaches_the_wrong_caller(server, batchable):
    """2,000 calls with nonces; some callers go away, some calls run past their deadline."""

    def echo(nonce, seconds):
        longest = max(seconds) if batchable else seconds
        if longest:
            time.sleep(longest)
        return nonce

    client = DeployClient(server.url, auth=server.token)
    name = f"nonces-{batchable}"
    service = client.deploy_service(
        name, version="1", code_fn=echo, batchable=batchable or None, sample=("n", 0.0), timeout=0.3, kernels=(2, 2),
        inputs={"nonce": str, "seconds": float}, outputs={"answer": str}, objects={"batchable": batchable},
    )  # fmt: skip
    eventually(lambda: len(service.pool().kernels) == 2)
    chance = random.Random(5)
    plans = [
        (f"nonce-{i}", chance.choice([0.0] * 30 + [0.002, 0.02, 0.5]), chance.choice([30.0] * 9 + [0.001, 0.005, 0.03]))
        for i in range(2000)
    ]
    headers = {"Authorization": f"Bearer {server.token}"}
    pool = urllib3.PoolManager(retries=False, maxsize=32)

    def call(plan):
        nonce, seconds, patience = plan
        body = json.dumps({"nonce": nonce, "seconds": seconds}).encode()
        try:
            answer = pool.request("POST", f"{server.url}/api/{name}/1", body=body, headers=headers, timeout=patience)
        except urllib3.exceptions.TimeoutError:
            return "left"
        if answer.status == 504:
            return "late"
        assert answer.status == 200, answer.data
        assert answer.json()["outputParameters"] == {"answer": nonce}, answer.data
        return "answered"

    with ThreadPoolExecutor(24) as threads:
        ended = list(threads.map(call, plans))
    pool.clear()
    assert ended.count("answered") > 1000
    assert ended.count("left") > 20
    for (_, seconds, patience), end in zip(plans, ended, strict=True):
        if seconds == 0.5 and patience == 30.0:
            assert end == "late"
    assert service.echo("last", 0).output("answer") == "last"
    eventually(lambda: look(server, name)["running"] == look(server, name)["waiting"] == 0)
    client.close()


@pytest.mark.slow
def test_kernels_that_are_killed_cost_one_call_each(server):
    """Kill kernels in every way while calls run: each death costs at most the call that was running."""
    publish(server, "killed", SLEEP, {"initialPoolSize": 2, "maxPoolSize": 2})
    stop = threading.Event()
    failed: list[int] = []
    answered = 0

    def call(seed):
        nonlocal answered
        chance = random.Random(seed)
        while not stop.is_set():
            x = chance.random() / 200
            answer = server.call("killed", x=x)
            if answer.status == 200:
                assert answer.json()["outputParameters"]["z"] == x
                answered += 1
            else:
                failed.append(answer.status)

    killed = 0
    with ThreadPoolExecutor(8) as threads:
        calls = [threads.submit(call, seed) for seed in range(8)]
        while killed < 60:
            for pid in server.kernels("killed", "1")[:1]:
                psutil.Process(pid).kill()
                killed += 1
            time.sleep(0.1)
        stop.set()
        for done in calls:
            done.result()
    assert set(failed) <= {502}
    assert len(failed) <= killed
    assert answered > 500
    eventually(lambda: len(server.kernels("killed", "1")) == 2)


def test_kernels_of_a_pool_share_the_cores(server):
    code = (
        "import numpy, threadpoolctl\n"
        "n = max(pool['num_threads'] for pool in threadpoolctl.threadpool_info() if pool['user_api'] == 'blas')"
    )
    cores = os.cpu_count()
    for maximum in (1, cores):
        settings = {"maxPoolSize": maximum}
        name = f"share{maximum}"
        assert server.publish_code(name, "1", code, "", "n:integer", pool=settings).status == 201
        assert server.call(name).json()["outputParameters"]["n"] == cores // maximum


@pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux only: imports ahead were NOT TESTED")
def test_common_modules_are_there_before_a_service_asks_for_them(start_server):
    server = start_server("--ServeApp.common_modules=colorsys no_such_module")
    code = "import sys\ny = 'colorsys' in sys.modules"
    assert server.publish_code("first", "1", code, outputs="y:logical").status == 201

    def known():
        version = f"v{time.monotonic_ns()}"
        assert server.publish_code("next", version, code, outputs="y:logical").status == 201
        return server.call("next", version).json()["outputParameters"]["y"]

    eventually(known)
