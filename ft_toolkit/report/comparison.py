"""`ftk compare` for people: a table on the console, and one self-contained page."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ft_toolkit.core.files import write_file
from ft_toolkit.evaluation.compare.comparison import Comparison, Difference, Line, seed_spread
from ft_toolkit.evaluation.compare.finished_runs import FinishedRun, model_megabytes
from ft_toolkit.evaluation.statistics.significance import LEVEL
from ft_toolkit.report import run_files as facts
from ft_toolkit.report.charts import Dot, interval_chart, span_of
from ft_toolkit.report.mistakes.marks import shorten
from ft_toolkit.report.run_files import MISSING, interval, number, words
from ft_toolkit.report.sections.background import seconds

# A narrower terminal wraps the table's lines itself, which reads better than cells in pieces.
_WIDTH = 110
# Keys of a record whose text is the prediction; the first one it has is shown.
_ANSWERS = ("entities", "answer", "summary", "translation", "labels", "label", "perplexity", "score")


def print_comparison(found: Comparison) -> None:
    """Print every run's score, its difference from the base, and whether it is shown."""
    console = Console(highlight=False, width=max(Console().width, _WIDTH))
    examples, line = found.base.examples, found.main
    better = "" if line.greater_is_better else ", lower is better"
    console.print(f"{found.metric} on {examples.split} (n={line.n}{better})", markup=False)
    table = Table("run", "score", "95% interval", "difference", "95% interval", "p (Holm)", "outcome", box=None)
    for run in found.runs:
        score, other = line.scores[run.label], line.differences.get(run.label)
        cells = ["base", "", "", ""] if other is None else _cells(other)
        table.add_row(run.label, number(score["value"]), interval(score), *cells)
    console.print(table, soft_wrap=True)
    for text in [*sentences(found), *found.notes]:
        console.print(text, soft_wrap=True, markup=False)
    for column, lines in found.slices.items():
        _print_slices(column, lines, found, console)


def _cells(one: Difference) -> list[str]:
    return [signed(one.value), _interval(one), p_text(one.corrected), one.outcome]


def _print_slices(column: str, lines: list[Line], found: Comparison, console: Console) -> None:
    for run in found.runs[1:]:
        table = Table(f"{column}, {run.label}", "n", "difference", "95% interval", "p (Holm)", "outcome", box=None)
        for line in lines:
            table.add_row(shorten(line.name, 40), str(line.n), *_cells(line.differences[run.label]))
        console.print(table, soft_wrap=True)
    if skipped := found.skipped[column]:
        console.print(f"{column}: too few rows to compare: {', '.join(skipped)}", soft_wrap=True, markup=False)


def sentences(found: Comparison) -> list[str]:
    """Say each comparison in a sentence; of runs over several seeds also how the means and spreads differ."""
    said = []
    base = found.base
    for run in found.runs[1:]:
        one, apart = found.main.differences[run.label], found.disagreements[run.label]
        sentence = {
            "better": f"{run.label} is better than {base.label}",
            "worse": f"{run.label} is worse than {base.label}",
            "unknown": f"{run.label} and {base.label} cannot be compared: a score is undefined",
        }.get(one.outcome, f"{run.label} against {base.label}: no difference shown")
        sentence += (
            f": {words(found.metric)} {signed(one.value)} ({_interval(one)}), {one.test}, {p_text(one.corrected)}"
        )
        if one.detectable is not None:
            sentence += f"; from a difference of {number(one.detectable)} on, these rows would show one 8 times in 10"
        if apart.both is not None:
            sentence += (
                f". Only {run.label} is right on {apart.better:,} examples, only {base.label} on {apart.worse:,}"
            )
        said.append(sentence + ".")
        ours, theirs = seed_spread(base, found.metric), seed_spread(run, found.metric)
        if ours and theirs and None not in (ours["mean"], theirs["mean"]):
            said.append(
                f"Over seeds: {run.label} {_spread(theirs)}, {base.label} {_spread(ours)}; "
                f"the means differ by {signed(theirs['mean'] - ours['mean'])}."
            )
    return said


