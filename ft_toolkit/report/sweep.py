"""Show a sweep (`ftk sweep`): the best trials on the console, and sweep.html."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ft_toolkit.core.files import write_file
from ft_toolkit.core.run_folder import BEST_RECIPE, SWEEP_PAGE
from ft_toolkit.core.sweep_records import SweepResults, SweepTrial, SweptSetting
from ft_toolkit.report.charts import Plot, Point, axis_range, plot_chart
from ft_toolkit.report.numbers import MISSING, interval, number
from ft_toolkit.report.templating import load_template
from ft_toolkit.report.wording import plain_name

_CHART_HEIGHT = 240
# Trials in the table on the console; the page has all of them.
_SHOWN = 10


def print_sweep(results: SweepResults, folder: Path, console: Console) -> None:
    """Print the best trials, the winner with its corrected validation score and its test score, and the paths."""
    n, keys = results.validation_rows, [setting.key for setting in results.space]
    table = Table("trial", results.metric, "state", *keys, box=None)
    for trial in ranked(results)[:_SHOWN]:
        values = [setting_text(trial.settings.get(key)) for key in keys]
        table.add_row(str(trial.number), number(trial.value, n), trial.state, *values)
    console.print(table, markup=False, highlight=False)
    lines = sentences(results)
    if results.complete and results.best is not None:
        lines += [
            f"Recipe of the best trial: {folder / BEST_RECIPE}",
            f"Next step:   ftk predict {folder / results.best.folder} --input rows.csv",
        ]
    lines.append(f"Report page: {(folder / SWEEP_PAGE).resolve().as_uri()}")
    for line in lines:
        console.print(line, soft_wrap=True, markup=False, highlight=False)


def ranked(results: SweepResults) -> list[SweepTrial]:
    """Return the trials, finished ones first, each group from the best score to the worst."""

    def key(trial: SweepTrial) -> tuple[bool, bool, float, int]:
        value = 0.0 if trial.value is None else -trial.value if results.greater_is_better else trial.value
        return trial.state != "finished", trial.value is None, value, trial.number

    return sorted(results.trials, key=key)


def sentences(results: SweepResults) -> list[str]:
    """Return sentences on the number of trials, the best of them, and the reliability of its scores."""
    states = [trial.state for trial in results.trials]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(sorted(states)))
    lines = [f"{len(states)} of {results.planned_trials} trials: {counts}."]
    best, n, metric = results.best, results.validation_rows, plain_name(results.metric)
    if best is None:
        return [*lines, "No trial is finished."]
    text = f"Best on validation: trial {best.trial}, {metric} {number(best.value, n)}"
    if best.selection_bias is None:
        lines.append(f"{text}. It is optimistic, because this score selected the trial.")
    else:
        sign = 1 if results.greater_is_better else -1
        corrected = best.value - sign * best.selection_bias
        finished = states.count("finished")
        lines.append(
            f"{text}. If all {finished} finished trials were equally good, the best would exceed its true score by "
            f"{number(best.selection_bias, n)}, so expect {number(corrected, n)} or better."
        )
    if best.test is not None:
        lines.append(
            f"Test score of this trial, computed once: {number(best.test.value, best.test_rows)} (95% interval "
            f"{interval(best.test, best.test_rows)}, n = {best.test_rows})."
        )
    elif results.complete:
        lines.append(
            "There are no test rows, so no score is free of the selection (data.test_fraction holds rows out)."
        )
    if results.importance:
        parts = ", ".join(f"{key} {share:.0%}" for key, share in results.importance.items())
        lines.append(f"Importance for being among the best trials: {parts}.")
    return lines


def setting_text(value: Any) -> str:
    """Return the value of a setting as text."""
    if value is None:
        return MISSING
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def write_sweep_page(folder: Path, results: SweepResults) -> None:
    """Write sweep.html into the folder of a sweep."""
    charts = [{"setting": setting, "chart": _chart(setting, results)} for setting in results.space]
    page = load_template("sweep.html.j2", autoescape=True, value=setting_text).render(
        results=results, sentences=sentences(results), charts=charts, trials=ranked(results)
    )
    write_file(folder / SWEEP_PAGE, page)


def _chart(setting: SweptSetting, results: SweepResults) -> str:
    """Draw the validation score of each trial over the value of one setting."""
    best = None if results.best is None else results.best.trial
    points = []
    for trial in results.trials:
        if trial.value is None or setting.key not in trial.settings:
            continue
        value = trial.settings[setting.key]
        style = "strong" if trial.number == best else "plain" if trial.state == "finished" else "plain open"
        score = number(trial.value, results.validation_rows)
        text = f"trial {trial.number} ({trial.state}), {setting.key} {setting_text(value)}: {score}"
        points.append(
            Point(_position(setting, value), trial.value, None, None, text, style, 6 if trial.number == best else 4)
        )
    y_range = axis_range([point.y for point in points])
    label = f"{plain_name(results.metric)} on validation by {setting.key}: " + "; ".join(point.text for point in points)
    plot = Plot(_x_range(setting), y_range, points=points, x_ticks=_ticks(setting))
    return plot_chart(plot, label=label, height=_CHART_HEIGHT)


def _position(setting: SweptSetting, value: Any) -> float:
    if setting.values is not None:
        return float(_index(setting.values, value))
    return math.log10(value) if setting.log else float(value)


def _index(values: Sequence[Any], value: Any) -> int:
    return next(i for i, each in enumerate(values) if each == value and type(each) is type(value))


def _x_range(setting: SweptSetting) -> tuple[float, float]:
    if setting.values is not None:
        return -0.5, len(setting.values) - 0.5
    assert setting.low is not None and setting.high is not None
    low, high = _position(setting, setting.low), _position(setting, setting.high)
    return low - 0.03 * (high - low), high + 0.03 * (high - low)


def _ticks(setting: SweptSetting) -> list[tuple[float, str]] | None:
    """Return the values of a list, or the powers of ten of a logarithmic range with its ends; None draws round numbers."""
    if setting.values is not None:
        return [(float(i), setting_text(value)) for i, value in enumerate(setting.values)]
    if not setting.log:
        return None
    assert setting.low is not None and setting.high is not None
    low, high = math.log10(setting.low), math.log10(setting.high)
    powers = [float(power) for power in range(math.ceil(low), math.floor(high) + 1)]
    return [(power, f"{10**power:g}") for power in powers] or [(low, f"{setting.low:g}"), (high, f"{setting.high:g}")]
