"""Complete runs on small real models: the run folder, its scores, exact resuming, and several processes.

`here` runs the command line in this process; `ftk` starts a new process, if the test needs one.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

WORDS = [sys.executable, "-m", "ft_toolkit"]


def ftk(*words: object, processes: int = 1) -> None:
    launcher = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node",
        str(processes),
        "-m",
        "ft_toolkit",
    ]
    command = [*(WORDS if processes == 1 else launcher), *map(str, words)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def records(folder: Path, key: str = "loss") -> list[dict[str, Any]]:
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [record for line in lines if key in (record := json.loads(line))]


def results(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, here: Any, data_files: dict[str, str], tiny_bert: str) -> Path:
    """A complete run: LoRA on a tiny BERT, with enough epochs (16) to learn the words."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    settings = [f"data.{name}={path}" for name, path in data_files.items()]
    here(
        "run", "sst2_lora", *settings, "data.card=null", f"model.name={tiny_bert}", "training.tokens_per_batch=256",
        "training.learning_rate=0.01", "training.num_train_epochs=16", "data.max_length=64", "evaluation.eval_steps=null",
        "--output", folder,
    )  # fmt: skip
    return folder


def test_the_run_folder_has_all_files_and_no_checkpoints(finished: Path) -> None:
    files = {path.relative_to(finished).as_posix() for path in finished.rglob("*") if path.is_file()}
    assert files >= {
        "recipe.yaml", "environment.json", "results.json", "metrics.jsonl", "predictions.jsonl", "report.html", "README.md",
        "model/base_config/config.json", "model/adapter_config.json", "model/adapter_model.safetensors", "model/tokenizer.json",
        "model/inference.json", "model/README.md",
    }  # fmt: skip
    assert not (finished / "checkpoints").exists(), "a finished run does not need its optimizer state"


def test_training_improves_the_score_and_the_scores_match_the_predictions(finished: Path) -> None:
    report = results(finished)
    validation = report["scores"]["validation"]
    majority = validation["baselines"]["majority"]["accuracy"]["value"]
    assert validation["metrics"]["accuracy"]["value"] >= 0.75 > majority
    assert len(report["training"]["evaluations"]) == 16 and 0 < report["training"]["selection_bias"] < 0.5
    rows = [json.loads(line) for line in (finished / "predictions.jsonl").read_text().splitlines()]
    assert Counter(row["split"] for row in rows) == {"validation": 8, "test": 8}
    for split, scores in report["scores"].items():
        split_rows = [row for row in rows if row["split"] == split]
        assert len({row["id"] for row in split_rows}) == len(split_rows) == scores["n"]
        n_correct = sum(row["gold"] == row["label"] for row in split_rows)
        assert scores["metrics"]["accuracy"]["value"] == n_correct / len(split_rows)
        matrix = scores["confusion_matrix"]
        assert sum(map(sum, matrix)) == scores["n"]
        assert set(scores["baselines"]) == set(report["baselines"]) == {"majority", "tfidf", "frozen_embeddings"}
    assert list(report)[2] == "verdict" and report["verdict"]["split"] == "test"
    assert report["verdict"]["text"] in (finished / "README.md").read_text(encoding="utf-8").replace("\\", "")
    assert report["reload_proof"]["rows"] == 8 and report["reload_proof"]["largest_difference"] <= 1e-4
    assert report["reference"] is None
    losses = [record["loss"] for record in records(finished)]
    assert losses[-1] < 0.75 * losses[0]


def test_the_resolved_recipe_gives_the_same_weights_again(finished: Path, tmp_path: Path) -> None:
    """In a new process, with the command line of a user."""
    ftk("run", finished / "recipe.yaml", "--output", tmp_path / "again")
    name = "model/adapter_model.safetensors"
    assert (tmp_path / "again" / name).read_bytes() == (finished / name).read_bytes()


def test_predict_gives_the_predictions_of_the_evaluation(finished: Path, here: Any, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in (finished / "predictions.jsonl").read_text().splitlines()]
    source = tmp_path / "texts.csv"
    source.write_text("id,review\n" + "".join(f"{row['id']},{row['text']}\n" for row in rows), encoding="utf-8")
    here("predict", finished, "--input", source, "--column", "text=review", "--output", tmp_path / "out.jsonl")
    predictions = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    for prediction, row in zip(predictions, rows, strict=True):
        assert (prediction["id"], prediction["label"]) == (row["id"], row["label"])
        assert prediction["probabilities"] == pytest.approx(row["probabilities"], abs=1e-4)


