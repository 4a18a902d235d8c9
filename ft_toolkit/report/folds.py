"""Show a cross-validation (`ftk folds`): a table on the console, and folds.html."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from ft_toolkit.core.files import write_file
from ft_toolkit.core.fold_records import FoldsResults
from ft_toolkit.core.run_folder import FOLDS_PAGE, PREDICTIONS
from ft_toolkit.report.charts import IntervalRow, axis_range, interval_chart
from ft_toolkit.report.numbers import count, interval, number
from ft_toolkit.report.run_files import read_run
from ft_toolkit.report.seeds import mean_interval, spread
from ft_toolkit.report.templating import load_template
from ft_toolkit.report.wording import plain_name

# Bengio and Grandvalet (2004), No Unbiased Estimator of the Variance of K-Fold Cross-Validation, JMLR 5.
LIMITS = (
    "The interval of the mean (Student's t) treats the folds as independent. They are not: any two models share most of their "
    "training rows. No unbiased estimate of the variance exists (Bengio and Grandvalet 2004), and the interval is usually too "
    "narrow. Do not use it to show that one recipe is better than another; compare both on test rows instead."
)


def print_folds(results: FoldsResults, folder: Path, console: Console) -> None:
    """Print mean, spread and interval of each metric, and the paths of the page and of the predictions."""
    n, metrics = results.rows, read_run(folder / results.runs[0].folder).metrics
    columns = ("mean ± sd", "95% interval of the mean", "minimum", "maximum")
    table = Table(f"{results.folds} folds, n = {count(n)}", *columns, box=None)
    for name, scores in results.scores.items():
        if name != results.main_metric and name in metrics and metrics[name].is_detail:
            continue  # only the page shows it
        direction = " (lower is better)" if name in results.lower_is_better else ""
        cells = [spread(scores, n), mean_interval(scores, n), number(scores.min, n), number(scores.max, n)]
        table.add_row(f"{plain_name(name)}{direction}", *cells)
    console.print(table, markup=False, highlight=False)
    for line in (
        LIMITS,
        f"Out-of-fold predictions of all {count(n)} rows: {folder / PREDICTIONS}",
        f"Report page: {(folder / FOLDS_PAGE).resolve().as_uri()}",
    ):
        console.print(line, soft_wrap=True, markup=False, highlight=False)


def write_folds_page(folder: Path, results: FoldsResults) -> None:
    """Write folds.html into the folder of a cross-validation."""
    filters = {"spread": spread, "mean_interval": mean_interval}
    page = load_template("folds.html.j2", autoescape=True, **filters).render(
        results=results, chart=_chart(results), limits=LIMITS, lower_is_better=set(results.lower_is_better)
    )
    write_file(folder / FOLDS_PAGE, page)


def _chart(results: FoldsResults) -> str:
    """Draw the main score on each fold with its interval, and the mean as a dashed line."""
    scores = results.scores[results.main_metric]
    rows = []
    for run in results.runs:
        score = scores.values[str(run.fold)]
        text = f"{number(score.value, run.rows)} ({interval(score, run.rows)}), n = {count(run.rows)}"
        rows.append(IntervalRow(f"fold {run.fold}", score.value, score.low, score.high, text))
    axis = axis_range([value for row in rows for value in (row.value, row.low, row.high)])
    label = f"{plain_name(results.main_metric)} on each fold: " + "; ".join(f"{row.name} {row.text}" for row in rows)
    mark = None if scores.mean is None else (scores.mean, f"mean {number(scores.mean, results.rows)}")
    return interval_chart(rows, axis, label=label, reference=mark)
