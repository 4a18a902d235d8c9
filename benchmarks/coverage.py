"""Simulate the rates that reports state (95% coverage, 5% errors, 80% power), through the functions that compute them.

    python benchmarks/coverage.py --out benchmarks/results/coverage.md

Each row of the table is one simulated condition: the nominal rate, the observed rate, and its 95% Clopper-Pearson interval.
A share of right examples depends only on counts, so equal counts are computed once and many repetitions are cheap.
"""

import argparse
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import beta, binom, norm

from ft_toolkit.core.run_records import RunResults
from ft_toolkit.evaluation.breakdown.calibration import calibration
from ft_toolkit.evaluation.breakdown.groups import group_gaps
from ft_toolkit.evaluation.breakdown.slices import score_slices
from ft_toolkit.evaluation.compare.comparison import compare_runs
from ft_toolkit.evaluation.compare.differences import compare_main_metric
from ft_toolkit.evaluation.compare.examples import ScoredExamples
from ft_toolkit.evaluation.compare.finished_runs import FinishedRun
from ft_toolkit.evaluation.compare.gate_checks import Drop, check_drop
from ft_toolkit.evaluation.scoring import score_split
from ft_toolkit.evaluation.statistics.power_law import fit_record, point_record
from ft_toolkit.evaluation.statistics.scores import Scores, ScoringSetup
from ft_toolkit.evaluation.statistics.scores import score_interval as interval_of_score
from ft_toolkit.evaluation.statistics.significance import difference_interval, pair_scores
from ft_toolkit.metrics import calibration as calibration_metrics
from ft_toolkit.metrics.bootstrap import resample
from ft_toolkit.metrics.clusters import find_clusters
from ft_toolkit.metrics.metric import Metric
from ft_toolkit.tasks.text.label_scores import label_metrics
from ft_toolkit.tasks.text_classification import TASK, Schema

LABELS = ("bad", "good")
SCHEMA = Schema("single_label_classification", LABELS, None, 0.5)
SETTINGS = TASK.settings(name="text_classification")
METRICS = label_metrics("single_label_classification")
ACCURACY = {"accuracy": METRICS["accuracy"]}


@dataclass(frozen=True)
class Rate:
    """A simulated rate. `kind` says how to read `nominal`: "=" the stated rate, "<=" the largest, ">=" the smallest.

    An `enumerated` rate is exact: it has no trials.
    """

    claim: str
    condition: str
    kind: str
    nominal: float
    hits: int = 0
    trials: int = 0
    enumerated: float | None = None

    @property
    def value(self) -> float:
        """The observed rate."""
        return self.hits / self.trials if self.enumerated is None else self.enumerated

    @property
    def interval(self) -> tuple[float, float]:
        """The 95% Clopper-Pearson interval of the rate."""
        low = beta.ppf(0.025, self.hits, self.trials - self.hits + 1) if self.hits else 0.0
        high = beta.ppf(0.975, self.hits + 1, self.trials - self.hits) if self.hits < self.trials else 1.0
        return float(low), float(high)


def contains(interval: Any, value: float) -> bool:
    """Return whether an interval {low, high} contains a value; False where the interval is undefined."""
    low, high = interval["low"], interval["high"]
    return low is not None and high is not None and low - 1e-12 <= value <= high + 1e-12


def score_interval(metrics: dict[str, Metric], predictions: np.ndarray, references: np.ndarray, samples: int) -> Any:
    """Return {metric: {value, low, high, detectable}} as results.json records it."""
    fns = {name: metric.fn for name, metric in metrics.items()}
    values = {name: fn(predictions, references) for name, fn in fns.items()}
    resamples = resample(fns, predictions, references, samples=samples, seed=0)
    return Scores(len(references), metrics, values, resamples, {}, predictions, references).metrics()


def scoring_setup(metrics: dict[str, Metric], **columns: tuple[str, ...]) -> ScoringSetup:
    """Return the setup of a classifier with 300 resamples."""
    return ScoringSetup(TASK, SETTINGS, SCHEMA, metrics, next(iter(metrics)), samples=300, seed=0, **columns)


