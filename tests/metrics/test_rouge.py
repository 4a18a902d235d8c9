"""ROUGE against the rouge-score package, example by example and in the mean."""

import random

import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer

from ft_toolkit.metrics.rouge import NAMES, mean_of, mean_words, sentences, statistics

SENTENCE = "The lamp was late . Nobody answers! 3 parcels, broken Screens running a customer's (blue) one?"
WORDS = SENTENCE.split()


def texts(rng: random.Random, lowest: int = 0) -> str:
    return " ".join(rng.choices(WORDS, k=rng.randint(lowest, 25)))


def test_every_score_is_that_of_the_package() -> None:
    rng = random.Random(1)
    predictions = [*(texts(rng) for _ in range(120)), ""]
    references = [[texts(rng, 1) for _ in range(rng.randint(1, 3))] for _ in range(121)]
    ours, _ = statistics(predictions, references)
    scorer = RougeScorer(list(NAMES), use_stemmer=True)
    for row, prediction, several in zip(ours, predictions, references, strict=True):
        for column, name in enumerate(NAMES):
            split = ["\n".join(sentences(t)) if name == "rougeLsum" else t for t in (prediction, *several)]
            best = max(scorer.score(reference, split[0])[name].fmeasure for reference in split[1:])
            assert row[column] == pytest.approx(100 * best), (name, prediction, several)
    for name in NAMES:
        assert mean_of(name)(ours, ours) == pytest.approx(ours[:, NAMES.index(name)].mean())


def test_a_reference_against_itself_is_what_the_package_says() -> None:
    references = [["A lamp.", "Another one here."], ["lamp"], ["Es kam nie an. Warum?"], ["…"], ["灯坏了"]]
    _, perfect = statistics([several[0] for several in references], references)
    scored, _ = statistics([several[0] for several in references], references)
    assert np.array_equal(perfect, scored)
    assert perfect[0, :4].tolist() == [100] * 4 and perfect[1, :4].tolist() == [100, 0, 100, 100]
    assert perfect[4, :4].tolist() == [0] * 4  # as documented: no word in other scripts
    assert mean_words(perfect) == pytest.approx((2 + 1 + 5 + 1 + 1) / 5)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One line. Two sentences!", ["One line.", "Two sentences!"]),
        ("First line.\nSecond. Still second.\n\n", ["First line.", "Second. Still second."]),
        ('He said "no." Then he left.', ['He said "no."', "Then he left."]),
        ("He said \u201cno.\u201d Then he left.", ["He said \u201cno.\u201d", "Then he left."]),
        ("It costs 3.50 in all, e.g. there. (Really?) Yes", ["It costs 3.50 in all, e.g. there.", "(Really?)", "Yes"]),
        ("", []),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected
