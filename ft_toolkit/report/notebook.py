"""A run or an evaluation in a notebook: one sentence, the table of scores, the notes on the rows, and a link to the report."""

from collections.abc import Mapping
from html import escape
from pathlib import Path

from ft_toolkit.core.run_folder import REPORT
from ft_toolkit.core.run_records import AnyResults, SeedsResults

# {split: {metric: {"value": ..., "low": ..., "high": ...}}}; of a multi-seed run "mean", "sd", "min" and "max".
ScoreTable = Mapping[str, Mapping[str, Mapping[str, float | None]]]


def summary(results: AnyResults, scores: ScoreTable) -> str:
    """Return the main score in one line: "accuracy 0.91 (95% interval 0.86 to 0.95) on 200 test examples"."""
    split = "test" if "test" in results.scores else next(iter(results.scores))
    seeds = f", {len(results.seeds)} seeds" if isinstance(results, SeedsResults) else ""
    main = results.main_metric
    return f"{main} {_text(scores[split][main])} on {results.scores[split].n:,} {split} examples{seeds}"


def results_html(folder: Path, results: AnyResults, scores: ScoreTable) -> str:
    """Return the HTML of a notebook cell. The link to the report is relative if `folder` is."""
    sizes = "".join(f"<th>{escape(split)} (n = {results.scores[split].n:,})</th>" for split in scores)
    names = dict.fromkeys(name for metrics in scores.values() for name in metrics)
    rows = "".join(
        f"<tr><td>{escape(name)}</td>"
        + "".join(f"<td>{_text(metrics[name]) if name in metrics else ''}</td>" for metrics in scores.values())
        + "</tr>"
        for name in names
    )
    warnings = "".join(f"<li>{escape(warning)}</li>" for warning in results.data.warnings)
    report = escape((folder / REPORT).as_posix())
    return (
        f"<p><b>{escape(results.name)}</b> ({escape(results.task)}): {escape(summary(results, scores))}.</p>"
        f"<table><thead><tr><th>metric</th>{sizes}</tr></thead><tbody>{rows}</tbody></table>"
        + (f"<ul>{warnings}</ul>" if warnings else "")
        + f'<p>Report: <a href="{report}">{report}</a></p>'
    )


def _text(score: Mapping[str, float | None]) -> str:
    """Return "0.91 (95% interval 0.86 to 0.95)", or "0.91 (mean; 0.89 to 0.92)" over seeds."""
    if "mean" in score:
        return f"{_number(score['mean'])} (mean; {_number(score['min'])} to {_number(score['max'])})"
    value = _number(score["value"])
    if score["low"] is None:
        return value
    return f"{value} (95% interval {_number(score['low'])} to {_number(score['high'])})"


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.2f}"
