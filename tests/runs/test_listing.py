"""`ftk runs`: what folders say of themselves."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ft_toolkit.cli.app import app
from ft_toolkit.core.errors import UsageError
from ft_toolkit.runs.listing import find_runs, sort_runs

pytestmark = pytest.mark.damaged_run_folders


def finished(folder: Path, value: float | None, **more: Any) -> None:
    folder.mkdir(parents=True)
    metric = more.get("main_metric", "accuracy")
    score = {"value": value, "low": value and value - 0.1, "high": value and value + 0.1}
    results = {
        "name": folder.name,
        "task": "text_classification",
        "model": "some/model",
        "method": "full",
        "substitutions": [],
        "main_metric": metric,
        "greater_is_better": True,
        "scores": {"validation": {"n": 9, "metrics": {metric: score}}},
        "training": {"steps": 12, "seconds": 3.5},
        **more,
    }
    (folder / "results.json").write_text(json.dumps(results))
    (folder / "recipe.yaml").write_text("task: text_classification\n")
    (folder / "environment.json").write_text(json.dumps({"started": f"2026-11-0{len(folder.name)}T10:00:00Z"}))


@pytest.fixture
def some_runs(tmp_path: Path) -> Path:
    finished(tmp_path / "a", 0.7)
    finished(tmp_path / "deep" / "bb", 0.9, substitutions=["smoke: 4 steps"])
    lm = {"task": "language_modelling", "main_metric": "perplexity", "greater_is_better": False}
    finished(tmp_path / "lm1", 30.0, **lm)
    finished(tmp_path / "lm2", 20.0, **lm)
    finished(tmp_path / "none", None)
    mean = {"mean": 0.8, "sd": 0.01, "min": 0.79, "max": 0.81, "n": 2}
    finished(
        tmp_path / "seeds",
        0.8,
        seeds=[1, 2],
        best={"seed": 1, "folder": "seed_1", "model": "seed_1/model", "chosen_by": "validation accuracy", "value": 0.8},
        runs=[{"seed": seed, "folder": f"seed_{seed}", "steps": 4 + seed, "seconds": 4.5} for seed in (1, 2)],
        seconds=9.0,
        scores={"test": {"n": 9, "metrics": {"accuracy": mean}}},
    )
    finished(tmp_path / "seeds" / "seed_1", 0.79)
    finished(tmp_path / "eval", 0.75, kind="evaluation", training={}, evaluation={"seconds": 1.0, "finished": "2027"})
    for name, last in (("stopped", True), ("early", False)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "recipe.yaml").write_text("task: {name: ner}\nmodel: {name: x}\nmethod: lora\n")
        if last:
            (tmp_path / name / "checkpoints" / "last").mkdir(parents=True)
    for name, text in (("torn", '{"name": "to'), ("odd", '{"name": "odd", "scores": {}}'), ("list", "[]")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "results.json").write_text(text)
    return tmp_path


def test_every_folder_has_its_line(some_runs: Path) -> None:
    found = {Path(entry.folder).name: entry for entry in find_runs([some_runs])}
    assert found.keys() == {
        "a", "bb", "lm1", "lm2", "none", "seeds", "eval", "stopped", "early", "torn", "odd", "list",
    }  # fmt: skip
    assert (found["a"].score, found["a"].n, found["a"].steps, found["a"].seconds) == (0.7, 9, 12, 3.5)
    assert found["bb"].smoke and not found["a"].smoke
    assert (found["seeds"].score, found["seeds"].sd, found["seeds"].kind) == (0.8, 0.01, "2 seeds")
    assert (found["seeds"].split, found["seeds"].date) == ("test", "2026-11-06T10:00:00Z")
    assert (found["eval"].kind, found["eval"].date, found["eval"].steps) == ("evaluation", "2027", None)
    assert (found["stopped"].state, found["stopped"].task, found["stopped"].method) == ("unfinished", "ner", "lora")
    assert found["early"].state == "unfinished without a checkpoint"
    torn = some_runs / "torn" / "results.json"
    assert found["torn"].state.startswith(f"broken: {torn}: not valid JSON at line 1, column 10 (Unterminated string")
    assert all(found[name].state.startswith("broken: ") for name in ("odd", "list"))


def test_the_best_score_comes_first_within_task_and_metric(some_runs: Path) -> None:
    names = [Path(entry.folder).name for entry in sort_runs(find_runs([some_runs]), "score")]
    assert names[:6] == ["lm2", "lm1", "seeds", "bb", "eval", "a"]
    assert set(names[6:]) == {"none", "stopped", "early", "torn", "odd", "list"}
    by_steps = sort_runs(find_runs([some_runs]), "steps")
    assert [entry.steps for entry in by_steps][:7] == [12, 12, 12, 12, 12, 6, None]
    assert sort_runs(find_runs([some_runs]), "date")[0].kind == "evaluation"


def test_the_command(some_runs: Path) -> None:
    shown = CliRunner().invoke(app, ["runs", str(some_runs), "--sort", "score"])
    assert shown.exit_code == 0
    assert "0.8000  +- 0.0100 (sd)" in shown.output and "smoke run, scores mean nothing" in shown.output
    assert "(lower is better)" in shown.output and "Unterminated string" in shown.output
    asked = CliRunner().invoke(app, ["runs", str(some_runs), "--task", "ner", "--json"])
    assert [entry["state"] for entry in json.loads(asked.output)] == ["unfinished without a checkpoint", "unfinished"]
    assert isinstance(CliRunner().invoke(app, ["runs", str(some_runs), "--task", "nre"]).exception, UsageError)
