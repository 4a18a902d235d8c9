"""Long files of named entities give the same rows, notes and errors when they are read in parts."""

import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import test_read_in_parts as parts
from test_read_in_parts import Load, assert_equal, write

from ft_toolkit.data import row_streams
from ft_toolkit.data.load_data import load_data
from ft_toolkit.data.splits import LoadedData
from ft_toolkit.metrics.spans import Span, write_tags
from ft_toolkit.recipe.sections import DataSection
from ft_toolkit.tasks import find_tasks
from ft_toolkit.tasks.ner import Settings

load, small_parts = parts.load, parts.small_parts
NER = find_tasks()["ner"]
TYPES = ("LOC", "PER")
NUMBERED = Settings(labels=list(TYPES))
N = 23
Rows = list[dict[str, Any]]


def spans_of(rng: random.Random, length: int) -> list[Span]:
    """Return random spans without overlap, some of them side by side."""
    cuts = sorted(rng.sample(range(length + 1), 4))
    return [(start, end, rng.choice(TYPES)) for start, end in pairwise(cuts) if rng.random() < 0.6]


def iob1(tags: Sequence[str]) -> list[str]:
    """Return IOB2 tags as IOB1: B only where the word before has the same type."""
    before = ["O", *tags]
    return [f"I{tag[1:]}" if tag[0] == "B" and before[i][2:] != tag[2:] else tag for i, tag in enumerate(tags)]


def closed(last: str, single: str) -> Callable[[Sequence[str]], list[str]]:
    """Return a function that converts IOB2 tags to BIOES or BILOU."""

    def convert(tags: Sequence[str]) -> list[str]:
        after = [*tags[1:], "O"]
        return [
            tag if tag == "O" or after[i] == f"I{tag[1:]}" else f"{single if tag[0] == 'B' else last}{tag[1:]}"
            for i, tag in enumerate(tags)
        ]

    return convert


SCHEMES: dict[str, Callable[[Sequence[str]], list[str]]] = {
    "IOB2": list,
    "IOB1": iob1,
    "BIOES": closed("E", "S"),
    "BILOU": closed("L", "U"),
}


def tagged(*schemes: str, seed: int = 0, n: int = N) -> Rows:
    """Return rows of words and tags, with these schemes in turn."""
    rng = random.Random(seed)
    rows = []
    for i in range(n):
        tags = write_tags(spans_of(rng, 6), 6)
        rows.append({"tokens": [f"w{i}", *"abcde"], "tags": SCHEMES[schemes[i % len(schemes)]](tags)})
    return rows


def with_tags(rows: Rows, form: Callable[[list[str]], Any]) -> Rows:
    """Return rows with their words and tags in another form."""
    return [{column: form(cell) for column, cell in row.items()} for row in rows]


def numbered(cell: list[str]) -> list[Any]:
    """Return tags as numbers; words unchanged."""
    order = ["O", *(f"{prefix}-{name}" for name in TYPES for prefix in "BI")]
    return [order.index(tag) for tag in cell] if set(cell) <= set(order) else cell


def with_spans(*, cut: Sequence[int] = (), blank: Sequence[int] = (), label: str = "PER") -> Rows:
    """Return texts with spans. Those of the rows `cut` lack their last letter; those of the rows `blank` have a space more."""
    rows = []
    for i in range(N):
        end = 5 - (i in cut) + (i in blank)
        rows.append({"text": f"Anna{i % 7} left Oslo{i}", "entities": [{"start": 0, "end": end, "label": label}]})
    return rows


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "schemes",
    [("IOB2",), ("IOB1",), ("BIOES",), ("BILOU",), ("IOB1", "IOB2"), ("IOB2", "IOB2", "IOB1"), ("IOB2", "BIOES")],
)
def test_the_scheme_of_all_rows_is_in_the_notes(schemes: tuple[str, ...], seed: int, load: Load) -> None:
    assert_equal(*load(tagged(*schemes, seed=seed), NER))


@pytest.mark.parametrize("first", ["IOB1", "IOB2"])
def test_the_scheme_of_most_rows_is_not_that_of_the_first_parts(first: str, load: Load) -> None:
    second = "IOB2" if first == "IOB1" else "IOB1"
    in_memory, in_parts = load([*tagged(first, n=10), *tagged(second, seed=1, n=40)], NER)
    assert any("tags follow IOB1" in note for note in in_parts.notes) == (second == "IOB1")
    assert_equal(in_memory, in_parts)
    in_memory, in_parts = load([*tagged("IOB2"), {"tokens": ["a"], "tags": ["S-PER"]}], NER)
    assert any("tags follow BIOES" in note for note in in_parts.notes)
    assert_equal(in_memory, in_parts)


@pytest.mark.parametrize("name", ["train.jsonl", "train.csv", "train.tsv", "train.parquet"])
@pytest.mark.parametrize("form", [" ".join, json.dumps, str, list])
@pytest.mark.parametrize("scheme", ["IOB1", "IOB2"])
def test_every_form_of_tags(scheme: str, form: Callable[[list[str]], Any], name: str, load: Load) -> None:
    rows = with_tags(tagged(scheme), form)
    # in a tsv file, quotation marks may be text
    reading = {"quotes": True} if name == "train.tsv" and form is json.dumps else None
    assert_equal(*load(rows, NER, name=name, reading=reading))


