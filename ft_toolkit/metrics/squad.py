"""Exact match and F1 of answer texts, as SQuAD defines them (Rajpurkar et al. 2016 and 2018), between 0 and 1.

Two answers are compared in lower case, without ASCII punctuation and the articles a, an, the, split at white space. A question
without an answer has the reference answer "". This is SQuAD's script for v2; the script for v1.1 differs only for a reference
answer without words, which gets exact match without F1.

Answers to texts in scripts without spaces are compared by characters of these scripts and by words of other scripts, without
punctuation and with articles, as in MLQA's script for Chinese (Lewis et al. 2020). XTREME (Hu et al. 2020) scores XQuAD in
Chinese and Thai with SQuAD's script, split at spaces: its F1 for these languages is lower and not comparable.
"""

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Sequence

import numpy as np

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
# First and last code points of scripts without spaces between words: Han with its extensions, kana, Bopomofo, Thai, Lao,
# Myanmar, Khmer.
_UNSPACED = (
    (0x0E00, 0x0EFF),
    (0x1000, 0x109F),
    (0x1780, 0x17FF),
    (0x3005, 0x3007),
    (0x3040, 0x30FF),
    (0x3100, 0x312F),
    (0x31F0, 0x31FF),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0xFF66, 0xFF9F),
    (0x20000, 0x323AF),
)
_CHARACTER = re.compile("[" + "".join(f"{chr(first)}-{chr(last)}" for first, last in _UNSPACED) + "]")


def has_unspaced(text: str) -> bool:
    """Return whether a text has a character of a script without spaces."""
    return _CHARACTER.search(text) is not None


def is_unspaced(text: str) -> bool:
    """Return whether most of a text is in a script without spaces, where a character counts as a word."""
    return has_unspaced(text) and 2 * len(_CHARACTER.findall(text)) > len(words(text, by_character=True))


def words(text: str, *, by_character: bool = False) -> list[str]:
    """Return the units of an answer that are compared: words, or characters of scripts without spaces and words of others."""
    text = text.lower()
    if by_character:
        text = "".join(letter for letter in text if not unicodedata.category(letter).startswith("P"))
        return _CHARACTER.sub(lambda match: f" {match.group()} ", text.translate(_NO_PUNCTUATION)).split()
    return _ARTICLES.sub(" ", text.translate(_NO_PUNCTUATION)).split()


def pair_scores(prediction: str, reference: str, *, by_character: bool | None = None) -> tuple[float, float]:
    """Return exact match and F1 of an answer and a reference answer. Without words on one side, F1 equals exact match.

    `by_character` is the value of `is_unspaced` for the context. None uses characters if either answer has one of a script
    without spaces.
    """
    if by_character is None:
        by_character = has_unspaced(prediction) or has_unspaced(reference)
    predicted, true = words(prediction, by_character=by_character), words(reference, by_character=by_character)
    exact = float(predicted == true)
    if not predicted or not true:
        return exact, exact
    n_shared = sum((Counter(predicted) & Counter(true)).values())
    return exact, 2 * n_shared / (len(predicted) + len(true))


def answer_scores(
    prediction: str, references: Sequence[str], *, by_character: bool | None = None
) -> tuple[float, float]:
    """Return the best exact match and the best F1 over the reference answers. Without words in any of them, there is no answer.

    `by_character` as in `pair_scores`.
    """
    with_words = [text for text in references if words(text, by_character=bool(by_character))] or [""]
    scores = [pair_scores(prediction, reference, by_character=by_character) for reference in with_words]
    return max(exact for exact, _ in scores), max(f1 for _, f1 in scores)


def exact_match(predictions: np.ndarray, references: np.ndarray) -> float:
    """Return the mean exact match, column 0 of the predictions."""
    return float(predictions[:, 0].mean())


def f1(predictions: np.ndarray, references: np.ndarray) -> float:
    """Return the mean F1, column 1 of the predictions."""
    return float(predictions[:, 1].mean())


def best_threshold(margins: np.ndarray, f1_answer: np.ndarray, f1_no_answer: np.ndarray) -> float:
    """Return the threshold t with the highest mean F1 when examples with margin > t get no answer.

    All arrays have shape (n,): the score of no answer minus the score of the best answer, the F1 of the best answer, and the
    F1 of no answer. t is halfway between two examples, so that rounding changes none of them. Of equally good thresholds, the
    one with the fewest answers is returned, as in SQuAD's script.
    """
    order = np.argsort(margins, kind="stable")
    sorted_margins = margins[order]
    gains = np.concatenate([[0.0], np.cumsum((f1_answer - f1_no_answer)[order])])
    cuts = np.flatnonzero(
        np.concatenate([[True], np.diff(sorted_margins) > 0, [True]])
    )  # answer the first `cut` examples
    best = cuts[int(np.argmax(np.round(gains[cuts], 9)))]
    if best == 0:
        return float(sorted_margins[0] - 1)
    if best == len(margins):
        return float(sorted_margins[-1] + 1)
    return float((sorted_margins[best - 1] + sorted_margins[best]) / 2)
