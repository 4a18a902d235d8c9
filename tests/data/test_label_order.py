"""The labels of a run: 0/1 columns, class labels of parquet files, numbers for names, and labels that were held out."""

import json

import datasets
import pytest

from ft_toolkit.core.errors import DataError
from ft_toolkit.data.load_data import load_data
from ft_toolkit.recipe.reading import Reading
from ft_toolkit.recipe.sections import DataSection
from ft_toolkit.tasks import find_tasks

TASKS = find_tasks()
MULTI = {"problem_type": "multi_label_classification"}
CLASSES = datasets.ClassLabel(names=["pos", "neg"])
ONE_HOT = "text,billing,delivery\nx,1,0\ny,1.0,TRUE\nz,0,false\n"


@pytest.fixture
def write(tmp_path):
    def write(name, content):
        path = tmp_path / name
        if isinstance(content, list):
            content = "".join(json.dumps(row) + "\n" for row in content)
        path.write_text(content, encoding="utf-8")
        return str(path)

    return write


def load(train, validation=None, task="text_classification", settings=None, **section):
    files = {"train": train} | ({} if "validation_fraction" in section else {"validation": validation or train})
    settings = TASKS[task].settings(name=task, **(settings or {}))
    return load_data(DataSection(**files, **section), TASKS[task], settings)


def labels(data, split="train"):
    return [row["label"] for row in data.splits[split]]


def test_columns_of_zeros_and_ones_are_labels_in_the_order_of_the_setting(write):
    data = load(write("t.csv", ONE_HOT), settings=MULTI, columns={"label": ["delivery", "billing"]})
    assert labels(data) == [["billing"], ["delivery", "billing"], []]
    assert data.labels.names == ("delivery", "billing") and data.labels.by == "data.columns.label"
    lines = write("v.jsonl", [{"text": "x", "billing": True, "delivery": 0}, {"text": "y", "billing": None}])
    other = load(write("t.csv", ONE_HOT), lines, settings=MULTI, columns={"label": ["delivery", "billing"]})
    assert labels(other, "validation") == [["billing"]]
    assert "validation: 1 of 2 rows have no label and were dropped" in other.notes


@pytest.mark.parametrize(
    ("content", "settings", "columns", "message"),
    [
        (ONE_HOT, MULTI, {}, r"For one 0/1 column per label: data\.columns\.label=\[NAME, NAME\]"),
        (ONE_HOT.replace(".0,TRUE", ",1"), MULTI, {"label": "billing"}, "the labels are only 0, 1. For one 0/1 column"),
        (ONE_HOT, MULTI, {"label": ["billing", "delivry"]}, "no column 'delivry', which is one of the 2 .* Did you mean"),
        (ONE_HOT, {}, {"label": ["billing", "delivery"]}, "holds several values; set task.problem_type=multi_label"),
        (ONE_HOT.replace("x,1,0", "x,1,maybe"), MULTI, {"label": ["billing", "delivery"]}, "row 1: label 'delivery' must be 0"),
        (ONE_HOT.replace("x,1,0", "x,1,"), MULTI, {"label": ["billing", "delivery"]}, "'delivery' .*found an empty cell"),
    ],
)  # fmt: skip
def test_other_columns_are_refused_with_the_remedy(write, content, settings, columns, message):
    with pytest.raises(DataError, match=message):
        load(write("t.csv", content), settings=settings, columns=columns)


def test_class_labels_of_a_parquet_file_are_names_that_define_the_order(write, tmp_path):
    rows = {"text": ["a", "b", "c"], "label": [0, 1, -1]}
    features = datasets.Features({"text": datasets.Value("string"), "label": CLASSES})
    datasets.Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "t.parquet")
    data = load(str(tmp_path / "t.parquet"), write("v.csv", "text,label\na,1\nb,0.0\n"))
    assert labels(data) == ["pos", "neg"] and data.labels.names == ("pos", "neg")
    assert "train: 1 of 3 rows have no label and were dropped" in data.notes
    assert any(f"numbers are positions in the ClassLabel of column 'label' in {tmp_path}" in n for n in data.notes)


def test_class_labels_of_tags_and_of_lists_of_labels(tmp_path):
    tags = datasets.List(datasets.ClassLabel(names=["O", "B-PER", "I-PER"]))
    features = datasets.Features({"tokens": datasets.List(datasets.Value("string")), "tags": tags})
    rows = {"tokens": [["Anna", "Berg", "sings"]], "tags": [[1, 2, 0]]}
    datasets.Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "ner.parquet")
    data = load(str(tmp_path / "ner.parquet"), task="ner")
    assert data.splits["train"][0]["entities"] == [{"start": 0, "end": 9, "label": "PER"}]
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.List(CLASSES)})
    several = {"text": ["a", "b"], "label": [[0, 1], []]}
    datasets.Dataset.from_dict(several, features=features).to_parquet(tmp_path / "several.parquet")
    assert labels(load(str(tmp_path / "several.parquet"), settings=MULTI)) == [["pos", "neg"], []]


def test_names_for_numbers_come_before_the_order_of_task_labels(write):
    path = write("t.csv", 'text,label\na,"[1, 0]"\nb,"[0, 0]"\n')
    reading = Reading(label_names=["x", "y"])
    data = load(path, settings={**MULTI, "labels": ["y", "x"]}, reading=reading)
    assert labels(data) == [["x"], []]


def test_an_empty_cell_is_an_empty_set_of_labels(write):
    assert labels(load(write("t.csv", 'text,label\na,x|y\nb,\nc," "\n'), settings=MULTI)) == ["x|y", "", " "]


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_file_without_answers_points_to_predict(write, split):
    files = {"train": write("t.csv", "text,label\na,x\nb,y\n"), split: write("new.csv", "id,text\n1,a\n")}
    section = DataSection(**{"validation": files["train"], **files})
    task = TASKS["text_classification"]
    names = "label or label_probabilities; columns found: id, text"
    with pytest.raises(
        DataError, match=rf"new\.csv: data\.{split} needs answers, but has no column {names}\..*ftk predict"
    ):
        load_data(section, task, task.settings())


def test_a_separator_for_a_task_without_several_labels_is_refused(write):
    path = write("t.jsonl", [{"document": "a", "summary": "b"}])
    with pytest.raises(
        DataError, match=r"data\.label_separator=';': summarization has no labels to separate; remove the setting"
    ):
        load(path, task="summarization", label_separator=";")


def test_labels_that_only_held_out_rows_have_are_labels_and_are_noted(write):
    rows = [{"text": f"text {i}", "label": ["a"] if i % 4 else ["a", f"rare{i}"]} for i in range(40)]
    data = load(write("t.jsonl", rows), settings=MULTI, validation_fraction=0.5)
    known = {name for row in data.splits["train"] for name in row["label"]}
    assert {name for row in data.label_rows for name in row["label"]} - known == {
        name for row in data.splits["validation"] for name in row["label"]
    } - known
    assert any(
        "were held out (data.validation_fraction), so the model cannot learn them" in note for note in data.notes
    )
