"""Calls of a batchable service run together, and nobody can tell."""

import datetime as dt
import os
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestRegressor
from support import eventually

from jupyter_mlops.errors import CaptureError, InvalidInput, InvalidRequest, PublishRefused

SLOW = 0.03
"""Seconds of a group, so that callers meet while it runs."""


def at_once(callers, function, values):
    with ThreadPoolExecutor(callers) as threads:
        return list(threads.map(function, values))


def sizes(path):
    """How many rows ran together, group by group, as the function noted it."""
    return [int(line) for line in path.read_text().split()]


@pytest.mark.slow
def test_64_callers_get_what_they_would_alone(publish, tmp_path):
    random = np.random.default_rng(7)
    table = pd.DataFrame(random.uniform(0, 10, (300, 3)), columns=["hp", "wt", "qsec"])
    model = RandomForestRegressor(20, random_state=1).fit(table, table.hp * table.wt + table.qsec)
    note = tmp_path / "rows"

    def predict(cars):
        with open(note, "a") as file:
            file.write(f"{len(cars)}\n")
        return model.predict(cars)

    numbers = {"hp": float, "wt": float, "qsec": float}
    service = publish(predict, objects={"model": model, "note": str(note)}, row=table.head(3), **numbers)
    note.write_text("")
    rows = table.sample(200, random_state=3)
    expected = [model.predict(rows.iloc[[index]])[0] for index in range(len(rows))]
    answers = at_once(64, lambda row: service.predict(*row).output("answer"), rows.itertuples(index=False))
    assert answers == pytest.approx(expected, rel=1e-9)
    assert sum(sizes(note)) == 200
    assert len(sizes(note)) < 150, "hardly any call met another"
    assert max(sizes(note)) <= 64


def test_each_caller_gets_its_own_row(publish):
    def echo(nonce, x):
        time.sleep(0.002)
        return {"back": nonce, "twice": x * 2}

    service = publish(echo, {"back": str, "twice": float}, row={"nonce": "n", "x": 1.0}, nonce=str, x=float)

    def call(index):
        answer = service.echo(f"nonce-{index}", index).outputs
        return answer == {"back": f"nonce-{index}", "twice": index * 2.0}

    assert all(at_once(32, call, range(1000)))


@pytest.fixture
def touchy(publish, tmp_path):
    """A service that raises, kills its kernel or hangs on a row that says so; and where it notes its groups."""
    note = tmp_path / "rows"

    def react(x, what):
        with open(note, "a") as file:
            file.write(f"{len(x)}\n")
        time.sleep(SLOW)
        if "raise" in what:
            raise ValueError("that row")
        if "exit" in what:
            os._exit(3)
        if "hang" in what:
            time.sleep(30)
        if "wait" in what:
            time.sleep(0.6)
        return x + 1

    service = publish(
        react, objects={"note": str(note), "SLOW": SLOW}, row=(1.0, "go"), timeout=2, pool={"max_pool_size": 1},
        x=float, what=str,
    )  # fmt: skip
    note.write_text("")
    return service, note


def test_a_row_that_raises_fails_alone(touchy):
    service, note = touchy
    answers = at_once(16, lambda i: service.react(i, "raise" if i == 9 else "go"), range(16))
    assert [answer.success for answer in answers] == [i != 9 for i in range(16)]
    assert [answer.output("answer") for i, answer in enumerate(answers) if i != 9] == [
        i + 1 for i in range(16) if i != 9
    ]
    assert "that row" in answers[9].error
    assert max(sizes(note)) > 1


def test_a_row_that_ends_the_kernel_costs_its_own_caller_only(server, touchy):
    service, note = touchy

    def call(i):
        return server.call(service.name, "1", x=i, what="exit" if i == 9 else "go")

    answers = at_once(16, call, range(16))
    assert [answer.status for answer in answers] == [502 if i == 9 else 200 for i in range(16)]
    assert [a.json()["outputParameters"]["answer"] for a in answers if a.status == 200] == [
        i + 1 for i in range(16) if i != 9
    ]
    assert max(sizes(note)) > 1


def test_a_row_past_its_deadline_does_not_take_the_others_along(server, touchy):
    service, note = touchy

    def call(i, what):
        return server.call(service.name, "1", x=i, what=what)

    with ThreadPoolExecutor(8) as threads:
        first = threads.submit(call, 0, "wait")
        time.sleep(0.1)
        late = threads.submit(call, 1, "hang")
        time.sleep(0.4)  # so much later are the deadlines of the others, who wait in the same group
        others = [threads.submit(call, i, "go") for i in range(2, 7)]
        assert first.result().status == 200
        assert late.result().status == 504
        assert [other.result().json()["outputParameters"]["answer"] for other in others] == [3, 4, 5, 6, 7]
    assert 6 in sizes(note), "they did not wait in one group"


