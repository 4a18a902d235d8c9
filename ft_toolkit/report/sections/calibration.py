"""Calibration of a classifier's probabilities, and the gain from abstaining when the confidence is low."""

import math
from typing import Any

from ft_toolkit.core.run_scores import Abstention, Calibration
from ft_toolkit.report.charts import Line, Plot, Point, axis_range, plot_chart
from ft_toolkit.report.numbers import interval, number
from ft_toolkit.report.run_files import RunFiles
from ft_toolkit.report.section import Section, per_split
from ft_toolkit.report.tables import Cell, Table, header

_CHART_HEIGHT = 300
# The risk-coverage curve begins here: among the first few examples a single error dominates.
_FIRST_COVERAGE = 0.05
# A temperature closer to 1 makes no visible difference.
_TEMPERATURE_TOLERANCE = 0.005
_SUMMARY_SHARE = 0.2


def _build(run: RunFiles, split: str) -> dict[str, Any] | None:
    scores = run.results.scores[split]
    calibration, n = scores.calibration, scores.n
    if calibration is None:
        return None
    return {
        "sentences": calibration_sentences(run, split),
        "table": _table(calibration, n),
        "reliability": _reliability_chart(calibration),
        "risk_coverage": _risk_coverage_chart(calibration),
        "unit": calibration.claims,
        "abstaining": [_abstention_text(abstention, n) for abstention in calibration.abstaining],
        "aurc": calibration.aurc,
    }


def _where_it_is(run: RunFiles) -> str:
    """Return a sentence on the programs that apply the temperature; empty for a folder without a model."""
    if run.contract is None:
        return ""
    if run.contract.folded_temperature is not None:
        return " The last layer of the saved model contains it, so transformers alone gives the same probabilities."
    return " It is only in inference.json: transformers alone gives uncalibrated probabilities."


def _temperature_sentence(run: RunFiles, temperature: float) -> str:
    """Return a sentence on the temperature, its interval (if a split of the run chose it), and its meaning."""
    low = high = None
    for scores in run.results.scores.values():
        if scores.calibration is not None and scores.calibration.temperature_low is not None:
            low, high = scores.calibration.temperature_low, scores.calibration.temperature_high
    finding = "underconfident" if temperature < 1 else "overconfident"
    text = f"Logits are divided by a temperature of {temperature:.3g}"
    if low is not None and high is not None:
        text += f" (95% interval {low:.3g} to {high:.3g})"
        if low <= 1 <= high:
            finding = f"not significantly {finding}"
    return f"{text}, chosen on the validation rows, where the model was {finding}."


def calibration_sentences(run: RunFiles, split: str) -> list[str]:
    """Return sentences on the temperature and on the calibration error; none without calibration."""
    scores = run.results.scores[split]
    calibration, n = scores.calibration, scores.n
    if calibration is None:
        return []
    temperature, error = calibration.temperature, calibration.ece.after
    sentences = []
    if abs(temperature - 1) >= _TEMPERATURE_TOLERANCE:
        sentences.append(
            f"{_temperature_sentence(run, temperature)} The temperature changes probabilities, not the predicted label."
            f"{_where_it_is(run)}"
        )
    if calibration.fitted_here:
        sentences.append("The temperature was chosen on these rows, so these calibration scores are optimistic.")
    result = "the model is miscalibrated" if (error.value or 0.0) > error.chance else "no significant miscalibration"
    return [
        *sentences,
        f"The expected calibration error is {number(error.value, n)}; on {n:,} examples a perfectly calibrated model would "
        f"have at most {number(error.chance, n)} in 95% of draws: {result}.",
    ]


def abstention_sentence(run: RunFiles, split: str) -> str | None:
    """Return a sentence on the gain from abstaining on the least confident fifth, None without calibration."""
    scores = run.results.scores[split]
    abstaining = scores.calibration.abstaining if scores.calibration is not None else []
    texts = (_abstention_text(part, scores.n) for part in abstaining if part.share == _SUMMARY_SHARE)
    return next(texts, None)


def _abstention_text(abstention: Abstention, n: int) -> str:
    is_significant = (abstention.gain.low or 0.0) > 0
    text = f"abstaining on the least confident {abstention.share:.0%} "
    text += "raises" if is_significant else "would change"
    text += f" the accuracy on the rest from {number(abstention.of_all, n)} to {number(abstention.accuracy.value, n)} "
    text += f"(95% interval of the gain {interval(abstention.gain, n)})"
    return text + ("." if is_significant else "; there is no significant gain.")


def _table(calibration: Calibration, n: int) -> Table:
    rows = []
    for title, scores in (
        ("expected calibration error", calibration.ece),
        ("Brier score", calibration.brier),
        ("negative log-likelihood", calibration.nll),
    ):
        cells = [Cell(title)]
        for score in (scores.before, scores.after):
            cells += [Cell(number(score.value, n), True), Cell(interval(score, n), True)]
        rows.append([*cells, Cell(interval(scores.change, n), True)])
    names = ["lower is better", "before", "95% interval", "after", "95% interval", "change, 95% interval"]
    return Table("", header(names, range(1, 6)), rows)


def _reliability_chart(calibration: Calibration) -> str:
    points = []
    for side, style, bins in (
        ("before", "plain", calibration.bins.before),
        ("after", "strong", calibration.bins.after),
    ):
        total = sum(part.n for part in bins)
        for part in bins:
            text = f"{side}: {part.n:,} with a mean confidence of {part.confidence:.3f}, accuracy {part.accuracy:.3f}"
            low, high = (part.low, part.high) if side == "after" else (None, None)
            size = 2.5 + 6 * math.sqrt(part.n / total)
            points.append(Point(part.confidence, part.accuracy, low, high, text, style, size))
    values = "; ".join(
        f"confidence {part.confidence:.2f}, accuracy {part.accuracy:.2f}" for part in calibration.bins.after
    )
    guide = Line("perfect calibration", [(0, 0), (1, 1)], "guide")
    plot = Plot((0, 1), (0, 1), points=points, guides=[guide])
    return plot_chart(plot, label=f"Reliability per bin, after the temperature: {values}", height=_CHART_HEIGHT)


def _risk_coverage_chart(calibration: Calibration) -> str:
    points = [(share, error) for share, error in calibration.risk_coverage if share >= _FIRST_COVERAGE]
    error_of_all = calibration.aurc.unordered
    _, top = axis_range([0.0, error_of_all, *(error for _, error in points)], highest=1.0)
    guide = Line("all examples", [(0, error_of_all), (1, error_of_all)], "guide")
    label = f"Error rate by coverage, the most confident examples first: {error_of_all:.4f} when all are answered"
    for abstention in calibration.abstaining:
        label += f", {1 - (abstention.accuracy.value or 0.0):.4f} at {1 - abstention.share:.0%}"
    plot = Plot((0, 1), (0, top), lines=[Line("errors", points, "strong")], guides=[guide])
    return plot_chart(plot, label=label, height=_CHART_HEIGHT)


SECTION = Section(order=70, title="Calibration", build=per_split(_build))
