import pytest

from ft_toolkit.core.errors import DataError
from ft_toolkit.tasks.base import DefinedLabels, LabelSource
from ft_toolkit.tasks.text.label_cells import read_label_column

SINGLE, MULTI = "single_label_classification", "multi_label_classification"
ABC = DefinedLabels(("a", "b", "c"), "task.labels")


def read(*labels, problem_type=MULTI, defined=None, separator="|"):
    rows = [{"id": str(i), "text": f"text {i}", "label": label} for i, label in enumerate(labels, 1)]
    read_rows, notes = read_label_column(rows, problem_type, LabelSource("t.csv", defined, separator))
    return [row["label"] for row in read_rows], notes


def error(*labels, **arguments):
    with pytest.raises(DataError) as caught:
        read(*labels, **arguments)
    return str(caught.value)


@pytest.mark.parametrize(
    "labels",
    [
        ([1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [0, 0, 0]),
        ([1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0, 0, 1], [1, 1, 0], [0, 0, 0]),
        ([True, False, False], [False, True, False], [False, False, True], [True, True, False], [False, False, False]),
        ("[1, 0, 0]", "[0, 1, 0]", "[0, 0, 1]", "[1, 1, 0]", "[0, 0, 0]"),
        ("[1 0 0]", "[0 1 0]", "[0 0 1]", "[1 1 0]", "[]"),
        ("[1. 0. 0.]", "[0. 1. 0.]", "[0. 0. 1.]", "[1. 1. 0.]", ""),
        (
            "[True, False, False]",
            "[False, True, False]",
            "[false, false, true]",
            "[ True  True False]",
            "array([0, 0, 0])",
        ),
        ("1,0,0", "0,1,0", "0,0,1", "1,1,0", "0,0,0"),
        ("1 0 0", "0 1 0", "0 0 1", "1 1 0", "0 0 0"),
        ("1|0|0", "0|1|0", "0|0|1", "1|1|0", ""),
        (["1", "0", "0"], ["0", "1", "0"], ["0", "0", "1"], ["1", "1", "0"], []),
        ({"a": 1, "b": 0, "c": 0}, {"b": True}, {"a": "0", "c": "1.0"}, {"a": 1, "b": 1}, {"a": 0}),
    ],
)
def test_zeros_and_ones_name_the_labels_in_their_defined_order(labels):
    names, _ = read(*labels, defined=ABC)
    assert [names_ or [] for names_ in names] == [["a"], ["b"], ["c"], ["a", "b"], []]


def test_the_order_of_zeros_and_ones_is_reported():
    _, notes = read([1, 0, 0], [0, 1, 1], defined=ABC)
    assert notes == ["column 'label': 0/1 lists, read in the order of task.labels: a, b, c"]


@pytest.mark.parametrize(
    ("labels", "defined", "message"),
    [
        (([1, 0, 0], [0, 1, 0]), None, r"row 1: .*nothing says which value belongs to which label; set task.labels=[...]"),
        (("[1 0]", "[0 1]"), None, "row 1: .*nothing says"),
        (([1, 0, 0], [0, 1]), ABC, "row 2: label [0, 1] is a 0/1 list of 2 values, but task.labels has 3 labels"),
        (([1, 0, 0, 1], [0, 1, 0, 0]), ABC, "row 1: label [1, 0, 0, 1] is a 0/1 list of 4 values"),
        (([1, 0, 0], ["a"]), ABC, "row 2: label ['a'] is not a 0/1 list, but row 1 has [1, 0, 0]"),
        (([1, 0, 0], "a"), ABC, "row 2: label 'a' is not a 0/1 list"),
        (("0", "1", "1"), None, "the labels are only 0, 1. For one 0/1 column per label"),
        (({"a": 1, "b": 2},), None, "row 1: label 'b' must be 0 or 1 (or true or false); found 2"),
        (({"a": "1", "b": ""},), None, "row 1: label 'b' must be 0 or 1 (or true or false); found an empty cell"),
        ((["a", None],), None, "row 1: .*found None in it"),
        ((["a", ["b"]],), None, "row 1: .*found ['b'] in it"),
        ((3, ["a"]), None, "row 1: label 3 is not a list of labels"),
        (("[a, b]", "['a']"), None, "row 1: label '[a, b]' looks like a list but cannot be read; write JSON"),
        (("[1 0 ... 0 1]",), None, "looks like a list but cannot be read"),
    ],
)  # fmt: skip
def test_cells_that_can_be_read_in_two_ways_are_refused(labels, defined, message):
    for part in message.split(".*"):
        assert part in error(*labels, defined=defined)


def test_lists_of_the_labels_0_and_1_are_no_zeros_and_ones():
    assert read([0], [1], [0, 1], [2])[0] == [[0], [1], [0, 1], [2]]
    assert read([0, 2], [1], [2, 1])[0] == [[0, 2], [1], [2, 1]]


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        ("['a', 'b']", ["a", "b"]),
        ('["a", "b"]', ["a", "b"]),
        ("['a' 'b']", ["a", "b"]),
        ("('a', 'b')", ["a", "b"]),
        ("{'a', 'b'}", ["a", "b"]),
        ("['a, b']", ["a, b"]),
        ("[]", []),
        ('["cafe\\u0301 "]', ["caf\u00e9"]),
    ],
)
def test_printed_lists_are_lists_and_the_form_is_reported(cell, names):
    read_names, notes = read(cell, "c")
    assert read_names == [names, "c"]
    assert notes[0].startswith("column 'label': cells with lists or objects were read as ")


