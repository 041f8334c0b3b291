"""Microsoft's end-to-end example for R Server 9.1, request by request, as a generated client sends it.

It differs in one thing: today's scikit-learn wants rows, so that `predict(species_1)` is `predict([species_1])`.
"""

from __future__ import annotations

import pytest
from support import PASSWORD

FLOWERS = {"virginica": [7, 3.2, 4.7, 1.4], "setosa": [5.1, 3.5, 1.4, 0.2]}


@pytest.fixture(scope="module")
def api(server):
    """Requests with the headers that the example adds to each."""
    login = server.request("POST", "/login", {"username": "admin", "password": PASSWORD}, token=None)
    token = login.json()["access_token"]

    def request(method, path, body=None, status=200):
        answer = server.request(method, path, body, token=token, headers={"Content-Type": "application/json"})
        assert answer.status == status, answer.body
        return answer.json()

    return request


@pytest.mark.slow
def test_the_walkthrough(api):
    assert api("GET", "/status")["statusCode"] == "pass"

    session = api("POST", "/sessions", {"name": "Session 1", "runtimeType": "Python"}, 201)["sessionId"]
    execute = f"/sessions/{session}/execute"
    for code in (
        "from sklearn import svm\nfrom sklearn import datasets",
        "clf=svm.SVC()\niris=datasets.load_iris()\nnames={0:'I. setosa',1:'I. versicolor',2:'I. virginica'}",
    ):
        assert api("POST", execute, {"code": code})["success"]
    trained = api(
        "POST",
        execute,
        {
            "code": "clf.fit(iris.data, iris.target)\nresult=clf.predict([species_1])\n"
            "other_result=clf.predict([species_2])",
            "inputParameters": [
                {"name": "species_1", "value": FLOWERS["virginica"]},
                {"name": "species_2", "value": [3, 2.6, 3, 2.5]},
            ],
            "outputParameters": ["result", "other_result"],
        },
    )
    assert trained["success"], trained["errorMessage"]
    assert trained["outputParameters"] == [{"name": "result", "value": [1]}, {"name": "other_result", "value": [1]}]

    snapshot = api("POST", f"/sessions/{session}/snapshot", {"name": "Iris Snapshot"}, 201)["snapshotId"]
    (listed,) = api("GET", "/snapshots")
    assert (listed["id"], listed["name"], listed["owner"]) == (snapshot, "Iris Snapshot", "admin")

    publish = {
        "code": "iris_species = [names[x] for x in clf.predict([flower_data])]",
        "inputParameterDefinitions": [{"name": "flower_data", "type": "vector"}],
        "outputParameterDefinitions": [{"name": "iris_species", "type": "vector"}],
        "runtimeType": "Python",
        "snapshotId": snapshot,
    }
    assert api("POST", "/services/Iris/V1.0", publish, 201) == "V1.0"
    (service,) = api("GET", "/services/Iris/V1.0")
    assert service["inputParameterDefinitions"] == publish["inputParameterDefinitions"]
    swagger = api("GET", "/api/Iris/V1.0/swagger.json")
    assert list(swagger["paths"])[:3] == ["/login", "/login/refreshToken", "/api/Iris/V1.0"]
    assert {"InputParameters", "WebServiceResult"} <= set(swagger["definitions"])
    for flower, species in (("virginica", "I. versicolor"), ("setosa", "I. setosa")):
        result = api("POST", "/api/Iris/V1.0", {"flower_data": FLOWERS[flower]})
        assert result["outputParameters"] == {"iris_species": [species]}

    update = {"description": "Determines iris species", "runtimeType": "Python"}
    assert api("PATCH", "/services/Iris/V1.0", update) == "V1.0"
    publish |= {
        "code": f"{publish['code']}[0]",
        "outputParameterDefinitions": [{"name": "iris_species", "type": "string"}],
    }
    assert api("POST", "/services/Iris/V2.0", publish, 201) == "V2.0"
    result = api("POST", "/api/Iris/V2.0", {"flower_data": FLOWERS["setosa"]})
    assert result["outputParameters"] == {"iris_species": "I. setosa"}

    assert [one["version"] for one in api("GET", "/services")] == ["V1.0", "V2.0"]
    api("DELETE", "/services/Iris/V2.0")
    assert [one["description"] for one in api("GET", "/services/Iris")] == ["Determines iris species"]
    api("DELETE", f"/snapshots/{snapshot}")
    api("DELETE", f"/sessions/{session}")
    assert api("POST", "/api/Iris/V1.0", {"flower_data": FLOWERS["setosa"]})["success"]
