"""The magics in a real shell on a real server."""

# ruff: noqa: E501  (tables of cases and cells are read by the line)

from __future__ import annotations

import subprocess
import sys

import pytest
from IPython.core.completer import provisionalcompleter
from support import PASSWORD, eventually

from jupyter_mlops.notebook.arguments import parse, publish_parser, split, types_of

CARS = """%%publish {line}
def manual(hp: float, wt: float) -> float:
    return hp * factor + wt
"""


def text_of(notebook, value):
    return notebook.shell.display_formatter.format(value)[0]["text/plain"]


def html_of(notebook, value):
    return notebook.shell.display_formatter.format(value)[0]["text/html"]


def test_a_cell_becomes_a_service(notebook):
    notebook.ok("factor = 2")
    ran = notebook.ok(CARS.format(line="cell-cars 1.0 --sample 120,2.8 --as service"))
    assert ran.value is notebook.shell.user_ns["service"]
    assert notebook.ok("service.manual(120, 2.8).output('answer')").value == 242.8
    text = text_of(notebook, ran.value)
    for part in (
        "cell-cars 1.0", "loaded and answered the sample", "hp: numeric, wt: numeric", "answer: numeric", "factor",
        ran.value.url, "/docs", "curl -s -X POST", "$(jupyter mlops token)", "'{\"hp\": 120.0, \"wt\": 2.8}'",
        "DeployClient().get_service('cell-cars', '1.0').manual(120.0, 2.8)",
    ):  # fmt: skip
        assert part in text


def test_the_result_is_the_service_and_the_names_of_the_cell_stay(notebook):
    ran = notebook.ok("%%publish returned 1.0\nk = 3\ndef f(x: float) -> float:\n    return x * k")
    assert ran.value.name == "returned"
    assert notebook.ok("_.f(2).output('answer')").value == 6.0
    assert notebook.ok("f(2)").value == 6.0
    assert "service" not in notebook.shell.user_ns
    assert "loaded, not run" in text_of(notebook, ran.value)


def test_the_last_function_is_published_or_the_one_named(notebook):
    cell = "%%publish {line}\ndef a(x: float) -> float:\n    return x\nif True:\n    def b(x: float) -> float:\n        return -x\n"
    assert notebook.ok(cell.format(line="last 1")).value.alias == "b"
    assert notebook.ok(cell.format(line="named 1 --function a")).value.alias == "a"
    assert notebook.ok("%publish a lined 1 --alias go").value.go(1).output("answer") == 1.0
    assert notebook.ok("%%publish lam 1 --sample 2.0\nf = lambda x: x + 1").value.f(1).output("answer") == 2.0


def test_artifacts_init_keep_drop_timeout_and_description(notebook):
    notebook.ok("import threading\nlock = threading.Lock()\nhidden = 4")
    ran = notebook.ok(
        "%%publish full 1.0 --artifacts answer.csv,b.txt --init start --drop lock --keep hidden --timeout 7 "
        '--description "All <b>options</b>" --outputs answer=float --inputs x=int\n'
        "def start():\n    global lock\n    lock = threading.Lock()\n"
        "def f(x):\n    with lock, open('answer.csv', 'w') as file:\n        file.write('1')\n    return globals()['hidden']\n"
    )
    service = ran.value
    response = service.f(1)
    assert response.output("answer") == 4.0
    assert response.artifacts == {"answer.csv": "MQ==", "b.txt": None}
    assert (service.view.timeout, service.view.description) == (7.0, "All <b>options</b>")
    assert {one.name for one in service.view.captured} == {"f", "start", "hidden", "threading"}
    html = html_of(notebook, service)
    assert "All &lt;b&gt;options&lt;/b&gt;" in html
    assert "<script" not in html
    assert "src=" not in html


def test_a_private_service_keeps_nothing_of_its_calls(notebook):
    cell = "%%publish {line}\ndef f(x: float) -> float:\n    return 1 / x\n"
    open_, closed = (notebook.ok(cell.format(line=line)).value for line in ("told 1", "untold 1 --private"))
    assert not closed.f(0).success
    assert not open_.f(0).success
    assert eventually(open_.failures)  # one thread keeps them in their order: the private one's came first
    assert closed.failures() == []
    assert notebook.ok(cell.format(line="untold 1 --private")).value.unchanged
    assert "private" in notebook.refused(cell.format(line="untold 1"))


def test_an_environment_is_locked_or_none(notebook):
    cell = "%%publish enclosed 1 --environment {word}\ndef f(x: float) -> float:\n    return x\n"
    message = notebook.refused(cell.format(word="conda"))
    assert "--environment" in message
    assert "locked" in message


