"""Apply a training method to a model: all weights, a part of them, or an adapter and the head. Count and save weights."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from ft_toolkit.core.errors import ModelError, did_you_mean, one_of
from ft_toolkit.core.json_records import read_object
from ft_toolkit.core.run_folder import ADAPTER_CONFIG, ADAPTER_WEIGHTS, BASE_CONFIG
from ft_toolkit.models.folder_check import checked_folder
from ft_toolkit.models.pooled_model import plain_head_name, rename_adapter_head, renamed_head, save_pretrained
from ft_toolkit.models.pretrained import Checkpoint
from ft_toolkit.models.weights import BLOCK, check_tensors, has_random_values
from ft_toolkit.recipe.methods import FreezeMethod, FullMethod, Ia3Method, Method

# Parts of the embeddings: their normalization, and the projection to the width of the blocks (ELECTRA, ALBERT).
_EMBEDDING = re.compile(r"(^|\.)embedding")

# The end of the name of a magnitude vector of DoRA.
_MAGNITUDE = ".lora_magnitude_vector"

# Prefixes and infixes that peft adds to module names, including the trained copy of a head.
_PEFT_NAMES = re.compile(r"^base_model\.model\.|\.modules_to_save\.default\b")


@dataclass(frozen=True)
class ParameterCount:
    """The number of trainable weights and of all weights."""

    trainable: int
    total: int

    @property
    def share(self) -> float:
        """The share of trainable weights, 0 to 1."""
        return self.trainable / self.total


def attach(model: Any, method: Method, new_modules: Sequence[str], *, seed: int) -> Any:
    """Return the model with gradients only for the weights that the method trains. `seed` initializes an adapter.

    With an adapter, the head and all other new modules are trained in full. Raises ModelError if the method has nothing to
    train in this model.
    """
    if isinstance(method, FullMethod):
        return model
    heads = head_modules(model, new_modules)
    if isinstance(method, FreezeMethod):
        freeze(model, method.frozen_layers, heads)
        return model
    _check_carried(model, new_modules, heads)
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
            exclude_modules=heads or None,  # names of new modules inside the blocks may match a target
            fan_in_fan_out=conv1d,
            use_dora=method.name == "dora",
        )
    return get_peft_model(model, config)


def _check_carried(model: Any, new_modules: Sequence[str], heads: Sequence[str]) -> None:
    """Raise ModelError for a new module with random weights that an adapter neither trains nor saves: an output layer."""
    modules = dict(model.named_modules())
    for name in new_modules:
        if not is_within(name, heads) and any(has_random_values(p) for p in modules[name].parameters(recurse=False)):
            raise ModelError(
                f"the checkpoint has no weights for {name}, and an adapter neither trains nor saves this layer; use "
                "method=full, or a checkpoint that has it"
            )


def freeze(model: Any, layers: int | Literal["all"], heads: Sequence[str]) -> None:
    """Freeze the embeddings and the lowest `layers` blocks of each stack; with "all", everything but the heads.

    Raises ModelError if the model has fewer blocks, or if no trainable weight is left.
    """
    blocks = {
        int(match["block"].rpartition(".")[2]) for name, _ in model.named_parameters() if (match := BLOCK.match(name))
    }
    if layers != "all" and layers > len(blocks):
        raise ModelError(f"method.frozen_layers={layers}: {type(model).__name__} has only {len(blocks)} blocks")
    embeddings = {
        id(parameter)
        for module in model.modules()
        if isinstance(module, torch.nn.Embedding)
        for parameter in module.parameters()
    }
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:  # never trained: computed positions, an unused pooler
            continue
        if layers == "all":
            parameter.requires_grad_(any(name.startswith(f"{head}.") for head in heads))
        else:
            match = BLOCK.match(name)
            low = match is not None and int(match["block"].rpartition(".")[2]) < layers
            parameter.requires_grad_(not low and id(parameter) not in embeddings and not _EMBEDDING.search(name))
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ModelError(
            f"method.frozen_layers={layers} leaves nothing to train: {type(model).__name__} has no separate head; set "
            "method.frozen_layers to a number of blocks"
        )


def head_modules(model: Any, new_modules: Sequence[str]) -> list[str]:
    """Return the names of the heads: modules with weights outside the base model, and new modules inside it (a pooler).

    A language model's output layer is not a head, because it is tied to the embeddings. Modules that contain it count as heads
    only if they are new.
    """
    output = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None

    def contains_output(module: Any) -> bool:
        return output is not None and any(inner is output for inner in module.modules())

    heads = [
        name
        for name, child in model.named_children()
        if name != model.base_model_prefix and any(True for _ in child.parameters()) and not contains_output(child)
    ]
    if not hasattr(model, model.base_model_prefix or "-"):  # EncoderDecoderModel
        heads = [name for name in heads if name in new_modules]
    modules = dict(model.named_modules())
    inside = [name for name in new_modules if not is_within(name, heads) and not contains_output(modules[name])]
    return [*heads, *inside]


# Layers whose output IA3 scales, by the name endings of the model families: keys and values, or the layer for both.
_KEYS_AND_VALUES = re.compile(r"(^|\.)(key|value|k|v|[kv]_proj|[kv]_lin|key_proj|value_proj|c_attn|Wqkv)$")
# Layers whose input IA3 scales: the last layer of the feed-forward network. Matches inside the attention do not count.
_FEEDFORWARD = re.compile(r"(^|\.)(output\.dense|lin2|fc2|ffn_output|mlp\.c_proj|wo|down_proj|mlp\.Wo)$")


def ia3_targets(model: Any, heads: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the names of the layers whose output IA3 scales, and of those whose input it scales. Raises ModelError."""
    inner = {name: ending for name, ending in _inner_names(model).items() if not is_within(name, heads)}
    scaled = [name for name, ending in inner.items() if _KEYS_AND_VALUES.search(ending)]
    feedforward = [
        name
        for name, ending in inner.items()
        if _FEEDFORWARD.search(ending) and not re.search("attn|attention", ending, re.IGNORECASE)
    ]
    if not scaled or not feedforward:
        raise ModelError(
            f"method=ia3: no key and value layers or no feed-forward layers found in {type(model).__name__}; use method=lora, "
            "which has target_modules"
        )
    return scaled, feedforward


