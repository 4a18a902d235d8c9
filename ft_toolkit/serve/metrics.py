"""Counters of the server in the text format of Prometheus.

The format is a few lines of text, so the server needs no client library. A test reads it with the parser of prometheus_client.
All methods are called in the event loop, so no locks are needed.
"""

import bisect
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

# Upper bounds of histograms: seconds of requests and batches, and rows of batches.
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
ROWS = (1, 2, 4, 8, 16, 32, 64)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Labels = tuple[tuple[str, str], ...]
Gauge = Callable[[], Iterator[tuple[Mapping[str, str], float]]]


class Metrics:
    """Counters, histograms and gauges with labels. The values of labels must be few: models, routes, status codes."""

    def __init__(self) -> None:
        """Start with the memory of the process and the time of its start."""
        self._help: dict[str, str] = {}
        self._counts: dict[str, dict[Labels, float]] = {}
        self._histograms: dict[str, dict[Labels, _Histogram]] = {}
        self._gauges: dict[str, Gauge] = {}
        started = time.time()
        self.gauge("process_start_time_seconds", "Start of the process, Unix time.", lambda: iter([({}, started)]))
        if _memory() is not None:
            memory: Gauge = lambda: iter([({}, float(_memory() or 0))])  # noqa: E731 - a name for the type
            self.gauge("process_resident_memory_bytes", "Memory of the process.", memory)

    def gauge(self, name: str, description: str, read: Gauge) -> None:
        """Add a gauge; `read` yields (labels, value) when the metrics are read."""
        self._help[name], self._gauges[name] = description, read

    def count(self, name: str, description: str, labels: Mapping[str, str], amount: float = 1) -> None:
        """Add to a counter."""
        self._help[name] = description
        counter = self._counts.setdefault(name, {})
        key = tuple(labels.items())
        counter[key] = counter.get(key, 0) + amount

    def observe(
        self, name: str, description: str, labels: Mapping[str, str], value: float, bounds: tuple[float, ...] = SECONDS
    ) -> None:
        """Add a value to a histogram."""
        self._help[name] = description
        histograms = self._histograms.setdefault(name, {})
        key = tuple(labels.items())
        if key not in histograms:
            histograms[key] = _Histogram(bounds)
        histograms[key].add(value)

    def render(self) -> str:
        """Return all metrics in the text format."""
        lines: list[str] = []
        for name, gauge in self._gauges.items():
            lines += [f"# HELP {name} {self._help[name]}", f"# TYPE {name} gauge"]
            lines += [f"{name}{_braces(tuple(labels.items()))} {value:.10g}" for labels, value in gauge()]
        for name, counter in self._counts.items():
            lines += [f"# HELP {name} {self._help[name]}", f"# TYPE {name} counter"]
            lines += [f"{name}{_braces(labels)} {value:.10g}" for labels, value in counter.items()]
        for name, histograms in self._histograms.items():
            lines += [f"# HELP {name} {self._help[name]}", f"# TYPE {name} histogram"]
            for labels, histogram in histograms.items():
                lines += histogram.lines(name, labels)
        return "\n".join(lines) + "\n"


class _Histogram:
    """Counts of values up to each bound, and their sum."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds, self._counts, self._sum = bounds, [0] * (len(bounds) + 1), 0.0

    def add(self, value: float) -> None:
        self._counts[bisect.bisect_left(self._bounds, value)] += 1
        self._sum += value

    def lines(self, name: str, labels: Labels) -> Iterator[str]:
        total = 0
        for bound, count in zip((*map(str, self._bounds), "+Inf"), self._counts, strict=True):
            total += count
            yield f"{name}_bucket{_braces((*labels, ('le', bound)))} {total}"
        yield f"{name}_sum{_braces(labels)} {self._sum:.10g}"
        yield f"{name}_count{_braces(labels)} {total}"


def _braces(labels: Labels) -> str:
    return "{" + ",".join(f'{name}="{_escape(value)}"' for name, value in labels) + "}" if labels else ""


def _escape(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _memory() -> int | None:
    """Return the resident memory of this process in bytes; None on systems without /proc."""
    path = Path("/proc/self/statm")
    return int(path.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE") if path.is_file() else None
