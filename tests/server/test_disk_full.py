"""A full disk: submissions are refused, batches that run wait, and go on when there is space."""

import contextlib
import io
import os
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import RunningServer, eventually

SIZE = 24 * 2**20
CODE = "import time\ntime.sleep(0.005)\ny = text * 40"


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 24 MiB of its own."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=700", "tmpfs", str(place)]
    made = sys.platform == "linux" and subprocess.run(mount, capture_output=True, check=False).returncode == 0
    if not made:
        pytest.skip("A FULL DISK WAS NOT TESTED: this account cannot mount a small one")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=False)


def fill(path, leave):
    """Take all space of the disk but so many bytes."""
    space = os.statvfs(path.parent)
    free = space.f_bavail * space.f_frsize
    with contextlib.suppress(OSError), path.open("ab") as file:
        file.write(bytes(max(0, free - leave)))


@pytest.mark.slow
def test_a_batch_waits_for_space_and_goes_on(small_disk):
    server = RunningServer(small_disk / "data")
    try:
        filler = small_disk / "filler"
        pool = {"maxPoolSize": 1}
        assert server.publish_code("long", "1", CODE, "text:character", "y:character", pool=pool).status == 201
        rows = [{"text": f"{n:08d}" * 16} for n in range(600)]
        answer = server.request("POST", "/api/long/1/batch", rows[:3])
        assert answer.status == 202
        eventually(lambda: server.request("GET", "/batches").json()[0]["state"] == "Complete", 30)

        answer = server.request("POST", "/api/long/1/batch", rows)
        assert answer.status == 202, answer
        batch = answer.json()["batchExecutionId"]
        fill(filler, 0)
        reason = eventually(lambda: server.request("GET", f"/batches/{batch}").json()["reason"], 30)
        assert "disk space" in reason
        assert server.request("POST", "/api/long/1/batch", rows).status == 507
        assert server.call("long", "1", text="a").json()["outputParameters"] == {"y": "a" * 40}
        assert server.request("GET", f"/api/long/1/batch/{batch}").status == 200
        filler.unlink()
        done = eventually(
            lambda: (p := server.request("GET", f"/batches/{batch}").json())["state"] == "Complete" and p, 30
        )
        assert (done["completed"], done["failed"], done["reason"]) == (600, 0, "")
        results = server.request("GET", f"/api/long/1/batch/{batch}").json()["batchExecutionResults"]
        assert [one["outputParameters"]["y"] for one in results] == [row["text"] * 40 for row in rows]
        assert server.request("POST", "/api/long/1/batch", rows[:2]).status == 202
    finally:
        assert server.stop() == 0


@pytest.mark.slow
def test_records_that_grow_beyond_the_disk_are_refused(small_disk):
    server = RunningServer(small_disk / "data")
    try:
        assert server.publish_code("long", "1", "y = 1", "text:character", "y:integer").status == 201
        sink = io.BytesIO()
        pq.write_table(pa.table({"text": pa.repeat("x" * 1000, 100_000)}), sink, compression="zstd")
        body = sink.getvalue()
        assert len(body) < 20_000, "a few bytes that say 100 MB"
        media = {"Content-Type": "application/vnd.apache.parquet"}
        answer = server.request("POST", "/api/long/1/batch", body, headers=media)
        assert (answer.status, answer.json()["message"].startswith("the records have more than")) == (507, True), answer
        eventually(lambda: not os.listdir(small_disk / "data" / "batches"))
    finally:
        assert server.stop() == 0
