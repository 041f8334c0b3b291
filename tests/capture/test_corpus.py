"""The corpus: what is captured of each, that it gives the same answer in a fresh process, and what is refused how."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from corpus import functions, objects

from jupyter_mlops.capture import capture, survey
from jupyter_mlops.errors import CaptureError

CASES = functions.CASES | objects.CASES | (objects.TORCH if find_spec("torch") else {})


def test_there_are_enough():
    assert len(CASES) + len(functions.REFUSED) >= 100


@pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed: its modules were NOT tested")
def test_torch_is_tested():
    assert CASES.keys() >= objects.TORCH.keys()


@pytest.fixture(scope="module")
def notebooks():
    """Each case's namespace, made as IPython makes one."""
    import linecache

    made = {}
    for number, (case, (source, *_)) in enumerate(CASES.items()):
        filename = f"/tmp/ipykernel_4711/{number}.py"
        linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
        made[case] = {"__name__": "__main__"}
        exec(compile(source, filename, "exec", dont_inherit=True), made[case])
    return made


@pytest.fixture(scope="module")
def captures(notebooks):
    return {case: capture(namespace, ["f"]) for case, namespace in notebooks.items()}


@pytest.fixture(scope="module")
def answers(captures, tmp_path_factory):
    """What each function answers in a fresh process that has only the snapshot."""
    folder = tmp_path_factory.mktemp("corpus")
    cases = []
    for number, (case, captured) in enumerate(captures.items()):
        for digest, content in captured.blobs.items():
            (folder / digest).write_bytes(content)
        manifest = captured.manifest
        cases.append(
            {
                "stream": str(folder / manifest.stream.digest),
                "buffers": [str(folder / blob.digest) for blob in manifest.buffers],
                "call": CASES[case][1],
                "answer": str(folder / f"answer{number}"),
            }
        )
    (folder / "cases.json").write_text(json.dumps(cases))
    start = "import sys; sys.path.insert(0, sys.argv[1]); __import__('corpus.loader').loader.main(sys.argv[2])"
    command = [sys.executable, "-c", start, Path(__file__).parent, folder]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=55)
    assert ended.returncode == 0, ended.stderr
    return {case: json.loads((folder / f"answer{number}").read_text()) for number, case in enumerate(captures)}


@pytest.mark.parametrize("case", CASES)
def test_exactly_what_it_reaches_goes_along(case, captures):
    assert {one.name for one in captures[case].manifest.names} == CASES[case][2]


@pytest.mark.parametrize("case", CASES)
def test_the_answer_is_the_same_in_a_fresh_process(case, notebooks, answers):
    expected = json.loads(json.dumps(eval(CASES[case][1], notebooks[case])))
    assert answers[case] == {"value": expected}, answers[case].get("error")


@pytest.mark.parametrize("case", CASES)
def test_the_survey_chooses_the_same(case, notebooks, captures):
    found = survey(notebooks[case], "f")
    names = {one.name for one in captures[case].manifest.names}
    assert set(found.selected) == names - set(found.modules)
    assert found.missing() == ()
    assert all(one.capturable for one in found.variables if one.name in names)


@pytest.mark.parametrize("case", functions.REFUSED)
def test_what_cannot_go_along_is_refused_in_these_words(case, notebook):
    source, words = functions.REFUSED[case]
    namespace = notebook(source)
    before = dict(namespace)
    with pytest.raises(CaptureError) as caught:
        capture(namespace, ["f"])
    assert re.search(words, str(caught.value)), str(caught.value)
    assert namespace.keys() == before.keys()
    assert all(namespace[name] is before[name] for name in before)
