"""ROUGE (Lin 2004) of summaries, computed by the rouge-score package, from 0 to 100 as in published tables.

Words are stemmed (Porter), as in ROUGE-1.5.5 with -m and in published results. The tokenizer of the package finds only the
letters a to z and digits. When at least a tenth of the words of the references have none of these, `UnicodeTokenizer` is used
instead. With several references, each score is the best one.
"""

import re
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import numpy as np

from ft_toolkit.core.words import ScriptCounts, count_scripts, find_words

Array = np.ndarray
NAMES = ("rouge1", "rouge2", "rougeL", "rougeLsum")
# Columns of `statistics` after the scores: words, and whether UnicodeTokenizer counted them (the same in every row).
_WORDS, _UNICODE = len(NAMES), len(NAMES) + 1
# A sentence ends with . ! or ?, optionally a closing quotation mark or bracket, and white space before a capital letter, a
# digit or an opening mark. Abbreviations before names ("Dr. Lee") wrongly end a sentence; decimals and "e.g. this" do not.
# A sentence may also begin with a Cyrillic or Greek capital, or a letter of Hebrew and later blocks up to Georgian.
_SENTENCE_END = re.compile(
    r"(?<=[.!?\u061f\u06d4])([\"'\u201d\u2019)\]]*)\s+(?=[A-Z0-9\"'\u201c\u2018(\[\u0391-\u03ab\u0400-\u042f\u0590-\u10ff])"
)
# The full stops of Chinese and Japanese, Indic scripts, Burmese and Khmer need neither white space nor a capital letter.
_OTHER_SENTENCE_END = re.compile("([\u3002\uff01\uff1f\u0964\u0965\u104b\u17d4][\u300d\u300f\u201d\u2019\uff09\"')]*)")


def sentences(text: str) -> list[str]:
    """Return the lines of a text, or of a single line its sentences, by a simple rule."""
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    if len(lines) > 1:
        return lines
    split = _OTHER_SENTENCE_END.sub("\\1\n", _SENTENCE_END.sub("\\1\n", text))
    return [part.strip() for part in split.split("\n") if part.strip()]


class UnicodeTokenizer:
    """Cut texts of any script into words for ROUGE.

    A word is a sequence of letters and digits, or one letter of a script without spaces (Chinese, Japanese, Thai ...). Words of
    the letters a to z are cut and stemmed as by the tokenizer of rouge-score, which is `ascii_tokenizer`.
    """

    def __init__(self, ascii_tokenizer: Any) -> None:
        """Create the tokenizer."""
        self._ascii = ascii_tokenizer

    def tokenize(self, text: str) -> list[str]:
        """Return the words of a text, in lower case."""
        words: list[str] = []
        lowered = text.lower()
        for start, end in find_words(lowered):
            word = lowered[start:end]
            if word.isascii():
                words += self._ascii.tokenize(word)
            elif any(letter.isalnum() for letter in word):
                words.append(word)
        return words


def _needs_unicode(counts: ScriptCounts) -> bool:
    return 10 * (counts.total - counts.ascii) >= counts.total > 0


def count_hidden(references: Sequence[Sequence[str]]) -> int:
    """Return the number of examples with references in which ROUGE finds no word, or only a minority of the words."""
    if _needs_unicode(count_scripts(chain.from_iterable(references))):
        return sum(count_scripts(texts).total == 0 for texts in references)
    counts = [count_scripts(texts) for texts in references]
    return sum(2 * count.ascii < count.total or count.total == 0 for count in counts)


def statistics(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> tuple[Array, Array]:
    """Return two arrays (examples, 6): F-measures from 0 to 100 in the order of NAMES, the number of words, the tokenizer.

    The first array is for the predictions, the second for the first reference against itself: 100 if it has enough words for
    the score (two for rouge2), else 0.
    """
    from rouge_score.rouge_scorer import RougeScorer
    from rouge_score.tokenizers import DefaultTokenizer

    is_unicode = _needs_unicode(count_scripts(chain.from_iterable(references)))
    tokenizer = DefaultTokenizer(use_stemmer=True)
    if is_unicode:
        tokenizer = UnicodeTokenizer(tokenizer)
    scorer = RougeScorer(list(NAMES), tokenizer=tokenizer)
    scored, perfect = [], []

    def n_words(text: str) -> int:
        return len(tokenizer.tokenize(text)) if is_unicode else len(text.split())

    for prediction, texts in zip(predictions, references, strict=True):
        scores = scorer.score_multi(["\n".join(sentences(text)) for text in texts], "\n".join(sentences(prediction)))
        scored.append([*(100 * scores[name].fmeasure for name in NAMES), n_words(prediction), is_unicode])
        n_found = len(tokenizer.tokenize(texts[0]))
        best = [100.0 * (n_found >= words) for words in (1, 2, 1, 1)]
        perfect.append([*best, n_words(texts[0]), is_unicode])
    shape = (-1, _UNICODE + 1)
    return np.array(scored, np.float64).reshape(shape), np.array(perfect, np.float64).reshape(shape)


def uses_unicode(statistics: Array) -> bool:
    """Return whether an array of `statistics` was computed with UnicodeTokenizer; False for arrays of earlier versions."""
    return statistics.shape[1] > _UNICODE and bool(statistics[:, _UNICODE].any())


def signature(statistics: Array) -> str:
    """Return the definition of the scores in an array of `statistics`."""
    words = "words of all scripts (each letter in scripts without spaces), " if uses_unicode(statistics) else ""
    return f"rouge-score, {words}F-measure, Porter stemmer, best reference per example"


def mean_of(name: str) -> Callable[[Array, Array], float]:
    """Return the metric that is the mean of one of NAMES over the examples."""
    column = NAMES.index(name)

    def metric(predictions: Array, references: Array) -> float:
        return float(predictions[:, column].mean())

    return metric


def mean_words(statistics: Array) -> float:
    """Return the mean number of words in an array of `statistics`."""
    return float(statistics[:, _WORDS].mean())
