"""A kernel that dies or hangs costs the call it was running, and nothing else."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from support import eventually


def test_a_dead_kernel_fails_its_call_with_502_and_is_replaced(server):
    server.publish_code("dies", "1", "import os\nif x: os.kill(os.getpid(), int(x))\nz = x", "x:numeric", "z:numeric")
    (first,) = server.kernels("dies", "1")
    for number in (signal.SIGKILL, signal.SIGSEGV):
        refused = server.call("dies", x=int(number))
        assert refused.status == 502
        assert refused.json()["exceptionType"] == "KernelDied"
        assert server.call("dies", x=0).json()["outputParameters"] == {"z": 0.0}
    assert server.kernels("dies", "1") != [first]


def test_only_the_running_call_fails(server):
    code = "import os, time\ntime.sleep(0.3)\nif x == 7: os._exit(1)\nz = x"
    server.publish_code("one", "1", code, "x:numeric", "z:numeric")
    with ThreadPoolExecutor(8) as threads:
        calls = [threads.submit(server.call, "one", x=x) for x in (7, 1, 2, 3)]
        answers = [call.result() for call in calls]
    assert sorted(answer.status for answer in answers) == [200, 200, 200, 502]
    assert answers[0].status == 502
    assert [a.json()["outputParameters"]["z"] for a in answers[1:]] == [1, 2, 3]


def test_a_late_call_is_504_and_python_code_is_interrupted_in_place(server):
    code = "import time\nif x: time.sleep(30)\nz = x"
    server.publish_code("late", "1", code, "x:numeric", "z:numeric", timeout=0.5)
    (kernel,) = server.kernels("late", "1")
    started = time.monotonic()
    assert server.call("late", x=1).status == 504
    assert time.monotonic() - started < 2
    assert server.call("late", x=0).status == 200
    assert server.kernels("late", "1") == [kernel]


def test_a_call_that_ignores_the_interrupt_loses_its_kernel(server):
    code = (
        "import time\n"
        "if x:\n"
        "    end = time.monotonic() + 60\n"
        "    while time.monotonic() < end:\n"
        "        try: time.sleep(1)\n"
        "        except BaseException: pass\n"
        "z = x"
    )
    server.publish_code("deaf", "1", code, "x:numeric", "z:numeric", timeout=0.5)
    (kernel,) = server.kernels("deaf", "1")
    assert server.call("deaf", x=1).status == 504
    eventually(lambda: not psutil.pid_exists(kernel), seconds=5)
    # Its half second may be too short for the new kernel to start in.
    eventually(lambda: server.call("deaf", x=0).status == 200)


def test_a_stopped_kernel_is_noticed_by_the_deadline(server):
    server.publish_code("stopped", "1", "z = x", "x:numeric", "z:numeric", timeout=1)
    (kernel,) = server.kernels("stopped", "1")
    os.kill(kernel, signal.SIGSTOP)
    assert server.call("stopped", x=1).status == 504
    eventually(lambda: not psutil.pid_exists(kernel), seconds=5)
    eventually(lambda: server.call("stopped", x=2).status == 200)


def test_an_async_call_is_cancelled_at_its_deadline(server):
    from jupyter_mlops import DeployClient

    async def wait(x: float) -> float:
        import asyncio

        await asyncio.sleep(x)
        return x

    client = DeployClient(server.url, auth=server.token)
    client.service("wait").version("1").code_fn(wait).inputs(x=float).outputs(answer=float).timeout(0.5).deploy()
    (kernel,) = server.kernels("wait", "1")
    assert server.call("wait", x=30).status == 504
    assert server.call("wait", x=0).status == 200
    assert server.kernels("wait", "1") == [kernel]


def test_interrupts_never_hit_another_call(server):
    code = "import time\ntime.sleep(x)\nz = x"
    server.publish_code("storm", "1", code, "x:numeric", "z:numeric", timeout=0.2)
    with ThreadPoolExecutor(2) as threads:
        for _ in range(15):
            late = threads.submit(server.call, "storm", x=0.199)
            assert late.result().status in {200, 504}
            assert server.call("storm", x=0.001).json()["success"]


def test_a_kernel_speaks_only_when_asked_and_odd_connections_are_cut(server):
    import socket

    (kernel,) = server.publish_code("odd", "1", "z = 1", "", "z:integer") and server.kernels("odd", "1")
    directory = psutil.Process(kernel).cwd().rsplit("/", 2)[0]
    for sent in (b"\xff\xff\xff\xff", b"\x00\x00\x00\x05hello", b"\x00\x00\x00\x10\x95\xa8greeting\xa1x\x01\xa1x\x01"):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            connection.connect(f"{directory}/scoring")
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(10) == b""
    assert server.call("odd").status == 200


def test_pending_calls_of_a_service_that_cannot_start_are_503_with_the_reason(start_server, tmp_path):
    server = start_server()
    package = tmp_path / "gone"
    package.mkdir()
    (package / "mlops_test_module.py").write_text("def value(): return 3\n")
    code = "z = __import__('mlops_test_module').value()"
    server.publish_code("start", "1", code, "", "z:integer", initCode=f"import sys; sys.path.append({str(package)!r})")
    assert server.call("start").json()["outputParameters"] == {"z": 3}


@pytest.mark.parametrize("tcp", [False, True])
def test_the_channel_runs_over_both_transports(start_server, tcp):
    server = start_server(f"--ServeApp.channel_tcp={tcp}")
    server.publish_code("add", "1", "z = x + 1", "x:numeric", "z:numeric")
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda x: server.call("add", x=x).json()["outputParameters"]["z"], range(100)))
    assert answers == [x + 1 for x in range(100)]
