"""Write the report page and the summary (README.md) of a multi-seed run."""

from pathlib import Path

from ft_toolkit.core.errors import UsageError
from ft_toolkit.core.files import write_file
from ft_toolkit.core.run_records import SeedSpread, SeedsResults, read_results
from ft_toolkit.report.card import code, escape
from ft_toolkit.report.charts import Dot, interval_chart, span_of
from ft_toolkit.report.run_files import in_order, interval, number, template, words
from ft_toolkit.report.sections.background import seconds


def write_seeds_report(folder: Path) -> None:
    """Write report.html and README.md into the folder of a multi-seed run, from its results.json. Raises UsageError."""
    results = read_results(folder)
    if not isinstance(results, SeedsResults):
        raise UsageError(f"{folder}: not a multi-seed run")
    splits = [
        {
            "name": split,
            "n": results.scores[split].n,
            "metrics": results.scores[split].metrics,
            "chart": _chart(results, split),
        }
        for split in in_order(results.scores)
    ]
    variables = {
        "results": results,
        "splits": splits,
        "lower_is_better": set(results.lower_is_better),
        "seconds": seconds,
    }
    page = template("seeds.html.j2", autoescape=True, spread=spread).render(variables)
    write_file(folder / "report.html", page)
    summary = template("seeds.md.j2", autoescape=False, spread=spread, md=escape, code=code).render(variables)
    write_file(folder / "README.md", summary.strip() + "\n")


def spread(scores: SeedSpread) -> str:
    """Return mean and standard deviation of a metric as text."""
    return number(scores.mean) + (f" ± {number(scores.sd)}" if scores.sd is not None else "")


def _chart(results: SeedsResults, split: str) -> str:
    """Draw the main metric of each seed with its interval, and the mean as a dashed line."""
    scores = results.scores[split].metrics[results.main_metric]
    dots = []
    for seed, score in scores.values.items():
        best = int(seed) == results.best.seed
        text = f"{number(score.value)} ({interval(score)})" + (", best on validation" if best else "")
        dots.append(Dot(f"seed {seed}", score.value, score.low, score.high, text, strong=best))
    span = span_of([value for dot in dots for value in (dot.value, dot.low, dot.high)])
    label = f"{words(results.main_metric)} on {split}: " + "; ".join(f"{dot.name} {dot.text}" for dot in dots)
    reference = None if scores.mean is None else (scores.mean, f"mean {number(scores.mean)}")
    return interval_chart(dots, span, label=label, reference=reference)
