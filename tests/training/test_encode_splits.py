"""Rows and features in the cache: the same values as in memory, read again by the next start, rebuilt when damaged."""

import json
from collections.abc import Callable
from dataclasses import asdict, fields
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ft_toolkit.core import cache
from ft_toolkit.core.errors import DataError
from ft_toolkit.data import row_cache, stored_features, stored_rows
from ft_toolkit.data.splits import LoadedData
from ft_toolkit.data.stored_rows import StoredRows, store_rows
from ft_toolkit.models.pretrained import load_tokenizer
from ft_toolkit.recipe.load_recipe import load_recipe
from ft_toolkit.recipe.sections import DataSection
from ft_toolkit.tasks import dialogue, find_tasks
from ft_toolkit.tasks.base import Features
from ft_toolkit.training import encode_splits as module
from ft_toolkit.training.prepare import Prepared, prepare


@pytest.fixture(autouse=True)
def small_limits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Use the cache for data sets of any size, in a folder of the test, with parts of five rows."""
    monkeypatch.setenv(cache.PLACE, str(tmp_path / "cache"))
    monkeypatch.setattr(row_cache, "MIN_BYTES", 1)
    monkeypatch.setattr(module, "MIN_ROWS", 1)
    monkeypatch.setattr(stored_features, "PART", 5)
    monkeypatch.setattr(stored_rows, "PART", 5)
    return tmp_path / "cache"


def plain(features: Features) -> dict[str, Any]:
    """Return features with lists for stored sequences."""
    values = {name: getattr(features, name) for name in ("targets", "example_ids", "n_tokens_cut", "answers_cut")}
    inputs = {name: list(lists) for name, lists in features.inputs.items()}
    return {**{name: list(value) for name, value in values.items()}, "inputs": inputs, "notes": list(features.notes)}


def prepare_twice(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Prepared, Prepared, Prepared]:
    """Return a recipe prepared without the cache, and at its first and second start with the cache."""
    loaded = load_recipe(path, [], find_tasks())
    with monkeypatch.context() as patch:
        patch.setattr(row_cache, "MIN_BYTES", 10**9)
        patch.setattr(module, "MIN_ROWS", 10**9)
        without = prepare(loaded, work_folder=tmp_path)
    return without, prepare(loaded, work_folder=tmp_path), prepare(loaded, work_folder=tmp_path)


def test_same_rows_features_batches_and_facts(
    write_recipe: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without, first, second = prepare_twice(write_recipe(), tmp_path, monkeypatch)
    assert isinstance(second.data.splits["train"], StoredRows)
    assert isinstance(second.features["train"].inputs["input_ids"], stored_features.TokenLists)
    for prepared in (first, second):
        assert {name: list(rows) for name, rows in prepared.data.splits.items()} == without.data.splits
        assert prepared.data.fingerprint == without.data.fingerprint
        assert prepared.data.origin == without.data.origin
        assert prepared.facts == without.facts
        assert asdict(prepared.schema) == asdict(without.schema)
        for split, features in without.features.items():
            assert plain(prepared.features[split]) == plain(features)
            assert prepared.features[split].lengths == features.lengths
        assert prepared.epoch_batches(1, 2) == without.epoch_batches(1, 2)
        assert prepared.training_ids() == without.training_ids()


def test_other_rows_or_settings_are_not_confused(
    write_recipe: Callable[..., Path], tmp_path: Path, data_files: dict[str, str]
) -> None:
    text = Path(data_files["train"]).read_text(encoding="utf-8")
    changed = tmp_path / "train.jsonl"
    changed.write_text(text, encoding="utf-8")
    path = write_recipe(data={**data_files, "train": str(changed), "max_length": 64})
    before = prepare(load_recipe(path, [], find_tasks()), work_folder=tmp_path)
    shorter = prepare(load_recipe(path, ["data.max_length=8"], find_tasks()), work_folder=tmp_path)
    assert max(shorter.features["train"].lengths) == 8 < max(before.features["train"].lengths)
    # the same number of bytes in the same second
    changed.write_text(text.replace("lovely", "lonely"), encoding="utf-8")
    after = prepare(load_recipe(path, [], find_tasks()), work_folder=tmp_path)
    assert "lonely" in str([row["text"] for row in after.data.splits["train"]])
    assert list(after.features["train"].inputs["input_ids"]) != list(before.features["train"].inputs["input_ids"])


def test_the_tokenizer_is_the_same_as_without_the_cache(
    tiny_gpt2: str, write_recipe: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = dialogue.sample_rows(dialogue.Settings())
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    files = {split: str(tmp_path / "rows.jsonl") for split in ("train", "validation")}
    texts = {
        "task": {"name": "dialogue"},
        "model": {"name": tiny_gpt2},
        "data": files,
        "evaluation": {"bootstrap_samples": 100},
    }
    without, first, second = prepare_twice(write_recipe(**texts), tmp_path, monkeypatch)
    assert isinstance(second.features["validation"].inputs["input_ids"], stored_features.TokenLists)
    assert without.tokenizer.chat_template is not None
    assert second.tokenizer.chat_template == first.tokenizer.chat_template == without.tokenizer.chat_template
    loaded = load_recipe(write_recipe(**texts), [], find_tasks())
    template = "{% for m in messages %}{{ m['role'] + '! ' + m['content'] + eos_token }}{% endfor %}"
    template += "{% if add_generation_prompt %}assistant! {% endif %}"

    def load(folder: Path) -> Any:
        tokenizer = load_tokenizer(folder)
        tokenizer.chat_template = template
        return tokenizer

    monkeypatch.setattr("ft_toolkit.training.prepare.load_tokenizer", load)
    other = prepare(loaded, work_folder=tmp_path)
    assert "user! " in other.tokenizer.decode(other.features["train"].inputs["input_ids"][0])


def test_another_suffix_or_task_file_makes_another_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = find_tasks()["text_classification"]

    def key() -> str | None:
        return row_cache.rows_key(DataSection(train=str(tmp_path / "rows.*")), task, None, (), 1)

    (tmp_path / "rows.csv").write_text("text,label\na,b\n")
    comma = key()
    assert comma is not None and comma == key()
    (tmp_path / "rows.csv").rename(tmp_path / "rows.txt")
    assert key() != comma
    (tmp_path / "rows.txt").rename(tmp_path / "rows.csv")
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    (tasks / "own.py").write_text("A = 1")
    monkeypatch.setenv("FT_TOOLKIT_TASKS", str(tasks))
    assert key() != comma


@pytest.mark.parametrize("damage", [b"", b"ARROW1 no more", None])
def test_a_damaged_entry_is_written_again(
    damage: bytes | None, write_recipe: Callable[..., Path], tmp_path: Path, small_limits: Path
) -> None:
    loaded = load_recipe(write_recipe(), [], find_tasks())
    before = prepare(loaded, work_folder=tmp_path)
    rows = list(before.data.splits["train"])
    files = [path for path in small_limits.rglob("*.*") if path.is_file()]
    assert {path.parent.parent.name for path in files} == {"rows", "features", "facts", "schema"}
    for path in files:
        path.unlink() if damage is None else path.write_bytes(damage)
    after = prepare(loaded, work_folder=tmp_path)
    assert list(after.data.splits["train"]) == rows
    assert after.facts == before.facts
    assert all(path.stat().st_size > 20 for path in files)


def test_without_a_writable_cache_rows_are_in_memory(
    write_recipe: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv(cache.PLACE, str(blocked / "cache"))
    prepared = prepare(load_recipe(write_recipe(), [], find_tasks()), work_folder=tmp_path)
    assert isinstance(prepared.data.splits["train"], list)
    assert isinstance(prepared.features["train"].inputs["input_ids"], list)


def test_every_refused_row_is_named(
    data_files: dict[str, str], write_recipe: Callable[..., Path], tmp_path: Path
) -> None:
    rows = [json.loads(line) for line in Path(data_files["validation"]).read_text(encoding="utf-8").splitlines()]
    for row in rows[-2:]:
        row["label"] = "unknown"
    wrong = tmp_path / "validation.jsonl"
    wrong.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    path = write_recipe(data={**data_files, "validation": str(wrong), "max_length": 64})
    with pytest.raises(DataError, match=r"2 of 8 rows cannot be read, rows r38, r39"):
        prepare(load_recipe(path, [], find_tasks()), work_folder=tmp_path)


def _write_entry(place: str) -> None:
    cache.add("kind", "key", lambda folder: (folder / "file").write_bytes(b"0" * 1_000_000))


def test_two_processes_write_the_same_entry(small_limits: Path) -> None:
    context = get_context("fork")
    processes = [context.Process(target=_write_entry, args=(str(small_limits),)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert cache.find("kind", "key") is not None
    assert [path.name for path in (small_limits / "kind").iterdir()] == ["key"]


def test_the_oldest_entries_are_removed(small_limits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cache.LIMIT, str(2.5 * 1_000_100 / 2**30))
    for number in range(3):
        cache.add("kind", f"key{number}", lambda folder: (folder / "file").write_bytes(b"0" * 1_000_000))
        cache.find("kind", "key0")  # used last
    assert sorted(path.name for path in (small_limits / "kind").iterdir()) == ["key0", "key2"]


def test_rows_with_any_plain_value_are_the_same(tmp_path: Path) -> None:
    rows = [
        {
            "id": str(n),
            "text": "a\u00e9\U0001f600" * n,
            "tokens": ["a", n],
            "span": (n, n + 1),
            "more": {"x": [None, True, 0.1]},
        }
        for n in range(13)
    ]
    store_rows(rows, tmp_path / "rows.arrow")
    stored = StoredRows(tmp_path / "rows.arrow")
    assert list(stored) == rows
    assert [stored[i] for i in (0, 4, 5, -1)] == [rows[i] for i in (0, 4, 5, -1)]
    assert list(stored[3:9]) == rows[3:9]
    assert list(stored.select([12, 0, 1, 11, 5])) == [rows[i] for i in (12, 0, 1, 11, 5)]
    assert len(stored.select([])) == 0
    for value in (np.int64(3), np.arange(3), [np.float64(0.5)], object()):
        with pytest.raises(ValueError):
            store_rows([{"id": value}], tmp_path / "other.arrow")
    with pytest.raises(ValueError, match="different columns"):
        store_rows([{"id": "1"}, {"text": "a"}], tmp_path / "other.arrow")


def test_every_fact_about_the_rows_is_kept(
    write_recipe: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_recipe(data={"train": str(tmp_path / "rows.jsonl"), "validation_fraction": 0.3, "group": "user"})
    lines = [json.dumps({"text": f"a {n}", "label": "ab"[n % 2], "user": f"u{n // 3}"}) + "\n" for n in range(40)]
    (tmp_path / "rows.jsonl").write_text("".join(lines), encoding="utf-8")
    without, first, second = prepare_twice(path, tmp_path, monkeypatch)
    assert first.data.groups["validation"].column == "user"
    for data in (first.data, second.data):
        for field in fields(LoadedData):
            value = getattr(data, field.name)
            value = {name: list(rows) for name, rows in value.items()} if field.name == "splits" else value
            assert (value or None) == (getattr(without.data, field.name) or None), field.name
        assert data.groups["train"].count(data.splits["train"]) == without.data.groups["train"].count(
            data.splits["train"]
        )
