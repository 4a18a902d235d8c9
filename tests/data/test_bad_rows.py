"""All rows that a task cannot read are reported together, or left out and listed."""

import json

import pytest

from ft_toolkit.core.errors import DataError
from ft_toolkit.data.bad_rows import refuse_rows, write_skipped_rows
from ft_toolkit.data.load_data import load_data
from ft_toolkit.recipe.sections import DataSection
from ft_toolkit.tasks import find_tasks

TASKS = find_tasks()

# One good row per task, and the value of a column that makes it bad, with a part of the message.
CASES = {
    "text_classification": ({"text": "fine", "label": "a"}, {"text": 5}, "column 'text' must be text; found 5"),
    "ner": (
        {"text": "Anna met Bo", "entities": [{"start": 0, "end": 4, "label": "PER"}]},
        {"entities": [{"start": 0, "end": 99, "label": "PER"}]},
        "entity from 0 to 99 in a text of 1",
    ),
    "question_answering": (
        {"question": "Who?", "context": "Anna met Bo.", "answers": {"text": ["Anna"], "answer_start": [0]}},
        {"answers": {"text": ["BO"], "answer_start": [9]}},
        "the answer 'BO' occurs 0 times in the context, not at character 9 as given, where it differs in case",
    ),
    "generative_question_answering": (
        {"question": "Who?", "context": "Anna met Bo.", "answers": ["Anna", "Anna did."]},
        {"answers": 1843},
        "invalid answers 1843; allowed: ",
    ),
    "summarization": ({"document": "A text.", "summary": "T."}, {"summary": " "}, "column 'summary' must be a text"),
    "translation": (
        {"source": "A text.", "target": "Ein Text."},
        {"source": 7},
        "column 'source' must be text; found 7",
    ),
    "language_modelling": ({"text": "A text."}, {"text": 7}, "column 'text' must be text; found 7"),
    "code_generation": (
        {"prompt": "def f():", "body": "    pass"},
        {"body": "return 1"},
        "column 'body' must be indented as in the file, below its signature",
    ),
    "dialogue": (
        {"turns": ["A question?", "An answer."]},
        {"turns": "A question?"},
        "column 'turns' must be a list of turns; found 'A question?'",
    ),
    "text_generation": (
        {"prompt": "A text", "completion": " ends."},
        {"completion": None},
        "column 'completion' is missing",
    ),
}


@pytest.fixture
def load(tmp_path):
    def load(task, rows, **section):
        path = tmp_path / "train.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        settings = TASKS[task].settings(name=task)
        return load_data(DataSection(train=str(path), validation_fraction=0.3, **section), TASKS[task], settings)

    return load


def rows_of(task, bad_numbers, n=150):
    good, wrong, _ = CASES[task]
    rows = []
    for number in range(1, n + 1):
        first = next(iter(good))
        wrong_values = wrong if number in bad_numbers else {}
        value = [*good[first], f"Question {number}?", "Yes."] if task == "dialogue" else f"{good[first]} {number}"
        rows.append({"id": f"q{number}", **good, first: value, **wrong_values})
        if task == "text_classification":
            rows[-1]["label"] = "ab"[number % 2]
    return rows


@pytest.mark.parametrize("task", CASES)
def test_all_bad_rows_are_counted_and_the_first_are_named(load, task):
    bad = list(range(1, 151, 10))
    with pytest.raises(DataError) as caught:
        load(task, rows_of(task, bad))
    first, kind, remedy = str(caught.value).splitlines()
    assert first.endswith("train.jsonl: 15 of 150 rows cannot be read, rows 1, 11, 21 ... and 12 more")
    assert kind.startswith(f"  15 rows, such as row 1 (id q1): {CASES[task][2]}")
    assert remedy == "Correct them, or leave them out with data.on_bad_rows=skip"


