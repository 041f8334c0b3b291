"""The walk of Machine Learning Server's notebook about realtime services: the old client, and ours, with rx_ models."""

from __future__ import annotations

import json
import pydoc

import numpy as np
import pandas as pd
import pytest
from azsdk import fresh
from sklearn.linear_model import LogisticRegression

from jupyter_mlops import DeployClient, serialize_model
from jupyter_mlops.compat.revoscalepy import rx_lin_mod, rx_logit, rx_predict, rx_serialize_model


def kyphosis(rows=81):
    """Made up, with the columns of the data that the notebook used."""
    random = np.random.default_rng(8)
    start = random.integers(1, 19, rows)
    frame = pd.DataFrame({"Age": random.integers(1, 207, rows), "Number": random.integers(2, 11, rows), "Start": start})
    present = random.random(rows) < 1 / (1 + np.exp(0.4 * start - 0.2 * frame["Number"] - 1))
    frame.insert(0, "Kyphosis", np.where(present, "present", "absent"))
    return frame


DATA = kyphosis()


@pytest.fixture(scope="module", params=["old", "ours"])
def either(request, client, server):
    if request.param == "old":
        yield client
        return
    with DeployClient(server.url, auth=server.token) as ours:
        yield ours


@pytest.mark.parametrize(
    ("train", "formula"), [(rx_lin_mod, "Start ~ Age + Number"), (rx_logit, "Kyphosis ~ Age + Number + Start")]
)
def test_the_notebooks_walk(either, train, formula):
    model = train(formula=formula, data=DATA)
    local = rx_predict(model, data=DATA)
    name = fresh("LinModService")
    definition = either.realtime_service(name).version("1.0")
    service = (
        definition.serialized_model(rx_serialize_model(model, realtime_scoring_only=True)).description("rt").deploy()
    )
    assert "consume" in pydoc.render_doc(service, renderer=pydoc.plaintext)
    assert service.capabilities()["runtime"] == "Realtime"
    column = local.columns[0]
    for rows in (DATA, DATA.drop(columns=formula.partition(" ")[0])):  # with what the formula explains, and without
        answer = service.consume(rows)
        assert answer.output("outputData")[column].tolist() == pytest.approx(local[column].tolist(), abs=1e-6)
        assert set(answer.outputs) == {"outputData"}
    assert f"/api/{name}/1.0" in json.loads(service.swagger())["paths"]
    again = either.get_service(name, version="1.0")
    assert len(again.consume(DATA[:1]).output("outputData")) == 1
    changed = either.realtime_service(name).version("1.0")
    changed.serialized_model(rx_serialize_model(model, realtime_scoring_only=True)).description("changed").redeploy()
    assert either.list_services(name, version="1.0")[0]["description"] == "changed"
    assert either.delete_service(name, version="1.0")


def test_what_the_old_client_takes_of_serialize_model(either):
    columns = ["Age", "Number", "Start"]
    model = LogisticRegression(max_iter=10_000).fit(DATA[columns], DATA["Kyphosis"])
    service = either.deploy_realtime(
        fresh("kyphosis"), version="1.0", alias="score", serialized_model=serialize_model(model, DATA, quiet=True)
    )
    for rows in (DATA[columns], DATA[columns[::-1]], DATA):
        frame = service.score(rows).output("outputData")
        assert frame["prediction"].tolist() == model.predict(DATA[columns]).tolist()
        assert frame["probability_present"].tolist() == pytest.approx(
            model.predict_proba(DATA[columns])[:, 1].tolist(), abs=1e-6
        )
