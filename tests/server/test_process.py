"""How the server starts, announces itself, keeps others out, and ends."""

import http.client
import json
import os
import signal
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from support import PASSWORD, eventually

from jupyter_mlops.discovery import find_or_start, running_server


def serve(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "jupyter_mlops", "serve", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | environment,
    )


def test_a_busy_port_is_an_error_with_exit_code_2(start_server, tmp_path):
    port = start_server().url.rpartition(":")[2]
    ended = serve(f"--port={port}", f"--data-dir={tmp_path / 'other'}")
    assert ended.returncode == 2
    assert f"port {port}" in ended.stderr
    assert "--port" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""


def test_a_second_server_on_one_data_directory_says_who_holds_it(start_server):
    server = start_server()
    ended = serve("--port=0", f"--data-dir={server.data_dir}")
    assert ended.returncode == 2
    assert str(server.process.pid) in ended.stderr
    assert server.request("GET", "/health").status == 200


def test_everything_in_the_data_directory_is_private(start_server):
    server = start_server()
    server.publish_code("add", "1", "z = x", "x:numeric", "z:numeric")
    assert stat.S_IMODE(server.data_dir.stat().st_mode) == 0o700
    for path in server.data_dir.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_server_json_says_where_and_who(start_server):
    server = start_server()
    found = json.loads((server.data_dir / "server.json").read_text())
    assert found["url"] == server.url
    assert found["pid"] == server.process.pid
    assert abs(found["started"] - psutil.Process(found["pid"]).create_time()) < 1
    assert found["instance"] == server.request("GET", "/health", token=None).json()["instance"]
    assert running_server(server.data_dir).url == server.url
    server.stop()
    assert not (server.data_dir / "server.json").exists()
    assert running_server(server.data_dir) is None


def test_the_first_password_is_random_and_in_a_private_file(tmp_path):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("JUPYTER_MLOPS")}
    command = [sys.executable, "-m", "jupyter_mlops", "serve", "--port=0", f"--data-dir={tmp_path}"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout.readline().startswith("jupyter-mlops ready")
        password = tmp_path / "admin-password"
        assert stat.S_IMODE(password.stat().st_mode) == 0o600
        assert len(password.read_text().strip()) >= 20
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=30)
        assert process.returncode == 0
    assert str(password) in log
    assert password.read_text().strip() not in log


def test_a_password_file_is_read(tmp_path):
    (tmp_path / "secret").write_text("short\n")
    ended = serve("--port=0", f"--data-dir={tmp_path / 'd'}", f"--admin-password-file={tmp_path / 'secret'}")
    assert ended.returncode == 2
    assert "12" in ended.stderr


def test_a_damaged_database_is_refused_and_left_alone(start_server):
    server = start_server()
    server.stop()
    database = server.data_dir / "mlops.sqlite"
    content = bytearray(database.read_bytes())
    content[0:64] = b"\x00" * 64
    database.write_bytes(content)
    ended = serve("--port=0", f"--data-dir={server.data_dir}")
    assert ended.returncode == 2
    assert "mlops.sqlite" in ended.stderr
    assert "backup" in ended.stderr
    assert database.read_bytes() == bytes(content)


def test_sigterm_lets_running_calls_finish(start_server):
    server = start_server()
    server.publish_code("slow", "1", "import time; time.sleep(1.5); z = x", "x:numeric", "z:numeric")
    with ThreadPoolExecutor() as threads:
        answer = threads.submit(server.call, "slow", x=4)
        time.sleep(0.5)
        server.process.send_signal(signal.SIGTERM)
        assert answer.result().json()["outputParameters"] == {"z": 4.0}
    assert server.process.wait(timeout=30) == 0


@pytest.mark.slow
def test_sigterm_answers_every_call_that_was_accepted_and_refuses_new_ones(start_server):
    server = start_server()
    code = "import time; time.sleep(0.3); z = x"
    sizes = {"initialPoolSize": 2, "maxPoolSize": 2}
    server.publish_code("queued", "1", code, "x:numeric", "z:numeric", pool=sizes)
    server.publish_code("never", "1", code, "x:numeric", "z:numeric")
    host, port = server.url.removeprefix("http://").split(":")
    # A new connection finds nobody any more; one that is open gets an answer.
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    headers = {"Authorization": f"Bearer {server.token}"}

    def again(name):
        connection.request("POST", f"/api/{name}/1", json.dumps({"x": 1}), headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())

    assert again("queued")[0] == 200
    with ThreadPoolExecutor(50) as threads:
        calls = [threads.submit(server.call, "queued", x=x) for x in range(50)]
        view = "/services/queued/1/pool/kernels"
        eventually(lambda: (v := server.request("GET", view).json())["waiting"] + v["running"] > 40)
        time.sleep(0.3)  # the last of the fifty are on their way
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        for name in ("queued", "never"):
            status, refused = again(name)
            assert (status, refused["message"]) == (503, "the server is about to end; try again")
        answers = [call.result() for call in calls]
    assert [answer.status for answer in answers] == [200] * 50
    assert [answer.json()["outputParameters"]["z"] for answer in answers] == list(range(50))
    assert server.process.wait(timeout=30) == 0
    connection.close()


def test_nothing_outlives_a_killed_server(start_server):
    server = start_server()
    code = "import subprocess; p = subprocess.Popen(['sleep', '600'], start_new_session=True).pid"
    server.publish_code("fork", "1", code, "", "p:integer")
    child = server.call("fork").json()["outputParameters"]["p"]
    (kernel,) = server.kernels("fork", "1")
    processes = [*server.processes(), psutil.Process(child)]
    assert {child, kernel} <= {process.pid for process in processes}
    server.stop(kill=True)
    eventually(lambda: not any(p.is_running() and p.status() != "zombie" for p in processes), seconds=5)


def test_a_found_server_is_not_started_twice_and_stop_stops_it(tmp_path):
    first, started = find_or_start(tmp_path / "data")
    assert started
    second, again = find_or_start(tmp_path / "data")
    assert not again
    assert second.instance == first.instance
    assert psutil.Process(first.pid).ppid() in {1, os.getpid()}
    stopped = subprocess.run(
        [sys.executable, "-m", "jupyter_mlops", "stop", f"--data-dir={tmp_path / 'data'}"],
        capture_output=True,
        text=True,
    )
    assert stopped.returncode == 0, stopped.stderr
    assert running_server(tmp_path / "data") is None


def test_a_server_that_a_notebook_started_ends_when_nobody_uses_it(start_server):
    server = start_server("--auto", "--idle-timeout=1")
    assert server.process.wait(timeout=20) == 0


def test_the_admin_password_is_not_in_the_kernels_environment(start_server):
    server = start_server()
    server.publish_code(
        "env", "1", "import os; e = sorted(os.environ); v = str(dict(os.environ))", "", "e:vector,v:character"
    )
    outputs = server.call("env").json()["outputParameters"]
    assert PASSWORD not in outputs["v"]
    assert not [name for name in outputs["e"] if name.startswith("JUPYTER_MLOPS") and name != "JUPYTER_MLOPS_INSTANCE"]
