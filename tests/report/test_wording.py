"""The sentences that console, page and card share."""

import pytest

from ft_toolkit.core.run_records import EvaluationResults, RunResults
from ft_toolkit.core.run_scores import ClassScores, MetricScore, SplitScores
from ft_toolkit.metrics.metric import Metric
from ft_toolkit.report.wording import (
    compare_with_baselines,
    equal_metrics,
    few_rows_per_class,
    group_name,
    reference_line,
    selection_line,
    verdict,
)

ACCURACY = {"accuracy": Metric(lambda a, b: 0.0, is_mean=True)}


def interval(ends):
    return {"low": ends[0], "high": ends[1]}


def results_with(leads, *, split="test", greater=True, **changes):
    """Return results.json with one baseline per interval of the difference, named a, b ..."""
    score = {"value": 0.9, "low": 0.8, "high": 0.95}
    baselines = {
        name: {"accuracy": {"value": 0.5 - 0.1 * i, "low": 0.3, "high": 0.6, "lead": interval(lead)}}
        for i, (name, lead) in enumerate(zip("abc", leads, strict=False))
    }
    scores = {split: {"n": 200, "metrics": {"accuracy": score}, "baselines": baselines}}
    return results_of(scores, greater_is_better=greater, **changes)


def results_of(scores, result_kind=RunResults, **changes):
    values = {
        "name": "x",
        "task": "ner",
        "model": "m",
        "substitutions": [],
        "main_metric": "accuracy",
        "scores": scores,
    }
    if result_kind is RunResults:
        values |= {"method": "full", "training": {"steps": 1, "seconds": 1.0}}
    values["kind"] = "run" if result_kind is RunResults else "evaluation"
    return result_kind.model_validate({**values, **changes})


@pytest.mark.parametrize(
    ("lead", "greater", "outcome", "sentence"),
    [
        ((0.38, 0.66), True, "better", "beats the a baseline by 38 to 66 points"),
        ((-0.3, -0.1), False, "better", "beats the a baseline by 10 to 30 points"),
        ((0.1, 0.3), False, "worse", "worse than the a baseline by 10 to 30 points"),
        ((-0.3, -0.1), True, "worse", "worse than the a baseline by 10 to 30 points"),
        ((0.0, 0.3), True, "no significant difference", "no significant difference from the a baseline: 0 to 30 points"),
        ((None, None), True, "unknown", "not comparable with the a baseline: one of the two scores is undefined"),
    ],
)  # fmt: skip
def test_comparisons_with_a_baseline(lead, greater, outcome, sentence):
    (comparison,) = compare_with_baselines(results_with([lead], greater=greater), "test", ACCURACY)
    assert comparison.outcome == outcome
    assert comparison.sentence == sentence + (" (95% interval)" if "points" in sentence else "")


def test_the_verdict_compares_with_the_best_baseline():
    results = results_with([(0.2, 0.4), (-0.5, 0.5)])
    assert verdict(results, "test", ACCURACY) == (
        "Better than the best baseline, a: accuracy 0.90 (95% interval 0.80 to 0.95) on 200 test examples, "
        "20 to 40 points above it (95% interval)."
    )


@pytest.mark.parametrize(
    ("results", "text"),
    [
        (results_with([]), "on 200 test examples; no baseline to compare with."),
        (results_with([(-0.2, -0.1)]), "Worse than the best baseline, a: "),
        (results_with([(-0.2, 0.1)]), "; the difference is -20 to 10 points (95% interval)."),
        (results_with([(None, None)]), "; not comparable with the best baseline, a."),
        (results_with([(0.1, 0.2)], split="validation"), "(optimistic: these rows also selected the checkpoint)"),
        (results_with([(0.1, 0.2)], substitutions=["smoke"]), "Not a real result. Better than"),
    ],
)
def test_the_verdict_says_what_the_interval_allows(results, text):
    assert text in verdict(results, next(iter(results.scores)), ACCURACY)


def test_the_validation_rows_of_an_evaluation_did_not_select_the_checkpoint():
    results = results_with([(0.1, 0.2)], split="validation", result_kind=EvaluationResults)
    assert "optimistic" not in verdict(results, "validation", ACCURACY)


