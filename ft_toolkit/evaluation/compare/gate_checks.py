"""The checks of `ftk gate` on a score: a bound on a metric, and the drop from a baseline run."""

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from ft_toolkit.core.errors import UsageError, one_of
from ft_toolkit.evaluation.compare.finished_runs import FinishedRun, check_comparable, choose_metric, clusters_of
from ft_toolkit.evaluation.compare.metric_names import find_metric
from ft_toolkit.evaluation.statistics.rows_needed import rows_that_rule_out
from ft_toolkit.evaluation.statistics.scores import finite, score_interval
from ft_toolkit.evaluation.statistics.significance import TOLERANCE, difference_interval, pair_scores
from ft_toolkit.metrics.bootstrap import resample
from ft_toolkit.metrics.clusters import Clusters

SAMPLES = 2000
SEED = 13
BoundKind = Literal["min", "min-low", "max"]
_SMOKE = "a smoke run, so its scores mean nothing (--allow-smoke checks them anyway)"


@dataclass(frozen=True)
class Bound:
    """A bound on a metric: the score is at least `value` (min) or at most `value` (max).

    With min-low, the lower end of the 95% interval is at least `value`.
    """

    kind: BoundKind
    metric: str
    value: float


@dataclass(frozen=True)
class Drop:
    """The allowed drop of a metric below a baseline run.

    The run fails when a larger drop is significant at level `alpha`. With `strict` it fails unless a larger drop is ruled out.
    `metric` None takes the main metric.
    """

    baseline: FinishedRun
    metric: str | None
    allowed: float
    alpha: float
    strict: bool


@dataclass(frozen=True)
class Check:
    """The result of one condition: its name, whether it passed, an explanation, and the numbers for the JSON file."""

    name: str
    passed: bool
    text: str
    figures: dict[str, Any]

    @property
    def line(self) -> str:
        """The check as one line of text."""
        return f"{'PASS' if self.passed else 'FAIL'}  {self.name}: {self.text}"


def resolve_bound(bound: Bound, run: FinishedRun) -> tuple[Bound, list[str]]:
    """Return the bound with the full name of its metric, and a note if the name was a short one.

    Raises UsageError for an unknown metric, and for a bound on the wrong side: a minimum where lower is better.
    """
    metric, notes = find_metric(bound.metric, run.examples.metrics, f"--{bound.kind}")
    greater = run.examples.metrics[metric].greater_is_better
    if greater == (bound.kind == "max"):
        direction, option = ("higher", "min") if greater else ("lower", "max")
        raise UsageError(f"--{bound.kind}: {direction} is better for {metric}. Use --{option} {metric}={bound.value:g}")
    return replace(bound, metric=metric), notes


def check_bound(bound: Bound, run: FinishedRun, positions: np.ndarray, suffix: str, *, smoke: bool) -> Check:
    """Check a bound on the examples at `positions`. `suffix` ends the name of the check; `smoke` fails it."""
    sign = "<=" if bound.kind == "max" else ">="
    subject = f"lower bound of {bound.metric}" if bound.kind == "min-low" else bound.metric
    name = f"{subject} {sign} {bound.value:g}{suffix}"
    metric = run.examples.metrics[bound.metric]
    predictions, references = run.examples.predictions[positions], run.examples.references[positions]
    value = metric.fn(predictions, references)
    clusters = None if run.examples.clusters is None else run.examples.clusters.of(positions)
    resamples = resample({"": metric.fn}, predictions, references, samples=SAMPLES, seed=SEED, clusters=clusters)[""]
    interval = score_interval(metric, predictions, references, resamples, clusters)
    checked = interval["low"] if bound.kind == "min-low" else value
    figures = {"value": finite(value), **interval, "bound": bound.value, "n": len(positions)}
    if smoke:
        return Check(name, False, _SMOKE, figures)
    if np.isnan(value):
        return Check(name, False, "the score is undefined on these rows", figures)
    if checked is None:
        means = [other for other, definition in run.examples.metrics.items() if definition.is_mean]
        text = (
            f"{value:.4f} on every bootstrap resample, so there is no interval on these {len(positions):,} rows. "
            f"Use --min {bound.metric}=..."
        )
        return Check(name, False, text + f", or --min-low with {one_of(means)}" * bool(means), figures)
    is_above = checked >= bound.value - TOLERANCE
    passed = checked <= bound.value + TOLERANCE if bound.kind == "max" else is_above
    text = f"{value:.4f}, 95% interval {_span(interval['low'], interval['high'])}, n = {len(positions):,}"
    return Check(name, bool(passed), text, figures)