@pytest.mark.parametrize(
    "form", [list, str, lambda cell: " ".join(map(str, cell)), lambda cell: [str(x) for x in cell]]
)
def test_numbers(form: Callable[[list[Any]], Any], load: Load) -> None:
    rows = with_tags(tagged("IOB2"), lambda cell: form(numbered(cell)))
    in_memory, in_parts = load(rows, NER, NUMBERED)
    assert any("numbers are read in the order of task.labels" in note for note in in_parts.notes)
    assert_equal(in_memory, in_parts)
    assert_equal(*load(rows, NER))  # nothing defines their order
    names = ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]
    assert_equal(*load(rows, NER, reading={"label_names": names}))
    rows[17]["tags"] = form([7] * 6)
    assert_equal(*load(rows, NER, NUMBERED))
    assert_equal(*load(rows, NER, NUMBERED, on_bad_rows="skip"))
    assert_equal(*load(rows, NER, reading={"label_names": names}))


@pytest.mark.parametrize("without_tags", [0, 1, 8])
@pytest.mark.parametrize("at", [[11], [22], range(10, 20), range(18)])
def test_numbers_and_names_in_one_column_are_an_error(at: Sequence[int], without_tags: int, load: Load) -> None:
    """The rows `at` differ from the others; the first rows may have no tags."""
    empty: Rows = [{"tokens": [], "tags": []}] * without_tags
    rows = [*empty, *tagged("IOB2")]
    for i in (without_tags + i for i in at):
        rows[i]["tags"] = [0, 1, 2, 0, 0, 3]
    in_memory, in_parts = load(rows, NER, NUMBERED)
    assert "must contain texts only" in in_parts
    assert_equal(in_memory, in_parts)
    assert_equal(*load(rows, NER))
    rows = [*empty, *with_tags(tagged("IOB2"), numbered)]
    for i in (without_tags + i for i in at):
        rows[i]["tags"] = ["O", "B-PER", "O", "O", "O", "O"]
    assert_equal(*load(rows, NER, NUMBERED))


@pytest.mark.parametrize("name", ["train.jsonl", "train.parquet", "train.csv", "train.tsv"])
@pytest.mark.parametrize(
    "rows",
    [
        with_spans(),
        with_spans(cut=[1, 8, 15, 22]),
        with_spans(cut=range(N)),
        with_spans(cut=[6, 20], blank=[2, 3, 21]),
        with_spans(blank=range(N)),
    ],
)
def test_spans(rows: Rows, name: str, load: Load) -> None:
    # JSON in cells would be an export of doccano
    printed = [{**row, "entities": str(row["entities"])} for row in rows]
    assert_equal(*load(printed if name.endswith("sv") else rows, NER, name=name))


def test_rows_of_several_forms_and_rows_without_tags(load: Load) -> None:
    rows: Rows = [{**tags, **dict.fromkeys(("text", "entities"))} for tags in tagged("IOB1")]
    for i in (2, 12, 19):
        rows[i] = {"text": f"Anna{i} left", "entities": [{"start": 0, "end": 4, "label": "PER"}]}
    rows[7]["tags"] = None
    rows[8] = {"tokens": [], "tags": []}
    assert_equal(*load(rows, NER))
    rows = with_tags(tagged("IOB2"), " ".join)
    rows[0]["tags"], rows[16]["tags"] = "nan", ""
    assert_equal(*load(rows, NER))


def test_types_that_differ_in_case_are_in_different_parts(load: Load) -> None:
    rows = [*tagged("IOB2"), {"tokens": ["a"], "tags": ["B-Per"]}]
    in_memory, in_parts = load(rows, NER)
    assert any("'PER' and 'Per'" in note for note in in_parts.notes)
    assert_equal(in_memory, in_parts)


@pytest.mark.parametrize("policy", ["error", "skip"])
@pytest.mark.parametrize(
    "bad",
    [
        {11: {"tags": ["O"]}},
        {0: {"tags": ["O", "x"]}, 21: {"tokens": None}},
        {4: {"tags": ["PER"] * 6}, 5: {"tags": ["PER"] * 6}, 18: {"tags": {"a": 1}}},
        {9: {"text": "another text"}},
    ],
)
def test_bad_rows(bad: dict[int, dict[str, Any]], policy: str, load: Load) -> None:
    rows = [{"id": f"n{i}", **row, **bad.get(i, {})} for i, row in enumerate(tagged("IOB1"))]
    assert_equal(*load(rows, NER, on_bad_rows=policy))


def test_documents_are_groups(load: Load) -> None:
    rows = [{**row, "document": f"d{i // 4}"} for i, row in enumerate(tagged("IOB2"))]
    assert_equal(*load(rows, NER))


def test_only_one_part_is_in_memory(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    monkeypatch.setattr(row_streams, "MIN_BYTES", 1)

    def read_rows(rows: Sequence[Any], settings: Any, where: str) -> Any:
        sizes.append(len(rows))
        return NER.read_rows(rows, settings, where)

    path = write(tmp_path / "train.jsonl", tagged("IOB2", n=200))
    task = replace(NER, read_rows=read_rows)
    data = load_data(DataSection(train=path, validation_fraction=0.3), task, Settings())
    assert sum(map(len, data.splits.values())) == 200
    assert max(sizes) == 6  # a part of five rows, and the first row with tags


def test_the_notes_count_every_row_once(load: Load) -> None:
    rows = tagged("IOB2")
    for i in (0, 9, 22):
        rows[i]["tags"] = ["I-PER", "O", "O", "O", "O", "O"]
    _, in_parts = load(rows, NER)
    assert isinstance(in_parts, LoadedData)
    counts = Counter(note.split(" ")[1] for note in in_parts.notes if "illegal" in note)
    assert counts == {"3": 1}
