"""Any file under any ending gives rows or one clear error, which names the file and has no traceback."""

import gzip
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fuzz_values import damaged, documents, encoded, json_text, names, records, text_files, texts, values
from hypothesis import example, given
from hypothesis import strategies as st

from ft_toolkit.core.errors import DataError, UsageError
from ft_toolkit.data.formats import find_formats
from ft_toolkit.data.load_data import load_data
from ft_toolkit.data.local_files import read_file
from ft_toolkit.recipe.reading import Reading
from ft_toolkit.recipe.sections import DataSection
from ft_toolkit.tasks import find_tasks
from ft_toolkit.tasks.guessing.table import make_table

SUFFIXES = sorted(find_formats())


def is_one_line(error: Exception) -> bool:
    return bool(str(error)) and "\n" not in str(error)


def read(path: Path, reading: Reading | None = None) -> list[dict[str, Any]]:
    """Return the rows of a file; none if it is refused. Fails for any other exception, and for an unclear message."""
    try:
        rows = read_file(path, reading)
    except DataError as error:
        assert is_one_line(error) and path.name in str(error), str(error)
        return []
    assert rows and all(isinstance(row, dict) and all(isinstance(name, str) for name in row) for row in rows)
    return rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


@given(suffix=st.sampled_from(SUFFIXES), data=damaged(text_files))
def test_text_files_under_any_ending(folder: Path, suffix: str, data: bytes) -> None:
    path = folder / f"file{suffix}"
    path.write_bytes(data)
    read(path)


@given(suffix=st.sampled_from(SUFFIXES), data=st.binary(max_size=200))
def test_random_bytes_under_any_ending(folder: Path, suffix: str, data: bytes) -> None:
    path = folder / f"file{suffix}"
    path.write_bytes(data)
    read(path)


readings = st.builds(
    Reading,
    format=st.sampled_from([None, "csv", "txt", "jsonl", "conll", "fasttext"]),
    encoding=st.sampled_from([None, "utf-8", "cp1252", "utf-16", "shift_jis", "idna", "no-such"]),
    delimiter=st.sampled_from([None, ";", "tab", "x"]),
    quotes=st.sampled_from([None, True, False]),
    column_names=st.sampled_from([None, ["text"], ["text", "label"]]),
    token_column=st.sampled_from([None, 1, 9]),
    tag_column=st.sampled_from([None, 2, 9]),
)


@given(suffix=st.sampled_from(SUFFIXES), data=text_files, reading=readings)
def test_text_files_with_settings(folder: Path, suffix: str, data: bytes, reading: Reading) -> None:
    path = folder / f"file{suffix}"
    path.write_bytes(data)
    read(path, reading)


@example(document={"text": "[" * 3000}, suffix=".jsonl")
@example(document=[{"data": {}, "annotations": [None]}], suffix=".json")
@example(document=[{"data": {}, "annotations": [{"result": [None]}]}], suffix=".json")
@given(document=st.one_of(documents, records), suffix=st.sampled_from([".json", ".jsonl"]))
def test_json_of_any_shape(folder: Path, document: Any, suffix: str) -> None:
    path = folder / f"file{suffix}"
    path.write_bytes(encoded(json_text(document), "utf-8"))
    read(path)


@given(
    data=damaged(text_files.map(partial(gzip.compress, mtime=0))),
    name=st.sampled_from(["a.csv.gz", "a.csv", "a.jsonl.gz", "a.gz"]),
)
def test_damaged_gzip_files(folder: Path, data: bytes, name: str) -> None:
    path = folder / name
    path.write_bytes(data)
    read(path)


@given(text=texts, suffix=st.sampled_from(SUFFIXES), task=st.sampled_from(sorted(find_tasks())))
def test_a_recipe_with_any_file(folder: Path, text: str, suffix: str, task: str) -> None:
    path = folder / f"rows{suffix}"
    path.write_bytes(encoded(text, "utf-8"))
    chosen = find_tasks()[task]
    try:
        data = load_data(DataSection(train=str(path), validation_fraction=0.5), chosen, chosen.settings())
    except UsageError as error:
        assert str(error)
        return
    assert data.splits["train"] and data.splits["validation"] and data.fingerprint


other_values = st.one_of(values, st.dates(), st.datetimes(), st.binary(max_size=3), st.decimals(allow_nan=False))


@given(rows=st.one_of(records, st.lists(st.dictionaries(names, other_values, max_size=4), max_size=5)))
def test_every_task_guesses_about_any_rows(rows: list[dict[str, Any]]) -> None:
    table = make_table(rows, {})
    for task in find_tasks().values():
        guess = task.guess(table)
        assert 0 <= guess.score <= 1 and guess.reasons
        assert set(guess.columns) <= set(task.columns)
        assert set(guess.file_columns) <= {column.name for column in table.columns}
