"""Lone surrogates are found at any depth, and refused wherever rows come from."""

import json
from pathlib import Path
from typing import Any

import pytest

from ft_toolkit.core.characters import has_lone_surrogate
from ft_toolkit.core.errors import DataError, UsageError
from ft_toolkit.data.in_memory import plain_rows
from ft_toolkit.data.local_files import read_file

HALF = "broken \ud83d"


@pytest.mark.parametrize("value", [HALF, [1, [HALF]], {"a": {"b": HALF}}, {HALF: 1}, ("a", (HALF,))])
def test_a_half_character_is_found_at_any_depth(value: Any) -> None:
    assert has_lone_surrogate(value)


@pytest.mark.parametrize("value", ["", "😀 ok", None, 3, ["é", {"a": "b"}]])
def test_whole_characters_are_none(value: Any) -> None:
    assert not has_lone_surrogate(value)


@pytest.mark.parametrize(("name", "where"), [("rows.jsonl", "rows.jsonl:2"), ("rows.json", "rows.json")])
def test_a_file_with_half_a_character_is_refused_in_one_line(tmp_path: Path, name: str, where: str) -> None:
    rows = [{"text": "a 😀"}, {"text": HALF}]
    text = json.dumps(rows) if name.endswith(".json") else "\n".join(map(json.dumps, rows))
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        read_file(tmp_path / name)
    assert f"{where}: a text has half a character" in str(caught.value) and "\n" not in str(caught.value)


def test_rows_in_memory_with_half_a_character_are_refused() -> None:
    with pytest.raises(UsageError, match="row 1: column 'text' has half a character"):
        plain_rows([{"text": HALF}], "train")
