"""The linear baselines of text classification: the same predictions as scikit-learn, called directly."""

import json

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge, RidgeCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_union
from sklearn.svm import LinearSVC

from ft_toolkit.core.shipped import shipped
from ft_toolkit.tasks.text import baselines
from ft_toolkit.tasks.text.baselines import linear_probe, tfidf

SINGLE, MULTI, NUMBER = "single_label_classification", "multi_label_classification", "regression"


def messages(split):
    """Return the texts of the data set `support_inbox`, and their targets of each kind."""
    path = shipped("data_cards") / "support_inbox" / f"{split}.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    categories = np.array([row["category"] for row in rows])
    entities = [{entity["label"] for entity in row["entities"]} for row in rows]
    return [row["text"] for row in rows], {
        SINGLE: np.unique(categories, return_inverse=True)[1],
        MULTI: np.array([[name in found for name in ("DATE", "MONEY", "PERSON")] for found in entities]).astype(int),
        NUMBER: np.array([len(row["entities"]) for row in rows], float),
    }


TEXTS, TARGETS = messages("train")
NEW_TEXTS, NEW_TARGETS = messages("test")


@pytest.mark.parametrize(
    ("problem_type", "estimator"), [(SINGLE, LinearSVC()), (MULTI, OneVsRestClassifier(LinearSVC())), (NUMBER, Ridge())]
)
def test_tfidf_is_a_linear_model_of_words_and_characters(problem_type, estimator):
    features = make_union(
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True),
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
    )
    estimator.fit(features.fit_transform(TEXTS), TARGETS[problem_type])
    found = tfidf(TEXTS, NEW_TEXTS, TARGETS[problem_type], problem_type, 13)
    expected = estimator.predict(features.transform(NEW_TEXTS))
    if problem_type == NUMBER:
        assert found == pytest.approx(expected, abs=1e-3)
        assert np.corrcoef(found, NEW_TARGETS[NUMBER])[0, 1] > 0.3
    else:
        assert (found == expected).all()
        assert (found == NEW_TARGETS[problem_type]).mean() > 0.55


@pytest.mark.parametrize(
    ("problem_type", "estimator"),
    [
        (SINGLE, LogisticRegression(C=10, max_iter=1000)),
        (MULTI, OneVsRestClassifier(LogisticRegression(C=10, max_iter=1000))),
        (NUMBER, RidgeCV(alphas=(0.01, 0.1, 1.0, 10.0))),
    ],
)
def test_the_probe_of_embeddings_is_a_regularized_linear_model(problem_type, estimator):
    vectors = TfidfVectorizer(max_features=64).fit(TEXTS)
    train, new = (vectors.transform(texts).toarray() for texts in (TEXTS, NEW_TEXTS))
    found = linear_probe(train, new, TARGETS[problem_type], problem_type, 13)
    expected = estimator.fit(train, TARGETS[problem_type]).predict(new)
    assert found == pytest.approx(expected)


def test_words_of_one_letter_and_scripts_without_spaces_are_read_by_character():
    train = ["a b", "x y", "b a", "y x"]
    assert tfidf(train, ["b", "x"], np.array([0, 1, 0, 1]), SINGLE, 13).tolist() == [0, 1]
    train = ["这个灯很好用", "这个灯坏了", "灯很好看", "灯又坏了"]
    assert tfidf(train, ["很好", "坏了吗"], np.array([1, 0, 1, 0]), SINGLE, 13).tolist() == [1, 0]


def test_a_label_of_all_rows_and_a_label_of_no_row():
    targets = np.stack([np.ones(len(TEXTS), int), np.zeros(len(TEXTS), int), TARGETS[MULTI][:, 0]], axis=1)
    found = tfidf(TEXTS, NEW_TEXTS, targets, MULTI, 13)
    assert (found[:, 0] == 1).all() and (found[:, 1] == 0).all() and 0 < found[:, 2].mean() < 1


@pytest.mark.parametrize("targets", [np.zeros(3, int), np.ones((3, 2), int), np.full(3, 1.5)])
def test_one_target_needs_no_model(targets):
    kind = SINGLE if targets.dtype == int and targets.ndim == 1 else MULTI if targets.ndim == 2 else NUMBER
    assert tfidf(["a", "b", "c"], ["a"], targets, kind, 13) is None
    assert linear_probe(np.eye(3), np.eye(3), targets, kind, 13) is None


def test_rows_are_predicted_in_parts(monkeypatch):
    whole = tfidf(TEXTS, NEW_TEXTS, TARGETS[SINGLE], SINGLE, 13)
    monkeypatch.setattr(baselines, "CHUNK", 7)
    assert (tfidf(TEXTS, NEW_TEXTS, TARGETS[SINGLE], SINGLE, 13) == whole).all()


def test_empty_texts_give_no_model():
    assert tfidf(["", " "], ["a"], np.array([0, 1]), SINGLE, 13) is None
