"""The training curves: loss, learning rate and validation score over the optimizer steps."""

from typing import Any

from ft_toolkit.core.run_records import RunResults
from ft_toolkit.report.charts import Line, line_chart
from ft_toolkit.report.curves import curve_verdict
from ft_toolkit.report.run_files import RunFiles
from ft_toolkit.report.section import Section
from ft_toolkit.report.wording import plain_name

Points = list[tuple[float, float | None]]


def _build(run: RunFiles) -> dict[str, Any] | None:
    if not isinstance(run.results, RunResults):
        return None
    training, metric = run.results.training, run.results.main_metric
    best, evaluations = training.best_step, training.evaluations
    # A resumed run may have logged a step twice: the last record is the one that training continued from.
    logged = {record["step"]: record for record in run.records if "loss" in record}
    losses: Points = [(step, logged[step]["loss"]) for step in sorted(logged)]
    rates: Points = [(step, logged[step].get("learning_rate")) for step in sorted(logged)]
    validation_losses: Points = [(record.step, record.validation_loss) for record in evaluations]
    scores: Points = [(record.step, record.score(metric)) for record in evaluations]
    steps = [step for step, _ in [*losses, *validation_losses]]
    if not steps:
        return None
    x_range = (0.0, float(max(*steps, 1)))
    mark = (float(best), f"best, step {best:,}") if best is not None else None
    score_name, planned = f"validation {plain_name(metric)}", training.planned_steps or 0
    loss_lines = [Line("training loss", losses, "plain"), Line("validation loss", validation_losses, "strong")]
    return {
        "loss": line_chart(
            loss_lines,
            x_range,
            label=f"Loss over {x_range[1]:g} steps. {_summary(validation_losses, 'validation loss')}",
            height=220,
            mark=mark,
        ),
        "score": _single_line(scores, x_range, score_name, "strong", 180, mark),
        "rate": _single_line(rates, x_range, "learning rate", "plain", 64, None),
        "score_name": score_name,
        "best_step": best,
        "verdict": curve_verdict(run),
        "contrastive": training.contrastive,
        "stream": training.stream,
        "planned_steps": planned if training.steps < planned else None,
        "skipped_steps": training.skipped_steps,
    }


def _single_line(
    points: Points,
    x_range: tuple[float, float],
    name: str,
    style: str,
    height: int,
    mark: tuple[float, str] | None,
) -> str | None:
    """Return a chart with one line, None without any value."""
    if all(value is None for _, value in points):
        return None
    label = _summary(points, name)
    return line_chart([Line(name, points, style)], x_range, label=label, height=height, mark=mark)


def _summary(points: Points, name: str) -> str:
    """Return the text alternative of a curve: its first and its last value."""
    defined = [(step, value) for step, value in points if value is not None]
    if not defined:
        return f"{name}: no values."
    first, last = defined[0], defined[-1]
    return f"{name}: {first[1]:.4g} at step {first[0]:,}, {last[1]:.4g} at step {last[0]:,}."


SECTION = Section(order=80, title="Training", build=_build)
