"""Whether a classifier's probabilities can be trusted, and what it gains by abstaining where it is unsure."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ft_toolkit.evaluation.statistics.scores import interval
from ft_toolkit.metrics import calibration as c

Array = np.ndarray
# Resamples for the intervals of this part, and draws of a model that is calibrated.
SAMPLES = 300
# Shares of the examples, the least sure ones, that the model might leave to a person.
ABSTAIN = (0.1, 0.2, 0.5)
_CURVE_POINTS = 100


def calibration(
    decoded: Sequence[Mapping[str, Any]], truth: Array, schema: Any, *, fitted_here: bool, samples: int, seed: int
) -> dict[str, Any]:
    """Return calibration before and after the schema's temperature, and the risk-coverage curve after it.

    `truth` is the references' array of a task that classifies. `fitted_here` says that the temperature was chosen on these
    very rows, which flatters. `ece`, `brier` and `nll` each have before, after ({value, low, high}) and `change`, the
    interval of after minus before on the same resamples; those of `ece` also `chance`, the 95% quantile of what a perfectly
    calibrated model would show on as many examples.
    """
    after = np.array([[one["probabilities"][label] for label in schema.labels] for one in decoded])
    before = c.cooled(after, schema.temperature, several=truth.ndim == 2)
    samples = min(samples, SAMPLES)
    rng = np.random.default_rng(seed)
    chosen = rng.integers(0, len(truth), (samples, len(truth)))
    sides = {"before": _Side(before, truth, chosen, seed), "after": _Side(after, truth, chosen, seed)}
    found: dict[str, Any] = {
        "temperature": schema.temperature,
        "fitted_here": fitted_here,
        "claims": "decisions on a label" if truth.ndim == 2 else "predictions",
    }
    for name in ("ece", "brier", "nll"):
        found[name] = {side: one.scores[name] for side, one in sides.items()}
        change = sides["after"].resamples[name] - sides["before"].resamples[name]
        found[name]["change"] = interval(change)
    sureness, right = _answers(decoded, after, truth, schema)
    return found | {"bins": {side: one.bins() for side, one in sides.items()}} | _abstaining(sureness, right, chosen)


class _Side:
    """Scores with intervals of one set of probabilities, all on the same resamples of the examples."""

    def __init__(self, probabilities: Array, truth: Array, chosen: Array, seed: int) -> None:
        self.said, self.true = c.claims(probabilities, truth)
        losses = {"brier": c.brier_scores(probabilities, truth), "nll": c.log_losses(probabilities, truth)}
        self.resamples = {name: np.array([loss[one].mean() for one in chosen]) for name, loss in losses.items()}
        self.resamples["ece"] = np.array([c.calibration_error(self.said[one], self.true[one]) for one in chosen])
        error = c.calibration_error(self.said, self.true)
        chance = c.chance_errors(self.said, samples=len(chosen), seed=seed)
        self.scores = {
            name: {"value": float(loss.mean()), **interval(self.resamples[name])} for name, loss in losses.items()
        }
        self.scores["ece"] = {
            "value": error,
            **_turned(error, interval(self.resamples["ece"])),
            "chance": float(np.quantile(chance, 0.95)),
        }

    def bins(self) -> list[dict[str, Any]]:
        """Return the bins that hold a claim: how many, how likely they were said to be, and how many are true."""
        counts, said, true = c.bin_sums(self.said, self.true)
        found = []
        for number in np.flatnonzero(counts):
            n = int(counts[number])
            low, high = c.wilson_95(float(true[number]), n)
            shares = {"confidence": float(said[number] / n), "accuracy": float(true[number] / n)}
            found.append({"n": n, **shares, "low": low, "high": high})
        return found


def _turned(value: float, found: Mapping[str, float | None]) -> dict[str, float | None]:
    """Return the basic bootstrap interval: a resample's calibration error is biased as the error itself is, upwards."""
    low, high = found["low"], found["high"]
    assert low is not None and high is not None, "an error of examples is never undefined"
    return {"low": max(0.0, 2 * value - high), "high": max(0.0, 2 * value - low)}


def _answers(
    decoded: Sequence[Mapping[str, Any]], probabilities: Array, truth: Array, schema: Any
) -> tuple[Array, Array]:
    """Return how sure the model is of each example's answer, and whether it is right.

    A set of labels is as sure as all its decisions together, were they independent.
    """
    if truth.ndim == 1:
        index = {label: i for i, label in enumerate(schema.labels)}
        answers = np.array([index[one["label"]] for one in decoded])
        return probabilities[np.arange(len(truth)), answers], (answers == truth).astype(float)
    chosen = np.array([[label in one["labels"] for label in schema.labels] for one in decoded])
    decisions = np.where(chosen, probabilities, 1 - probabilities)
    return decisions.prod(axis=1), (chosen == truth).all(axis=1).astype(float)


def _abstaining(sureness: Array, right: Array, chosen: Array) -> dict[str, Any]:
    """Return the risk-coverage curve, the area under it, and what abstaining on a share of the examples gains.

    The area (AURC) is the mean error over all coverages (Geifman and El-Yaniv 2017, arXiv:1705.08500; Geifman et al. 2019,
    arXiv:1805.08206). `unordered` is that of sureness that says nothing, the share of errors, and `perfect` that of a model
    whose errors are all less sure than its right answers.
    """
    risks = c.selective_errors(sureness, right)
    resampled = np.array([c.selective_errors(sureness[one], right[one]) for one in chosen])
    n = len(right)
    at = np.unique(np.linspace(1, n, min(n, _CURVE_POINTS)).round().astype(int))
    perfect = float(c.selective_errors(right, right).mean())
    gains = []
    for share in ABSTAIN:
        kept = max(1, round(n * (1 - share)))
        value, all_of_them = 1 - float(risks[kept - 1]), 1 - float(risks[-1])
        gain = interval(resampled[:, -1] - resampled[:, kept - 1])
        gains.append(
            {
                "share": share,
                "accuracy": {"value": value, **interval(1 - resampled[:, kept - 1])},
                "of_all": all_of_them,
                "gain": {"value": value - all_of_them, **gain},
            }
        )
    area = {"value": float(risks.mean()), **interval(resampled.mean(axis=1))}
    return {
        "aurc": {**area, "unordered": float(risks[-1]), "perfect": perfect},
        "risk_coverage": [[k / n, float(risks[k - 1])] for k in at.tolist()],
        "abstaining": gains,
    }
