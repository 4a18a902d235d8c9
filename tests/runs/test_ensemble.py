"""Ensembles: the average of finished runs is one model that every command accepts; runs that do not fit are refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from ft_toolkit.api import load
from ft_toolkit.core.errors import ResumeError, UsageError
from ft_toolkit.core.json_records import read_objects
from ft_toolkit.core.run_records import EvaluationResults, read_members, read_results
from ft_toolkit.inference.ensemble import averaging_of
from ft_toolkit.runs.ensemble import make_ensemble, read_member_runs
from ft_toolkit.tasks import find_tasks
from ft_toolkit.training.tracking import Display

TEXTS = ["the lamp is late", "good lovely", "how does it work"]
SILENT = Display(Console(quiet=True), enabled=False)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory, data_files: dict[str, str], tiny_bert: str) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    sections = {
        "task": "text_classification",
        "model": {"name": tiny_bert},
        "data": {**data_files, "max_length": 64},
        "training": {"learning_rate": 1e-2, "max_steps": 8, "examples_per_batch": 8, "head_start": "none"},
        "evaluation": {"bootstrap_samples": 100, "baselines": []},
        "method": "full",
    }
    path.write_text(json.dumps(sections), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory, recipe: Path, here: Any) -> Path:
    """A multi-seed run with two seeds."""
    folder = tmp_path_factory.mktemp("runs") / "seeds"
    here("run", recipe, "training.seeds=[1, 2]", "--output", folder)
    return folder


@pytest.fixture(scope="module")
def ensemble(seeds: Path, here: Any) -> tuple[Path, str]:
    """The folder of the ensemble of both seeds, and the console output."""
    folder = seeds.parent / "ensemble"
    return folder, here("ensemble", seeds, "--output", folder).stdout


@pytest.fixture
def copies(seeds: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Copies of both runs, to be changed."""
    for seed in (1, 2):
        shutil.copytree(seeds / f"seed_{seed}", tmp_path / f"seed_{seed}")
    return tmp_path / "seed_1", tmp_path / "seed_2"


