"""Sentences about scores that the console, the report page and the model card share."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ft_toolkit.core.run_records import EvaluationResults, RunResults
from ft_toolkit.core.run_scores import Score, SplitScores
from ft_toolkit.evaluation.statistics.significance import Outcome, judge_interval
from ft_toolkit.metrics.metric import Metric
from ft_toolkit.report.numbers import count, difference, interval, number

# See `evaluation.statistics.scores.score_interval`.
INTERVAL_METHOD = (
    "shifted by twice their estimated bias, with the BCa correction on up to 50 examples; a share of right examples has "
    "Wilson's interval instead, a Pearson correlation has Fisher's interval, and a metric that is equal on nearly all "
    "resamples has none"
)
# Simulated coverage of the interval of macro F1: 0.96 with 77 classes and 13 rows each, 0.87 with 77 classes and 3 rows each,
# 0.95 with 20 classes and 10 rows each, 0.94 with 4 classes and 25 rows each (benchmarks/results/coverage.md).
_ENOUGH_ROWS_PER_CLASS = 40
_MANY_CLASSES = 10
OPTIMISTIC = "optimistic: these rows also selected the checkpoint"

Results = RunResults | EvaluationResults


@dataclass(frozen=True)
class BaselineComparison:
    """The main score of a baseline on a split, and the outcome of the paired comparison with the model.

    `detectable` is the smallest detectable difference of this comparison, None where it is not known.
    """

    key: str
    split: str
    value: float | None
    outcome: Outcome
    # The 95% interval of the model's score minus the baseline's as text, without sign when the difference is significant.
    # With several baselines it is simultaneous.
    difference: str
    detectable: float | None

    @property
    def name(self) -> str:
        """The name of the baseline in sentences."""
        return plain_name(self.key)

    @property
    def sentence(self) -> str:
        """The comparison as a sentence without a capital letter and a full stop."""
        if self.outcome == "better":
            return f"beats the {self.name} baseline by {self.difference} (95% interval)"
        if self.outcome == "worse":
            return f"worse than the {self.name} baseline by {self.difference} (95% interval)"
        if self.outcome == "no significant difference":
            return f"no significant difference from the {self.name} baseline: {self.difference} (95% interval)"
        return f"not comparable with the {self.name} baseline: one of the two scores is undefined"


def plain_name(name: str) -> str:
    """Return the name of a metric, a task or a column with spaces: f1_macro becomes "f1 macro"."""
    return name.replace("_", " ")


def sentence(text: str) -> str:
    """Return the text with a capital letter and a full stop."""
    return f"{text[:1].upper()}{text[1:]}."


def training_verb(model: str) -> str:
    """Return "trained" for a new model (see `ModelSection.title`), "fine-tuned" for a pretrained one."""
    return "trained" if model.endswith(" from scratch") else "fine-tuned"


def trainable_share(results: RunResults) -> str:
    """Return the method and the share of trained weights: "lora: 3 of 1,000 weights (0.3%) trained"."""
    trained, total = results.training.trainable_parameters, results.training.total_parameters
    if trained is None or not total:
        return results.method
    if trained == total:
        return f"{results.method}: all {count(total)} weights trained"
    share = trained / total
    # {:.1%} would show 300 trained weights of a large model as "0.0%"
    return (
        f"{results.method}: {count(trained)} of {count(total)} weights ({share:.{1 if share > 0.001 else 4}%}) trained"
    )


def compare_with_baselines(results: Results, split: str, metrics: Mapping[str, Metric]) -> list[BaselineComparison]:
    """Return the comparison with each baseline of a split, under the main metric."""
    main, scores = results.main_metric, results.scores[split]
    comparisons = []
    for name, baseline in scores.baselines.items():
        lead = baseline[main].lead
        outcome = judge_interval(lead.low, lead.high, greater_is_better=results.greater_is_better)
        ends = tuple(end for end in (lead.low, lead.high) if end is not None)
        if outcome in ("better", "worse"):
            ends = tuple(sorted(map(abs, ends)))
        text = difference(ends, metrics.get(main), scores.n)
        comparisons.append(BaselineComparison(name, split, baseline[main].value, outcome, text, lead.detectable))
    return comparisons


def best_baseline(comparisons: Iterable[BaselineComparison], *, greater_is_better: bool) -> BaselineComparison | None:
    """Return the comparison with the baseline that has the best score, None without any."""
    defined = [comparison for comparison in comparisons if comparison.value is not None]
    sign = 1 if greater_is_better else -1
    return max(defined, key=lambda comparison: sign * (comparison.value or 0.0), default=None)


def main_score_text(results: Results, split: str) -> str:
    """Return "accuracy 0.91 (95% interval 0.86 to 0.95) on 200 test examples"."""
    main, n = results.main_metric, results.scores[split].n
    score = results.scores[split].metrics[main]
    text = f"{plain_name(main)} {'undefined' if score.value is None else number(score.value, n)}"
    if score.low is not None:
        text += f" (95% interval {interval(score, n)})"
    return f"{text} on {count(n)} {split} {'example' if n == 1 else 'examples'}"


def verdict(results: Results, split: str, metrics: Mapping[str, Metric]) -> str:
    """Return one sentence: the main score on a split, against the best baseline, and whether the difference is significant."""
    greater, score = results.greater_is_better, main_score_text(results, split)
    if isinstance(results, RunResults) and split == "validation":
        score += f" ({OPTIMISTIC})"
    best = best_baseline(compare_with_baselines(results, split, metrics), greater_is_better=greater)
    if best is None:
        text = f"{score}; no baseline to compare with"
    elif best.outcome in ("better", "worse"):
        side = ("above" if greater else "below") if best.outcome == "better" else ("below" if greater else "above")
        text = (
            f"{best.outcome} than the best baseline, {best.name}: {score}, {best.difference} {side} it (95% interval)"
        )
    elif best.outcome == "no significant difference":
        text = f"no significant difference from the best baseline, {best.name}: {score}; "
        text += f"the difference is {best.difference} (95% interval)"
    else:
        text = f"{score}; not comparable with the best baseline, {best.name}"
    return ("Not a real result. " if results.is_smoke else "") + sentence(text)


def suggestions(results: Results) -> list[str]:
    """Return the suggestions for a run that is not significantly better than its best baseline; empty for other runs."""
    return results.verdict.suggestions if results.verdict is not None else []


def reference_line(results: Results) -> str | None:
    """Return a sentence on the published result and whether the run reached it, None without one."""
    reference = results.reference if isinstance(results, RunResults) else None
    if reference is None:
        return None
    text = f"Published result: {plain_name(reference.metric)} {number(reference.value)} on {reference.split} "
    text += f"({reference.source}); tolerance {reference.tolerance:g}. "
    if reference.reached is None:
        return text + "Not measured in this run."
    return f"{text}{'Reached' if reference.reached else 'Not reached'}: this run has {number(reference.found)}."


def reload_check_line(results: Results) -> str | None:
    """Return a sentence on the reload check, None where it was not done."""
    check = results.reload_proof if isinstance(results, RunResults) else None
    if check is None:
        return None
    return (
        f"Reload check passed: a fresh process loaded the saved model and made the same predictions for "
        f"{count(check.rows)} {check.split} rows (largest difference {check.largest_difference:.1g}, "
        f"tolerance {check.tolerance:g})."
    )


def selection_line(results: RunResults, selection: str | None) -> str:
    """Return a sentence on how the checkpoint was selected. `selection` is the recipe's metric_for_best_model."""
    metric = results.selected_by(selection)
    selector = "loss" if metric == "loss" else plain_name(results.main_metric)
    if metric == "loss" and selection != "loss":
        selector += f", because {plain_name(selection or results.main_metric)} was 0 or undefined"
    size, bias = "", results.training.selection_bias
    if bias and "validation" in results.scores:
        size = f", by up to about {number(bias, results.scores['validation'].n)} for the best of "
        size += f"{len(results.training.evaluations)} evaluations"
    if "test" in results.scores:
        return (
            f"The checkpoint was selected on the validation rows by {selector}, so the validation score is optimistic{size}; "
            "rely on the test score."
        )
    return (
        f"There are no test rows, so the score is {OPTIMISTIC} (by {selector}){size}. Its 95% interval does not account for "
        "this."
    )


