"""Metrics by their short names, for every task."""

import pytest

from ft_toolkit.core.errors import UsageError
from ft_toolkit.evaluation.compare.metric_names import find_metric

CLASSIFIER = ["accuracy", "f1_macro", "f1_micro", "precision_macro", "matthews_correlation"]


@pytest.mark.parametrize(
    ("name", "metrics", "metric"),
    [
        ("f1", CLASSIFIER, "f1_macro"),
        ("F1-macro", CLASSIFIER, "f1_macro"),
        ("mcc", CLASSIFIER, "matthews_correlation"),
        ("em", ["f1", "exact_match"], "exact_match"),
        ("rouge-l", ["rougeL", "rougeLsum"], "rougeL"),
        ("ppl", ["perplexity", "loss_per_token"], "perplexity"),
    ],
)
def test_short_names_and_spellings(name, metrics, metric):
    assert find_metric(name, metrics, "--min") == (metric, [f"--min: {name} means {metric} here"])


def test_an_exact_name_wins():
    assert find_metric("f1", ["f1", "f1_macro"], "--min") == ("f1", [])


def test_an_unknown_metric_is_refused_with_the_list_and_a_guess():
    with pytest.raises(
        UsageError, match=r"--min: no metric 'exactmatsch'; allowed: f1, exact_match\. Did you mean 'exact_match'"
    ):
        find_metric("exactmatsch", ["f1", "exact_match"], "--min")
