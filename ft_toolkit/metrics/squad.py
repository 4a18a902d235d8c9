"""Exact match and F1 of answer texts, as SQuAD defines them (Rajpurkar et al. 2016 and 2018), between 0 and 1.

Two answers are compared after lowering case, leaving out ASCII punctuation and the articles a, an, the, and splitting at
white space. A question without an answer has the one true answer "". So does SQuAD's script for v2; that for v1.1 differs
from it only where a true answer has no words, which gets exact match without F1.

Answers to texts in a script that is written without spaces are compared by characters of that script and by words of any
other, without punctuation of any script and with all articles, as MLQA's script does for Chinese (Lewis et al. 2020); it is
used here for other such scripts as well. XTREME (Hu et al. 2020) scores XQuAD in Chinese and Thai with SQuAD's script, by
what stands between spaces: its F1 for these two is lower, and cannot be compared.
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
    """Say whether a text holds a character of a script that is written without spaces."""
    return _CHARACTER.search(text) is not None


def is_unspaced(text: str) -> bool:
    """Say whether most of a text is in a script without spaces, a character of it counting as much as a word elsewhere."""
    return has_unspaced(text) and 2 * len(_CHARACTER.findall(text)) > len(words(text, by_character=True))


def words(text: str, *, by_character: bool = False) -> list[str]:
    """Return what is compared of an answer: its words, or characters of unspaced scripts and words of others."""
    text = text.lower()
    if by_character:
        text = "".join(letter for letter in text if not unicodedata.category(letter).startswith("P"))
        return _CHARACTER.sub(lambda found: f" {found.group()} ", text.translate(_NO_PUNCTUATION)).split()
    return _ARTICLES.sub(" ", text.translate(_NO_PUNCTUATION)).split()


def pair_scores(prediction: str, truth: str, *, by_character: bool | None = None) -> tuple[float, float]:
    """Return exact match and F1 of one answer and one true answer; where one side has no words, F1 is exact match.

    `by_character` is what `is_unspaced` says of the text that the question is about. None, where that is not at hand, asks
    whether either answer holds a character of such a script.
    """
    if by_character is None:
        by_character = has_unspaced(prediction) or has_unspaced(truth)
    said, true = words(prediction, by_character=by_character), words(truth, by_character=by_character)
    same = float(said == true)
    if not said or not true:
        return same, same
    shared = sum((Counter(said) & Counter(true)).values())
    return same, 2 * shared / (len(said) + len(true))


def answer_scores(prediction: str, truths: Sequence[str], *, by_character: bool | None = None) -> tuple[float, float]:
    """Return the best exact match and the best F1 over the true answers; none, or only wordless ones, means no answer.

    `by_character` as in `pair_scores`.
    """
    worded = [truth for truth in truths if words(truth, by_character=bool(by_character))] or [""]
    scores = [pair_scores(prediction, truth, by_character=by_character) for truth in worded]
    return max(exact for exact, _ in scores), max(f1 for _, f1 in scores)


def exact_match(predictions: np.ndarray, references: np.ndarray) -> float:
    """Return the mean of column 0: each row holds an example's exact match and F1."""
    return float(predictions[:, 0].mean())


def f1(predictions: np.ndarray, references: np.ndarray) -> float:
    """Return the mean of column 1: each row holds an example's exact match and F1."""
    return float(predictions[:, 1].mean())


def best_threshold(lacks: np.ndarray, f1_answered: np.ndarray, f1_silent: np.ndarray) -> float:
    """Return the threshold t with the highest mean F1 where examples with lack > t get no answer.

    All arrays have shape (n,): by how much no answer outscores the best answer, the F1 of that answer, and the F1 of none.
    Equal lacks stay together. t lies halfway between two examples, so that rounding moves none of them; of equally good
    thresholds the one that answers least is taken, as in SQuAD's script.
    """
    order = np.argsort(lacks, kind="stable")
    sorted_lacks = lacks[order]
    gains = np.concatenate([[0.0], np.cumsum((f1_answered - f1_silent)[order])])
    cuts = np.flatnonzero(
        np.concatenate([[True], np.diff(sorted_lacks) > 0, [True]])
    )  # answer the first `cut` examples
    best = cuts[int(np.argmax(np.round(gains[cuts], 9)))]
    if best == 0:
        return float(sorted_lacks[0] - 1)
    if best == len(lacks):
        return float(sorted_lacks[-1] + 1)
    return float((sorted_lacks[best - 1] + sorted_lacks[best]) / 2)
