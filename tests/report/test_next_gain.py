"""The gain from the next labelled rows, and the number of rows at which labelling stops, by a learning curve."""

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
    assert stop.startswith("When to stop: now, because 100 more rows are predicted")


def test_a_few_rows_are_no_reason_to_stop() -> None:
    record = curve(b=0.5)
    gain, _, stop = next_gain_sentences(record, record.models[0], 600, 1)
    assert "+0.0 points" in gain
    assert stop.startswith("When to stop: at about")


@pytest.mark.parametrize("b", [0.0, -0.1])
def test_a_curve_that_does_not_improve_says_to_stop_now(b: float) -> None:
    record = curve(b)
    assert next_gain_sentences(record, record.models[0], 500, 100)[-1].startswith("When to stop: now")


def test_a_curve_predicts_at_most_twice_its_rows() -> None:
    record = curve(b=0.5)
    (line,) = next_gain_sentences(record, record.models[0], 1950, 100)
    assert "too few to predict the gain from 1,950 to 2,050 rows" in line