def test_equal_metrics_share_a_group():
    low, high = 0.8, 0.95
    same = {name: {"value": 0.9, "low": low, "high": high} for name in ("accuracy", "f1_micro", "precision_micro")}
    rounded = {"f1_micro": {"value": 0.9 + 1e-15, "low": low, "high": high}}
    other = {
        "f1_macro": {"value": 0.9, "low": 0.7, "high": high},
        "pearson": {"value": None, "low": None, "high": None},
    }
    metrics = {**same, **rounded, **other, "spearman": other["pearson"]}
    groups = equal_metrics([SplitScores.model_validate({"n": 9, "metrics": metrics})], "f1_micro")
    assert groups == [["f1_micro", "accuracy", "precision_micro"], ["f1_macro"], ["pearson"], ["spearman"]]


def test_metrics_that_are_equal_on_one_split_only_are_shown_apart():
    def scores(accuracy):
        metrics = {
            "accuracy": {"value": accuracy, "low": None, "high": None},
            "f1": {"value": 0.5, "low": None, "high": None},
        }
        return SplitScores.model_validate({"n": 9, "metrics": metrics})

    assert equal_metrics([scores(0.5), scores(0.6)], "f1") == [["accuracy"], ["f1"]]


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["accuracy"], "accuracy"),
        (["accuracy", "f1_micro", "precision_micro", "recall_micro"], "accuracy (= f1, precision, recall micro)"),
        (["accuracy", "f1_micro", "recall_weighted"], "accuracy (= f1 micro; recall weighted)"),
        (["f1", "precision"], "f1 (= precision)"),
    ],
)
def test_group_names(names, text):
    assert group_name(names) == text


@pytest.mark.parametrize(
    ("score", "reached", "text"),
    [
        (0.875, False, "Not reached: this run has 0.8750."),
        (0.92, True, "Reached: this run has 0.9200."),
        (None, None, "Not measured in this run."),
    ],
)
def test_the_published_result(score, reached, text):
    reference = {"metric": "accuracy", "value": 0.913, "tolerance": 0.01, "split": "validation", "source": "a paper"}
    results = results_with([], reference={**reference, "found": score, "reached": reached})
    expected = f"Published result: accuracy 0.9130 on validation (a paper); tolerance 0.01. {text}"
    assert reference_line(results) == expected
    assert reference_line(results_with([])) is None


def test_without_test_rows_the_score_is_optimistic():
    optimistic = "the score is optimistic: these rows also selected the checkpoint (by accuracy)"
    assert optimistic in selection_line(results_with([], split="validation"), None)
    assert "selected on the validation rows by loss, so the validation score" in selection_line(
        results_with([]), "loss"
    )


def test_the_size_of_the_selection_is_part_of_the_sentence():
    evaluations = [{"step": step, "epoch": step} for step in (1, 2, 3)]
    training = {"steps": 3, "seconds": 1.0, "evaluations": evaluations, "selection_bias": 0.031}
    text = selection_line(results_with([], split="validation", training=training), None)
    assert text.endswith(
        "(by accuracy), by up to about 0.03 for the best of 3 evaluations. Its 95% interval does not account for this."
    )


@pytest.mark.parametrize(
    ("classes", "rows", "is_macro", "warned"),
    [(12, 8, True, True), (12, 40, True, False), (4, 8, True, False), (12, 8, False, False)],
)
def test_macro_averages_over_many_classes_with_few_rows_are_called_uncertain(
    classes: int, rows: int, is_macro: bool, warned: bool
) -> None:
    per_class = [ClassScores(label=str(i), support=rows) for i in range(classes)]
    score = MetricScore(value=0.5, low=0.4, high=0.6)
    scores = SplitScores(n=classes * rows, metrics={"m": score}, per_class=per_class)
    text = few_rows_per_class(scores, {"m": Metric(lambda p, r: 0.5, is_macro=is_macro)})
    assert (text is not None) is warned
    assert not warned or f"{classes} classes have {rows} rows each" in str(text)
