"""Files that go along are looked through for secrets, as variables and cells are."""

from __future__ import annotations

import sys

import pytest

from jupyter_mlops.capture import capture
from jupyter_mlops.capture.secret_files import secrets_of_file
from jupyter_mlops.errors import CaptureError

TOKEN = "ghp_16C7e42F292c6912E7710c838347Ae178B4a"
PASSWORD = "hunter2-Tr0ub4dor"

SECRETS = {
    "settings.py": f"import os\n\nDB_PASSWORD = '{PASSWORD}'\n",
    "commented.py": f"x = 1\n# used to be {TOKEN}\n",
    "broken.py": f"def f(:\nAPI_TOKEN = '{TOKEN}'\n",
    "defaults.py": f"def connect(user='me', password='{PASSWORD}'):\n    return user\n",
    "config.json": f'{{"db": {{"host": "here", "password": "{PASSWORD}"}}}}',
    "bad.json": f'{{"token": "{TOKEN}",}}',
    ".env": f"DEBUG=1\nexport DB_PASSWORD={PASSWORD}\n",
    ".env.production": f'API_SECRET="{PASSWORD}"  # the real one\n',
    "app.ini": f"[db]\nuser = me\npassword = {PASSWORD}\n",
    "app.yaml": f"db:\n  password: '{PASSWORD}'\n",
    "pyproject.toml": f'[tool.x]\napi_token = "{TOKEN}"\n',
    "notes.txt": "a\n" * 5_000 + f"and the token is {TOKEN}\n",
    "rows.csv": f"name,url\na,postgresql://me:{PASSWORD}@db.example.com/x\n",
    "id_rsa": "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk\n",
    "server.pem": "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\n",
    "made.ipynb": f'{{"cells": [{{"source": ["api_key = \\"{TOKEN}\\""]}}]}}',
}

HARMLESS = {
    "cars.csv": "hp,wt,password_length\n" + "110,2.62012345678901234567,8\n" * 10_000,
    "config.json": '{"password": "", "token": null, "max_tokens": 512, "password_field": "pwd", "key": "id"}',
    "app.yaml": "password: ${DB_PASSWORD}\ntoken: <your token>\nkey: value\ntokens: 512\n",
    ".env": "DEBUG=1\nDB_PASSWORD=\nAPI_KEY=your-key-here\nTOKEN=${TOKEN}\n",
    "tool.py": "import os\npassword = os.environ['DB_PASSWORD']\nTOKEN_URL = 'https://example.com/token'\nKEY = 'id'\n",
    "words.txt": "the password is asked for; tokens: a, b, c\nkey: the first column\n",
    "hashes.txt": "d41d8cd98f00b204e9800998ecf8427e  empty\n" * 100,
    "model.bin": b"\0\1" + TOKEN.encode(),
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_in_a_file_is_found_and_not_told(name, tmp_path):
    (tmp_path / name).write_text(SECRETS[name])
    found = secrets_of_file(name, tmp_path / name)
    assert found
    told = " ".join(f"{one.where} {one.text}" for one in found)
    assert name in told
    assert "ghp_" not in told
    assert "hunter2" not in told


@pytest.mark.parametrize("name", HARMLESS)
def test_files_without_secrets_raise_no_alarm(name, tmp_path):
    content = HARMLESS[name]
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    assert secrets_of_file(name, tmp_path / name) == []


def test_a_module_with_a_secret_is_refused_by_its_line_and_kept_by_its_name(folder, notebook):
    (folder / "helper.py").write_text("import hidden\ndef double(x): return 2 * x\n")
    (folder / "hidden.py").write_text(SECRETS["settings.py"])
    namespace = notebook("import helper\ndef f(x): return helper.double(x)")
    with pytest.raises(
        CaptureError, match=r"hidden\.py, line 3, looks like a password.*--keep hidden\.py\)"
    ) as refused:
        capture(namespace, ["f"])
    assert "hunter2" not in str(refused.value)
    captured = capture(namespace, ["f"], keep=["hidden.py"])
    assert [file.path for file in captured.manifest.files] == ["helper.py", "hidden.py"]


def test_a_data_file_with_a_secret_is_refused_and_kept(folder, notebook):
    (folder / "app.ini").write_text(SECRETS["app.ini"])
    (folder / "deep").mkdir()
    (folder / "deep" / ".env").write_text(SECRETS[".env"])
    namespace = notebook("def f(x): return x")
    with pytest.raises(CaptureError, match=r"app\.ini, line 3.*deep/\.env, line 2.*--keep app\.ini,deep/\.env"):
        capture(namespace, ["f"], files=["app.ini", "deep"])
    kept = ["app.ini", "deep/.env"]
    assert len(capture(namespace, ["f"], files=["app.ini", "deep"], keep=kept).manifest.files) == 2
    with pytest.raises(CaptureError, match=r"--keep other\.ini: no such file goes along"):
        capture(namespace, ["f"], keep=["other.ini"])
    assert len(capture(namespace, ["f"], files=["app.ini"], secrets=True).manifest.files) == 1
