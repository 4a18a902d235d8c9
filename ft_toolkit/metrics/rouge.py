"""ROUGE (Lin 2004) of summaries, by the rouge-score package, on the scale of published tables: 0 to 100.

Words are stemmed (Porter), as ROUGE-1.5.5 does with -m and as published numbers are; the package knows the letters a to z
and digits only, so in other scripts every score is 0. With several references a summary gets its best one, per score.
"""

import re
from collections.abc import Callable, Sequence

import numpy as np

Array = np.ndarray
NAMES = ("rouge1", "rouge2", "rougeL", "rougeLsum")
# A sentence ends with . ! or ?, perhaps a closing quotation mark or bracket, and white space before a capital, a digit or an
# opening mark. Abbreviations before names ("Dr. Lee") end one too many; decimals and "e.g. this" do not.
_SENTENCE_END = re.compile(r"(?<=[.!?])([\"'\u201d\u2019)\]]*)\s+(?=[A-Z0-9\"'\u201c\u2018(\[])")


def sentences(text: str) -> list[str]:
    """Return the lines of a text or, where it has one line only, its sentences by a simple rule (no model, no download)."""
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    if len(lines) > 1:
        return lines
    return [part.strip() for part in _SENTENCE_END.sub("\\1\n", text).split("\n") if part.strip()]


def statistics(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> tuple[Array, Array]:
    """Return two arrays of shape (examples, 5): F-measures times 100 in the order of NAMES, and the number of words.

    The first is of the predictions, the second of each example's first reference against itself: 100 where it has as many
    words as the score looks at (two for rouge2), else 0.
    """
    from rouge_score.rouge_scorer import RougeScorer
    from rouge_score.tokenizers import DefaultTokenizer

    tokenizer = DefaultTokenizer(use_stemmer=True)
    scorer = RougeScorer(list(NAMES), tokenizer=tokenizer)
    scored, perfect = [], []
    for prediction, texts in zip(predictions, references, strict=True):
        found = scorer.score_multi(["\n".join(sentences(text)) for text in texts], "\n".join(sentences(prediction)))
        scored.append([*(100 * found[name].fmeasure for name in NAMES), len(prediction.split())])
        n_words = len(tokenizer.tokenize(texts[0]))
        best = [100.0 * (n_words >= words) for words in (1, 2, 1, 1)]
        perfect.append([*best, len(texts[0].split())])
    return np.array(scored, np.float64).reshape(-1, 5), np.array(perfect, np.float64).reshape(-1, 5)


def mean_of(name: str) -> Callable[[Array, Array], float]:
    """Return the metric that averages one of NAMES over the examples."""
    column = NAMES.index(name)

    def metric(predictions: Array, references: Array) -> float:
        return float(predictions[:, column].mean())

    return metric


def mean_words(statistics: Array) -> float:
    """Return the mean number of words of the texts behind an array of `statistics`."""
    return float(statistics[:, -1].mean())
