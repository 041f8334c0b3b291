"""All kernels together keep to their share of the memory."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from support import eventually

from jupyter_mlops.server.kernels import memory

SHARE = 700 * 2**20
SLEEP = "import time\ntime.sleep(x)\nz = x"


@pytest.fixture
def server(start_server):
    # Without forks a kernel's own memory is what it holds and what it imported, whatever came before it.
    return start_server(f"--ServeApp.memory_share={SHARE / memory.total()}", "--no-fork")


def publish(server, name, megabytes, **more):
    """Publish code whose kernels hold so much until they end, on top of what Python and its libraries take."""
    from jupyter_mlops import DeployClient

    with DeployClient(server.url, auth=server.token) as client:
        definition = client.service(name).version("1").code_str(SLEEP, f"held = b'x' * {megabytes * 2**20}")
        definition.inputs(x=float).outputs(z=float).pool(max_pool_size=1, **more).deploy()


@pytest.mark.slow
def test_idle_kernels_give_way_least_recently_used_first_and_come_back(server):
    for name in ("one", "two", "three"):
        publish(server, name, 200)
    eventually(lambda: server.kernels("one", "1") == [])
    assert len(server.kernels("three", "1")) == 1
    kept = server.kernels("three", "1")
    assert server.call("one", x=0).status == 200
    eventually(lambda: server.kernels("two", "1") == [])
    assert server.kernels("three", "1") == kept


@pytest.mark.slow
def test_kept_and_busy_kernels_stay_and_a_new_one_is_503(server):
    publish(server, "other", 0)
    publish(server, "kept", 320, initial_pool_size=1)
    kept = server.kernels("kept", "1")
    with ThreadPoolExecutor(1) as threads:
        publish(server, "busy", 320)
        call = threads.submit(server.call, "busy", x=5)
        eventually(lambda: server.kernels("other", "1") == [] and server.kernels("busy", "1"))
        refused = server.call("other", x=0)
        assert refused.status == 503
        assert "GB of memory, more than their share of 0.73 GB" in refused.json()["message"]
        assert call.result().status == 200
    eventually(lambda: server.call("other", x=0).status == 200)
    assert server.kernels("kept", "1") == kept


def test_pages_that_forks_share_count_once():
    program = (
        "import os, sys\nheld = b'x' * 200_000_000\n"
        "for _ in range(3):\n    if not os.fork(): break\n"
        "print(flush=True)\nsys.stdin.read()"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    for _ in range(4):
        process.stdout.readline()
    pids = [process.pid, *(child.pid for child in psutil.Process(process.pid).children())]
    assert memory.used(pids, 10**12) > 800_000_000
    if hasattr(psutil.Process().memory_full_info(), "pss"):
        assert 200_000_000 < memory.used(pids, 0) < 400_000_000
    process.stdin.close()
    process.stdout.close()
    process.wait()
    assert memory.used(pids[:1], 0) == 0
    assert 0 < memory.total() <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
