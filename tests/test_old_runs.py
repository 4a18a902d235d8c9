"""Run folders, checkpoints and model folders of an earlier version stay usable (tests/fixtures/d305cf2)."""

import json
import shutil
from pathlib import Path

import pytest
from safetensors.numpy import load_file

FIXTURE = Path(__file__).parent / "fixtures" / "d305cf2"


@pytest.fixture
def old(tmp_path, monkeypatch):
    """A copy of the fixture as the working folder: its recipe names the rows and the model by relative paths."""
    folder = tmp_path / "old"
    shutil.copytree(FIXTURE, folder)
    monkeypatch.chdir(folder)
    return folder


def _predictions(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("name", ["run", "run/model"])
def test_predict_gives_the_same_answers(old, here, name):
    done = here("predict", name, "--input", "test.csv", "--output", "answers.jsonl")
    assert (done.stdout, done.stderr) == ("", "wrote answers.jsonl (12 rows)\n")
    before = [row for row in _predictions(old / "run" / "predictions.jsonl") if row["split"] == "test"]
    answers = _predictions(old / "answers.jsonl")
    assert [row["label"] for row in answers] == [row["label"] for row in before]
    assert [row["score"] for row in answers] == pytest.approx([row["score"] for row in before], abs=1e-5)


def test_evaluate_gives_the_same_score(old, here):
    here("evaluate", "run", "--data", "test.csv", "--output", "again")
    scores = [
        json.loads((old / folder / "results.json").read_text(encoding="utf-8"))["scores"] for folder in ("run", "again")
    ]
    before, after = scores[0]["test"]["metrics"], next(iter(scores[1].values()))["metrics"]
    assert after["accuracy"]["value"] == before["accuracy"]["value"]


def test_resume_ends_with_the_weights_of_the_uninterrupted_run(old, here):
    here("run", "recipe.yaml", "--output", "interrupted", "--resume")
    before = load_file(old / "run" / "model" / "model.safetensors")
    after = load_file(old / "interrupted" / "model" / "model.safetensors")
    assert before.keys() == after.keys()
    for name, weights in before.items():
        # bitwise on the machine that wrote the fixture; other processors sum in another order
        assert after[name] == pytest.approx(weights, abs=1e-5), name


def test_a_run_is_not_resumed_with_its_labels_in_another_order(old, here):
    path = old / "interrupted" / "checkpoints" / "last" / "state.json"
    state = json.loads(path.read_text(encoding="utf-8"))
    labels = json.loads((old / "run" / "results.json").read_text(encoding="utf-8"))["labels"]
    path.write_text(json.dumps({**state, "labels": labels[::-1]}), encoding="utf-8")
    again = here("run", "recipe.yaml", "--output", "interrupted", "--resume", check=False)
    assert again.returncode == 2
    assert f"with the labels {', '.join(labels[::-1])}, but the labels are now {', '.join(labels)}" in again.stderr


def test_compare_gate_runs_and_push_read_an_old_run(old, here):
    here("run", "recipe.yaml", "--output", "interrupted", "--resume")
    assert "accuracy" in here("compare", "run", "interrupted").stdout
    assert here("gate", "run", "--min", "accuracy=0.5").returncode == 0
    assert here("gate", "run", "--min", "accuracy=0.99", check=False).returncode == 3
    for name in ("run", "interrupted"):
        (entry,) = json.loads(here("runs", name, "--json").stdout)
        assert entry["state"] == "finished"
    assert "model.safetensors" in here("push", "run", "someone/old-run", "--dry-run").stdout
