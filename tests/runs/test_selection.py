"""The loss selects the checkpoint and the best seed while the selection metric is 0 or undefined."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from ft_toolkit.core.run_records import RunResults, read_run_results
from ft_toolkit.recipe.load_recipe import load_recipe
from ft_toolkit.report.wording import selection_line
from ft_toolkit.runs.seeds import summarize
from ft_toolkit.tasks import find_tasks


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, here: Any, tiny_bert: str) -> tuple[Path, str]:
    """A regression whose validation texts are all the same: predictions are constant and their correlation is undefined."""
    folder = tmp_path_factory.mktemp("selection")
    for name, texts in (("train", ["good lamp", "bad lamp", "late", "lost"]), ("validation", ["lost"] * 4)):
        rows = [
            {"id": str(i), "text": text, "label": 3.0 if text == "lost" else float(i) / 4}
            for i, text in enumerate(texts)
        ]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    recipe = {
        "task": {"name": "text_classification", "problem_type": "regression"},
        "model": {"name": tiny_bert, "dropout": 0.0},
        "data": {name: str(folder / f"{name}.jsonl") for name in ("train", "validation")} | {"max_length": 16},
        "training": {"learning_rate": 1e-5, "max_steps": 3, "examples_per_batch": 4, "lr_scheduler_type": "constant"},
        "evaluation": {"eval_steps": 1, "early_stopping_patience": 1, "bootstrap_samples": 100},
        "method": "full",
    }
    (folder / "recipe.yaml").write_text(json.dumps(recipe), encoding="utf-8")
    done = here("run", folder / "recipe.yaml", "--output", folder / "run")
    return folder / "run", done.stdout + done.stderr


def test_the_loss_selects_when_the_correlation_is_undefined(finished: tuple[Path, str]) -> None:
    folder, output = finished
    run = read_run_results(folder)
    losses = [record.validation_loss for record in run.training.evaluations]
    assert [record.score(run.main_metric) for record in run.training.evaluations] == [None] * 3, "early stopping, too"
    assert losses == sorted(losses, reverse=True) and run.training.best_step == 3
    note = f"note: validation {run.main_metric} is undefined at every evaluation, so the loss selected the checkpoint of step 3"
    assert note in output
    assert "; its tokenizer lowercases texts and removes accents" in output
    assert f"(by loss, because {run.main_metric} was 0 or undefined)" in selection_line(run, None)


def test_the_loss_selects_the_best_seed(finished: tuple[Path, str], tmp_path: Path) -> None:
    folder, _ = finished
    for seed, change in ((1, 0.5), (2, -0.5)):
        shutil.copytree(folder, tmp_path / f"seed_{seed}")
        results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
        for record in results["training"]["evaluations"]:
            record["validation_loss"] += change
        (tmp_path / f"seed_{seed}" / "results.json").write_text(json.dumps(results), encoding="utf-8")
    loaded = load_recipe(folder.parent / "recipe.yaml", ["training.seeds=[1, 2]"], find_tasks())
    summary = summarize(loaded, tmp_path, "ftk run")
    assert (summary.best.seed, summary.best.chosen_by) == (2, "validation loss")
    assert summary.best.value == summary.runs[1].selection_score("validation loss")


@pytest.mark.parametrize(
    ("metric", "scores", "losses", "best_step", "selected_by"),
    [
        ("bleu", [0, 0, 0], [3, 1, 2], 2, "loss"),
        ("bleu", [0, 0, 5], [3, 1, 2], 3, "bleu"),
        ("bleu", [0, 0, 0], [3, 1, 2], 1, "bleu"),  # an earlier version kept the first checkpoint
        ("ter", [0, 0, 0], [3, 1, 2], 1, "ter"),  # 0 is the best TER
        ("ter", [None, None, None], [3, 1, 2], 2, "loss"),
        ("loss", [0, 0, 0], [3, 1, 2], 2, "loss"),
    ],
)
def test_results_say_what_selected_the_checkpoint(
    finished: tuple[Path, str], metric: str, scores: list[Any], losses: list[Any], best_step: int, selected_by: str
) -> None:
    values = read_run_results(finished[0]).as_json() | {"lower_is_better": ["ter"]}
    values["training"] |= {
        "best_step": best_step,
        "evaluations": [
            {"step": step, "epoch": 0, f"validation_{metric}": score, "validation_loss": loss}
            for step, (score, loss) in enumerate(zip(scores, losses, strict=True), 1)
        ],
    }
    assert RunResults.model_validate(values).selected_by(metric) == selected_by
