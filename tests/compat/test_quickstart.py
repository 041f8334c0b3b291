"""Microsoft's quickstart notebook, on a server whose Python has revoscalepy and microsoftml (here: stand-ins).

Whoever moves brings such packages as they were: into the site-packages of the Python that scores. The models are
pickled by reference to them.
"""

from __future__ import annotations

import site
import sys
import sysconfig
import venv
from pathlib import Path

import pandas as pd
import pytest
from azsdk import HttpException, Sdk
from support import PASSWORD, RunningServer

HERE = Path(__file__).parent
STANDINS = HERE / "standins"


def init():
    import pandas as pd  # noqa: F401


def manualTransmission(hp, wt):  # noqa: N802
    import pandas as pd
    from revoscalepy import rx_predict

    newdata = pd.DataFrame({"hp": [hp], "wt": [wt]})
    answer = rx_predict(cars_model, data=newdata)
    answer.to_csv("answer.csv")
    return answer


@pytest.fixture(scope="module")
def scoring_python(tmp_path_factory):
    """A Python with what this one has, and the stand-ins beside it."""
    place = tmp_path_factory.mktemp("python")
    venv.create(place, symlinks=True)
    packages = Path(sysconfig.get_path("purelib", "venv", vars={"base": str(place)}))
    paths = [*site.getsitepackages(), str(HERE.parents[1]), str(STANDINS)]
    (packages / "scoring.pth").write_text("\n".join(paths))
    return str(Path(sysconfig.get_path("scripts", "venv", vars={"base": str(place)})) / "python")


@pytest.fixture(scope="module")
def sdk(scoring_python, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "executable", scoring_python)
        server = RunningServer(tmp_path_factory.mktemp("mlops") / "data")
    sdk = Sdk(server.url, ("admin", PASSWORD))
    yield sdk
    sdk.close()
    assert server.stop() == 0


@pytest.fixture
def cars_model(monkeypatch):
    """Trained where the notebook is, which has the packages too."""
    monkeypatch.syspath_prepend(str(STANDINS))
    from microsoftml.datasets.datasets import get_dataset
    from revoscalepy import rx_lin_mod

    yield rx_lin_mod(formula="am ~ hp + wt", data=get_dataset("mtcars").as_df())
    for name in [name for name in sys.modules if name.partition(".")[0] in {"revoscalepy", "microsoftml"}]:
        del sys.modules[name]


def deploy(client, model):
    return (
        client.service("TxService")
        .version("1.0")
        .code_fn(manualTransmission, init)
        .inputs(hp=float, wt=float)
        .outputs(answer=pd.DataFrame)
        .models(cars_model=model)
        .description("My first python model")
        .artifacts(["image.png", "answer.csv"])
        .deploy()
    )


def test_the_quickstart(sdk, cars_model):
    client = sdk.connect(sdk.auth)
    service = deploy(client, cars_model)
    response = service.manualTransmission(120, 2.8)
    assert response.error == ""
    assert response.output("answer")["am_Pred"].tolist() == pytest.approx([0.5332668559970368], abs=1e-12)
    assert response.console_output.startswith("Rows Read: 1, Total Rows Processed: 1")
    assert response.artifact("answer.csv", encoding="utf-8").startswith(",am_Pred\n0,0.53326685")
    assert response.artifacts["image.png"] is None
    found = client.get_service("TxService", version="1.0")
    assert found.manualTransmission(93, 3.0).error == ""


def test_a_python_without_the_package_says_so(server, cars_model):
    sdk = Sdk(server.url, ("admin", PASSWORD))
    with pytest.raises(HttpException) as caught:
        deploy(sdk.connect(sdk.auth), cars_model)
    assert caught.value.status == 400
    assert "'revoscalepy'" in caught.value.body
    assert "pip install revoscalepy" in caught.value.body
    sdk.close()
