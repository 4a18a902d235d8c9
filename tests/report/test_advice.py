"""The verdict on a run beside its best baseline, and the suggestions if the model is not better."""

import io
import json

import pytest
from rich.console import Console

from ft_toolkit.core.run_records import RunResults
from ft_toolkit.metrics.metric import Metric
from ft_toolkit.report.advice import judge_run
from ft_toolkit.report.card import card_text
from ft_toolkit.report.console import print_results
from ft_toolkit.report.notebook import results_html
from ft_toolkit.report.run_files import read_run
from ft_toolkit.tasks import find_tasks

ACCURACY = {"accuracy": Metric(lambda a, b: 0.0, is_mean=True)}
TASK = find_tasks()["text_classification"]
TRAINING = {"learning_rate": 5e-5, "num_train_epochs": 3, "max_steps": None, "tokens_per_batch": 4096}


def judged(lead, *, model=0.8, baselines=None, n=400, steps=18, best_step=18, longest=60, changes=(), **training):
    """Return the verdict on a run; `baselines` are scores by name, `lead` the interval of each difference."""
    score = {"value": model, "low": model - 0.05, "high": model + 0.05}
    lead = {"low": lead[0], "high": lead[1], "detectable": 0.06}
    named = {
        name: {"accuracy": {"value": value, "low": None, "high": None, "lead": lead}}
        for name, value in (baselines or {"majority": 0.5, "tfidf": 0.79}).items()
    }
    values = {
        "name": "x",
        "task": "text_classification",
        "model": "m",
        "method": "full",
        "substitutions": [],
        "main_metric": "accuracy",
        "data": {"splits": {"train": {"rows": 1000, "longest": longest}}},
        "training": {"steps": steps, "planned_steps": steps, "best_step": best_step, "seconds": 1.0},
        "scores": {
            "validation": {"n": n, "metrics": {"accuracy": score}},
            "test": {"n": n, "metrics": {"accuracy": score}, "baselines": named},
        },
    }
    results = RunResults.model_validate({**values, **dict(changes)})
    return judge_run(results, {"training": {**TRAINING, **training}}, TASK, ACCURACY)


def test_a_better_model_gets_no_suggestions():
    verdict = judged((0.01, 0.1))
    assert (verdict.outcome, verdict.baseline, verdict.split) == ("better", "tfidf", "test")
    assert verdict.text.startswith("Better than the best baseline, tfidf: accuracy 0.80")
    assert verdict.suggestions == []


def test_a_difference_that_is_not_shown():
    verdict = judged((-0.02, 0.04))
    assert (verdict.outcome, verdict.baseline) == ("no significant difference", "tfidf")
    assert verdict.text.startswith("No significant difference from the best baseline, tfidf: accuracy 0.80")
    steps, rates, rows, more = verdict.suggestions
    assert steps == (
        "The run had only 18 optimizer steps. Train for about 120 or more: training.num_train_epochs=20, or smaller batches: "
        "training.tokens_per_batch=512."
    )
    assert rates == "Other learning rates: training.learning_rate=0.00025, then 1e-05 (this run: 5e-05)."
    assert rows == (
        "More test rows: on 400, a true difference of 6 points is found with a probability of 80%. The measured one is 1 "
        "point, which requires about 14,000 rows."
    )
    assert more == "More training rows: ftk scale estimates how much they help."


def test_a_worse_model():
    verdict = judged((-0.2, -0.1), baselines={"tfidf": 0.7, "frozen_embeddings": 0.95}, steps=300, best_step=200)
    assert (verdict.outcome, verdict.baseline) == ("worse", "frozen_embeddings")
    assert verdict.text.startswith("Worse than the best baseline, frozen embeddings: accuracy 0.80")
    head, rates, _ = verdict.suggestions
    assert head == (
        "A linear model of the checkpoint's embeddings is better without training the checkpoint. Train the head only: "
        "method=freeze."
    )
    assert rates == "Other learning rates: training.learning_rate=1e-05, then 0.00025 (this run: 5e-05)."


def first(**changes):
    return judged((-0.02, 0.04), **changes).suggestions[0]


def test_the_settings_for_more_steps_are_possible():
    assert first(max_steps=18) == (
        "The run had only 18 optimizer steps. Train for about 120 or more: training.max_steps=120."
    )
    assert first(longest=1000).endswith("training.num_train_epochs=20."), "a batch must hold the longest row"
    assert first(tokens_per_batch=None).endswith("training.num_train_epochs=20.")
    assert first(steps=1).startswith("The run had only 1 optimizer step. ")
    assert first(steps=120, best_step=120).startswith("Other learning rates")
    assert first(best_step=12).startswith("Other learning rates"), "the score fell before the end"


def test_the_number_of_rows_follows_from_the_measured_difference():
    def rows(**changes):
        return [text for text in judged((-0.02, 0.04), **changes).suggestions if text.startswith("More test rows")]

    assert rows(model=0.86)[0].endswith("The measured one is 7 points."), "by chance, these rows did not show it"
    assert rows(model=0.82)[0].endswith("The measured one is 3 points, which requires about 1,600 rows.")
    assert rows(model=0.75) == [], "more rows do not make this model better"


@pytest.mark.parametrize(
    ("settings", "outcome"),
    [
        ({"lead": (None, None)}, "unknown"),
        ({"lead": (-0.2, -0.1), "changes": {"substitutions": ["smoke run"]}}, "worse"),
    ],
)
def test_no_suggestions_without_a_meaningful_comparison(settings, outcome):
    verdict = judged(**settings)
    assert verdict.outcome == outcome and not verdict.suggestions


def test_page_card_and_console_begin_with_the_verdict_and_the_suggestions(make_run, page_of):
    tip = "Other learning rates: training.learning_rate=0.00025."

    def change(results, rows):
        results["verdict"] = {"text": "x", "split": "test", "baseline": "tfidf", "suggestions": [tip]}
        results["verdict"]["outcome"] = "no significant difference"

    folder = make_run(change=change)
    headline = "No significant difference from the best baseline, tfidf: accuracy 0.88"
    page = page_of(folder).text
    assert page.index(headline) < page.index(f"Suggestions: {tip}") < page.index("Scores")
    card = card_text(read_run(folder))
    assert (
        card.index(headline)
        < card.index("Suggestions:\n\n- Other learning rates: training.learning")
        < card.index("## Scores")
    )
    console = Console(file=io.StringIO(), width=200)
    print_results({"folder": str(folder)}, console)
    printed = console.file.getvalue()
    assert printed.startswith(f"\n{headline}")
    assert f"\n  Suggestions:\n  - {tip}\n" in printed
    assert printed.index(tip) < printed.index("on 8 test examples\n")
    cell = results_html(folder, read_run(folder).results)
    assert cell.index(headline) < cell.index(f"Suggestions:</p><ul><li>{tip}</li></ul>") < cell.index("<table>")


def test_results_json_begins_with_the_verdict(tmp_path):
    verdict = judged((-0.02, 0.04))
    results = RunResults.model_validate(
        {
            "name": "x", "task": "ner", "model": "m", "method": "full", "substitutions": [], "main_metric": "f1",
            "training": {"steps": 1, "seconds": 1.0}, "verdict": verdict.as_json(),
            "scores": {"test": {"n": 1, "metrics": {"f1": {"value": 1.0, "low": None, "high": None}}}},
        }
    )  # fmt: skip
    assert list(json.loads(json.dumps(results.as_json())))[:3] == ["schema_version", "kind", "verdict"]
