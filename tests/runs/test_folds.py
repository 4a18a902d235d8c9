"""Cross-validation: each training row is predicted once by a model that did not see it; resuming; the page."""

import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from scipy import stats

from ft_toolkit.core.errors import UsageError
from ft_toolkit.core.fold_records import read_folds
from ft_toolkit.core.json_records import read_objects
from ft_toolkit.report.folds import LIMITS, print_folds
from ft_toolkit.runs.folds import FoldsRequest

K = 2


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory, data_files: dict[str, str], tiny_bert: str) -> Path:
    """A recipe with three steps, whose validation rows are held out of the training rows."""
    path = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    sections = {
        "task": "text_classification",
        "model": {"name": tiny_bert},
        "data": {
            "train": data_files["train"],
            "test": data_files["test"],
            "validation_fraction": 0.2,
            "max_length": 64,
        },
        "training": {"learning_rate": 1e-3, "max_steps": 3, "examples_per_batch": 8},
        "evaluation": {"bootstrap_samples": 100},
        "method": "full",
    }
    path.write_text(json.dumps(sections), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, recipe: Path, here: Any) -> tuple[Path, str]:
    """The folder of a finished cross-validation, and its console output."""
    folder = tmp_path_factory.mktemp("folds") / "f"
    return folder, here("folds", recipe, "--k", K, "--output", folder).stdout


def test_every_training_row_is_predicted_once_by_a_model_that_did_not_see_it(
    finished: tuple[Path, str], data_files: dict[str, str]
) -> None:
    folder, output = finished
    train = [json.loads(line) for line in Path(data_files["train"]).read_text().splitlines()]
    records = read_objects(folder / "predictions.jsonl")
    assert sorted(record["text"] for record in records) == sorted(row["text"] for row in train)
    assert all({"fold", "id", "gold", "label", "probabilities"} <= record.keys() for record in records)
    results = read_folds(folder)
    sizes = Counter(record["fold"] for record in records)
    for run in results.runs:
        of_fold = {record["text"] for record in records if record["fold"] == run.fold}
        single = read_objects(folder / run.folder / "predictions.jsonl")
        assert {record["text"] for record in single if record["split"] == "test"} == of_fold
        assert not {record["text"] for record in single if record["split"] == "validation"} & of_fold
        assert (folder / run.folder / "report.html").is_file() and run.rows == sizes[run.fold]
        right = [record["label"] == record["gold"] for record in records if record["fold"] == run.fold]
        assert results.scores["accuracy"].values[str(run.fold)].value == pytest.approx(sum(right) / len(right))
    assert f"Out-of-fold predictions of all 32 rows: {folder}/predictions.jsonl" in output and LIMITS in output


def test_the_summary_has_mean_spread_and_t_interval(finished: tuple[Path, str]) -> None:
    scores = read_folds(finished[0]).scores["f1_macro"]
    values = [score.value for score in scores.values.values() if score.value is not None]
    assert len(values) == K and scores.mean == pytest.approx(sum(values) / K)
    if len(set(values)) > 1:
        expected = stats.t.interval(0.95, K - 1, loc=scores.mean, scale=stats.sem(values))
        assert (scores.mean_low, scores.mean_high) == pytest.approx(expected)
    page = (finished[0] / "folds.html").read_text(encoding="utf-8")
    assert "Bengio and Grandvalet 2004" in page and "fold_2/report.html" in page and "None" not in page


@pytest.mark.slow
def test_only_unfinished_folds_are_run_again(finished: tuple[Path, str], recipe: Path, here: Any) -> None:
    folder = finished[0]
    complete = here("folds", recipe, "--k", K, "--output", folder, "--resume").stdout
    assert complete.count("already finished") == 2
    before = read_folds(folder)
    (folder / "folds.json").unlink()
    for name in ("results.json", "model"):  # fold 2 was killed before its first checkpoint
        path = folder / "fold_2" / name
        path.rename(folder.parent / name)
    again = here("folds", recipe, "--k", K, "--output", folder, "--resume").stdout
    assert again.count("already finished") == 1 and "fold 2 (2 of 2): starting" in again
    assert read_folds(folder).scores == before.scores
    other = here("folds", recipe, "training.seed=99", "--k", K, "--output", folder, "--resume", check=False)
    assert other.returncode == 2 and "is a run of another recipe: training.seed was" in other.stderr


def test_settings_that_folds_replace_are_refused(recipe: Path) -> None:
    for override, message in (("data.fold=1/3", "remove it"), ("training.seeds=[1, 2]", "set training.seed instead")):
        with pytest.raises(UsageError, match=message):
            FoldsRequest("tiny", recipe, [override], K).load()


def test_too_many_folds_are_refused_before_anything_is_written(recipe: Path, here: Any, tmp_path: Path) -> None:
    done = here("folds", recipe, "--k", 40, "--output", tmp_path / "f", check=False)
    assert done.returncode == 2 and "32 different rows are too few for 40 folds" in done.stderr
    assert not (tmp_path / "f").exists()


def test_the_console_table_names_metrics_where_lower_is_better(finished: tuple[Path, str]) -> None:
    results = read_folds(finished[0]).model_copy(update={"lower_is_better": ["accuracy"]})
    console = Console(record=True, width=200, file=io.StringIO())
    print_folds(results, finished[0], console)
    assert "accuracy (lower is better)" in console.export_text()


def test_the_report_is_written_again(finished: tuple[Path, str], check_report_again: Any) -> None:
    check_report_again(finished[0], "folds.html")