def few_rows_per_class(scores: SplitScores, metrics: Mapping[str, Metric]) -> str | None:
    """Return a sentence if a split has many classes with few rows each and a macro average is reported, otherwise None."""
    classes = [row for row in scores.per_class or [] if row.support]
    has_macro = any(metrics[name].is_macro for name in scores.metrics if name in metrics)
    rows = sum(row.support or 0 for row in classes)
    if not has_macro or len(classes) < _MANY_CLASSES or rows >= _ENOUGH_ROWS_PER_CLASS * len(classes):
        return None
    return (
        f"macro averages are uncertain: {len(classes)} classes have {rows / len(classes):.0f} rows each on average. With fewer "
        f"than about {_ENOUGH_ROWS_PER_CLASS}, a macro average is too low and its 95% interval may cover less than 95%"
    )


def equal_metrics(scores_of_splits: Iterable[SplitScores], main_metric: str) -> list[list[str]]:
    """Return the metrics in groups that have the same values, intervals and baseline scores on every split.

    In single-label classification accuracy, micro f1, micro precision and micro recall are one number, for example. The main
    metric comes first in its group.
    """
    tables: list[Mapping[str, Score]] = []
    for scores in scores_of_splits:
        tables += [scores.metrics, *scores.baselines.values()]
    groups: list[list[str]] = []
    for name in tables[0] if tables else ():
        for group in groups:
            if all(_is_equal(table.get(group[0]), table.get(name)) for table in tables):
                group.append(name)
                break
        else:
            groups.append([name])
    return [sorted(group, key=lambda name: name != main_metric) for group in groups]


def _is_equal(a: Score | None, b: Score | None) -> bool:
    """Return whether two scores are the same number: micro f1 may differ from accuracy by rounding errors."""
    if a is None or b is None or a.value is None or b.value is None:
        return False
    pairs = [(a.value, b.value), (a.low, b.low), (a.high, b.high)]
    return all(x == y or (x is not None and y is not None and abs(x - y) <= 1e-9 * max(1, abs(x))) for x, y in pairs)


def group_name(names: list[str]) -> str:
    """Return the name of a group of equal metrics: "accuracy (= f1, precision, recall micro)"."""
    first, *other_names = names
    if not other_names:
        return plain_name(first)
    by_suffix: dict[str, list[str]] = {}
    for name in other_names:
        stem, _, suffix = name.rpartition("_")
        by_suffix.setdefault(suffix if stem else "", []).append(plain_name(stem or name))
    parts = (f"{', '.join(stems)} {suffix}".strip() for suffix, stems in by_suffix.items())
    return f"{plain_name(first)} (= {'; '.join(parts)})"