def write_comparison(path: Path, found: Comparison, command: str) -> None:
    """Write the page."""
    tables: list[tuple[str, str, list[Line], str, list[str]]] = [
        ("metrics", "All metrics", found.metrics, "metric", [])
    ]
    tables += [("classes", "Classes, by F1", found.classes, "class", [])] if found.classes else []
    for number_, (column, lines) in enumerate(found.slices.items()):
        tables.append((f"slice-{number_}", f"By {column}", lines, column, found.skipped[column]))
    given = {
        "found": found,
        "base": found.base,
        "others": found.runs[1:],
        "split": found.base.examples.split,
        "n": found.main.n,
        "task": found.base.examples.task.name,
        "sentences": [(found.main.differences[run.label].outcome, run.label) for run in found.runs[1:]],
        "said": sentences(found),
        "scores_chart": _scores_chart(found),
        "forest": _forest(found),
        "facts": [_facts(run, found.metric) for run in found.runs],
        "has_seeds": any(run.seeds for run in found.runs),
        "tables": tables,
        "apart": [_apart(run, found) for run in found.runs[1:]],
        "level": LEVEL,
        "command": command,
    }
    page = facts.template("comparison.html.j2", autoescape=True, signed=signed, p=p_text, span=_interval)
    write_file(path, page.render(given))


def _scores_chart(found: Comparison) -> str:
    dots = []
    for run in found.runs:
        one = found.main.scores[run.label]
        dots.append(
            Dot(
                run.label,
                one["value"],
                one["low"],
                one["high"],
                f"{number(one['value'])} ({interval(one)})",
                strong=True,
            )
        )
    span = span_of([value for dot in dots for value in (dot.value, dot.low, dot.high)])
    return interval_chart(dots, span, label="; ".join(f"{dot.name} {dot.text}" for dot in dots))


def _forest(found: Comparison) -> str:
    """Draw each difference from the base with its interval about a line at 0; what is shown is strong."""
    dots = []
    for run in found.runs[1:]:
        one = found.main.differences[run.label]
        text = f"{signed(one.value)} ({_interval(one)})"
        strong = one.outcome in ("better", "worse")
        dots.append(Dot(run.label, one.value, one.low, one.high, text, strong=strong))
    span = span_of([0.0, *(value for dot in dots for value in (dot.value, dot.low, dot.high))])
    label = "Differences from the base: " + "; ".join(f"{dot.name} {dot.text}" for dot in dots)
    return interval_chart(dots, span, label=label, reference=(0.0, "no difference"))


def _facts(run: FinishedRun, metric: str) -> dict[str, Any]:
    read = facts.read_run(run.examples.folder)
    size, spread = model_megabytes(run), seed_spread(run, metric)
    return {
        "label": run.label,
        "model": run.results["model"],
        "method": read.trained_share(),
        "seconds": seconds(run.results["training"]["seconds"]),
        "size": MISSING if size is None else f"{size:,.1f} MB" + (", adapter" if read.is_adapter else ""),
        "seeds": _spread(spread) if spread else MISSING,
    }


def _spread(found: dict[str, Any]) -> str:
    return f"{number(found['mean'])} ± {number(found['sd'])} ({found['n']} seeds)"


def _apart(run: FinishedRun, found: Comparison) -> dict[str, Any]:
    one = found.disagreements[run.label]
    base, other = found.base.examples, run.examples
    columns = [name for name, column in base.task.columns.items() if not column.is_answer]
    shown = []
    for i, ours, theirs in one.examples:
        record = base.records[i]
        texts = [(name, _text(record[name])) for name in columns if record.get(name)]
        shown.append(
            {
                "id": record["id"],
                "texts": [text for text in texts if not (text[0] == "tokens" and "text" in record)],
                "gold": _text(record.get("gold")) if record.get("gold") is not None else None,
                "base": _answer(record),
                "run": _answer(other.records[i]),
                "values": (ours, theirs),
            }
        )
    return {"run": run, "one": one, "examples": shown, "total": found.main.n}


def _answer(record: dict[str, Any]) -> str:
    return next((_text(record[key]) for key in _ANSWERS if key in record), MISSING)


def _text(value: Any) -> str:
    if isinstance(value, list):
        whole = all(isinstance(one, str) and " " not in one for one in value)
        shown = [f"{one['text']} ({one['label']})" if isinstance(one, dict) else str(one) for one in value]
        return shorten((" " if whole and len(value) > 5 else ", ").join(shown)) or "(none)"
    if isinstance(value, float):
        return number(value)
    return shorten(str(value)) if str(value).strip() else "(empty)"


def signed(value: float | None) -> str:
    """Return a difference with its sign, to four decimals where these show it."""
    if value is not None and 1e-4 <= abs(value) < 10:
        return f"{value:+.4f}"
    return MISSING if value is None else ("+" if value > 0 else "") + number(value)


def p_text(p: float | None) -> str:
    """Return a p as text, small ones as a bound."""
    return MISSING if p is None else f"p < {0.001:g}" if p < 0.001 else f"p = {p:.3f}"


def _interval(one: Difference) -> str:
    return MISSING if one.low is None else f"{signed(one.low)} to {signed(one.high)}"
