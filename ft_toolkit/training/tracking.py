"""What a person and a program see while a run goes on: console lines, metrics.jsonl, and trackers through Accelerate."""

import importlib.util
import json
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ft_toolkit.core.errors import UsageError
from ft_toolkit.core.verbosity import Verbosity
from ft_toolkit.recipe.sections import TrackingSection
from ft_toolkit.training.loop import StepReport

# Without a terminal, a progress line this often, in seconds.
_LINE_SECONDS = 15.0


def check_trackers(section: TrackingSection) -> None:
    """Raise UsageError when a tracker's package is not installed."""
    for name in section.trackers:
        if importlib.util.find_spec(name) is None:
            raise UsageError(f"tracking.trackers: {name} is not installed; pip install {name}")


class Meter:
    """Adds up steps: mean loss per target, tokens per second, share of padding."""

    def __init__(self) -> None:
        self.loss = self.targets = self.seconds = 0.0
        self.examples = self.tokens = self.padded = 0

    def add(self, report: StepReport) -> None:
        """Count one step."""
        self.loss += report.loss * report.n_targets
        self.targets += report.n_targets
        self.seconds += report.seconds
        self.examples += report.n_examples
        self.tokens += report.n_tokens
        self.padded += report.n_padded

    def as_dict(self) -> dict[str, float]:
        """Return the figures for a record."""
        return {
            "loss": self.loss / self.targets,
            "tokens_per_second": round(self.tokens / self.seconds, 1),
            "padding_share": round(1 - self.tokens / self.padded, 4),
        }


class MetricsFile:
    """metrics.jsonl: one JSON object per line. A resumed run first drops the lines of steps it will do again."""

    def __init__(self, path: Path, resume_at: int) -> None:
        """`resume_at` is the last step that counts as done; 0 starts afresh."""
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() and resume_at else []
        kept = [line for line in lines if json.loads(line)["step"] <= resume_at]
        self.path = path
        path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")

    def write(self, record: dict[str, Any]) -> None:
        """Append one record."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    @staticmethod
    def read(path: Path) -> list[dict[str, Any]]:
        """Return all records of a file."""
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


class Display:
    """Print messages and progress: a progress bar on a terminal, a line every 15 seconds elsewhere.

    `enabled` is False on every process except the main process.
    """

    def __init__(self, console: Console, *, enabled: bool, verbosity: Verbosity = Verbosity.NORMAL) -> None:
        self.console = console
        self.enabled = enabled
        self.verbosity = verbosity
        self.meter = Meter()
        self._bar: Progress | None = None
        self._last_line = 0.0
        self._started = 0.0
        self._first_step = 0
        self._total = 0

    def say(self, text: str) -> None:
        """Print one line unless the user asked for quiet output."""
        self._print(text, Verbosity.NORMAL)

    def detail(self, text: str) -> None:
        """Print one line if the user asked for verbose output."""
        self._print(text, Verbosity.VERBOSE)

    def warn(self, text: str) -> None:
        """Print one line at every verbosity."""
        self._print(text, Verbosity.QUIET)

    def _print(self, text: str, least: Verbosity) -> None:
        if self.enabled and self.verbosity >= least:
            self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def start(self, done: int, total: int) -> None:
        """Begin to show steps `done` to `total`."""
        self._first_step, self._total, self._started = done, total, time.perf_counter()
        self._last_line = self._started
        if self.enabled and self.console.is_terminal and self.verbosity >= Verbosity.NORMAL:
            self._bar = Progress(
                TextColumn("training"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[figures]}"),
                TimeRemainingColumn(),
                console=self.console,
                transient=True,
            )
            self._bar.add_task("", total=total, completed=done, figures="")
            self._bar.start()

    def step(self, report: StepReport) -> None:
        """Show one step."""
        self.meter.add(report)
        if not self.enabled:
            return
        figures = self.meter.as_dict()
        text = f"loss {report.loss:.4f}, {figures['tokens_per_second']:,.0f} tokens/s, {figures['padding_share']:.1%} padding"
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=report.step, figures=text)
            return
        now = time.perf_counter()
        if now - self._last_line >= _LINE_SECONDS:
            self._last_line = now
            per_step = (now - self._started) / (report.step - self._first_step)
            left = per_step * (self._total - report.step)
            self.say(f"step {report.step}/{self._total}: {text}, {left:.0f} s left")

    def stop(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
