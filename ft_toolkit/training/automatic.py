"""Choose the values that are `auto` in a recipe: precision, batches, learning rate, epochs and evaluations.

    rows, method, model, number of processes ──> choose_values ──> a value and a reason for each `auto`

A value that the user sets is kept. A recipe with a `reference` section repeats a published training: its `auto` values are the
defaults of transformers. A resumed run takes the values from its checkpoint (`SavedValues`) instead.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ft_toolkit.core.environment import multiplies_bfloat16
from ft_toolkit.models.pretrained import hidden_size
from ft_toolkit.recipe.methods import FreezeMethod, FullMethod, Ia3Method
from ft_toolkit.recipe.resolved import ResolvedRecipe, resolve
from ft_toolkit.recipe.sections import Recipe

# From this hidden size on, bfloat16 products save more time than the conversions around them cost.
BF16_WIDTH = 256
# Examples per step; the larger number from MANY_ROWS rows on.
SMALL_BATCH, LARGE_BATCH, MANY_ROWS = 16, 32, 5000
# Passes over the rows (the default of transformers), and more until the run has FEWEST_STEPS.
FEWEST_EPOCHS, FEWEST_STEPS = 3, 120
# A run with fewer steps warns.
WARN_BELOW_STEPS = 50
# Learning rates for method=full and models of the width BASE_WIDTH. Narrower models get larger rates.
BASE_WIDTH = 768
BASE_RATE, ENCODER_DECODER_RATE, T5_RATE = 5e-5, 3e-5, 3e-4
HIGHEST_RATE = 5e-4
# With fewer rows, 120 steps repeat each row many times, and a high rate destroys the pretrained weights: on 8 rows per label,
# MiniLM with a probed head had an accuracy of 0.78 and 0.81 with 2e-4 on Reuters R8 (two samples of 64 rows), 0.91 with 5e-5.
FEW_ROWS, FEW_ROWS_FACTOR = 100, 0.25
# The rate of a model with new weights, and of a head on a frozen model.
NEW_MODEL_RATE, HEAD_RATE = 1e-3, 1e-3
# Adapters train far fewer weights and need larger rates.
LORA_FACTOR, IA3_FACTOR = 10, 20
WARMUP = 0.1
# Evaluations of a run. The best of more evaluations has a more optimistic score, and each one costs time. With few validation
# rows, an early checkpoint is often the best one by chance (the standard error of an accuracy on 5 rows is about 0.2). A run
# with more evaluations (evaluation.eval_steps) stops after half of them without a better score. Other runs do not stop early,
# because the learning rate falls to 0 at their end.
MOST_EVALUATIONS, ROWS_PER_EVALUATION = 10, 5
# The values of TrainingArguments in transformers, for recipes with a reference; no early stopping.
_PUBLISHED = {
    "training.learning_rate": 5e-5,
    "training.num_train_epochs": 3,
    "training.warmup_ratio": 0.0,
    "training.examples_per_batch": 8,
    "evaluation.eval_steps": None,
    "evaluation.early_stopping_patience": None,
}


@dataclass(frozen=True)
class Choice:
    """A value that the run chose: the setting (such as training.learning_rate), the value and the reason."""

    setting: str
    value: Any
    reason: str


@dataclass(frozen=True)
class RunSize:
    """The facts behind the choices.

    n_examples     features of the training split: rows, or windows of long rows
    n_validation   validation rows
    epoch_steps    (tokens_per_batch, examples_per_batch) -> optimizer steps of an epoch
    n_processes    training processes
    config         transformers config of the checkpoint
    """

    n_examples: int
    n_validation: int
    epoch_steps: Callable[[int | None, int | None], int]
    n_processes: int
    config: Any


def choose_values(recipe: Recipe, size: RunSize) -> tuple[ResolvedRecipe, list[Choice]]:
    """Return the recipe with a value for each `auto`, and the choices in the order of the settings."""
    training, evaluation = recipe.training, recipe.evaluation
    chosen: list[Choice] = []

    def value_of(setting: str, present: Any, choose: Callable[[], tuple[Any, str]], unset: Any = "auto") -> Any:
        if present != unset:
            return present
        if recipe.reference is not None and setting in _PUBLISHED:
            value, reason = _PUBLISHED[setting], "default of transformers, because the recipe has a reference"
        else:
            value, reason = choose()
        chosen.append(Choice(setting, value, reason))
        return value

    precision = value_of("training.mixed_precision", training.mixed_precision, lambda: _precision(size.config))
    tokens, examples = training.tokens_per_batch, training.examples_per_batch
    if tokens is None:
        micros = training.gradient_accumulation_steps * size.n_processes
        examples = value_of("training.examples_per_batch", examples, lambda: _batch(size.n_examples, micros), None)
    rate = value_of("training.learning_rate", training.learning_rate, lambda: _rate(recipe, size))
    epoch_steps = size.epoch_steps(tokens, examples)
    if training.max_steps is None or training.num_train_epochs != "auto":
        epochs = value_of("training.num_train_epochs", training.num_train_epochs, lambda: _epochs(epoch_steps))
    else:
        epochs = FEWEST_EPOCHS  # max_steps overrides it
    warmup = value_of("training.warmup_ratio", training.warmup_ratio, lambda: (WARMUP, "share of the steps"))
    steps = epoch_steps * epochs if training.max_steps is None else training.max_steps
    eval_steps = value_of("evaluation.eval_steps", evaluation.eval_steps, lambda: _eval_steps(steps, epoch_steps, size))
    n_evaluations = math.ceil(steps / (eval_steps or epoch_steps))
    patience = value_of(
        "evaluation.early_stopping_patience", evaluation.early_stopping_patience, lambda: _patience(n_evaluations)
    )
    resolved = resolve(
        recipe,
        {
            "training": {
                "mixed_precision": precision,
                "examples_per_batch": examples,
                "learning_rate": rate,
                "num_train_epochs": epochs,
                "warmup_ratio": warmup,
            },
            "evaluation": {"eval_steps": eval_steps, "early_stopping_patience": patience},
        },
    )
    return resolved, chosen


def describe_choices(choices: Sequence[Choice]) -> list[str]:
    """Return a line per choice: the setting as a recipe or the command line accepts it, and the reason."""
    settings = [f"{choice.setting}={'null' if choice.value is None else choice.value}" for choice in choices]
    width = max(map(len, settings), default=0)
    return [f"{setting:<{width}}  {choice.reason}" for setting, choice in zip(settings, choices, strict=True)]


def few_steps_warning(steps: int, epoch_steps: int) -> str | None:
    """Return a warning for a run with too few optimizer steps; None for enough steps."""
    if steps >= WARN_BELOW_STEPS:
        return None
    epochs = math.ceil(FEWEST_STEPS / epoch_steps)
    return (
        f"the run has only {steps} optimizer step{'s' if steps > 1 else ''}, and most models need {FEWEST_STEPS} or more. Set "
        f"training.num_train_epochs={epochs}, or use smaller batches"
    )


def _precision(config: Any) -> tuple[str, str]:
    if hidden_size(config) < BF16_WIDTH:
        return "no", f"the model is narrower than {BF16_WIDTH}"
    if not multiplies_bfloat16():
        return "no", "this hardware does not multiply bfloat16"
    return "bf16", "this hardware multiplies bfloat16"


def _batch(n_examples: int, micros: int) -> tuple[int, str]:
    """Return the examples of a micro-batch, so that a step has the same number for any number of processes."""
    step = LARGE_BATCH if n_examples >= MANY_ROWS else SMALL_BATCH
    return max(step // micros, 1), f"{step} examples per step for {n_examples:,} training examples"


def _rate(recipe: Recipe, size: RunSize) -> tuple[float, str]:
    """Return the learning rate for the method, the model and the number of rows, rounded to two digits."""
    method, config = recipe.method, size.config
    family = getattr(config, "model_type", "")
    if recipe.model.config is not None:
        return NEW_MODEL_RATE, "new weights"
    if isinstance(method, FreezeMethod) and method.frozen_layers == "all":
        return HEAD_RATE, "only the head is trained"
    if "t5" in family:
        rate, kind = T5_RATE, "T5"
    elif getattr(config, "is_encoder_decoder", False):
        rate, kind = ENCODER_DECODER_RATE, "encoder-decoder"
    else:
        width = hidden_size(config) or BASE_WIDTH
        rate, kind = min(BASE_RATE * (BASE_WIDTH / width) ** 2, HIGHEST_RATE), f"width {width}"
    if isinstance(method, (FullMethod, FreezeMethod)):
        if size.n_examples < FEW_ROWS:
            rate, kind = rate * FEW_ROWS_FACTOR, f"{kind}, fewer than {FEW_ROWS} rows"
        return float(f"{rate:.1e}"), f"{kind}, method {method.name}"
    factor = IA3_FACTOR if isinstance(method, Ia3Method) else LORA_FACTOR
    return float(f"{rate * factor:.1e}"), f"{kind}, method {method.name}"


def _epochs(epoch_steps: int) -> tuple[int, str]:
    epochs = max(FEWEST_EPOCHS, math.ceil(FEWEST_STEPS / epoch_steps))
    if epochs == FEWEST_EPOCHS:
        return epochs, f"{epochs * epoch_steps:,} steps"
    return epochs, f"{epochs * epoch_steps:,} steps; at least {FEWEST_STEPS} are needed"


def _eval_steps(steps: int, epoch_steps: int, size: RunSize) -> tuple[int | None, str]:
    """Return None (one evaluation per epoch), or the steps between evaluations for many epochs or few validation rows."""
    most = min(max(size.n_validation // ROWS_PER_EVALUATION, 1), MOST_EVALUATIONS)
    if steps <= most * epoch_steps:
        return None, "one evaluation per epoch"
    times = f"{most} evaluation{'s' if most > 1 else ''}"
    reason = times if most == MOST_EVALUATIONS else f"{times} for {size.n_validation} validation rows"
    return math.ceil(steps / most), reason


def _patience(n_evaluations: int) -> tuple[int | None, str]:
    if n_evaluations <= MOST_EVALUATIONS:
        return None, f"the run has {n_evaluations} evaluation{'s' if n_evaluations > 1 else ''}"
    return n_evaluations // 2, f"half of the {n_evaluations} evaluations"
