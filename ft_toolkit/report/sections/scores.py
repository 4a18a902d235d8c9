"""The main score of each split with its interval, its baselines, and the limits of its validity."""

import math
from typing import Any

from ft_toolkit.core.run_records import RunResults
from ft_toolkit.core.run_scores import Score
from ft_toolkit.metrics.clusters import describe
from ft_toolkit.report.charts import IntervalRow, axis_range, interval_chart
from ft_toolkit.report.numbers import count, interval, is_share, number
from ft_toolkit.report.run_files import RunFiles
from ft_toolkit.report.section import Section
from ft_toolkit.report.sections.calibration import abstention_sentence
from ft_toolkit.report.sections.groups import shown_gaps
from ft_toolkit.report.wording import (
    compare_with_baselines,
    few_rows_per_class,
    plain_name,
    reference_line,
    reload_check_line,
    selection_line,
    sentence,
)


def _build(run: RunFiles) -> dict[str, Any]:
    cards = _cards(run)
    results, first = run.results, run.splits[0]
    findings = [abstention_sentence(run, first), *shown_gaps(run, first)]
    few_rows = [(split, few_rows_per_class(results.scores[split], run.metrics)) for split in run.splits]
    clusters = [(split, results.scores[split].clusters) for split in run.splits]
    return {
        "cards": cards,
        "has_reference": any(card["has_reference"] for card in cards),
        "lower_is_better": not results.greater_is_better,
        "warnings": results.data.warnings,
        "statements": [
            *baseline_lines(run),
            *filter(None, [reference_line(results), reload_check_line(results)]),
            *([selection_line(results, run.selection_metric)] if isinstance(results, RunResults) else []),
            *filter(None, [run.tuning_text]),
            *(f"On {first}: {text}" for text in findings if text),
            *(f"On {split}, {text}." for split, text in few_rows if text),
            *(f"On {split}, {describe(each.column, each.n)}." for split, each in clusters if each is not None),
        ],
        "resamples": results.bootstrap_samples,
    }


def baseline_lines(run: RunFiles) -> list[str]:
    """Return a description of the baselines, and a sentence for each baseline that was fitted to a part of the rows."""
    names = dict.fromkeys(name for scores in run.results.scores.values() for name in scores.baselines)
    described = [
        f"{plain_name(name)} ({run.task.baselines[name].description})" for name in names if name in run.task.baselines
    ]
    lines = [f"Baselines: {', '.join(described)}."] if described else []
    facts = run.results.baselines if isinstance(run.results, RunResults) else {}
    rows = run.results.data.splits["train"].rows if facts else 0
    lines += [
        f"The {plain_name(name)} baseline was fitted to {count(fact.training_rows)} of {count(rows)} training rows, drawn at "
        "random, to save time."
        for name, fact in facts.items()
        if fact.training_rows < rows
    ]
    return lines


def _cards(run: RunFiles) -> list[dict[str, Any]]:
    """Return a card per split. All charts have the same axis, so that splits can be compared by eye."""
    results, main = run.results, run.results.main_metric
    reference = results.reference if isinstance(results, RunResults) else None
    if reference is not None and reference.metric != main:
        reference = None
    rows = {split: _rows(run, split) for split in run.splits}
    values = [value for split in rows.values() for row in split for value in (row.value, row.low, row.high)]
    axis = _axis(run, [*values, reference.value if reference else None])
    cards = []
    for split in run.splits:
        mark = None
        if reference is not None and reference.split == split:
            mark = (reference.value, f"published {number(reference.value)}")
        label = f"{plain_name(main)} on {split}: " + "; ".join(f"{row.name} {row.text}" for row in rows[split])
        cards.append(
            {
                "split": split,
                "n": results.scores[split].n,
                "score": run.main_score(split),
                "chart": interval_chart(rows[split], axis, label=label, reference=mark),
                "has_reference": mark is not None,
                "comparisons": [
                    (comparison.outcome.replace(" ", "-"), sentence(comparison.sentence))
                    for comparison in compare_with_baselines(results, split, run.metrics)
                ],
            }
        )
    return cards


def _axis(run: RunFiles, values: list[float | None]) -> tuple[float, float]:
    """Return the axis of the main metric, which does not go beyond the values that the metric can have."""
    metric = run.metrics.get(run.results.main_metric)
    if metric is None:
        return axis_range(values)
    if metric.greater_is_better:
        return axis_range(values, lowest=0.0 if is_share(metric) else -math.inf, highest=metric.best)
    return axis_range(values, lowest=metric.best)


def _rows(run: RunFiles, split: str) -> list[IntervalRow]:
    main, scores = run.results.main_metric, run.results.scores[split]
    named: dict[str, Score] = {"this model": run.main_score(split)}
    named |= {plain_name(name): baseline[main] for name, baseline in scores.baselines.items()}
    return [
        IntervalRow(
            name,
            score.value,
            score.low,
            score.high,
            _score_text(score, scores.n),
            strong=name == "this model",
        )
        for name, score in named.items()
    ]


def _score_text(score: Score, n: int) -> str:
    if score.value is None:
        return "undefined"
    text = number(score.value, n)
    return text if score.low is None else f"{text} ({interval(score, n)})"


SECTION = Section(order=10, title="Scores", build=_build)
