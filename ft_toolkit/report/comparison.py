"""Show a comparison of runs (`ftk compare`): on the console, and as one self-contained HTML page."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from ft_toolkit.core.files import write_file
from ft_toolkit.core.run_records import RunResults, SeedSpread
from ft_toolkit.evaluation.compare.comparison import Comparison, seed_spread
from ft_toolkit.evaluation.compare.differences import ComparedScore, Difference
from ft_toolkit.evaluation.compare.finished_runs import FinishedRun, model_megabytes
from ft_toolkit.report.charts import IntervalRow, axis_range, interval_chart
from ft_toolkit.report.numbers import MISSING, interval, number, seconds
from ft_toolkit.report.run_files import read_run
from ft_toolkit.report.templating import load_template
from ft_toolkit.report.wording import plain_name, trainable_share
from ft_toolkit.tasks.base import Task
from ft_toolkit.tasks.display.wrong_examples import shorten

_EXPLORATORY_HEADS = ("difference", "95% interval")
_DIFFERENCE_HEADS = (*_EXPLORATORY_HEADS, "p", "outcome")


def print_comparison(comparison: Comparison) -> None:
    """Print the score of every run, its difference from the base with its significance, and the settings that differ."""
    console = Console(highlight=False, markup=False)
    base, main = comparison.base, comparison.main
    direction = "" if main.greater_is_better else ", lower is better"
    console.print(f"{comparison.metric} on {base.examples.split} (n={main.n}{direction})")
    table = _table("run", "score", "95% interval")
    for run in comparison.runs:
        score = main.scores[run.label]
        table.add_row(run.label, number(score["value"]), interval(score))
    console.print(table)
    table = _table(f"compared with {base.label}", *_DIFFERENCE_HEADS)
    for run in comparison.runs[1:]:
        table.add_row(run.label, *_difference_cells(main.differences[run.label]))
    console.print(Padding(table, (1, 0)))
    for text in [*sentences(comparison), *comparison.notes]:
        console.print(text, soft_wrap=True)
    _print_settings(comparison, console)
    for column, rows in comparison.slices.items():
        _print_slices(column, rows, comparison, console)


def _print_settings(comparison: Comparison, console: Console) -> None:
    if not comparison.settings:
        if all(run.recipe is not None for run in comparison.runs):  # an evaluation and an ensemble have no recipe
            console.print("The recipes of the runs have the same settings.")
        return
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for head in ("setting that differs", *(run.label for run in comparison.runs)):
        table.add_column(head, overflow="fold")
    for difference in comparison.settings:
        table.add_row(difference.setting, *(shorten(value, 40) for value in difference.values))
    console.print(Padding(table, (1, 0)))


def _table(first: str, *heads: str) -> Table:
    """Return an empty table. Long names in the first column are folded, so that the numbers fit into 80 columns."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(first, overflow="fold")
    for head in heads:
        table.add_column(head, no_wrap=True)
    return table


def _print_slices(column: str, rows: list[ComparedScore], comparison: Comparison, console: Console) -> None:
    for run in comparison.runs[1:] if rows else []:
        table = _table(f"{column}, {run.label} (exploratory)", "n", *_EXPLORATORY_HEADS)
        for row in rows:
            table.add_row(shorten(row.name, 40), str(row.n), *_exploratory_cells(row.differences[run.label]))
        console.print(Padding(table, (1, 0)))
    if skipped := comparison.skipped[column]:
        console.print(f"{column}: too few rows to compare: {', '.join(skipped)}", soft_wrap=True)


def _difference_cells(difference: Difference) -> list[str]:
    outcome = (difference.outcome or MISSING).replace("no significant difference", "not significant")
    return [*_exploratory_cells(difference), p_text(difference.corrected), outcome]


def _exploratory_cells(difference: Difference) -> list[str]:
    return [signed(difference.value), _interval(difference)]


