"""What a call sees, leaves behind and answers."""

import asyncio
import datetime as dt
import os
import sys

import numpy as np
import pandas as pd
import pytest
from support import eventually

counter = 0
seen: list[int] = []


def test_state_is_as_in_a_fresh_kernel(publish):
    def count(step: int) -> int:
        global counter, fresh  # noqa: PLW0603
        counter += step
        fresh = step
        return counter + len([name for name in globals() if name == "appeared"])

    service = publish(count, {"answer": int}, step=int)
    assert [service.count(2).output("answer") for _ in range(20)] == [2] * 20


def test_names_that_a_call_adds_or_deletes_are_put_back(server):
    code = "before = 'appeared' in globals()\nappeared = 1\nglobals().pop('x')\nz = int(before)"
    server.publish_code("rebinding", "1", code, "x:numeric", "z:integer")
    for _ in range(3):
        assert server.call("rebinding", x=1).json()["outputParameters"] == {"z": 0}


def test_init_runs_once_a_kernel_and_init_code_before_each_request(server, publish):
    def init():
        global started  # noqa: PLW0603
        started = [0]

    def tell() -> int:
        started[0] += 1
        return started[0]

    service = publish(tell, {"answer": int}, init=init)
    assert [service.tell().output("answer") for _ in range(3)] == [1, 2, 3]
    server.publish_code("wire", "1", "n.append(1); z = len(n)", "", "z:integer", initCode="n = []")
    assert [server.call("wire").json()["outputParameters"]["z"] for _ in range(3)] == [1, 1, 1]


def test_console_output_of_a_call_comes_back_with_it(publish):
    def talk(n: int) -> int:
        print("out", n)
        print("err", n, file=sys.stderr)
        return n

    service = publish(talk, {"answer": int}, n=int)
    assert service.talk(1).console_output == "out 1\nerr 1\n"
    assert service.talk(2).console_output == "out 2\nerr 2\n"


def test_a_flood_of_output_is_cut(publish):
    def flood() -> int:
        for _ in range(300):
            print("x" * 10_000)
        return 1

    service = publish(flood, {"answer": int})
    answer = service.flood()
    assert answer.output("answer") == 1
    assert len(answer.console_output) < 2**20 + 200
    assert "dropped" in answer.console_output


def test_artifacts_come_back_and_the_directory_is_put_back(publish):
    def write(text: str) -> list:
        import os

        found = sorted(os.listdir("."))
        with open("answer.csv", "w") as file:
            file.write(text)
        os.makedirs("deep/er")
        with open("deep/er/other.txt", "w") as file:
            file.write("x")
        os.symlink("/etc/passwd", "link.csv")
        return found

    service = publish(write, {"answer": list}, artifacts=["answer.csv", "never.png", "link.csv"], text=str)
    for text in ("é", "second"):
        answer = service.write(text)
        assert list(answer.output("answer")) == []
        assert answer.artifact("answer.csv", encoding="utf-8") == text
        assert answer.artifacts["never.png"] is None
        assert answer.artifacts["link.csv"] is None
        assert answer.changed_files == ["answer.csv", "deep/er/other.txt", "link.csv"]


def test_files_that_init_made_are_restored(publish):
    def init():
        with open("data.txt", "w") as file:
            file.write("original")

    def spoil() -> str:
        with open("data.txt") as file:
            text = file.read()
        with open("data.txt", "w") as file:
            file.write("spoiled!")
        return text

    service = publish(spoil, {"answer": str}, init=init)
    assert [service.spoil().output("answer") for _ in range(3)] == ["original"] * 3


def test_a_raising_function_answers_its_own_traceback(server, publish):
    def outer(x: float) -> float:
        print("before")

        def inner():
            return 1 / x

        return inner()

    service = publish(outer, x=float)
    answer = service.outer(0)
    assert "ZeroDivisionError" in answer.error
    assert "in inner" in answer.error
    assert "jupyter_mlops" not in answer.error
    assert answer.console_output == "before\n"
    raw = server.request("POST", f"/api/{service.name}/1", {"x": 0})
    assert raw.status == 200
    assert raw.json()["success"] is False
    assert raw.headers["X-Mlops-Error"] == "raised"
    strict = server.request("POST", f"/api/{service.name}/1", {"x": 0}, headers={"Prefer": "status=strict"})
    assert strict.status == 422
    assert service.outer(2).output("answer") == 0.5


