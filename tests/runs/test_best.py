"""`ftk best`: the candidates, halving, the choice, resuming, the test rows, and files instead of a recipe."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ft_toolkit.core.best_records import BestCandidate, BestChoice, BestResults, read_best, write_best
from ft_toolkit.core.json_records import read_objects
from ft_toolkit.core.run_lock import RunLock
from ft_toolkit.core.run_records import read_results, read_run_results
from ft_toolkit.recipe.load_recipe import load_recipe
from ft_toolkit.report.best import path_of, sentences, write_best_page
from ft_toolkit.runs.best_candidates import DEFAULT, more_seeds, plan_candidates
from ft_toolkit.runs.halving import best_of, is_beaten
from ft_toolkit.tasks import find_tasks
from ft_toolkit.training.prepare import prepare

EMBEDDINGS = "frozen embeddings, linear head"


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory, data_files: dict[str, str], tiny_bert: str) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    sections = {
        "task": "text_classification",
        "model": {"name": tiny_bert},
        "data": {**data_files, "max_length": 64},
        "training": {"learning_rate": 1e-3, "max_steps": 4, "examples_per_batch": 8, "head_start": "none"},
        "evaluation": {"bootstrap_samples": 100, "eval_steps": 1, "baselines": ["majority"]},
        "method": "full",
    }
    path.write_text(json.dumps(sections), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory, recipe: Path, here: Any) -> tuple[Path, str]:
    """The folder of a search without time for more than the essential candidates, and its output."""
    folder = tmp_path_factory.mktemp("searches") / "short"
    return folder, here("best", recipe, "--minutes", 0.01, "--output", folder).stdout


def titles(recipe: Path, folder: Path, *settings: str) -> list[str]:
    prepared = prepare(load_recipe(recipe, list(settings), find_tasks()), work_folder=folder)
    return [candidate.title for candidate in plan_candidates(prepared, 1e-3)]


def test_the_candidates_follow_task_rows_and_method(recipe: Path, data_files: dict[str, str], tmp_path: Path) -> None:
    rates = ["lora, learning rate 1.0e-02", "full, learning rate 3.0e-04", "lora, learning rate 3.0e-03"]
    rates += ["full, learning rate 3.0e-03", "lora, learning rate 3.0e-02"]
    pairs = ["contrastive pairs, linear head", "contrastive pairs, then training"]
    assert titles(recipe, tmp_path) == [EMBEDDINGS, DEFAULT, *pairs, *rates]
    several = titles(recipe, tmp_path, "task.problem_type=multi_label_classification")
    assert several == [EMBEDDINGS, DEFAULT, *rates]
    assert titles(recipe, tmp_path, "method=lora", "training.learning_rate=1e-2")[-6:-4] == [
        *pairs[1:],
        "full, learning rate 1.0e-03",
    ]
    task, path = find_tasks()["ner"], tmp_path / "ner.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in task.sample_rows(task.settings())), encoding="utf-8")
    files = [f"data.{split}={path}" for split in data_files]
    assert titles(recipe, tmp_path, "task=ner", "evaluation.baselines=[]", *files) == [DEFAULT, *rates]
    model = "{config: {model_type: bert, hidden_size: 32, num_hidden_layers: 1, num_attention_heads: 2}, "
    new = titles(recipe, tmp_path, f"model={model}tokenizer: {{train_on_text: true, vocab_size: 300}}}}")
    assert new == [DEFAULT, "full, learning rate 3.0e-04", "full, learning rate 3.0e-03"]


def test_every_candidate_is_a_valid_recipe(recipe: Path, tmp_path: Path) -> None:
    prepared = prepare(load_recipe(recipe, [], find_tasks()), work_folder=tmp_path)
    candidates = list(plan_candidates(prepared, 1e-3))
    for candidate in [*candidates, *more_seeds(candidates[-1], 13)]:
        load_recipe(recipe, list(candidate.settings), find_tasks())
    assert more_seeds(candidates[0], 13) == []
    assert [each.settings[-1] for each in more_seeds(candidates[1], 13)] == ["training.seed=14", "training.seed=15"]


def test_a_run_ends_early_only_at_a_rung_and_below_the_median() -> None:
    others = [[0.5, 0.6, 0.7, 0.8], [0.6, 0.6, 0.6, 0.9], [0.1]]
    assert is_beaten([0.4], others, greater=True)
    assert not is_beaten([0.5], others, greater=True)
    assert is_beaten([0.5, 0.55], others, greater=True) and not is_beaten([0.7, 0.1], others, greater=True)
    assert not is_beaten([0.0, 0.0, 0.0], others, greater=True)  # no rung
    assert not is_beaten([0.0], others[:1], greater=True)  # nothing to compare with
    assert is_beaten([0.6], others[:2], greater=False) and not is_beaten([0.5], others[:2], greater=False)
    assert is_beaten([None], others, greater=True) and best_of([None, 0.2], greater=True) == 0.2


def test_the_essential_candidates_are_tried_without_time_and_the_chosen_one_is_scored_once(
    short: tuple[Path, str], here: Any, tmp_path: Path
) -> None:
    folder, printed = short
    results = read_best(folder)
    assert results.complete and [each.title for each in results.candidates[:2]] == [EMBEDDINGS, DEFAULT]
    assert (
        results.left_out[0] == "contrastive pairs, linear head"
        and "Not tried, because the time was too short" in printed
    )
    best = results.best
    assert best is not None and results.default_value is not None and best.value >= results.default_value
    chosen = read_results(folder / best.folder)
    assert best.test is not None and chosen.scores["test"].metrics["accuracy"].value == best.test.value
    assert best.test_rows == 8 and "Test score of the chosen model, computed once" in printed
    others = [each for each in results.candidates if each.folder != best.folder]
    assert others and all("test" not in read_results(folder / each.folder).scores for each in others)
    splits = {record["split"] for record in read_objects(folder / others[0].folder / "predictions.jsonl")}
    assert splits == {"validation"}
    assert "<svg" in (folder / "best.html").read_text(encoding="utf-8")
    predicted = here("predict", folder / best.folder, "lovely lovely the lamp great").stdout
    assert "label" in json.loads(predicted)
    again = here("best", folder / "best.yaml", "--minutes", 1, "--output", folder, check=False)
    assert again.returncode == 2 and "the search is finished" in again.stderr
    with RunLock(folder):
        lock = json.loads((folder / "run.lock").read_text(encoding="utf-8"))
    (folder / "run.lock").write_text(json.dumps({**lock, "pid": 2**22 + 1}), encoding="utf-8")  # of a killed process
    repeated = here(*shlex.split(results.command or "")[1:])
    assert f"note: the search in {folder} is already finished" in repeated.stdout
    assert not (folder / "run.lock").exists()


def test_the_folder_of_another_search_is_refused(
    short: tuple[Path, str], recipe: Path, here: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(short[0], folder)
    write_best(folder, read_best(folder).model_copy(update={"complete": False}))
    refused = here("best", recipe, "training.seed=2", "--minutes", 1, "--output", folder, check=False)
    assert refused.returncode == 2 and "is a search with another recipe or other settings" in refused.stderr


def test_a_search_that_was_killed_while_it_chose_computes_no_candidate_again(
    short: tuple[Path, str], recipe: Path, here: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(short[0], folder)
    before = read_best(folder)
    assert before.candidates[-1].members  # the average may be the best one
    value = {"value": 1.5, "state": "finished"}
    candidates = [*before.candidates[:-1], before.candidates[-1].model_copy(update=value)]
    write_best(folder, before.model_copy(update={"complete": False, "best": None, "candidates": candidates}))
    here("best", recipe, "--minutes", 0.01, "--output", folder)
    after = read_best(folder)
    assert after.complete and after.candidates == candidates and after.best is not None
    assert after.best.folder == "average_2" and after.best.test is not None
    assert "test" in read_results(folder / "average_2").scores
    write_best(folder, before.model_copy(update={"complete": False, "fingerprint": "0"}))
    refused = here("best", recipe, "--minutes", 0.01, "--output", folder, check=False)
    assert refused.returncode == 2 and "is a search with other rows" in refused.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "Missing argument"),
        (["training.seed=1"], "name a recipe or a data file"),
        (["RECIPE", "training.seeds=[1, 2]"], "training.seeds: 'ftk best' chooses the seeds"),
        (["RECIPE", "data.fold=1/3"], "data.fold: the test rows of a fold"),
        (["RECIPE", "--minutes", "0"], "0.01"),
        (["RECIPE", "training.lr=1"], "training.lr: unknown key"),
        (["nothing.yaml"], "recipe 'nothing.yaml' not found"),
    ],
)
def test_wrong_arguments_give_one_message(
    words: list[str], message: str, recipe: Path, here: Any, tmp_path: Path
) -> None:
    named = [str(recipe) if word == "RECIPE" else word for word in words]
    done = here("best", *named, "--output", tmp_path / "x", check=False)
    assert done.returncode == 2 and message in done.stderr + done.stdout and not (tmp_path / "x").exists()


@pytest.mark.slow
def test_a_search_with_time_prunes_averages_and_never_returns_less_than_the_default(
    recipe: Path, here: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "long"
    here("best", recipe, "training.max_steps=8", "--minutes", 15, "--output", folder)
    results = read_best(folder)
    assert results.best is not None and results.default_value is not None
    assert results.best.value >= results.default_value and not results.left_out
    assert {"contrastive pairs, linear head", "lora, learning rate 1.0e-02"} <= {
        each.title for each in results.candidates
    }
    average = results.candidates[-1]
    assert len(average.members) == 3 and average.state == "finished"
    facts = read_run_results(folder / "candidate_3").training
    assert facts.contrastive is not None and facts.contrastive.pairs == 32 * 40


@pytest.mark.slow
def test_a_stopped_and_a_killed_search_continue_without_repeating_a_candidate(recipe: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cut"
    words = [sys.executable, "-m", "ft_toolkit", "best", str(recipe), "training.max_steps=400", "training.save_steps=5"]
    words += ["evaluation.eval_steps=100", "--minutes", "0.01", "--output", str(folder)]
    for number in (signal.SIGTERM, signal.SIGKILL):
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 120
        before = state_of(folder)
        while time.monotonic() < deadline and state_of(folder) in (None, before):
            time.sleep(0.01)
        os.kill(process.pid, number)
        _, errors = process.communicate(timeout=60)
        if number == signal.SIGTERM:
            assert process.returncode == 143 and "stopped in 'default settings'; a checkpoint is saved" in errors
            assert f"--output {folder}" in errors
    first = read_best(folder).candidates
    assert [each.title for each in first] == [EMBEDDINGS]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "default settings: resuming" in done.stdout
    results = read_best(folder)
    assert results.candidates[0] == first[0] and results.complete
    assert read_run_results(folder / "candidate_2").training.steps == 400


def state_of(folder: Path) -> float | None:
    """Return the time of the checkpoint of the default run; None without one."""
    try:
        return (folder / "candidate_2" / "checkpoints" / "last" / "state.json").stat().st_mtime
    except FileNotFoundError:
        return None


@pytest.mark.slow
def test_a_data_file_gets_a_recipe_first(
    rows: list[dict[str, Any]], tiny_bert: str, here: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mail.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    settings = [f"model.name={tiny_bert}", "training.max_steps=2", "evaluation.bootstrap_samples=100"]
    printed = here("best", "mail.jsonl", *settings, "--minutes", 0.01).stdout
    assert "wrote mail.yaml: text_classification with" in printed
    results = read_best(Path("runs/mail-best"))
    assert results.complete and results.command == "ftk best mail.yaml --minutes 0.01"
    refused = here("best", "mail.jsonl", "--minutes", 0.01, check=False)
    assert (
        refused.returncode == 2 and "mail.yaml already exists. To use this recipe: ftk best mail.yaml" in refused.stderr
    )


def record(title: str, value: float | None, state: str = "finished", **more: Any) -> BestCandidate:
    values = {"title": title, "folder": title, "state": state, "value": value, "seconds": 1.0, "ended": 60.0}
    return BestCandidate.model_validate({**values, **more})


def test_the_page_and_the_sentences_state_the_path_and_how_far_the_score_can_be_trusted(tmp_path: Path) -> None:
    candidates = [
        record("a", 0.5, loss=0.9, ended=30.0),
        record("b", 0.9, "pruned", ended=60.0),
        record("c", 0.5, loss=0.7, ended=90.0),
        record("d", None, "failed", reason="<no> memory"),
    ]
    results = BestResults(
        name="x-best", recipe_sha256="0", fingerprint="0",
        task="ner", model="m", metric="f1", greater_is_better=True, minutes=2.0, seconds=99.0,
        candidates=candidates, left_out=["e"], validation_rows=50, default_value=0.5,
    )  # fmt: skip
    assert [each.title for each in results.finished] == ["c", "a"]
    assert [best for _, best in path_of(results)] == [0.5, 0.5, 0.5, 0.5]
    assert sentences(results)[-1] == "The search is not finished."
    done = results.model_copy(update={"best": BestChoice(title="c", folder="c", value=0.5), "complete": True})
    text = " ".join(sentences(done))
    assert "4 candidates in 99 s (of 120 s): 1 failed, 2 finished, 1 pruned." in text
    assert "With only 50 validation rows, the choice between the candidates is mostly chance." in text
    assert "There are no test rows" in text and "compared 4 candidates" in text
    write_best(tmp_path, done)
    write_best_page(tmp_path, done)
    page = (tmp_path / "best.html").read_text(encoding="utf-8")
    assert "<svg" in page and "&lt;no&gt; memory" in page
