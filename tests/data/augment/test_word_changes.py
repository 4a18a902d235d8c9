"""Words that are left out, swapped and replaced: what changes, and what stays."""

import random
from collections import Counter

import pytest

from ft_toolkit.data.augment.word_changes import delete_words, replace_words, swap_words
from ft_toolkit.tasks.text.edits import apply_edits

TEXT = "We saw the new film in Berlin yesterday, and it's great"
BERLIN = [(TEXT.index("Berlin"), TEXT.index("Berlin") + 6)]
SYNONYMS = {"film": ["movie"], "we": ["us"], "great": ["fine"], "berlin": ["Paris"]}


def test_a_deleted_word_takes_one_space_with_it() -> None:
    for seed in range(50):
        new = apply_edits(TEXT, delete_words(TEXT, BERLIN, 0.5, random.Random(seed)))
        assert "  " not in new and new == new.strip()
        assert "Berlin" in new.split()
        assert "yesterday," in new.split()  # a word beside punctuation stays
        left = new.split()
        assert left == [word for word in TEXT.split() if word in left]
    assert apply_edits("one two three", delete_words("one two three", [], 0.999, random.Random(1))) != ""
    assert apply_edits("word", delete_words("word", [], 0.999, random.Random(1))) == "word"


def test_the_share_is_the_share_of_the_words() -> None:
    text = " ".join(f"word{i}" for i in range(4000))
    for change, factor in ((delete_words, 1), (swap_words, 2)):
        edits = change(text, [], 0.1, random.Random(3))
        # a swap has two edits, and after a swap the next word is not drawn
        expected = 400 * factor / (1 if factor == 1 else 1.1)
        assert 0.85 < len(edits) / expected < 1.15


def test_swapped_words_are_neighbours_with_only_space_between() -> None:
    for seed in range(30):
        edits = swap_words(TEXT, BERLIN, 0.5, random.Random(seed))
        new = apply_edits(TEXT, edits)
        assert Counter(new.replace(",", "").split()) == Counter(TEXT.replace(",", "").split())
        assert new[BERLIN[0][0] : BERLIN[0][1]] == "Berlin" or new.split().index("Berlin") == 6
    assert apply_edits("a b c", swap_words("a b c", [], 1.0, random.Random(1))) == "b a c"


def test_a_synonym_has_the_case_of_its_word() -> None:
    new = apply_edits(TEXT, replace_words(TEXT, BERLIN, 1.0, random.Random(1), lambda word: SYNONYMS.get(word, ())))
    assert new == "Us saw the new movie in Berlin yesterday, and it's fine"


@pytest.mark.parametrize("text", ["", "...", "这部电影很好", "\n\t "])
def test_a_text_without_spaced_words_stays(text: str) -> None:
    for edits in (delete_words(text, [], 0.9, random.Random(1)), swap_words(text, [], 0.9, random.Random(1))):
        assert apply_edits(text, edits) == text
