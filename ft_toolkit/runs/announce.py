"""Print the parts of a run before training, and its events."""

from ft_toolkit.core.errors import one_of
from ft_toolkit.core.run_scores import says_nothing
from ft_toolkit.data.tokenizer_changes import describe_normalization
from ft_toolkit.runs.context import RunContext
from ft_toolkit.runs.evaluator import Evaluation
from ft_toolkit.runs.state import RunState
from ft_toolkit.training.automatic import describe_choices
from ft_toolkit.training.contrastive import ContrastiveStage
from ft_toolkit.training.head_probe import HeadProbe, RejectedProbe
from ft_toolkit.training.prepare import describe_step
from ft_toolkit.training.speedups.dropout import has_dropout
from ft_toolkit.training.trained_model import TrainedModel

_PRECISIONS = {"no": "float32", "bf16": "bf16 (float32 weights)"}
_POOLINGS = {
    "first": "first token",
    "mean": "mean of the tokens",
    "max": "maximum of the tokens",
    "last": "last token",
}
# New modules named in full; more are counted.
_MOST_NAMES = 3


def announce_data(context: RunContext) -> None:
    """Print the number of examples of each split and, with verbose output, the fingerprint of the data."""
    context.display.say(f"data       {_describe_data(context)}")
    context.display.detail(f"           fingerprint {context.prepared.data.fingerprint}")


def announce_training(context: RunContext, trained: TrainedModel) -> None:
    """Print the model, method, precision and number of steps and, with verbose output, the speed-ups."""
    display, recipe, count = context.display, context.recipe, trained.count
    model = f"{recipe.model.title}{_at_commit(context.prepared.checkpoint.commit)}"
    if context.prepared.checkpoint.is_merged:
        model += ", its adapter merged into its base model"
    changes = describe_normalization(context.prepared.tokenizer)
    display.say(
        f"model      {model}{_describe_new_modules(trained.new_modules)}{f'; its tokenizer {changes}' if changes else ''}"
    )
    if context.prepared.pooling_reason:
        display.say(f"pooling    {_describe_pooling(context)}")
    trainable = f"{count.trainable:,} of {count.total:,} parameters are trainable ({count.share:.1%})"
    display.say(f"method     {recipe.method.name}: {trainable}")
    display.say(f"precision  {_PRECISIONS[recipe.training.mixed_precision]}")
    if trained.strategy.description:
        display.say(f"sharding   {trained.strategy.description}")
    if trained.speedups:
        display.detail(f"speed-ups (same result): {'; '.join(trained.speedups)}")
    display.say(f"training   {_describe_steps(context)}")
    for number, line in enumerate(describe_choices(context.prepared.choices)):
        display.say(f"{'' if number else 'chosen':<10} {line}")


def announce_resume(context: RunContext, trained: TrainedModel, state: RunState, saved_world_size: int) -> None:
    """Print where the run resumes, and what another number of processes changes."""
    context.display.say(f"resuming after step {state.progress.step}")
    world_size = context.world_size
    if saved_world_size == world_size:
        return
    dropout = ", except that dropout draws other random numbers" if has_dropout(trained.plain.modules()) else ""
    context.display.warn(
        f"note: the run was started with {_count(saved_world_size, 'process')} and resumes with "
        f"{_count(world_size, 'process')}: each step has the same rows and the same loss up to rounding{dropout}"
    )


def announce_contrastive(context: RunContext, stage: ContrastiveStage) -> None:
    """Print the pairs, the steps and the loss of the contrastive training."""
    context.display.say(
        f"pairs      contrastive training on {stage.pairs:,} pairs, {_count(stage.steps, 'step')}: loss {stage.first_loss:.4f} "
        f"at the first step, {stage.loss:.4f} at the last ({stage.seconds:.1f} s)"
    )


def announce_head_probe(context: RunContext, probe: HeadProbe | RejectedProbe) -> None:
    """Print the loss of a linear probe on held-out rows, or the reason for a head with random weights."""
    if isinstance(probe, RejectedProbe):
        context.display.say(f"head       random weights, because a linear probe does not help: {probe.reason}")
        return
    held_out = ""
    if probe.held_out_loss is not None and probe.constant_loss is not None:
        held_out = (
            f": loss {probe.held_out_loss:.4f} on held-out rows, {probe.constant_loss:.4f} for a constant prediction, "
            f"{probe.random_loss:.4f} with random weights"
        )
    context.display.say(
        f"head       {probe.layer} initialized by a linear probe on {probe.features:,} features{held_out} "
        f"({probe.seconds:.1f} s)"
    )


def announce_evaluation(context: RunContext, evaluation: Evaluation) -> None:
    """Print the selection metric and the loss on the validation rows."""
    name, loss = context.prepared.selection, evaluation.scores["loss"]
    score = "" if name == "loss" else f"{name} {evaluation.scores[name]:.4f}, "
    best = "  (best so far)" if evaluation.is_best else ""
    context.display.say(f"step {evaluation.step}/{context.total_steps}: validation {score}loss {loss:.4f}{best}")


def announce_selection(context: RunContext, state: RunState) -> None:
    """Print that the loss selected the checkpoint, if the selection metric is 0 or undefined at every evaluation."""
    name = context.prepared.selection
    if name == "loss" or state.best is None:
        return
    if says_nothing(state.best.score, greater_is_better=context.prepared.metrics[name].greater_is_better):
        reason = "undefined at every evaluation" if state.best.score is None else "never above 0"
        context.display.warn(
            f"note: validation {name} is {reason}, so the loss selected the checkpoint of step {state.best.step}"
        )


def _describe_data(context: RunContext) -> str:
    """Return the number of examples of each split, and the Hub repository of a data card."""
    data = context.prepared.data
    sizes = ", ".join(f"{len(rows):,} {name}" for name, rows in data.splits.items())
    if data.card is None or data.commit is None:
        return f"{sizes} examples{context.prepared.input_description}"
    source = f" of {data.card.block.source.hub}{_at_commit(data.commit)}"
    return f"{sizes} examples{source}{context.prepared.input_description}"


def _describe_new_modules(names: tuple[str, ...]) -> str:
    """Return the modules whose weights are not in the checkpoint."""
    if not names:
        return ""
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return f"; newly initialized: {one_of(names[:_MOST_NAMES])}{more}"


def _describe_pooling(context: RunContext) -> str:
    """Return the pooling with its reason and, if it was chosen automatically, the setting that changes it."""
    how, reason = context.recipe.model.pooling, context.prepared.pooling_reason
    if how is None:
        return reason
    is_automatic = context.loaded.recipe.model.pooling == "auto"
    hint = "; model.pooling=null for the default of the model family" if is_automatic else ""
    return f"{_POOLINGS[how]}: {reason}{hint}"


def _describe_steps(context: RunContext) -> str:
    """Return the number of steps, the size of a step and the number of epochs, such as "65 steps of 16 examples (5 epochs)"."""
    step = describe_step(context.recipe.training, context.world_size)
    epochs = f"{context.epochs:.1f}".removesuffix(".0")
    resampling = context.recipe.training.resample_classes
    drawn = f", classes resampled ({resampling})" if resampling else ""
    return f"{_count(context.total_steps, 'step')} of {step} ({epochs} epoch{'' if epochs == '1' else 's'}){drawn}"


def _at_commit(commit: str | None) -> str:
    return f" at commit {commit}" if commit is not None else ""


def _count(number: int, noun: str) -> str:
    """Return a number with its noun, such as "1 step" and "2 processes"."""
    plural = "" if number == 1 else "es" if noun.endswith("s") else "s"
    return f"{number:,} {noun}{plural}"
