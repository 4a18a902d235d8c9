"""Power-law fits: exact curves are recovered, intervals have their coverage, and noise is not extrapolated."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from ft_toolkit.core.errors import UsageError
from ft_toolkit.evaluation.statistics.power_law import (
    ErrorPoint,
    fit_power_law,
    fit_record,
    point_record,
    standard_error,
)
from ft_toolkit.metrics.metric import Metric

ACCURACY = Metric(lambda p, r: float((p == r).mean()))
PERPLEXITY = Metric(lambda p, r: float(p.mean()), best=1.0, greater_is_better=False)


def law(a: float, b: float, c: float) -> Callable[[float], float]:
    """Return the error as a function of the rows; `a` is the error above the floor at 1,600 rows."""
    return lambda rows: a * (rows / 1600) ** -b + c


def ladder(points: int) -> list[int]:
    return [1600 // 2**i for i in reversed(range(points))]


def exact(error: Callable[[float], float], points: int = 5, spread: float = 0.001) -> list[ErrorPoint]:
    return [ErrorPoint(rows, error(rows), spread) for rows in ladder(points)]


@pytest.mark.parametrize(("a", "b", "c"), [(0.12, 0.35, 0.0), (0.1, 0.8, 0.2), (0.3, 0.25, 0.0), (0.02, 1.5, 0.1)])
def test_an_exact_curve_is_recovered_and_extrapolated(a: float, b: float, c: float) -> None:
    error = law(a, b, c)
    fit = fit_power_law(exact(error))
    found = fit.parameters()
    assert found["b"]["value"] == pytest.approx(b) and found["c"]["value"] == pytest.approx(c, abs=1e-9)
    assert found["a"]["value"] == pytest.approx(a * 1600**b)
    assert fit.has_floor == (c > 0) and fit.widened == 1
    assert fit.error(3200)["value"] == pytest.approx(error(3200))
    assert fit.drop()["value"] == pytest.approx(error(1600) - error(3200))
    assert fit.drop(4)["value"] == pytest.approx(error(1600) - error(6400))


# The last has a floor that is not yet significant: with draws around the curve without a floor alone, coverage was 77%.
@pytest.mark.parametrize(
    ("points", "a", "b", "c"),
    [(5, 0.13, 0.3, 0.0), (4, 0.13, 0.3, 0.0), (5, 0.0, 1.0, 0.2), (5, 0.02, 1.0, 0.1)],
)
def test_the_interval_for_twice_the_rows_has_its_coverage(points: int, a: float, b: float, c: float) -> None:
    error, rng, hits, drops, simulations = law(a, b, c), np.random.default_rng(7), 0, 0, 200
    truth = np.array([error(rows) for rows in ladder(points)])
    spread = np.sqrt(truth * (1 - truth) / 400)
    for seed in range(simulations):
        seen = truth + spread * rng.standard_normal(points)
        measured = [ErrorPoint(*values) for values in zip(ladder(points), seen, spread, strict=True)]
        fit = fit_power_law(measured, samples=200, seed=seed)
        predicted, drop = fit.error(3200), fit.drop()
        hits += predicted["low"] <= error(3200) <= predicted["high"]
        drops += drop["low"] <= error(1600) - error(3200) + 1e-12 and error(1600) - error(3200) - 1e-12 <= drop["high"]
    assert 0.9 <= hits / simulations <= 0.995
    assert 0.9 <= drops / simulations <= 1


def test_a_flat_curve_predicts_no_gain_and_a_rising_error_keeps_rising() -> None:
    flat = fit_power_law([ErrorPoint(rows, 0.2, 0.02) for rows in ladder(5)])
    assert flat.drop()["value"] == pytest.approx(0, abs=1e-9)
    assert flat.drop()["low"] < 0 < flat.drop()["high"]
    rising = fit_power_law([ErrorPoint(rows, 0.1 + 0.02 * i, 0.002) for i, rows in enumerate(ladder(5))])
    assert rising.drop()["high"] < 0 and rising.error(3200)["value"] > 0.18
    assert rising.error(3200)["value"] < 0.3


def test_excess_scatter_widens_the_intervals() -> None:
    smooth = [ErrorPoint(rows, law(0.12, 0.35, 0)(rows), 0.002) for rows in ladder(5)]
    rough = [ErrorPoint(p.rows, p.error + 0.02 * (-1) ** i, p.standard_error) for i, p in enumerate(smooth)]
    one, other = fit_power_law(smooth), fit_power_law(rough)
    assert one.widened == 1 and other.widened > 5
    assert other.drop()["high"] - other.drop()["low"] > 3 * (one.drop()["high"] - one.drop()["low"])


def test_points_on_the_same_examples_give_a_narrower_interval_of_the_gain() -> None:
    rng, points = np.random.default_rng(3), exact(law(0.12, 0.35, 0.0), spread=0.02)
    shared = 0.02 * rng.standard_normal((1000, 1)) + 0.002 * rng.standard_normal((1000, 5))
    draws = np.array([point.error for point in points]) + shared
    together, alone = fit_power_law(points, draws=draws).drop(), fit_power_law(points).drop()
    assert together["high"] - together["low"] < 0.5 * (alone["high"] - alone["low"])
    # the order of the points does not matter
    assert fit_power_law(points[::-1], draws=draws[:, ::-1]).drop() == together


def test_perfect_scores_and_the_same_seed() -> None:
    perfect = [ErrorPoint(rows, 0.0, 0.01) for rows in ladder(4)]
    assert fit_power_law(perfect).error(3200)["value"] == 0
    assert fit_power_law(perfect).drop() == fit_power_law(perfect).drop()
    assert fit_power_law(perfect, seed=1).drop() != fit_power_law(perfect).drop()


def test_fewer_than_three_numbers_of_rows_are_refused() -> None:
    points = exact(law(0.1, 0.5, 0.0), 2)
    with pytest.raises(UsageError, match="at 3 or more different numbers of rows; found 2"):
        fit_power_law([*points, points[0]])


def test_more_seeds_reduce_only_the_variance_over_seeds() -> None:
    one = {"value": 0.8, "low": 0.8 - 1.96 * 0.02, "high": 0.8 + 1.96 * 0.02}
    assert standard_error([one], 0.001) == pytest.approx(0.02, rel=1e-3)
    assert standard_error([one, one, one], 0.001) == pytest.approx(0.02, rel=1e-3)
    apart = [{key: value + shift for key, value in one.items()} for shift in (-0.03, 0.0, 0.03)]
    assert standard_error(apart, 0.001) == pytest.approx(np.sqrt(0.02**2 + 0.03**2 / 3), rel=1e-3)
    assert standard_error([{"value": 1.0, "low": 1.0, "high": 1.0}], 0.025) == 0.025


def test_records_are_scores_for_either_direction() -> None:
    accuracies = [1 - law(0.15, 0.4, 0.0)(rows) for rows in ladder(4)]
    scores = [{"value": value, "low": value - 0.01, "high": min(value + 0.01, 1.0)} for value in accuracies]
    points = [{"rows": rows, **point_record([s], ACCURACY, 400)} for rows, s in zip(ladder(4), scores, strict=True)]
    assert points[0]["low"] == scores[0]["low"]
    found = fit_record(points, ACCURACY)
    assert found is not None
    twice = found["twice"]
    assert twice["rows"] == 3200 and twice["value"] == pytest.approx(1 - law(0.15, 0.4, 0.0)(3200), abs=1e-6)
    assert twice["low"] < twice["value"] <= twice["high"] <= 1
    assert twice["change"]["value"] == pytest.approx(twice["value"] - accuracies[-1], abs=1e-6)
    assert found["curve"][0]["rows"] == 200 and found["curve"][-1]["rows"] == pytest.approx(3200)
    assert all(one["value"] < other["value"] for one, other in pairwise(found["curve"]))
    worse = [
        {"rows": rows, **point_record([{"value": v, "low": v - 1, "high": v + 1}], PERPLEXITY, 400)}
        for rows, v in zip(ladder(4), (80.0, 60.0, 45.0, 34.0), strict=True)
    ]
    assert all(point["standard_error"] == pytest.approx(1 / 1.96, rel=1e-3) for point in worse)
    assert point_record([{"value": 80.0, "low": 80.0, "high": 80.0}], PERPLEXITY, 10)["standard_error"] < 0.1
    change = (fit_record(worse, PERPLEXITY) or {})["twice"]["change"]
    assert change["low"] < change["value"] < 0 and change["low"] < change["high"] < 0


def test_scores_that_get_worse_with_more_rows_have_no_fit() -> None:
    def points(*values: float) -> list[dict[str, Any]]:
        return [
            {"rows": rows, "value": v, "standard_error": 0.04} for rows, v in zip((42, 84, 167), values, strict=True)
        ]

    assert fit_record(points(0.82, 0.70, 0.51), ACCURACY) is None
    noisy = fit_record(points(0.72, 0.70, 0.71), ACCURACY)
    assert noisy is not None
    assert noisy["b"]["low"] < 0 < noisy["b"]["high"]


def test_undefined_scores_are_ignored_and_too_few_points_have_no_fit() -> None:
    alike = point_record([{"value": 0.0, "low": None, "high": None}], ACCURACY, 400)
    assert (alike["value"], alike["standard_error"]) == (0.0, 1 / 400) and alike["high"] > 0
    two = point_record(
        [{"value": 1.0, "low": None, "high": None}, {"value": 0.9, "low": 0.8, "high": 1.0}], ACCURACY, 400
    )
    assert two["value"] == 0.95 and two["standard_error"] > 0.025
    nothing = point_record([{"value": None, "low": None, "high": None}], ACCURACY, 400)
    assert nothing["value"] is None and nothing["standard_error"] is None
    points = [{"rows": p.rows, "value": 1 - p.error, "standard_error": 0.01} for p in exact(law(0.1, 0.5, 0.0), 3)]
    assert fit_record([{"rows": 50, **nothing}, *points], ACCURACY) is not None
    assert fit_record([{"rows": 50, **nothing}, *points[1:]], ACCURACY) is None


def test_a_score_that_is_0_for_every_number_of_rows_has_no_fit() -> None:
    zero = point_record([{"value": 0.0, "low": None, "high": None}], ACCURACY, 400)
    points = [{"rows": rows, **zero} for rows in ladder(4)]
    assert fit_record(points, ACCURACY) is None
    assert fit_record([*points[:-1], {**points[-1], "value": 0.1}], ACCURACY) is not None