def test_what_a_group_prints_is_shown_to_nobody(publish):
    def talk(secret):
        time.sleep(SLOW)
        print(*secret)
        return secret

    service = publish(talk, {"answer": str}, row="a", objects={"SLOW": SLOW}, secret=str)
    answers = at_once(16, lambda i: (i, service.talk(f"secret{i}")), range(48))
    for i, answer in answers:
        assert answer.output("answer") == f"secret{i}"
        assert answer.console_output in {"", f"secret{i}\n"}
    assert any(answer.console_output == "" for _, answer in answers)


def test_a_function_that_mixes_rows_is_refused(publish):
    def center(x):
        return x - x.mean()

    with pytest.raises(PublishRefused, match="depends on which rows run together, so the service cannot be batchable"):
        publish(center, row=1.0, x=float)

    def rank(frame):
        return frame["x"].rank()

    with pytest.raises(PublishRefused, match="Compute each row from its own values only"):
        publish(rank, row=pd.DataFrame({"x": [1.0, 2.0]}), x=float)


def test_an_answer_that_changes_by_itself_is_refused_with_that_reason(publish):
    import random

    def chance(x):
        return [random.random() for _ in x]

    def clock(x):
        return x + time.time() % 10

    for function in (chance, clock):
        with pytest.raises(PublishRefused, match="the very same row changes from run to run"):
            publish(function, row=[(1.0,), (2.0,)], x=float)


@pytest.mark.parametrize("way", ["hang", "die"])
def test_made_up_rows_that_hang_or_kill_cost_one_deadline(publish, tmp_path, way):
    note = tmp_path / "rows"

    def react(x):
        with open(note, "a") as file:
            file.write(f"{len(x)}\n")
        if max(x) > 1:
            time.sleep(30) if way == "hang" else os._exit(3)
        return x * 2

    service = publish(react, objects={"note": str(note), "way": way}, row=1.0, timeout=1, x=float)
    # The sample, one made-up row, and then the sample in five kinds of company.
    assert sizes(note) == [1, 1, *[1, 1, 3, 2, 2]]
    assert service.react(0.5).output("answer") == 1.0


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ("x[:1]", "one value per row: 4 rows, 1 returned"),
        ("None", "returned NoneType None|4 rows, nothing returned|1 rows, nothing returned"),
        ("3.0", "returns an array, Series or list with one value per row; it returned float 3.0"),
        ("list(x) + [1.0]", "one value per row: 1 rows, 2 returned"),
        ("{'b': x}", "there is no column 'answer'"),
    ],
)
def test_an_answer_of_another_length_is_refused(publish, returned, message):
    namespace = {}
    exec(f"def odd(x):\n    return {returned}\n", namespace)
    with pytest.raises(PublishRefused, match=message) as refused:
        publish(namespace["odd"], row=1.0, x=float)
    assert "jupyter_mlops" not in str(refused.value)


@pytest.mark.parametrize(
    "returned",
    [
        "(x * 2, ['v%g' % v for v in x])",
        "{'b': ['v%g' % v for v in x], 'a': x * 2, 'more': 1}",
        "__import__('pandas').DataFrame({'b': ['v%g' % v for v in x], 'a': x * 2})",
    ],
)
def test_several_outputs(publish, returned):
    namespace = {}
    exec(f"def several(x):\n    return {returned}\n", namespace)
    service = publish(namespace["several"], {"a": float, "b": str}, row=1.0, x=float)
    assert service.several(2).outputs == {"a": 4.0, "b": "v2"}
    many = service.several([2, 3]).outputs
    assert many["a"].tolist() == [4, 6]
    assert many["b"].tolist() == ["v2", "v3"]


@pytest.fixture(scope="module")
def adder(server):
    """A batchable service with an input of each kind."""
    from jupyter_mlops import DeployClient

    def mix(n, x, text, yes):
        return {"n": n, "x": x, "text": text, "yes": yes}

    client = DeployClient(server.url, auth=server.token)
    kinds = {"n": int, "x": float, "text": str, "yes": bool}
    return client.deploy_service(
        "mixed", version="1", code_fn=mix, batchable=True, sample=(1, 2.5, "a", True), inputs=kinds, outputs=kinds
    )


def test_a_list_of_rows_and_columns_are_answered_in_order(server, adder):
    rows = [{"n": i, "x": i / 2, "text": str(i), "yes": i % 2 == 0} for i in range(100)]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    for body in (rows, columns):
        answer = server.request("POST", "/api/mixed/1", body)
        assert answer.json()["outputParameters"] == columns
    assert server.request("POST", "/api/mixed/1", rows[3]).json()["outputParameters"] == rows[3]
    assert server.request("POST", "/api/mixed/1", rows[3:4]).json()["outputParameters"]["n"] == [3]
    frame = pd.DataFrame(columns)
    assert pd.DataFrame(adder.mix(frame).outputs).equals(frame)
    assert adder.mix({name: np.array(column) for name, column in columns.items()}).output("n").tolist() == columns["n"]


