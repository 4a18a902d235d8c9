"""The recipe with which a run trains: every value that was `auto` is chosen."""

from typing import Literal

from ft_toolkit.recipe.schema import PositiveFloat, PositiveInt, Share
from ft_toolkit.recipe.sections import EvaluationSection, Recipe, TrainingSection


class ResolvedTraining(TrainingSection):
    """The training section with a number or a name for each `auto`; one of the two batch settings is set."""

    num_train_epochs: PositiveInt
    learning_rate: PositiveFloat
    warmup_ratio: Share
    mixed_precision: Literal["no", "bf16"]


class ResolvedEvaluation(EvaluationSection):
    """The evaluation section with a number, or None, for each `auto`."""

    eval_steps: PositiveInt | None
    early_stopping_patience: PositiveInt | None


class ResolvedRecipe(Recipe):
    """A recipe without `auto` values."""

    training: ResolvedTraining
    evaluation: ResolvedEvaluation


def resolve(recipe: Recipe, values: dict[str, dict[str, object]]) -> ResolvedRecipe:
    """Return the recipe with `values` by section and key. Other values and each `model_fields_set` are unchanged."""
    training, evaluation = (
        kind.model_construct(section.model_fields_set, **{**dict(section), **values.get(name, {})})
        for name, kind, section in (
            ("training", ResolvedTraining, recipe.training),
            ("evaluation", ResolvedEvaluation, recipe.evaluation),
        )
    )
    return ResolvedRecipe.model_construct(**{**dict(recipe), "training": training, "evaluation": evaluation})