def finished_runs(right: np.ndarray) -> list[FinishedRun]:
    """Return one run per row of `right`, shape (runs, n): which examples the run has right."""
    n = right.shape[1]
    references = np.arange(n) % 2
    results = RunResults.model_construct(main_metric="accuracy", substitutions=[], name="run")
    runs = []
    for number, row in enumerate(right):
        predictions = np.where(row, references, 1 - references)
        records = [
            {"id": str(i), "text": "a", "gold": LABELS[r], "label": LABELS[p], "score": 0.9}
            for i, (p, r) in enumerate(zip(predictions.tolist(), references.tolist(), strict=True))
        ]
        folder = Path(f"/nonexistent/run{number}")
        examples = ScoredExamples(
            results, folder, "test", "same", TASK, SETTINGS, SCHEMA, records, predictions, references
        )
        runs.append(FinishedRun(f"run{number}", folder, examples, results, None))
    return runs


def paired_right(n: int, only_base: int, only_run: int) -> np.ndarray:
    """Return which examples base and run have right, shape (2, n); both are right where they agree."""
    right = np.ones((2, n), bool)
    right[1, :only_base] = False
    right[0, only_base : only_base + only_run] = False
    return right


def share_coverage(repetitions: int) -> Iterator[Rate]:
    """Simulate the 95% interval of the accuracy."""
    for n, share in ((20, 0.88), (50, 0.935), (100, 0.985), (1000, 0.905)):

        @cache
        def interval(hits: int, n: int = n) -> Any:
            return score_interval(ACCURACY, (np.arange(n) < hits).astype(int), np.ones(n, int), 1000)["accuracy"]

        hits = np.random.default_rng(1).binomial(n, share, 40 * repetitions).tolist()
        covered = sum(contains(interval(count), share) for count in hits)
        yield Rate("interval of an accuracy", f"n = {n}, p = {share}", "=", 0.95, covered, len(hits))


def slice_difference_coverage(repetitions: int) -> Iterator[Rate]:
    """Simulate the 95% interval of the accuracy of a slice minus the accuracy of the other rows."""
    for inside, outside, p, q in ((20, 180, 0.95, 0.85), (40, 160, 0.97, 0.97), (100, 400, 0.7, 0.8)):
        setup = scoring_setup(ACCURACY, slices=("source",))
        rows = [{"text": "a", "source": "in" if i < inside else "out"} for i in range(inside + outside)]

        @cache
        def difference(
            first: int, second: int, rows: Any = rows, setup: Any = setup, sizes: Any = (inside, outside)
        ) -> Any:
            right = np.concatenate([np.arange(size) < hits for size, hits in zip(sizes, (first, second), strict=True)])
            table = score_slices(rows, right.astype(int), np.ones(len(right), int), setup)[0]["values"]
            return next(entry["difference"] for entry in table if entry["value"] == "in")

        rng = np.random.default_rng(2)
        draws = list(
            zip(
                rng.binomial(inside, p, 2 * repetitions).tolist(),
                rng.binomial(outside, q, 2 * repetitions).tolist(),
                strict=True,
            )
        )
        covered = sum(contains(difference(*draw), p - q) for draw in draws)
        condition = f"n = {inside} and {outside}, p = {p} and {q}"
        yield Rate("difference of a slice and the rest", condition, "=", 0.95, covered, len(draws))


# Number of rows, true drop, shares of rows on which the runs differ.
GATE_CELLS = tuple((n, drop, (0.05, 0.1, 0.2, 0.3)) for n in (10, 20, 50, 100, 200, 500) for drop in (0.0, 0.02, 0.05))


def gate_errors(repetitions: int, cells: Sequence[tuple[int, float, tuple[float, ...]]] = GATE_CELLS) -> Iterator[Rate]:
    """Enumerate `ftk gate --baseline` where the true drop is exactly the allowed one: the largest rate of errors."""
    del repetitions  # not simulated
    for n, drop, differing in cells:
        worst = {True: 0.0, False: 0.0}

        @cache
        def passes(b: int, c: int, strict: bool, n: int = n, drop: float = drop) -> bool:
            base, run = finished_runs(paired_right(n, b, c))
            return check_drop(Drop(base, "accuracy", drop, 0.05, strict), run, smoke=False)[0].passed

        for share in differing:
            chances = list(plausible_counts(n, (share + drop) / 2, (share - drop) / 2))
            for strict in worst:
                wrong = math.fsum(chance for b, c, chance in chances if passes(b, c, strict) == strict)
                worst[strict] = max(worst[strict], wrong)
        condition = f"n = {n}, true drop {drop:g}, {differing[0]:.0%} to {differing[-1]:.0%} of rows differ"
        yield Rate("gate --strict passes", condition, "<=", 0.05, enumerated=worst[True])
        yield Rate("gate --max-drop fails", condition, "<=", 0.05, enumerated=worst[False])