def change(path: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    values = json.loads(path.read_text(encoding="utf-8"))
    edit(values)
    path.write_text(json.dumps(values), encoding="utf-8")


def test_predictions_are_the_mean_of_the_members_probabilities(ensemble: tuple[Path, str], seeds: Path) -> None:
    members = [load(seeds / f"seed_{seed}")(TEXTS) for seed in (1, 2)]
    together = load(ensemble[0])(TEXTS)
    for number, prediction in enumerate(together):
        expected = {
            label: np.mean([member[number]["probabilities"][label] for member in members])
            for label in prediction["probabilities"]
        }
        assert prediction["probabilities"] == pytest.approx(expected, rel=1e-4)
        assert prediction["label"] == max(expected, key=lambda label: expected[label])
    assert any(
        prediction["probabilities"] != pytest.approx(member["probabilities"], rel=1e-4)
        for prediction, member in zip(together, members[0], strict=True)
    )


def test_the_folder_has_the_scores_of_the_ensemble_and_of_its_members(ensemble: tuple[Path, str], seeds: Path) -> None:
    folder, output = ensemble
    results = read_results(folder)
    assert isinstance(results, EvaluationResults) and results.kind == "ensemble"
    for split in ("validation", "test"):
        records = [record for record in read_objects(folder / "predictions.jsonl") if record["split"] == split]
        right = [record["label"] == record["gold"] for record in records]
        assert results.scores[split].metrics["accuracy"].value == pytest.approx(np.mean(right))
        for seed, member in zip((1, 2), results.members, strict=True):
            single = read_results(seeds / f"seed_{seed}")
            assert isinstance(single.scores, dict)
            assert member.run == str(seeds / f"seed_{seed}")
            assert member.scores[split] == single.scores[split].metrics["accuracy"]  # type: ignore[union-attr]
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "An ensemble of 2 models" in card and f"`{seeds}/seed_2`" in card and "| **ensemble** |" in card
    assert (folder / "model" / "README.md").read_text(encoding="utf-8") == card
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert 'id="members"' in page and f"{seeds}/seed_1" in page
    assert f"  {seeds}/seed_1: " in output
    assert len(read_members(folder / "model")) == 2 and (folder / "model" / "training_rows.npz").is_file()
    text = load(folder)(read_objects(folder / "predictions.jsonl")[0]["text"])
    assert text["label"] == read_objects(folder / "predictions.jsonl")[0]["label"]


def test_evaluate_compare_gate_and_push_accept_it(
    ensemble: tuple[Path, str], seeds: Path, data_files: dict[str, str], here: Any, tmp_path: Path
) -> None:
    folder = ensemble[0]
    here("evaluate", folder, "--data", data_files["test"], "--output", tmp_path / "e")
    ours, again = read_results(folder), read_results(tmp_path / "e")
    assert isinstance(ours, EvaluationResults) and isinstance(again, EvaluationResults)
    assert again.scores["test"].metrics["accuracy"] == ours.scores["test"].metrics["accuracy"]
    compared = here("compare", folder, seeds / "seed_1").stdout
    assert "No significant difference between seed_1 and ensemble" in compared and "same settings" not in compared
    assert here("gate", folder, "--min", "accuracy=0").returncode == 0
    files = here("push", folder, "owner/name", "--dry-run").stdout
    assert all(
        name in files for name in ("ensemble.json", "members/2/model.safetensors", "README.md", "inference.json")
    )
    assert "recipe.yaml" not in files and "training_rows" not in files
    assert "finished (ensemble)" in here("runs", folder).stdout


def test_runs_that_do_not_fit_are_refused(copies: tuple[Path, Path], seeds: Path, tmp_path: Path) -> None:
    first, second = copies
    with pytest.raises(UsageError, match="a single run; an ensemble requires at least two runs"):
        read_member_runs([first])
    with pytest.raises(UsageError, match="named twice"):
        read_member_runs([seeds, seeds / "seed_1"])
    change(second / "model" / "inference.json", lambda values: values["schema"]["labels"].reverse())
    with pytest.raises(UsageError, match="they differ in labels"):
        make_ensemble(copies, tmp_path / "e", "ftk", SILENT)
    change(second / "model" / "inference.json", lambda values: values["schema"]["labels"].reverse())
    change(second / "results.json", lambda values: values["data"]["split_fingerprints"].update(test="0" * 64))
    with pytest.raises(UsageError, match="were scored on different rows"):
        make_ensemble(copies, tmp_path / "e", "ftk", SILENT)
    # without test scores, as a trial of a sweep, and with other training rows, which may be the test rows
    change(second / "results.json", lambda values: values["data"]["split_fingerprints"].pop("test"))
    change(second / "results.json", lambda values: values["data"]["split_fingerprints"].update(train="0" * 64))
    with pytest.raises(UsageError, match="were scored on different rows"):
        make_ensemble(copies, tmp_path / "e", "ftk", SILENT)
    change(second / "results.json", lambda values: values["data"]["split_fingerprints"].update(test="0" * 64))
    change(first / "results.json", lambda values: values["data"]["split_fingerprints"].update(test="0" * 64))
    with pytest.raises(ResumeError, match="the test rows of its recipe have changed since the run"):
        make_ensemble(copies, tmp_path / "e", "ftk", SILENT)
    change(second / "results.json", lambda values: values.update(substitutions=["tiny model"]))
    with pytest.raises(UsageError, match="a smoke run"):
        read_member_runs(copies)
    assert not (tmp_path / "e").exists()


def test_tasks_without_probabilities_are_refused_with_the_reason() -> None:
    tasks = find_tasks()
    possible = {name for name, task in tasks.items() if task.averaging is not None}
    assert {"text_classification", "ner", "question_answering"} <= possible
    with pytest.raises(
        UsageError, match=r"ensembles of summarization are not supported: .* texts cannot be averaged; supported:"
    ):
        averaging_of(tasks["summarization"])
    with pytest.raises(UsageError, match="predict tokens"):
        averaging_of(tasks["language_modelling"])


@pytest.mark.slow
@pytest.mark.parametrize("task", ["ner", "question_answering"])
def test_an_ensemble_of_equal_models_predicts_the_same(task: str, tmp_path: Path, tiny_bert: str, here: Any) -> None:
    """Two copies of one run must give its predictions, with windows and an adapter."""
    rows = find_tasks()[task].sample_rows(find_tasks()[task].settings())
    for name in ("train", "validation", "test"):
        lines = [json.dumps({**row, "id": f"{name}{row['id']}"}) + "\n" for row in rows]
        (tmp_path / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    recipe = {
        "task": {"name": task, "stride": 2},
        "model": {"name": tiny_bert},
        "data": {
            "max_length": 24,
            **{name: str(tmp_path / f"{name}.jsonl") for name in ("train", "validation", "test")},
        },
        "training": {"learning_rate": 1e-3, "max_steps": 2, "examples_per_batch": 8},
        "evaluation": {"bootstrap_samples": 100, "baselines": []},
        "method": "lora",
    }
    (tmp_path / "r.yaml").write_text(json.dumps(recipe), encoding="utf-8")
    here("run", tmp_path / "r.yaml", "--output", tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    make_ensemble([tmp_path / "a", tmp_path / "b"], tmp_path / "e", "ftk", SILENT)
    single, together = (read_objects(tmp_path / name / "predictions.jsonl") for name in ("a", "e"))
    for ours, theirs in zip(together, single, strict=True):
        answer = "entities" if task == "ner" else "answer"
        assert ours[answer] == theirs[answer]
    inputs = [{key: row[key] for key in ("text", "question", "context") if key in row} for row in rows]
    assert load(tmp_path / "e")(inputs) == load(tmp_path / "a")(inputs)


def test_the_report_is_written_again(ensemble: tuple[Path, str], check_report_again: Any) -> None:
    check_report_again(ensemble[0], "report.html", "README.md", "model/README.md")
