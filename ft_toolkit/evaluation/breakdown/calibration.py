"""Calibration of the probabilities of a classifier, and its accuracy when it abstains on examples of low confidence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ft_toolkit.evaluation.statistics.scores import ScoringSetup, interval
from ft_toolkit.evaluation.statistics.shares import clustered_wilson, wilson
from ft_toolkit.metrics import calibration as c
from ft_toolkit.metrics.clusters import Clusters, Jackknife, draw_examples

Array = np.ndarray
# Bootstrap resamples for the intervals, and simulations of a calibrated model.
SAMPLES = 300
# Shares of the examples, those of lowest confidence, that the model could leave to a human.
ABSTAIN = (0.1, 0.2, 0.5)
_CURVE_POINTS = 100


@dataclass(frozen=True)
class _Resamples:
    """The positions of the examples of each bootstrap resample or, with few clusters, of the examples without each cluster."""

    drawn: Sequence[Array]
    clusters: Clusters | None

    def interval(self, value: float, values: Array) -> dict[str, float | None]:
        """Return {low, high}: the 95% interval of a score, given its values on `drawn`; None where it is undefined."""
        if self.clusters is None or not self.clusters.are_few:
            return interval(values)
        low, high = Jackknife(value, values).interval(0.025) or (None, None)
        return {"low": low, "high": high}

    def share_interval(self, right: Array, weights: Array) -> tuple[float, float]:
        """Return the ends of the 95% interval of a weighted share of right examples, shapes (n,)."""
        if self.clusters is None:
            return wilson(float((right * weights).sum()), round(weights.sum()))
        return clustered_wilson(right, weights, self.clusters)


def _draw(n: int, setup: ScoringSetup) -> _Resamples:
    clusters = setup.clusters
    if clusters is not None and clusters.are_few:
        return _Resamples([np.flatnonzero(clusters.codes != cluster) for cluster in range(clusters.n)], clusters)
    rng = np.random.default_rng(setup.seed)
    return _Resamples([draw_examples(rng, n, clusters) for _ in range(min(setup.samples, SAMPLES))], clusters)


def calibration(
    decoded: Sequence[Mapping[str, Any]], answers: Array, truth: Array, setup: ScoringSetup, *, fitted_here: bool
) -> dict[str, Any]:
    """Return calibration before and after temperature scaling, and the risk-coverage curve after it.

    `answers` and `truth` are the arrays of a task with a classifier, of the predictions and of the references. `fitted_here`
    says that the temperature was fitted to these rows, which makes the result optimistic. `ece`, `brier` and `nll` each have
    before and after ({value, low, high}) and `change`, the interval of after minus before on the same resamples. For `ece`,
    before and after also have `chance`: the 95% quantile of the calibration error of a perfectly calibrated model on the same
    number of examples.
    """
    classifier = setup.task.classifier(setup.settings)
    assert classifier is not None, "only classifiers are calibrated"
    temperature, after = classifier.temperature(setup.schema), classifier.probabilities(decoded, setup.schema)
    before = c.at_temperature_1(after, temperature, multi_label=truth.ndim == 2)
    resamples = _draw(len(truth), setup)
    sides = {
        "before": _CalibrationScores(before, truth, resamples, setup),
        "after": _CalibrationScores(after, truth, resamples, setup),
    }
    record: dict[str, Any] = {
        "temperature": temperature,
        **_temperature_ends(before, truth, fitted_here=fitted_here),
        "fitted_here": fitted_here,
        "claims": "decisions on a label" if truth.ndim == 2 else "predictions",
    }
    for name in ("ece", "brier", "nll"):
        values = {side: side_scores.scores[name] for side, side_scores in sides.items()}
        change = resamples.interval(
            values["after"]["value"] - values["before"]["value"],
            sides["after"].resampled[name] - sides["before"].resampled[name],
        )
        record[name] = values | {"change": change}
    confidence, correct = _confidence(after, answers, truth)
    record["bins"] = {side: side_scores.bins() for side, side_scores in sides.items()}
    return record | _abstaining(confidence, correct, resamples)


def _temperature_ends(before: Array, truth: Array, *, fitted_here: bool) -> dict[str, float | None]:
    """Return the 95% interval of the temperature of the rows to which it was fitted; no interval (None) on other rows."""
    if not fitted_here or len(truth) < c.MINIMUM_ROWS:
        return {"temperature_low": None, "temperature_high": None}
    logits = c.logits_of(before, multi_label=truth.ndim == 2)
    low, high = c.temperature_interval(logits, truth)
    return {"temperature_low": low, "temperature_high": high}


class _CalibrationScores:
    """Calibration scores of one set of probabilities, shape (n, labels), with their intervals and their resampled values."""

    def __init__(self, probabilities: Array, truth: Array, resamples: _Resamples, setup: ScoringSetup) -> None:
        self.resamples = resamples
        self.claimed, self.true = c.claims(probabilities, truth)
        losses = {"brier": c.brier_scores(probabilities, truth), "nll": c.log_losses(probabilities, truth)}
        drawn = resamples.drawn
        self.resampled = {name: np.array([loss[rows].mean() for rows in drawn]) for name, loss in losses.items()}
        self.resampled["ece"] = np.array([c.calibration_error(self.claimed[rows], self.true[rows]) for rows in drawn])
        error, chance = c.calibration_error(self.claimed, self.true), self._chance(setup)
        self.scores: dict[str, dict[str, Any]] = {}
        for name, loss in losses.items():
            mean = float(loss.mean())
            self.scores[name] = {"value": mean, **resamples.interval(mean, self.resampled[name])}
        ends = _error_interval(error, resamples.interval(error, self.resampled["ece"]), chance)
        self.scores["ece"] = {"value": error, **ends, "chance": chance}

    def _chance(self, setup: ScoringSetup) -> float:
        """Return the 95% quantile of the calibration error of a calibrated model."""
        samples, clusters = min(setup.samples, SAMPLES), setup.clusters
        if clusters is None:
            errors = c.chance_errors(self.claimed, samples=samples, seed=setup.seed)
        else:
            errors = c.clustered_chance_errors(self.claimed, self.true, clusters, samples=samples, seed=setup.seed)
        return float(np.quantile(errors, 0.95))

    def bins(self) -> list[dict[str, Any]]:
        """Return the non-empty bins of the reliability diagram: n, mean confidence, and accuracy with its 95% interval."""
        numbers, bins = c.bin_numbers(self.claimed), []
        for number in np.unique(numbers):
            inside = numbers == number
            n = inside.sum(axis=1)
            right = (self.true * inside).sum(axis=1) / np.maximum(n, 1)
            low, high = self.resamples.share_interval(right, n.astype(float))
            shares = {"confidence": float(self.claimed[inside].mean()), "accuracy": float(self.true[inside].mean())}
            bins.append({"n": int(n.sum()), **shares, "low": low, "high": high})
        return bins


def _error_interval(value: float, percentiles: Mapping[str, float | None], chance: float) -> dict[str, float | None]:
    """Return the interval of a calibration error: it excludes 0 exactly when a calibrated model would rarely show this error.

    Resampling biases the calibration error upwards, which the basic bootstrap interval corrects. The error itself is biased
    upwards too, because it is never negative, but by at most the error that chance adds (triangle inequality): the interval
    starts at least `chance`, the 95% quantile of a calibrated model, below the value (benchmarks/results/coverage.md).
    """
    low, high = percentiles["low"], percentiles["high"]
    if low is None or high is None:  # a jackknife without variation
        return {"low": None, "high": None}
    return {"low": max(0.0, min(2 * value - high, value - chance)), "high": max(0.0, 2 * value - low)}


def _confidence(probabilities: Array, answers: Array, truth: Array) -> tuple[Array, Array]:
    """Return the confidence of each prediction and whether it is correct (0 or 1), shape (n,) each.

    The confidence of a set of labels is the product of the probabilities of its decisions, as if they were independent.
    """
    if truth.ndim == 1:
        return probabilities[np.arange(len(truth)), answers], (answers == truth).astype(float)
    decisions = np.where(answers == 1, probabilities, 1 - probabilities)
    return decisions.prod(axis=1), (answers == truth).all(axis=1).astype(float)


def _abstaining(confidence: Array, correct: Array, resamples: _Resamples) -> dict[str, Any]:
    """Return the risk-coverage curve, the area under it, and the gain in accuracy from abstaining on a share of the examples.

    The area (AURC) is the mean error over all coverages (Geifman and El-Yaniv 2017, arXiv:1705.08500; Geifman et al. 2019,
    arXiv:1805.08206). `unordered` is the area for a confidence without information, which is the error rate; `perfect` is the
    area for a confidence that ranks every error below every correct prediction.
    """
    risks = c.selective_errors(confidence, correct)
    # a list: resampled clusters have different numbers of rows
    resampled = [c.selective_errors(confidence[rows], correct[rows]) for rows in resamples.drawn]
    n = len(correct)
    points = np.unique(np.linspace(1, n, min(n, _CURVE_POINTS)).round().astype(int))
    perfect = float(c.selective_errors(correct, correct).mean())
    gains = []
    for share in ABSTAIN:
        answered = max(1, round(n * (1 - share)))
        accuracy, accuracy_on_all = 1 - float(risks[answered - 1]), 1 - float(risks[-1])
        low, high = resamples.share_interval(correct, _answered_weights(confidence, answered))
        gains_of_resamples = [risk[-1] - risk[max(1, round(len(risk) * (1 - share))) - 1] for risk in resampled]
        gain = resamples.interval(accuracy - accuracy_on_all, np.array(gains_of_resamples))
        gains.append(
            {
                "share": share,
                "accuracy": {"value": accuracy, "low": low, "high": high},
                "of_all": accuracy_on_all,
                "gain": {"value": accuracy - accuracy_on_all, **gain},
            }
        )
    area = float(risks.mean())
    ends = resamples.interval(area, np.array([risk.mean() for risk in resampled]))
    return {
        "aurc": {"value": area, **ends, "unordered": float(risks[-1]), "perfect": perfect},
        "risk_coverage": [[k / n, float(risks[k - 1])] for k in points.tolist()],
        "abstaining": gains,
    }


def _answered_weights(confidence: Array, answered: int) -> Array:
    """Return the weights of the `answered` examples of highest confidence; equal confidences share the last places."""
    last = np.sort(confidence)[-answered]
    above, tied = confidence > last, confidence == last
    return np.asarray(above + tied * ((answered - above.sum()) / tied.sum()))
