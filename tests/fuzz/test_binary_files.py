"""Damaged files of binary formats, and damaged folders, give rows or one clear error."""

import io
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from fuzz_values import cells, damaged, tagged_lines
from hypothesis import given
from hypothesis import strategies as st

from ft_toolkit.core.errors import DataError
from ft_toolkit.data.local_files import read_file

ROWS: list[dict[str, Any]] = [
    {"text": "Ada is here", "label": "a"},
    {"text": "", "label": None},
    {"text": "x" * 50, "label": "b"},
]


def read(path: Path) -> None:
    """Read a file or folder. Fails for any exception but a DataError of one line."""
    try:
        assert read_file(path)
    except DataError as error:
        assert "\n" not in str(error) and path.name in str(error), str(error)


@cache
def workbook() -> bytes:
    import openpyxl

    book = openpyxl.Workbook()
    for row in (["text", "label"], *(list(row.values()) for row in ROWS)):
        book.active.append(row)
    target = io.BytesIO()
    book.save(target)
    return target.getvalue()


@cache
def parquet() -> bytes:
    import pyarrow
    import pyarrow.parquet

    target = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), target)
    return target.getvalue()


@cache
def archive() -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as file:
        file.writestr("inner.csv", "text,label\na,b\n")
    return target.getvalue()


@cache
def documents() -> bytes:
    import spacy
    from spacy.tokens import DocBin

    nlp = spacy.blank("en")
    return DocBin(docs=[nlp("Ada is here"), nlp("")]).to_bytes()


FILES: dict[str, Callable[[], bytes]] = {
    "a.xlsx": workbook,
    "a.parquet": parquet,
    "a.zip": archive,
    "a.spacy": documents,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


@pytest.mark.parametrize("name", FILES)
@given(data=st.data())
def test_damaged_binary_files(folder: Path, name: str, data: st.DataObject) -> None:
    if name in ("a.xlsx", "a.spacy"):
        pytest.importorskip({"a.xlsx": "openpyxl", "a.spacy": "spacy"}[name])
    path = folder / name
    path.write_bytes(data.draw(damaged(st.just(FILES[name]()))))
    read(path)


@given(
    text=st.one_of(cells, st.just("Ada is here")),
    annotations=st.one_of(cells, st.just("T1\tPER 0 3\tAda"), tagged_lines()),
)
def test_folders_with_annotations_of_any_kind(
    tmp_path_factory: pytest.TempPathFactory, text: str, annotations: str
) -> None:
    path = tmp_path_factory.mktemp("brat")
    (path / "a.txt").write_bytes(text.encode("utf-8", "surrogatepass"))
    (path / "a.ann").write_bytes(annotations.encode("utf-8", "surrogatepass"))
    read(path)


FOLDER_FILES = ["pos/1.txt", "neg/1.txt", "a.csv", "state.json", "train/x.jsonl", "dataset_info.json"]


@given(parts=st.dictionaries(st.sampled_from(FOLDER_FILES), cells, max_size=4))
def test_folders_with_any_files(tmp_path_factory: pytest.TempPathFactory, parts: dict[str, str]) -> None:
    path = tmp_path_factory.mktemp("texts")
    for name, text in parts.items():
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_bytes(text.encode("utf-8", "surrogatepass"))
    read(path)
