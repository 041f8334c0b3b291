"""Calls that were sent ahead behind one that turns out slow go to another kernel, and none is run twice."""

import asyncio
import contextlib
import json
import os
import random
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import psutil
import pytest
import urllib3
from support import eventually

from jupyter_mlops.runtime.mark import Mark
from jupyter_mlops.schema.channel import MARK_BYTES, Call
from jupyter_mlops.server.kernels.kernel import Kernel

SLOW_SECONDS = 3
FAST = 400
TEXT = "x" * 70_000
"""Makes a body large, so that it goes to the kernel unread."""


def doze(seconds):
    """Sleep; for a negative time whatever interrupts it."""
    end = time.monotonic() - seconds  # passed, for a positive time
    time.sleep(max(seconds, 0))
    while time.monotonic() < end:
        with contextlib.suppress(BaseException):
            time.sleep(1)


class Service:
    """A published function that notes in a file which calls it ran, and where."""

    def __init__(self, server, service, note):
        self.server, self.service, self.note = server, service, note
        self.http = urllib3.PoolManager(retries=False, maxsize=64)

    def call(self, nonce, seconds=0.0, text="", timeout=60):
        body = json.dumps({"nonce": nonce, "seconds": seconds, "text": text}).encode()
        headers = {"Authorization": f"Bearer {self.server.token}"}
        url = f"{self.server.url}/api/{self.service.name}/1"
        answer = self.http.request("POST", url, body=body, headers=headers, timeout=timeout)
        if answer.status == 200:
            assert answer.json()["outputParameters"]["answer"] == nonce, answer.data
        return answer.status

    def warm(self):
        """Let the pool learn that calls are short, so that it sends ahead."""
        for i in range(80):
            assert self.call(-1 - i, text=TEXT) == 200
        with open(self.note, "w"):
            pass

    def runs(self):
        """How often each nonce was run."""
        with open(self.note) as file:
            return Counter(int(line.split()[0]) for line in file)

    def load(self):
        """Many fast calls, and among them a slow one; how they ended, and whether the slow one was the last."""
        with ThreadPoolExecutor(24) as threads, ThreadPoolExecutor(1) as other:
            calls = [threads.submit(self.call, i) for i in range(FAST)]
            eventually(lambda: sum(call.done() for call in calls) > FAST // 8, every=0.002)
            # Large, so that it is no member of a group: those would wait for it.
            slow = other.submit(self.call, FAST, SLOW_SECONDS, TEXT)
            ended = [call.result() for call in calls]
            slow_was_last = not slow.done()
            return [*ended, slow.result()], slow_was_last


@pytest.fixture
def noting(server, publish, tmp_path):
    """Publish a function that sleeps when told to and answers its nonce; which kind, and on how many kernels."""
    services = []

    def deploy(kind="plain", kernels=2, **more):
        note = str(tmp_path / "note")

        def write(nonce):
            sink = os.open(note, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.write(sink, f"{nonce} {os.getpid()}\n".encode())
            os.close(sink)

        def plain(nonce, seconds, text):
            write(nonce)
            doze(seconds)
            return nonce

        async def waiting(nonce, seconds, text):
            import asyncio

            write(nonce)
            await asyncio.sleep(seconds)
            return nonce

        def batchable(nonce, seconds, text):
            for one in nonce:
                write(int(one))
            time.sleep(max(seconds))
            return nonce

        function = {"plain": plain, "async": waiting, "batchable": batchable}[kind]
        row = (0, 0.0, "a") if kind == "batchable" else None
        service = publish(
            function, {"answer": int}, row=row, pool={"initial_pool_size": kernels, "max_pool_size": kernels},
            objects={"write": write, "doze": doze}, nonce=int, seconds=float, text=str, **more,
        )  # fmt: skip
        eventually(lambda: len(server.kernels(service.name, "1")) == kernels)
        found = Service(server, service, note)
        services.append(found)
        found.warm()
        return found

    yield deploy
    for service in services:
        service.http.clear()
        server.request("DELETE", f"/services/{service.service.name}/1")


@pytest.mark.parametrize("kind", ["plain", "async", "batchable"])
@pytest.mark.slow
def test_fast_calls_do_not_wait_for_a_slow_one_when_there_is_another_kernel(noting, kind):
    service = noting(kind)
    for _ in range(2):
        ended, slow_was_last = service.load()
        assert ended == [200] * (FAST + 1)
        assert slow_was_last, "fast calls waited for the slow one"
        assert service.runs() == dict.fromkeys(range(FAST + 1), 1)
        service.warm()


@pytest.mark.parametrize("kernels", [1, 3])
def test_however_often_calls_are_taken_back_each_is_run_once(noting, kernels):
    service = noting(kernels=kernels)
    chance = random.Random(7)
    lengths = [chance.choice([0.0] * 60 + [0.02, 0.03, 0.05]) for _ in range(1500)]
    with ThreadPoolExecutor(32) as threads:
        ended = list(threads.map(service.call, range(1500), lengths))
    assert ended == [200] * 1500
    assert service.runs() == dict.fromkeys(range(1500), 1)


def test_with_one_kernel_they_wait_and_each_is_run_once(noting):
    service = noting(kernels=1)
    ended, _ = service.load()
    assert ended == [200] * (FAST + 1)
    assert service.runs() == dict.fromkeys(range(FAST + 1), 1)


def behind_a_slow_one(service, threads, count=6, **slow):
    """One slow call on the only kernel, and calls behind it that were taken back."""
    first = threads.submit(service.call, 1000, **slow)
    eventually(lambda: service.runs()[1000] == 1, every=0.005)
    calls = [threads.submit(service.call, i) for i in range(count)]
    look = f"/services/{service.service.name}/1/pool/kernels"
    eventually(lambda: service.server.request("GET", look).json()["waiting"] == count)
    return first, calls


@pytest.mark.slow
def test_a_deadline_runs_on_while_a_call_is_taken_back(noting):
    service = noting(kernels=1, timeout=4)
    with ThreadPoolExecutor(8) as threads:
        first, calls = behind_a_slow_one(service, threads, seconds=-30)
        # The kernel is killed two seconds after the first deadline; the others have passed theirs by then.
        assert [call.result() for call in [first, *calls]] == [504] * 7
    eventually(lambda: service.call(7) == 200)
    assert not service.runs().keys() & set(range(6))


def test_callers_who_leave_while_taken_back_are_forgotten(noting):
    service = noting(kernels=1)
    with ThreadPoolExecutor(8) as threads:
        first = threads.submit(service.call, 1000, 1.5)
        eventually(lambda: service.runs()[1000] == 1, every=0.005)
        for i in range(6):
            patience = 0.002 * (i + 1) ** 2  # before, while and after it is taken back
            with pytest.raises(urllib3.exceptions.TimeoutError):
                service.call(i, timeout=urllib3.Timeout(connect=5, read=patience))
        assert first.result() == 200
    assert service.call(7) == 200
    assert service.runs() == {1000: 1, 7: 1}


def test_a_stopped_kernel_gives_back_what_it_did_not_begin_and_may_come_to(noting):
    service = noting(kernels=2)
    stopped, _ = service.server.kernels(service.service.name, "1")
    for again in range(3):
        with ThreadPoolExecutor(24) as threads:
            calls = [threads.submit(service.call, i + 1000 * again) for i in range(300)]
            eventually(lambda done=calls: sum(call.done() for call in done) > 30, every=0.002)
            os.kill(stopped, signal.SIGSTOP)
            eventually(lambda done=calls: sum(call.done() for call in done) >= 299)  # one it may have begun
            os.kill(stopped, signal.SIGCONT)
            assert [call.result() for call in calls] == [200] * 300
    assert service.runs() == {i + 1000 * again: 1 for again in range(3) for i in range(300)}


def test_a_kernel_that_dies_with_calls_taken_back_costs_one(noting):
    service = noting(kernels=1)
    with ThreadPoolExecutor(8) as threads:
        first, calls = behind_a_slow_one(service, threads, seconds=30)
        (kernel,) = service.server.kernels(service.service.name, "1")
        psutil.Process(kernel).kill()
        assert first.result() == 502
        assert [call.result() for call in calls] == [200] * 6
    assert service.runs() == dict.fromkeys([1000, *range(6)], 1)


def test_an_update_finishes_what_was_taken_back(noting):
    service = noting(kernels=1)
    with ThreadPoolExecutor(8) as threads:
        first, calls = behind_a_slow_one(service, threads, seconds=1.5)
        assert service.server.request("PATCH", f"/services/{service.service.name}/1", {"timeout": 50}).status == 200
        assert [call.result() for call in [first, *calls]] == [200] * 7
    assert service.runs() == dict.fromkeys([1000, *range(6)], 1)


def test_what_was_taken_back_never_begins_whatever_is_withdrawn_later(tmp_path):
    path = tmp_path / "mark"
    path.write_bytes(bytes(MARK_BYTES))

    async def both_ends():
        launched = SimpleNamespace(mark=path, pid=0)
        kernel, mark = Kernel(None, launched, SimpleNamespace(send=lambda _: None)), Mark(str(path))
        for number in (4, 5, 6):
            kernel.send(Call(number, b"", checked=True))
        assert mark.begin(4)
        kernel.withdraw()
        assert kernel.take_back() == [5, 6]
        kernel.withdraw()  # the kernel goes; by now only the first is on its list
        assert not mark.begin(5)
        assert (kernel.running(), kernel.begun()) == (0, 5)
        kernel.send(Call(7, b"", checked=True))
        assert mark.begin(7)

    asyncio.run(both_ends())