def test_many_rows_at_once_meet_single_ones(adder):
    def call(i):
        if i % 3:
            return adder.mix(i, i, str(i), True).outputs == {"n": i, "x": float(i), "text": str(i), "yes": True}
        answer = adder.mix([i, i + 1], [i, i], [str(i), "b"], [True, False]).outputs
        return [answer[name].tolist() for name in ("n", "x", "text", "yes")] == [
            [i, i + 1], [i, i], [str(i), "b"], [True, False],
        ]  # fmt: skip

    assert all(at_once(16, call, range(300)))


@pytest.mark.parametrize("count", [1, 3000])
@pytest.mark.parametrize("shape", ["rows", "columns"])
def test_what_does_not_fit_is_400_and_says_where(server, adder, shape, count):
    good = {"n": 1, "x": 1.0, "text": "a" * 30, "yes": True}
    rows = [dict(good) for _ in range(count)]
    rows[-1]["n"] = 1.5
    body = rows if shape == "rows" else {name: [row[name] for row in rows] for name in good}
    refused = server.request("POST", "/api/mixed/1", body)
    assert refused.status == 400
    where = f"$[{count - 1}].n" if shape == "rows" else f"$.n[{count - 1}]"
    assert refused.json()["message"].startswith(f"{where}: expected integer, got 1.5")


def test_columns_of_different_lengths_are_400(server, adder):
    body = {"n": [1, 2], "x": [1.0], "text": ["a"], "yes": [True]}
    assert "columns of one length" in server.request("POST", "/api/mixed/1", body).json()["message"]
    with pytest.raises(InvalidInput, match="not of one length"):
        adder.mix(*body.values())
    with pytest.raises(InvalidInput, match="'x' is one value and others are columns"):
        adder.mix([1], 1.0, ["a"], [True])


def test_missing_values_are_the_same_alone_and_in_company(server, publish):
    def fill(x, n, text):
        time.sleep(SLOW)
        return {
            "x": np.where(np.isnan(x), -1.0, x),
            "n": n * 2,
            "text": [None if one is None else one + "!" for one in text],
        }

    service = publish(
        fill, {"x": float, "n": float, "text": str}, row=(1.0, 2, "a"), objects={"SLOW": SLOW}, x=float, n=int, text=str
    )
    assert service.fill(None, None, None).outputs == {"x": -1.0, "n": None, "text": None}

    def call(i):
        if i % 4 == 0:
            return service.fill(None, None, None).outputs == {"x": -1.0, "n": None, "text": None}
        return service.fill(i, i, str(i)).outputs == {"x": float(i), "n": 2.0 * i, "text": f"{i}!"}

    assert all(at_once(16, call, range(64)))
    raw = server.request("POST", f"/api/{service.name}/1", {"x": [1, None], "n": [None, 2], "text": [None, "b"]})
    assert raw.json()["outputParameters"] == {"x": [1, -1], "n": [None, 4], "text": [None, "b!"]}


def test_large_bodies_pass_through(server, publish):
    def double(x, text):
        return {"y": x * 2, "size": [len(one) for one in text]}

    service = publish(double, {"y": float, "size": int}, row=(1.0, "a"), x=float, text=str)
    numbers = np.arange(30_000, dtype=float)
    answer = service.double(numbers, ["abc"] * len(numbers))
    assert (answer.output("y") == numbers * 2).all()
    assert set(answer.output("size")) == {3}
    assert service.double(1, "x" * 100_000).outputs == {"y": 2.0, "size": 100_000}
    rows = [{"x": i, "text": "t" * 50} for i in range(2000)]
    raw = server.request("POST", f"/api/{service.name}/1", rows)
    assert raw.json()["outputParameters"]["y"] == [i * 2 for i in range(2000)]
    with ThreadPoolExecutor(8) as threads:
        small = [threads.submit(service.double, i, "ab") for i in range(50)]
        large = [threads.submit(service.double, numbers, ["a"] * len(numbers)) for _ in range(4)]
        assert [one.result().output("y") for one in small] == [i * 2.0 for i in range(50)]
        assert all((one.result().output("y") == numbers * 2).all() for one in large)


def test_no_row_at_all(adder):
    assert adder.mix([], [], [], []).output("x").tolist() == []


