"""Text classification without a model: labels, targets, decoding, metrics and baselines."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from ft_toolkit.core.errors import DataError
from ft_toolkit.models.pretrained import load_tokenizer
from ft_toolkit.tasks.base import DefinedLabels, Features
from ft_toolkit.tasks.text_classification import TASK, Schema, Settings

SINGLE, MULTI, NUMBER = "single_label_classification", "multi_label_classification", "regression"


def rows_of(*labels):
    return [{"id": str(i), "text": f"text {i}", "label": label} for i, label in enumerate(labels, 1)]


def find(*labels, card=None, **settings):
    defined = None if card is None else DefinedLabels(tuple(card), "the data card 'x'")
    return TASK.find_schema(Settings(**settings), rows_of(*labels), defined, None)


def targets(schema, *labels):
    """Return the references that the metrics get for these labels."""
    rows = rows_of(*labels)
    return TASK.to_arrays(decode(np.zeros((len(rows), len(schema.labels))), rows, schema), rows, schema)[1].tolist()


def decode(values, rows, schema):
    return TASK.decode(values, Features({"input_ids": []}, [], list(range(len(rows))), []), rows, schema)


# Labels


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["b", "a", "b"], ("a", "b")),
        (["10", "9", "-1"], ("-1", "9", "10")),
        ([3, 1, 2, 1], ("1", "2", "3")),
        ([True, False], ("False", "True")),
        (["01", "1", "1", "01"], ("01", "1")),
        (["10", "9", "x"], ("10", "9", "x")),
        (["²", "1"], ("1", "²")),
        (["--5", "-5"], ("--5", "-5")),
        ([1.0, 2.0], ("1.0", "2.0")),
    ],
)
def test_labels_are_sorted_as_numbers_if_all_are(labels, expected):
    assert find(*labels).labels == expected


def test_labels_of_the_recipe_come_before_those_of_the_card_and_those_before_the_rows():
    assert find("a", "b", card=["b", "a"]).labels == ("b", "a")
    assert find("a", "b", card=["b", "a"], labels=["a", "b", "c"]).labels == ("a", "b", "c")


def test_numbers_of_named_labels_are_understood():
    schema = find("0", 1, "1", card=["negative", "positive"])
    assert targets(schema, "0", 1, "positive", 0) == [0, 1, 1, 0]
    assert [TASK.reference_answer(row, schema) for row in rows_of(1, "negative")] == ["positive", "negative"]


def test_numbers_that_are_names_are_not_taken_for_positions():
    schema = find("2", "1", "3")
    assert targets(schema, "1", "3") == [0, 2]
    with pytest.raises(DataError, match="unknown label '0'; known: 1, 2, 3"):
        targets(schema, "0")


@pytest.mark.parametrize(
    ("labels", "settings", "message"),
    [
        (["a", "a"], {}, r"only one label \(a\); a classifier requires at least two"),
        (["a", "c"], {"labels": ["a", "b"]}, "row 2: unknown label 'c'; known: a, b"),
        (["good", "baad"], {"labels": ["good", "bad"]}, "Did you mean 'bad'"),
        (["a", "2"], {"labels": ["a", "b"]}, "row 2: unknown label '2'; known"),
        (["a", "-1"], {"labels": ["a", "b"]}, "unknown label '-1'; known: a, b"),
        (["a", "b"], {"labels": ["a", "b", "a"]}, "contains a label twice"),
        (
            [f"text {i}" for i in range(60)],
            {},
            "60 training rows have 60 different labels .* set task.problem_type=regression",
        ),
        ([["a", "b"], ["a"]], {}, "lists of labels; set task.problem_type=multi_label_classification"),
        ([{"a": 1}, {"b": 2}], {}, "is an object; it must be text or a number"),
        (["a", "b"], {"problem_type": NUMBER}, "row 1: label 'a' is not a number"),
        ([1, "nan"], {"problem_type": NUMBER}, "row 2: label 'nan' is not a finite number"),
        ([1, [2]], {"problem_type": NUMBER}, r"row 2: label \[2\] is not a number"),
        (
            [1, 2],
            {"problem_type": NUMBER, "class_weights": "balanced"},
            "is not supported with task.problem_type=regression",
        ),
        ([3, 4], {"problem_type": MULTI}, "no labels; .* requires lists of labels"),
        ([[], []], {"problem_type": MULTI}, "no labels"),
        ([["a"], 3], {"problem_type": MULTI}, "row 2: label 3 is not a list of labels"),
        (
            [["a"], ["b", "z"]],
            {"problem_type": MULTI, "labels": ["a", "b"]},
            "row 2: unknown label 'z'; known",
        ),
        (["a", "b"], {"labels": ["a", "b", "c"], "class_weights": "balanced"}, "no training row has the label 'c'"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels, settings, message):
    with pytest.raises(DataError, match=message):
        find(*labels, **settings)


def test_many_labels_are_shortened_in_the_message():
    schema = find(*(f"l{i}" for i in range(15)))
    with pytest.raises(DataError, match=r"l4 \.\.\. and 5 more"):
        targets(schema, "zzz")


# Targets and schema


def test_multi_label_targets():
    schema = find(["b"], ["a", "c"], [], problem_type=MULTI)
    assert schema.labels == ("a", "b", "c")
    assert targets(schema, ["b"], ["c", "a", "a"], [], "a|c", " b | ") == [
        [0, 1, 0],
        [1, 0, 1],
        [0, 0, 0],
        [1, 0, 1],
        [0, 1, 0],
    ]
    assert TASK.reference_answer({"label": ["c", "a"]}, schema) == ["a", "c"]


def test_targets_that_are_numbers():
    schema = find("1.5", 2, -3.0, problem_type=NUMBER)
    assert schema.labels == ("score",)
    assert targets(schema, "1.5", 2, " -3 ") == [1.5, 2.0, -3.0]
    assert TASK.reference_answer({"label": "2"}, schema) == 2.0


def test_class_weights_are_those_of_scikit_learn():
    from sklearn.utils.class_weight import compute_class_weight

    labels = np.array(["a"] * 7 + ["b"] * 2 + ["c"])
    found = find(*labels.tolist(), class_weights="balanced").class_weights
    expected = compute_class_weight("balanced", classes=np.array(["a", "b", "c"]), y=labels)
    assert found == pytest.approx(expected.tolist())


@pytest.mark.parametrize(
    ("problem_type", "weights"),
    [(SINGLE, None), (SINGLE, "balanced"), (MULTI, None), (MULTI, "balanced"), (NUMBER, None)],
)
def test_a_schema_survives_json(problem_type, weights):
    settings = Settings(problem_type=problem_type, class_weights=weights, threshold=0.3)
    schema = TASK.find_schema(settings, TASK.sample_rows(settings), None, None)
    assert TASK.load_schema(json.loads(json.dumps(dataclasses.asdict(schema)))) == schema
    kwargs = TASK.model_kwargs(schema)
    assert kwargs["problem_type"] == problem_type
    assert kwargs["num_labels"] == len(kwargs["id2label"]) == len(kwargs["label2id"]) == len(schema.labels)
    assert all(kwargs["id2label"][i] == label for label, i in kwargs["label2id"].items())


# Decoding


def test_decoding_one_label_gives_the_best_and_all_probabilities():
    schema = Schema(SINGLE, ("a", "b", "c"), None, 0.5)
    raw = np.array([[2.0, 1.0, 0.0], [-1000.0, 0.0, 1000.0]], np.float32)
    first, second = decode(raw, rows_of("a", "b"), schema)
    exponents = np.exp([2.0, 1.0, 0.0])
    assert first["label"] == "a"
    assert list(first["probabilities"].values()) == pytest.approx(exponents / exponents.sum(), abs=1e-6)
    assert first["score"] == first["probabilities"]["a"]
    assert second == {"label": "c", "score": 1.0, "probabilities": {"a": 0.0, "b": 0.0, "c": 1.0}}
    json.dumps([first, second])


@pytest.mark.parametrize("problem_type", ["single_label_classification", "multi_label_classification"])
def test_the_temperature_is_chosen_on_validation_and_changes_probabilities_not_labels(problem_type):
    several = problem_type == "multi_label_classification"
    schema = Schema(problem_type, ("a", "b"), None, 0.5)
    # sure of every answer, and wrong in one of four
    values = [np.array([8.0, -8.0], np.float32) for _ in range(160)]
    names = ["b" if i % 4 == 0 else "a" for i in range(160)]
    rows = [{"id": str(i), "label": [name] if several else name} for i, name in enumerate(names)]
    features = Features({"input_ids": [[1]] * 160}, [None] * 160, list(range(160)), [0] * 160)
    tuned = TASK.tune(values, features, rows, schema)
    assert tuned.temperature > 5 and dataclasses.replace(tuned, temperature=1.0) == schema
    assert TASK.load_schema(json.loads(json.dumps(dataclasses.asdict(tuned)))) == tuned
    before, after = (TASK.decode(values, features, rows, one)[0] for one in (schema, tuned))
    key = "labels" if several else "label"
    assert before[key] == after[key] == (["a"] if several else "a")
    assert before["probabilities"]["a"] > 0.999 and after["probabilities"]["a"] == pytest.approx(0.75, abs=0.05)


def test_a_number_has_no_temperature_and_an_older_model_none_of_its_own():
    schema = Schema("regression", ("score",), None, 0.5)
    assert TASK.tune([], None, [], schema) is schema
    old = {key: value for key, value in dataclasses.asdict(schema).items() if key != "temperature"}
    assert TASK.load_schema(old) == schema


def test_multi_label_decoding_uses_the_threshold():
    raw = np.array([[-20.0, 0.0, 20.0], [-20.0, -0.1, -20.0]])
    schema = Schema(MULTI, ("a", "b", "c"), None, 0.5)
    first, second = decode(raw, rows_of([], []), schema)
    assert first["labels"] == ["b", "c"], "0.5 is reached"
    assert second["labels"] == []
    assert first["probabilities"]["b"] == 0.5
    strict = dataclasses.replace(schema, threshold=0.6)
    assert decode(raw, rows_of([], []), strict)[0]["labels"] == ["c"]


def test_decoding_a_number():
    assert decode(np.array([[1.25], [-3.0]]), rows_of(1, 2), Schema(NUMBER, ("score",), None, 0.5)) == [
        {"score": 1.25},
        {"score": -3.0},
    ]


@pytest.mark.parametrize("problem_type", [SINGLE, MULTI, NUMBER])
def test_arrays_contain_the_decoded_predictions(problem_type):
    settings = Settings(problem_type=problem_type)
    rows = TASK.sample_rows(settings)
    schema = TASK.find_schema(settings, rows, None, None)
    raw = np.random.default_rng(0).normal(size=(len(rows), len(schema.labels))).astype(np.float32)
    decoded = decode(raw, rows, schema)
    predictions, references = TASK.to_arrays(decoded, rows, schema)
    assert len(predictions) == len(references) == len(rows)
    if problem_type == SINGLE:
        assert [d["label"] for d in decoded] == [schema.labels[p] for p in predictions]
    elif problem_type == MULTI:
        named = [[label for label, p in zip(schema.labels, row, strict=True) if p] for row in predictions]
        assert [d["labels"] for d in decoded] == named
    else:
        assert [d["score"] for d in decoded] == pytest.approx(predictions.tolist())


# Metrics and tables


@pytest.mark.parametrize(("problem_type", "first"), [(SINGLE, "accuracy"), (MULTI, "f1_micro"), (NUMBER, "pearson")])
def test_perfect_predictions_have_the_best_value_of_every_metric(problem_type, first):
    settings = Settings(problem_type=problem_type)
    rows = TASK.sample_rows(settings)
    schema = TASK.find_schema(settings, rows, None, None)
    references = TASK.to_arrays(decode(np.zeros((len(rows), len(schema.labels))), rows, schema), rows, schema)[1]
    metrics = TASK.metrics(settings)
    assert next(iter(metrics)) == first
    for name, metric in metrics.items():
        assert metric.fn(references, references) == pytest.approx(metric.best), name
        worse = metric.fn(references[::-1], references)
        assert (worse < metric.best) == metric.greater_is_better, name


def test_the_table_per_class_and_the_confusion_matrix():
    schema = Schema(SINGLE, ("a", "b", "c"), None, 0.5)
    details = TASK.details(np.array([0, 0, 1]), np.array([0, 1, 1]), schema)
    assert details["confusion_matrix"] == [[1, 0, 0], [1, 1, 0], [0, 0, 0]]
    assert [row["label"] for row in details["per_class"]] == ["a", "b", "c"]
    assert details["per_class"][0] == {
        "label": "a",
        "precision": 0.5,
        "recall": 1.0,
        "f1": pytest.approx(2 / 3),
        "support": 1,
    }
    assert details["per_class"][2] == {"label": "c", "precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0}
    json.dumps(details)


def test_many_labels_have_their_most_likely_ones_and_most_frequent_confusions():
    labels = tuple(f"label {i:03}" for i in range(150))
    schema, few = Schema(SINGLE, labels, None, 0.5), Schema(SINGLE, labels[:100], None, 0.5)
    logits = np.random.default_rng(0).normal(scale=3, size=(40, 150)).astype(np.float32)
    truth = [int(np.argsort(-row)[number % 3]) for number, row in enumerate(logits)]
    rows = rows_of(*(labels[i] for i in truth))
    decoded = decode(logits, rows, schema)
    exact = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    for prediction, likely in zip(decoded, exact, strict=True):
        assert prediction["label"] == labels[likely.argmax()] == next(iter(prediction["probabilities"]))
        assert prediction["score"] == max(prediction["probabilities"].values())
        assert list(prediction["probabilities"]) == [labels[i] for i in np.argsort(-likely)[:20]]
        assert list(prediction["probabilities"].values()) == pytest.approx(np.sort(likely)[:-21:-1], rel=1e-5)
    assert len(decode(logits[:, :100], rows, few)[0]["probabilities"]) == 100
    filled = TASK.classifier(Settings()).probabilities(decoded, schema)
    assert filled.sum(1) == pytest.approx(np.ones(40), abs=1e-5)
    assert filled == pytest.approx(exact, abs=0.02)
    assert filled[range(40), truth] == pytest.approx(exact[range(40), truth], abs=1e-5)
    details = TASK.details(*TASK.to_arrays(decoded, rows, schema), schema)
    assert "confusion_matrix" not in details and len(details["per_class"]) == 150
    wrong = [number for number in range(40) if number % 3]
    assert sum(pair["rows"] for pair in details["most_frequent_confusions"]) == len(wrong)
    first = details["most_frequent_confusions"][0]
    assert 0 < first["share"] <= 1 and first["label"] != first["predicted"]
    json.dumps(details)


def test_multi_label_has_a_table_but_no_matrix_and_regression_has_neither():
    schema = Schema(MULTI, ("a", "b"), None, 0.5)
    details = TASK.details(np.array([[1, 0], [1, 1]]), np.array([[1, 0], [0, 1]]), schema)
    assert set(details) == {"per_class"}
    assert details["per_class"][1] == {"label": "b", "precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 1}
    assert TASK.details(np.zeros(2), np.zeros(2), Schema(NUMBER, ("score",), None, 0.5)) == {}


# Baselines


def baseline(name, train, rows, **settings):
    schema = TASK.find_schema(Settings(**settings), train, None, None)
    rows = [{**row, "label": train[0]["label"]} for row in rows]  # to_arrays wants an answer beside each prediction
    return TASK.to_arrays(TASK.baselines[name].predict(train, rows, schema, 13), rows, schema)[0].tolist()


def test_majority_predicts_the_most_frequent_target():
    two = rows_of("x", "y")
    assert baseline("majority", rows_of("a", "b", "b", "c"), two) == [1, 1]
    assert baseline("majority", rows_of("b", "a"), two) == [0, 0], "the first label wins a tie"
    assert baseline("majority", rows_of(1, 2, 6), two, problem_type=NUMBER) == [3.0, 3.0]
    several = rows_of(["a"], ["a", "b"], ["a"], ["b", "c"])
    assert baseline("majority", several, two, problem_type=MULTI) == [[1, 0, 0], [1, 0, 0]]


WORDS = {"good": ["lovely", "great", "fine"], "bad": ["broken", "late", "lost"]}


def wordy_rows():
    rows = [{"text": f"the {word} lamp", "label": label} for label, words in WORDS.items() for word in words]
    return [{"id": str(i), **row} for i, row in enumerate(rows * 4)]


def test_tfidf_learns_from_words():
    train = wordy_rows()
    asked = [{"text": "lost and broken"}, {"text": "a great thing"}, {"text": "fine"}]
    assert baseline("tfidf", train, asked) == [0, 1, 1]
    assert baseline("tfidf", train, asked) == baseline("tfidf", train, asked)
    several = [{**row, "label": [row["label"], "lamp"] if i % 2 else [row["label"]]} for i, row in enumerate(train)]
    found = np.array(baseline("tfidf", several, asked, problem_type=MULTI))
    assert found[:, :2].tolist() == [[1, 0], [0, 1], [0, 1]]
    numbers = [{**row, "label": 1.0 if row["label"] == "good" else -1.0} for row in train]
    found = baseline("tfidf", numbers, asked, problem_type=NUMBER)
    assert found[0] < 0 < found[2]


def test_tfidf_reads_the_second_text_of_a_pair():
    train = [{"text": "same words here", "text_pair": row["text"], "label": row["label"]} for row in wordy_rows()]
    asked = [{"text": "same words here", "text_pair": "lost"}, {"text": "same words here", "text_pair": "great"}]
    assert baseline("tfidf", train, asked) == [0, 1]


# Samples


@pytest.mark.parametrize("problem_type", [SINGLE, MULTI, NUMBER])
@pytest.mark.parametrize("labels", [None, ["x", "y"], ["p", "q", "r", "s", "t"]])
def test_samples_suit_every_setting(problem_type, labels):
    settings = Settings(problem_type=problem_type, labels=labels)
    rows = TASK.sample_rows(settings)
    schema = TASK.find_schema(settings, rows, None, None)
    assert len({row["id"] for row in rows}) == len(rows) == 12
    if problem_type != NUMBER:
        used = {name for row in rows for name in (row["label"] if problem_type == MULTI else [row["label"]])}
        assert used == set(schema.labels) == set(labels or ["complaint", "praise", "question"])


@pytest.mark.parametrize("rows", [[{"text": "a b", "label": "x"}] * 3, [{"text": "?", "label": n} for n in "xyx"]])
def test_tfidf_falls_back_to_the_majority(rows):
    schema = TASK.find_schema(Settings(labels=["x", "y"]), rows, None, None)
    assert TASK.baselines["tfidf"].predict(rows, rows, schema, 1) == [{"label": "x"}] * 3


# Long texts


def encode_long(folder, texts, **settings):
    """Return features of windows of 8 tokens, and the schema."""
    rows = [{"id": str(i), "text": text, "label": "xyz"[i % 3]} for i, text in enumerate(texts)]
    schema = TASK.find_schema(Settings(labels=["x", "y", "z"], **settings), rows, None, None)
    return TASK.encode(rows, load_tokenizer(Path(folder)), schema, 8), rows, schema


@pytest.mark.parametrize("model", ["tiny_bert", "tiny_gpt2"])
def test_windows_contain_the_complete_text(model, request):
    folder = request.getfixturevalue(model)
    tokenizer = load_tokenizer(Path(folder))
    texts = ["abc", "", "the lamp " * 9, "a b c d e f g h i j k l m n o p"]
    features, _, _ = encode_long(folder, texts, long_texts="windows")
    assert max(features.lengths) <= 8 and features.n_tokens_cut == [0] * 4
    assert features.example_ids == sorted(features.example_ids) and set(features.example_ids) == {0, 1, 2, 3}
    assert features.targets == ["xyz".index("xyz"[i % 3]) for i in features.example_ids]
    for i, text in enumerate(texts):
        windows = [ids for ids, n in zip(features.inputs["input_ids"], features.example_ids, strict=True) if n == i]
        content = [[t for t in ids if t not in tokenizer.all_special_ids] for ids in windows]
        shared = (8 - (2 if model == "tiny_bert" else 0)) // 4
        joined = content[0] + [token for ids in content[1:] for token in ids[shared:]]
        assert joined == tokenizer(text, add_special_tokens=False)["input_ids"]
    cut, _, _ = encode_long(folder, texts)
    assert len(cut.example_ids) == 4 and cut.n_tokens_cut[2] > 0


def test_logits_of_windows_are_averaged_by_their_tokens(tiny_bert):
    features, rows, schema = encode_long(tiny_bert, ["abc", "the lamp " * 6], long_texts="windows")
    values = np.random.default_rng(0).normal(size=(len(features.example_ids), 3)).astype(np.float32)
    found = TASK.decode(list(values), features, rows, schema)
    plain = dataclasses.replace(schema, long_texts="cut")
    mean = np.average(values[1:], axis=0, weights=features.lengths[1:]).astype(np.float32)
    expected = decode([values[0], mean], rows, plain)
    assert len(values) > 3
    for one, other in zip(found, expected, strict=True):
        assert one["label"] == other["label"] and one["probabilities"] == pytest.approx(
            other["probabilities"], abs=2e-6
        )


def test_windows_of_pairs_are_refused(tiny_bert):
    rows = [{"text": "a", "text_pair": "b", "label": label} for label in "xy"]
    schema = TASK.find_schema(Settings(long_texts="windows"), rows, None, None)
    with pytest.raises(DataError, match="long_texts=windows does not support pairs"):
        TASK.encode(rows, load_tokenizer(Path(tiny_bert)), schema, 8)