def check_drop(drop: Drop, run: FinishedRun, *, smoke: bool) -> tuple[Check, list[str]]:
    """Compare with the baseline by the interval of the drop. Also return a note if the metric's name was a short one.

    With confidence 1 - alpha each, the true drop is above the lower and below the upper bound.
    """
    both = [drop.baseline, run]
    check_comparable(both)
    metric, notes = choose_metric(drop.metric, [run, drop.baseline])
    sign = 1.0 if run.examples.metrics[metric].greater_is_better else -1.0
    name = f"{metric} at most {drop.allowed:g} below {drop.baseline.label}"
    if smoke or drop.baseline.results.is_smoke:
        return Check(name, False, _SMOKE if smoke else f"{drop.baseline.label} is a smoke run", {}), notes
    before, after = (_score(compared, metric) for compared in both)
    better, worse = (drop.baseline, run) if sign > 0 else (run, drop.baseline)
    # Both tails need some resamples, also where alpha is small.
    samples, clusters = max(SAMPLES, math.ceil(5 / drop.alpha)), clusters_of([run, drop.baseline])
    pair = pair_scores(
        run.examples.metrics[metric],
        (better.examples.predictions, better.examples.references),
        (worse.examples.predictions, worse.examples.references),
        lambda: _resampled(better, metric, samples, clusters) - _resampled(worse, metric, samples, clusters),
        clusters,
    )
    bounds = difference_interval(pair, tail=drop.alpha)
    value, low, high = pair.difference, bounds.low, bounds.high
    if low is None or high is None:
        return Check(name, False, "the score is undefined", {}), notes
    is_larger, is_ruled_out = low > drop.allowed + TOLERANCE, high <= drop.allowed + TOLERANCE
    text = (
        f"{after:.4f}, baseline {before:.4f}: a {'gain' if value < 0 else 'drop'} of {abs(value):.4f} (one-sided "
        f"{100 * (1 - drop.alpha):g}% bounds of the drop: above {low:+.4f}, below {high:+.4f}). A drop of more than "
        f"{drop.allowed:g} is "
    )
    rows = None
    if is_larger:
        text += "significant"
    elif is_ruled_out:
        text += "ruled out"
    else:
        text += f"neither significant nor ruled out, so the check {'fails' if drop.strict else 'passes'}"
        rows = rows_that_rule_out(pair, drop.allowed, len(run.examples.records), high, drop.alpha)
        if drop.strict and rows is not None:
            text += f". About {rows:,} rows with the same drop and the same share of differing rows would rule it out"
    numbers = {"drop": value, "above": low, "below": high, "allowed": drop.allowed, "alpha": drop.alpha}
    figures = {**numbers, "test": bounds.test, "rows_needed": rows}
    return Check(name, is_ruled_out if drop.strict else not is_larger, text, figures), notes


def _score(run: FinishedRun, metric: str) -> float:
    return run.examples.metrics[metric].fn(run.examples.predictions, run.examples.references)


def _resampled(run: FinishedRun, metric: str, samples: int, clusters: Clusters | None) -> np.ndarray:
    """Return the metric on bootstrap resamples, shape (samples,); runs on the same examples use the same resamples."""
    fn = run.examples.metrics[metric].fn
    arrays = run.examples.predictions, run.examples.references
    return resample({"": fn}, *arrays, samples=samples, seed=SEED, clusters=clusters)[""]


def _span(low: float | None, high: float | None) -> str:
    return "undefined" if low is None or high is None else f"{low:.4f} to {high:.4f}"
