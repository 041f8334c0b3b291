"""`jupyter mlops users`: what an administrator types."""

import os
import pty
import re
import subprocess
import sys

import pytest

SECRET = "secret of 8+"


@pytest.fixture
def run(server, tmp_path):
    """Run a command on the server's data directory; its answer."""

    def call(*words, data_dir=None, code=0):
        command = [sys.executable, "-m", "jupyter_mlops", "users", *words, f"--data-dir={data_dir or server.data_dir}"]
        ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=50)
        assert ended.returncode == code, ended
        return ended.stdout if code == 0 else ended.stderr

    return call


@pytest.fixture
def secret_file(tmp_path):
    path = tmp_path / "secret"
    path.write_text(f"{SECRET}\n")
    return f"--password-file={path}"


def login(server, name, password=SECRET):
    return server.request("POST", "/login", {"username": name, "password": password}, token=None).status


@pytest.mark.slow
def test_a_user_from_beginning_to_end(server, run, secret_file, tmp_path):
    assert run("add", "ada", "--role", "Reader", secret_file) == "user ada is added as Reader\n"
    assert login(server, "ada") == 200
    assert re.search(r"^admin  Owner +\d{4}-\d\d-\d\dT[\d:]{8}\nada    Reader", run("list"))
    assert run("role", "ada", "Owner") == "user ada is Owner now and has to log in again\n"
    assert "ada    Owner" in run("list")
    (tmp_path / "new").write_text("another secret")
    assert "new password" in run("password", "ada", f"--password-file={tmp_path / 'new'}")
    assert (login(server, "ada"), login(server, "ada", "another secret")) == (401, 200)
    assert run("remove", "ada") == "user ada is removed\n"
    assert "ada" not in run("list")


def test_contributor_is_the_default_role(run, secret_file):
    assert run("add", "carl", secret_file) == "user carl is added as Contributor\n"


def test_what_the_server_refuses_is_told_in_its_words(run, secret_file, tmp_path):
    assert "last Owner" in run("remove", "admin", code=1)
    assert "'admin' already" in run("add", "admin", secret_file, code=1)
    assert "no user 'nobody'" in run("role", "nobody", "Reader", code=1)
    assert "is not allowed" in run("add", "a b", secret_file, code=1)
    (tmp_path / "short").write_text("short")
    assert "12 to 128 characters" in run("add", "bob", f"--password-file={tmp_path / 'short'}", code=1)


def test_what_is_wrong_before_is_told_too(run, tmp_path):
    assert "--password-file" in run("add", "bob", code=1)
    assert "cannot be read" in run("add", "bob", f"--password-file={tmp_path / 'none'}", code=1)
    assert "invalid choice: 'King'" in run("role", "bob", "King", code=2)
    assert "required" in run(code=2)


def test_without_a_server_it_says_how_to_start_one(run, tmp_path):
    told = run("list", data_dir=tmp_path / "empty", code=1)
    assert "no server runs on" in told
    assert "jupyter mlops start --data-dir" in told
    assert not (tmp_path / "empty").exists()


def test_in_a_terminal_the_password_is_asked_for_and_not_shown(server):
    def type_in(name, *typed):
        main, terminal = pty.openpty()
        command = [sys.executable, "-m", "jupyter_mlops", "users", "add", name, f"--data-dir={server.data_dir}"]
        process = subprocess.Popen(
            command, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True, close_fds=True
        )
        os.close(terminal)
        shown = b""
        for line in typed:
            prompts = shown.count(b": ")
            while shown.count(b": ") == prompts:
                shown += os.read(main, 1024)
            os.write(main, line.encode() + b"\n")
        code = process.wait(timeout=30)
        try:
            while piece := os.read(main, 1024):
                shown += piece
        except OSError:  # the terminal's other end is closed
            pass
        os.close(main)
        return code, shown.decode()

    code, shown = type_in("tess", SECRET, SECRET)
    assert code == 0, shown
    assert "Password of tess: " in shown
    assert SECRET not in shown
    assert login(server, "tess") == 200
    code, shown = type_in("tina", SECRET, "something else")
    assert code == 1
    assert "not the same" in shown
    assert login(server, "tina") == 401