def test_what_cannot_be_batchable_is_400(server, publish):
    def whole(x):
        return x

    service = publish(whole, {"answer": "array"}, x="array")
    refused = server.request("PATCH", f"/services/{service.name}/1", {"batchable": True, "sample": {"x": [1]}})
    assert refused.status == 400
    assert refused.json()["message"].startswith("x: a batchable service's inputs are single values per row")

    service = publish(whole, x=float)
    refused = server.request("PATCH", f"/services/{service.name}/1", {"batchable": True})
    assert refused.status == 400
    assert "a batchable service needs a sample" in refused.json()["message"]
    body = {"batchable": True, "sample": {"x": 1}, "outputFileNames": ["a.csv"]}
    refused = server.request("PATCH", f"/services/{service.name}/1", body)
    assert refused.status == 400
    assert "declares no artifacts" in refused.json()["message"]
    refused = server.request("POST", "/services/coded/1", {"code": "z = 1", "batchable": True})
    assert refused.status == 400
    assert "only a function can be batchable" in refused.json()["message"]


def test_the_client_says_so_before_anything_is_sent(client):
    def f(x):
        return x

    async def g(x):
        return x

    batchable = client.service("never").code_fn(f).batchable()
    with pytest.raises(InvalidRequest, match="needs a sample"):
        batchable.inputs(x=float).deploy()
    with pytest.raises(InvalidRequest, match="declare what one row's value is"):
        batchable.inputs(x="array").sample(1.0).deploy()
    with pytest.raises(InvalidRequest, match="returned float"):
        client.service("never").code_fn(lambda x: x.size * 1.0).batchable().sample(2.0).deploy()
    with pytest.raises(CaptureError, match="called with columns"):
        client.service("never").code_fn(lambda x: float(x.nothing)).batchable().sample(2.0).deploy()
    with pytest.raises(CaptureError, match="async function cannot be batchable"):
        client.service("never").code_fn(g).batchable().sample(2.0).deploy()


def test_a_publish_again_and_with_other_rows(server, publish, client):
    def double(x):
        return x * 2

    definition = client.service("again").version("1").code_fn(double).batchable().sample([{"x": 1.0}, {"x": None}])
    service = definition.deploy()
    assert service.view.proof == "answered"
    assert service.view.batchable
    assert definition.deploy().unchanged
    assert service.double([1.5, None]).output("answer").tolist() == [3.0, None]


def test_groups_are_shared_among_kernels(server, publish):
    def work(x):
        time.sleep(0.02)
        return x + os.getpid() * 0

    service = publish(
        work, row=1.0, pool={"initial_pool_size": 2, "max_pool_size": 2, "group_size": 4}, objects={"os": os}, x=float
    )
    eventually(lambda: len(service.pool().kernels) == 2)
    assert at_once(32, lambda i: service.work(i).output("answer"), range(200)) == [float(i) for i in range(200)]
    assert all(kernel.calls > 20 for kernel in service.pool().kernels)


def test_points_in_time_come_and_go(publish):
    def later(when):
        return when + pd.Timedelta(days=1)

    first, second = dt.datetime(2026, 2, 28, 12), dt.datetime(2026, 12, 31)
    stamps = {"answer": dt.datetime}
    service = publish(later, stamps, row={"when": first}, when=dt.datetime)
    assert service.later(first).output("answer") == dt.datetime(2026, 3, 1, 12)
    assert service.later([first, second]).output("answer") == [dt.datetime(2026, 3, 1, 12), dt.datetime(2027, 1, 1)]
    frames = publish(lambda frame: frame["when"] + pd.Timedelta(days=1), stamps, row={"when": first}, when=dt.datetime)
    assert frames(second).output("answer") == dt.datetime(2027, 1, 1)


def test_an_update_is_proved_with_the_sample_given_before(server, client, publish):
    def double(x):
        return x * 2

    def triple(x):
        return {"answer": x * 3}

    def center(x):
        return x - x.mean()

    name = publish(double, row=[(1.0,), (2.0,)], x=float).name
    service = client.service(name).version("1").description("twice").redeploy()
    assert (service.view.description, service.view.proof, service.view.batchable) == ("twice", "answered", True)
    service = client.service(name).code_fn(triple).redeploy()
    assert (service.view.description, service.view.proof, service.view.batchable) == ("twice", "answered", True)
    assert service.triple([1, 2]).output("answer").tolist() == [3, 6]
    with pytest.raises(PublishRefused, match="depends on which rows run together"):
        client.service(name).code_fn(center).redeploy()
    with pytest.raises(InvalidRequest, match="needs a sample"):
        client.service(name).code_fn(triple).inputs(x=int).redeploy()
    service = client.service(name).code_fn(triple).sample(5).redeploy()
    assert service.view.batchable
    assert service.triple(1).output("answer") == 3
    service = client.service(name).code_fn(double).outputs(answer="integer").redeploy()
    assert service.double(4).output("answer") == 8


def test_a_large_sample_is_not_kept(server, publish, client):
    def size(text):
        return [len(one) for one in text]

    name = publish(size, {"answer": int}, row="x" * 70_000, text=str).name
    with pytest.raises(InvalidRequest, match="needs a sample"):
        client.service(name).description("again").redeploy()
