"""`ftk predict` reads any bytes from a file or standard input, writes any prediction, or gives one clear error."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from fuzz_values import ODD_TEXTS, damaged, encoded, is_clear, text_files
from hypothesis import given
from hypothesis import strategies as st

from ft_toolkit.core.errors import UsageError
from ft_toolkit.inference.predict import read_rows
from ft_toolkit.recipe.reading import Reading

RUN = Path(__file__).resolve().parents[1] / "fixtures" / "d305cf2" / "run"
contents = st.one_of(
    damaged(text_files),
    st.binary(max_size=80),
    st.lists(st.sampled_from(ODD_TEXTS), max_size=4).map(lambda lines: encoded("\n".join(lines), "utf-8")),
)
OPTIONS = ["--column=text=text", "--column=text", "--column=x=y", "--reading=encoding=utf-16"]
readings = st.sampled_from([None, Reading(encoding="utf-8"), Reading(encoding="utf-16"), Reading(format="csv")])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("inputs")


@given(content=contents, name=st.sampled_from(["x.txt", "x.txt", "x.csv", "x.jsonl", "x.json", "x"]), reading=readings)
def test_any_input_file(folder: Path, content: bytes, name: str, reading: Reading | None) -> None:
    (folder / name).write_bytes(content)
    try:
        read_rows(None, folder / name, reading)
    except UsageError as error:
        assert is_clear(str(error)), str(error)


@given(content=contents, reading=readings)
def test_any_standard_input(content: bytes, reading: Reading | None) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), encoding="ascii"))
        try:
            rows = read_rows(None, None, reading)
        except UsageError as error:
            assert is_clear(str(error)), str(error)
            return
    assert all(isinstance(row, str) and row.strip() for row in rows)


@given(
    text=st.one_of(st.sampled_from(ODD_TEXTS), st.text(max_size=30)),
    columns=st.lists(
        st.sampled_from(["--column=text=text", "--column=text", "--column=x=y", "--reading=encoding=utf-16"]),
        max_size=2,
    ),
    output=st.sampled_from([None, "out.jsonl", "out.csv", "out.txt", "no/such/folder.csv"]),
)
def test_any_words_after_predict(here: Any, folder: Path, text: str, columns: list[str], output: str | None) -> None:
    words = ["predict", str(RUN), *columns, *([] if output is None else ["--output", str(folder / output)]), "--", text]
    done = here(*words, check=False)
    assert done.returncode in (0, 2) and is_clear(done.stderr or "-"), done.stderr
    if done.returncode == 0 and output is None:
        assert json.loads(done.stdout)["label"]


@given(
    content=contents,
    name=st.sampled_from(["y.txt", "y.csv", "y.jsonl"]),
    output=st.sampled_from(["out.jsonl", "out.csv"]),
)
def test_predictions_of_any_file(here: Any, folder: Path, content: bytes, name: str, output: str) -> None:
    (folder / name).write_bytes(content)
    done = here("predict", RUN, "--input", folder / name, "--output", folder / output, check=False)
    assert done.returncode in (0, 2) and is_clear(done.stderr or "-"), done.stderr
