"""`data.patch` drops and relabels rows, and refuses a file that does not fit the rows."""

import json
from pathlib import Path
from typing import Any

import pytest

from ft_toolkit.core import cache
from ft_toolkit.core.errors import DataError
from ft_toolkit.data import row_cache
from ft_toolkit.data.faults.fault import AuditedRows
from ft_toolkit.data.load_data import check_sources, load_data
from ft_toolkit.data.seen_rows import hash_text, input_hash
from ft_toolkit.data.splits import LoadedData
from ft_toolkit.data.stored_rows import StoredRows
from ft_toolkit.recipe.sections import DataSection
from ft_toolkit.tasks import find_tasks

TASK = find_tasks()["text_classification"]


@pytest.fixture
def load(tmp_path: Path) -> Any:
    """Return a function that reads 20 rows, a fifth of them for validation, with the decisions of a patch."""
    rows = [{"text": f"text number {number}", "label": "ab"[number % 2]} for number in range(20)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    def read(*decisions: dict[str, Any] | str) -> LoadedData:
        patch = tmp_path / "patch.json"
        patch.write_text(json.dumps({"decisions": decisions}), encoding="utf-8")
        section = DataSection(
            train=str(tmp_path / "rows.jsonl"), validation_fraction=0.2, patch=str(patch) if decisions else None
        )
        check_sources(section, TASK)
        return load_data(section, TASK, TASK.settings())

    return read


def decide(number: int, decision: str, **values: str) -> dict[str, Any]:
    """Return a decision on a row of the fixture, by its number from 1."""
    key = hash_text(input_hash({"text": f"text number {number - 1}"}, TASK))
    return {"split": "train", "row": str(number), "hash": key, "decision": decision, **values}


def test_rows_are_dropped_and_relabelled_and_the_same_rows_are_held_out(load: Any) -> None:
    before = load()
    held_out = [row["id"] for row in before.splits["validation"]]
    first, second = (row["id"] for row in before.splits["train"][:2])
    old = {row["id"]: row["label"] for rows in before.splits.values() for row in rows}
    new = {"a": "b", "b": "a"}
    after = load(
        decide(int(first), "drop"),
        decide(int(second), "relabel", old_label=old[second], label=new[old[second]]),
        decide(int(held_out[0]), "relabel", label=new[old[held_out[0]]]),
        decide(int(held_out[1]), "keep"),
    )
    assert [row["id"] for row in after.splits["validation"]] == held_out
    assert [row["id"] for row in after.splits["train"]] == [row["id"] for row in before.splits["train"][1:]]
    labels = {row["id"]: row["label"] for rows in after.splits.values() for row in rows}
    assert {row for row in labels if labels[row] != old[row]} == {second, held_out[0]}
    assert after.patch is not None
    assert (after.patch.kept, after.patch.dropped, after.patch.relabelled) == (
        1,
        {"train": 1},
        {"train": 1, "validation": 1},
    )
    assert after.fingerprint != before.fingerprint
    assert any("scores are not comparable" in note for note in after.notes if note.startswith("validation"))


@pytest.mark.parametrize(
    ("decision", "message"),
    [
        (decide(21, "drop"), "train row 21: no such row"),
        ({**decide(1, "drop"), "hash": "0" * 16}, "train row 1: its text has changed since the audit"),
        (decide(1, "drop", old_label="b"), "train row 1: its label is a, in the audit it was 'b'"),
        (decide(1, "relabel", label="c"), "no row has the label 'c' (allowed: a, b)"),
        (decide(1, "relabel"), "a label is required with relabel"),
        (decide(1, "remove"), "decisions.0.decision"),
        ("drop", "expected an object"),
    ],
)
def test_a_decision_that_does_not_fit(load: Any, decision: Any, message: str) -> None:
    with pytest.raises(DataError, match=r"data\.patch.*patch\.json") as caught:
        load(decision)
    assert message in str(caught.value)


def test_two_decisions_on_a_row_and_no_row_left(load: Any) -> None:
    with pytest.raises(DataError, match="two decisions on train row 3"):
        load(decide(3, "drop"), decide(3, "keep"))
    held_out = [row["id"] for row in load().splits["validation"]]
    with pytest.raises(DataError, match="drops all validation rows"):
        load(*(decide(int(row), "drop") for row in held_out))


def test_a_missing_patch(tmp_path: Path) -> None:
    section = DataSection(card="support_inbox", patch=str(tmp_path / "no.json"))
    with pytest.raises(DataError, match=r"no\.json: file not found\. A patch is the file"):
        check_sources(section, TASK)


def test_rows_from_the_cache_have_the_patch_and_the_same_numbers(
    load: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(cache.PLACE, str(tmp_path / "cache"))
    monkeypatch.setattr(row_cache, "MIN_BYTES", 1)
    held_out = load().splits["validation"][1]["id"]
    first, second = (load(decide(int(held_out), "drop")) for _ in range(2))
    assert isinstance(second.splits["train"], StoredRows)
    assert second.patch == first.patch and second.patch is not None and second.patch.dropped == {"validation": 1}
    rows = AuditedRows(second, TASK, TASK.settings(), limit=100)
    assert {rows.source_split(row) for row in rows} == {"train"}
    assert [text for _, text in rows.searched_texts()] == [rows.text(row) for row in rows.checked]
    assert len(rows.checked) < len(rows)
