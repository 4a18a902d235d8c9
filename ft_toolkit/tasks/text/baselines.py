"""Baselines of text classification: the most frequent target, and linear models of counts and of embeddings."""

import re
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from ft_toolkit.tasks.text.labels import ProblemType

# Maximum number of characters of the training texts for TF-IDF: about 30 s on one core (3.6 s for the 0.6 million of
# Banking77).
MAX_CHARACTERS = 5_000_000
# Rows that are predicted at once.
CHUNK = 10_000


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
    """Predict the targets of `texts` by a linear model of TF-IDF: words, word pairs, and 2 to 4 characters inside words.

    Test accuracy and CPU seconds for words and pairs alone with logistic regression (C = 10), for all of these features with
    logistic regression, and for all of them with a support vector machine: 0.894, 8.1 s; 0.914, 14.4 s; 0.915, 3.6 s on
    Banking77 (10,003 rows); 0.813, 0.6 s; 0.825, 1.7 s; 0.824, 1.8 s on SST-2 (6,920 rows).

    The model is a linear support vector machine (C = 1), or ridge regression. Returns None when the training texts are empty
    or have a single target.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline, make_union
    from sklearn.svm import LinearSVC

    if _is_constant(targets) or not any(text.strip() for text in train):
        return None
    counts = [TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True)]
    if any(re.search(r"\w\w", text) for text in train):  # scikit-learn's words have two letters or more
        counts.append(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True))
    estimator: Any = Ridge(random_state=seed) if problem_type == "regression" else LinearSVC(random_state=seed)
    return _fit(make_pipeline(make_union(*counts), estimator), train, texts, targets, problem_type)


def linear_probe(
    train: np.ndarray, vectors: np.ndarray, targets: np.ndarray, problem_type: ProblemType, seed: int
) -> np.ndarray | None:
    """Predict targets from vectors of length 1, shape (n, width), by logistic regression (C = 10), or ridge regression.

    On SST-2, Banking77 and R8 with 8 and 64 rows per class, 300, 1,000 and all rows (embeddings of MiniLM, mean of 3 samples),
    the test accuracy with C = 10 was at most 0.018 below the best of 0.3, 1, 3, 10, 30 and 100, except for 300 rows of
    Banking77 with its 77 labels (0.631; C = 100: 0.669). A choice of C on a held-out fifth gained 0.002 on average.
    The penalty of the ridge regression is the one with the lowest leave-one-out error. Returns None when the training rows
    have a single target.
    """
    from sklearn.linear_model import LogisticRegression, RidgeCV

    if _is_constant(targets):
        return None
    estimator: Any = LogisticRegression(C=10.0, max_iter=1000, random_state=seed)
    if problem_type == "regression":
        estimator = RidgeCV(alphas=(0.01, 0.1, 1.0, 10.0))
    return _fit(estimator, train, vectors, targets, problem_type)


def _is_constant(targets: np.ndarray) -> bool:
    return len(np.unique(targets, axis=0)) == 1


def _fit(estimator: Any, train: Any, rows: Any, targets: np.ndarray, problem_type: ProblemType) -> np.ndarray:
    """Return the predictions for `rows`; with several labels, from one model per label."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.multiclass import OneVsRestClassifier

    if problem_type == "multi_label_classification":
        estimator = OneVsRestClassifier(estimator)
    with warnings.catch_warnings():
        # after 1000 iterations, the accuracy does not change any more
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", "Label .* is present in all training examples")
        model = estimator.fit(train, targets)
        # in parts, because the TF-IDF of all rows may not fit into the memory
        return np.concatenate([model.predict(rows[i : i + CHUNK]) for i in range(0, len(rows), CHUNK)])
