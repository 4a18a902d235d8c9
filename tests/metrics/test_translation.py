"""BLEU, chrF and TER from summed statistics against sacrebleu on whole corpora."""

import random

import numpy as np
import pytest
import sacrebleu

from ft_toolkit.metrics import translation

SENTENCE = "Ein Mann steht , am Herd ! und bereitet das Essen zu . weiß-blau 3,5 „so“ Straße (bald) x"
WORDS = SENTENCE.split()


def corpus(seed: int, n_references: int) -> tuple[list[str], list[list[str]]]:
    rng = random.Random(seed)
    references = [[" ".join(rng.choices(WORDS, k=rng.randint(1, 14))) for _ in range(n_references)] for _ in range(25)]
    predictions = []
    for several in references:
        words = several[0].split()
        rng.shuffle(words) if rng.random() < 0.3 else None
        words = [word if rng.random() < 0.8 else rng.choice(WORDS) for word in words]
        predictions.append(" ".join(words[: rng.randint(0, 14)]))
    return [*predictions, ""], [*references, references[0]]


@pytest.mark.parametrize("n_references", [1, 3])
@pytest.mark.parametrize("seed", range(8))
def test_scores_are_those_of_sacrebleu(seed: int, n_references: int) -> None:
    predictions, references = corpus(seed, n_references)
    found = translation.statistics(predictions, references)
    streams = [[several[i] for several in references] for i in range(n_references)]
    assert translation.bleu(found, found) == pytest.approx(
        sacrebleu.corpus_bleu(predictions, streams, force=True).score
    )
    assert translation.chrf(found, found) == pytest.approx(sacrebleu.corpus_chrf(predictions, streams).score)
    assert translation.ter(found, found) == pytest.approx(sacrebleu.corpus_ter(predictions, streams).score)
    some = np.array([0, 3, 3, 7, 20])
    picked = [[stream[i] for i in some] for stream in streams]
    again = sacrebleu.corpus_bleu([predictions[i] for i in some], picked, force=True).score
    assert translation.bleu(found[some], found) == pytest.approx(again)


def test_different_numbers_of_references() -> None:
    predictions, references = corpus(3, 3)
    references = [several[: 1 + i % 3] for i, several in enumerate(references)]
    streams = [[several[i] if i < len(several) else None for several in references] for i in range(3)]
    found = translation.statistics(predictions, references)
    assert translation.bleu(found, found) == pytest.approx(
        sacrebleu.corpus_bleu(predictions, streams, force=True).score
    )
    assert translation.chrf(found, found) == pytest.approx(sacrebleu.corpus_chrf(predictions, streams).score)
    assert translation.ter(found, found) == pytest.approx(sacrebleu.corpus_ter(predictions, streams).score)
    assert "nrefs:var" in translation.signatures(found, "de")["bleu"]


@pytest.mark.parametrize("predictions", [["", ""], ["完全に別の文", "…"]])
def test_nothing_right(predictions: list[str]) -> None:
    references = [["Ein Mann steht am Herd ."], ["Er kocht ."]]
    found = translation.statistics(predictions, references)
    streams = [[several[0] for several in references]]
    assert translation.bleu(found, found) == sacrebleu.corpus_bleu(predictions, streams).score == 0
    assert translation.chrf(found, found) == sacrebleu.corpus_chrf(predictions, streams).score == 0
    assert translation.ter(found, found) == sacrebleu.corpus_ter(predictions, streams).score


def test_chinese_is_cut_into_characters_and_the_signature_says_so() -> None:
    predictions, references = ["他今天在家里工作得很好。"], [["他今天在办公室工作得很好。"]]
    found = translation.statistics(predictions, references, "zh")
    expected = sacrebleu.corpus_bleu(predictions, [[references[0][0]]], tokenize="zh").score
    assert translation.bleu(found, found) == pytest.approx(expected) and expected > 10
    signature = translation.signatures(found, "zh")
    assert signature["bleu"] == f"nrefs:1|case:mixed|eff:no|tok:zh|smooth:exp|version:{sacrebleu.__version__}"
    assert "tok:13a" in translation.signatures(found, None)["bleu"]
    assert signature["chrf"].startswith("nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no")
    assert signature["ter"].startswith("nrefs:1|case:lc|tok:tercom")
    assert translation.mean_words(found) == 1
