"""Rows that a model was trained on are found by the hashes of their inputs."""

import numpy as np
import pytest

from ft_toolkit.core.errors import RunFolderError
from ft_toolkit.data.audit import audit
from ft_toolkit.data.groups import Groups
from ft_toolkit.data.seen_rows import find_seen_rows, input_hashes, read_seen_rows, write_seen_rows
from ft_toolkit.data.splits import LoadedData
from ft_toolkit.tasks import find_tasks
from ft_toolkit.tasks.base import Features

TASK = find_tasks()["text_classification"]
SETTINGS = TASK.settings()
QUESTIONS = find_tasks()["question_answering"]


def rows(n, **more):
    return [{"id": str(i), "text": f"Text {i}", "label": "a", **more} for i in range(n)]


def test_equal_inputs_are_found_under_other_ids_labels_case_spaces_and_unicode_forms(tmp_path):
    trained = [*rows(10), {"id": "x", "text": "Caf\u00e9 au lait", "label": "a"}]
    write_seen_rows(tmp_path, find_seen_rows(trained, TASK))
    seen = read_seen_rows(tmp_path)
    assert seen.count(input_hashes(rows(20), TASK)) == 10
    near = [{"text": " text  3\n"}, {"text": "TEXT 4"}, {"text": "cafe\u0301 au lait"}, {"text": "text 3 4"}]
    assert seen.count(input_hashes([{"id": f"n{i}", "label": "b", **row} for i, row in enumerate(near)], TASK)) == 3


def test_all_inputs_of_a_row_count(tmp_path):
    trained = [{"id": "1", "context": "C", "question": "Q?", "answers": {"text": [], "answer_start": []}}]
    seen = find_seen_rows(trained, QUESTIONS)
    assert seen.count(input_hashes([{"id": "2", "context": "C", "question": "Q?"}], QUESTIONS)) == 1
    assert seen.count(input_hashes([{"id": "2", "context": "C", "question": "R?"}], QUESTIONS)) == 0


def test_of_many_rows_a_small_sample_is_kept_and_the_count_is_an_estimate(tmp_path):
    seen = find_seen_rows(rows(20_000), TASK, limit=2000)
    write_seen_rows(tmp_path, seen)
    assert (tmp_path / "training_rows.npz").stat().st_size < 20_000
    assert seen.is_sample and len(seen.hashes) == 2000
    for n in (0, 500, 3000):
        scored = [*rows(n), *({"id": f"new {i}", "text": f"new {i}"} for i in range(3000 - n))]
        assert seen.count(input_hashes(scored, TASK)) == pytest.approx(n, abs=250)


def test_an_evaluation_names_the_share_of_rows_that_the_model_was_trained_on():
    scored = [*rows(3), {"id": "9", "text": "new", "label": "a"}]
    features = Features({"input_ids": [[1]] * 4}, [0] * 4, [0, 1, 2, 3], [0] * 4)
    data = LoadedData({"test": scored}, {"test": "f"}, None, None, [])
    facts = audit(data, {"test": features}, TASK, SETTINGS, 8, find_seen_rows(rows(50), TASK))
    assert facts["splits"]["test"]["also_in_training"] == 3
    assert facts["warnings"] == [
        "test: the model was trained on 3 of these 4 texts (75%), so the score says little about new texts. Evaluate on rows "
        "that are not in the training file"
    ]
    assert audit(data, {"test": features}, TASK, SETTINGS, 8)["splits"]["test"]["also_in_training"] is None


def test_a_validation_file_with_groups_of_the_training_rows_is_named():
    train, validation = rows(3), [{"id": f"v{i}", "text": f"other {i}", "label": "a"} for i in range(2)]
    groups = {
        "train": Groups("customer", {row["id"]: "c1" for row in train}),
        "validation": Groups("customer", {"v0": "c1", "v1": "c2"}),
    }
    data = LoadedData({"train": train, "validation": validation}, {}, None, None, [], (), groups)
    features = {
        name: Features({"input_ids": [[1]] * n}, [0] * n, list(range(n)), [0] * n)
        for name, n in (("train", 3), ("validation", 2))
    }
    assert audit(data, features, TASK, SETTINGS, 8)["warnings"] == [
        "validation: 1 of 2 rows have the same 'customer' as training rows, so the score is optimistic for "
        "rows with a new 'customer'"
    ]


def test_a_model_folder_of_an_older_version_has_no_hashes_and_a_damaged_file_is_refused(tmp_path):
    assert read_seen_rows(tmp_path) is None
    (tmp_path / "training_rows.npz").write_bytes(b"not a zip")
    with pytest.raises(RunFolderError, match=r"training_rows\.npz: not a valid npz file"):
        read_seen_rows(tmp_path)
    np.savez(tmp_path / "training_rows.npz", other=np.zeros(2))
    with pytest.raises(RunFolderError, match="not a valid npz file"):
        read_seen_rows(tmp_path)
