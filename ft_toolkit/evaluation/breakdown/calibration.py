"""Calibration of the probabilities of a classifier, and its accuracy when it abstains on examples of low confidence."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ft_toolkit.evaluation.statistics.scores import ScoringSetup, interval
from ft_toolkit.evaluation.statistics.shares import wilson
from ft_toolkit.metrics import calibration as c
from ft_toolkit.metrics.clusters import draw_examples

Array = np.ndarray
# Bootstrap resamples for the intervals, and simulations of a calibrated model.
SAMPLES = 300
# Shares of the examples, those of lowest confidence, that the model could leave to a human.
ABSTAIN = (0.1, 0.2, 0.5)
_CURVE_POINTS = 100


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
    samples = min(setup.samples, SAMPLES)
    rng = np.random.default_rng(setup.seed)
    drawn = [draw_examples(rng, len(truth), setup.clusters) for _ in range(samples)]
    sides = {
        "before": _CalibrationScores(before, truth, drawn, setup.seed),
        "after": _CalibrationScores(after, truth, drawn, setup.seed),
    }
    record: dict[str, Any] = {
        "temperature": temperature,
        **_temperature_ends(before, truth, fitted_here=fitted_here),
        "fitted_here": fitted_here,
        "claims": "decisions on a label" if truth.ndim == 2 else "predictions",
    }
    for name in ("ece", "brier", "nll"):
        change = sides["after"].resamples[name] - sides["before"].resamples[name]
        record[name] = {side: side_scores.scores[name] for side, side_scores in sides.items()} | {
            "change": interval(change)
        }
    confidence, correct = _confidence(after, answers, truth)
    record["bins"] = {side: side_scores.bins() for side, side_scores in sides.items()}
    return record | _abstaining(confidence, correct, drawn)


def _temperature_ends(before: Array, truth: Array, *, fitted_here: bool) -> dict[str, float | None]:
    """Return the 95% interval of the temperature of the rows to which it was fitted; no interval (None) on other rows."""
    if not fitted_here or len(truth) < c.MINIMUM_ROWS:
        return {"temperature_low": None, "temperature_high": None}
    logits = c.logits_of(before, multi_label=truth.ndim == 2)
    low, high = c.temperature_interval(logits, truth)
    return {"temperature_low": low, "temperature_high": high}


class _CalibrationScores:
    """Calibration scores of one set of probabilities, shape (n, labels), with intervals from the resamples `drawn`.

    `drawn` holds the positions of the examples of each resample.
    """

    def __init__(self, probabilities: Array, truth: Array, drawn: Sequence[Array], seed: int) -> None:
        self.claimed, self.true = c.claims(probabilities, truth)
        losses = {"brier": c.brier_scores(probabilities, truth), "nll": c.log_losses(probabilities, truth)}
        self.resamples = {name: np.array([loss[rows].mean() for rows in drawn]) for name, loss in losses.items()}
        self.resamples["ece"] = np.array([c.calibration_error(self.claimed[rows], self.true[rows]) for rows in drawn])
        error = c.calibration_error(self.claimed, self.true)
        chance = float(np.quantile(c.chance_errors(self.claimed, samples=len(drawn), seed=seed), 0.95))
        self.scores = {
            name: {"value": float(loss.mean()), **interval(self.resamples[name])} for name, loss in losses.items()
        }
        self.scores["ece"] = {
            "value": error,
            **_error_interval(error, interval(self.resamples["ece"]), chance),
            "chance": chance,
        }

    def bins(self) -> list[dict[str, Any]]:
        """Return the non-empty bins of the reliability diagram: n, mean confidence, and accuracy with its 95% interval."""
        counts, claimed, true = c.bin_sums(self.claimed, self.true)
        bins = []
        for number in np.flatnonzero(counts):
            n = int(counts[number])
            low, high = wilson(float(true[number]), n)
            shares = {"confidence": float(claimed[number] / n), "accuracy": float(true[number] / n)}
            bins.append({"n": n, **shares, "low": low, "high": high})
        return bins


def _error_interval(value: float, percentiles: Mapping[str, float | None], chance: float) -> dict[str, float | None]:
    """Return the interval of a calibration error: it excludes 0 exactly when a calibrated model would rarely show this error.

    Resampling biases the calibration error upwards, which the basic bootstrap interval corrects. The error itself is biased
    upwards too, because it is never negative: up to the 95% quantile `chance` of a calibrated model, the interval starts at 0.
    """
    low, high = percentiles["low"], percentiles["high"]
    assert low is not None and high is not None, "a calibration error is always defined"
    lowest = 0.0 if value <= chance else max(0.0, 2 * value - high)
    return {"low": lowest, "high": max(0.0, 2 * value - low)}


def _confidence(probabilities: Array, answers: Array, truth: Array) -> tuple[Array, Array]:
    """Return the confidence of each prediction and whether it is correct (0 or 1), shape (n,) each.

    The confidence of a set of labels is the product of the probabilities of its decisions, as if they were independent.
    """
    if truth.ndim == 1:
        return probabilities[np.arange(len(truth)), answers], (answers == truth).astype(float)
    decisions = np.where(answers == 1, probabilities, 1 - probabilities)
    return decisions.prod(axis=1), (answers == truth).all(axis=1).astype(float)


def _abstaining(confidence: Array, correct: Array, drawn: Sequence[Array]) -> dict[str, Any]:
    """Return the risk-coverage curve, the area under it, and the gain in accuracy from abstaining on a share of the examples.

    The area (AURC) is the mean error over all coverages (Geifman and El-Yaniv 2017, arXiv:1705.08500; Geifman et al. 2019,
    arXiv:1805.08206). `unordered` is the area for a confidence without information, which is the error rate; `perfect` is the
    area for a confidence that ranks every error below every correct prediction.
    """
    risks = c.selective_errors(confidence, correct)
    # a list: resampled clusters have different numbers of rows
    resampled = [c.selective_errors(confidence[rows], correct[rows]) for rows in drawn]
    n = len(correct)
    points = np.unique(np.linspace(1, n, min(n, _CURVE_POINTS)).round().astype(int))
    perfect = float(c.selective_errors(correct, correct).mean())
    gains = []
    for share in ABSTAIN:
        answered = max(1, round(n * (1 - share)))
        accuracy, accuracy_on_all = 1 - float(risks[answered - 1]), 1 - float(risks[-1])
        low, high = wilson(accuracy * answered, answered)
        gain = interval(np.array([risk[-1] - risk[max(1, round(len(risk) * (1 - share))) - 1] for risk in resampled]))
        gains.append(
            {
                "share": share,
                "accuracy": {"value": accuracy, "low": low, "high": high},
                "of_all": accuracy_on_all,
                "gain": {"value": accuracy - accuracy_on_all, **gain},
            }
        )
    area = {"value": float(risks.mean()), **interval(np.array([risk.mean() for risk in resampled]))}
    return {
        "aurc": {**area, "unordered": float(risks[-1]), "perfect": perfect},
        "risk_coverage": [[k / n, float(risks[k - 1])] for k in points.tolist()],
        "abstaining": gains,
    }
