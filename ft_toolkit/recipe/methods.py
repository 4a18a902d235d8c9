"""Fine-tuning methods: the `method` section of a recipe has the settings of one of these classes."""

from typing import Annotated, Literal

from pydantic import Field

from ft_toolkit.recipe.schema import PositiveFloat, Section, Share


class FullMethod(Section):
    """Train every weight."""

    name: Literal["full"] = "full"


class LoraMethod(Section):
    """Train low-rank adapters, and the task's head in full.

    LoRA: Hu et al. 2021, arXiv:2106.09685. DoRA also learns the size of the update separately from its direction:
    Liu et al. 2024, arXiv:2402.09353.
    """

    name: Literal["lora", "dora"]
    # Rank of the update. 8 is the default of peft.
    r: Annotated[int, Field(gt=0, le=32_768)] = 8
    # The update is multiplied by alpha / r. 16 with r=8 gives a factor of 2.
    alpha: PositiveFloat = 16.0
    # Dropout probability on the adapter's input.
    dropout: Share = 0.0
    # Weight matrices with an adapter: those of the attention, all of every block, or a list of module name endings.
    target_modules: Literal["attention", "all-linear"] | Annotated[list[str], Field(min_length=1)] = "attention"
    # Merge the adapter into the weights of the saved model, so that it needs neither peft nor the base model.
    merge: bool = False


class Ia3Method(Section):
    """Train scales on keys, values and feed-forward activations, and the task's head in full.

    Liu et al. 2022, arXiv:2205.05638.
    """

    name: Literal["ia3"]
    # Merge the scales into the weights of the saved model, so that it needs neither peft nor the base model.
    merge: bool = False


class FreezeMethod(Section):
    """Train part of the weights and freeze the rest. The model folder contains all weights."""

    name: Literal["freeze"]
    # all: train only the task's head. A number: freeze the embeddings and this many of the lowest blocks.
    frozen_layers: Literal["all"] | Annotated[int, Field(ge=0)] = "all"


Method = FullMethod | LoraMethod | Ia3Method | FreezeMethod

METHODS: dict[str, type[Section]] = {
    "full": FullMethod,
    "lora": LoraMethod,
    "dora": LoraMethod,
    "ia3": Ia3Method,
    "freeze": FreezeMethod,
}


def saves_adapter(method: Method) -> bool:
    """Return whether the model folder will contain an adapter, which needs its base model."""
    return isinstance(method, (LoraMethod, Ia3Method)) and not method.merge
