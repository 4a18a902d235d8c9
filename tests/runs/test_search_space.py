"""The words that say which settings a sweep varies."""

import re

import pytest

from ft_toolkit.core.errors import UsageError
from ft_toolkit.runs.search_space import Choices, Range, all_combinations, split_words


def test_ranges_and_lists_are_recognized_and_other_words_are_kept() -> None:
    words = ["training.learning_rate=1e-5..1e-3", "method=lora", "method.r=4,8,16", "data.train=../rows.csv"]
    words += ["task.labels=[a, b]", "data.label_separator=,", "training.num_train_epochs=2..5", "model.dropout=0..0.3"]
    space, others = split_words(words)
    assert others == ["method=lora", "data.train=../rows.csv", "task.labels=[a, b]", "data.label_separator=,"]
    rate, rank, epochs, dropout = space
    assert rate == Range("training.learning_rate", 1e-5, 1e-3, integer=False) and isinstance(rate, Range) and rate.log
    assert rank == Choices("method.r", (4, 8, 16))
    assert isinstance(epochs, Range) and epochs.integer and not epochs.log
    assert isinstance(dropout, Range) and not dropout.log and not dropout.integer
    assert rate.describe() == "numbers from 1e-05 to 0.001, logarithmic scale"
    assert epochs.describe() == "whole numbers from 2 to 5, linear scale"
    assert rank.describe() == "one of 4, 8, 16"


@pytest.mark.parametrize(
    ("text", "log"),
    [("1e-4..1e-3", True), ("1e-4..9e-4", False), ("-1..100", False), ("0..100", False), ("1..10", True)],
)
def test_a_positive_range_over_a_factor_of_ten_is_logarithmic(text: str, log: bool) -> None:
    (dimension,) = split_words([f"a.b={text}"])[0]
    assert isinstance(dimension, Range) and dimension.log is log


def test_the_values_of_a_list_have_types() -> None:
    (dimension,) = split_words(["a.b=null,true,1,0.5,cosine"])[0]
    assert dimension == Choices("a.b", (None, True, 1, 0.5, "cosine"))
    assert dimension.contains(True) and not dimension.contains(1.0) and dimension.contains("cosine")


def test_few_combinations_of_lists_are_enumerated() -> None:
    space = split_words(["a.b=1,2", "a.c=x,y"])[0]
    assert all_combinations(space, 3) is None
    assert all_combinations(space, 4) == [{"a.b": b, "a.c": c} for b in (1, 2) for c in ("x", "y")]
    assert all_combinations(split_words(["a.b=1,2", "a.c=0..1"])[0], 99) is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a.b=1"], "no setting to vary; name a range or a list"),
        (["a.b=5..1"], "begins with its lower end: a.b=1..5"),
        (["a.b=1e-5.."], "a range has two numbers"),
        (["a.b=1,2", "a.b=3"], "a.b: set twice"),
        (["a.b=1,1"], "named twice"),
    ],
)
def test_mistakes_are_explained(words: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        split_words(words)
