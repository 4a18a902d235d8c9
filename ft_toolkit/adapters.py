"""Which weights are trained: all of them, or low-rank adapters plus the head. Attach, count, save."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ft_toolkit.config import FullMethod, LoraMethod
from ft_toolkit.errors import ModelError, did_you_mean, one_of
from ft_toolkit.models import Checkpoint

# A block is what a model repeats: a module path with a number in it, e.g. encoder.layer.0 or h.11.
_BLOCK = re.compile(r"^(?P<block>.*?\.\d+)\.(?P<inner>.+)$")


@dataclass(frozen=True)
class ParameterCount:
    """Numbers of weights."""

    trainable: int
    total: int

    @property
    def share(self) -> float:
        """Trainable part, 0 to 1."""
        return self.trainable / self.total


def attach(model: Any, method: FullMethod | LoraMethod, new_modules: Sequence[str], *, seed: int) -> Any:
    """Return the model with gradients exactly where the method wants them. `seed` decides the adapter's initial weights.

    With LoRA the head, and whatever else the checkpoint had no weights for, is trained in full.
    """
    if isinstance(method, FullMethod):
        return model
    from peft import LoraConfig, get_peft_model

    heads = head_modules(model, new_modules)
    torch.manual_seed(seed)
    config = LoraConfig(
        r=method.r,
        lora_alpha=method.alpha,
        lora_dropout=method.dropout,
        target_modules=lora_targets(model, method.target_modules, heads),
        modules_to_save=heads,
        fan_in_fan_out=any(type(module).__name__ == "Conv1D" for module in model.modules()),
    )
    return get_peft_model(model, config)


def head_modules(model: Any, new_modules: Sequence[str]) -> list[str]:
    """Return the modules with weights outside the base model, and new ones inside it (a pooler, say)."""
    heads = [
        name
        for name, child in model.named_children()
        if name != model.base_model_prefix and any(True for _ in child.parameters())
    ]
    inside = [name for name in new_modules if not any(name == head or name.startswith(f"{head}.") for head in heads)]
    return [*heads, *inside]


def lora_targets(model: Any, wanted: str | list[str], heads: Sequence[str]) -> list[str]:
    """Return the endings of module names that get an adapter.

    `attention` takes the projections of the attention inside the repeated blocks, `all-linear` every linear layer there;
    a list is taken as it is. Heads, poolers and embeddings are never among them. Raises ModelError when nothing matches.
    """
    inner_names = {name: match["inner"] for name in linear_modules(model) if (match := _BLOCK.match(name))}
    outside_heads = {
        n: inner for n, inner in inner_names.items() if not any(n == h or n.startswith(f"{h}.") for h in heads)
    }
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


def count_parameters(model: Any) -> ParameterCount:
    """Return how many weights the model has and how many are trained."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    return ParameterCount(sum(size for size, trained in sizes if trained), sum(size for size, _ in sizes))


def save_model(model: Any, method: FullMethod | LoraMethod, base: Checkpoint, folder: Path) -> None:
    """Write the model (config.json and safetensors) or, for an unmerged adapter, the adapter and the config it needs."""
    if isinstance(method, FullMethod):
        model.save_pretrained(folder)
    elif method.merge:
        model.merge_and_unload().save_pretrained(folder)
    else:
        config = model.peft_config["default"]
        config.base_model_name_or_path, config.revision = base.reference, base.commit
        # peft would ask the Hub whether the vocabulary grew; ours never does
        model.save_pretrained(folder, save_embedding_layers=False)
        model.get_base_model().config.save_pretrained(folder)
        (folder / "README.md").unlink(missing_ok=True)  # peft's generic card; report.card writes ours


def load_adapter(model: Any, folder: Path) -> Any:
    """Return the base model with the adapter of `folder`, ready to predict."""
    from peft import PeftModel

    return PeftModel.from_pretrained(model, folder)
