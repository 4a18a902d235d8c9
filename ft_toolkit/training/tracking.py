"""Report progress while a run trains: on the console, in metrics.jsonl, and to trackers through Accelerate."""

import importlib.util
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from ft_toolkit.core.errors import UsageError
from ft_toolkit.core.files import write_file
from ft_toolkit.core.verbosity import Verbosity
from ft_toolkit.recipe.sections import Recipe, TrackingSection
from ft_toolkit.training.loop import StepReport

# Seconds between two progress lines if the output is not a terminal.
_SECONDS_PER_LINE = 15.0


def check_trackers(section: TrackingSection) -> None:
    """Raise UsageError if the package of a tracker is not installed."""
    for name in section.trackers:
        if importlib.util.find_spec(name) is None:
            raise UsageError(f"tracking.trackers: the package '{name}' is not installed; run: pip install {name}")


class Meter:
    """Accumulate steps and compute the mean loss per target, the tokens per second and the share of padding."""

    def __init__(self) -> None:
        self.loss = self.targets = self.seconds = 0.0
        self.examples = self.tokens = self.padded = 0

    def add(self, report: StepReport) -> None:
        """Add one step. The loss of a skipped step does not count."""
        if report.skipped is None:
            self.loss += report.loss * report.n_targets
            self.targets += report.n_targets
        self.seconds += report.seconds
        self.examples += report.n_examples
        self.tokens += report.n_tokens
        self.padded += report.n_padded

    @property
    def mean_loss(self) -> float | None:
        """The mean loss per target, None if all steps were skipped."""
        return self.loss / self.targets if self.targets else None

    @property
    def tokens_per_second(self) -> float | None:
        """Tokens per second without padding, None before the first step."""
        return round(self.tokens / self.seconds, 1) if self.seconds else None

    @property
    def padding_share(self) -> float | None:
        """The share of padding among all tokens, None before the first step."""
        return round(1 - self.tokens / self.padded, 4) if self.padded else None


