"""Metrics by their short names, for every task."""

import pytest

from ft_toolkit.core.errors import UsageError
from ft_toolkit.evaluation.compare.metric_names import find_metric
from ft_toolkit.tasks import find_tasks


def metrics_of(name):
    task = find_tasks()[name]
    return task.metrics(task.settings(name=name))


@pytest.mark.parametrize(
    ("name", "task", "metric"),
    [
        ("f1", "text_classification", "f1_macro"),
        ("F1-macro", "text_classification", "f1_macro"),
        ("mcc", "text_classification", "matthews_correlation"),
        ("em", "question_answering", "exact_match"),
        ("rouge-l", "summarization", "rougeL"),
        ("ppl", "language_modelling", "perplexity"),
    ],
)
def test_short_names_and_spellings(name, task, metric):
    assert find_metric(name, metrics_of(task), "--min") == (metric, [f"--min: {name} means {metric} here"])


def test_an_exact_name_wins():
    assert find_metric("f1", metrics_of("ner"), "--min") == ("f1", [])


def test_an_unknown_metric_is_refused_with_the_list_and_a_guess():
    with pytest.raises(
        UsageError, match=r"--min: no metric 'exactmatsch'; allowed: f1, exact_match\. Did you mean 'exact_match'"
    ):
        find_metric("exactmatsch", metrics_of("question_answering"), "--min")