def test_cells_that_need_no_conversion_stay_so_that_the_fingerprint_stays():
    labels = ["a|b", "", "a", ["b", "c"], []]
    assert read(*labels) == (labels, [])
    assert read("good", 3, "caf\u00e9", problem_type=SINGLE)[0] == ["good", 3, "caf\u00e9"]


@pytest.mark.parametrize(
    ("separator", "cells"),
    [
        (",", ("a,b", "a", "b", "c")),
        (", ", ("a, b", "a", "b", "c")),
        (";", ("a;b", "b;c", "c;a")),
        ("#", ("a#b", "a", "b#a")),
        (" ", ("a  b", "a", "b")),
        ("/", ("a/b", "a", "b")),
    ],
)
def test_another_separator_is_refused_unless_it_is_set(separator, cells):
    message = error(*cells)
    assert (
        "t.csv: row 1: " in message and f"set data.label_separator={separator.strip() or separator!r}"[:25] in message
    )
    assert read(*cells, separator=separator)[0][0] == ["a", "b"]
    whole = DefinedLabels(tuple(cells), "task.labels")
    assert read(*cells, defined=whole) == (list(cells), []), "one label if task.labels says so"


def test_commas_and_spaces_in_names_are_no_separators():
    cells = ["late delivery", "late payment", "lost, or stolen", "n/a", "late payment"]
    assert read(*cells) == (cells, [])


def test_one_label_per_row_is_cleaned():
    labels, notes = read("neg", "neg ", "\u00a0neg", "cafe\u0301", "caf\u00e9", "\ufeffpos", problem_type=SINGLE)
    assert labels == ["neg", "neg", "neg", "caf\u00e9", "caf\u00e9", "pos"]
    assert "4 labels had white space around them or another Unicode form" in notes[0]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["1.0", "0.0"], ["1", "0"]),
        ([1.0, 0.0], ["1", "0"]),
        (["1", "0.0"], ["1", "0"]),
        (["1.0", "1.5"], ["1.0", "1.5"]),
        (["1.0", "2.0", "beta"], ["1.0", "2.0", "beta"]),
        (["007", "7"], ["007", "7"]),
        ([1, "2"], [1, "2"]),
        (["TRUE", "false"], ["TRUE", "false"]),
    ],
)
def test_whole_numbers_are_written_without_a_point(labels, expected):
    assert read(*labels, problem_type=SINGLE)[0] == expected


@pytest.mark.parametrize("label", ["['a', 'b']", "[1, 0, 0]", ["a"], {"a": 1}, "{'a': 1}", "[]"])
def test_several_values_where_one_is_expected_are_refused(label):
    assert "row 2: label " in error("a", label, problem_type=SINGLE)
    assert "holds several values; set task.problem_type=multi_label_classification" in error(label, problem_type=SINGLE)


@pytest.mark.parametrize("problem_type", [SINGLE, MULTI])
def test_names_that_differ_only_in_case_or_width_get_a_note(problem_type):
    _, notes = read("neg", "Neg", "pos", "\uff50os", "x y", "x  y", problem_type=problem_type)
    assert "'Neg' and 'neg'" in notes[0] and "'pos' and '\uff50os'" in notes[0] and "'x  y' and 'x y'" in notes[0]
    assert read("TRUE", "true", "1", "1.0", problem_type=problem_type)[1] == [], "these are one label"


def test_numbers_for_defined_names_are_reported():
    _, notes = read("0", 2, "1.0", problem_type=SINGLE, defined=ABC)
    assert notes[-1] == "column 'label': numbers are positions in task.labels: 0 = a, 1 = b, 2 = c"


def test_a_single_label_that_looks_like_several_gets_a_note():
    labels, notes = read("a,b", "a", "b", problem_type=SINGLE)
    assert labels == ["a,b", "a", "b"] and "set task.problem_type=multi_label_classification" in notes[0]
    assert "requires task.problem_type" in error("a", problem_type=SINGLE, separator=",")