def test_an_interrupted_publish_leaves_nothing_behind(notebook, server, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    notebook.ok("import numpy as np\nbig = np.arange(20_000.0)")
    cell = "%%publish cut 1\ndef f(x: float) -> float:\n    return x + big[0]\n"
    for place in ("capture.hashing.Digests.of", "client.sending._send_blob", "client.publish._publish"):
        with monkeypatch.context() as patch:
            patch.setattr(f"jupyter_mlops.{place}", interrupted)
            assert "interrupted: " in notebook.refused(cell)
    assert server.request("GET", "/services/cut").json() == []
    assert not list((server.data_dir / "uploads").iterdir())
    assert notebook.ok(cell).value.f(2).output("answer") == 2.0


def test_publishing_again(notebook):
    notebook.ok("factor = 2")
    line = "again 1.0 --sample 1,2"
    first = notebook.ok(CARS.format(line=line)).value
    again = notebook.ok(CARS.format(line=line)).value
    assert (first.unchanged, again.unchanged) == (False, True)
    assert "unchanged" in text_of(notebook, again)
    notebook.ok("factor = 3")
    message = notebook.refused(CARS.format(line=line))
    assert "factor" in message
    assert "--update" in message
    updated = notebook.ok(CARS.format(line=line + " --update")).value
    assert updated.manual(1, 0).output("answer") == 3.0
    assert updated.view.revision == 2
    assert notebook.ok(CARS.format(line="again 1.1 --sample 1,2")).value.version == "1.1"
    fresh = notebook.ok(CARS.format(line="fresh 1.0 --update")).value
    assert fresh.version == "1.0"


def test_without_a_version_the_numbers_count(notebook):
    notebook.ok("factor = 2")
    assert notebook.ok(CARS.format(line="counted")).value.version == "1"
    assert notebook.ok(CARS.format(line="counted")).value.version == "1"
    notebook.ok("factor = 3")
    assert notebook.ok(CARS.format(line="counted")).value.version == "2"


SAMPLES = [
    "(120, 2.8)",
    "120, 2.8",
    '{"hp": 120, "wt": 2.8}',
    "{'wt':2.8,'hp':120}",
    "frame",
    "frame.iloc[0]",
    "-120 , 2.8",
    "[120, 2.8]",
]


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_sample_may_be_written_in_many_ways(notebook, sample):
    notebook.ok("import pandas as pd\nfactor = 2\nframe = pd.DataFrame({'wt': [2.8], 'hp': [120], 'am': [1]})")
    service = notebook.ok(CARS.format(line=f"sampled-{SAMPLES.index(sample)} 1 --sample {sample} --alias go")).value
    assert service.view.proof == "answered"
    assert abs(service.example["hp"]) == 120.0


def test_an_estimator_is_published_as_it_is(notebook):
    notebook.ok(
        "from sklearn.datasets import load_iris\nfrom sklearn.svm import SVC\nX, y = load_iris(return_X_y=True, as_frame=True)\n"
        "clf = SVC(kernel='linear').fit(X, y)\nnamed = SVC().fit(X, y.map(dict(enumerate('abc'))))\n"
        "bare = SVC(kernel='linear').fit(X.to_numpy(), y)\n"
        "from sklearn.linear_model import LinearRegression\nline = LinearRegression().fit(X[['sepal length (cm)']], X)"
    )
    service = notebook.ok("%publish clf iris --sample X.head(1)").value
    row = {"sepal length (cm)": 5.9, "sepal width (cm)": 3.0, "petal length (cm)": 5.1, "petal width (cm)": 1.8}
    assert service.predict(row).output("answer") == 2
    assert service.predict(5.1, 3.5, 1.4, 0.2).output("answer") == 0
    assert service.predict(row).console_output == ""
    assert {one.name: one.type for one in service.view.captured if one.kind == "data"} == {"clf": "SVC"}
    assert "clf.predict(row)" in service.view.code
    assert notebook.ok("%publish named iris-named").value.predict(row).output("answer") == "c"
    service = notebook.ok("%publish bare iris-bare --sample X.to_numpy()[:1]").value
    assert service.predict({"x0": 5.9, "x1": 3.0, "x2": 5.1, "x3": 1.8}).output("answer") == 2
    service = notebook.ok("%publish line several --sample 5.1").value
    assert len(service.predict(5.1).output("answer")) == 4


def test_a_model_file_is_published(notebook, tmp_path):
    notebook.ok(
        "import joblib, pickle, pathlib\nfrom sklearn.linear_model import LinearRegression\n"
        "model = LinearRegression().fit([[1.0], [2.0]], [2.0, 4.0])\njoblib.dump(model, 'line.joblib')\n"
        "path = pathlib.Path('line.pkl')\npath.write_bytes(pickle.dumps(model))"
    )
    for index, what in enumerate(["line.joblib", "line.pkl", "path", "./line.joblib"]):
        service = notebook.ok(f"%publish {what} file-{index} --sample 3.0").value
        assert service.predict(3).output("answer") == pytest.approx(6.0)
    (tmp_path / "broken.pkl").write_bytes(b"nonsense")
    assert "broken.pkl does not load" in notebook.refused("%publish broken.pkl x")
    assert "there is no file gone.pkl" in notebook.refused("%publish gone.pkl x")


def test_tracebacks_show_the_cells_own_lines(notebook):
    service = notebook.ok("%%publish raising 1\ndef f(x: float) -> float:\n    # a comment\n    return 1 / x").value
    error = service.f(0).error
    assert "return 1 / x" in error
    assert 'File "<cell ' in error
    assert "ZeroDivisionError" in error


def test_modules_beside_the_notebook_go_along(notebook, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "beside_utils.py").write_text(
        "import beside_package.part\ndef helper(x): return beside_package.part.K * x\n"
    )
    (tmp_path / "beside_package").mkdir()
    (tmp_path / "beside_package" / "__init__.py").write_text("")
    (tmp_path / "beside_package" / "part.py").write_text("K = 5\n")
    (tmp_path / "unrelated.py").write_text("raise SystemExit\n")
    notebook.ok("from beside_utils import helper\nimport beside_utils")
    cell = "%%publish beside 1\ndef f(x: float) -> float:\n    return helper(x) + beside_utils.helper(x)"
    assert notebook.ok(cell).value.f(2).output("answer") == 20.0
    assert notebook.ok(cell).value.unchanged
    (tmp_path / "beside_package" / "part.py").write_text("K = 6\n")
    assert "beside_package/part.py" in notebook.refused(cell)


def test_services_as_a_table_and_a_card(notebook):
    notebook.ok("factor = 2")
    notebook.ok(CARS.format(line="tabled 1.0"))
    notebook.ok(CARS.format(line="tabled 2.0"))
    table = notebook.ok("%services").value
    assert "tabled" in repr(table)
    assert "<td" in table._repr_html_()
    assert repr(notebook.ok("%services tabled").value).count("tabled") == 2
    card = notebook.ok("%services tabled 1.0").value
    assert "tabled 1.0" in text_of(notebook, card)
    assert "'never'" in notebook.refused("%services never") or "never" in notebook.refused("%services never")


def test_connecting(notebook, server, monkeypatch):
    assert "found by itself" in notebook.ok("%mlops status").out
    assert server.url in notebook.ok(f"%mlops connect {server.url}").out
    monkeypatch.setenv("JUPYTER_MLOPS_PASSWORD", PASSWORD)
    assert "chosen with" in notebook.ok(f"%mlops connect {server.url} --user admin").out
    assert "Disconnected" in notebook.ok("%mlops disconnect").out
    monkeypatch.setenv("JUPYTER_MLOPS_PASSWORD", "wrong")
    assert notebook.refused(f"%mlops connect {server.url} --user admin")
    assert "no server answers at http://127.0.0.1:9" in notebook.refused("%mlops connect 127.0.0.1:9")
    assert "invalid choice: 'conect'" in notebook.refused("%mlops conect")


REFUSED = [
    ("%%publish a/b 1\ndef f(x: float) -> float: return x", "name 'a/b' is not allowed"),
    ("%%publish a latest\ndef f(x: float) -> float: return x", "version 'latest' is reserved"),
    ("%%publish a 1\nx = 1", "defines no function"),
    ("%%publish a 1 --function nope\nx = 1", "no 'nope' here"),
    ("%publish nope a", "no 'nope' here"),
    ("number = 3\n%publish number a", "is a int; %publish takes"),
    ("%%publish a 1\ndef f(x): return x", "input 'x' is not known; say it in one of three ways"),
    ("%%publish a 1\ndef f(x: float): return x", "output is not known"),
    ("%%publish a 1 --sample 1,2\ndef f(x: float) -> float: return x", "holds 2 values, and there are 1 inputs (x)"),
    ("%%publish a 1 --sample 1/0\ndef f(x: float) -> float: return x", "--sample 1/0 raises ZeroDivisionError"),
    ("%%publish a 1 --sample\ndef f(x: float) -> float: return x", "--sample wants an expression"),
    ("%%publish a 1 --sample 0\ndef f(x: float) -> float: return 1 / x", "ZeroDivisionError"),
    ("%%publish a 1 --inputs x\ndef f(x): return x", "--inputs wants name=type pairs"),
    ("%%publish a 1 --inputs x=set\ndef f(x): return x", 'Invalid encoding type "set" for "x"'),
    ("%%publish a 1 --as 1x\ndef f(x: float) -> float: return x", "no name of a variable"),
    ("%%publish a 1 --alias 1x\ndef f(x: float) -> float: return x", "1x"),
    ("%%publish a 1 --artifacts a.csv\nasync def f(x: float) -> float: return x", "async function writes no artifacts"),
    ("%%publish a 1 --artifacts ../a\ndef f(x: float) -> float: return x", "'../a' is not a plain file name"),
    ("g = (n for n in [])\n%publish g a", "is a generator"),
    ("%%publish a 1 --drop k\nk = 1\ndef f(x: float) -> float: return k", "f reads k, which --drop leaves out"),
    ("%%publish a 1 --keep nothing\ndef f(x: float) -> float: return x", "no 'nothing' to capture"),
    ("%publish", "arguments are required: FUNCTION, NAME"),
    ("%publish len a", "len"),
]


@pytest.mark.parametrize(("cell", "message"), REFUSED)
def test_a_refusal_is_one_readable_message(notebook, cell, message):
    assert message in notebook.refused(cell)
    assert "a" not in {view.name for view in notebook.ok("%services").value.views}


def test_an_object_that_cannot_go_along_is_named(notebook):
    notebook.ok(
        "import threading\nclass Model: pass\nmodel = Model(); model.callback = Model(); model.callback.lock = threading.Lock()"
    )
    message = notebook.refused("%%publish a 1\ndef f(x: float) -> float: return model.x")
    assert "model.callback.lock: _thread.lock objects cannot be pickled" in message
    assert "--drop model" in message
    assert "--init" in message


def test_a_cell_that_raises_publishes_nothing(notebook):
    ran = notebook.run("%%publish a 1\ndef f(x: float) -> float: return x\n1/0")
    assert "nothing was published, because the cell raised ZeroDivisionError" in str(ran.error)
    assert "ZeroDivisionError" in ran.out + ran.err
    assert "jupyter_mlops" not in ran.out + ran.err


def test_publishing_does_not_change_the_namespace(notebook):
    notebook.ok("factor = 2")
    before = {name for name in notebook.shell.user_ns if not name.startswith("_")}
    notebook.ok(CARS.format(line="namespace 1.0 --sample 1,2"))
    after = {name for name in notebook.shell.user_ns if not name.startswith("_")}
    assert after - before == {"manual"}


def test_help_has_an_example_that_runs(notebook):
    document = notebook.shell.find_cell_magic("publish").__doc__
    example = document.split("Example::\n\n")[1].split("\n\n")[0]
    lines = [line.removeprefix("    ") for line in example.splitlines()]
    assert notebook.ok("\n".join(lines)).value.add(1, 2).output("answer") == 3.0
    for magic in ("mlops", "services", "publish"):
        document = notebook.shell.find_line_magic(magic).__doc__
        example = document.split("Example::\n\n")[1].split("\n\n")[0]
        notebook.ok(example.strip())


def test_arguments_are_completed(notebook):
    notebook.ok("factor = 2")
    notebook.ok(CARS.format(line="completed 1.0"))

    def complete(line):
        with provisionalcompleter():
            return {one.text for one in notebook.shell.Completer.completions(line, len(line))}

    assert "--sample" in complete("%publish manual x ")
    assert "--function" in complete("%%publish x ")
    assert "manual" in complete("%publish ")
    assert "factor" in complete("%%publish x --keep ")
    assert complete("%%publish x --environment lo") == {"locked"}
    assert "--private" in complete("%publish manual x --pri")
    assert "completed" in complete("%services ")
    assert "status" in complete("%mlops ")


def test_loading_twice_and_again(notebook):
    first = notebook.shell.magics_manager.registry["MLOpsMagics"]
    notebook.ok("%load_ext jupyter_mlops")
    notebook.ok("%reload_ext jupyter_mlops")
    assert notebook.shell.magics_manager.registry["MLOpsMagics"] is first


def test_loading_is_light():
    code = (
        "import sys\nfrom IPython.core.interactiveshell import InteractiveShell\nshell = InteractiveShell.instance()\n"
        "before = set(sys.modules)\nshell.run_line_magic('load_ext', 'jupyter_mlops')\n"
        "heavy = {'numpy', 'pandas', 'cloudpickle', 'urllib3', 'msgspec', 'blake3', 'ipywidgets'} & (set(sys.modules) - before)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_lines_are_split_outside_of_quotes_and_brackets():
    assert split("""a 1 --sample {"x y": [1, 2]} --description "two words" 'q'""") == [
        "a", "1", "--sample", '{"x y": [1, 2]}', "--description", '"two words"', "'q'",
    ]  # fmt: skip
    options = parse(publish_parser(cell=True), """'my name' --sample f("a b")[0], -1 --description="it's" --as v""")
    assert (options.name, options.sample, options.description, options.variable) == (
        "my name",
        'f("a b")[0], -1',
        "it's",
        "v",
    )
    assert types_of("a=list[float, int],'b c'=int", "--inputs") == {"a": "list[float, int]", "b c": "int"}
