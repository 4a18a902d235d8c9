"""Show a learning curve (`ftk scale`): a table and a sentence per model on the console, and one self-contained HTML page."""

import math
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ft_toolkit.core.files import write_file
from ft_toolkit.core.run_records import CurveFit, LearningCurve, ModelCurve
from ft_toolkit.core.run_scores import says_nothing
from ft_toolkit.evaluation.statistics.power_law import MINIMUM_POINTS, error_drop, rows_until_flat
from ft_toolkit.report.charts import Band, Line, Plot, Point, axis_range, plot_chart
from ft_toolkit.report.numbers import MISSING, count, interval, number, seconds
from ft_toolkit.report.templating import load_template
from ft_toolkit.report.wording import plain_name

# The colours of the curves; with more models than colours they repeat.
_STYLES = ("strong", "warm", "plain")
_CHART_HEIGHT = 380
# Standard errors that were multiplied by more than this mean that the law does not describe the points.
_BAD_FIT = 2


def print_learning_curve(record: LearningCurve, folder: Path, console: Console) -> None:
    """Print every point with its interval, the predicted gain from twice the rows, and the path of the page."""
    n, better = record.n, "" if record.greater_is_better else ", lower is better"
    several = len(record.models) > 1
    heads = ["rows", "share", record.metric, "95% interval", "steps", "training"]
    table = Table(*(["model"] if several else []), *heads, box=None)
    for model in record.models:
        for point in model.points:
            cells = [count(point.rows), f"{point.share:.4g}", number(point.value, n), interval(point, n)]
            cells += [count(point.steps), seconds(point.seconds) or MISSING]
            table.add_row(*([model.model] if several else []), *cells)
    console.print(f"{record.metric} on {record.split} (n={record.n}{better})", markup=False, highlight=False)
    console.print(table)
    for sentence in sentences(record):
        console.print(sentence, soft_wrap=True, markup=False, highlight=False)
    page = (folder / "scale.html").resolve().as_uri()
    console.print(f"Report page: {page}", soft_wrap=True, markup=False, highlight=False)


def sentences(record: LearningCurve) -> list[str]:
    """Return a sentence per model: the predicted gain from twice the rows, or why there is no curve."""
    lines = []
    for model in record.models:
        name = f"{model.model}: " if len(record.models) > 1 else ""
        fit = model.fit
        if fit is not None:
            lines.append(name + gain_sentence(record, fit))
        elif sum(point.value is not None for point in model.points) < MINIMUM_POINTS:
            metric = plain_name(record.metric)
            lines.append(
                f"{name}No curve: {metric} is defined at fewer than {MINIMUM_POINTS} different numbers of rows."
            )
        elif all(says_nothing(point.value, greater_is_better=record.greater_is_better) for point in model.points):
            metric = plain_name(record.metric)
            lines.append(
                f"{name}No curve: {metric} is 0 for every number of rows. Train longer (training.num_train_epochs), or choose "
                "another metric (evaluation.metric_for_best_model)."
            )
        else:
            lines.append(
                f"{name}No curve: the score gets worse with more rows, which a power law cannot describe. Small shares "
                "are trained for more epochs than all rows. Train longer (training.num_train_epochs) and repeat the command."
            )
    return lines


def gain_sentence(record: LearningCurve, fit: CurveFit) -> str:
    """Return the predicted gain from twice the rows with its interval, and whether a gain is expected."""
    twice, change = fit.twice, fit.twice.change
    value, low, high = (_signed(end, record) for end in (change.value, change.low, change.high))
    gain = f"{value} {_unit(record)} (95% interval {low} to {high})"
    sentence = f"Predicted for twice the rows ({count(twice.rows)}): {gain}; "
    sign = 1 if record.greater_is_better else -1
    # The printed values decide: a gain that is rounded to 0 is no gain.
    least, most = sorted(sign * float(end) for end in (low, high))
    if most <= 0:
        return sentence + "no gain is expected."
    if least <= 0:
        return sentence + "a gain is not certain, because the interval includes 0."
    # A curve that is already flat still gains a little, so its interval seldom includes 0.
    negligible, name = negligible_gain(record, fit)
    if min(sign * end for end in (change.low, change.high)) < negligible:
        sentence += f"a gain is not certain, because the interval includes a gain of less than {name}."
    else:
        sentence += "a gain is expected."
    return sentence + (" Do not rely on it: the points fit the curve badly." if fit.widened > _BAD_FIT else "")


def negligible_gain(record: LearningCurve, fit: CurveFit) -> tuple[float, str]:
    """Return the size of a gain below which nobody can see it, and its name."""
    if record.greater_is_better:
        return record.best / record.n, f"one of the {count(record.n)} examples"
    return abs(fit.twice.value) / 1000, f"a thousandth of the {plain_name(record.metric)}"


