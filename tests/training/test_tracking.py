"""The console and metrics.jsonl show the same figures; verbosity decides which messages are printed."""

import io

import pytest
from rich.console import Console

from ft_toolkit.core.errors import UsageError
from ft_toolkit.core.verbosity import Verbosity
from ft_toolkit.recipe.sections import TrackingSection
from ft_toolkit.training import tracking
from ft_toolkit.training.loop import StepReport
from ft_toolkit.training.tracking import Display, Meter, MetricsFile, check_trackers


def report(step: int, **changes):
    values = {
        "step": step,
        "epoch": 0,
        "ends_epoch": False,
        "loss": 0.5,
        "learning_rate": 1e-3,
        "grad_norm": 1.0,
        "n_examples": 4,
        "n_targets": 4.0,
        "n_tokens": 300,
        "n_padded": 400,
        "seconds": 2.0,
    }
    return StepReport(**values | changes)


def make_display(verbosity=Verbosity.NORMAL, *, terminal=False, enabled=True):
    output = io.StringIO()
    console = Console(file=output, force_terminal=terminal, width=120)
    return Display(console, enabled=enabled, verbosity=verbosity), output


@pytest.mark.parametrize(
    ("verbosity", "printed"),
    [
        (Verbosity.PROGRESS, ""),
        (Verbosity.QUIET, "a warning\n"),
        (Verbosity.NORMAL, "a message\na warning\n"),
        (Verbosity.VERBOSE, "a message\na detail\na warning\n"),
    ],
)
def test_the_verbosity_decides_which_messages_are_printed(verbosity, printed):
    display, output = make_display(verbosity)
    display.say("a message")
    display.detail("a detail")
    display.warn("a warning")
    assert output.getvalue() == printed


def test_only_the_main_process_prints():
    display, output = make_display(enabled=False)
    display.warn("a warning")
    with display.progress(0, 10, 2):
        display.step(report(1))
    assert output.getvalue() == ""


@pytest.mark.parametrize("verbosity", [Verbosity.PROGRESS, Verbosity.NORMAL, Verbosity.VERBOSE])
def test_without_a_terminal_progress_is_plain_lines(monkeypatch, verbosity):
    monkeypatch.setattr(tracking, "_SECONDS_PER_LINE", 0.0)
    display, output = make_display(verbosity)
    with display.progress(0, 10, 2):
        display.step(report(1))
        display.evaluating()
        display.step(report(6, epoch=1, loss=0.25))
    first, second = output.getvalue().splitlines()
    assert first.startswith("step 1/10, epoch 1/2: loss 0.5000, 150 tokens/s, ") and first.endswith(" s left")
    assert second.startswith("step 6/10, epoch 2/2: loss 0.2500, 150 tokens/s, ")
    assert "\x1b" not in output.getvalue()


def test_on_a_terminal_progress_is_a_bar_with_epoch_loss_speed_and_time_left():
    display, output = make_display(terminal=True)
    with display.progress(0, 10, 2):
        display.step(report(1))
    for part in ("epoch 1/2", "1/10", "loss 0.5000, 150 tokens/s", "left"):
        assert part in output.getvalue()


def test_an_evaluation_is_shown_on_the_bar():
    display, output = make_display(terminal=True)
    with display.progress(0, 10, 2):
        display.evaluating()
    assert "evaluating" in output.getvalue()


def test_quiet_output_has_no_progress(monkeypatch):
    monkeypatch.setattr(tracking, "_SECONDS_PER_LINE", 0.0)
    for terminal in (False, True):
        display, output = make_display(Verbosity.QUIET, terminal=terminal)
        with display.progress(0, 10, 2):
            display.step(report(1))
        assert output.getvalue() == ""


def test_the_meter_weights_the_loss_by_targets():
    meter = Meter()
    assert meter.tokens_per_second is None and meter.padding_share is None
    meter.add(report(1, loss=1.0, n_targets=1.0))
    meter.add(report(2, loss=0.0, n_targets=3.0))
    assert meter.mean_loss == 0.25 and meter.tokens_per_second == 150 and meter.padding_share == 0.25


def test_a_resumed_run_removes_the_records_of_the_steps_that_it_repeats(tmp_path):
    path = tmp_path / "metrics.jsonl"
    file = MetricsFile(path, 0)
    for step in (1, 2, 3):
        file.write({"step": step})
    assert [record["step"] for record in MetricsFile.read(path)] == [1, 2, 3]
    MetricsFile(path, 2)
    assert [record["step"] for record in MetricsFile.read(path)] == [1, 2]
    MetricsFile(path, 0)
    assert MetricsFile.read(path) == []


def test_a_tracker_that_is_not_installed_is_named_with_the_remedy(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="'wandb' is not installed; run: pip install wandb"):
        check_trackers(TrackingSection(trackers=["wandb"]))


@pytest.mark.parametrize("torn", ['{"step": 3, "lo', '{"step": 3}', "\udcff"])
def test_a_last_line_without_an_end_is_dropped(tmp_path, torn):
    path = tmp_path / "metrics.jsonl"
    text = '{"step": 1}\n{"step": 2}\n'
    path.write_bytes(text.encode() + torn.encode(errors="surrogateescape"))
    MetricsFile(path, 3)
    assert path.read_text(encoding="utf-8") == text