def test_predict_from_a_text_standard_input_and_to_csv(finished: Path, here: Any, tmp_path: Path) -> None:
    evaluated = [json.loads(line) for line in (finished / "predictions.jsonl").read_text().splitlines()][:2]
    printed = here("predict", finished / "model", "lovely lovely the lamp great").stdout
    assert json.loads(printed)["label"] == "praise"
    piped = subprocess.run(
        [*WORDS, "predict", str(finished)],
        input=f"{evaluated[0]['text']}\n\n{evaluated[1]['text']}\n",
        capture_output=True,
        text=True,
        check=True,
    )
    assert [json.loads(line)["label"] for line in piped.stdout.splitlines()] == [row["label"] for row in evaluated]
    lines = tmp_path / "lines.txt"
    lines.write_text("fine, good\nwhen does\n", encoding="utf-8")
    here("predict", finished, "--input", lines, "--output", tmp_path / "out.csv")
    written = (tmp_path / "out.csv").read_text().splitlines()
    assert written[0] == "text,predicted_label,predicted_score" and written[1].startswith('"fine, good",praise,')


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere", "text"], "not found locally"),
        (["MODEL", "--input", "missing.csv"], "file not found"),
        (["MODEL", "text", "--output", "x.xml"], "unknown output type '.xml'; allowed: .jsonl, .csv"),
        (["MODEL", "--input", "ROWS"], "no column 'text' for text_classification's 'text'"),
        (["MODEL", "text", "--column", "text"], "must be COLUMN=NAME"),
    ],
)
def test_predict_reports_wrong_arguments(
    finished: Path, here: Any, tmp_path: Path, words: list[str], message: str
) -> None:
    (tmp_path / "rows.jsonl").write_text('{"review": "x"}\n')
    replaced = [{"MODEL": str(finished), "ROWS": str(tmp_path / "rows.jsonl")}.get(word, word) for word in words]
    done = here("predict", *replaced, check=False)
    assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr


def test_a_run_never_overwrites(finished: Path, here: Any, write_recipe: Any, tmp_path: Path) -> None:
    done = here("run", write_recipe(), "--output", finished, check=False)
    assert done.returncode == 2 and "exists and is not empty" in done.stderr
    done = here("run", write_recipe(), "--output", finished, "--resume", check=False)
    assert done.returncode == 2 and "is a run of another recipe" in done.stderr


