"""How the error falls with the number of training rows: err(n) = a n^-b + c, and what twice the rows should bring.

Learning curves of trained networks follow such a law over wide ranges (Hestness et al. 2017, arXiv:1712.00409). A few points
tell its three numbers apart only roughly, so a prediction is worth no more than its interval.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ft_toolkit.core.errors import UsageError
from ft_toolkit.metrics.metric import Metric

MINIMUM_POINTS = 3
# An exponent of a curve is one of these. Negative: the error grows with the rows, as noise may have it.
_EXPONENTS = np.round(np.arange(-1.0, 3.001, 0.01), 2)
# A floor c is believed in when it lowers chi-square by this: the 95% point of its distribution with 1 degree of freedom.
_WORTH_IT = 3.841
_RESAMPLES = 1000
_NORMAL_95 = 1.959964
_CURVE_POINTS = 41


@dataclass(frozen=True)
class CurvePoint:
    """The error after training on `rows` rows, with its standard error."""

    rows: int
    error: float
    standard_error: float


@dataclass(frozen=True)
class Curve:
    """err(n) = a (n / unit)^-b + c, for one fit or for many (arrays of the same shape)."""

    a: np.ndarray
    b: np.ndarray
    c: np.ndarray
    unit: float

    def at(self, rows: float) -> np.ndarray:
        """Return the error for so many rows."""
        found: np.ndarray = self.a * (rows / self.unit) ** -self.b + self.c
        return found


@dataclass(frozen=True)
class PowerLawFit:
    """A fitted curve with its uncertainty.

    `curve` is the simplest that fits: without a floor (c = 0) unless one is shown. `resampled` are curves, floor or not, that
    were fitted to errors drawn anew: their central 95% is the interval of anything read off the curve. `widened` is what the
    standard errors were multiplied by, because the points scatter more than these explain (1: they do not).
    """

    points: tuple[CurvePoint, ...]
    curve: Curve
    resampled: Curve
    widened: float

    @property
    def largest(self) -> int:
        """The largest number of rows that was trained on."""
        return max(point.rows for point in self.points)

    @cached_property
    def has_floor(self) -> bool:
        """Whether an error that no number of rows would remove is shown."""
        return bool(self.curve.c > 0)

    def error(self, rows: float) -> dict[str, float]:
        """Return {value, low, high}: the error for so many rows with its 95% interval."""
        return _summary(self.curve.at(rows), self.resampled.at(rows))

    def drop(self, factor: float = 2.0) -> dict[str, float]:
        """Return {value, low, high}: by how much `factor` times the rows should lower the error."""
        now, then = float(self.largest), factor * self.largest
        return _summary(self.curve.at(now) - self.curve.at(then), self.resampled.at(now) - self.resampled.at(then))

    def parameters(self) -> dict[str, Any]:
        """Return a, b and c of err(n) = a n^-b + c with n in rows, each with its 95% interval."""
        found = {}
        for name, one, many in (
            ("a", self.curve.a * self.curve.unit**self.curve.b, self.resampled.a * self.curve.unit**self.resampled.b),
            ("b", self.curve.b, self.resampled.b),
            ("c", self.curve.c, self.resampled.c),
        ):
            found[name] = _summary(one, many)
        return found


def standard_error(scores: Sequence[Mapping[str, float]], smallest: float) -> float:
    """Return that of the mean of one score per seed, each {value, low, high} with its bootstrap interval.

    The evaluated examples are the same for all seeds, so more seeds do not make their part smaller; that of the seeds is the
    variance over seeds by their number. Never below `smallest`: a score that is perfect on few examples is not certain.
    """
    examples = statistics.fmean(((one["high"] - one["low"]) / (2 * _NORMAL_95)) ** 2 for one in scores)
    seeds = statistics.variance(one["value"] for one in scores) / len(scores) if len(scores) > 1 else 0.0
    return max(math.sqrt(examples + seeds), smallest)


def fit_power_law(points: Sequence[CurvePoint], *, samples: int = _RESAMPLES, seed: int = 0) -> PowerLawFit:
    """Fit the curve to points by weighted least squares, with a parametric bootstrap of `samples` draws from `seed`.

    Raises UsageError for fewer than three points with different numbers of rows.
    """
    points = tuple(sorted(points, key=lambda point: point.rows))
    if len({point.rows for point in points}) < MINIMUM_POINTS:
        raise UsageError(
            f"a curve needs scores at {MINIMUM_POINTS} different numbers of rows at least; found {len(points)} scores"
        )
    rows, errors, spreads = (
        np.array([getattr(point, name) for point in points], float) for name in ("rows", "error", "standard_error")
    )
    unit = float(rows[-1])
    plain, plain_chi2 = _fit(rows / unit, errors[None, :], spreads**-2, _EXPONENTS, floor=False)
    full, full_chi2 = _fit(rows / unit, errors[None, :], spreads**-2, _EXPONENTS, floor=True)
    with_floor = len(points) > MINIMUM_POINTS and plain_chi2[0] - full_chi2[0] > _WORTH_IT
    chosen, chi2 = (full, full_chi2[0]) if with_floor else (plain, plain_chi2[0])
    curve = _curve(chosen, unit)
    freedom = len(points) - (3 if with_floor else 2)
    widened = max(1.0, float(np.sqrt(chi2 / freedom)))
    noise = np.random.default_rng(seed).standard_normal((samples, len(points)))
    # Half the draws are around the best curve with a floor, also where the simpler one was chosen: around that alone, the 95%
    # interval of a curve whose floor does not show yet held the truth in as few as 77% of simulations.
    centres = [_curve(fit, unit) for fit in (plain, full)]
    around = np.array([[one.at(n) for n in rows] for one in centres])
    drawn = np.repeat(around, [(samples + 1) // 2, samples // 2], axis=0) + noise * spreads * widened
    again, _ = _fit(rows / unit, drawn, spreads**-2, _EXPONENTS[::2], floor=True)
    return PowerLawFit(points, curve, Curve(*again, unit), widened)


def _fit(
    n: np.ndarray, errors: np.ndarray, weights: np.ndarray, exponents: np.ndarray, *, floor: bool
) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], np.ndarray]:
    """Return (a, b, c) and chi-square of the best curve for each line of `errors` (draws, points).

    For a given exponent the rest is linear, so that the best of all exponents is the best of all curves: no start value and no
    local minimum. Without a floor c is 0.
    """
    x = n[None, :] ** -exponents[:, None]
    s_xx, s_x, s_1 = (x**2) @ weights, x @ weights, weights.sum()
    s_xy, s_y, s_yy = (errors * weights) @ x.T, (errors @ weights)[:, None], ((errors**2) @ weights)[:, None]
    a = np.maximum(s_xy / s_xx, 0.0)
    c = np.zeros_like(a)
    chi2 = s_yy - 2 * a * s_xy + a**2 * s_xx
    if floor:
        rising = exponents > 0
        scale = np.where(rising, s_xx * s_1 - s_x**2, 1.0)
        a_floor, c_floor = (s_1 * s_xy - s_x * s_y) / scale, (s_xx * s_y - s_x * s_xy) / scale
        chi2_floor = s_yy - a_floor * s_xy - c_floor * s_y
        better = rising & (a_floor >= 0) & (c_floor >= 0) & (chi2_floor < chi2)
        a, c, chi2 = (np.where(better, new, old) for new, old in ((a_floor, a), (c_floor, c), (chi2_floor, chi2)))
    best = chi2.argmin(axis=1)
    line = np.arange(len(errors))
    return (a[line, best], exponents[best], c[line, best]), np.maximum(chi2[line, best], 0.0)


def _curve(fits: tuple[np.ndarray, np.ndarray, np.ndarray], unit: float) -> Curve:
    a, b, c = (values[0] for values in fits)
    return Curve(a, b, c, unit)


def _summary(one: np.ndarray, many: np.ndarray) -> dict[str, float]:
    low, high = np.quantile(many, [0.025, 0.975])
    return {"value": float(one), "low": float(low), "high": float(high)}


def point_record(scores: Sequence[Mapping[str, Any]], metric: Metric, n: int) -> dict[str, Any]:
    """Return the mean of one score per seed, on `n` examples, with its standard error and 95% interval; None if undefined.

    A score without an interval is one that all resamples share: `smallest` is its spread, and that of the seeds.
    """
    if any(score["value"] is None for score in scores):
        return dict.fromkeys(("value", "low", "high", "standard_error")) | {"values": [one["value"] for one in scores]}
    value = statistics.fmean(score["value"] for score in scores)
    # one example more or less; of a loss, which has no such step, next to nothing
    smallest = metric.best / n if metric.greater_is_better else 1e-4 * abs(value) or 1e-9
    known = [one if one["low"] is not None else {**one, "low": one["value"], "high": one["value"]} for one in scores]
    spread = standard_error(known, smallest)
    low, high = value - _NORMAL_95 * spread, value + _NORMAL_95 * spread
    if len(scores) == 1 and scores[0]["low"] is not None:  # the bootstrap's own, which need not be symmetric
        low, high = scores[0]["low"], scores[0]["high"]
    return {
        "value": value,
        "low": low,
        "high": min(high, metric.best) if metric.greater_is_better else high,
        "standard_error": spread,
        "values": [score["value"] for score in scores],
    }


def fit_record(points: Sequence[Mapping[str, Any]], metric: Metric) -> dict[str, Any] | None:
    """Return the curve in scores, and what twice the rows should bring.

    None where fewer than three points have a score, or where it is shown that more rows gave a larger error: no law of
    learning says how that goes on.

    The error of a score whose best is known (1, or 100) is what is missing to it; a loss or a perplexity is taken as it is.
    """
    known = [point for point in points if point["value"] is not None]
    if len(known) < MINIMUM_POINTS:
        return None
    to_error = -1.0 if metric.greater_is_better else 1.0
    base = metric.best if metric.greater_is_better else 0.0
    fit = fit_power_law(
        [CurvePoint(point["rows"], base + to_error * point["value"], point["standard_error"]) for point in known]
    )

    if fit.drop()["high"] < 0:
        return None

    def score(rows: float) -> dict[str, float]:
        return _turned(fit.error(rows), base, to_error)

    last, smallest = fit.largest, min(point["rows"] for point in known)
    steps = [smallest * (2 * last / smallest) ** (i / (_CURVE_POINTS - 1)) for i in range(_CURVE_POINTS)]
    return {
        "error": f"{metric.best:g} - score" if metric.greater_is_better else "score",
        "law": "error = a * rows^-b + c",
        **fit.parameters(),
        "floor_shown": fit.has_floor,
        "widened": fit.widened,
        "rows": last,
        "twice": {"rows": 2 * last, **score(2 * last), "change": _turned(fit.drop(), 0.0, -to_error)},
        "curve": [{"rows": rows, **score(rows)} for rows in steps],
    }


def _turned(found: Mapping[str, float], base: float, sign: float) -> dict[str, float]:
    """Return base + sign * found, the ends of the interval in order."""
    value, one, other = (base + sign * found[key] for key in ("value", "low", "high"))
    return {"value": value, "low": min(one, other), "high": max(one, other)}