def _inner_names(model: Any) -> dict[str, str]:
    """Return {full name: name inside its block} of the linear layers of all blocks."""
    return {name: match["inner"] for name in linear_modules(model) if (match := BLOCK.match(name))}


def is_within(name: str, modules: Sequence[str]) -> bool:
    """Return whether a name is the name of one of the modules, or of a module or weight inside one."""
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def lora_targets(model: Any, target_modules: str | list[str], heads: Sequence[str]) -> list[str]:
    """Return the endings of the names of the modules that get an adapter.

    "attention" selects the attention projections of all blocks, "all-linear" all linear layers of the blocks; a list is
    returned unchanged. Heads, poolers and embeddings never get an adapter. Raises ModelError if nothing matches.
    """
    outside_heads = {name: inner for name, inner in _inner_names(model).items() if not is_within(name, heads)}
    endings = sorted(set(outside_heads.values()))
    if isinstance(target_modules, list):
        for ending in target_modules:
            if not any(name == ending or name.endswith(f".{ending}") for name in outside_heads):
                raise ModelError(
                    f"method.target_modules: no linear layer of the blocks has a name that ends in '{ending}'; "
                    f"allowed: {one_of(endings)}.{did_you_mean(ending, endings)}"
                )
        return target_modules
    if target_modules == "attention":
        endings = [ending for ending in endings if re.search("attn|attention", ending, re.IGNORECASE)]
    if not endings:
        raise ModelError(
            f"method.target_modules={target_modules}: no such layers found in {type(model).__name__}; give a list of names"
        )
    return endings


def linear_modules(model: Any) -> list[str]:
    """Return the names of all linear layers, including GPT-2's Conv1D."""
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) or type(module).__name__ == "Conv1D"
    ]


def plain_name(name: str) -> str:
    """Return the name of a module or weight without the parts that peft adds."""
    return _PEFT_NAMES.sub("", name)


def count_parameters(model: Any) -> ParameterCount:
    """Return the number of weights of the model, trainable and in total."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    return ParameterCount(sum(size for size, trained in sizes if trained), sum(size for size, _ in sizes))


def save_model(model: Any, method: Method, base: Checkpoint, folder: Path) -> None:
    """Write the model (config.json and safetensors); for an unmerged adapter, the adapter and the base's config."""
    if isinstance(method, (FullMethod, FreezeMethod)):
        save_pretrained(model, folder)
    elif method.merge:
        save_pretrained(model.merge_and_unload(), folder)
    else:
        config = model.peft_config["default"]
        # a name that transformers and peft can load; inference.json has the reference that also works elsewhere
        config.base_model_name_or_path = base.name if base.commit is not None else str(base.folder.resolve())
        config.revision = base.commit
        # otherwise peft asks the Hub whether the vocabulary grew, which never happens here
        model.save_pretrained(folder, save_embedding_layers=False)
        _rename_magnitudes(folder / ADAPTER_WEIGHTS)
        base_model = model.get_base_model()
        rename_adapter_head(folder / ADAPTER_WEIGHTS, base_model)
        base_model.config.architectures = [type(base_model).__name__]
        base_model.config.save_pretrained(folder / BASE_CONFIG)
        if base_model.can_generate():
            base_model.generation_config.save_pretrained(folder)
        (folder / "README.md").unlink(missing_ok=True)  # peft's generic card; report.card writes the model card


def _rename_magnitudes(path: Path) -> None:
    """Give the magnitude vectors of DoRA the names that peft and transformers both read.

    peft 0.21 writes them without the ending ".weight"; transformers 5.23 then ignores them with a warning and predicts with
    other weights.
    """
    tensors = load_file(path)
    if any(name.endswith(_MAGNITUDE) for name in tensors):
        renamed = {f"{name}.weight" if name.endswith(_MAGNITUDE) else name: value for name, value in tensors.items()}
        save_file(renamed, path, metadata={"format": "pt"})


def carried_modules(folder: Path) -> list[str]:
    """Return the names of the modules that an adapter carries in full, such as its head. Raises RunFolderError."""
    modules = read_object(folder / ADAPTER_CONFIG).get("modules_to_save")
    return list(modules or ())


def load_adapter(model: Any, folder: Path) -> Any:
    """Return the base model with the adapter of `folder`, for prediction. Raises ModelError unless its weights fit."""
    from peft import PeftModel, get_peft_model_state_dict

    with checked_folder(folder, "the weights of the adapter"):
        adapted = PeftModel.from_pretrained(model, folder, key_mapping=renamed_head(folder) or None)
        with safe_open(folder / ADAPTER_WEIGHTS, framework="pt") as file:
            names = [plain_head_name(name) for name in file.keys()]  # noqa: SIM118 - not a dict
            saved = [name.replace(f"{_MAGNITUDE}.weight", _MAGNITUDE) for name in names]
    check_tensors(folder, adapted, saved, get_peft_model_state_dict(adapted, save_embedding_layers=False))
    return adapted