def next_gain_sentences(record: LearningCurve, model: ModelCurve, rows: int, more: int) -> list[str]:
    """Return the predicted gain from `more` rows for a model with `rows` training rows, and when to stop labelling."""
    fit = model.fit
    if fit is None:
        return sentences(record.model_copy(update={"models": [model]}))
    if rows + more > 2 * fit.rows:
        return [
            f"The learning curve has up to {count(fit.rows)} rows, which is too few to predict the gain from "
            f"{count(rows)} to {count(rows + more)} rows; measure it with all rows."
        ]
    sign = 1 if record.greater_is_better else -1
    gain = _signed(sign * error_drop(fit, rows, more), record)
    lines = [
        f"Predicted for {count(more)} more randomly chosen rows: {gain} {_unit(record)}.",
        gain_sentence(record, fit),
    ]
    least, name = negligible_gain(record, fit)
    step = max(more, rows // 10)  # a few rows gain less than one example on any curve
    stop = rows_until_flat(fit, rows, step, least)
    little = f"{count(step)} more rows are predicted to gain less than {name}"
    if stop is None:
        lines.append(
            f"When to stop: not before {count(2 * fit.rows)} training rows, the most for which this curve predicts a score. "
            "Measure it again with the new rows."
        )
    elif stop == rows:
        lines.append(f"When to stop: now, because {little}.")
    else:
        lines.append(f"When to stop: at about {count(stop)} training rows. From there, {little}.")
    return lines


def notes(record: LearningCurve, fit: CurveFit) -> list[str]:
    """Return notes on how reliable the fitted curve of a model is."""
    lines = []
    if fit.floor_shown:
        floor = fit.c
        lines.append(
            f"The curve has a significant floor: an error of {number(floor.value)} ({interval(floor)}) remains for any "
            "number of similar rows."
        )
    elif fit.b.value <= 0:
        lines.append("The best-fitting curve does not improve with more rows.")
    else:
        lines.append(
            "The points give no significant evidence that the error levels off, so the curve has no floor. The interval also "
            "includes curves that level off."
        )
    if fit.widened > 1:
        lines.append(
            "The points scatter around the curve more than their standard errors explain, so the standard errors were "
            f"multiplied by {fit.widened:.2f}."
        )
    return lines


def _unit(record: LearningCurve) -> str:
    name = plain_name(record.metric)
    return f"points of {name}" if _in_points(record) else name


def _in_points(record: LearningCurve) -> bool:
    """Return whether a score from 0 to 1 is given in points (hundredths)."""
    return bool(record.greater_is_better and record.best == 1)


def _signed(value: float, record: LearningCurve) -> str:
    if _in_points(record):
        value *= 100
    decimals = 1 if _in_points(record) or record.best == 100 or abs(value) >= 10 else 3
    rounded = round(value, decimals) + 0.0  # no -0.0
    return f"{rounded:+.{decimals}f}"


def write_learning_curve_page(folder: Path, record: LearningCurve) -> None:
    """Write scale.html into the folder of a learning curve."""
    variables = {
        "record": record,
        "sentences": sentences(record),
        "chart": _chart(record),
        "styles": [_STYLES[i % len(_STYLES)] for i in range(len(record.models))],
        "notes": [notes(record, model.fit) if model.fit else [] for model in record.models],
    }
    write_file(folder / "scale.html", load_template("learning_curve.html.j2", autoescape=True).render(variables))


def _chart(record: LearningCurve) -> str:
    """Draw every score over the logarithm of its rows, the fitted curve with its 95% band, and the prediction."""
    n = record.n
    lines, guides, bands, points = [], [], [], []
    for i, model in enumerate(record.models):
        style, fit = _STYLES[i % len(_STYLES)], model.fit
        for point in model.points:
            if point.value is None:
                continue
            text = f"{model.model}, {count(point.rows)} rows: {number(point.value, n)} ({interval(point, n)})"
            x = math.log2(point.rows)
            points.append(Point(x, point.value, point.low, point.high, text, style))
        if fit is None:
            continue
        curve = [(math.log2(step.rows), step) for step in fit.curve]
        last = math.log2(fit.rows)
        lines.append(Line(model.model, [(x, step.value) for x, step in curve if x <= last + 1e-9], style))
        guides.append(Line(model.model, [(x, step.value) for x, step in curve if x >= last - 0.1], f"guide {style}"))
        bands.append(Band([(x, step.low, step.high) for x, step in curve], style))
        twice = fit.twice
        text = f"{model.model}, {count(twice.rows)} rows, predicted: {number(twice.value, n)} ({interval(twice, n)})"
        points.append(Point(math.log2(twice.rows), twice.value, twice.low, twice.high, text, f"{style} open", 5))
    ticks = {point.rows for model in record.models for point in model.points}
    ticks |= {model.fit.twice.rows for model in record.models if model.fit}
    x_range = (math.log2(min(ticks)) - 0.15, math.log2(max(ticks)) + 0.15)
    # no score is better than the best one
    limits = {"highest" if record.greater_is_better else "lowest": float(record.best)}
    y_range = axis_range([value for point in points for value in (point.y, point.low, point.high)], **limits)
    x_ticks = [(math.log2(rows), count(rows)) for rows in sorted(ticks)]
    label = f"{plain_name(record.metric)} on {record.split} by the number of training rows: "
    label += "; ".join(point.text for point in points)
    plot = Plot(x_range, y_range, lines, points, guides, bands, x_ticks)
    return plot_chart(plot, label=label, height=_CHART_HEIGHT)
