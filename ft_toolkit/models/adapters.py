"""Which weights are trained: all, some, or an adapter's plus the head. Attach, count, save."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from ft_toolkit.core.errors import ModelError, did_you_mean, one_of
from ft_toolkit.models.pretrained import Checkpoint
from ft_toolkit.recipe.methods import FreezeMethod, FullMethod, Ia3Method, Method

# A block is what a model repeats: a module path with a number in it, e.g. encoder.layer.0 or h.11.
_BLOCK = re.compile(r"^(?P<block>.*?\.\d+)\.(?P<inner>.+)$")

# What belongs to the embeddings by its name: their norm, and what maps them to the width of the blocks (ELECTRA, ALBERT).
_EMBEDDING = re.compile(r"(^|\.)embedding")

# What peft puts around the model's own names, the copy of a trained head included.
_PEFT_NAMES = re.compile(r"^base_model\.model\.|\.modules_to_save\.default\b")


@dataclass(frozen=True)
class ParameterCount:
    """Numbers of weights."""

    trainable: int
    total: int

    @property
    def share(self) -> float:
        """Trainable part, 0 to 1."""
        return self.trainable / self.total


def attach(model: Any, method: Method, new_modules: Sequence[str], *, seed: int) -> Any:
    """Return the model with gradients exactly where the method wants them. `seed` decides the adapter's initial weights.

    With an adapter the head, and whatever else the checkpoint had no weights for, is trained in full. Raises ModelError
    when the method finds nothing to train in this model.
    """
    if isinstance(method, FullMethod):
        return model
    heads = head_modules(model, new_modules)
    if isinstance(method, FreezeMethod):
        freeze(model, method.frozen_layers, heads)
        return model
    from peft import IA3Config, LoraConfig, get_peft_model

    torch.manual_seed(seed)
    conv1d = any(type(module).__name__ == "Conv1D" for module in model.modules())
    if isinstance(method, Ia3Method):
        scaled, feedforward = ia3_targets(model, heads)
        config: Any = IA3Config(
            target_modules=[*scaled, *feedforward],
            feedforward_modules=feedforward,
            modules_to_save=heads or None,
            fan_in_fan_out=conv1d,
        )
    else:
        config = LoraConfig(
            r=method.r,
            lora_alpha=method.alpha,
            lora_dropout=method.dropout,
            target_modules=lora_targets(model, method.target_modules, heads),
            modules_to_save=heads or None,
            exclude_modules=heads or None,  # new ones inside the blocks may end as targets do
            fan_in_fan_out=conv1d,
            use_dora=method.name == "dora",
        )
    return get_peft_model(model, config)


def freeze(model: Any, layers: int | Literal["all"], heads: Sequence[str]) -> None:
    """Take the gradient from all but the heads, or from the embeddings and the lowest `layers` blocks of each stack.

    Raises ModelError when nothing would be trained, or there are fewer blocks.
    """
    blocks = {
        int(match["block"].rpartition(".")[2]) for name, _ in model.named_parameters() if (match := _BLOCK.match(name))
    }
    if layers != "all" and layers > len(blocks):
        raise ModelError(f"method.frozen_layers={layers}: {type(model).__name__} has {len(blocks)} blocks")
    embeddings = {
        id(parameter)
        for module in model.modules()
        if isinstance(module, torch.nn.Embedding)
        for parameter in module.parameters()
    }
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:  # what no method trains: tables of positions, a pooler that nothing reads
            continue
        if layers == "all":
            parameter.requires_grad_(any(name.startswith(f"{head}.") for head in heads))
        else:
            match = _BLOCK.match(name)
            low = match is not None and int(match["block"].rpartition(".")[2]) < layers
            parameter.requires_grad_(not low and id(parameter) not in embeddings and not _EMBEDDING.search(name))
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ModelError(
            f"method.frozen_layers={layers} leaves nothing to train: {type(model).__name__} has no head of its own; give the "
            "number of blocks to freeze"
        )


def head_modules(model: Any, new_modules: Sequence[str]) -> list[str]:
    """Return the modules with weights outside the base model, and new ones inside it (a pooler, say).

    A language model's output layer is tied to its embeddings: it is no head, and of what surrounds it only the parts that
    the checkpoint had no weights for are.
    """
    output = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None

    def holds_output(module: Any) -> bool:
        return output is not None and any(inner is output for inner in module.modules())

    heads = [
        name
        for name, child in model.named_children()
        if name != model.base_model_prefix and any(True for _ in child.parameters()) and not holds_output(child)
    ]
    if not hasattr(model, model.base_model_prefix or "-"):  # an encoder-decoder that is made of two models
        heads = [name for name in heads if name in new_modules]
    modules = dict(model.named_modules())
    inside = [name for name in new_modules if not is_within(name, heads) and not holds_output(modules[name])]
    return [*heads, *inside]


# What IA3 scales, by the endings that the families use: keys and values (or the layer that makes both) ...
_KEYS_AND_VALUES = re.compile(r"(^|\.)(key|value|k|v|[kv]_proj|[kv]_lin|key_proj|value_proj|c_attn|Wqkv)$")
# ... and the input of the feed-forward's last layer, where that is not inside the attention.
_FEEDFORWARD = re.compile(r"(^|\.)(output\.dense|lin2|fc2|ffn_output|mlp\.c_proj|wo|down_proj|mlp\.Wo)$")


def ia3_targets(model: Any, heads: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the full names of the layers whose output, and of those whose input is scaled. Raises ModelError."""
    inner = {name: found for name, found in _inner_names(model).items() if not is_within(name, heads)}
    scaled = [name for name, ending in inner.items() if _KEYS_AND_VALUES.search(ending)]
    feedforward = [
        name
        for name, ending in inner.items()
        if _FEEDFORWARD.search(ending) and not re.search("attn|attention", ending, re.IGNORECASE)
    ]
    if not scaled or not feedforward:
        raise ModelError(
            f"method=ia3: no keys and values or no feed-forward found in {type(model).__name__}; take lora, which has "
            "target_modules"
        )
    return scaled, feedforward


