"""The most similar training text, for baselines that copy the answer of a training row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# Texts that are compared with all training texts at once.
_CHUNK = 1000


def nearest_rows(known: Sequence[str], asked: Sequence[str], pattern: str = r"\w+") -> list[int]:
    """Return for each text of `asked` the index of the most similar text of `known`: cosine of TF-IDF of words.

    `pattern` is the regular expression of a word. Without a shared word, the first text is returned.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(token_pattern=pattern)
    try:
        vectors = vectorizer.fit_transform(known)
    except ValueError:  # no text has a word
        return [0] * len(asked)
    nearest: list[int] = []
    for start in range(0, len(asked), _CHUNK):
        similar = vectorizer.transform(asked[start : start + _CHUNK]) @ vectors.T
        nearest += np.asarray(similar.argmax(axis=1)).ravel().tolist()
    return nearest
