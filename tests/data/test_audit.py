"""The facts a person should know before trusting a score."""

import dataclasses

from ft_toolkit.data.audit import audit
from ft_toolkit.data.faults.fault import AuditedRows, fault_counts
from ft_toolkit.data.faults.find_faults import find_quick_faults
from ft_toolkit.data.splits import LoadedData
from ft_toolkit.tasks import find_tasks
from ft_toolkit.tasks.base import Features
from ft_toolkit.tasks.text_classification import TASK

SETTINGS = TASK.settings()


def data_of(notes=(), **splits):
    rows = {
        name: [{"id": str(i), "label": "a", **row} for i, row in enumerate(texts)] for name, texts in splits.items()
    }
    return LoadedData(rows, dict.fromkeys(rows, "made"), None, None, list(notes))


def features_of(*lengths, cut=()):
    inputs = {"input_ids": [[1] * length for length in lengths]}
    return Features(inputs, [0] * len(lengths), list(range(len(lengths))), list(cut) or [0] * len(lengths))


def test_clean_rows_give_facts_and_no_warnings():
    data = data_of(train=[{"text": "a"}, {"text": "b"}], validation=[{"text": "c"}])
    facts = audit(data, {"train": features_of(3, 5), "validation": features_of(4)}, TASK, SETTINGS, 16)
    assert facts["warnings"] == []
    assert facts["splits"]["train"] == {
        "rows": 2,
        "empty_texts": 0,
        "repeated_texts": 0,
        "also_in_training": 0,
        "tokens": 8,
        "longest": 5,
        "rows_cut": 0,
        "tokens_cut": 0,
    }
    assert facts["splits"]["validation"]["tokens"] == 4


def test_what_distorts_a_score_is_said_in_words():
    data = data_of(
        notes=["train: 1 of 5 rows have no label and were dropped"],
        train=[{"text": "a"}, {"text": "a"}, {"text": "a"}, {"text": " "}],
        test=[{"text": "a"}, {"text": "z"}],
    )
    facts = audit(
        data,
        {"train": features_of(8, 8, 2, 1, cut=[3, 4, 0, 0]), "test": features_of(8, 1, cut=[1, 0])},
        TASK,
        SETTINGS,
        8,
    )
    train, test = facts["splits"]["train"], facts["splits"]["test"]
    assert (train["repeated_texts"], train["empty_texts"], train["also_in_training"]) == (2, 1, 0)
    assert (train["rows_cut"], train["tokens_cut"], train["tokens"]) == (2, 7, 19)
    assert (test["also_in_training"], test["repeated_texts"]) == (1, 0)
    assert facts["warnings"] == [
        "train: 1 of 5 rows have no label and were dropped",
        "train: 2 of 4 texts are longer than max_length=8; 7 of 26 tokens are truncated",
        "train: 1 of 4 texts are empty",
        "test: 1 of 2 texts are also in the training rows, so the score is optimistic",
        "test: 1 of 2 texts are longer than max_length=8; 1 of 10 tokens are truncated",
    ]


def test_a_pair_is_repeated_only_if_both_texts_are():
    pairs = [{"text": "a", "text_pair": "x"}, {"text": "a", "text_pair": "y"}, {"text": "a", "text_pair": "x"}]
    data = data_of(train=pairs, test=[{"text": "a", "text_pair": "z"}, {"text": "a", "text_pair": "y"}])
    facts = audit(data, {"train": features_of(1, 1, 1), "test": features_of(1, 1)}, TASK, SETTINGS, 8)
    assert facts["splits"]["train"]["repeated_texts"] == 1
    assert facts["splits"]["test"]["also_in_training"] == 1


def test_the_notes_of_the_data_are_not_changed():
    data = data_of(train=[{"text": ""}])
    assert audit(data, {"train": features_of(1)}, TASK, SETTINGS, 8)["warnings"]
    assert data.notes == []


def test_the_warning_about_cut_answers_says_what_they_are_for_the_task():
    data = data_of(train=[{"text": "a"}], validation=[{"text": "b"}])

    def warnings(name, n, task):
        cut = dataclasses.replace(features_of(3), answers_cut={name: [n]})
        return audit(data, {"train": features_of(3), "validation": cut}, task, SETTINGS, 16)["warnings"]

    assert warnings("entities", 2, TASK) == [
        "validation: 2 entities are outside the model's input; each counts as an error"
    ]
    summarization = dataclasses.replace(find_tasks()["summarization"], columns=TASK.columns)
    assert warnings("summary tokens", 5, summarization) == [
        "validation: 5 summary tokens are outside the model's input; the model does not learn from them"
    ]


def test_faults_are_counted_by_split_and_of_many_texts_a_part_is_searched():
    train = [{"text": f"text {i}"} for i in range(8)] + [{"text": "TEXT 0", "label": "b"}]
    train += [{"text": f"write to jane{i}@example.org"} for i in range(11)]
    data = data_of(train=train, test=[{"text": "text 1"}])
    features = {"train": features_of(*[1] * 20), "test": features_of(1)}
    facts = audit(data, features, TASK, SETTINGS, 8)
    assert {fault["name"]: fault["rows"] for fault in facts["faults"]} == {
        "leaks": {"train": 1, "test": 1},
        "contradictions": {"train": 2},
        "duplicates": {"train": 2},
        "personal_data": {"train": 11},
    }
    assert facts["searched_texts"] == 21
    rows = AuditedRows(data, TASK, SETTINGS, 200)
    counts = {fault.name: fault.rows for fault in fault_counts(find_quick_faults(rows), rows)}
    assert len(rows.checked) == 11
    assert counts["leaks"] == {"train": 1, "test": 1} and counts["personal_data"] == {"train": 5}
