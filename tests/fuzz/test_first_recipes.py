"""`ftk init` writes a valid recipe for any file, or refuses it with a clear error."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from fuzz_values import ODD_TEXTS, encoded, names, scalars, texts, values
from hypothesis import given
from hypothesis import strategies as st

from ft_toolkit.core.errors import UsageError
from ft_toolkit.recipe.load_recipe import load_recipe
from ft_toolkit.runs.first_recipe import InitRequest, plan_first_recipe
from ft_toolkit.tasks import find_tasks

TASKS = find_tasks()
SENTENCES = ["Ada is here today", "The lamp is red.", "Die Lampe ist rot und alt.", "灯坏了请尽快回复", "a b c d e"]
sentence = st.builds("{} {}".format, st.sampled_from(SENTENCES), st.integers(0, 999))
label = st.sampled_from(["a", "b", "c"])
KINDS: dict[str, st.SearchStrategy[Any]] = {
    "sentence": sentence,
    "label": label,
    "flag": st.integers(0, 1),
    "number": st.floats(0, 1),
    "labels": st.lists(label, max_size=2),
    "joined": st.sampled_from(["a|b", "a,b", "a", ""]),
    "tokens": st.just(["Ada", "is"]),
    "tags": st.sampled_from([["B-PER", "O"], ["O", "O"]]),
    "entities": st.sampled_from([[{"start": 0, "end": 3, "label": "PER"}], []]),
    "ada": st.builds("Ada came on day {}.".format, st.integers(0, 999)),
    "answer": st.sampled_from(["Ada", "came"]),
    "long": sentence.map(lambda text: f"{text} " * 8),
    "languages": st.builds(lambda text: {"en": f"The {text}", "de": f"Das {text}"}, sentence),
}
# Columns of a file -> kinds of their values.
FILES: list[dict[str, str]] = [
    {"text": "sentence", "label": "label"},
    {"review": "sentence", "x": "label"},
    {"text": "sentence", "labels": "labels"},
    {"text": "sentence", "tags": "joined"},
    {"text": "sentence", "a": "flag", "b": "flag"},
    {"text": "sentence", "score": "number"},
    {"sentence1": "sentence", "sentence2": "sentence", "label": "label"},
    {"tokens": "tokens", "tags": "tags"},
    {"text": "ada", "entities": "entities"},
    {"question": "sentence", "context": "ada", "answer": "answer"},
    {"document": "long", "summary": "sentence"},
    {"source": "sentence", "target": "sentence"},
    {"translation": "languages"},
    {"text": "sentence"},
]


@st.composite
def columns(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Return the rows of a file of some task, with a further column, and with odd values in a few cells."""
    kinds = {**draw(st.sampled_from(FILES)), **draw(st.dictionaries(names, st.sampled_from(list(KINDS)), max_size=1))}
    rows = [{name: draw(KINDS[kind]) for name, kind in kinds.items()} for _ in range(draw(st.integers(3, 30)))]
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        row, name = draw(st.sampled_from(rows)), draw(st.sampled_from(list(kinds)))
        row[name] = draw(st.one_of(scalars, values, st.sampled_from(ODD_TEXTS)))
    return rows


def as_csv(rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def as_json(rows: list[dict[str, Any]]) -> str:
    return "\n".join(json.dumps(row) for row in rows)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("init")


@given(
    content=st.one_of(columns().map(as_csv), columns().map(as_json), columns().map(as_json), texts),
    suffix=st.sampled_from([".csv", ".jsonl", ".txt"]),
    task=st.sampled_from([None, None, None, *TASKS]),
)
def test_a_first_recipe_for_any_file(folder: Path, content: str, suffix: str, task: str | None) -> None:
    path, output = folder / f"rows{suffix}", folder / "recipe.yaml"
    path.write_bytes(encoded(content, "utf-8"))
    try:
        first = plan_first_recipe(InitRequest([str(path)], task, "owner/model", output), TASKS)
    except UsageError as error:
        assert str(error)
        return
    written = folder / "written.yaml"
    written.write_text(first.text, encoding="utf-8")
    recipe = load_recipe(written, [], TASKS).recipe
    assert recipe.task.name == first.task.name and recipe.data.train == str(path)
    assert all(isinstance(warning, str) for warning in first.warnings)
