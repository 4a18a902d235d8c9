"""Words of raw texts in many scripts, and their tokens."""

import pytest

from ft_toolkit.core.words import find_words
from ft_toolkit.tasks.text.words import Unit, align, cut_words, place_words, words_inside


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't pay 69,80 €!", ["Don", "'", "t", "pay", "69", ",", "80", "€", "!"]),
        ("a_b  c\n\td", ["a_b", "c", "d"]),
        ("cafe\u0301 nai\u0308ve", ["cafe\u0301", "nai\u0308ve"]),
        ("我住在北京。", list("我住在北京。")),
        ("iPhone在北京", ["iPhone", "在", "北", "京"]),
        ("さくら", ["さ", "く", "ら"]),
        ("서울에서 왔다", ["서울에서", "왔다"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("👩\u200d💻 ❤\ufe0f!!", ["👩\u200d", "💻", "❤\ufe0f", "!", "!"]),
        ("a\u200bb\u00a0c\x00d\ufeff", ["a", "b", "c", "d"]),
        ("x² Straße", ["x²", "Straße"]),
        ("\u0301x", ["\u0301", "x"]),
        ("", []),
        (" \n", []),
    ],
)
def test_words_of_a_raw_text(text, words):
    assert [text[start:end] for start, end in find_words(text)] == words


def test_words_are_placed_in_a_text_or_refused():
    assert place_words(["a", "b", "a"], "a b a") == [(0, 1), (2, 3), (4, 5)]
    assert place_words(["a", " ", "b"], "a   b") == [(0, 1), (2, 3), (4, 5)]
    assert place_words(["It", "'s", "so"], "It's  so.") == [(0, 2), (2, 4), (6, 8)]
    assert place_words(["a", "", "b"], "a  b") == [(0, 1), (2, 2), (3, 4)]
    assert place_words(["b", "a"], "a b!") is None
    assert place_words([], "") == []


def test_words_are_cut_at_boundaries_inside_them():
    assert list(cut_words([(0, 5), (6, 9)], [0, 2, 3, 5, 6, 9, 8])) == [(0, 2), (2, 3), (3, 5), (6, 8), (8, 9)]


class Counted(int):
    """A number that counts how often numbers are compared."""

    comparisons = 0

    def __lt__(self, other):
        Counted.comparisons += 1
        return int(self) < int(other)

    def __gt__(self, other):
        Counted.comparisons += 1
        return int(self) > int(other)

    __hash__ = int.__hash__


def test_the_cost_of_cutting_words_does_not_grow_with_words_times_boundaries():
    """16,000 words and 3,200 boundaries took 51 million comparisons."""
    n = 2_000
    words = [(Counted(6 * i), Counted(6 * i + 5)) for i in range(n)]
    boundaries = [Counted(6 * i + 2) for i in range(0, n, 5)]
    assert sum(1 for _ in cut_words(words, boundaries)) == n + n // 5
    assert Counted.comparisons < 50 * n


def test_words_inside_spans():
    words = [(0, 3), (4, 4), (4, 9), (10, 12)]
    spans = [(0, 9), (4, 9), (1, 9), (0, 2), (5, 8), (10, 12), (0, 12), (3, 4)]
    expected = [[i for i, (a, b) in enumerate(words) if start <= a and b <= end] for start, end in spans]
    assert [list(numbers) for numbers in words_inside(words, spans)] == expected


@pytest.mark.parametrize("last", [False, True])
def test_words_and_tokens(last):
    def tokens(words, offsets):
        return [(unit.start, unit.end, unit.token) for unit in align(words, offsets, last=last)]

    words = [(0, 3), (4, 9)]
    assert tokens(words, [(0, 1), (1, 3), (4, 7), (7, 9)]) == [(0, 3, int(last)), (4, 9, 2 + last)]
    # the space belongs to the token after it, or is one
    assert tokens(words, [(0, 3), (3, 9)]) == tokens(words, [(0, 3), (4, 9)]) == [(0, 3, 0), (4, 9, 1)]
    assert tokens(words, [(0, 3), (3, 4), (4, 9)]) == [(0, 3, 0), (4, 9, 2)]
    # a token without characters, and several for one character
    assert tokens([(0, 1), (1, 2)], [(0, 0), (0, 1), (0, 1), (1, 2)]) == [(0, 1, 1 + last), (1, 2, 3)]
    # no token for a word in the middle, and for an empty one
    assert tokens([(0, 1), (2, 3), (3, 3), (4, 5)], [(0, 1), (4, 5)]) == [
        (0, 1, 0),
        (2, 3, None),
        (3, 3, None),
        (4, 5, 1),
    ]
    # one token for three words
    assert tokens([(0, 1), (1, 2), (2, 3), (4, 5)], [(0, 3), (4, 5)]) == [(0, 3, 0), (4, 5, 1)]
    assert align([], [(0, 1)], last=last) == []
    assert align([(0, 1)], [], last=last) == [Unit(0, 1, None)]
