"""Charts as inline SVG. Positions are percentages, sizes are pixels: a chart fills its box and its text keeps its size."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

_ROW_HEIGHT = 46  # of an interval chart, in pixels
_MAX_DOTS = 60  # a line with more points is drawn without dots
_MARGIN = 0.05  # free space at both ends of an axis, as a share of the range of the data

Range = tuple[float, float]


@dataclass(frozen=True)
class IntervalRow:
    """One row of an interval chart: a score with its interval. `strong` is for the model, the other rows are baselines."""

    name: str
    value: float | None
    low: float | None
    high: float | None
    text: str
    strong: bool = False


@dataclass(frozen=True)
class Line:
    """A line through (x, y) in the order of x. None as y interrupts the line. `style` is a CSS class."""

    name: str
    points: Sequence[tuple[float, float | None]]
    style: str


@dataclass(frozen=True)
class Point:
    """A point with a vertical interval; `text` is its tooltip, `size` its radius in pixels."""

    x: float
    y: float
    low: float | None
    high: float | None
    text: str
    style: str
    size: float = 4.0


@dataclass(frozen=True)
class Band:
    """The area between two lines: (x, low, high) in the order of x. `style` is a CSS class."""

    points: Sequence[tuple[float, float, float]]
    style: str


@dataclass(frozen=True)
class Plot:
    """The content of a plot with two axes. `guides` are dashed lines; `x_ticks` are (x, text), None draws round numbers."""

    x_range: Range
    y_range: Range
    lines: Sequence[Line] = ()
    points: Sequence[Point] = ()
    guides: Sequence[Line] = ()
    bands: Sequence[Band] = ()
    x_ticks: Sequence[tuple[float, str]] | None = None


def axis_range(values: Sequence[float | None], *, lowest: float = -math.inf, highest: float = math.inf) -> Range:
    """Return an axis that holds all values with a margin, within the possible values; (0, 1) without any value."""
    defined = [value for value in values if value is not None]
    if not defined:
        return 0.0, 1.0
    low, high = min(defined), max(defined)
    margin = (high - low) * _MARGIN or abs(high) * 0.1 or 1.0
    # a value outside its own limits (a rounding error, say) still has to be on the axis
    return min(low, max(low - margin, lowest)), max(high, min(high + margin, highest))


def interval_chart(
    rows: Sequence[IntervalRow], axis: Range, *, label: str, reference: tuple[float, str] | None = None
) -> Markup:
    """Draw each score as a dot on its interval, and `reference` (value, text) as a dashed line."""
    bottom = len(rows) * _ROW_HEIGHT + 4
    parts = [_x_tick(_percent(tick, axis), text, bottom) for tick, text in _ticks(axis, 5)]
    if reference is not None:
        x = _percent(reference[0], axis)
        parts.append(Markup('<line class="mark" x1="{0}%" x2="{0}%" y1="0" y2="{1}"/>').format(x, bottom))
        parts.append(_mark_text(x, reference[1]))
    for i, row in enumerate(rows):
        parts.append(_interval_row(row, i * _ROW_HEIGHT, axis))
    chart = Markup('<svg class="chart intervals" role="img" aria-label="{}" width="100%" height="{}">{}</svg>')
    return chart.format(label, bottom, Markup("").join(parts))


def _interval_row(row: IntervalRow, top: int, axis: Range) -> Markup:
    style = "strong" if row.strong else "weak"
    drawn = Markup('<text class="row-name {}" x="0" y="{}">{} <tspan class="row-value">{}</tspan></text>').format(
        style, top + 16, row.name, row.text
    )
    y = top + 32
    drawn += Markup('<line class="track" x1="0" x2="100%" y1="{0}" y2="{0}"/>').format(y)
    if row.low is not None and row.high is not None:
        drawn += Markup('<line class="interval {}" x1="{}%" x2="{}%" y1="{}" y2="{}"/>').format(
            style, _percent(row.low, axis), _percent(row.high, axis), y, y
        )
    if row.value is not None:
        drawn += Markup('<circle class="dot {}" cx="{}%" cy="{}" r="4"/>').format(style, _percent(row.value, axis), y)
    return drawn


def line_chart(
    lines: Sequence[Line], x_range: Range, *, label: str, height: int, mark: tuple[float, str] | None = None
) -> Markup:
    """Draw lines over training steps, and `mark` (step, text) as a dashed line."""
    y_range = axis_range([y for line in lines for _, y in line.points])
    parts = _y_axis(y_range, 4 if height > 120 else 2)
    whole_steps = [(tick, text) for tick, text in _ticks(x_range, 6) if tick == int(tick)]
    parts += [_x_tick(_percent(tick, x_range), text, height) for tick, text in whole_steps]
    if mark is not None:
        x = _percent(mark[0], x_range)
        parts.append(Markup('<line class="mark" x1="{0}%" x2="{0}%" y1="0" y2="100%"/>').format(x))
        parts.append(_mark_text(x, mark[1]))
    parts.append(_paths([(line.style, _path(line.points, x_range, y_range)) for line in lines]))
    parts += [_dots(line, x_range, y_range) for line in lines]
    return _chart(parts, label, height)


def plot_chart(plot: Plot, *, label: str, height: int) -> Markup:
    """Draw lines, points with intervals and bands over two axes."""
    axes = (plot.x_range, plot.y_range)
    parts = _y_axis(plot.y_range, 5)
    x_ticks = _ticks(plot.x_range, 5) if plot.x_ticks is None else plot.x_ticks
    parts += [_x_tick(_percent(tick, plot.x_range), text, height) for tick, text in x_ticks]
    bands = [(f"band {band.style}", _outline(band, *axes)) for band in plot.bands]
    lines = [(line.style, _path(line.points, *axes)) for line in (*plot.guides, *plot.lines)]
    parts.append(_paths([*bands, *lines]))
    for point in plot.points:
        parts += _point(point, *axes)
    return _chart(parts, label, height)


def confusion_grid(matrix: Sequence[Sequence[int]], labels: Sequence[str], *, label: str) -> Markup:
    """Draw a confusion matrix without label names: a square per pair that occurs, darker for a larger share of its row."""
    size = len(matrix)
    squares = []
    for i, row in enumerate(matrix):
        total = sum(row)
        for j, value in enumerate(row):
            if value:
                # from 0.2 up: one example of a large class stays visible
                opacity = round(0.2 + 0.8 * value / total, 3)
                title = f"{labels[i]} predicted as {labels[j]}: {value}" if i != j else f"{labels[i]}: {value} correct"
                squares.append(
                    f'<rect x="{j}" y="{i}" width="1" height="1" fill-opacity="{opacity}"><title>{escape(title)}</title></rect>'
                )
    grid = '<svg class="heat-grid" role="img" aria-label="{}" viewBox="0 0 {} {}" shape-rendering="crispEdges">{}</svg>'
    return Markup(grid).format(label, size, size, Markup("".join(squares)))


def _chart(parts: Sequence[Markup], label: str, height: int) -> Markup:
    chart = Markup('<svg class="chart lines" role="img" aria-label="{}" width="100%" height="{}">{}</svg>')
    return chart.format(label, height, Markup("").join(parts))


def _y_axis(y_range: Range, n_ticks: int) -> list[Markup]:
    parts = []
    for tick, text in _ticks(y_range, n_ticks):
        y = _percent_down(tick, y_range)
        parts.append(Markup('<line class="grid" x1="0" x2="100%" y1="{0}%" y2="{0}%"/>').format(y))
        parts.append(
            Markup('<text class="tick" x="0" y="{}%" dx="-8" dy="4" text-anchor="end">{}</text>').format(y, text)
        )
    return parts


def _paths(styled: Sequence[tuple[str, str]]) -> Markup:
    """Draw paths in an inner SVG that is stretched to the box; dots and text outside it keep their shape."""
    paths = Markup("").join(Markup('<path class="{}" d="{}"/>').format(style, path) for style, path in styled)
    inner = (
        '<svg viewBox="0 0 1000 1000" preserveAspectRatio="none" width="100%" height="100%" overflow="visible">{}</svg>'
    )
    return Markup(inner).format(paths)


def _path(points: Sequence[tuple[float, float | None]], x_range: Range, y_range: Range) -> str:
    commands, command = [], "M"
    for x, y in points:
        if y is None:
            command = "M"
            continue
        commands.append(f"{command}{_percent(x, x_range) * 10:.1f} {1000 - _percent(y, y_range) * 10:.1f}")
        command = "L"
    return " ".join(commands)


def _outline(band: Band, x_range: Range, y_range: Range) -> str:
    upper = [(x, high) for x, _, high in band.points]
    lower = [(x, low) for x, low, _ in reversed(band.points)]
    return _path([*upper, *lower], x_range, y_range) + " Z"


def _dots(line: Line, x_range: Range, y_range: Range) -> Markup:
    """Draw the points of a strong line with few points, and the only point of a plain line, which has no visible line."""
    points = [(x, y) for x, y in line.points if y is not None]
    if len(points) > _MAX_DOTS or (line.style == "plain" and len(points) > 1):
        return Markup("")
    circle = Markup('<circle class="{}" cx="{}%" cy="{}%" r="3.5"><title>{}</title></circle>')
    return Markup("").join(
        circle.format(line.style, _percent(x, x_range), _percent_down(y, y_range), f"{line.name}, step {x:g}: {y:.4g}")
        for x, y in points
    )


def _point(point: Point, x_range: Range, y_range: Range) -> list[Markup]:
    parts, x = [], _percent(point.x, x_range)
    if point.low is not None and point.high is not None:
        low, high = (_percent_down(value, y_range) for value in (point.low, point.high))
        spread = Markup('<line class="spread {0}" x1="{1}%" x2="{1}%" y1="{2}%" y2="{3}%"/>')
        parts.append(spread.format(point.style, x, low, high))
    circle = Markup('<circle class="{}" cx="{}%" cy="{}%" r="{:.1f}"><title>{}</title></circle>')
    parts.append(circle.format(point.style, x, _percent_down(point.y, y_range), point.size, point.text))
    return parts


def _percent(value: float, axis: Range) -> float:
    low, high = axis
    return round(100 * (value - low) / (high - low), 3) if high > low else 50.0


def _percent_down(value: float, axis: Range) -> float:
    """Return the position from the top."""
    return round(100 - _percent(value, axis), 3)


def _mark_text(x: float, text: str) -> Markup:
    anchor = "start" if x < 20 else "end" if x > 80 else "middle"
    mark = Markup('<text class="mark-text" x="{}%" y="-8" text-anchor="{}">{}</text>')
    return mark.format(x, anchor, text)


def _x_tick(x: float, text: str, y: int) -> Markup:
    return Markup('<text class="tick" x="{}%" y="{}" dy="18" text-anchor="middle">{}</text>').format(x, y, text)


def _ticks(axis: Range, n_ticks: int) -> list[tuple[float, str]]:
    """Return about `n_ticks` round numbers within a range, with their text."""
    low, high = axis
    if high <= low:
        return [(low, f"{low:g}")]
    rough_step = (high - low) / n_ticks
    power = 10.0 ** math.floor(math.log10(rough_step))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough_step * 0.8)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    form = f",.{decimals}f" if 1e-4 <= step < 1e6 else ".3g"
    return [(i * step, format(i * step + 0.0, form)) for i in range(first, last + 1)]