@pytest.fixture(scope="module")
def uninterrupted(
    tmp_path_factory: pytest.TempPathFactory, here: Any, data_files: dict[str, str], tiny_bert: str
) -> Path:
    """An uninterrupted run with dropout, next to its recipe."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    sections = {
        "task": "text_classification",
        "model": {"name": tiny_bert, "dropout": 0.2},
        "data": {**data_files, "max_length": 64},
        "method": "full",
        "training": {"learning_rate": 1e-3, "num_train_epochs": 30, "examples_per_batch": 4, "logging_steps": 1}
        | {"save_steps": 3},
        "evaluation": {"bootstrap_samples": 100},
    }
    (folder / "recipe.yaml").write_text(json.dumps(sections), encoding="utf-8")
    here("run", folder / "recipe.yaml", "--output", folder / "run")
    return folder / "run"


def has_records(folder: Path, n: int) -> bool:
    file = folder / "metrics.jsonl"
    return file.is_file() and file.read_text(encoding="utf-8").count("\n") >= n


def kill_after(n: int, recipe: Path, folder: Path) -> None:
    """Run a recipe in a new process, and kill it after a number of steps."""
    process = subprocess.Popen(
        [*WORDS, "run", str(recipe), "--output", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + 120
    while not has_records(folder, n):
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.002)
    process.kill()
    process.communicate(timeout=60)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])
def test_a_killed_run_resumes_to_bitwise_the_same_weights(
    how: signal.Signals, uninterrupted: Path, here: Any, here_until: Any, tmp_path: Path
) -> None:
    """With dropout, killed within an epoch: the resumed run must write the same weights and the same losses."""
    recipe, cut = uninterrupted.parent / "recipe.yaml", tmp_path / "cut"
    if how == signal.SIGTERM:
        done = here_until(lambda: has_records(cut, 21), how, "run", recipe, "--output", cut)
        assert done.returncode == 143
        assert "a checkpoint is saved" in done.stderr and f"--output {cut} --resume" in done.stderr
    else:
        kill_after(21, recipe, cut)
    assert not (cut / "results.json").exists()
    resumed = here("run", recipe, "--output", cut, "--resume")
    after = next(line for line in resumed.stdout.splitlines() if line.startswith("resuming after step"))
    assert 0 < int(after.split()[-1]) < 240
    for name in ("model/model.safetensors", "predictions.jsonl"):
        assert (cut / name).read_bytes() == (uninterrupted / name).read_bytes()
    assert [r["loss"] for r in records(cut)] == [r["loss"] for r in records(uninterrupted)]


def test_a_run_killed_after_its_last_step_is_finished_by_resuming(
    uninterrupted: Path, here: Any, tmp_path: Path
) -> None:
    recipe, cut = uninterrupted.parent / "recipe.yaml", tmp_path / "cut"
    process = subprocess.Popen(
        [*WORDS, "run", str(recipe), "--output", str(cut)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    assert any(line.startswith("saving the model") for line in process.stdout)
    process.kill()
    process.communicate(timeout=60)
    assert not (cut / "results.json").exists()
    # no step is left, and the best weights are in checkpoints/best
    assert [path.name for path in (cut / "checkpoints" / "last").iterdir()] == ["state.json"]
    assert "resuming after step 240" in here("run", recipe, "--output", cut, "--resume").stdout
    for name in ("model/model.safetensors", "predictions.jsonl"):
        assert (cut / name).read_bytes() == (uninterrupted / name).read_bytes()
    assert [r["loss"] for r in records(cut)] == [r["loss"] for r in records(uninterrupted)]
    assert results(cut)["training"]["best_step"] == results(uninterrupted)["training"]["best_step"]


def test_a_resumed_run_refuses_another_recipe(write_recipe: Any, here: Any, here_until: Any, tmp_path: Path) -> None:
    recipe = write_recipe(training__num_train_epochs=200, training__save_steps=2)
    checkpoint = tmp_path / "r" / "checkpoints" / "last"
    stopped = here_until(checkpoint.is_dir, signal.SIGINT, "run", recipe, "--output", tmp_path / "r")
    assert stopped.returncode == 130
    done = here("run", recipe, "training.learning_rate=0.5", "--output", tmp_path / "r", "--resume", check=False)
    assert done.returncode == 2 and "training.learning_rate was 0.001, now 0.5" in done.stderr


def test_accumulation_and_two_processes_give_the_same_training(write_recipe: Any, here: Any, tmp_path: Path) -> None:
    """1 x 16, 4 x 4 micro-batches, and 2 ranks x 8: the same losses, gradients, scores and predictions."""
    recipe = write_recipe(model__dropout=0.0, training__num_train_epochs=3)
    here("run", recipe, "training.examples_per_batch=16", "--output", tmp_path / "one")
    here(
        "run",
        recipe,
        "training.examples_per_batch=4",
        "training.gradient_accumulation_steps=4",
        "--output",
        tmp_path / "four",
    )
    ftk("run", recipe, "training.examples_per_batch=8", "--output", tmp_path / "two", processes=2)
    expected = records(tmp_path / "one")
    for name in ("four", "two"):
        actual = records(tmp_path / name)
        assert [r["loss"] for r in actual] == pytest.approx([r["loss"] for r in expected], rel=1e-4)
        assert [r["grad_norm"] for r in actual] == pytest.approx([r["grad_norm"] for r in expected], rel=1e-3)
        assert results(tmp_path / name)["scores"]["test"]["n"] == 8
        weights = load_file(tmp_path / name / "model" / "model.safetensors")
        for key, tensor in load_file(tmp_path / "one" / "model" / "model.safetensors").items():
            assert weights[key].numpy() == pytest.approx(tensor.numpy(), abs=2e-4), key
    assert json.loads((tmp_path / "two" / "environment.json").read_text())["processes"] == 2


def test_a_wide_micro_batch_is_split_into_pieces_on_a_cpu(
    write_recipe: Any, here: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "ft_toolkit.training.trained_model.MAX_BYTES_ON_CPU", 4 * 32 * 4 * 100
    )  # the tiny BERT is 32 wide
    recipe = write_recipe(model__dropout=0.0, training__mixed_precision="no")
    done = here("run", recipe, "-v", "training.examples_per_batch=16", "--output", tmp_path / "whole")
    assert "passes     at most 100 padded tokens each" in done.stdout
    narrow = ["training.examples_per_batch=4", "training.gradient_accumulation_steps=4"]
    assert "passes     " not in here("run", recipe, "-v", *narrow, "--output", tmp_path / "narrow").stdout
    whole_pass, four_passes = records(tmp_path / "whole"), records(tmp_path / "narrow")
    assert [r["loss"] for r in whole_pass] == pytest.approx([r["loss"] for r in four_passes], rel=1e-5)
    assert [r["grad_norm"] for r in whole_pass] == pytest.approx([r["grad_norm"] for r in four_passes], rel=1e-4)


def test_pairs_of_texts_with_numbers_and_without_test_rows(tiny_bert: str, here: Any, tmp_path: Path) -> None:
    """Similarity of pairs, as in STS-B: renamed text columns, regression, and no test rows."""
    rows = [{"a": f"the lamp {n % 4}", "b": f"the lamp {n % 3}", "sim": n % 4 == n % 3} for n in range(40)]
    source = tmp_path / "pairs.jsonl"
    source.write_text(
        "".join(json.dumps({**row, "sim": 5.0 * row["sim"] + 0.1}) + "\n" for row in rows), encoding="utf-8"
    )
    here(
        "run", "sst2_full", f"data.train={source}", "data.card=null", "data.validation_fraction=0.3",
        "data.columns={text: a, text_pair: b, label: sim}", "task.problem_type=regression", f"model.name={tiny_bert}",
        "evaluation.metric_for_best_model=mean_squared_error", "training.learning_rate=0.003",
        "evaluation.bootstrap_samples=100", "--output", tmp_path / "run",
    )  # fmt: skip
    scores = results(tmp_path / "run")["scores"]
    assert set(scores) == {"validation"}
    assert set(scores["validation"]["baselines"]) == {"majority", "tfidf", "frozen_embeddings"}
    score = scores["validation"]["metrics"]["mean_squared_error"]
    assert score["low"] <= score["value"] <= score["high"]
    best = min(record["validation_mean_squared_error"] for record in records(tmp_path / "run", "validation_loss"))
    assert score["value"] == pytest.approx(best, rel=1e-5)
    answered = tmp_path / "answers.csv"
    here(
        "predict",
        tmp_path / "run",
        "--input",
        source,
        "--column",
        "text=a",
        "--column",
        "text_pair=b",
        "--output",
        answered,
    )
    assert answered.read_text().splitlines()[0] == "a,b,sim,predicted_score"


def test_the_console_describes_the_run_as_far_as_the_user_asks(write_recipe: Any, here: Any, tmp_path: Path) -> None:
    recipe = write_recipe(training__mixed_precision="no")
    verbose = here("run", recipe, "-v", "--output", tmp_path / "verbose").stdout.splitlines()
    assert f"run        {tmp_path / 'verbose'}" in verbose
    assert "data       32 train, 8 validation, 8 test examples" in verbose
    assert "precision  float32" in verbose
    assert "training   8 steps of 8 examples (2 epochs)" in verbose
    assert any(line.startswith("step 8/8: validation accuracy ") for line in verbose)
    assert any(line.startswith("speed-ups (same result): ") for line in verbose)
    quiet = here("run", recipe, "-q", "--output", tmp_path / "quiet").stdout
    labels = ("run  ", "data  ", "precision  ", "training  ", "step ", "speed-ups ")
    assert not [line for line in quiet.splitlines() if line.startswith(labels)]
    assert "accuracy" in quiet, "the results are always printed"
