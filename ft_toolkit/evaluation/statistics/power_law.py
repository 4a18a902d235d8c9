"""Fit a power law to a learning curve, err(n) = a n^-b + c, and predict the score for twice the training rows.

Learning curves of trained networks follow this law over wide ranges (Hestness et al. 2017, arXiv:1712.00409). A few points
determine its three parameters only roughly, so use the interval of a prediction, not its value alone.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ft_toolkit.core.errors import UsageError
from ft_toolkit.core.run_records import CurveFit
from ft_toolkit.core.run_scores import says_nothing
from ft_toolkit.metrics.metric import Metric

MINIMUM_POINTS = 3
# The exponents that are tried. With a negative one the error grows with the rows, which noise can cause.
_EXPONENTS = np.round(np.arange(-1.0, 3.001, 0.01), 2)
# A floor c is kept if it lowers chi-square by more than the 95% point of the distribution with 1 degree of freedom.
_FLOOR_CHI_SQUARE = 3.841
_RESAMPLES = 1000
_NORMAL_95 = 1.959964
_CURVE_POINTS = 41


@dataclass(frozen=True)
class ErrorPoint:
    """The error after training on `rows` rows, with its standard error."""

    rows: int
    error: float
    standard_error: float


@dataclass(frozen=True)
class PowerLaw:
    """err(n) = a (n / unit)^-b + c; `a`, `b` and `c` are scalars for one curve or arrays of one shape for many."""

    a: np.ndarray
    b: np.ndarray
    c: np.ndarray
    unit: float

    def error(self, rows: float | np.ndarray) -> np.ndarray:
        """Return the error for numbers of rows; the shapes of `rows` and the parameters are broadcast."""
        return np.asarray(self.a * (rows / self.unit) ** -self.b + self.c)


@dataclass(frozen=True)
class PowerLawFit:
    """A fitted curve with its uncertainty.

    `curve` has a floor (c > 0) only where a floor is significant. `resampled` holds the curves that were fitted to bootstrap
    draws of the errors, shape (2, draws): without a floor and with one. The interval of a quantity contains the central 95%
    of both. `widened` is the factor by which the standard errors were multiplied because the points scatter more than these
    explain (1: not at all).
    """

    points: tuple[ErrorPoint, ...]
    curve: PowerLaw
    resampled: PowerLaw
    widened: float

    @property
    def largest(self) -> int:
        """The largest number of training rows among the points."""
        return max(point.rows for point in self.points)

    @cached_property
    def has_floor(self) -> bool:
        """Whether there is significant evidence of an error that remains for any number of rows."""
        return bool(self.curve.c > 0)

    def error(self, rows: float) -> dict[str, float]:
        """Return {value, low, high}: the error for a number of rows with its 95% interval."""
        return _with_interval(self.curve.error(rows), self.resampled.error(rows))

    def drop(self, factor: float = 2.0) -> dict[str, float]:
        """Return {value, low, high}: the predicted drop of the error from `factor` times the largest number of rows."""
        before, after = float(self.largest), factor * self.largest
        value = self.curve.error(before) - self.curve.error(after)
        return _with_interval(value, self.resampled.error(before) - self.resampled.error(after))

    def parameters(self) -> dict[str, Any]:
        """Return a, b and c of err(n) = a n^-b + c, where n is the number of rows, each with its 95% interval."""
        curve, resampled = self.curve, self.resampled
        a, resampled_a = (law.a * law.unit**law.b for law in (curve, resampled))
        return {
            "a": _with_interval(a, resampled_a),
            "b": _with_interval(curve.b, resampled.b),
            "c": _with_interval(curve.c, resampled.c),
        }


def standard_error(scores: Sequence[Mapping[str, float]], smallest: float) -> float:
    """Return the standard error of the mean of one score per seed, each {value, low, high} with its bootstrap interval.

    It has two parts. The sampling error of the examples does not shrink with more seeds, because all seeds are evaluated on the
    same examples. The variance over seeds is divided by their number. The result is at least `smallest`, because a perfect
    score on few examples is not certain.
    """
    examples = statistics.fmean(((score["high"] - score["low"]) / (2 * _NORMAL_95)) ** 2 for score in scores)
    seeds = statistics.variance(score["value"] for score in scores) / len(scores) if len(scores) > 1 else 0.0
    return max(math.sqrt(examples + seeds), smallest)


def fit_power_law(
    points: Sequence[ErrorPoint], *, draws: np.ndarray | None = None, samples: int = _RESAMPLES, seed: int = 0
) -> PowerLawFit:
    """Fit the curve by weighted least squares, and again to bootstrap draws of the errors.

    `draws` holds the errors of the points on resamples of the examples that they share, shape (samples, points). Scores on the
    same examples vary together, so a gain is known better than from independent points. Without `draws`, `samples` normal draws
    are made, independent per point. Raises UsageError for fewer than three points with different numbers of rows.
    """
    order = sorted(range(len(points)), key=lambda i: points[i].rows)
    points = tuple(points[i] for i in order)
    sizes = {point.rows for point in points}
    if len(sizes) < MINIMUM_POINTS:
        raise UsageError(
            f"a learning curve needs scores at {MINIMUM_POINTS} or more different numbers of rows; found {len(sizes)}"
        )
    rows, errors, spreads = (
        np.array([getattr(point, name) for point in points], float) for name in ("rows", "error", "standard_error")
    )
    unit = float(rows[-1])
    plain, plain_chi2 = _fit(rows / unit, errors[None, :], spreads**-2, _EXPONENTS, floor=False)
    full, full_chi2 = _fit(rows / unit, errors[None, :], spreads**-2, _EXPONENTS, floor=True)
    with_floor = len(points) > MINIMUM_POINTS and plain_chi2[0] - full_chi2[0] > _FLOOR_CHI_SQUARE
    chosen, chi2 = (full, full_chi2[0]) if with_floor else (plain, plain_chi2[0])
    degrees_of_freedom = len(points) - (3 if with_floor else 2)
    widened = max(1.0, float(np.sqrt(chi2 / degrees_of_freedom)))
    drawn = np.tile(errors, (samples, 1)) if draws is None else draws[:, order]
    # The variance that resampling the examples does not explain: the seeds, and scatter around the curve.
    rest = np.sqrt(np.maximum((spreads * widened) ** 2 - drawn.var(axis=0), 0.0))
    drawn = drawn + rest * np.random.default_rng(seed).standard_normal(drawn.shape)
    # Intervals from curves with a floor alone covered a gain without a floor in 75% to 90% of simulations, intervals from both
    # kinds of curves in 94% to 99.7%.
    fits = [_fit(rows / unit, drawn, spreads**-2, _EXPONENTS[::2], floor=floor)[0] for floor in (False, True)]
    a, b, c = (np.stack(values) for values in zip(*fits, strict=True))
    return PowerLawFit(points, _single(chosen, unit), PowerLaw(a, b, c, unit), widened)


def _fit(
    n: np.ndarray, errors: np.ndarray, weights: np.ndarray, exponents: np.ndarray, *, floor: bool
) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], np.ndarray]:
    """Return (a, b, c) and chi-square of the best curve for each row of `errors`, shape (draws, points).

    For a given exponent b the law is linear in a and c, so trying all exponents finds the global optimum without a start value.
    Without a floor, c is 0.
    """
    x = n[None, :] ** -exponents[:, None]
    s_xx, s_x, s_1 = (x**2) @ weights, x @ weights, weights.sum()
    s_xy, s_y, s_yy = (errors * weights) @ x.T, (errors @ weights)[:, None], ((errors**2) @ weights)[:, None]
    a = np.maximum(s_xy / s_xx, 0.0)
    c = np.zeros_like(a)
    chi2 = s_yy - 2 * a * s_xy + a**2 * s_xx
    if floor:
        positive = exponents > 0
        scale = np.where(positive, s_xx * s_1 - s_x**2, 1.0)
        a_floor, c_floor = (s_1 * s_xy - s_x * s_y) / scale, (s_xx * s_y - s_x * s_xy) / scale
        chi2_floor = s_yy - a_floor * s_xy - c_floor * s_y
        better = positive & (a_floor >= 0) & (c_floor >= 0) & (chi2_floor < chi2)
        a, c, chi2 = (np.where(better, new, old) for new, old in ((a_floor, a), (c_floor, c), (chi2_floor, chi2)))
    best = chi2.argmin(axis=1)
    draws = np.arange(len(errors))
    return (a[draws, best], exponents[best], c[draws, best]), np.maximum(chi2[draws, best], 0.0)


def _single(fits: tuple[np.ndarray, np.ndarray, np.ndarray], unit: float) -> PowerLaw:
    """Return the curve of the first draw."""
    a, b, c = (values[0] for values in fits)
    return PowerLaw(a, b, c, unit)


def _with_interval(value: np.ndarray, resampled: np.ndarray) -> dict[str, float]:
    """Return {value, low, high}; the interval contains the central 95% of each row of `resampled`, shape (2, draws)."""
    low, high = np.quantile(resampled, [0.025, 0.975], axis=1)
    return {"value": float(value), "low": float(low.min()), "high": float(high.max())}


def point_record(scores: Sequence[Mapping[str, Any]], metric: Metric, n: int) -> dict[str, Any]:
    """Return {value, low, high, standard_error, values} of a point: the mean of one score per seed, on `n` examples.

    All but `values` are None if a score is undefined. A score without an interval has the same value on all resamples; its
    sampling error is taken as one example of `n`.
    """
    values = [score["value"] for score in scores]
    if None in values:
        return dict.fromkeys(("value", "low", "high", "standard_error")) | {"values": values}
    value = statistics.fmean(values)
    # One example more or less for a share; nearly nothing for a loss, which has no such step.
    smallest = metric.best / n if metric.greater_is_better else 1e-4 * abs(value) or 1e-9
    with_interval = [
        score if score["low"] is not None else {**score, "low": score["value"], "high": score["value"]}
        for score in scores
    ]
    spread = standard_error(with_interval, smallest)
    low, high = value - _NORMAL_95 * spread, value + _NORMAL_95 * spread
    if len(scores) == 1 and scores[0]["low"] is not None:  # keep the bootstrap interval, which can be asymmetric
        low, high = scores[0]["low"], scores[0]["high"]
    return {
        "value": value,
        "low": low,
        "high": min(high, metric.best) if metric.greater_is_better else high,
        "standard_error": spread,
        "values": values,
    }


def fit_record(
    points: Sequence[Mapping[str, Any]], metric: Metric, resampled: Sequence[np.ndarray] | None = None
) -> dict[str, Any] | None:
    """Return the fitted curve in terms of scores, and the prediction for twice the rows.

    `resampled` holds the score of each point on the same resamples of the examples, each of shape (samples,).
    The error of a score is its distance from the best value (1 or 100); a loss or a perplexity is its own error. Returns None
    if fewer than three points have a score, if all scores are 0, or if the error grows significantly with the rows, which a
    power law cannot extrapolate.
    """
    defined = [i for i, point in enumerate(points) if point["value"] is not None]
    scored = [points[i] for i in defined]
    higher = metric.greater_is_better
    if len(scored) < MINIMUM_POINTS or all(says_nothing(point["value"], greater_is_better=higher) for point in scored):
        return None
    sign = -1.0 if metric.greater_is_better else 1.0
    base = metric.best if metric.greater_is_better else 0.0
    draws = None
    if resampled is not None:
        scores = np.stack([resampled[i] for i in defined], axis=1)
        draws = base + sign * scores[~np.isnan(scores).any(axis=1)]
    fit = fit_power_law(
        [ErrorPoint(point["rows"], base + sign * point["value"], point["standard_error"]) for point in scored],
        draws=draws,
    )
    if fit.drop()["high"] < 0:
        return None

    def score(rows: float) -> dict[str, float]:
        return _transformed(fit.error(rows), base, sign)

    largest, smallest = fit.largest, min(point["rows"] for point in scored)
    steps = [smallest * (2 * largest / smallest) ** (i / (_CURVE_POINTS - 1)) for i in range(_CURVE_POINTS)]
    return {
        "error": f"{metric.best:g} - score" if metric.greater_is_better else "score",
        "law": "error = a * rows^-b + c",
        **fit.parameters(),
        "floor_shown": fit.has_floor,
        "widened": fit.widened,
        "rows": largest,
        "twice": {"rows": 2 * largest, **score(2 * largest), "change": _transformed(fit.drop(), 0.0, -sign)},
        "curve": [{"rows": rows, **score(rows)} for rows in steps],
    }


def error_drop(fit: CurveFit, rows: float, more: int) -> float:
    """Return the predicted drop of the error if `more` rows are added to `rows` training rows."""
    a, b, c = fit.a.value, fit.b.value, fit.c.value
    return float((a * rows**-b + c) - (a * (rows + more) ** -b + c))


def rows_until_flat(fit: CurveFit, rows: int, more: int, least: float) -> int | None:
    """Return the smallest number of training rows, from `rows`, at which `more` rows lower the error by less than `least`.

    None if there is no such number up to twice the rows of the curve.
    """
    low, high = rows, max(2 * fit.rows, rows)
    if error_drop(fit, low, more) < least:
        return low
    if error_drop(fit, high, more) >= least:
        return None
    while high - low > 1:  # the drop shrinks as the rows grow
        middle = (low + high) // 2
        low, high = (low, middle) if error_drop(fit, middle, more) < least else (middle, high)
    return high


def _transformed(values: Mapping[str, float], base: float, sign: float) -> dict[str, float]:
    """Return base + sign * values, with the ends of the interval in ascending order."""
    value, *ends = (base + sign * values[key] for key in ("value", "low", "high"))
    return {"value": value, "low": min(ends), "high": max(ends)}
