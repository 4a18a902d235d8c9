"""Exact match and F1 of SQuAD: cases computed by hand, and general properties."""

import itertools
import random

import numpy as np
import pytest

from ft_toolkit.metrics import squad


@pytest.mark.parametrize(
    ("prediction", "truths", "exact", "f1"),
    [
        ("Denver Broncos", ["Denver Broncos"], 1, 1),
        ("the Denver Broncos!", ["denver broncos"], 1, 1),  # case, punctuation, article
        ("Broncos", ["Denver Broncos"], 0, 2 / 3),  # precision 1, recall 1/2
        ("a cat and an owl", ["the cat and owl"], 1, 1),
        ("theater", ["the ater"], 0, 0),  # an article is a whole word: "the ater" is "ater"
        ("in 1862, by rail", ["1862"], 0, 2 / 5),  # precision 1/4, recall 1
        ("U.S.", ["US"], 1, 1),  # punctuation goes without leaving a gap
        ("twenty-one", ["twenty one"], 0, 0),  # so these are one word and two
        ("$3 million", ["3 million"], 1, 1),
        ("€3 million", ["3 million"], 0, 2 / 4),  # the euro sign is no ASCII punctuation: "€3" is another word
        ("“Superb”", ["Superb"], 0, 0),  # nor are typographic quotation marks
        ("ÉCOLE", ["école"], 1, 1),
        ("Zu\u0308rich", ["Z\u00fcrich"], 0, 0),  # composed and decomposed letters differ, as in the script
        ("new york new york", ["new york"], 0, 2 * 2 / 6),  # words count as often as they stand
        ("york", ["new york", "york city", "York"], 1, 1),  # the best true answer counts
        ("gold medal in rowing", ["gold", "medal in rowing"], 0, 2 * 3 / 7),
        ("  tabs\tand\nlines ", ["tabs and lines"], 1, 1),
        ("", [], 1, 1),  # no answer, and rightly
        ("something", [], 0, 0),
        ("", ["something"], 0, 0),
        ("the", [], 1, 1),  # nothing is left of it
        ("the", ["something", "a"], 0, 0),
        ("", ["the"], 1, 1),  # v2: a true answer without words is none
        ("", [""], 1, 1),
    ],
)
def test_cases_from_the_definition(prediction, truths, exact, f1):
    assert squad.answer_scores(prediction, truths) == (exact, pytest.approx(f1))


@pytest.mark.parametrize(
    ("prediction", "truth", "exact", "f1"),
    [
        ("北京大学", "北京大学", 1, 1),
        ("北京", "北京大学", 0, 2 * 2 / 6),  # four characters, two of them shared
        ("《红楼梦》。", "红楼梦", 1, 1),  # punctuation of any script
        ("2008 年 8 月", "2008年8月", 1, 1),  # numbers stay whole words, spaces make no difference
        ("2009年8月", "2008年8月", 0, 2 * 3 / 8),
        ("IBM 公司", "ibm公司", 1, 1),
        ("apple", "苹果", 0, 0),
        ("東京タワー", "東京", 0, 2 * 2 / 7),  # kana are characters as well
        ("กรุงเทพ", "กรุงเทพ", 1, 1),
        ("서울 시청", "서울시청", 0, 0),  # Korean has spaces between words
    ],
)
def test_scripts_without_spaces_are_compared_by_character(prediction, truth, exact, f1):
    assert squad.answer_scores(prediction, [truth]) == (exact, pytest.approx(f1))
    assert squad.has_unspaced(truth) == (truth != "서울시청")


@pytest.mark.parametrize(
    ("prediction", "truth", "by_character", "exact", "f1"),
    [
        ("《1992》", "1992", True, 1, 1),  # punctuation of any script goes, though the year alone is in no script
        ("63％”", "63%", True, 1, 1),  # noqa: RUF001
        ("a 1985", "1985", True, 0, 2 / 3),  # Chinese has no articles
        (
            "大元通制 the Great Yuan",
            "Great Yuan",
            False,
            0,
            2 * 2 / 5,
        ),  # Chinese names in English are words like others
        ("《》", "a", True, 0, 0),
        ("", "《》", True, 1, 1),  # a true answer without words is none
    ],
)
def test_the_script_of_the_text_decides_where_it_is_known(prediction, truth, by_character, exact, f1):
    assert squad.answer_scores(prediction, [truth], by_character=by_character) == (exact, pytest.approx(f1))


