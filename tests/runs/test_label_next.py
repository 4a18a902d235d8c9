"""`ftk label-next`: the rows that it leaves out, the file that it writes, the expected gain, and the inputs that it refuses."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ft_toolkit.core.run_records import CurveFit, LearningCurve
from ft_toolkit.evaluation.statistics.power_law import error_drop, rows_until_flat
from ft_toolkit.report.learning_curve import next_gain_sentences


def curve(b: float, best_error: float = 0.0) -> LearningCurve:
    """Return the learning curve error = 2 rows^-b + best_error, measured with up to 1,000 rows on 500 examples."""

    def fitted(value: float) -> dict[str, float]:
        return {"value": value, "low": value, "high": value}

    def score(rows: int) -> float:
        return 1 - best_error - 2 * rows**-b

    fit = {
        "error": "1 - score",
        "law": "error = a * rows^-b + c",
        "a": fitted(2),
        "b": fitted(b),
        "c": fitted(best_error),
        "floor_shown": best_error > 0,
        "widened": 1,
        "rows": 1000,
        "twice": {"rows": 2000, **fitted(score(2000)), "change": fitted(score(2000) - score(1000))},
        "curve": [],
    }
    values = {
        "name": "demo-scale",
        "task": "text_classification",
        "metric": "accuracy",
        "greater_is_better": True,
        "best": 1,
        "split": "validation",
        "n": 500,
        "fingerprint": "0",
        "training_rows": 1000,
        "epochs": 3,
        "minimum_steps": 100,
        "seeds": 1,
        "models": [{"model": "tiny", "points": [], "fit": fit}],
        "seconds": 1,
    }
    return LearningCurve.model_validate(values)


def fit_of(record: LearningCurve) -> CurveFit:
    fit = record.models[0].fit
    assert fit is not None
    return fit


def test_the_gain_of_more_rows_follows_the_curve() -> None:
    record = curve(b=0.5)
    assert error_drop(fit_of(record), 400, 500) == pytest.approx(2 / 20 - 2 / 30)
    gain, twice, stop = next_gain_sentences(record, record.models[0], 400, 500)
    assert gain == "Predicted for 500 more randomly chosen rows: +3.3 points of accuracy."
    assert twice.startswith("Predicted for twice the rows (2,000): ")
    assert stop.startswith("When to stop: not before 2,000 training rows")


def test_labelling_stops_where_more_rows_gain_less_than_one_example() -> None:
    record = curve(b=1.0)
    rows = rows_until_flat(fit_of(record), 100, 50, least=1 / 500)
    assert rows is not None
    assert error_drop(fit_of(record), rows - 1, 50) >= 1 / 500 > error_drop(fit_of(record), rows, 50)
    *_, stop = next_gain_sentences(record, record.models[0], 100, 50)
    assert stop == (
        f"When to stop: at about {rows} training rows. From there, 50 more rows are predicted to gain less than one of the 500 "
        "examples."
    )
    *_, stop = next_gain_sentences(record, record.models[0], 1000, 50)
    assert stop.startswith("When to stop: now, because 50 more rows are predicted")


@pytest.mark.parametrize("b", [0.0, -0.1])
def test_a_curve_that_does_not_improve_says_to_stop_now(b: float) -> None:
    record = curve(b)
    assert next_gain_sentences(record, record.models[0], 500, 100)[-1].startswith("When to stop: now")


def test_a_curve_predicts_at_most_twice_its_rows() -> None:
    record = curve(b=0.5)
    (line,) = next_gain_sentences(record, record.models[0], 1950, 100)
    assert "too few to predict the gain from 1,950 to 2,050 rows" in line


def test_wrong_arguments_are_refused(here: Callable[..., Any], tmp_path: Path) -> None:
    pool, labels = tmp_path / "pool.txt", tmp_path / "labels.csv"
    for path in (pool, labels):
        path.write_text("a text\n", encoding="utf-8")
    for words, message in [
        ([pool, "--output", tmp_path / "next.xlsx"], "unknown output type '.xlsx'"),
        ([pool, "--output", labels], "labels.csv exists, and may contain labels"),
        ([tmp_path / "absent.csv", "--output", tmp_path / "next.csv"], "absent.csv"),
        ([pool, "--output", tmp_path / "next.csv"], "results.json"),
    ]:
        refused = here("label-next", tmp_path, *words, check=False)
        assert refused.returncode == 2 and message in refused.stderr
    assert labels.read_text(encoding="utf-8") == "a text\n"


def write_pool(path: Path, training: dict[str, Any]) -> None:
    """Write 40 new rows, one of them a formula, two rows that repeat one of them, and two training rows."""
    new = [f"{'=good' if number == 7 else 'the lamp'} broken when {number}" for number in range(40)]
    texts = [*new, new[0].upper(), f" {new[1]}", training["text"], training["text"].upper()]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["key", "text"])
        writer.writerows([f"k{number}", text] for number, text in enumerate(texts))


@pytest.mark.slow
def test_rows_are_chosen_for_a_finished_run(
    write_recipe: Callable[..., Path], here: Callable[..., Any], tmp_path: Path, rows: list[dict[str, Any]]
) -> None:
    recipe, run, pool = write_recipe(), tmp_path / "demo", tmp_path / "pool.csv"
    here("run", recipe, "--output", run)
    write_pool(pool, rows[0])

    for by in ("uncertainty", "diversity", "both"):
        output = tmp_path / f"{by}.jsonl"
        done = here("label-next", run, pool, "-k", 8, "--by", by, "--output", output)
        assert "44 rows; left out: 2 training rows, 2 repeated rows" in done.stdout
        assert f"the run has no learning curve. To measure one: ftk scale {run}/recipe.yaml" in done.stdout.replace(
            "\n", " "
        )
        lines = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
        assert [line["next_rank"] for line in lines] == list(range(1, 9))
        assert all(line["key"] == f"k{line['next_row'] - 1}" and line["next_row"] <= 40 for line in lines)
        assert all(("; stands for" in line["next_reason"]) == (by != "uncertainty") for line in lines)
        if by != "diversity":
            uncertain = [line["next_uncertainty"] for line in lines]
            assert uncertain == sorted(uncertain, reverse=True)
    again = here("label-next", run, pool, "-k", 8, "--output", output, check=False)
    assert again.returncode == 2 and "exists, and may contain labels" in again.stderr

    scale = tmp_path / "demo-scale"
    here("scale", run / "recipe.yaml", "--shares", "0.25,0.5,1", "--output", scale)
    output = tmp_path / "all.csv"
    done = here("label-next", run, pool, "--output", output)
    assert "note: only 40 rows are left, so all are chosen" in done.stdout
    assert "Expected gain: unknown" not in done.stdout
    with output.open(encoding="utf-8", newline="") as file:
        texts = {line["key"]: line["text"] for line in csv.DictReader(file)}
    assert len(texts) == 40 and texts["k7"] == "'=good broken when 7"

    pool.write_text(f"text\n{rows[0]['text']}\n", encoding="utf-8")
    refused = here("label-next", run, pool, "--output", tmp_path / "b.csv", check=False)
    assert refused.returncode == 2 and "all 1 rows are training rows" in refused.stderr
    other = here("label-next", run, pool, "--output", tmp_path / "b.csv", "--curve", tmp_path, check=False)
    assert other.returncode != 0 and "scale.json" in other.stderr
