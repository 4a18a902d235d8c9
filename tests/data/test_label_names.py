"""Names for labels that are integers."""

import pytest

from ft_toolkit.core.errors import DataError
from ft_toolkit.data.label_names import name_labels
from ft_toolkit.recipe.reading import Reading
from ft_toolkit.tasks import find_tasks

TASKS = find_tasks()


@pytest.mark.parametrize(
    ("task", "column", "value", "expected"),
    [
        ("text_classification", "label", 1, "pos"),
        ("text_classification", "label", "0", "neg"),
        ("text_classification", "label", 1.0, "pos"),
        ("text_classification", "label", -1, None),
        ("text_classification", "label", None, None),
        ("text_classification", "label", "neg", "neg"),
        ("text_classification", "label", [0, 1], ["neg", "pos"]),
        ("ner", "tags", [1, 0], ["pos", "neg"]),
        ("ner", "tags", "1 0", ["pos", "neg"]),
    ],
)
def test_integers_get_their_names(task, column, value, expected):
    rows = name_labels([{"text": "1", column: value}], Reading(label_names=["neg", "pos"]), TASKS[task], "a.csv")
    assert rows == [{"text": "1", column: expected}]


def test_without_names_nothing_changes_and_an_integer_without_a_name_is_refused():
    rows = [{"text": "x", "label": 0}, {"text": "y", "label": 2}]
    task = TASKS["text_classification"]
    assert name_labels(rows, None, task, "a.csv") == name_labels(rows, Reading(encoding="utf-8"), task, "a.csv") == rows
    with pytest.raises(DataError, match=r"a\.csv: row 2: column 'label': 2 has no name; .* 2 names, for 0 to 1"):
        name_labels(rows, Reading(label_names=["neg", "pos"]), task, "a.csv")


def test_zeros_and_ones_of_several_labels_stay():
    reading, task = Reading(label_names=["a", "b", "c"]), TASKS["text_classification"]
    rows = [{"text": "x", "label": [1, 0, 0]}, {"text": "y", "label": [0, 1, 1]}]
    assert name_labels(rows, reading, task, "a.jsonl") == rows
    assert name_labels([{"label": [0, 1, 2]}, {"label": [2]}], reading, task, "a.jsonl")[0]["label"] == ["a", "b", "c"]
