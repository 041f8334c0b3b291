"""Frames of numbers, texts and categories; missing values, unknown categories; and what is refused, and how."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from scoring import score
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_selector, make_column_transformer
from sklearn.ensemble import (
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer, TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import MultinomialNB
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from jupyter_mlops import serialize_model
from jupyter_mlops.errors import InvalidRequest, PublishRefused

FEW = {"n_estimators": 6, "random_state": 0}
TEXTS = [
    "the sun is bright",
    "sun and moon, night",
    "bright Café tonight",
    "Naïve über-moon",
    "day 2 day",
    "a night out",
] * 5
KINDS = ["sky", "sky", "food", "food", "time", "time"] * 5


@pytest.fixture(scope="module")
def people():
    chance = np.random.default_rng(0)
    frame = pd.DataFrame({
        "age": chance.uniform(18, 80, 150), "income": chance.lognormal(10, 1, 150),
        "city": chance.choice(["Bonn", "Kraków", "Łódź", "New York"], 150), "rooms": chance.integers(1, 6, 150),
        "owner": chance.random(150) < 0.4,
    })  # fmt: skip
    return frame, (frame.age / 80 + frame.owner * 0.5 + (frame.city == "Bonn") + chance.normal(0, 0.3, 150) > 1)


def _numeric(*extra):
    return make_pipeline(SimpleImputer(), *extra)


PIPELINES = {
    "ignore": (OneHotEncoder(handle_unknown="ignore"), LogisticRegression(max_iter=500)),
    "error": (OneHotEncoder(), LogisticRegression(max_iter=500)),
    "forest": (OneHotEncoder(handle_unknown="ignore"), RandomForestClassifier(**FEW)),
    "ordinal": (OrdinalEncoder(), DecisionTreeClassifier(max_depth=4, random_state=0)),
    "dense": (OneHotEncoder(sparse_output=False, drop="first"), HistGradientBoostingClassifier(max_iter=4)),
    "imputed": (make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder()), RandomForestClassifier(**FEW)),
}


@pytest.mark.parametrize("name", PIPELINES)
def test_columns_of_several_types(name, people):
    frame, answers = people
    encoder, last = PIPELINES[name]
    columns = make_column_transformer(
        (_numeric(StandardScaler()), ["age", "income"]), (encoder, ["city"]), ("passthrough", ["owner"])
    )
    model = make_pipeline(columns, last).fit(frame, np.where(answers, "yes", "no"))
    packed = serialize_model(model, frame.head(20), quiet=True)
    types = {one.name: one.type for one in packed.header.inputs}
    assert types["city"] == "string"
    assert types["owner"] == "logical"
    assert packed.header.outputs[0].classes == ("no", "yes")
    made = score(packed, frame)
    np.testing.assert_array_equal(made["prediction"], model.predict(frame))
    np.testing.assert_allclose(made["probability_yes"], model.predict_proba(frame)[:, 1], rtol=1e-6)
    holes = frame.assign(age=frame.age.mask(frame.index % 3 == 0))
    np.testing.assert_array_equal(score(packed, holes)["prediction"], model.predict(holes))
    by_name = {one.name: one for one in packed.header.inputs}
    assert by_name["age"].nullable
    strange = frame.head(3).assign(city="Atlantis")
    if name == "ignore":
        assert by_name["city"].categories == ()
        np.testing.assert_allclose(
            score(packed, strange)["probability_no"], model.predict_proba(strange)[:, 0], rtol=1e-6
        )
    if name == "error":
        assert by_name["city"].categories == ("Bonn", "Kraków", "New York", "Łódź")
    if name == "imputed":
        nowhere = frame.assign(city=frame.city.mask(frame.index % 4 == 0))
        assert by_name["city"].nullable
        np.testing.assert_array_equal(score(packed, nowhere)["prediction"], model.predict(nowhere))


def test_forests_behind_columns_are_compared_at_their_thresholds(people):
    frame, answers = people
    columns = make_column_transformer(
        (_numeric(StandardScaler()), ["age", "income"]), (OneHotEncoder(), ["city"]), remainder="passthrough"
    )
    model = make_pipeline(columns, RandomForestRegressor(**FEW)).fit(frame, frame.income + answers)
    packed = serialize_model(model, quiet=True)
    assert "(double)" in packed.parity.title, "32 bits leave rows near a threshold in another leaf"
    assert packed.parity.rows > 900
    np.testing.assert_allclose(score(packed, frame)["prediction"], model.predict(frame), rtol=1e-12)


def test_targets_and_searches_around_columns(people):
    frame, _ = people
    columns = make_column_transformer((StandardScaler(), ["age"]), (OneHotEncoder(), ["city"]))
    inner = make_pipeline(columns, Ridge())
    for model in (
        TransformedTargetRegressor(inner, func=np.log, inverse_func=np.exp),
        GridSearchCV(inner, {"ridge__alpha": [0.1, 1.0]}, cv=2),
    ):
        packed = serialize_model(model.fit(frame, frame.income), quiet=True)
        np.testing.assert_allclose(score(packed, frame)["prediction"], model.predict(frame), rtol=1e-9)


@pytest.mark.parametrize("chosen", ["names", "places", "slice", "mask", "selector"])
def test_columns_chosen_in_every_way_that_scikit_learn_knows(chosen, people):
    frame, answers = people
    frame = frame[["age", "income", "rooms"]].astype(float)
    columns = {
        "names": ["age", "rooms"], "places": [0, 2], "slice": slice(0, 2), "mask": [True, False, True],
        "selector": make_column_selector("^[ar]"),
    }[chosen]  # fmt: skip
    model = make_pipeline(ColumnTransformer([("s", MinMaxScaler(), columns)]), GradientBoostingRegressor(**FEW))
    model.fit(frame, frame.age + answers)
    packed = serialize_model(model, quiet=True)
    assert [one.name for one in packed.header.inputs] == ["age", "income", "rooms"]
    assert {one.onnx_input for one in packed.header.inputs} == {"X"}
    np.testing.assert_allclose(score(packed, frame)["prediction"], model.predict(frame), rtol=1e-9)


def test_whole_numbers_as_categories(people):
    frame, _ = people
    columns = make_column_transformer((OneHotEncoder(), ["rooms"]), remainder="passthrough")
    model = make_pipeline(columns, LinearRegression()).fit(frame[["rooms", "age"]], frame.income)
    packed = serialize_model(model, quiet=True)
    rooms = packed.header.inputs[0]
    assert (rooms.type, rooms.categories) == ("integer", (1, 2, 3, 4, 5))
    np.testing.assert_allclose(score(packed, frame)["prediction"], model.predict(frame[["rooms", "age"]]), rtol=1e-9)


@pytest.mark.parametrize(
    "steps",
    [
        (CountVectorizer(), MultinomialNB()),
        (TfidfVectorizer(), LogisticRegression()),
        (TfidfVectorizer(ngram_range=(1, 2)), LogisticRegression()),
        (CountVectorizer(lowercase=False), TfidfTransformer(), LogisticRegression()),
        (CountVectorizer(binary=True, max_features=8), RandomForestClassifier(**FEW)),
    ],
    ids=["counts", "tfidf", "pairs", "as-written", "forest"],
)
def test_texts(steps):
    model = make_pipeline(*steps).fit(TEXTS, KINDS)
    packed = serialize_model(model, quiet=True)
    assert [(one.name, one.type) for one in packed.header.inputs] == [("text", "string")]
    asked = [*TEXTS, "Moon over the CAFÉ", "", "nothing known", "night,night;night"]
    made = score(packed, pd.DataFrame({"text": asked}))
    np.testing.assert_array_equal(made["prediction"], model.predict(asked))
    np.testing.assert_allclose(made["probability_food"], model.predict_proba(asked)[:, 0], rtol=1e-5, atol=1e-6)


def test_stop_words_that_would_part_pairs_are_found_out():
    model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), stop_words=["the", "is"]), LogisticRegression())
    with pytest.raises(PublishRefused, match="otherwise"):
        serialize_model(model.fit(TEXTS, KINDS), quiet=True)
    alone = make_pipeline(TfidfVectorizer(stop_words=["the", "is"]), LogisticRegression()).fit(TEXTS, KINDS)
    assert serialize_model(alone, quiet=True).parity.holds


def test_texts_beside_numbers():
    frame = pd.DataFrame({"text": TEXTS, "length": [float(len(one)) for one in TEXTS]})
    columns = ColumnTransformer([("t", TfidfVectorizer(), "text"), ("n", StandardScaler(), ["length"])])
    model = make_pipeline(columns, LogisticRegression()).fit(frame, KINDS)
    packed = serialize_model(model, quiet=True)
    assert {one.name: one.type for one in packed.header.inputs}["text"] == "string"
    np.testing.assert_array_equal(score(packed, frame)["prediction"], model.predict(frame))


def test_missing_values_where_trees_take_them(people):
    frame, answers = people
    holes = frame[["age", "income"]].mask(np.random.default_rng(0).random((150, 2)) < 0.2)
    for model in (HistGradientBoostingClassifier(max_iter=4), DecisionTreeClassifier(max_depth=4, random_state=0)):
        packed = serialize_model(model.fit(holes, answers), quiet=True)
        assert all(one.nullable for one in packed.header.inputs)
        np.testing.assert_array_equal(score(packed, holes)["prediction"].astype(bool), model.predict(holes))
    assert packed.header.outputs[0].type == "logical"
    without = serialize_model(LogisticRegression().fit(holes.fillna(0.0), answers), quiet=True)
    assert not any(one.nullable for one in without.header.inputs)


def test_several_outputs_and_names_from_the_sample(people):
    frame, _ = people
    values = frame[["age", "rooms"]].to_numpy(dtype=float)
    for model in (LinearRegression(), DecisionTreeRegressor(max_depth=3, random_state=0)):
        model.fit(values, np.column_stack([frame.income, frame.age]))
        packed = serialize_model(model, frame[["age", "rooms"]], quiet=True)
        assert [one.name for one in packed.header.inputs] == ["age", "rooms"]
        made = score(packed, frame)
        np.testing.assert_allclose(made["prediction_1"], model.predict(values)[:, 1], rtol=1e-5)
    assert [one.name for one in serialize_model(model, quiet=True).header.inputs] == ["x0", "x1"]
    assert serialize_model(model, [[30.0, 2.0]], quiet=True).parity.rows > 400


def test_the_table_is_printed_and_the_bytes_tell_what_they_hold(people, capsys):
    frame, answers = people
    packed = serialize_model(LogisticRegression().fit(frame[["age"]], answers), description="who owns")
    printed = capsys.readouterr().out
    assert printed.startswith("Parity: LogisticRegression of scikit-learn")
    assert repr(packed.parity) == printed.rstrip("\n")
    assert "probability_True   0 of 500" in printed
    assert "(age: double) -> (prediction: logical, probability_False: double" in repr(packed)
    assert isinstance(packed, bytes)
    assert packed.header.description == "who owns"
    assert packed.header.parity.mismatched == 0


def test_a_model_whose_converted_form_differs_is_refused_with_its_rows(people):
    frame, _ = people
    model = KNeighborsRegressor(weights="distance").fit(frame[["age", "rooms"]], frame.income)
    with pytest.raises(PublishRefused, match="rows otherwise, beyond the tolerance 1e-05") as refused:
        serialize_model(model, quiet=True)
    assert "row 0 (age=" in str(refused.value)
    assert "prediction is " in str(refused.value)
    assert "serialize_model(..., tolerance=" in str(refused.value)
    assert "A standard service runs the model itself" in str(refused.value)
    classes = OneVsRestClassifier(SVC()).fit(frame[["age", "rooms"]], frame.city)
    with pytest.raises(PublishRefused, match="otherwise") as refused:
        serialize_model(classes, quiet=True)
    assert "tolerance=" not in str(refused.value)


@pytest.mark.parametrize(
    ("call", "refusal", "said"),
    [
        (lambda x, y: serialize_model(LinearRegression(positive=len(x) == len(y))), InvalidRequest, "not fitted"),
        (lambda x, y: serialize_model(LinearRegression().fit(x, y), tolerance=-1), InvalidRequest, "0 or more"),
        (
            lambda x, y: serialize_model(LinearRegression().fit(x, y), x.rename(columns={"age": "years"})),
            InvalidRequest,
            "it takes age, income, and years, income came",
        ),
        (
            lambda x, y: serialize_model(LinearRegression().fit(x, y), [[1.0]]),
            InvalidRequest,
            "it takes age, income, and 0 came",
        ),
        (
            lambda x, y: serialize_model(FunctionTransformer(np.sinc).fit(x, y)),
            PublishRefused,
            "FunctionTransformer .*does not convert",
        ),
        (
            lambda x, y: serialize_model(DecisionTreeClassifier().fit(x, np.column_stack([y, y]))),
            PublishRefused,
            "several classes at once",
        ),
        (
            lambda x, y: serialize_model(HistGradientBoostingClassifier(categorical_features=[1], max_iter=2).fit(
                x.assign(income=x.income.rank() // 20), y)),
            PublishRefused,
            "OrdinalEncoder",
        ),
    ],
)  # fmt: skip
def test_refusals_say_what_to_do(call, refusal, said, people):
    frame, answers = people
    with pytest.raises(refusal, match=said):
        call(frame[["age", "income"]], answers)


def test_importing_is_light():
    code = (
        "import sys, jupyter_mlops; jupyter_mlops.serialize_model; import jupyter_mlops.compat.revoscalepy; "
        "print(sorted({m.split('.')[0] for m in sys.modules}))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    for heavy in ("onnx", "onnxruntime", "sklearn", "skl2onnx", "pandas", "statsmodels", "formulaic"):
        assert f"'{heavy}'" not in loaded
