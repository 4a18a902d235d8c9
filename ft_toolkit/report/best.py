"""Show a search for the best model (`ftk best`): the candidates on the console, and best.html with the score over time."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from ft_toolkit.core.best_records import BestCandidate, BestResults
from ft_toolkit.core.files import write_file
from ft_toolkit.core.run_folder import BEST_PAGE, BEST_RECIPE
from ft_toolkit.report.charts import Line, Plot, Point, axis_range, plot_chart
from ft_toolkit.report.numbers import interval, number
from ft_toolkit.report.templating import load_template
from ft_toolkit.report.wording import plain_name

_CHART_HEIGHT = 260
# With fewer validation rows, the choice between candidates is mostly chance: the standard error of an accuracy of 0.8 on 100
# rows is 0.04.
FEW_VALIDATION_ROWS = 100


def print_best(results: BestResults, folder: Path, console: Console) -> None:
    """Print the candidates in the order in which they ended, the chosen one with its scores, and the paths."""
    table = Table("after", results.metric, "best so far", "state", "candidate", box=None)
    for candidate, best in path_of(results):
        texts = [f"{candidate.ended:.0f} s", number(candidate.value, results.validation_rows)]
        table.add_row(*texts, number(best, results.validation_rows), candidate.state, candidate.title)
    console.print(table, markup=False, highlight=False)
    lines = sentences(results)
    if results.best is not None:
        lines += [
            f"Recipe: {folder / BEST_RECIPE}",
            f"Next step:   ftk predict {folder / results.best.folder} --input rows.csv",
        ]
    lines.append(f"Report page: {(folder / BEST_PAGE).resolve().as_uri()}")
    for line in lines:
        console.print(line, soft_wrap=True, markup=False, highlight=False)


def path_of(results: BestResults) -> list[tuple[BestCandidate, float | None]]:
    """Return each candidate with the best score of all finished candidates up to its end."""
    path: list[tuple[BestCandidate, float | None]] = []
    best: float | None = None
    for candidate in results.candidates:
        if candidate.state == "finished" and candidate.value is not None:
            known = [candidate.value] if best is None else [candidate.value, best]
            best = (max if results.greater_is_better else min)(known)
        path.append((candidate, best))
    return path


def sentences(results: BestResults) -> list[str]:
    """Return sentences on the search, the chosen candidate, and the reliability of its scores."""
    n, metric = results.validation_rows, plain_name(results.metric)
    states = [each.state for each in results.candidates]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(sorted(states)))
    noun = "candidate" if len(states) == 1 else "candidates"
    lines = [f"{len(states)} {noun} in {results.seconds:.0f} s (of {60 * results.minutes:.0f} s): {counts}."]
    if results.left_out:
        lines.append(f"Not tried, because the time was too short: {'; '.join(results.left_out)}.")
    if results.best is None:
        return [*lines, "The search is not finished."]
    best = results.best
    default = "" if results.default_value is None else f"; the default settings have {number(results.default_value, n)}"
    text = f"Best on validation: {best.title}, {metric} {number(best.value, n)}{default}."
    if len(states) > 1:
        text += f" The validation rows compared {len(states)} candidates, so this score is optimistic."
    lines.append(text)
    if best.selection_bias is not None:
        lines.append(
            "If all candidates were equally good, the best would exceed its true score by "
            f"{number(best.selection_bias, n)}."
        )
    if n < FEW_VALIDATION_ROWS:
        lines.append(f"With only {n} validation rows, the choice between the candidates is mostly chance.")
    if best.test is not None:
        lines.append(
            f"Test score of the chosen model, computed once: {number(best.test.value, best.test_rows)} (95% interval "
            f"{interval(best.test, best.test_rows)}, n = {best.test_rows})."
        )
    elif results.complete:
        lines.append(
            "There are no test rows, so no score is free of the selection (data.test_fraction holds rows out)."
        )
    return lines


def write_best_page(folder: Path, results: BestResults) -> None:
    """Write best.html into the folder."""
    page = load_template("best.html.j2", autoescape=True).render(
        results=results, sentences=sentences(results), chart=_chart(results), path=path_of(results)
    )
    write_file(folder / BEST_PAGE, page)


def _chart(results: BestResults) -> str | None:
    """Draw the validation score of each candidate over the time at which it ended, and the best score so far."""
    n = results.validation_rows
    points, line = [], list[tuple[float, float | None]]()
    for candidate, best in path_of(results):
        minutes = candidate.ended / 60
        if line:
            line.append((minutes, line[-1][1]))
        if best is not None:
            line.append((minutes, best))
        if candidate.value is None:
            continue
        is_chosen = results.best is not None and candidate.folder == results.best.folder
        style = "strong" if is_chosen else "plain" if candidate.state == "finished" else "plain open"
        text = f"{candidate.title} ({candidate.state}), after {minutes:.1f} minutes: {number(candidate.value, n)}"
        points.append(Point(minutes, candidate.value, None, None, text, style, 6 if is_chosen else 4))
    if not points:
        return None
    x_range = (0.0, max(results.minutes, *(point.x for point in points)))
    y_range = axis_range([point.y for point in points])
    label = f"{plain_name(results.metric)} on validation over time: " + "; ".join(point.text for point in points)
    plot = Plot(x_range, y_range, [Line("best so far", line, "strong")], points)
    return plot_chart(plot, label=label, height=_CHART_HEIGHT)