def test_sys_exit_ends_the_call_and_not_the_kernel(server, publish):
    def leave() -> float:
        sys.exit(3)

    service = publish(leave)
    before = server.kernels(service.name, "1") or [service.leave() and 0]
    assert "SystemExit: 3" in service.leave().error
    assert len(server.kernels(service.name, "1")) == len(before)


def test_an_async_function_is_awaited(publish):
    async def wait(x: float) -> float:
        await asyncio.sleep(0.01)
        return x * 2

    service = publish(wait, x=float)
    assert [service.wait(i).output("answer") for i in range(5)] == [0, 2, 4, 6, 8]


@pytest.mark.parametrize("returned", ["(1, 'two')", "[1, 'two']", "{'b': 'two', 'a': 1, 'more': 3}"])
def test_several_outputs_from_a_tuple_or_a_dict(publish, returned):
    namespace = {}
    exec(f"def several():\n    return {returned}\n", namespace)
    service = publish(namespace["several"], {"a": int, "b": str})
    assert service.several().outputs == {"a": 1, "b": "two"}


def test_an_answer_that_does_not_fit_says_so(publish):
    def wrong():
        return "text"

    assert "expected a value for type numeric" in publish(wrong).wrong().error

    def two():
        return 1, 2, 3

    assert "2 outputs are declared (a, b)" in publish(two, {"a": int, "b": int}).two().error


def same(value):
    return value


CASES = [
    (int, 3), (int, np.int64(4)), (float, 2.5), (float, np.float32(0.5)), (float, None), (bool, True),
    (bool, np.bool_(False)), (str, "naïve ☃ 日本"), (str, None), (str, "a\u0000b"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "value"), CASES)
def test_scalars_there_and_back(publish, kind, value):
    assert publish(same, {"answer": kind}, value=kind).same(value).output("answer") == value


def test_arrays_matrices_and_frames_there_and_back(publish):
    vector = publish(same, {"answer": "array"}, value="array").same(np.array([1.5, np.nan, 3])).output("answer")
    assert vector[0] == 1.5
    assert vector[1] is None
    matrix = publish(same, {"answer": "matrix"}, value="matrix").same(np.asmatrix([[1, 2], [3, 4]])).output("answer")
    assert matrix.tolist() == [[1, 2], [3, 4]]
    frame = pd.DataFrame({"n": [1, 2], "f": [0.5, None], "s": ["a", None], "t": pd.to_datetime(["2026-01-02", None])})
    found = publish(same, {"answer": "DataFrame"}, value="DataFrame").same(frame).output("answer")
    assert list(found.columns) == ["n", "f", "s", "t"]
    assert found["t"].tolist()[0] == "2026-01-02T00:00:00"
    assert found["f"].isna().tolist() == [False, True]


def test_size_one_arrays_stand_for_scalars_and_nan_is_null(server, publish):
    def predict(x: float) -> int:
        return np.argmax(np.array([[0.1, x]]), axis=1)

    assert publish(predict, {"answer": int}, x=float).predict(1.0).output("answer") == 1

    def missing() -> float:
        return float("nan")

    service = publish(missing)
    assert server.request("POST", f"/api/{service.name}/1", {}).body.endswith(b'{"answer":null}}')


def test_times_are_iso_strings_on_the_wire(publish):
    def later(when: dt.datetime) -> dt.datetime:
        return when + dt.timedelta(days=1)

    service = publish(later, {"answer": dt.datetime}, when=dt.datetime)
    assert service.later(dt.datetime(2026, 2, 28, 12, 30)).raw_outputs == {"answer": "2026-03-01T12:30:00"}


def test_a_large_body_passes_through_and_is_checked_in_the_kernel(server, publish):
    def total(values) -> float:
        return float(np.sum(values))

    service = publish(total, values="array")
    assert service.total(np.ones(50_000)).output("answer") == 50_000
    refused = server.request("POST", f"/api/{service.name}/1", {"values": [1.0] * 50_000 + [{}]})
    assert refused.status == 400
    assert "$.values[50000]" in refused.json()["message"]


def test_large_bodies_and_answers_pass_whole_and_leave_no_file(server, publish):
    import glob

    service = publish(same, {"answer": "DataFrame"}, value="DataFrame")
    frame = pd.DataFrame({"n": range(200_000), "s": ["ü" * 5] * 200_000})
    found = service.same(frame).output("answer")
    assert found.equals(frame)
    (kernel,) = server.kernels(service.name, "1")
    run = os.path.dirname(os.path.dirname(os.readlink(f"/proc/{kernel}/cwd")))
    eventually(lambda: glob.glob(f"{run}/body-*") + glob.glob(f"{run}/*/reply-*") == [])