def sentences(comparison: Comparison) -> list[str]:
    """Return a sentence per comparison with the base, and one on the means over seeds if both runs are multi-seed runs."""
    lines = []
    base = comparison.base
    for run in comparison.runs[1:]:
        difference, disagreement = comparison.main.differences[run.label], comparison.disagreements[run.label]
        line = f"{_verdict(comparison, run, difference)}."
        if difference.detectable is not None:
            smallest = _amount(comparison, difference.detectable)
            line += f" Smallest detectable difference: {smallest} (5% level, 80% power)."
        if disagreement.both is not None:
            line += (
                f" Only {run.label} is right on {disagreement.better:,} examples, only {base.label} on "
                f"{disagreement.worse:,}."
            )
        lines.append(line)
        ours, theirs = seed_spread(base, comparison.metric), seed_spread(run, comparison.metric)
        if ours and theirs and ours.mean is not None and theirs.mean is not None:
            lines.append(
                f"Over seeds: {run.label} {_spread(theirs)}, {base.label} {_spread(ours)}; "
                f"the means differ by {signed(theirs.mean - ours.mean)}."
            )
    return lines


def _verdict(comparison: Comparison, run: FinishedRun, difference: Difference) -> str:
    """Return the outcome in one clause, such as "b beats a by 12.0 to 28.0 points of accuracy (95% interval; ...)"."""
    base = comparison.base.label
    low, high = difference.low, difference.high
    if difference.outcome == "unknown" or difference.value is None or low is None or high is None:
        return f"{run.label} and {base} cannot be compared: a score is undefined"
    test = f"{difference.test}, {p_text(difference.corrected)}"
    if difference.outcome not in ("better", "worse"):
        return (
            f"No significant difference between {run.label} and {base}: {_amount(comparison, difference.value, '+')} "
            f"(95% interval {_bare(comparison, low, '+')} to {_bare(comparison, high, '+')}; {test})"
        )
    verb = "beats" if difference.outcome == "better" else "is worse than"
    least, most = sorted((abs(low), abs(high)))
    return (
        f"{run.label} {verb} {base} by {_bare(comparison, least)} to {_amount(comparison, most)} (95% interval; "
        f"difference {_bare(comparison, difference.value, '+')}; {test})"
    )


def _amount(comparison: Comparison, value: float, sign: str = "") -> str:
    """Return a difference with its unit: points for a score with a best value of 1 or 100."""
    unit = "points of " if _points_per_unit(comparison) else ""
    return f"{_bare(comparison, value, sign)} {unit}{plain_name(comparison.metric)}"


def _bare(comparison: Comparison, value: float, sign: str = "") -> str:
    factor = _points_per_unit(comparison)
    if factor:
        return f"{value * factor:{sign}.1f}"
    return signed(value) if sign else number(value)


def _points_per_unit(comparison: Comparison) -> float | None:
    """Return 100 for scores from 0 to 1, 1 for scores from 0 to 100, None for others, which are not given in points."""
    metric = comparison.base.examples.metrics[comparison.metric]
    return {1.0: 100.0, 100.0: 1.0}.get(metric.best) if metric.greater_is_better else None


def write_comparison(path: Path, comparison: Comparison, command: str) -> None:
    """Write the HTML page."""
    tables: list[tuple[str, str, list[ComparedScore], str, list[str]]] = [
        ("metrics", "All metrics", _merge_equal(comparison.metrics), "metric", [])
    ]
    tables += [("classes", "F1 by class", comparison.classes, "class", [])] if comparison.classes else []
    for i, (column, rows) in enumerate(comparison.slices.items()):
        tables.append((f"slice-{i}", f"By {column}", rows, column, comparison.skipped[column]))
    variables = {
        "comparison": comparison,
        "base": comparison.base,
        "others": comparison.runs[1:],
        "split": comparison.base.examples.split,
        "n": comparison.main.n,
        "task": comparison.base.examples.task.name,
        "sentences": sentences(comparison),
        "scores_chart": _scores_chart(comparison),
        "differences_chart": _differences_chart(comparison),
        "runs": [_run_row(run, comparison.metric) for run in comparison.runs],
        "has_seeds": any(run.seeds for run in comparison.runs),
        "tables": tables,
        "disagreements": [_disagreement(run, comparison) for run in comparison.runs[1:]],
        "command": command,
    }
    page = load_template("comparison.html.j2", autoescape=True, signed=signed, p=p_text, span=_interval)
    write_file(path, page.render(variables))


