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
    found = translation.statistics(predictions, references)
    expected = sacrebleu.corpus_bleu(predictions, [[references[0][0]]], tokenize="zh").score
    assert translation.bleu(found, found) == pytest.approx(expected) and expected > 10
    signature = translation.signatures(found, None)
    assert signature["bleu"] == f"nrefs:1|case:mixed|eff:no|tok:zh|smooth:exp|version:{sacrebleu.__version__}"
    assert signature["chrf"].startswith("nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no")
    assert signature["ter"].startswith("nrefs:1|case:lc|tok:zh+tercom")
    assert translation.ter(found, found) == pytest.approx(100 * 3 / 13) and translation.mean_length(found) == 12
    german = translation.statistics(["Er kocht ."], [["Er kocht ."]])
    signature = translation.signatures(german, "zh")
    assert "tok:13a" in signature["bleu"] and "tok:tercom" in signature["ter"] and translation.mean_length(german) == 3


@pytest.mark.parametrize(
    ("references", "tokenizer"),
    [
        (["他今天在家里工作。"], "zh"),
        (["她買了一臺 iPhone 15 Pro Max 手機。", "Windows 11 更新失敗"], "zh"),  # traditional, with Latin words
        (["彼は今日、家で働いた。", "東京都知事選挙"], "char"),
        (["カタカナ"], "char"),
        (["그는 오늘 집에서 일했다."], "char"),
        (["เขาทำงานที่บ้านวันนี้"], "char"),
        (["ຂ້ອຍໄປໂຮງຮຽນ"], "char"),
        (["គាត់ធ្វើការនៅផ្ទះ"], "char"),
        (["သူအိမ်မှာအလုပ်လုပ်တယ်"], "char"),
        (["བོད་སྐད"], "char"),
        (["Он сегодня работал дома."], "13a"),
        (["वह आज घर से काम किया।"], "13a"),
        (["عمل من المنزل اليوم"], "13a"),
        (["Hôm nay anh ấy làm việc ở nhà."], "13a"),
        (["He read 紅樓夢 in one evening, from the first page to the last one.", *["Then he slept."] * 5], "13a"),
        (["", "…", "😀"], "13a"),
        ([], "13a"),
    ],
)
def test_the_script_of_the_references_chooses_the_tokenizer(references: list[str], tokenizer: str) -> None:
    assert translation.choose_tokenizer(references) == tokenizer
    if references:
        found = translation.statistics(references, [[text] for text in references])
        assert f"tok:{tokenizer}|" in translation.signatures(found, None)["bleu"]
        expected = sacrebleu.corpus_bleu(references, [references], tokenize=tokenizer, force=True).score
        assert translation.bleu(found, found) == pytest.approx(expected)


def test_ter_finds_the_words_of_scripts_without_spaces() -> None:
    """sacrebleu's TER alone takes the sentence for one word, so that one wrong letter of twelve gives 100."""
    found = translation.statistics(["เขาทำงานที่บ้าน"], [["เขาทำงานที่ร้าน"]])
    assert 0 < translation.ter(found, found) < 20


def test_arrays_of_earlier_versions_follow_the_language_code() -> None:
    earlier = translation.statistics(["他在家。"], [["他在家。"]])[:, :-1]
    assert [translation.tokenizer_of(earlier, code) for code in ("zh", "ja", "zh_CN", None)] == [
        "zh",
        "char",
        "13a",
        "13a",
    ]
