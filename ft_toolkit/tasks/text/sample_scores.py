"""Scores of generated texts beside the scores of tokens, for text generation and dialogue."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ft_toolkit.core.words import find_words
from ft_toolkit.metrics import diversity, rouge
from ft_toolkit.metrics import translation as bleu
from ft_toolkit.metrics.metric import Metric
from ft_toolkit.tasks.text import token_scores

# The columns of both arrays: scores of tokens; variety of the samples; variety of the true texts, cut to the words of the first
# sample; then ROUGE-L and the sums of BLEU, which are NaN for rows without a reference.
_VARIETY = slice(4, 4 + diversity.N_COLUMNS)
_TRUE_VARIETY = slice(_VARIETY.stop, _VARIETY.stop + diversity.N_COLUMNS)
_ROUGE = _TRUE_VARIETY.stop
_BLEU = slice(_ROUGE + 1, None)
TITLES = {"variety": "Variety of the samples, and of the true texts cut to their number of words"}


def samples_of(prediction: Mapping[str, Any], key: str) -> list[str]:
    """Return the samples of a prediction whose first text has the key `key`; empty for a row without a generated text."""
    texts: list[str] | None = prediction.get("samples")
    return texts or ([] if prediction[key] is None else [prediction[key]])


def to_arrays(
    decoded: Sequence[Mapping[str, Any]],
    samples: Sequence[Sequence[str]],
    true_texts: Sequence[str],
    has_reference: Sequence[bool],
) -> tuple[np.ndarray, np.ndarray]:
    """Return two arrays: of the predictions, and of the best values. The columns are those above.

    `has_reference` says for which rows the first sample is compared with the true text.
    """
    scores, best_scores = token_scores.to_arrays(decoded)
    variety = diversity.statistics(samples)
    shortened = [
        [_first_words(true_text, len(find_words(texts[0])))] if texts else []
        for true_text, texts in zip(true_texts, samples, strict=True)
    ]
    true_variety = diversity.statistics(shortened)
    compared = [i for i, texts in enumerate(samples) if has_reference[i] and texts]
    overlap, best_overlap = _overlap([samples[i][0] for i in compared], [[true_texts[i]] for i in compared])
    both = []
    for token_part, variety_part, overlap_part in (
        (scores, variety, overlap),
        (best_scores, diversity.perfect(variety), best_overlap),
    ):
        full = np.full((len(samples), overlap_part.shape[1]), np.nan)
        full[compared] = overlap_part
        both.append(np.hstack([token_part, variety_part, true_variety, full]))
    return both[0], both[1]


def _first_words(text: str, n: int) -> str:
    words = find_words(text)[:n]
    return text[: words[-1][1]] if words else ""


def _overlap(texts: list[str], references: list[list[str]]) -> tuple[np.ndarray, np.ndarray]:
    """Return ROUGE-L and the sums of BLEU of the texts, and of the references against themselves."""
    column = rouge.NAMES.index("rougeL")
    scored, best = rouge.statistics(texts, references)
    sums = bleu.statistics(texts, references), bleu.statistics([each[0] for each in references], references)
    return np.column_stack([scored[:, column], sums[0]]), np.column_stack([best[:, column], sums[1]])


def mean_of(column: int) -> diversity.MetricFn:
    """Return the function that computes the mean of a column over the rows with a value; NaN if no row has one."""

    def mean(predictions: np.ndarray, references: np.ndarray) -> float:
        values = predictions[:, column]
        values = values[~np.isnan(values)]
        return float(values.mean()) if len(values) else float("nan")

    return mean


def _corpus_bleu(predictions: np.ndarray, references: np.ndarray) -> float:
    compared = predictions[~np.isnan(predictions[:, _ROUGE])][:, _BLEU]
    return bleu.bleu(compared, compared) if len(compared) else float("nan")


def _of_variety(fn: diversity.MetricFn) -> diversity.MetricFn:
    return lambda predictions, references: fn(predictions[:, _VARIETY], references[:, _VARIETY])


# The scores of language modelling, then those of the generated texts.
METRICS: Mapping[str, Metric] = {
    **{name: replace(metric, needs_no_generation=True) for name, metric in token_scores.METRICS.items()},
    "distinct_1": Metric(_of_variety(diversity.distinct(1)), is_share=True),
    "distinct_2": Metric(_of_variety(diversity.distinct(2)), is_share=True),
    "repetition": Metric(_of_variety(diversity.repetition), best=0.0, greater_is_better=False),
    "self_bleu": Metric(_of_variety(diversity.self_bleu), best=0.0, greater_is_better=False),
    "bleu": Metric(_corpus_bleu, best=100.0, is_share=True, hub_name="sacrebleu"),
    "rougeL": Metric(mean_of(_ROUGE), best=100.0, is_share=True, hub_name="rouge", short_names=("rouge",)),
}


def details(predictions: np.ndarray) -> dict[str, Any]:
    """Return the amount of text that was scored, and the variety of the samples beside the true texts."""
    _, tokens, n_bytes, _ = predictions[:, :4].sum(axis=0).tolist()
    variety = {
        name: {
            "mean_words": diversity.mean_words(array),
            "distinct_2": diversity.distinct(2)(array, array),
            "repetition": diversity.repetition(array, array),
            "self_bleu": diversity.self_bleu(array, array),
        }
        for name, array in (("samples", predictions[:, _VARIETY]), ("true texts", predictions[:, _TRUE_VARIETY]))
    }
    defined = {
        name: {key: score for key, score in scores.items() if math.isfinite(score)} for name, scores in variety.items()
    }
    return {"language": {"tokens": int(tokens), "bytes": int(n_bytes)}, "variety": defined}