def plausible_counts(n: int, only_base: float, only_run: float) -> Iterator[tuple[int, int, float]]:
    """Return the counts of rows that only the base and only the run has right, with their probability (above 1e-7)."""
    b, c = np.arange(n + 1)[:, None], np.arange(n + 1)[None, :]
    chances = binom.pmf(b, n, only_base) * binom.pmf(c, np.maximum(n - b, 0), only_run / (1 - only_base))
    for i, j in np.argwhere(chances > 1e-7).tolist():
        yield i, j, float(chances[i, j])


def contradictions(repetitions: int, trials: int | None = None) -> Iterator[Rate]:
    """Simulate two runs with a true difference: does the headline agree with its interval and with the table of the page?"""
    for n, only_base, only_run in ((100, 0.04, 0.12),):
        rng = np.random.default_rng(4)
        trials = trials or max(10, repetitions // 20)
        interval_disagrees = table_disagrees = 0
        for b, c, _ in rng.multinomial(n, [only_base, only_run, 1 - only_base - only_run], trials).tolist():
            comparison = compare_runs(finished_runs(paired_right(n, b, c)), metric=None, columns=[])
            headline = comparison.main.differences["run1"]
            table = next(row for row in comparison.metrics if row.name == "accuracy").differences["run1"]
            is_shown = headline.outcome in ("better", "worse")
            interval_disagrees += is_shown == contains({"low": headline.low, "high": headline.high}, 0.0)
            table_disagrees += is_shown != (table.outcome in ("better", "worse"))
        condition = f"n = {n}, {only_run:.0%} against {only_base:.0%} of rows"
        yield Rate("compare: headline contradicts its interval", condition, "<=", 0.0, interval_disagrees, trials)
        yield Rate("compare: headline contradicts the table", condition, "<=", 0.0, table_disagrees, trials)


def _run_batch(rng: np.random.Generator, runs: int, n: int, share: float, copy: float) -> np.ndarray:
    """Return (runs, n): with probability `copy` a run repeats the result of the common model on a row, else it draws anew."""
    common = rng.random(n) < share
    independent = rng.random((runs, n)) < share
    return np.where(rng.random((runs, n)) < copy, common, independent)


def family_errors(repetitions: int) -> Iterator[Rate]:
    """Simulate runs and baselines without a true difference: how often is any difference from the base shown?"""
    for runs, n in ((2, 100), (6, 100), (6, 500)):
        rng, trials = np.random.default_rng(5), max(20, repetitions // 5)
        wrong = 0
        for _ in range(trials):
            row = compare_main_metric(finished_runs(_run_batch(rng, runs, n, 0.85, 0.6)), "accuracy")
            wrong += any(difference.outcome in ("better", "worse") for difference in row.differences.values())
        yield Rate("compare: any false difference", f"{runs} runs, n = {n}", "<=", 0.05, wrong, trials)
    for baselines in (1, 3):
        rng, trials, wrong = np.random.default_rng(6), max(20, repetitions // 8), 0
        rows = [{"id": str(i), "text": "a", "label": LABELS[i % 2]} for i in range(100)]
        setup = replace(scoring_setup(ACCURACY), task=replace(TASK, classifier=lambda settings: None))
        for _ in range(trials):
            right = _run_batch(rng, 1 + baselines, 100, 0.85, 0.6)
            model, *others = [[{"label": LABELS[(i + 1 - hit) % 2]} for i, hit in enumerate(row)] for row in right]
            named = {f"baseline{k}": predicted for k, predicted in enumerate(others)}
            record = score_split(model, rows, setup, named, fitted_here=False).record
            leads = [scores["accuracy"]["lead"] for scores in record["baselines"].values()]
            wrong += any(not contains(lead, 0.0) for lead in leads)
        condition = f"{baselines} baselines, n = 100"
        yield Rate("report: any false lead over a baseline", condition, "<=", 0.05, wrong, trials)


def power(repetitions: int) -> Iterator[Rate]:
    """Simulate a true difference as large as the printed smallest detectable difference: how often is it shown?"""
    for runs, n in ((2, 500), (6, 500)):
        rng, trials = np.random.default_rng(7), max(20, repetitions // 8)

        def compared(gain: float, rng: Any = rng, runs: int = runs, n: int = n) -> Any:
            right = _run_batch(rng, runs, n, 0.8, 0.6)
            right[1] |= rng.random(n) < gain / 0.2
            return compare_main_metric(finished_runs(right), "accuracy").differences["run1"]

        gain = 0.05
        for _ in range(3):  # the detectable difference depends a little on the true one
            gain = float(np.mean([compared(gain).detectable for _ in range(15)]))
        shown = sum(compared(gain).outcome == "better" for _ in range(trials))
        condition = f"{runs} runs, n = {n}, true difference {gain:.3f}"
        yield Rate("compare: power at the smallest detectable difference", condition, "=", 0.8, shown, trials)


def _labels(rng: np.random.Generator, n: int, classes: int, share: float) -> tuple[np.ndarray, np.ndarray]:
    references = rng.integers(0, classes, n)
    return np.where(rng.random(n) < share, references, rng.integers(0, classes, n)), references


def _coverage(
    claim: str,
    condition: str,
    metric: Metric,
    truth: float,
    draw: Callable[[], tuple[np.ndarray, np.ndarray]],
    trials: int,
) -> Rate:
    covered = sum(contains(score_interval({"m": metric}, *draw(), 300)["m"], truth) for _ in range(trials))
    return Rate(claim, condition, "=", 0.95, covered, trials)


def small_samples(repetitions: int) -> Iterator[Rate]:
    """Simulate the 95% interval of scores that are no means, on few rows."""
    rng, trials = np.random.default_rng(8), max(20, repetitions // 2)
    for name, n in (("matthews_correlation", 30), ("matthews_correlation", 50), ("f1_macro", 30), ("f1_macro", 50)):
        metric = METRICS[name]
        truth = metric.fn(*_labels(rng, 2_000_000, 2, 0.8))

        def draw_labels(n: int = n) -> tuple[np.ndarray, np.ndarray]:
            return _labels(rng, n, 2, 0.8)

        yield _coverage("interval on few rows", f"{name}, n = {n}", metric, truth, draw_labels, trials)
    pearson = label_metrics("regression")["pearson"]
    for n, correlation in ((20, 0.8), (50, 0.9), (200, 0.5)):

        def draw(n: int = n, correlation: float = correlation) -> tuple[np.ndarray, np.ndarray]:
            x, noise = rng.standard_normal((2, n))
            return x, correlation * x + math.sqrt(1 - correlation**2) * noise

        yield _coverage(
            "interval of a correlation", f"pearson, n = {n}, r = {correlation}", pearson, correlation, draw, trials
        )


def calibration_claims(repetitions: int) -> Iterator[Rate]:
    """Simulate the calibration error of a calibrated model (its true value is 0), and accuracy with abstaining."""
    trials = max(20, repetitions // 4)
    setup = scoring_setup(ACCURACY)
    for n in (100, 500):
        rng, covered, answered = np.random.default_rng(9), 0, 0
        population = _calibrated(rng, 400_000)
        confidence, right = population[1].max(axis=1), population[1].argmax(axis=1) == population[0]
        truth = right[confidence >= np.quantile(confidence, 0.5)].mean()
        for _ in range(trials):
            references, probabilities = _calibrated(rng, n)
            decoded = [{"probabilities": dict(zip(LABELS, row, strict=True))} for row in probabilities.tolist()]
            record = calibration(decoded, probabilities.argmax(axis=1), references, setup, fitted_here=False)
            covered += contains(record["ece"]["after"], 0.0)
            answered += contains(record["abstaining"][2]["accuracy"], truth)
        yield Rate("interval of the calibration error, calibrated model", f"n = {n}", "=", 0.95, covered, trials)
        yield Rate("accuracy when abstaining on half", f"n = {n}", "=", 0.95, answered, trials)


def _calibrated(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return labels (n,) and calibrated probabilities (n, 2)."""
    positive = 1 / (1 + np.exp(-2 * rng.standard_normal(n)))
    return (rng.random(n) < positive).astype(int), np.stack([1 - positive, positive], axis=1)


def temperatures(repetitions: int, sizes: Sequence[int] = (30, 50, 100, 200, 500)) -> Iterator[Rate]:
    """Simulate temperature scaling of a calibrated model: how often does it increase the loss on new rows by over 0.005?

    The mean change of the loss is part of the condition, also for a model whose logits are 1.5 times too large.
    """
    for n in sizes:
        rng, trials = np.random.default_rng(10), max(20, repetitions // 2)
        truth, probabilities = _calibrated(rng, 20_000)
        changes: dict[float, list[float]] = {1.0: [], 1.5: []}
        for scale, losses in changes.items():
            logits = scale * np.log(probabilities)
            plain = _loss(logits, truth, 1.0)
            for _ in range(trials):
                labels, drawn = _calibrated(rng, n)
                temperature = calibration_metrics.fit_temperature(scale * np.log(drawn), labels)
                losses.append(_loss(logits, truth, temperature) - plain)
        condition = (
            f"{n} rows (mean change {np.mean(changes[1.0]):+.4f}; {np.mean(changes[1.5]):+.4f} if overconfident)"
        )
        worse = sum(change > 0.005 for change in changes[1.0])
        yield Rate("temperature: loss of a calibrated model worse by over 0.005", condition, "<=", 0.05, worse, trials)


def _loss(logits: np.ndarray, truth: np.ndarray, temperature: float) -> float:
    scaled = calibration_metrics.probabilities_of(logits, multi_label=False, temperature=temperature)
    return float(calibration_metrics.log_losses(scaled, truth).mean())


def group_gaps_null(repetitions: int) -> Iterator[Rate]:
    """Simulate groups without a gap: how often does the printed interval of the widest gap exclude 0?"""
    for groups in (2, 5, 20):
        rng, wrong, trials = np.random.default_rng(11), 0, max(20, repetitions // 20)
        setup = scoring_setup(ACCURACY, groups=("group",))
        rows = [{"text": "a", "group": str(i % groups)} for i in range(60 * groups)]
        for _ in range(trials):
            predictions, references = rng.integers(0, 2, (2, len(rows)))
            gap = group_gaps(rows, predictions, references, setup)[0]["demographic_parity"]["labels"][0]
            wrong += gap["low"] is not None and gap["low"] > 0
        yield Rate("interval of the widest group gap excludes 0", f"{groups} groups of 60", "<=", 0.05, wrong, trials)


def macro_scores(repetitions: int) -> Iterator[Rate]:
    """Simulate the 95% interval of macro F1 with many classes and few rows per class."""
    rng, trials = np.random.default_rng(12), max(20, repetitions // 5)
    metric = METRICS["f1_macro"]
    for classes, n in ((4, 100), (20, 200), (77, 200), (77, 1000)):
        truth = metric.fn(*_labels(rng, 1_000_000, classes, 0.8))

        def draw(n: int = n, classes: int = classes) -> tuple[np.ndarray, np.ndarray]:
            return _labels(rng, n, classes, 0.8)

        yield _coverage("interval of macro F1", f"{classes} classes, n = {n}", metric, truth, draw, trials)


def learning_curve_gain(repetitions: int) -> Iterator[Rate]:
    """Simulate the 95% interval of the gain from twice the rows: four shares scored on the same examples."""
    trials, shares = max(20, repetitions // 5), np.array([0.125, 0.25, 0.5, 1.0])
    metric = METRICS["accuracy"]
    for exponent, floor, n in ((0.3, 0.0, 300), (0.6, 0.0, 300), (0.6, 0.0, 1500), (0.6, 0.05, 300)):
        rng, covered = np.random.default_rng(13), 0
        errors = 0.12 * shares**-exponent + floor
        gain = 0.12 - 0.12 * 2.0**-exponent
        for _ in range(trials):
            # An example is as difficult for each share: the errors correlate (0.7 on the scale of the latent variable).
            latent = math.sqrt(0.7) * rng.standard_normal((n, 1)) + math.sqrt(0.3) * rng.standard_normal((n, 4))
            right = (latent >= norm.ppf(errors)).astype(int)
            truth = np.ones(n, int)
            points, draws = [], []
            for share, predictions in zip(shares, right.T, strict=True):
                score = score_interval({"m": metric}, predictions, truth, 100)["m"]
                points.append({"rows": int(2000 * share), **point_record([score], metric, n)})
                draws.append(resample({"m": metric.fn}, predictions, truth, samples=300, seed=0)["m"])
            fit = fit_record(points, metric, draws)
            covered += fit is not None and contains(fit["twice"]["change"], gain)
        condition = f"4 shares, n = {n}, exponent {exponent}, floor {floor}"
        yield Rate("learning curve: gain from twice the rows", condition, "=", 0.95, covered, trials)


def _clustered(rng: np.random.Generator, sizes: np.ndarray, share: float, correlation: float) -> np.ndarray:
    """Return whether each row is right, shape (n,). The share of right rows per document has a beta distribution."""
    a, b = (part * (1 - correlation) / correlation for part in (share, 1 - share))
    return (rng.random(sizes.sum()) < np.repeat(rng.beta(a, b, len(sizes)), sizes)).astype(int)


# Documents, rows per document, intraclass correlation.
CLUSTER_CELLS = ((8, 25, 0.1), (12, 20, 0.3), (20, 12, 0.2), (40, 5, 0.3), (100, 20, 0.3))


def clustered_rows(repetitions: int, cells: Sequence[tuple[int, int, float]] = CLUSTER_CELLS) -> Iterator[Rate]:
    """Simulate rows that share a document: the interval of an accuracy, and false differences of two equal models."""
    trials = max(20, repetitions)
    for documents, rows, correlation in cells:
        rng, sizes = np.random.default_rng(12), np.full(documents, rows)
        clusters = find_clusters("document", np.repeat(np.arange(documents), sizes))
        condition = f"{documents} documents of {rows} rows, correlation {correlation}"
        covered = {"rows as independent": 0, "documents resampled": 0}
        differences = dict.fromkeys(covered, 0)
        for _ in range(trials):
            first, second = (_clustered(rng, sizes, 0.8, correlation) for _ in range(2))
            ones = np.ones(len(first), int)
            for method, each in zip(covered, (None, clusters), strict=True):
                drawn = partial(resample, {"": ACCURACY["accuracy"].fn}, samples=300, seed=0, clusters=each)
                one, other = (drawn(right, ones)[""] for right in (first, second))
                covered[method] += contains(interval_of_score(ACCURACY["accuracy"], first, ones, one, each), 0.8)
                pair = pair_scores(
                    ACCURACY["accuracy"], (first, ones), (second, ones), partial(np.subtract, one, other), each
                )
                ends = difference_interval(pair)
                differences[method] += not contains({"low": ends.low, "high": ends.high}, 0.0)
        for method in covered:
            yield Rate(f"interval of an accuracy, {method}", condition, "=", 0.95, covered[method], trials)
            yield Rate(f"false difference of two models, {method}", condition, "=", 0.05, differences[method], trials)


# Documents, rows per document, intraclass correlation; small cells.
BREAKDOWN_CELLS = ((12, 10, 0.3), (20, 6, 0.3), (40, 5, 0.3))


def clustered_breakdown(repetitions: int, cells: Sequence[tuple[int, int, float]] = BREAKDOWN_CELLS) -> Iterator[Rate]:
    """Simulate a calibrated classifier on rows that share a document: calibration, abstaining, and gaps between groups.

    The outcome of a row and its document are correlated. A document is in one of two groups, or its rows are.
    """
    for documents, rows, correlation in cells:
        rng, n = np.random.default_rng(14), documents * rows
        document = np.repeat(np.arange(documents), rows)
        clusters = find_clusters("document", document)
        methods = {"rows as independent": None, "documents resampled": clusters}
        hits: dict[tuple[str, str], int] = {}
        for _ in range(repetitions):
            confidence, right = _clustered_outcomes(rng, document, correlation)
            by_document = (document + rng.integers(0, 2)) % 2
            by_row = rng.integers(0, 2, n)
            for method, each in methods.items():
                setup = replace(scoring_setup(ACCURACY, groups=("document", "row")), clusters=each)
                for claim, hit in _breakdown_hits(confidence, right, (by_document, by_row), setup).items():
                    hits[claim, method] = hits.get((claim, method), 0) + hit
        condition = f"{documents} documents of {rows} rows, correlation {correlation}"
        for (claim, method), count in hits.items():
            nominal = 0.05 if claim.startswith("false") else 0.95
            yield Rate(f"{claim}, {method}", condition, "=", nominal, count, repetitions)


# The accuracy of a calibrated model whose confidence is uniform between 0.55 and 0.95, and of its more confident half.
_ACCURACY_OF_ALL, _ACCURACY_OF_HALF = 0.75, 0.85


def _clustered_outcomes(
    rng: np.random.Generator, document: np.ndarray, correlation: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the confidence and whether the row is right, shape (n,): a normal variable of the document makes rows similar."""
    confidence = rng.uniform(0.55, 0.95, len(document))
    shared = rng.standard_normal(document.max() + 1)[document]
    latent = math.sqrt(correlation) * shared + math.sqrt(1 - correlation) * rng.standard_normal(len(document))
    return confidence, latent < norm.ppf(confidence)


def _breakdown_hits(
    confidence: np.ndarray, right: np.ndarray, groups: tuple[np.ndarray, np.ndarray], setup: ScoringSetup
) -> dict[str, bool]:
    """Return, for each claim, whether an interval contains the true value, or a false gap is reported."""
    predictions = np.ones(len(right), int)
    references = right.astype(int)
    decoded = [{"probabilities": {LABELS[1]: said, LABELS[0]: 1 - said}} for said in confidence.tolist()]
    record = calibration(decoded, predictions, references, setup, fitted_here=False)
    middle = max(record["bins"]["after"], key=lambda entry: entry["n"])
    half = record["abstaining"][2]
    hits = {
        "interval of the calibration error": contains(record["ece"]["after"], 0.0),
        "interval of the accuracy in the largest bin": contains(middle, middle["confidence"]),
        "accuracy when abstaining on half": contains(half["accuracy"], _ACCURACY_OF_HALF),
        "gain when abstaining on half": contains(half["gain"], _ACCURACY_OF_HALF - _ACCURACY_OF_ALL),
    }
    # As a fairness check of the predicted label: whether the row is right is the prediction here.
    rows = [{"text": "a", "document": str(a), "row": str(b)} for a, b in zip(*groups, strict=True)]
    for table in group_gaps(rows, references, predictions, setup):
        gap = table["demographic_parity"]
        is_wrong = gap is not None and gap["p_value"] < 0.05
        hits[f"false gap between two groups, one group per {table['column']}"] = is_wrong
        interval = gap["labels"][0] if gap is not None else {"low": None, "high": None}
        hits[f"interval of the gap contains 0, one group per {table['column']}"] = contains(interval, 0.0)
    return hits


CLAIMS: dict[str, Callable[[int], Iterator[Rate]]] = {
    fn.__name__: fn
    for fn in (
        share_coverage,
        slice_difference_coverage,
        gate_errors,
        contradictions,
        family_errors,
        power,
        small_samples,
        calibration_claims,
        temperatures,
        group_gaps_null,
        macro_scores,
        learning_curve_gain,
        clustered_rows,
        clustered_breakdown,
    )
}


def as_markdown(rates: list[Rate], repetitions: int, seconds: float) -> str:
    """Return the table."""
    lines = [
        "# Simulated rates",
        "",
        f"`python benchmarks/coverage.py --repetitions {repetitions}`, {seconds:.0f} s. Rows are independent, "
        "except in the conditions with documents.",
        "",
        "| claim | condition | nominal | observed | 95% interval | repetitions |",
        "|---|---|---|---|---|---|",
    ]
    for rate in rates:
        low, high = rate.interval if rate.enumerated is None else (rate.enumerated, rate.enumerated)
        sign = "" if rate.kind == "=" else f"{rate.kind} "
        cells = [rate.claim, rate.condition, f"{sign}{rate.nominal:g}", f"{rate.value:.3f}", f"{low:.3f} to {high:.3f}"]
        lines.append(f"| {' | '.join(cells)} | {rate.trials or 'enumerated'} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Simulate every claim, print the table, and write it with --out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("claims", nargs="*", help=f"default: all of {', '.join(CLAIMS)}")
    parser.add_argument("--repetitions", type=int, default=1000, help="scales the repetitions of every condition")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    start, rates = time.perf_counter(), []
    for name in arguments.claims or CLAIMS:
        began = time.perf_counter()
        for rate in CLAIMS[name](arguments.repetitions):
            print(f"{rate.claim} | {rate.condition} | {rate.nominal:g} | {rate.value:.3f} | {rate.trials}", flush=True)
            rates.append(rate)
        print(f"  {name}: {time.perf_counter() - began:.1f} s", flush=True)
    if arguments.out:
        arguments.out.write_text(
            as_markdown(rates, arguments.repetitions, time.perf_counter() - start), encoding="utf-8"
        )


if __name__ == "__main__":
    main()
