"""One sentence on over- and underfitting, from the curves of the training and validation loss."""

from collections.abc import Sequence
from dataclasses import dataclass

from ft_toolkit.core.run_records import RunResults
from ft_toolkit.report.numbers import count
from ft_toolkit.report.run_files import RunFiles
from ft_toolkit.report.wording import plain_name

# Fewer evaluations do not show a trend.
_MIN_EVALUATIONS = 3
# A loss has risen, or still falls, if it changes by this share of its lowest value ...
_RISE, _FALL = 0.10, 0.02
# ... and by this share of the first loss, so that the noise of a loss near 0 is no trend.
_OF_FIRST = 0.02
# The model has learned nothing if its loss is above this share of the loss of constant predictions.
_NOTHING_LEARNED = 0.95


@dataclass(frozen=True)
class Curves:
    """Losses as (step, loss), in order. `constant_loss` is the loss of the best constant prediction, None if unknown.

    `score` is the name of the metric that selected the checkpoint, `best_step` the step of the checkpoint. `stopped_early` is
    true if steps were left.
    """

    training: Sequence[tuple[int, float]]
    validation: Sequence[tuple[int, float]]
    constant_loss: float | None = None
    best_step: int | None = None
    score: str = "loss"
    stopped_early: bool = False


def curve_verdict(run: RunFiles) -> str | None:
    """Return the sentence for a run, None for an evaluation or too few evaluations."""
    if not isinstance(run.results, RunResults):
        return None
    facts = run.results.training
    # A resumed run may have logged a step twice: the last record is the one that training continued from.
    logged = {record["step"]: record["loss"] for record in run.records if record.get("loss") is not None}
    evaluated = {
        record.step: record.validation_loss for record in facts.evaluations if record.validation_loss is not None
    }
    return judge(
        Curves(
            sorted(logged.items()),
            sorted(evaluated.items()),
            facts.constant_loss,
            facts.best_step,
            plain_name(run.results.selected_by(run.selection_metric)),
            facts.planned_steps is not None and facts.steps < facts.planned_steps,
        )
    )


def judge(curves: Curves) -> str | None:
    """Return one sentence on over- and underfitting, None for fewer than three evaluations."""
    if len(curves.validation) < _MIN_EVALUATIONS:
        return None
    losses = [loss for _, loss in curves.validation]
    lowest = min(losses)
    constant = curves.constant_loss
    if constant is not None and lowest > _NOTHING_LEARNED * constant and _late(curves) > _NOTHING_LEARNED * constant:
        return (
            f"The lowest validation loss, {lowest:.3g}, is hardly below {constant:.3g}, the loss of a constant prediction (the "
            "shares of the classes): the model has learned almost nothing. Try another training.learning_rate or more "
            "epochs, and check the labels."
        )
    at, last = losses.index(lowest), losses[-1]
    rise = last - lowest
    step, end = curves.validation[at][0], curves.validation[-1][0]
    if _is_trend(rise, _RISE, losses):
        return _overfitting(curves, step, end, rise / lowest)
    fall = losses[-2] - last
    if last == lowest and _is_trend(fall, _FALL, losses) and not curves.stopped_early and _falls(curves):
        return (
            f"Training and validation loss were still falling at the end (validation by {fall / losses[-2]:.0%} since step "
            f"{count(curves.validation[-2][0])}): the model underfits. Train longer (training.num_train_epochs), or raise "
            "training.learning_rate."
        )
    if rise > 0:
        text = f"was lowest at step {count(step)} of {count(end)} ({lowest:.2g}) and is {last:.2g} at the end"
    else:
        text = f"levelled off at its lowest value by step {count(end)}"
    return f"The validation loss {text}: no sign of over- or underfitting."


def _overfitting(curves: Curves, step: int, end: int, rise: float) -> str:
    text = f"The validation loss was lowest at step {count(step)} of {count(end)} and rose by {rise:.0%} after it"
    before, after = _mean_loss(curves, 0, step), _mean_loss(curves, step, end)
    if before is not None and after is not None and after > before:
        return f"{text}, as did the training loss: the training diverges. Lower training.learning_rate."
    text += ", while the training loss fell: the model overfits."
    if curves.score != "loss" and curves.best_step is not None and curves.best_step > step:
        return (
            f"{text} The {curves.score} was still best at step {count(curves.best_step)}, so mainly the probabilities became "
            "too certain. Train fewer epochs if you need good probabilities."
        )
    return (
        f"{text} Fewer epochs, a lower training.learning_rate, more rows, or evaluation.early_stopping_patience help."
    )


def _is_trend(change: float, share: float, losses: Sequence[float]) -> bool:
    return change > share * abs(min(losses)) and change > _OF_FIRST * abs(losses[0])


def _late(curves: Curves) -> float:
    """Return the mean training loss of the last third of the steps; of the last validation loss without records."""
    end = curves.validation[-1][0]
    loss = _mean_loss(curves, end * 2 // 3, end)
    return curves.validation[-1][1] if loss is None else loss


def _falls(curves: Curves) -> bool:
    """Return whether the training loss after the next to last evaluation is below that before it; true without records."""
    third, second, last = (step for step, _ in curves.validation[-3:])
    before, after = _mean_loss(curves, third, second), _mean_loss(curves, second, last)
    return before is None or after is None or after < before


def _mean_loss(curves: Curves, after: int, until: int) -> float | None:
    """Return the mean of the logged training losses of the steps after `after`, up to `until`; None without any."""
    losses = [loss for step, loss in curves.training if after < step <= until]
    return sum(losses) / len(losses) if losses else None
