"""Scores of code: edit distance, syntax, the end of a body, pass@k."""

import random
from math import comb

import numpy as np
import pytest

from ft_toolkit.metrics import code


def slow_distance(first: str, second: str) -> int:
    """Return the edit distance by the table of Wagner and Fischer."""
    above = list(range(len(second) + 1))
    for i, a in enumerate(first, 1):
        row = [i]
        for j, b in enumerate(second, 1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (a != b)))
        above = row
    return above[-1]


def test_the_edit_distance_is_that_of_the_table() -> None:
    numbers = random.Random(5)
    for _ in range(500):
        first, second = ("".join(numbers.choices("ab\n", k=numbers.randint(0, 9))) for _ in range(2))
        assert code.edit_distance(first, second) == slow_distance(first, second), (first, second)
    assert code.edit_similarity("kitten", "sitting") == pytest.approx(1 - 3 / 7)
    assert code.edit_similarity("", "") == 1 and code.edit_similarity("a", "") == 0


@pytest.mark.parametrize("n", [1, 2, 5, 7])
def test_pass_at_k_is_the_share_of_drawn_samples(n: int) -> None:
    for k in range(1, n + 1):
        for c in range(n + 1):
            expected = 1 - comb(n - c, k) / comb(n, k)
            assert code.pass_at_k(np.array([n]), np.array([c]), k) == pytest.approx(expected)
    both = code.pass_at_k(np.array([n, 4 * n]), np.array([0, 4 * n]), 1)
    assert both == 0.5
    assert np.isnan(code.pass_at_k(np.array([n]), np.array([0]), n + 1))
    assert code.sample_counts(1) == [1] and code.sample_counts(7) == [1, 5, 7] and code.sample_counts(10) == [1, 5, 10]


@pytest.mark.parametrize(
    ("text", "body"),
    [
        ("    a\n    b\ndef f():", "    a\n    b\n"),
        ("    a\n\n        b\n  c\n", "    a\n\n        b\n"),
        ("\n    a\n   \n", "\n    a\n   \n"),
        ("\ta\n    b", "\ta\n"),
        ("a\nb", "a\nb"),
        ("", ""),
    ],
)
def test_a_body_ends_where_its_indentation_ends(text: str, body: str) -> None:
    assert code.before_dedent(text) == body


def test_what_parses() -> None:
    assert code.parses("def f():\n    return '\\d'") and code.parses("    async def f():\n        pass")
    for wrong in ("def f(:", "x = 'a\0b'", "(" * 100_000, "a" * 300_000, "def f():\nreturn 1", "'\ud800'\n("):
        assert not code.parses(wrong)
    assert code.plain_lines("\n  a \n\tb\n\n") == "  a\n        b"
