"""ROUGE (Lin 2004) of summaries, computed by the rouge-score package, from 0 to 100 as in published tables.

Words are stemmed (Porter), as in ROUGE-1.5.5 with -m and in published results. The package supports only the letters a to z and
digits, so all scores are 0 in other scripts. With several references, each score is the best one.
"""

import re
from collections.abc import Callable, Sequence

import numpy as np

Array = np.ndarray
NAMES = ("rouge1", "rouge2", "rougeL", "rougeLsum")
# A sentence ends with . ! or ?, optionally a closing quotation mark or bracket, and white space before a capital letter, a
# digit or an opening mark. Abbreviations before names ("Dr. Lee") wrongly end a sentence; decimals and "e.g. this" do not.
_SENTENCE_END = re.compile(r"(?<=[.!?])([\"'\u201d\u2019)\]]*)\s+(?=[A-Z0-9\"'\u201c\u2018(\[])")


def sentences(text: str) -> list[str]:
    """Return the lines of a text, or of a single line its sentences, by a simple rule."""
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    if len(lines) > 1:
        return lines
    return [part.strip() for part in _SENTENCE_END.sub("\\1\n", text).split("\n") if part.strip()]


def statistics(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> tuple[Array, Array]:
    """Return two arrays (examples, 5): F-measures from 0 to 100 in the order of NAMES, and the number of words.

    The first array is for the predictions, the second for the first reference against itself: 100 if it has enough words for
    the score (two for rouge2), else 0.
    """
    from rouge_score.rouge_scorer import RougeScorer
    from rouge_score.tokenizers import DefaultTokenizer

    tokenizer = DefaultTokenizer(use_stemmer=True)
    scorer = RougeScorer(list(NAMES), tokenizer=tokenizer)
    scored, perfect = [], []
    for prediction, texts in zip(predictions, references, strict=True):
        scores = scorer.score_multi(["\n".join(sentences(text)) for text in texts], "\n".join(sentences(prediction)))
        scored.append([*(100 * scores[name].fmeasure for name in NAMES), len(prediction.split())])
        n_words = len(tokenizer.tokenize(texts[0]))
        best = [100.0 * (n_words >= words) for words in (1, 2, 1, 1)]
        perfect.append([*best, len(texts[0].split())])
    return np.array(scored, np.float64).reshape(-1, 5), np.array(perfect, np.float64).reshape(-1, 5)


def mean_of(name: str) -> Callable[[Array, Array], float]:
    """Return the metric that is the mean of one of NAMES over the examples."""
    column = NAMES.index(name)

    def metric(predictions: Array, references: Array) -> float:
        return float(predictions[:, column].mean())

    return metric


def mean_words(statistics: Array) -> float:
    """Return the mean number of words in an array of `statistics`."""
    return float(statistics[:, -1].mean())