@pytest.mark.parametrize(
    ("text", "unspaced"),
    [
        ("他住在北京。", True),
        ("IBM (International Business Machines) 公司成立于1911年", True),  # 6 characters, 5 words
        ("東京タワーは1958年に", True),
        ("กรุงเทพมหานคร เป็นเมืองหลวง", True),
        ("The code of the Great Yuan (大元通制)", False),
        ("서울 시청", False),
        ("1985", False),
        ("", False),
    ],
)
def test_whether_a_text_is_written_without_spaces(text, unspaced):
    assert squad.is_unspaced(text) == unspaced


def texts(count, seed):
    rng = random.Random(seed)
    pieces = ["the", "a", "An", "river", "River", "blue", "3.5", "U.S.", "-", "“x”", "北京", "大", "。", "カ", "", "é"]
    return [" ".join(rng.choices(pieces, k=rng.randint(0, 5))) for _ in range(count)]


def test_properties_of_the_scores():
    for one, other in itertools.product(texts(40, 1), texts(40, 2)):
        exact, f1 = squad.pair_scores(one, other)
        assert squad.pair_scores(other, one) == (exact, f1)
        assert 0 <= exact <= f1 <= 1
        assert squad.pair_scores(one, one) == (1, 1)
        assert squad.answer_scores(one, [other, one]) == (1, 1) or not squad.words(one)
        if not squad.has_unspaced(one + other):
            changed = f" THE  {one.upper()} !?"
            assert squad.pair_scores(changed, other) == (exact, pytest.approx(f1))


def test_more_reference_answers_never_lower_a_score():
    rng = random.Random(3)
    for _ in range(200):
        prediction, *truths = rng.sample(texts(30, 4), 4)
        truths = [truth for truth in truths if squad.words(truth)]
        for n in range(1, len(truths)):
            fewer, more = squad.answer_scores(prediction, truths[:n]), squad.answer_scores(prediction, truths)
            assert fewer[0] <= more[0] and fewer[1] <= more[1]


def test_the_metrics_are_means_of_the_first_two_columns():
    rows = np.array([[1, 1, 1, 0], [0, 0.5, 1, 0], [0, 0, 0, 0]], float)
    assert squad.exact_match(rows, rows) == pytest.approx(1 / 3)
    assert squad.f1(rows, rows) == 0.5


def brute_force(lacks, answered, silent):
    """Return the best mean F1 of all thresholds."""
    tried = [-np.inf, *lacks]
    return max(float(np.where(lacks > t, silent, answered).mean()) for t in tried)


@pytest.mark.parametrize("seed", range(40))
def test_the_best_threshold_is_the_best_of_all(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 30))
    lacks = rng.integers(-5, 6, n).astype(float) if seed % 2 else rng.normal(size=n)  # with and without equal ones
    silent = rng.integers(0, 2, n).astype(float)
    answered = np.where(silent == 1, 0, rng.random(n))
    threshold = squad.best_threshold(lacks, answered, silent)
    reached = float(np.where(lacks > threshold, silent, answered).mean())
    assert reached == pytest.approx(brute_force(lacks, answered, silent), abs=1e-9)
    assert np.abs(lacks - threshold).min() > 1e-9, "rounding would move an example over the threshold"


def test_a_threshold_where_one_kind_is_all_there_is():
    lacks = np.array([-1.0, 0.0, 2.0])
    assert squad.best_threshold(lacks, np.ones(3), np.zeros(3)) > 2
    assert squad.best_threshold(lacks, np.zeros(3), np.ones(3)) < -1
