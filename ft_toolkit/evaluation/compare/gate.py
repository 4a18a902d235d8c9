"""`ftk gate`: conditions that a finished run must meet, each checked and explained in a line."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ft_toolkit.core.errors import UsageError, did_you_mean, one_of
from ft_toolkit.evaluation.compare.example_slices import slice_examples
from ft_toolkit.evaluation.compare.finished_runs import (
    FinishedRun,
    base_model_of,
    check_comparable,
    common_metrics,
    model_megabytes,
)
from ft_toolkit.evaluation.statistics.scores import finite, score_interval
from ft_toolkit.metrics.bootstrap import resample

SAMPLES = 2000
SEED = 13
Kind = Literal["min", "min-low", "max"]
_SMOKE = "a smoke run, whose scores mean nothing (--allow-smoke checks them all the same)"


@dataclass(frozen=True)
class Bound:
    """A bound on a metric: its value at least (min) or at most (max) this, or its interval's lower end at least (min-low)."""

    kind: Kind
    metric: str
    value: float


@dataclass(frozen=True)
class Drop:
    """How far a metric may fall below a baseline's: a run fails when, at level `alpha`, it is shown to have fallen further.

    With `strict` it passes only when it is shown not to have.
    """

    baseline: FinishedRun
    metric: str | None
    allowed: float
    alpha: float
    strict: bool


@dataclass(frozen=True)
class Check:
    """One condition: what was asked, whether it is met, and the figures in words and as numbers."""

    name: str
    passed: bool
    text: str
    figures: dict[str, Any]

    @property
    def line(self) -> str:
        """The check as a line of text."""
        return f"{'PASS' if self.passed else 'FAIL'}  {self.name}: {self.text}"


@dataclass(frozen=True)
class Gate:
    """The checks of a run, and what was left out of them (`notes`)."""

    run: str
    folder: Path
    split: str
    n: int
    checks: list[Check]
    notes: list[str]

    @property
    def failed(self) -> list[Check]:
        """The checks that are not met."""
        return [check for check in self.checks if not check.passed]

    def as_json(self) -> dict[str, Any]:
        """Return what stands in the JSON file."""
        return {
            "run": self.run,
            "folder": str(self.folder),
            "split": self.split,
            "n": self.n,
            "passed": not self.failed,
            "checks": [
                {"name": one.name, "passed": one.passed, "text": one.text, **one.figures} for one in self.checks
            ],
            "notes": self.notes,
        }


def check_run(
    run: FinishedRun,
    *,
    bounds: Sequence[Bound],
    drop: Drop | None,
    columns: Sequence[str],
    min_rows: int,
    max_seconds: float | None,
    max_size_mb: float | None,
    allow_smoke: bool,
) -> Gate:
    """Check every condition; the reload proof of the run is always one. Raises UsageError for one that cannot be checked."""
    for bound in bounds:
        _check_bound(bound, run)
    smoke = bool(run.results["substitutions"]) and not allow_smoke
    everything = np.arange(len(run.examples.records))
    checks, notes = [_reload(run)], _notes(run)
    checks += [_bound(bound, run, everything, "", smoke) for bound in bounds]
    for column in columns:
        groups = slice_examples(run.examples.records, column, run.examples.task)
        skipped = [f"{value} ({len(at)})" for value, at in groups.items() if len(at) < min_rows]
        if skipped:
            notes.append(f"{column}: fewer than {min_rows} rows, so not checked: {', '.join(skipped)}")
        large = {f" where {column} = {value}": at for value, at in groups.items() if len(at) >= min_rows}
        checks += [_bound(bound, run, at, where, smoke) for bound in bounds for where, at in large.items()]
    if drop is not None:
        checks.append(_drop(drop, run, smoke))
    if max_seconds is not None:
        seconds = run.seeds["seconds"] if run.seeds is not None else run.results["training"]["seconds"]
        checks.append(_limit("training time", seconds, max_seconds, "s"))
    if max_size_mb is not None:
        checks.append(_size(run, max_size_mb))
    return Gate(run.examples.run, run.given, run.examples.split, len(everything), checks, notes)


def _notes(run: FinishedRun) -> list[str]:
    notes = []
    if run.results["substitutions"]:
        notes.append(
            "a smoke run: that it runs, reloads, its time and its size can be checked; its scores mean nothing"
        )
    if run.seeds is not None:
        best = run.seeds["best"]["seed"]
        notes.append(f"of {len(run.seeds['seeds'])} seeds, the best on validation is checked: seed {best}")
    return notes


def _check_bound(bound: Bound, run: FinishedRun) -> None:
    metrics = run.examples.metrics
    if bound.metric not in metrics:
        raise UsageError(
            f"--{bound.kind}: no metric '{bound.metric}'; allowed: {one_of(metrics)}.{did_you_mean(bound.metric, metrics)}"
        )
    greater = metrics[bound.metric].greater_is_better
    if greater == (bound.kind == "max"):
        better, other = ("higher", "min") if greater else ("lower", "max")
        raise UsageError(f"--{bound.kind}: {better} is better for {bound.metric}; use --{other} {bound.metric}=...")


