"""Suggestions for a run that is not significantly better than its best baseline."""

import math
from collections.abc import Mapping
from typing import Any

from ft_toolkit.core.run_records import RunResults, Verdict
from ft_toolkit.metrics.metric import Metric
from ft_toolkit.report.numbers import count, difference
from ft_toolkit.report.run_files import in_order
from ft_toolkit.report.wording import BaselineComparison, best_baseline, compare_with_baselines, verdict
from ft_toolkit.tasks.base import EmbeddingBaseline, Task
from ft_toolkit.training.automatic import FEWEST_STEPS

# The factor between two learning rates that are worth a comparison. MiniLM on 1,000 sentiment sentences had a test accuracy of
# 0.619 after 18 steps, and 0.906 with five times the rate.
RATE_FACTOR = 5


def judge_run(results: RunResults, recipe: Mapping[str, Any], task: Task, metrics: Mapping[str, Metric]) -> Verdict:
    """Return the comparison of a run with its best baseline on the most trustworthy split, and suggestions.

    `recipe` has the plain values of the resolved recipe. A run that is better than the best baseline, and a smoke run, get no
    suggestions.
    """
    split = in_order(results.scores)[0]
    comparisons = compare_with_baselines(results, split, metrics)
    best = best_baseline(comparisons, greater_is_better=results.greater_is_better)
    outcome = "unknown" if best is None else best.outcome
    is_beaten = outcome in ("worse", "no significant difference")
    return Verdict(
        text=verdict(results, split, metrics),
        split=split,
        baseline=None if best is None else best.key,
        outcome=outcome,
        suggestions=(
            _suggestions(results, recipe, task, metrics, best) if best and is_beaten and not results.is_smoke else []
        ),
    )


def _suggestions(
    results: RunResults,
    recipe: Mapping[str, Any],
    task: Task,
    metrics: Mapping[str, Metric],
    best: BaselineComparison,
) -> list[str]:
    """Return the suggestions that apply, the most likely remedy first."""
    training: Mapping[str, Any] = recipe.get("training") or {}
    texts = [_more_steps(results, training)]
    if isinstance(task.baselines.get(best.key), EmbeddingBaseline) and results.method != "freeze":
        degree = "better" if best.outcome == "worse" else "as good"
        texts.append(
            f"A linear model of the checkpoint's embeddings is {degree} without training the checkpoint. Train the head only: "
            "method=freeze."
        )
    texts += [_other_rates(results, training), _more_evaluated_rows(results, metrics, best)]
    texts.append("More training rows: ftk scale estimates how much they help.")
    return [text for text in texts if text]


def _more_steps(results: RunResults, training: Mapping[str, Any]) -> str | None:
    """Return a sentence with settings for more optimizer steps, None if the run had enough."""
    steps = results.training.planned_steps or results.training.steps
    best = results.training.best_step
    if steps >= FEWEST_STEPS or (best is not None and best < results.training.steps):  # the score fell before the end
        return None
    text = (
        f"The run had only {steps} optimizer step{'s' if steps > 1 else ''}. Train for about {FEWEST_STEPS} or more: "
    )
    epochs, tokens = training.get("num_train_epochs"), training.get("tokens_per_batch")
    if training.get("max_steps") is not None or not isinstance(epochs, int):
        return f"{text}training.max_steps={FEWEST_STEPS}."
    text += f"training.num_train_epochs={math.ceil(epochs * FEWEST_STEPS / steps)}"
    rows = results.data.splits.get("train")
    longest = None if rows is None else rows.longest
    if isinstance(tokens, int) and longest is not None:
        smaller = 2 ** math.floor(math.log2(max(tokens * steps / FEWEST_STEPS, 1)))
        if smaller >= longest:
            return f"{text}, or smaller batches: training.tokens_per_batch={smaller}."
    return f"{text}."


def _other_rates(results: RunResults, training: Mapping[str, Any]) -> str | None:
    """Return a sentence with two other learning rates. The higher one comes first if the last evaluation was the best."""
    rate = training.get("learning_rate")
    if not isinstance(rate, float) or not results.training.steps:
        return None
    higher, lower = f"{rate * RATE_FACTOR:.2g}", f"{rate / RATE_FACTOR:.2g}"
    first, second = (higher, lower) if results.training.best_step == results.training.steps else (lower, higher)
    return f"Other learning rates: training.learning_rate={first}, then {second} (this run: {rate:.2g})."


def _more_evaluated_rows(results: RunResults, metrics: Mapping[str, Metric], best: BaselineComparison) -> str | None:
    """Return a sentence on the number of rows that could show the measured difference; None if the model has no lead."""
    scores = results.scores[best.split]
    value = scores.metrics[results.main_metric].value
    if best.detectable is None or value is None or best.value is None:
        return None
    lead = (value - best.value) * (1 if results.greater_is_better else -1)
    if best.outcome != "no significant difference" or lead <= 0:
        return None
    metric, n = metrics.get(results.main_metric), scores.n
    text = (
        f"More {best.split} rows: on {count(n)}, a true difference of {difference((best.detectable,), metric, n)} is found "
        f"with a probability of 80%. The measured one is {difference((lead,), metric, n)}"
    )
    if lead >= best.detectable:
        return f"{text}."
    # the standard error falls with the square root of the number of rows
    return f"{text}, which requires about {_two_digits(n * (best.detectable / lead) ** 2)} rows."


def _two_digits(value: float) -> str:
    """Return a number with two significant digits: 2,041 becomes 2,000."""
    unit = 10 ** max(math.floor(math.log10(value)) - 1, 0)
    return count(round(value / unit) * unit)
