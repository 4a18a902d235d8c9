"""Baselines of text classification: the most frequent target, and a linear model of the words."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from ft_toolkit.tasks.text.labels import ProblemType


def majority(targets: np.ndarray, problem_type: ProblemType) -> np.ndarray:
    """Return the target that fits all rows best: the most frequent class, the labels of more than half the rows, the mean.

    `targets` are indices (n,), a 0/1 matrix (n, labels), or numbers (n,).
    """
    if problem_type == "single_label_classification":
        return np.asarray(np.bincount(targets).argmax())
    return np.asarray(targets.mean() if problem_type == "regression" else targets.mean(0) > 0.5)


def tfidf(
    train: Sequence[str], texts: Sequence[str], targets: np.ndarray, problem_type: ProblemType, seed: int
) -> np.ndarray | None:
    """Predict the targets of `texts` by TF-IDF of words and word pairs with logistic regression (C = 10), or ridge regression.

    Returns None when the training texts have a single target or no words.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.pipeline import make_pipeline

    if len(np.unique(targets, axis=0)) == 1 or not any(re.search(r"\w\w", text) for text in train):
        return None
    estimator: Any = LogisticRegression(C=10.0, max_iter=1000, random_state=seed)
    if problem_type == "regression":
        estimator = Ridge(random_state=seed)
    elif problem_type == "multi_label_classification":
        estimator = OneVsRestClassifier(estimator)
    model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), estimator)
    return np.asarray(model.fit(train, targets).predict(texts))
