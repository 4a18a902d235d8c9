"""Charts as inline SVG. Positions are percentages and sizes pixels, so a chart fills its box and its text never shrinks."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

_ROW = 46  # height of one row of an interval chart, in pixels
_DOTS = 60  # a line with more points than this is drawn without dots
_MARGIN = 0.05  # free space on both sides of the data, as a share of its range


@dataclass(frozen=True)
class Dot:
    """One row of an interval chart: a score with its interval; `strong` is the model, the others are baselines."""

    name: str
    value: float | None
    low: float | None
    high: float | None
    text: str
    strong: bool = False


@dataclass(frozen=True)
class Series:
    """One line: (step, value) in the order of the steps. None breaks the line. `style` is a CSS class."""

    name: str
    points: Sequence[tuple[float, float | None]]
    style: str


def interval_chart(
    dots: Sequence[Dot], span: tuple[float, float], *, label: str, reference: tuple[float, str] | None = None
) -> Markup:
    """Draw each score as a dot on its interval, all on the axis `span`, and a published value as a dashed line."""
    bottom = len(dots) * _ROW + 4
    parts = [_tick_x(_percent(tick, span), text, bottom) for tick, text in _ticks(*span, 5)]
    if reference is not None:
        x = _percent(reference[0], span)
        anchor = _anchor(x)
        parts.append(Markup('<line class="mark" x1="{0}%" x2="{0}%" y1="0" y2="{1}"/>').format(x, bottom))
        text = Markup('<text class="mark-text" x="{}%" y="{}" dx="{}" text-anchor="{}">{}</text>')
        parts.append(text.format(x, -8, 0, anchor, reference[1]))
    for row, dot in enumerate(dots):
        parts.append(_dot(dot, row * _ROW, span))
    style = Markup('<svg class="chart intervals" role="img" aria-label="{}" width="100%" height="{}">{}</svg>')
    return style.format(label, bottom, Markup("").join(parts))


def _dot(dot: Dot, top: int, span: tuple[float, float]) -> Markup:
    kind = "strong" if dot.strong else "weak"
    drawn = Markup('<text class="row-name {}" x="0" y="{}">{} <tspan class="row-value">{}</tspan></text>').format(
        kind, top + 16, dot.name, dot.text
    )
    y = top + 32
    drawn += Markup('<line class="track" x1="0" x2="100%" y1="{0}" y2="{0}"/>').format(y)
    if dot.low is not None and dot.high is not None:
        drawn += Markup('<line class="interval {}" x1="{}%" x2="{}%" y1="{}" y2="{}"/>').format(
            kind, _percent(dot.low, span), _percent(dot.high, span), y, y
        )
    if dot.value is not None:
        drawn += Markup('<circle class="dot {}" cx="{}%" cy="{}" r="4"/>').format(kind, _percent(dot.value, span), y)
    return drawn


def span_of(values: Sequence[float | None]) -> tuple[float, float]:
    """Return an axis that holds all values with some room; (0, 1) where there are none."""
    known = [value for value in values if value is not None]
    if not known:
        return 0.0, 1.0
    low, high = min(known), max(known)
    room = (high - low) * _MARGIN or abs(high) * 0.1 or 1.0
    return low - room, high + room


def line_chart(
    series: Sequence[Series],
    steps: tuple[float, float],
    *,
    label: str,
    height: int,
    mark: tuple[float, str] | None = None,
) -> Markup:
    """Draw lines over the steps, with the axis at the left, and `mark` as a dashed line at a step."""
    span = span_of([value for one in series for _, value in one.points])
    parts: list[Markup] = []
    for tick, text in _ticks(*span, 4 if height > 120 else 2):
        y = round(100 - _percent(tick, span), 3)
        parts.append(Markup('<line class="grid" x1="0" x2="100%" y1="{0}%" y2="{0}%"/>').format(y))
        parts.append(
            Markup('<text class="tick" x="0" y="{}%" dx="-8" dy="4" text-anchor="end">{}</text>').format(y, text)
        )
    whole = [(tick, text) for tick, text in _ticks(*steps, 6) if tick == int(tick)]
    parts += [_tick_x(_percent(tick, steps), text, height) for tick, text in whole]
    if mark is not None:
        x = _percent(mark[0], steps)
        parts.append(Markup('<line class="mark" x1="{0}%" x2="{0}%" y1="0" y2="100%"/>').format(x))
        parts.append(
            Markup('<text class="mark-text" x="{}%" y="-8" text-anchor="{}">{}</text>').format(x, _anchor(x), mark[1])
        )
    # The lines lie in an inner drawing that is stretched to the box; dots and text outside it keep their shape.
    paths = Markup("").join(
        Markup('<path class="{}" d="{}"/>').format(one.style, _path(one, steps, span)) for one in series
    )
    parts.append(
        Markup(
            '<svg viewBox="0 0 1000 1000" preserveAspectRatio="none" width="100%" height="100%" overflow="visible">{}</svg>'
        ).format(paths)
    )
    parts += [_points(one, steps, span) for one in series]
    box = Markup('<svg class="chart lines" role="img" aria-label="{}" width="100%" height="{}">{}</svg>')
    return box.format(label, height, Markup("").join(parts))


def _path(series: Series, steps: tuple[float, float], span: tuple[float, float]) -> str:
    words, command = [], "M"
    for step, value in series.points:
        if value is None:
            command = "M"
            continue
        words.append(f"{command}{_percent(step, steps) * 10:.1f} {1000 - _percent(value, span) * 10:.1f}")
        command = "L"
    return " ".join(words)


def _points(series: Series, steps: tuple[float, float], span: tuple[float, float]) -> Markup:
    """Draw the dots of a series that has few; a single point of a plain line too, which would be invisible otherwise."""
    known = [(step, value) for step, value in series.points if value is not None]
    if len(known) > _DOTS or (series.style == "plain" and len(known) > 1):
        return Markup("")
    circle = Markup('<circle class="{}" cx="{}%" cy="{}%" r="3.5"><title>{}</title></circle>')
    return Markup("").join(
        circle.format(
            series.style,
            _percent(step, steps),
            round(100 - _percent(value, span), 3),
            f"{series.name}, step {step:g}: {value:.4g}",
        )
        for step, value in known
    )


def heat_grid(matrix: Sequence[Sequence[int]], labels: Sequence[str], *, label: str) -> Markup:
    """Draw a confusion matrix without labels: a square per pair that occurred, darker for a larger share of its row."""
    size = len(matrix)
    squares = []
    for i, row in enumerate(matrix):
        total = sum(row)
        for j, value in enumerate(row):
            if value:
                # from 0.2 up, so that a single example in a large class can still be seen
                shade = round(0.2 + 0.8 * value / total, 3)
                title = escape(
                    f"{labels[i]} taken for {labels[j]}: {value}" if i != j else f"{labels[i]}: {value} right"
                )
                squares.append(
                    f'<rect x="{j}" y="{i}" width="1" height="1" fill-opacity="{shade}"><title>{title}</title></rect>'
                )
    box = '<svg class="heat-grid" role="img" aria-label="{}" viewBox="0 0 {} {}" shape-rendering="crispEdges">{}</svg>'
    return Markup(box).format(label, size, size, Markup("".join(squares)))


def _percent(value: float, span: tuple[float, float]) -> float:
    low, high = span
    return round(100 * (value - low) / (high - low), 3) if high > low else 50.0


def _anchor(percent: float) -> str:
    return "start" if percent < 20 else "end" if percent > 80 else "middle"


def _tick_x(percent: float, text: str, y: int) -> Markup:
    return Markup('<text class="tick" x="{}%" y="{}" dy="18" text-anchor="middle">{}</text>').format(percent, y, text)


def _ticks(low: float, high: float, wanted: int) -> list[tuple[float, str]]:
    """Return round numbers within a range, about `wanted` of them, with their text."""
    if high <= low:
        return [(low, f"{low:g}")]
    rough = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.8)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    form = f",.{decimals}f" if 1e-4 <= step < 1e6 else ".3g"
    return [(i * step, format(i * step + 0.0, form)) for i in range(first, last + 1)]


@dataclass(frozen=True)
class Point:
    """A point with an upright interval, and what to say of it; `size` is its radius in pixels."""

    x: float
    y: float
    low: float | None
    high: float | None
    text: str
    style: str
    size: float = 4.0


@dataclass(frozen=True)
class Band:
    """What lies between two lines: (x, low, high) in the order of x. `style` is a CSS class."""

    points: Sequence[tuple[float, float, float]]
    style: str


def share_chart(
    lines: Sequence[Series],
    points: Sequence[Point],
    spans: tuple[tuple[float, float], tuple[float, float]],
    *,
    label: str,
    height: int,
    guides: Sequence[Series] = (),
    bands: Sequence[Band] = (),
    ticks: Sequence[tuple[float, str]] | None = None,
) -> Markup:
    """Draw lines and points over two axes, `spans` being those of x and y; `guides` are dashed, `ticks` those of x."""
    across, up = spans
    parts: list[Markup] = []
    for tick, text in _ticks(*up, 5):
        y = round(100 - _percent(tick, up), 3)
        parts.append(Markup('<line class="grid" x1="0" x2="100%" y1="{0}%" y2="{0}%"/>').format(y))
        parts.append(
            Markup('<text class="tick" x="0" y="{}%" dx="-8" dy="4" text-anchor="end">{}</text>').format(y, text)
        )
    shown = _ticks(*across, 5) if ticks is None else ticks
    parts += [_tick_x(_percent(tick, across), text, height) for tick, text in shown]
    drawn = [(one.style, _path(one, across, up)) for one in (*guides, *lines)]
    paths = Markup("").join(
        Markup('<path class="{}" d="{}"/>').format(style, path)
        for style, path in [*((f"band {band.style}", _outline(band, across, up)) for band in bands), *drawn]
    )
    box = (
        '<svg viewBox="0 0 1000 1000" preserveAspectRatio="none" width="100%" height="100%" overflow="visible">{}</svg>'
    )
    parts.append(Markup(box).format(paths))
    for point in points:
        x = _percent(point.x, across)
        if point.low is not None and point.high is not None:
            low, high = (round(100 - _percent(value, up), 3) for value in (point.low, point.high))
            parts.append(
                Markup('<line class="spread {0}" x1="{1}%" x2="{1}%" y1="{2}%" y2="{3}%"/>').format(
                    point.style, x, low, high
                )
            )
        y = round(100 - _percent(point.y, up), 3)
        circle = Markup('<circle class="{}" cx="{}%" cy="{}%" r="{:.1f}"><title>{}</title></circle>')
        parts.append(circle.format(point.style, x, y, point.size, point.text))
    chart = Markup('<svg class="chart lines" role="img" aria-label="{}" width="100%" height="{}">{}</svg>')
    return chart.format(label, height, Markup("").join(parts))


def _outline(band: Band, across: tuple[float, float], up: tuple[float, float]) -> str:
    there = [(x, high) for x, _, high in band.points]
    back = [(x, low) for x, low, _ in reversed(band.points)]
    return _path(Series("", [*there, *back], ""), across, up) + " Z"
