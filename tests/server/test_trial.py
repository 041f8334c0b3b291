"""The author's own answer beside that of a fresh kernel."""

from __future__ import annotations

import pytest

HALF = {"code": "y = x / 3", "inputs": "x:numeric", "outputs": "y:numeric"}


def publish(server, name, expected, **more):
    settings = {**HALF, "sample": {"x": 1.0}, **more}
    code, inputs, outputs = (settings.pop(key) for key in ("code", "inputs", "outputs"))
    return server.publish_code(name, "1", code, inputs, outputs, expected=expected, **settings)


def test_the_same_answer_is_published_and_kept(server):
    assert publish(server, "same", {"y": 1 / 3}).status == 201
    (revision,) = server.request("GET", "/services/same/1/revisions").json()
    assert revision["sample"] == '{"x": 1.0}'
    assert revision["answer"] == '{"y":0.3333333333333333}'


@pytest.mark.parametrize(
    ("expected", "more", "status"),
    [
        ({"y": 1 / 3 * (1 + 1e-10)}, {}, 201),
        ({"y": 1 / 3 * (1 + 1e-8)}, {}, 422),
        ({"y": 1 / 3 * (1 + 1e-8)}, {"tolerance": 1e-6}, 201),
        ({"y": 1 / 3 * (1 + 1e-12)}, {"tolerance": 0}, 422),
        ({"y": None}, {}, 422),
        ({"z": 1 / 3}, {}, 422),
        ({"y": 7}, {"force": True}, 201),
        ({"y": True}, {"code": "y = 1.0"}, 422),
        ({"y": 1e-17}, {"code": "y = 0.0"}, 201),
        ({"y": 1}, {"tolerance": 2}, 400),
        ([{"y": 1}, {"y": 1}], {}, 400),
        (3, {}, 400),
        ({"y": [1, [2.5, "a"]]}, {"code": "y = [1, 2]", "outputs": "y:vector"}, 422),
    ],
)
def test_how_near_is_near_enough(server, expected, more, status, request):
    name = f"near-{request.node.callspec.id}"
    answer = publish(server, name, expected, **more)
    assert answer.status == status, answer.json()
    assert len(server.request("GET", f"/services/{name}").json()) == (status == 201)


def test_a_refusal_shows_both_answers_and_where_they_differ(server):
    own = {"a": [1.0, 2.0, 4.0], "b": "x"}
    answer = publish(server, "shown", own, code="a = [1.0, 2.0, 3.0]; b = 'x'", outputs="a:vector,b:character")
    assert answer.status == 422
    assert answer.json()["fields"] == "$.expected"
    message = answer.json()["message"]
    assert "       notebook       fresh kernel\n  ! a  [1.0,2.0,4.0]  [1.0,2.0,3.0]\n    b  " in message
    assert "a[2] is 4.0 there and 3.0 here" in message
    assert "--force" in message


def test_chance_is_told_from_a_fault(server):
    answer = publish(server, "chance", {"y": 0.5}, code="import random; y = random.random()")
    assert answer.status == 422
    assert "differently from call to call" in answer.json()["message"]
    assert publish(server, "chance", {"y": 0.5}, code="import random; y = random.random()", force=True).status == 201


def test_an_expected_answer_needs_a_sample(server):
    answer = server.publish_code("none", "1", "y = 1", "", "y:numeric", expected={"y": 1})
    assert (answer.status, answer.json()["fields"]) == (400, "$.expected")
