"""Write the report page and the summary (README.md) of a multi-seed run."""

from pathlib import Path
from typing import Any

from ft_toolkit.core.files import write_file
from ft_toolkit.core.run_records import read_results
from ft_toolkit.report import run_files as facts
from ft_toolkit.report.card import code, escape
from ft_toolkit.report.charts import Dot, interval_chart, span_of
from ft_toolkit.report.run_files import number, words
from ft_toolkit.report.sections.background import seconds


def write_seeds_report(folder: Path) -> None:
    """Write report.html and README.md into the folder of a multi-seed run, from its results.json."""
    results = read_results(folder)
    splits = facts.in_order(results["scores"])
    given = {
        "results": results,
        "splits": [{"name": split, **results["scores"][split], "chart": _chart(results, split)} for split in splits],
        "lower_is_better": set(results["lower_is_better"]),
        "seconds": seconds,
    }
    write_file(folder / "report.html", facts.template("seeds.html.j2", autoescape=True, spread=spread).render(given))
    card = facts.template("seeds.md.j2", autoescape=False, spread=spread, md=escape, code=code).render(given)
    write_file(folder / "README.md", card.strip() + "\n")


def spread(found: dict[str, Any]) -> str:
    """Return mean and standard deviation of a metric as text."""
    return number(found["mean"]) + (f" ± {number(found['sd'])}" if found["sd"] is not None else "")


def _chart(results: Any, split: str) -> str:
    """Draw the main metric of each seed with its interval, and the mean as a dashed line."""
    found = results["scores"][split]["metrics"][results["main_metric"]]
    dots = []
    for seed, score in found["values"].items():
        best = int(seed) == results["best"]["seed"]
        text = f"{number(score['value'])} ({facts.interval(score)})" + (", best on validation" if best else "")
        dots.append(Dot(f"seed {seed}", score["value"], score["low"], score["high"], text, strong=best))
    span = span_of([value for dot in dots for value in (dot.value, dot.low, dot.high)])
    label = f"{words(results['main_metric'])} on {split}: " + "; ".join(f"{dot.name} {dot.text}" for dot in dots)
    mean = found["mean"]
    reference = None if mean is None else (mean, f"mean {number(mean)}")
    return interval_chart(dots, span, label=label, reference=reference)
