"""The record of an environment, and what differs from another one."""

from __future__ import annotations

import platform

import msgspec
import pytest

from jupyter_mlops.capture import capture, differences
from jupyter_mlops.environments import content_hash, environment, here
from jupyter_mlops.schema.snapshots import Environment


def test_what_the_objects_and_the_code_import_is_recorded(notebook):
    source = """
    import numpy as np
    def g():
        from sklearn.linear_model import LinearRegression
        return LinearRegression
    def f(x): return g(), np.sum(x)
    """
    found = capture(notebook(source), ["f"]).manifest.environment
    assert {"numpy", "scikit-learn", "cloudpickle"} == set(found.packages)
    assert found.hashes.keys() == found.packages.keys()
    assert all(len(value) == 64 for value in found.hashes.values())
    assert (found.python, found.machine) == (platform.python_version(), platform.machine())


def test_the_same_environment_has_no_differences():
    recorded = environment(["numpy", "pandas"], bytecode=True)
    assert not differences(recorded)
    assert str(differences(recorded)) == "the same Python and packages"
    assert here(recorded).hashes == recorded.hashes


def changed(**changes) -> Environment:
    return msgspec.structs.replace(environment(["numpy", "pandas"], bytecode=True), **changes)


def test_versions_builds_and_what_is_missing_are_told_in_a_table():
    recorded = changed(packages={"numpy": "1.0", "nowhere-to-be-found": "2.1"})
    found = differences(recorded)
    assert [(row.what, row.fatal) for row in found.rows] == [("numpy", False), ("nowhere-to-be-found", True)]
    text = str(found)
    assert "pip install nowhere-to-be-found==2.1" in text
    assert "not installed" in text
    other = environment(["numpy"])
    hashes = dict.fromkeys(other.hashes, "0" * 64)
    assert "other files" in str(differences(msgspec.structs.replace(other, hashes=hashes)))


@pytest.mark.parametrize(("bytecode", "fatal"), [("3.99", True), ("", False)])
def test_another_python_is_fatal_only_for_compiled_functions(bytecode, fatal):
    found = differences(changed(python="3.99.2", bytecode=bytecode))
    assert found.rows[0].what == "Python"
    assert bool(found.fatal) is fatal
    assert ("compiled by Python 3.99" in str(found)) is fatal


def test_a_bug_fix_release_is_told_and_not_fatal():
    major, minor, patch = platform.python_version_tuple()
    (row,) = differences(changed(python=f"{major}.{minor}.{int(patch[0]) + 30}")).rows
    assert (row.what, row.fatal) == ("Python", False)


def test_records_of_before_still_decode_and_compare():
    old = b'{"python":"3.11.7","platform":"x","executable":"/p","packages":{"numpy":"1.0"}}'
    recorded = msgspec.json.decode(old, type=Environment)
    assert recorded.hashes == {}
    assert [row.what for row in differences(recorded).rows][-1] == "numpy"


def test_a_hash_says_what_is_installed():
    assert content_hash("numpy", "any") == content_hash("numpy", "other")
    assert content_hash("no-such-distribution", "1") == ""
