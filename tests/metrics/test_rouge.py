# ruff: noqa: RUF001
"""ROUGE against the rouge-score package, example by example and in the mean."""

import random

import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer

from ft_toolkit.metrics.rouge import (
    NAMES,
    count_hidden,
    mean_of,
    mean_words,
    sentences,
    signature,
    statistics,
    uses_unicode,
)

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
    references = [["A lamp.", "Another one here."], ["lamp"], ["Es kam nie an. Warum?"], ["…"], ["Ω"]]
    _, perfect = statistics([several[0] for several in references], references)
    scored, _ = statistics([several[0] for several in references], references)
    assert np.array_equal(perfect, scored)
    assert perfect[0, :4].tolist() == [100] * 4 and perfect[1, :4].tolist() == [100, 0, 100, 100]
    assert perfect[4, :4].tolist() == [0] * 4 and not uses_unicode(perfect)  # one word of other scripts in eleven
    assert mean_words(perfect) == pytest.approx((2 + 1 + 5 + 1 + 1) / 5)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One line. Two sentences!", ["One line.", "Two sentences!"]),
        ("First line.\nSecond. Still second.\n\n", ["First line.", "Second. Still second."]),
        ('He said "no." Then he left.', ['He said "no."', "Then he left."]),
        ("He said \u201cno.\u201d Then he left.", ["He said \u201cno.\u201d", "Then he left."]),
        ("It costs 3.50 in all, e.g. there. (Really?) Yes", ["It costs 3.50 in all, e.g. there.", "(Really?)", "Yes"]),
        ("灯坏了。客户要新的！为什么？", ["灯坏了。", "客户要新的！", "为什么？"]),
        ("他说\u201c坏了。\u201d然后走了。", ["他说\u201c坏了。\u201d", "然后走了。"]),
        ("Лампа сломана. Где новая?", ["Лампа сломана.", "Где новая?"]),
        ("المصباح مكسور. أين الجديد؟ لا أعرف.", ["المصباح مكسور.", "أين الجديد؟", "لا أعرف."]),
        ("दीया टूटा है। नया कहाँ है?", ["दीया टूटा है।", "नया कहाँ है?"]),
        ("", []),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


@pytest.mark.parametrize(
    ("reference", "prediction", "rouge1"),
    [
        ("居民关注本市市场，共38人。", "居民关注本市天气，共40人。", 100 * 8 / 11),  # the digits alone would give 0
        ("居民关注本市市场。", "居民关注本市市场。", 100),
        ("市場が閉まった", "市場が開いた", 100 * 2 * 4 / (7 + 6)),
        ("ตลาดปิด", "ตลาดเปิด", 100 * 2 * 6 / (6 + 7)),
        ("Рынок в Лионе закрыт", "рынок закрыт", 100 * 2 * 2 / (4 + 2)),
        ("시장이 닫혔다", "시장이 열렸다", 50),
        ("السوق مغلق", "السوق مفتوح", 50),
        ("बाज़ार बंद है", "बाज़ार खुला है", 100 * 2 / 3),
        ("Η αγορά έκλεισε", "η αγορά άνοιξε", 100 * 2 / 3),
        ("Das Museum schließt, 闭馆了", "Das Museum, 闭馆了", 100 * 2 * 5 / (6 + 5)),
    ],
)
def test_words_of_other_scripts_count(reference: str, prediction: str, rouge1: float) -> None:
    scored, perfect = statistics([prediction], [[reference]])
    assert scored[0, 0] == pytest.approx(rouge1) and perfect[0, 0] == 100
    assert uses_unicode(scored) and "words of all scripts (each letter in scripts without spaces)" in signature(scored)


def test_latin_words_are_stemmed_in_the_same_way_beside_other_scripts() -> None:
    """Also snake_case and hyphens, which rouge-score cuts."""
    text = "The running lamps of Window_Manager's 3 well-known shops"
    scored, _ = statistics([text + " 灯坏了"], [["the run lamp of window manager s 3 well known shop 灯坏了"]])
    assert uses_unicode(scored) and scored[0, 0] == pytest.approx(100)


@pytest.mark.parametrize(
    ("references", "n"),
    [
        ([["灯坏了"], ["a lamp"], ["…"]], 1),  # all scripts count here
        ([["a lamp is broken"]] * 20 + [["灯坏"], ["лампа"], ["😀"]], 3),
        ([["a lamp is broken"]] * 20 + [["a 灯坏", "the lamp is broken"]], 0),  # another reference has Latin words
        ([["Hôm nay anh ấy làm việc ở nhà"]], 0),
        ([], 0),
    ],
)
def test_summaries_that_rouge_does_not_see_are_counted(references: list[list[str]], n: int) -> None:
    assert count_hidden(references) == n


def test_arrays_of_earlier_versions_have_no_words_of_other_scripts() -> None:
    earlier = statistics(["灯坏了"], [["灯坏了"]])[0][:, :-1]
    assert not uses_unicode(earlier) and signature(earlier).startswith("rouge-score, F-measure")