@pytest.mark.parametrize("task", CASES)
def test_bad_rows_are_left_out_and_listed(load, task, tmp_path):
    data = load(task, rows_of(task, [2, 30]), on_bad_rows="skip")
    assert sum(map(len, data.splits.values())) == 148
    assert data.notes[0].startswith(
        "train: 2 of 150 rows cannot be read and were left out (data.on_bad_rows=skip); the first: row 2 (id q2): "
    )
    write_skipped_rows(tmp_path / "skipped.jsonl", data.skipped)
    listed = [json.loads(line) for line in (tmp_path / "skipped.jsonl").read_text().splitlines()]
    assert [(row["split"], row["row"], row["id"]) for row in listed] == [("train", 2, "q2"), ("train", 30, "q30")]
    assert CASES[task][2] in listed[0]["reason"] and CASES[task][1].items() <= listed[0].items()


@pytest.mark.parametrize("policy", ["skip", "error"])
def test_too_many_bad_rows_are_never_left_out(load, policy):
    message = r"31 of 150 rows cannot be read(.|\n)*Correct them; .*=skip leaves out at most 20% of the rows$"
    with pytest.raises(DataError, match=message):
        load("text_classification", rows_of("text_classification", range(1, 32)), on_bad_rows=policy)


def test_one_bad_row_has_a_short_message(load):
    with pytest.raises(DataError) as caught:
        load("text_classification", rows_of("text_classification", [7]))
    assert str(caught.value).endswith("train.jsonl: row 7 (id q7): column 'text' must be text; found 5")


def test_rows_are_numbered_as_in_the_file_also_after_rows_without_a_label(load):
    rows = rows_of("text_classification", [7])
    rows[0]["label"] = rows[3]["label"] = None
    with pytest.raises(DataError, match=r"train\.jsonl: row 7 \(id q7\): column 'text'"):
        load("text_classification", rows)


def test_different_problems_are_listed_by_their_number(load):
    rows = rows_of("question_answering", [3, 4, 5])
    rows[9]["question"] = ""
    rows[19]["answers"] = {"text": ["Anna"], "answer_start": [0, 1]}
    with pytest.raises(DataError) as caught:
        load("question_answering", rows)
    lines = str(caught.value).splitlines()
    assert "5 of 150 rows cannot be read, rows 3, 4, 5 ... and 2 more" in lines[0]
    assert lines[1].startswith("  3 rows, such as row 3 (id q3): the answer 'BO' occurs 0 times")
    assert lines[2:4] == [
        "  row 10 (id q10): column 'question' must be text; found ''",
        "  row 20 (id q20): 1 answers require 1 offsets in answer_start; found [0, 1]",
    ]


def test_blank_texts_are_no_bad_rows_beside_others(load):
    rows = rows_of("language_modelling", [3])
    rows[5]["text"] = " "
    data = load("language_modelling", rows, on_bad_rows="skip")
    assert [bad.number for bad in data.skipped] == [3]
    assert sum(map(len, data.splits.values())) == 148


def test_a_problem_of_the_whole_file_is_reported_as_it_is(load):
    with pytest.raises(DataError, match="all rows are blank"):
        load("language_modelling", [{"text": " "}] * 20, on_bad_rows="skip")


def test_rows_that_a_later_check_refuses_are_named_together_by_their_ids():
    rows = [{"id": f"q{i}", "label": "abc"[i % 3]} for i in range(40)]
    calls = 0

    def check(part):
        nonlocal calls
        calls += 1
        for number, row in enumerate(part, 1):
            if row["id"] in ("q7", "q9", "q30"):
                raise DataError(f"row {number}: unknown label {row['label']!r}; known: x")

    error = refuse_rows(rows, check, "test.csv (test)", "test", DataError("row 8: unknown label 'b'; known: x"))
    assert str(error).splitlines() == [
        "test.csv (test): 3 of 40 rows cannot be read, rows q7, q9, q30",
        "  3 rows, such as row q7: unknown label 'b'; known: x",
        "Correct them",
    ]
    assert calls < 45
    one = refuse_rows(rows[:8], check, "test.csv (test)", "test", DataError("row 8: unknown label 'b'; known: x"))
    assert str(one) == "test.csv (test): row 8: unknown label 'b'; known: x"
