"""Summarization: columns, references, the lead baseline, and the tables of the report."""

from typing import Any

import numpy as np
import pytest

from ft_toolkit.core.errors import DataError
from ft_toolkit.metrics.rouge import statistics
from ft_toolkit.tasks import find_tasks
from ft_toolkit.tasks.base import ScoredRun, is_labelled, without_answers

TASK = find_tasks()["summarization"]
SETTINGS = TASK.settings()


def read(*rows: dict[str, Any]) -> list[Any]:
    return list(TASK.read_rows(rows, SETTINGS, "rows.jsonl")[0])


def test_references_come_from_either_column_and_the_first_is_learned() -> None:
    only, listed, both, other = read(
        {"document": "d", "summary": "a"},
        {"document": "d", "summary": ["a", "b"]},
        {"document": "d", "summary": "a", "references": ["a", "b"]},
        {"document": "d", "summary": "c", "references": ["a", "b"]},
    )
    assert only == {"document": "d", "summary": "a"}
    assert listed == both == {"document": "d", "summary": "a", "references": ["a", "b"]}
    assert other["references"] == ["c", "a", "b"] and other["summary"] == "c"
    assert [TASK.reference_answer(row, None) for row in (only, both)] == ["a", ["a", "b"]]
    (missing,) = read({"document": "d", "summary": None, "references": ["a"]})
    assert missing["summary"] == "a" and "references" not in missing
    assert not is_labelled({"document": "d", "summary": None}, TASK)
    assert read(without_answers(both, TASK)) == [{"document": "d"}]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"document": 3, "summary": "a"}, "column 'document' must be text; found 3"),
        ({"document": "d", "summary": ""}, "column 'summary' must be a text or a list of texts; found ''"),
        (
            {"document": "d", "summary": "a", "references": "|"[:0]},
            "column 'references' must be a text or a list of texts; found ''",
        ),
    ],
)
def test_invalid_rows_are_refused(row: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=f"rows.jsonl: row 1: {message}"):
        read(row)


def test_summaries_that_rouge_does_not_see_are_counted() -> None:
    rows = [{"document": "d", "summary": text} for text in ("灯坏了", "a lamp", "…")]
    _, notes = TASK.read_rows(rows, SETTINGS, "x")
    assert notes == ["1 of 3 summaries have few or no words that ROUGE counts, so their scores are near 0"]


def test_runs_with_other_words_for_rouge_are_not_compared() -> None:
    rows = read({"document": "d", "summary": "灯坏了"})
    array, _ = TASK.to_arrays([{"summary": "灯坏了"}], rows, None)
    now, earlier = ScoredRun(SETTINGS, None, array), ScoredRun(SETTINGS, None, array[:, :-1])
    assert TASK.comparability(now, now).refusal is None
    assert "they differ in the words of ROUGE" in str(TASK.comparability(now, earlier).refusal)


def test_the_best_reference_counts_and_details_describe_rouge() -> None:
    rows = read(
        {"document": "d", "summary": ["a broken lamp", "the lamp is broken"]}, {"document": "d", "summary": "two words"}
    )
    decoded = TASK.decode(["the lamp is broken", "two other words"], None, rows, None)
    predictions, references = TASK.to_arrays(decoded, rows, None)
    metrics = TASK.metrics(SETTINGS)
    assert list(metrics) == ["rougeL", "rouge1", "rouge2", "rougeLsum"]
    assert metrics["rouge1"].fn(predictions, references) == pytest.approx((100 + 80) / 2)
    assert metrics["rouge2"].fn(predictions, references) == pytest.approx(50)
    details = TASK.details(predictions, references, None)
    assert details["mean_words"] == {"predicted": 3.5, "reference": 2.5} and "Porter" in details["signatures"]["rouge"]
    resampled = np.array([1, 1])
    assert metrics["rougeL"].fn(predictions[resampled], references[resampled]) == pytest.approx(80)


@pytest.mark.parametrize(
    ("summaries", "n"), [(["One. Two."] * 3, 2), (["One."] * 3, 1), (["A.\nB.\nC.", "One. Two.", "x"], 2)]
)
def test_the_lead_has_the_mean_number_of_sentences_of_the_summaries(summaries: list[str], n: int) -> None:
    train = [{"document": "d", "summary": text} for text in summaries]
    rows = [{"document": "First here. Second there! Third? Last."}, {"document": "Only one"}]
    found = TASK.baselines["lead"].predict(train, rows, None, 0)
    assert found == [{"summary": "\n".join(["First here.", "Second there!"][:n])}, {"summary": "Only one"}]
    assert statistics([found[0]["summary"]], [["First here."]])[0][0, 0] == pytest.approx(
        100 if n == 1 else 100 * 2 / 3
    )
