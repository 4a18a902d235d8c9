"""Variety of generated texts, by hand and against the definitions."""

import numpy as np
import pytest
from sacrebleu.metrics import BLEU

from ft_toolkit.metrics import diversity

TEXTS = [["the cat sat on the mat"], ["the cat sat on the roof", "the cat sat"], [], ["rain"]]


def test_distinct_n_is_the_number_of_different_n_grams_over_all() -> None:
    sums = diversity.statistics(TEXTS)
    flat = [text.split() for texts in TEXTS for text in texts]
    for size in (1, 2):
        grams = [tuple(words[i : i + size]) for words in flat for i in range(len(words) - size + 1)]
        assert diversity.distinct(size)(sums, sums) == pytest.approx(len(set(grams)) / len(grams))
    assert diversity.mean_words(sums) == pytest.approx((6 + 6 + 3 + 1) / 4)


def test_repetition_counts_four_grams_that_occur_earlier_in_the_text() -> None:
    sums = diversity.statistics([["a b c d a b c d"], ["a b c d"]])
    assert diversity.repetition(sums, sums) == pytest.approx(1 / 6)  # five and one four-grams, one of them again


def test_self_bleu_is_the_mean_bleu_against_the_other_texts() -> None:
    flat = [text for texts in TEXTS for text in texts]
    bleu = BLEU(tokenize="none", smooth_method="exp", effective_order=True)
    expected = [bleu.sentence_score(text, flat[:i] + flat[i + 1 :]).score for i, text in enumerate(flat)]
    sums = diversity.statistics(TEXTS)
    assert diversity.self_bleu(sums, sums) == pytest.approx(np.mean(expected))


def test_the_best_sums_have_the_best_scores_and_no_texts_have_none() -> None:
    best = diversity.perfect(diversity.statistics(TEXTS))
    assert diversity.distinct(1)(best, best) == diversity.distinct(2)(best, best) == 1
    assert diversity.repetition(best, best) == diversity.self_bleu(best, best) == 0
    nothing = diversity.statistics([[], []])
    for metric in (diversity.distinct(1), diversity.repetition, diversity.self_bleu):
        assert np.isnan(metric(nothing, nothing))
    single = diversity.statistics([["a text"]])
    assert np.isnan(diversity.self_bleu(single, single))