def _bound(bound: Bound, run: FinishedRun, at: np.ndarray, where: str, smoke: bool) -> Check:
    sign = {"min": ">=", "min-low": ">=", "max": "<="}[bound.kind]
    asked = f"lower end of {bound.metric}" if bound.kind == "min-low" else bound.metric
    name = f"{asked} {sign} {bound.value:g}{where}"
    metric = run.examples.metrics[bound.metric]
    predictions, references = run.examples.predictions[at], run.examples.references[at]
    value = metric.fn(predictions, references)
    resamples = resample({"": metric.fn}, predictions, references, samples=SAMPLES, seed=SEED)[""]
    found = score_interval(resamples, metric, len(at))
    figure = found["low"] if bound.kind == "min-low" else value
    figures = {"value": finite(value), **found, "bound": bound.value, "n": len(at)}
    if smoke:
        return Check(name, False, _SMOKE, figures)
    if np.isnan(value):
        return Check(name, False, "the score is undefined on these rows", figures)
    if figure is None:
        bounded = [key for key, one in run.examples.metrics.items() if one.is_mean]
        text = (
            f"{value:.4f} on every resample, so these {len(at):,} rows give it no bound: take --min {bound.metric}=..."
        )
        return Check(name, False, text + f", or --min-low of {one_of(bounded)}" * bool(bounded), figures)
    met = figure <= bound.value if bound.kind == "max" else figure >= bound.value
    text = f"{value:.4f}, 95% interval {_span(found['low'], found['high'])}, n = {len(at):,}"
    return Check(name, bool(met), text, figures)


def _drop(drop: Drop, run: FinishedRun, smoke: bool) -> Check:
    """Compare with the baseline by a one-sided paired bootstrap: the bound that the true drop is above (or below)."""
    both = [drop.baseline, run]
    check_comparable(both)
    names, _ = common_metrics(both)
    metric = drop.metric or (run.examples.main_metric if run.examples.main_metric in names else names[0])
    if metric not in names:
        raise UsageError(f"--metric: no metric '{metric}'; allowed: {one_of(names)}.{did_you_mean(metric, names)}")
    sign = 1.0 if run.examples.metrics[metric].greater_is_better else -1.0
    before, now = (one.examples.metrics[metric].fn(one.examples.predictions, one.examples.references) for one in both)
    base, ours = (
        resample(
            {"": one.examples.metrics[metric].fn},
            one.examples.predictions,
            one.examples.references,
            samples=SAMPLES,
            seed=SEED,
        )[""]
        for one in both
    )
    drops = sign * (base - ours)
    drops = drops[~np.isnan(drops)]
    name = f"{metric} at most {drop.allowed:g} below {drop.baseline.label}"
    if smoke or drop.baseline.results["substitutions"]:
        return Check(name, False, _SMOKE if smoke else f"{drop.baseline.label} is a smoke run", {})
    if not len(drops):
        return Check(name, False, "the score is undefined", {})
    value = sign * (before - now)
    low, high = (float(found) for found in np.quantile(drops, [drop.alpha, 1 - drop.alpha]))
    shown, excluded = low > drop.allowed, high <= drop.allowed
    if shown:
        verdict = f"shown to have dropped by more than {drop.allowed:g}"
    elif excluded:
        verdict = f"shown to have dropped by no more than {drop.allowed:g}"
    else:
        verdict = (
            f"not decided: a larger drop is neither shown nor excluded, which {'fails' if drop.strict else 'passes'}"
        )
    level = f"{100 * (1 - drop.alpha):g}%"
    text = (
        f"{now:.4f} against {before:.4f}, a drop of {value:+.4f}; with {level} confidence it is above "
        f"{low:+.4f}, with {level} below {high:+.4f} (one-sided each): {verdict}"
    )
    figures = {"drop": value, "above": low, "below": high, "allowed": drop.allowed, "alpha": drop.alpha}
    return Check(name, excluded if drop.strict else not shown, text, figures)


def _reload(run: FinishedRun) -> Check:
    proof = run.results["reload_proof"]
    met = proof["largest_difference"] <= proof["tolerance"]
    text = f"{proof['rows']:,} rows, largest difference {proof['largest_difference']:.1g}"
    return Check("a fresh process gives the same predictions", bool(met), text, {})


def _size(run: FinishedRun, limit: float) -> Check:
    size = model_megabytes(run)
    if size is None:
        raise UsageError(f"--max-size-mb: {run.examples.folder / 'model'} is gone, so its size cannot be checked")
    base = base_model_of(run)
    return _limit("model folder", size, limit, "MB", f"; its base model {base} not counted" if base else "")


def _limit(what: str, found: float, limit: float, unit: str, note: str = "") -> Check:
    text = f"{found:,.1f} {unit}{note}"
    return Check(f"{what} <= {limit:g} {unit}", found <= limit, text, {"value": found, "bound": limit})


def _span(low: float | None, high: float | None) -> str:
    return "undefined" if low is None or high is None else f"{low:.4f} to {high:.4f}"
