"""Secrets are found by name and by form; what only looks like one goes along."""

import pytest
from secret_corpus import HARMLESS, SECRETS

from jupyter_mlops.capture.secrets import find_secrets


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_is_found(name):
    found = find_secrets(name, SECRETS[name])
    assert found
    told = " ".join(f"{one.where} {one.text}" for one in found)
    assert len(told) < 2000


def test_hardly_anything_harmless_is_taken_for_a_secret():
    assert len(SECRETS) >= 40
    assert len(HARMLESS) >= 60
    alarms = {name: found for name, value in HARMLESS.items() if (found := find_secrets(name, value))}
    assert len(alarms) <= 3, alarms


def test_no_part_of_a_secret_is_told():
    for name, value in SECRETS.items():
        if isinstance(value, str):
            told = " ".join(f"{one.where} {one.text}" for one in find_secrets(name, value))
            assert value[:12] not in told


def test_a_path_beside_another_argument_names_no_value():
    namespace = {"__name__": "__main__"}
    exec("def write(x):\n    import os\n    os.symlink('/etc/passwd', 'link.txt')", namespace)
    assert find_secrets("write", namespace["write"]) == []


def test_a_secret_beside_the_function_does_not_travel_in_its_cell(monkeypatch):
    import linecache

    from jupyter_mlops.capture import capture

    source = 'API_TOKEN = "ghp_16C7e42F292c6912E7710c838347Ae178B4a"\nlimit = 3\ndef f(x):\n    return x + limit\n'
    linecache.cache["<cell-of-a-secret>"] = (len(source), None, source.splitlines(keepends=True), "<cell-of-a-secret>")
    namespace = {"__name__": "__main__"}
    exec(compile(source, "<cell-of-a-secret>", "exec"), namespace)
    captured = capture(namespace, ["f"])
    (kept,) = captured.manifest.sources
    assert "ghp_" not in kept.text
    assert kept.text.splitlines()[2:] == ["def f(x):", "    return x + limit"]
    assert not any(b"ghp_" in bytes(content) for content in captured.blobs.values())