def _merge_equal(rows: list[ComparedScore]) -> list[ComparedScore]:
    """Return a row per distinct set of scores, named by all of its metrics: over single labels, f1_micro is the accuracy.

    The row of the metric that decides replaces equal exploratory rows.
    """
    names: dict[str, list[str]] = {}
    merged: dict[str, ComparedScore] = {}
    for row in rows:
        key = repr((row.scores, [difference.value for difference in row.differences.values()]))
        is_main = any(difference.outcome is not None for difference in row.differences.values())
        merged[key] = row if is_main else merged.get(key, row)
        names.setdefault(key, []).append(row.name)
    return [replace(row, name=", ".join(names[key])) for key, row in merged.items()]


def _scores_chart(comparison: Comparison) -> str:
    rows = []
    for run in comparison.runs:
        score = comparison.main.scores[run.label]
        text = f"{number(score['value'])} ({interval(score)})"
        rows.append(IntervalRow(run.label, score["value"], score["low"], score["high"], text, strong=True))
    axis = axis_range([value for row in rows for value in (row.value, row.low, row.high)])
    return interval_chart(rows, axis, label="; ".join(f"{row.name} {row.text}" for row in rows))


def _differences_chart(comparison: Comparison) -> str:
    """Draw the difference of each run from the base with its interval and a line at 0; significant ones are emphasized."""
    rows = []
    for run in comparison.runs[1:]:
        difference = comparison.main.differences[run.label]
        text = f"{signed(difference.value)} ({_interval(difference)})"
        strong = difference.outcome in ("better", "worse")
        rows.append(IntervalRow(run.label, difference.value, difference.low, difference.high, text, strong=strong))
    axis = axis_range([0.0, *(value for row in rows for value in (row.value, row.low, row.high))])
    label = "Differences from the base: " + "; ".join(f"{row.name} {row.text}" for row in rows)
    return interval_chart(rows, axis, label=label, reference=(0.0, "no difference"))


def _run_row(run: FinishedRun, metric: str) -> dict[str, Any]:
    """Return the cells of a run in the table of runs; an evaluation has no method and no training time."""
    files = read_run(run.examples.folder)
    megabytes, spread = model_megabytes(run), seed_spread(run, metric)
    return {
        "label": run.label,
        "model": run.results.model,
        "method": trainable_share(run.results) if isinstance(run.results, RunResults) else MISSING,
        "seconds": seconds(run.results.training.seconds) if isinstance(run.results, RunResults) else MISSING,
        "size": MISSING if megabytes is None else f"{megabytes:,.1f} MB" + (", adapter" if files.is_adapter else ""),
        "seeds": _spread(spread) if spread else MISSING,
    }


def _spread(scores: SeedSpread) -> str:
    return f"{number(scores.mean)} ± {number(scores.sd)} ({scores.n} seeds)"


def _disagreement(run: FinishedRun, comparison: Comparison) -> dict[str, Any]:
    disagreement = comparison.disagreements[run.label]
    base = comparison.base.examples
    task = base.task
    columns = [name for name, column in task.columns.items() if not column.is_answer]
    examples = []
    for i, base_value, run_value in disagreement.examples:
        record, reference = base.records[i], base.records[i].get("gold")
        texts = [(name, shorten(text)) for name in columns if isinstance(text := record.get(name), str) and text]
        examples.append(
            {
                "id": record["id"],
                "texts": texts,
                "reference": None if reference is None else _answer_text(task, reference),
                "base": _answer_text(task, task.answer(record, base.schema)),
                "run": _answer_text(task, task.answer(run.examples.records[i], run.examples.schema)),
                "values": (base_value, run_value),
            }
        )
    return {"run": run, "counts": disagreement, "examples": examples, "total": comparison.main.n}


def _answer_text(task: Task, answer: Any) -> str:
    if isinstance(answer, float):
        return number(answer)
    return shorten(", ".join(task.answer_texts(answer))) or ("(none)" if isinstance(answer, list) else "(empty)")


def signed(value: float | None) -> str:
    """Return a difference as text with its sign: four decimals, or three significant digits below 0.0001."""
    if value is not None and 1e-4 <= abs(value) < 10:
        return f"{value:+.4f}"
    return MISSING if value is None else ("+" if value > 0 else "") + number(value)


def p_text(p: float | None) -> str:
    """Return a p-value as text: "p < 0.001" or "p = 0.012"."""
    return MISSING if p is None else f"p < {0.001:g}" if p < 0.001 else f"p = {p:.3f}"


def _interval(difference: Difference) -> str:
    return MISSING if difference.low is None else f"{signed(difference.low)} to {signed(difference.high)}"