def _inner_names(model: Any) -> dict[str, str]:
    """Return the name inside its block of each linear layer of the blocks, by its full name."""
    return {name: match["inner"] for name in linear_modules(model) if (match := _BLOCK.match(name))}


def is_within(name: str, modules: Sequence[str]) -> bool:
    """Say whether a name is one of the modules, or of something inside one."""
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def lora_targets(model: Any, wanted: str | list[str], heads: Sequence[str]) -> list[str]:
    """Return the endings of module names that get an adapter.

    `attention` takes the projections of the attention inside the repeated blocks, `all-linear` every linear layer there;
    a list is taken as it is. Heads, poolers and embeddings are never among them. Raises ModelError when nothing matches.
    """
    outside_heads = {name: inner for name, inner in _inner_names(model).items() if not is_within(name, heads)}
    endings = sorted(set(outside_heads.values()))
    if isinstance(wanted, list):
        for ending in wanted:
            if not any(name == ending or name.endswith(f".{ending}") for name in outside_heads):
                raise ModelError(
                    f"method.target_modules: no linear layer of the blocks ends in '{ending}'; "
                    f"allowed: {one_of(endings)}.{did_you_mean(ending, endings)}"
                )
        return wanted
    if wanted == "attention":
        endings = [ending for ending in endings if re.search("attn|attention", ending, re.IGNORECASE)]
    if not endings:
        raise ModelError(
            f"method.target_modules={wanted}: no such layers in {type(model).__name__}; name them in a list"
        )
    return endings


def linear_modules(model: Any) -> list[str]:
    """Return the names of all linear layers, GPT-2's Conv1D among them."""
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) or type(module).__name__ == "Conv1D"
    ]


def plain_name(name: str) -> str:
    """Return the name that a module or weight has without the adapter around the model."""
    return _PEFT_NAMES.sub("", name)


def block_of(name: str) -> tuple[str, int] | None:
    """Return the stack and the number of the block that a weight is in (encoder.layer and 3, say), None outside blocks."""
    match = _BLOCK.match(name)
    if match is None:
        return None
    stack, _, number = match["block"].rpartition(".")
    return stack, int(number)


def count_parameters(model: Any) -> ParameterCount:
    """Return how many weights the model has and how many are trained."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    return ParameterCount(sum(size for size, trained in sizes if trained), sum(size for size, _ in sizes))


def save_model(model: Any, method: Method, base: Checkpoint, folder: Path) -> None:
    """Write the model (config.json and safetensors) or, for an unmerged adapter, the adapter and the config it needs."""
    if isinstance(method, (FullMethod, FreezeMethod)):
        model.save_pretrained(folder)
    elif method.merge:
        model.merge_and_unload().save_pretrained(folder)
    else:
        config = model.peft_config["default"]
        config.base_model_name_or_path, config.revision = base.reference, base.commit
        # peft would ask the Hub whether the vocabulary grew; ours never does
        model.save_pretrained(folder, save_embedding_layers=False)
        base_model = model.get_base_model()
        base_model.config.save_pretrained(folder)
        if base_model.can_generate():
            base_model.generation_config.save_pretrained(folder)
        (folder / "README.md").unlink(missing_ok=True)  # peft's generic card; report.card writes ours


def load_adapter(model: Any, folder: Path) -> Any:
    """Return the base model with the adapter of `folder`, ready to predict."""
    from peft import PeftModel

    return PeftModel.from_pretrained(model, folder)
