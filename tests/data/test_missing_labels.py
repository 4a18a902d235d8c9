"""Missing labels: one rule for every format and for rows in memory."""

import csv
import json
import math

import pytest

from ft_toolkit.core.errors import DataError
from ft_toolkit.data.load_data import load_data
from ft_toolkit.recipe.sections import DataSection
from ft_toolkit.tasks import find_tasks

FORMATS = ("csv", "tsv", "json", "jsonl", "parquet", "xlsx")
DROPPED = "train: 1 of 7 rows have no label and were dropped"
NAMES = [{"text": f"text {i}", "label": "ab"[i % 2]} for i in range(6)]
NUMBERS = [{"text": f"text {i}", "label": [1.5, 2.0, 3.5][i % 3]} for i in range(6)]
SEVERAL = [{"text": f"text {i}", "label": [["a"], ["b"], ["a", "b"]][i % 3]} for i in range(6)]
TAGS = [{"tokens": ["Ada", "wrote"], "tags": ["B-PER", "O"]} for _ in range(6)]
CASES = {
    "one name": ("text_classification", {}, NAMES),
    "a number": ("text_classification", {"problem_type": "regression"}, NUMBERS),
    "several names": ("text_classification", {"problem_type": "multi_label_classification"}, SEVERAL),
    "tags": ("ner", {}, TAGS),
}


def cell(value):
    """Return a value as text files and workbooks hold it; NaN as Python prints it."""
    if isinstance(value, list):
        return json.dumps(value)
    return "" if value is None else value


def write(path, rows):
    """Write rows in the format of the suffix. Returns False for values that parquet cannot hold in one column."""
    columns, suffix = list(rows[0]), path.suffix[1:]
    cells = [[cell(row[name]) for name in columns] for row in rows]
    if suffix in ("csv", "tsv"):
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, delimiter="," if suffix == "csv" else "\t").writerows([columns, *cells])
    elif suffix == "xlsx":
        import openpyxl

        book = openpyxl.Workbook()
        for line in [columns, *cells]:
            book.active.append([None if isinstance(value, float) and math.isnan(value) else value for value in line])
        book.save(path)
    elif suffix == "parquet":
        import pyarrow
        import pyarrow.parquet

        try:
            table = pyarrow.Table.from_pylist(rows)
        except pyarrow.ArrowException:
            return False
        pyarrow.parquet.write_table(table, path)
    else:
        lines = [json.dumps(row) for row in rows]
        path.write_text("\n".join(lines) if suffix == "jsonl" else f"[{','.join(lines)}]", encoding="utf-8")
    return True


@pytest.fixture
def load(tmp_path):
    def load(case, suffix, label):
        name, settings, rows = CASES[case]
        task, answer = find_tasks()[name], list(rows[0])[1]
        path, validation = tmp_path / f"train.{suffix}", tmp_path / "validation.jsonl"
        write(validation, rows)
        if not write(path, [*rows, {**rows[0], answer: label}]):
            pytest.skip("parquet has one type per column")
        section = DataSection(train=str(path), validation=str(validation))
        return load_data(section, task, task.settings(**settings))

    return load


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("case", CASES)
def test_an_empty_label_is_missing(load, case, suffix):
    data = load(case, suffix, None)
    if case == "several names" and suffix in ("csv", "tsv"):  # text without labels, as [] in other formats
        assert len(data.splits["train"]) == 7
    else:
        assert (len(data.splits["train"]), data.notes.count(DROPPED)) == (6, 1)


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("case", ["a number", "tags"])
@pytest.mark.parametrize("label", [math.nan, "NaN", " nan "])
def test_nan_is_missing_where_no_name_can_be_meant(load, case, suffix, label):
    data = load(case, suffix, label)
    assert (len(data.splits["train"]), data.notes.count(DROPPED)) == (6, 1)


@pytest.mark.parametrize("suffix", FORMATS)
def test_nan_among_names_is_a_name_with_a_note(load, suffix):
    data = load("one name", suffix, "nan")
    assert data.splits["train"][-1]["label"] == "nan"
    assert any("'nan' is read as the name of a label" in note for note in data.notes)


@pytest.mark.parametrize("label", ["nan", "NAN", math.nan, None, ""])
def test_nan_among_numbers_that_are_names_is_missing(tmp_path, label):
    task = find_tasks()["text_classification"]
    rows = [{"text": f"text {i}", "label": str(i % 2)} for i in range(6)]
    write(tmp_path / "validation.jsonl", rows)
    write(tmp_path / "train.csv", [*rows, {"text": "x", "label": label}])
    section = DataSection(train=str(tmp_path / "train.csv"), validation=str(tmp_path / "validation.jsonl"))
    data = load_data(section, task, task.settings())
    assert (len(data.splits["train"]), data.notes) == (6, [DROPPED])


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
@pytest.mark.parametrize("label", [math.inf, -math.inf])
def test_infinity_among_numbers_is_refused(tmp_path, suffix, label):
    task = find_tasks()["text_classification"]
    write(tmp_path / "validation.jsonl", NUMBERS)
    write(tmp_path / f"train.{suffix}", [*NUMBERS, {"text": "x", "label": label}])
    section = DataSection(train=str(tmp_path / f"train.{suffix}"), validation=str(tmp_path / "validation.jsonl"))
    with pytest.raises(DataError, match=r"row 7: label -?inf is not a finite number"):
        load_data(section, task, task.settings())


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
@pytest.mark.parametrize(("case", "label"), [("several names", ["a", None]), ("tags", ["O", math.nan])])
def test_a_missing_value_in_a_list_is_refused(load, case, suffix, label):
    with pytest.raises(DataError, match=r"row 7: .*found (None|nan)"):
        load(case, suffix, label)


def test_a_nan_in_one_of_several_columns_is_refused_and_a_row_of_them_is_missing(tmp_path):
    task = find_tasks()["text_classification"]
    rows = [{"text": f"text {i}", "a": i % 2, "b": 1} for i in range(6)]
    write(tmp_path / "validation.jsonl", rows)
    settings = task.settings(problem_type="multi_label_classification")

    def load(row):
        write(tmp_path / "train.jsonl", [*rows, {"text": "x", **row}])
        files = {name: str(tmp_path / f"{name}.jsonl") for name in ("train", "validation")}
        return load_data(DataSection(**files, columns={"label": ["a", "b"]}), task, settings)

    assert load({"a": math.nan, "b": None}).notes[0] == DROPPED
    with pytest.raises(DataError, match="row 7: label 'b' must be 0 or 1"):
        load({"a": 1, "b": math.nan})


def test_a_word_without_a_tag_in_a_conll_file_is_refused(tmp_path):
    task = find_tasks()["ner"]
    for tag in ("nan", "NaN"):
        (tmp_path / "train.conll").write_text(f"Ada B-PER\nwrote O\n\nBob {tag}\n", encoding="utf-8")
        section = DataSection(train=str(tmp_path / "train.conll"), validation=str(tmp_path / "train.conll"))
        with pytest.raises(DataError, match=f"invalid tag '{tag}'"):
            load_data(section, task, task.settings())
