import pytest

from ft_toolkit.core.errors import DataError
from ft_toolkit.tasks.text.labels import check_labels, check_lengths, distinct_names, index_of, label_name

SINGLE = "single_label_classification"


def test_a_name_is_in_nfc_without_outer_white_space():
    assert label_name(" cafe\u0301\n") == label_name("\ufeffcaf\u00e9\u00a0") == "caf\u00e9"
    assert [label_name(value) for value in (True, 3, 1.0, "a b")] == ["True", "3", "1.0", "a b"]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["10", "9", "1.0", "1"], ("1", "9", "10")),
        (["1.0", "0.0"], ("0.0", "1.0")),
        (["TRUE", "true", "False"], ("False", "True")),
        (["true", "false", "half-true"], ("false", "half-true", "true")),
        (["Good", "good"], ("Good", "good")),
        (["7", "007"], ("007", "7")),
        (["9" * 5000, "1"], ("1", "9" * 5000)),
    ],
)
def test_each_label_has_one_name(names, expected):
    assert distinct_names(names) == expected


@pytest.mark.parametrize(
    ("name", "labels", "index"),
    [
        ("1.0", ("0", "1"), 1),
        ("1", ("0.0", "1.0"), 1),
        ("TRUE", ("false", "true"), 1),
        ("True", ("TRUE", "True"), 1),
        ("b", ("a", "b"), 1),
        ("9" * 5000, ("1", "9" * 5000), 1),
    ],
)
def test_spellings_of_a_label_have_one_index(name, labels, index):
    assert index_of(name, labels, None, "row 1") == index


def test_a_number_is_a_position_only_if_something_defines_the_order():
    assert index_of("1", ("no", "yes"), "task.labels", "row 1") == 1
    with pytest.raises(
        DataError, match=r"row 1: label '1' is a number, but the labels are the names no, yes, and nothing"
    ):
        index_of("1", ("no", "yes"), None, "row 1")
    for order in (None, "task.labels"):
        with pytest.raises(DataError, match="unknown label '3'; known: 1, 2"):
            index_of("3", ("1", "2"), order, "row 1")
        with pytest.raises(DataError, match=r"unknown label '-1'; known: no, yes\. -1 marks rows without a label"):
            index_of("-1", ("no", "yes"), order, "row 1")


def test_an_unknown_label_says_what_is_close():
    with pytest.raises(DataError, match="It differs from 'Praise' only in case"):
        index_of("praise", ("Praise", "other"), None, "row 1")
    with pytest.raises(DataError, match="Did you mean 'praise'"):
        index_of("prais", ("praise", "other"), None, "row 1")


def test_few_rows_per_label_are_allowed_if_the_labels_are_listed():
    labels = tuple(f"intent{i}" for i in range(24))
    with pytest.raises(DataError, match=r"few rows per label, list the labels: task.labels=\[intent0, intent1, "):
        check_labels(labels, 24, SINGLE, is_chosen=False)
    check_labels(labels, 24, SINGLE, is_chosen=True)
    with pytest.raises(DataError, match="contains a label twice"):
        check_labels(("1", "1.0"), 24, SINGLE, is_chosen=True)


def test_a_label_that_is_a_text_is_refused_in_a_short_message() -> None:
    check_lengths(["x" * 1000])
    with pytest.raises(
        DataError, match=r"the label 'x{40}'... has 1,000,000 characters; at most 1,000 are allowed"
    ) as error:
        check_lengths(["a", "x" * 10**6])
    assert len(str(error.value)) < 300
