"""The Python API: `fine_tune` on rows from memory, the run that it returns, and quiet libraries."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import datasets
import pandas as pd
import pytest
import transformers

import ft_toolkit
from ft_toolkit.core.quiet import quiet_libraries

SMALL = {"learning_rate": 1e-3, "max_steps": 4, "examples_per_batch": 8}
EVALUATION = {"bootstrap_samples": 100, "baselines": []}


@pytest.fixture(scope="module")
def run(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]], tiny_bert: str
) -> ft_toolkit.FineTunedRun:
    """A run on a DataFrame with its own column names and a missing label, a Dataset with class labels, and a list."""
    frame = pd.DataFrame([{"review": row["text"], "kind": row["label"], "n": i} for i, row in enumerate(rows[:32])])
    frame.loc[3, "kind"] = float("nan")
    names = sorted({row["label"] for row in rows})
    validation = datasets.Dataset.from_dict(
        {"review": [row["text"] for row in rows[32:40]], "kind": [names.index(row["label"]) for row in rows[32:40]]},
        features=datasets.Features({"review": datasets.Value("string"), "kind": datasets.ClassLabel(names=names)}),
    )
    test = [{"review": row["text"], "kind": row["label"]} for row in rows[40:]]
    folder = tmp_path_factory.mktemp("api")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run = ft_toolkit.fine_tune(
            "text_classification",
            train=frame,
            validation=validation,
            test=test,
            model=tiny_bert,
            progress=False,
            data={"columns": {"text": "review", "label": "kind"}, "max_length": 64},
            training=SMALL,
            evaluation=EVALUATION,
        )
    assert run.folder == Path("runs/text_classification")
    return ft_toolkit.FineTunedRun(folder / run.folder)


def test_the_rows_are_in_the_run_folder_and_the_paths_are_relative(run: ft_toolkit.FineTunedRun) -> None:
    rows = [json.loads(line) for line in (run.folder / "input_rows/train.jsonl").read_text().splitlines()]
    assert len(rows) == 32 and rows[3]["kind"] is None and list(rows[0]) == ["review", "kind", "n"]
    validation = (run.folder / "input_rows/validation.jsonl").read_text().splitlines()
    assert json.loads(validation[0])["kind"] in {"praise", "complaint", "question"}
    recipe = (run.folder / "recipe.yaml").read_text()
    assert "train: runs/text_classification/input_rows/train.jsonl" in recipe
    assert "ftk run runs/text_classification/recipe.yaml" in recipe


def test_scores_are_plain_numbers(run: ft_toolkit.FineTunedRun) -> None:
    results = json.loads((run.folder / "results.json").read_text())
    assert list(run.scores) == ["validation", "test"]
    for split, metrics in run.scores.items():
        for name, score in metrics.items():
            assert score == {key: results["scores"][split]["metrics"][name][key] for key in ("value", "low", "high")}
    dropped, few_steps = run.warnings
    assert dropped == "train: 1 of 32 rows have no label and were dropped" and "only 4 optimizer steps" in few_steps


def test_predictions_use_the_column_names_of_the_run(run: ft_toolkit.FineTunedRun, here: Any, tmp_path: Path) -> None:
    texts = ["good lamp", "broken lamp"]
    one = run.predict(texts[0])
    expected = run.predict(texts)
    assert isinstance(one, dict) and one == expected[0] and len(expected) == 2
    assert run.predict([{"review": text} for text in texts]) == expected
    assert run.predict(pd.DataFrame({"review": texts})) == run.predict(pd.DataFrame({"text": texts})) == expected
    (tmp_path / "new.csv").write_text("review,other\ngood lamp,1\nbroken lamp,2\n")
    shown = here("predict", run.folder, "--input", tmp_path / "new.csv")
    assert [json.loads(line) for line in shown.stdout.splitlines()] == expected
    (tmp_path / "both.csv").write_text("review,text\ngood lamp,x\nbroken lamp,y\n")
    shown = here("predict", run.folder, "--input", tmp_path / "both.csv")
    assert [json.loads(line) for line in shown.stdout.splitlines()] == expected
    assert "note: input column 'review' is used as 'text', as in the training run; 'text' is ignored" in shown.stderr


def test_evaluating_rows_from_memory_gives_the_scores_of_the_run(
    run: ft_toolkit.FineTunedRun, rows: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    test = [{"review": row["text"], "kind": row["label"]} for row in rows[40:]]
    evaluation = run.evaluate(pd.DataFrame(test))
    assert evaluation.folder == Path("evaluations/text_classification")
    assert evaluation.scores["accuracy"] == run.scores["test"]["accuracy"]
    assert (evaluation.folder / "report.html").is_file()
    assert "accuracy" in evaluation._repr_html_() and "Evaluation(" in repr(evaluation)
    with pytest.raises(ft_toolkit.UsageError, match="no column 'review' or 'text'"):
        run.evaluate([{"x": "a"}], output="other")
    assert not Path("other").exists()
    path = evaluation.folder / "input_rows/test.jsonl"
    assert run.evaluate(path, output="again").scores == evaluation.scores


def test_a_run_is_opened_again_and_shown_in_a_notebook(run: ft_toolkit.FineTunedRun, tmp_path: Path) -> None:
    html = run._repr_html_()
    assert "accuracy" in html and "report.html" in html and "1 of 32 rows" in html and "<script" not in html
    assert repr(run).startswith("FineTunedRun(") and "on 8 test examples" in repr(run)
    with pytest.raises(ft_toolkit.UsageError, match="not a run folder"):
        ft_toolkit.FineTunedRun(tmp_path)


def test_push_is_checked_and_a_dry_run_lists_the_files(
    run: ft_toolkit.FineTunedRun, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run.push("me/model", dry_run=True) is None
    assert "model.safetensors" in capsys.readouterr().out
    with pytest.raises(ft_toolkit.UsageError):
        run.push("no owner")


def test_the_run_can_be_repeated_from_its_folder(run: ft_toolkit.FineTunedRun, here: Any, monkeypatch: Any) -> None:
    monkeypatch.chdir(run.folder.parents[1])
    here("run", "runs/text_classification/recipe.yaml", "--output", "repeated")
    repeated = ft_toolkit.FineTunedRun("repeated")
    assert repeated.scores == run.scores


@pytest.mark.slow
def test_an_interrupted_run_is_resumed_with_ftk(
    data_files: dict[str, str], tiny_bert: str, here: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "import json, ft_toolkit\n"
        f"rows = [json.loads(line) for line in open({data_files['train']!r})]\n"
        f"ft_toolkit.fine_tune('text_classification', train=rows, model={tiny_bert!r}, output='run', progress=False,\n"
        f"    training={ {**SMALL, 'max_steps': 300, 'logging_steps': 1}!r}, evaluation={EVALUATION!r})\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(ft_toolkit.__file__).parents[1])}
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
    )
    metrics = tmp_path / "run/metrics.jsonl"
    while process.poll() is None and not (metrics.is_file() and metrics.read_text()):
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert "ftk run run/recipe.yaml --output run --resume" in errors
    monkeypatch.chdir(tmp_path)
    recipe = tmp_path / "run/recipe.yaml"
    done = len(metrics.read_text().splitlines())
    assert done < 300 and (tmp_path / "run/input_rows/train.jsonl").is_file() and recipe.is_file()
    here("run", "run/recipe.yaml", "--output", "run", "--resume")
    assert ft_toolkit.FineTunedRun("run").scores


def test_a_multi_seed_run_has_the_spread_over_the_seeds(
    rows: list[dict[str, Any]], tiny_bert: str, tmp_path: Path
) -> None:
    run = ft_toolkit.fine_tune(
        "text_classification",
        train=rows,
        model=tiny_bert,
        output=tmp_path / "seeds",
        progress=False,
        training={**SMALL, "max_steps": 1, "seeds": [1, 2]},
        evaluation=EVALUATION,
    )
    score = run.scores["validation"]["accuracy"]
    assert list(score) == ["mean", "sd", "min", "max"] and score["min"] <= score["mean"] <= score["max"]
    assert "2 seeds" in repr(run) and "accuracy" in run._repr_html_()
    assert len(run.predict(["good", "late"])) == 2


# Errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"training": {"learning_rte": 1}}, "fine_tune(): training.learning_rte: unknown key"),
        ({"learning_rate": 1e-4}, "fine_tune(): learning_rate: unknown"),
        ({"training": {"num_train_epochs": "3"}}, "fine_tune(): training.num_train_epochs: "),
        ({"training": 3}, "fine_tune(): training: "),
        ({"task": "text_clasification"}, "Did you mean 'text_classification'?"),
        ({"model": None}, "fine_tune(): model: "),
        ({"train": None}, "set a data card (data.card=NAME), training rows"),
        ({"data": {"columns": {"txt": "x"}}}, "data.columns.txt: text_classification has no column 'txt'"),
        ({"method": {"name": "lora", "r": 0}}, "method.r"),
    ],
    ids=str,
)
def test_wrong_settings_are_recipe_errors(arguments: Any, message: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    given = {"task": "text_classification", "train": [{"text": "a", "label": "x"}], "model": "m", **arguments}
    with pytest.raises(ft_toolkit.RecipeError) as caught:
        ft_toolkit.fine_tune(given.pop("task"), **given)
    assert message in str(caught.value)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"train": "missing.csv"}, "missing.csv: file not found"),
        ({"train": 3}, "train: found int; allowed: a pandas DataFrame"),
        ({"train": []}, "train: no rows"),
        ({"train": pd.DataFrame({"text": ["a"], "stars": ["x"]})}, "no column 'label'"),
        ({"data": {"train": "x.csv"}}, "the train rows are given twice"),
        ({"training": {"learning_rate": object()}}, "fine_tune(): training holds object"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else type(value).__name__,
)
def test_wrong_rows_leave_no_folder(
    arguments: Any, message: str, tmp_path: Path, monkeypatch: Any, tiny_bert: str
) -> None:
    monkeypatch.chdir(tmp_path)
    given = {"train": [{"text": f"a{i}", "label": "xy"[i % 2]} for i in range(40)], "model": tiny_bert, **arguments}
    with pytest.raises(ft_toolkit.UsageError) as caught:
        ft_toolkit.fine_tune("text_classification", **given)
    assert message in str(caught.value)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_an_existing_folder_is_never_written_to(tmp_path: Path, tiny_bert: str) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ft_toolkit.UsageError, match="is not empty"):
        ft_toolkit.fine_tune(
            "text_classification", train=[{"text": "a", "label": "x"}], model=tiny_bert, output=tmp_path
        )
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_several_processes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(ft_toolkit.UsageError, match="fine_tune trains in one process"):
        ft_toolkit.fine_tune("text_classification", train=[{"text": "a", "label": "x"}], model="m")


# Quiet libraries


def test_the_settings_of_the_libraries_are_restored() -> None:
    before = transformers.utils.logging.get_verbosity()
    level = logging.getLogger("accelerate").level
    transformers.utils.logging.enable_progress_bar()
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with quiet_libraries():
                assert transformers.utils.logging.get_verbosity() == transformers.logging.ERROR
                assert not transformers.utils.logging.is_progress_bar_enabled()
                assert logging.getLogger("accelerate").level == logging.ERROR
                warnings.warn_explicit("old", FutureWarning, "x.py", 1, module="transformers.models.bert")
                warnings.warn_explicit("ours", UserWarning, "y.py", 1, module="ft_toolkit.api")
        assert [str(one.message) for one in caught] == ["ours"]
        assert transformers.utils.logging.is_progress_bar_enabled()
        assert transformers.utils.logging.get_verbosity() == before
        assert logging.getLogger("accelerate").level == level
    finally:
        transformers.utils.logging.disable_progress_bar()


def test_a_run_without_progress_prints_nothing(tmp_path: Path, data_files: dict[str, str], tiny_bert: str) -> None:
    """In a process of its own: with the default log levels and warning filters of a user."""
    code = (
        "import ft_toolkit\n"
        f"run = ft_toolkit.fine_tune('text_classification', train={data_files['train']!r}, model={tiny_bert!r},\n"
        f"    progress=False, training={SMALL!r}, evaluation={EVALUATION!r}, method='lora')\n"
        "run.predict('good')\n"
    )
    environment = {key: value for key, value in os.environ.items() if key != "TRANSFORMERS_VERBOSITY"}
    environment["PYTHONPATH"] = str(Path(ft_toolkit.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path, env=environment
    )
    assert (done.stdout, done.stderr) == ("", "")
