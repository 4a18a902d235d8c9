"""`ftk scale` for people: the table and a sentence per model on the console, and one self-contained page."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ft_toolkit.core.files import write_file
from ft_toolkit.evaluation.statistics.power_law import MINIMUM_POINTS
from ft_toolkit.report import run_files as facts
from ft_toolkit.report.charts import Band, Point, Series, share_chart, span_of
from ft_toolkit.report.run_files import MISSING, count, interval, number, words
from ft_toolkit.report.sections.background import seconds

# Curves are told apart by so many colours, then the colours come again.
_STYLES = ("strong", "warm", "plain")
_HEIGHT = 380


def print_learning_curve(found: Mapping[str, Any], folder: Path, console: Console) -> None:
    """Print every point with its interval, what twice the rows should bring, and where the page is."""
    better = "" if found["greater_is_better"] else ", lower is better"
    many = len(found["models"]) > 1
    heads = ["rows", "share", found["metric"], "95% interval", "steps", "training"]
    table = Table(*(["model"] if many else []), *heads, box=None)
    for model in found["models"]:
        for point in model["points"]:
            cells = [count(point["rows"]), f"{point['share']:.4g}", number(point["value"]), interval(point)]
            cells += [count(point["steps"]), seconds(point["seconds"]) or MISSING]
            table.add_row(*([model["model"]] if many else []), *cells)
    console.print(f"{found['metric']} on {found['split']} (n={found['n']}{better})", markup=False, highlight=False)
    console.print(table)
    for sentence in sentences(found):
        console.print(sentence, soft_wrap=True, markup=False, highlight=False)
    console.print(f"page: {folder}/scale.html", soft_wrap=True, markup=False, highlight=False)


def sentences(found: Mapping[str, Any]) -> list[str]:
    """Say, per model, what twice the rows should bring, and how far the curve can be believed."""
    said = []
    for model in found["models"]:
        name = f"{model['model']}: " if len(found["models"]) > 1 else ""
        fit = model["fit"]
        if fit is not None:
            said.append(name + gain_sentence(found, fit))
        elif sum(point["value"] is not None for point in model["points"]) < MINIMUM_POINTS:
            said.append(f"{name}No curve: the {words(found['metric'])} is defined at fewer than three numbers of rows.")
        else:
            said.append(
                f"{name}No curve: more rows made it worse, and no law of learning says how that goes on. A small share is gone "
                "through more often than all rows are: train longer (training.num_train_epochs), then ask again."
            )
    return said


def gain_sentence(found: Mapping[str, Any], fit: Mapping[str, Any]) -> str:
    """Say what twice the rows should bring, and whether that is certain."""
    twice, change, unit = fit["twice"], fit["twice"]["change"], _unit(found)
    value, low, high = (_signed(change[key], found) for key in ("value", "low", "high"))
    said = f"Twice the rows ({count(twice['rows'])}) should bring {value} {unit} (95% interval {low} to {high}): "
    better = 1 if found["greater_is_better"] else -1
    # judged by what is printed: a gain that rounds to nothing is none
    least, most = sorted(better * float(end) for end in (low, high))
    if most <= 0:
        return said + "no gain is to be expected."
    if least <= 0:
        return said + "not certain, since no gain at all is within the interval."
    # a curve that levels off at once still gains a trace, so an interval seldom begins at 0
    if found["greater_is_better"]:
        trace, what = found["best"] / found["n"], f"one of the {count(found['n'])} examples"
    else:
        trace, what = abs(twice["value"]) / 1000, f"a thousandth of the {words(found['metric'])}"
    if min(better * change[key] for key in ("low", "high")) < trace:
        return said + f"not certain, since a gain of less than {what} is within the interval."
    return said + "a gain is to be expected."


def notes(found: Mapping[str, Any], fit: Mapping[str, Any]) -> list[str]:
    """Say how far the curve of a model can be believed."""
    said = []
    if fit["floor_shown"]:
        floor = fit["c"]
        said.append(
            f"A floor is shown: by the curve, an error of {number(floor['value'])} ({interval(floor)}) would stay with any "
            "number of rows like these."
        )
    elif fit["b"]["value"] <= 0:
        said.append("The points do not show that more rows help: by the curve that fits them best, they do not.")
    else:
        said.append(
            "The points do not show that the error levels off, so the curve falls to 0 in the end; the interval also allows "
            "for curves that level off."
        )
    if fit["widened"] > 1:
        doubt = " They hardly lie on one curve: do not trust the prediction." if fit["widened"] > 2 else ""
        said.append(
            "The points scatter more around the curve than their own errors explain, so these were widened "
            f"{fit['widened']:.2f} times.{doubt}"
        )
    return said


def _unit(found: Mapping[str, Any]) -> str:
    name = words(found["metric"])
    return f"points of {name}" if _in_points(found) else name


def _in_points(found: Mapping[str, Any]) -> bool:
    """Whether a score runs from 0 to 1 and is spoken of in hundredths."""
    return bool(found["greater_is_better"] and found["best"] == 1)


def _signed(value: float, found: Mapping[str, Any]) -> str:
    if _in_points(found):
        value *= 100
    decimals = 1 if _in_points(found) or found["best"] == 100 or abs(value) >= 10 else 3
    rounded = round(value, decimals) + 0.0  # no -0.0
    return f"{rounded:+.{decimals}f}"


def write_learning_curve_page(folder: Path) -> None:
    """Write scale.html beside scale.json, from it alone."""
    found = json.loads((folder / "scale.json").read_text(encoding="utf-8"))
    given = {
        "found": found,
        "sentences": sentences(found),
        "chart": _chart(found),
        "styles": [_STYLES[i % len(_STYLES)] for i in range(len(found["models"]))],
        "notes": [notes(found, model["fit"]) if model["fit"] else [] for model in found["models"]],
        "seconds": seconds,
    }
    write_file(folder / "scale.html", facts.template("learning_curve.html.j2", autoescape=True).render(given))


def _chart(found: Mapping[str, Any]) -> str:
    """Draw every score over the logarithm of its rows, with the fitted curve, its band, and what it says of twice the rows."""
    lines, guides, bands, points = [], [], [], []
    for i, model in enumerate(found["models"]):
        style, fit = _STYLES[i % len(_STYLES)], model["fit"]
        for point in model["points"]:
            if point["value"] is None:
                continue
            text = f"{model['model']}, {count(point['rows'])} rows: {number(point['value'])} ({interval(point)})"
            x = math.log2(point["rows"])
            points.append(Point(x, point["value"], point["low"], point["high"], text, style))
        if fit is None:
            continue
        curve = [(math.log2(one["rows"]), one) for one in fit["curve"]]
        last = math.log2(fit["rows"])
        lines.append(Series(model["model"], [(x, one["value"]) for x, one in curve if x <= last + 1e-9], style))
        guides.append(
            Series(model["model"], [(x, one["value"]) for x, one in curve if x >= last - 0.1], f"guide {style}")
        )
        bands.append(Band([(x, one["low"], one["high"]) for x, one in curve], style))
        twice = fit["twice"]
        text = f"{model['model']}, {count(twice['rows'])} rows, predicted: {number(twice['value'])} ({interval(twice)})"
        points.append(
            Point(math.log2(twice["rows"]), twice["value"], twice["low"], twice["high"], text, f"{style} open", 5)
        )
    ticks = {point["rows"] for model in found["models"] for point in model["points"]}
    ticks |= {model["fit"]["twice"]["rows"] for model in found["models"] if model["fit"]}
    across = (math.log2(min(ticks)) - 0.15, math.log2(max(ticks)) + 0.15)
    up = span_of([value for point in points for value in (point.y, point.low, point.high)])
    label = f"{words(found['metric'])} on {found['split']} by the number of training rows: " + "; ".join(
        point.text for point in points
    )
    shown = [(math.log2(rows), count(rows)) for rows in sorted(ticks)]
    return share_chart(
        lines, points, (across, up), label=label, height=_HEIGHT, guides=guides, bands=bands, ticks=shown
    )
