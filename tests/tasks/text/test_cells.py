import json
import math
import random

import numpy as np
import pytest

from ft_toolkit.tasks import find_tasks
from ft_toolkit.tasks.text.cells import MAX_DEPTH, Printed, form_notes, looks_printed, read_printed


@pytest.mark.parametrize(
    ("text", "value", "form"),
    [
        ('["a", "b"]', ["a", "b"], "JSON"),
        ("[1, 0, 0]", [1, 0, 0], "JSON"),
        ("[]", [], "JSON"),
        ('{"text": ["a"], "start": [0]}', {"text": ["a"], "start": [0]}, "JSON"),
        ("['a', 'b']", ["a", "b"], "Python"),
        ("['a',]", ["a"], "Python"),
        ("('a', 'b')", ["a", "b"], "Python"),
        ("('a',)", ["a"], "Python"),
        ("{'a', 'b'}", ["a", "b"], "Python"),
        ("{'a'}", ["a"], "Python"),
        ("[True, False]", [True, False], "Python"),
        ("""["it's", 'say "no"', 'a\\tb']""", ["it's", 'say "no"', "a\tb"], "Python"),
        ("{'text': ['a'], 'answer_start': [3]}", {"text": ["a"], "answer_start": [3]}, "Python"),
        ("[{'start': 0, 'end': 4, 'label': 'PER'}]", [{"start": 0, "end": 4, "label": "PER"}], "Python"),
        ("['a' 'b']", ["a", "b"], "numpy"),
        ("['a'\n 'b']", ["a", "b"], "numpy"),
        ("[1 0 0]", [1, 0, 0], "numpy"),
        ("[1. 0. 0.5]", [1.0, 0.0, 0.5], "numpy"),
        ("[ True False]", [True, False], "numpy"),
        ("[[0 3]\n [5 7]]", [[0, 3], [5, 7]], "numpy"),
        ("array(['a', 'b'], dtype=object)", ["a", "b"], "numpy"),
        ("array([1, 0, 1])", [1, 0, 1], "numpy"),
        ("[np.str_('a'), np.int64(3), np.False_]", ["a", 3, False], "numpy"),
        (
            "{'text': array(['a'], dtype='<U1'), 'start': array([3], dtype=int32)}",
            {"text": ["a"], "start": [3]},
            "numpy",
        ),
    ],
)
def test_a_printed_list_or_object_is_read(text, value, form):
    assert read_printed(text) == Printed(value, form)


@pytest.mark.parametrize(
    "text",
    [
        "billing",
        "a, b",
        "[billing, delivery]",
        "[1 0 ... 0 1]",
        "['a', 'b' 'c']",
        "['a''b']",
        "('a')",
        "[1-2]",
        "[a](link)",
        "{x: 1}",
        "{'a': 1 'b': 2}",
        "[__import__('os')]",
        "[open('x')]",
        "array('a')",
        "np.str_('a')",
        "['\\xZZ']",
        "[1, 2",
        "[" * (MAX_DEPTH + 5) + "'a'" + "]" * (MAX_DEPTH + 5),
        "[" * 100_000 + "]" * 100_000,
        "[" + "9" * 5000 + "]",
        "['" + "9" * 5000 + "', " + "9" * 5000 + "]",
        "",
        "[",
    ],
)
def test_other_text_is_not_read(text):
    assert read_printed(text) is None


def test_non_finite_numbers_are_read_as_numbers():
    assert [math.isnan(value) for value in read_printed("[nan 1.]").value] == [True, False]


def test_unreadable_lists_are_told_from_sentences():
    assert looks_printed(" [billing, delivery] ") and looks_printed("array([1 ... 0])")
    assert not looks_printed("[1] see the note") and not looks_printed("") and not looks_printed("(a) good")


def test_what_python_numpy_and_json_print_is_read_back():
    rng = random.Random(5)
    alphabet = "ab 'é\"\\\n\t,[]{}:#|\u2028😀"
    for _ in range(300):
        words = ["".join(rng.choices(alphabet, k=rng.randint(0, 6))) for _ in range(rng.randint(2, 5))]
        numbers = [rng.randint(-3, 3) for _ in range(rng.randint(2, 5))]
        for values in (words, numbers):
            array = np.array(values, dtype=object if values is words else int)
            assert read_printed(json.dumps(values)).value == values
            assert read_printed(repr(values)).value == values
            assert read_printed(repr({"x": values, "y": tuple(values)})).value == {"x": values, "y": values}
            assert read_printed(str(array)) == Printed(values, "numpy")
            assert read_printed(repr({"x": array})).value == {"x": values}


def test_form_notes_count_the_forms():
    printed = [read_printed(text) for text in ("['a', 'b']", "['a' 'b']", "['b']")]
    assert form_notes("label", printed) == [
        "column 'label': cells with lists or objects were read as Python (2) and numpy (1)"
    ]
    assert form_notes("label", []) == []


def test_printed_references_and_translations_are_read():
    summarization, translation = find_tasks()["summarization"], find_tasks()["translation"]
    row = {"document": "['a', 'b'] is a list", "summary": "['one summary', 'another']"}
    (read,), notes = summarization.read_rows([row], None, "t.csv")
    assert read["document"] == row["document"] and read["references"] == ["one summary", "another"]
    assert notes[0] == "column 'summary': cells with lists or objects were read as Python (1)"
    pair = "{'en': 'Good day', 'de': \"Guten Tag\"}"
    settings = translation.settings(name="translation", source_language="en", target_language="de")
    (read,), _ = translation.read_rows([{"source": pair, "target": pair}], settings, "t.csv")
    assert (read["source"], read["target"]) == ("Good day", "Guten Tag")
    (read,), _ = translation.read_rows([{"source": "['x']", "target": "[1]"}], settings, "t.csv")
    assert (read["source"], read["target"]) == ("['x']", "[1]"), "a source is one text"
