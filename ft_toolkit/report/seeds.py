"""report.html and README.md of a multi-seed run, from its results.json."""

from pathlib import Path

from ft_toolkit.core.files import write_file
from ft_toolkit.core.run_records import SeedSpread, SeedsResults
from ft_toolkit.report.card import code, escape
from ft_toolkit.report.charts import IntervalRow, axis_range, interval_chart
from ft_toolkit.report.numbers import interval, number
from ft_toolkit.report.run_files import in_order
from ft_toolkit.report.templating import load_template
from ft_toolkit.report.wording import plain_name


def write_seeds_report(folder: Path, results: SeedsResults) -> None:
    """Write report.html and README.md into the folder of a multi-seed run, which contains seed_1, seed_2 ..."""
    splits = [
        {
            "name": split,
            "n": results.scores[split].n,
            "metrics": results.scores[split].metrics,
            "chart": _chart(results, split),
        }
        for split in in_order(results.scores)
    ]
    variables = {"results": results, "splits": splits, "lower_is_better": set(results.lower_is_better)}
    filters = {"spread": spread, "mean_interval": mean_interval}
    page = load_template("seeds.html.j2", autoescape=True, **filters).render(variables)
    write_file(folder / "report.html", page)
    card = load_template("seeds.md.j2", autoescape=False, **filters, md=escape, code=code).render(variables)
    write_file(folder / "README.md", card.strip() + "\n")


def spread(scores: SeedSpread, n: int | None = None) -> str:
    """Return mean and standard deviation of a metric as text; `n` is the number of examples."""
    deviation = f" ± {number(scores.sd, n)}" if scores.sd is not None else ""
    return f"{number(scores.mean, n)}{deviation}"


def mean_interval(scores: SeedSpread, n: int | None = None) -> str:
    """Return the 95% interval of the mean over seeds as text; `n` is the number of examples."""
    return interval({"low": scores.mean_low, "high": scores.mean_high}, n)


def _chart(results: SeedsResults, split: str) -> str:
    """Draw the main score of each seed with its interval, and the mean as a dashed line."""
    n, main = results.scores[split].n, results.main_metric
    scores = results.scores[split].metrics[main]
    rows = []
    for seed, score in scores.values.items():
        is_best = int(seed) == results.best.seed
        text = f"{number(score.value, n)} ({interval(score, n)})" + (", best on validation" if is_best else "")
        rows.append(IntervalRow(f"seed {seed}", score.value, score.low, score.high, text, strong=is_best))
    axis = axis_range([value for row in rows for value in (row.value, row.low, row.high)])
    label = f"{plain_name(main)} on {split}: " + "; ".join(f"{row.name} {row.text}" for row in rows)
    mark = None if scores.mean is None else (scores.mean, f"mean {number(scores.mean, n)}")
    return interval_chart(rows, axis, label=label, reference=mark)