class MetricsFile:
    """metrics.jsonl: one JSON object per line. A resumed run first removes the lines of the steps that it will repeat."""

    def __init__(self, path: Path, resume_at: int) -> None:
        """Keep the lines up to step `resume_at`; 0 starts an empty file.

        A last line without an end is dropped: the disk was full, or the machine lost its power, while it was written.
        """
        text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() and resume_at else ""
        lines = text[: text.rfind("\n") + 1].splitlines()
        kept = [line for line in lines if json.loads(line)["step"] <= resume_at]
        self.path = path
        write_file(path, "".join(f"{line}\n" for line in kept))

    def write(self, record: dict[str, Any]) -> None:
        """Append one record."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    @staticmethod
    def read(path: Path) -> list[dict[str, Any]]:
        """Return all records of a file."""
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


class MetricsLog:
    """Write the metrics of a run to metrics.jsonl, on the main process, and to the trackers of the recipe."""

    def __init__(self, accelerator: Accelerator, recipe: Recipe, path: Path, resume_at: int) -> None:
        """Open `path` and start the trackers; records after step `resume_at` are removed from the file."""
        self._accelerator = accelerator
        self._logging_steps = recipe.training.logging_steps
        self._tracks = bool(recipe.tracking.trackers)
        self._file = MetricsFile(path, resume_at) if accelerator.is_main_process else None
        self._window = Meter()
        if self._tracks:
            accelerator.init_trackers(recipe.tracking.project, config=_flatten(recipe.as_dict()))

    def add_step(self, report: StepReport, *, is_last: bool) -> None:
        """Add a training step; write the mean over the steps since the last record every `training.logging_steps` steps."""
        self._window.add(report)
        if report.step % self._logging_steps and not is_last:
            return
        self.write(
            {
                "step": report.step,
                "epoch": report.epoch,
                "loss": self._window.mean_loss,
                "tokens_per_second": self._window.tokens_per_second,
                "padding_share": self._window.padding_share,
                "learning_rate": report.learning_rate,
                "grad_norm": report.grad_norm if report.skipped is None else None,
            }
        )
        self._window = Meter()

    def write(self, record: dict[str, Any]) -> None:
        """Write one record; it must have the key `step`."""
        if self._file is not None:
            self._file.write(record)
        if self._tracks:
            values = {key: value for key, value in record.items() if key != "step" and value is not None}
            self._accelerator.log(values, step=record["step"])

    def close(self) -> None:
        """Finish the trackers."""
        # not Accelerator.end_training, which would also end the process group that the next run of this command needs
        for tracker in self._accelerator.trackers:
            tracker.finish()


class Display:
    """Print messages and progress: a progress bar on a terminal, a line every 15 seconds elsewhere.

    `enabled` is False on every process except the main process.
    """

    def __init__(self, console: Console, *, enabled: bool, verbosity: Verbosity = Verbosity.NORMAL) -> None:
        self._console = console
        self._verbosity = verbosity if enabled else None
        self._meter = Meter()
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._first_step = self._total_steps = self._epochs = 0
        self._started = self._last_line = 0.0

    def say(self, text: str, least: Verbosity = Verbosity.NORMAL) -> None:
        """Print one line if the user chose at least the verbosity `least`."""
        if self._shows(least):
            self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def detail(self, text: str) -> None:
        """Print one line with verbose output only."""
        self.say(text, Verbosity.VERBOSE)

    def warn(self, text: str) -> None:
        """Print one line, also with quiet output."""
        self.say(text, Verbosity.QUIET)

    @contextmanager
    def progress(self, done: int, total: int, epochs: int) -> Iterator[None]:
        """Show progress inside the context: `done` of `total` steps are done, and the run has `epochs` epochs."""
        self._first_step, self._total_steps, self._epochs = done, total, epochs
        self._started = self._last_line = time.perf_counter()
        if not self._shows_progress or not self._console.is_terminal:
            yield
            return
        columns = (
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(),
            TextColumn("left"),
        )
        with Progress(*columns, console=self._console, transient=True) as self._bar:
            self._task = self._bar.add_task("", total=total, completed=done, epoch="", figures="")
            try:
                yield
            finally:
                self._bar = None

    def step(self, report: StepReport) -> None:
        """Show one training step."""
        self._meter.add(report)
        if not self._shows_progress:
            return
        epoch = f"{report.epoch + 1}/{self._epochs}"
        figures = f"loss {report.loss:.4f}, {self._meter.tokens_per_second or 0:,.0f} tokens/s"
        if self._bar is not None:
            self._bar.update(self._task, completed=report.step, epoch=epoch, figures=figures)
            return
        now = time.perf_counter()
        if now - self._last_line >= _SECONDS_PER_LINE:
            self._last_line = now
            seconds_per_step = (now - self._started) / (report.step - self._first_step)
            seconds_left = seconds_per_step * (self._total_steps - report.step)
            line = f"step {report.step}/{self._total_steps}, epoch {epoch}: {figures}, {seconds_left:.0f} s left"
            self.say(line, Verbosity.PROGRESS)

    def evaluating(self) -> None:
        """Show that an evaluation is running, until the next step."""
        if self._bar is not None:
            self._bar.update(self._task, figures="evaluating")

    def count(self, title: str, done: int, total: int) -> None:
        """Print the progress of a task outside the training every 15 seconds: `done` of `total` parts. 0 starts it."""
        now = time.perf_counter()
        if not done:
            self._last_line = now
        elif done < total and now - self._last_line >= _SECONDS_PER_LINE:
            self._last_line = now
            self.say(f"{title}: {done:,} of {total:,}", Verbosity.PROGRESS)

    @property
    def _shows_progress(self) -> bool:
        """Return whether this process prints the training progress."""
        return self._verbosity == Verbosity.PROGRESS or self._shows(Verbosity.NORMAL)

    def _shows(self, least: Verbosity) -> bool:
        """Return whether this process prints messages of a verbosity."""
        return self._verbosity is not None and self._verbosity >= least


def _flatten(recipe: dict[str, Any]) -> dict[str, str]:
    """Return the settings of a recipe by their dotted names, as text."""
    return {
        f"{section}.{key}": str(value) for section, values in recipe.items() for key, value in (values or {}).items()
    }
