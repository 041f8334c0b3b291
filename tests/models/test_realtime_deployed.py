"""Every model of `docs/realtime-models.md` as a service: deployed on one server, it answers as it does here."""

from __future__ import annotations

import numpy as np
import pytest
from test_realtime_models_page import FUNCTIONS, _local, page  # noqa: F401  # the fixture

from jupyter_mlops import DeployClient

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def client(server):
    with DeployClient(server.url, auth=server.token) as client:
        yield client


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_counterpart_of_each_function_is_deployed_and_answers_over_http(function, page, client):  # noqa: F811
    left = page[function]
    service = client.realtime_service(function).version("1.0").serialized_model(left["serialized"]).deploy()
    response = service.consume(left["rows"])
    assert response.success, response.error
    answers = response.output("outputData")
    for name, expected in _local(left["model"], left["rows"]).items():
        if np.asarray(expected).dtype.kind == "f":
            np.testing.assert_allclose(answers[name], expected, rtol=1e-5, atol=1e-6)
        else:
            np.testing.assert_array_equal(answers[name].to_numpy(), expected)
    rows = [service.consume(left["rows"].iloc[[place]]).output("outputData") for place in range(min(3, len(answers)))]
    for place, row in enumerate(rows):
        for name in answers:
            one, many = row[name].iloc[0], answers[name].iloc[place]
            assert one == (pytest.approx(many, rel=1e-5, abs=1e-7) if isinstance(many, float) else many)
