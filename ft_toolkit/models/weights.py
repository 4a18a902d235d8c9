"""Load the weights of a checkpoint or of a finished model, and check that the file has every tensor that it must have.

transformers only warns about a missing tensor, which it fills with random values.

                        body (encoder, decoder)            head
    checkpoint          complete, right shapes, finite     may be missing or have another size: it is new
    base of an adapter  complete, right shapes, finite     may be missing where the adapter carries it
    finished model      complete, right shapes, finite, and nothing else in the file

transformers leaves out of its lists tied weights, buffers that are not saved, and keys that the class declares ignorable.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoModel

from ft_toolkit.core.errors import ModelError, one_of
from ft_toolkit.core.run_folder import ADAPTER_CONFIG
from ft_toolkit.models.folder_check import checked_folder
from ft_toolkit.models.model_size import check_memory
from ft_toolkit.models.pooled_model import apply_pooling, renamed_head

# The class for an encoder-decoder made of two copies of an encoder.
PAIR = "EncoderDecoderModel"
POOLER = "pooler."

# A repeated block: a module path that ends with a number, such as encoder.layer.0 or h.11.
BLOCK = re.compile(r"^(?P<block>.*?\.\d+)\.(?P<inner>.+)$")
# Parts of the body that many checkpoints do not have, and that are trained as new modules: the pooler, which the head for
# masked tokens does not use, and the cross-attention of a decoder that is a copy of an encoder.
_NEW_IN_BODY = re.compile(r"(^|\.)(pooler|crossattention)\.")
_MAX_NAMES = 5


@dataclass
class _Differences:
    """The differences between the tensors of a file and the tensors of a model, by name."""

    missing: set[str] = field(default_factory=set)
    unexpected: set[str] = field(default_factory=set)
    # tensor -> shape in the file, shape in the model
    mismatched: dict[str, tuple[Any, Any]] = field(default_factory=dict)

    def problems(self) -> list[str]:
        """Return a phrase per kind of difference."""
        shapes = [
            f"{name} ({list(saved)} in the file, {list(shape)} in the model)"
            for name, (saved, shape) in sorted(self.mismatched.items())
        ]
        differences = {
            "missing": sorted(self.missing),
            "unexpected": sorted(self.unexpected),
            "of another shape": shapes,
        }
        return [_describe(kind, names) for kind, names in differences.items() if names]


def block_of(name: str) -> tuple[str, int] | None:
    """Return the stack and the block number of a weight, such as ("encoder.layer", 3); None outside the blocks."""
    match = BLOCK.match(name)
    if match is None:
        return None
    stack, _, number = match["block"].rpartition(".")
    return stack, int(number)


def renamed_weights(auto_class: Any, config: Any) -> dict[str, str] | None:
    """Return {pattern: replacement} for weight names if the task's class and the checkpoint name the base model differently.

    The question answering classes of Llama, Qwen and others name it `transformer`, all other classes `model`. Without the
    replacement, transformers 5.23 loads none of the checkpoint's weights. Returns None if the names are the same.
    """
    task_class = getattr(auto_class, "_model_mapping", {}).get(type(config), None)
    base_class = AutoModel._model_mapping.get(type(config), None)
    saved, expected = getattr(base_class, "base_model_prefix", ""), getattr(task_class, "base_model_prefix", "")
    return {rf"^{saved}\.": f"{expected}."} if saved and expected and saved != expected else None


def load_weights(
    folder: Path, auto_class: str, config: Any, carried: Sequence[str] | None = None
) -> tuple[Any, list[str]]:
    """Return the model of a checkpoint in float32, and the names of the tensors that are not in the checkpoint: a new head.

    For EncoderDecoderModel, the checkpoint is an encoder that is loaded twice, and `config` is the config of both; the unused
    pooler does not count as missing. `carried` are the modules that an adapter brings; only they may be new then. Raises
    ModelError for a body that is incomplete, has tensors of other shapes or more blocks, or is not finite.
    """
    parts = {"": (auto_class, config)}
    if auto_class == PAIR:
        parts = {"encoder": ("AutoModel", config.encoder), "decoder": ("AutoModelForCausalLM", config.decoder)}
    loaded: dict[str, Any] = {}
    missing: list[str] = []
    for name, (class_name, part_config) in parts.items():
        model, differences = _load(folder, class_name, part_config)
        new = _check_body(folder, model, differences)
        loaded[name] = model
        missing += [f"{name}.{key}" if name else key for key in sorted(new)]
    model = loaded[""] if "" in loaded else getattr(transformers, PAIR)(config=config, **loaded)
    new_tensors = [key for key in missing if not key.startswith(f"encoder.{POOLER}")]
    if carried is not None:
        _check_carried(folder, model, new_tensors, carried)
    return model, new_tensors


def load_finished(folder: Path, auto_class: str, config: Any) -> Any:
    """Return a finished model in float32. Raises ModelError unless the file has exactly the tensors of the model, finite."""
    model, differences = _load(folder, auto_class, config)
    if problems := [*differences.problems(), *_not_finite(model)]:
        raise ModelError(
            f"{folder}: the weights do not fit {type(model).__name__} with this config.json: {'; '.join(problems)}. "
            "Its predictions would be wrong. Restore the folder from a copy, or repeat the run"
        )
    return model


def check_tensors(folder: Path, model: Any, saved: Iterable[str], expected: Iterable[str]) -> None:
    """Raise ModelError if an adapter's file does not have exactly the expected tensors, or if one of them is not finite."""
    saved, expected = set(saved), set(expected)
    differences = _Differences(expected - saved, saved - expected)
    if problems := [*differences.problems(), *_not_finite(model)]:
        raise ModelError(
            f"{folder}: the weights of the adapter do not fit its base model and adapter_config.json: {'; '.join(problems)}. "
            "Its predictions would be wrong. Restore the folder from a copy, or repeat the run"
        )


def _load(folder: Path, class_name: str, config: Any) -> tuple[Any, _Differences]:
    """Return the model and the differences between its tensors and the tensors of the file. Raises ModelError."""
    model_class = getattr(transformers, class_name)
    if (folder / ADAPTER_CONFIG).is_file():
        raise ModelError(
            f"{folder}: {ADAPTER_CONFIG} beside the weights of a complete model; transformers would also load the adapter. "
            "Move one of them to a folder of its own"
        )
    with checked_folder(folder, "the weights"):
        check_memory(str(folder), lambda: build(class_name, config))
        model, info = model_class.from_pretrained(
            folder,
            config=config,
            key_mapping={**(renamed_weights(model_class, config) or {}), **renamed_head(folder)} or None,
            dtype=torch.float32,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            trust_remote_code=False,
            weights_only=True,
        )
    mismatched = {key: (saved, shape) for key, saved, shape in info["mismatched_keys"]}
    missing = set(info["missing_keys"]) - set(apply_pooling(model))
    return model, _Differences(missing, set(info["unexpected_keys"]), mismatched)


def build(class_name: str, config: Any) -> Any:
    """Return a model in float32 with random weights, made from its config alone."""
    if class_name == PAIR:
        return transformers.EncoderDecoderModel(config=config)
    return getattr(transformers, class_name).from_config(config, trust_remote_code=False, dtype=torch.float32)


def _check_body(folder: Path, model: Any, differences: _Differences) -> set[str]:
    """Return the tensors of the head that are new. Raises ModelError if the body does not fit."""
    in_body = _body_test(model)
    blocks = {block for name in model.state_dict() if (block := block_of(name)) is not None}
    body = _Differences(
        {key for key in differences.missing if in_body(key) and not _NEW_IN_BODY.search(key)},
        # a head that the model does not have is normal; a block that it does not have is an error
        {key for key in differences.unexpected if _is_further_block(key, model.base_model_prefix, blocks)},
        {key: shapes for key, shapes in differences.mismatched.items() if in_body(key)},
    )
    if problems := [*body.problems(), *_not_finite(model)]:
        raise ModelError(
            f"{folder}: the weights do not fit {model.config.model_type} with this config.json: {'; '.join(problems)}. "
            "Download the checkpoint again, or correct config.json"
        )
    return differences.missing | differences.mismatched.keys()


def _body_test(model: Any) -> Any:
    """Return a function that says whether a tensor belongs to the body of the model."""
    prefix = model.base_model_prefix
    if prefix and hasattr(model, prefix):
        return lambda key: key.startswith(f"{prefix}.")
    base_class = AutoModel._model_mapping.get(type(model.config), type(model))
    with torch.device("meta"):  # T5 has no module for the body: its parts are beside the head
        parts = {name for name, _ in base_class(model.config).named_children()}
    return lambda key: key.partition(".")[0] in parts


def _is_further_block(key: str, prefix: str, blocks: set[tuple[str, int]]) -> bool:
    """Return whether a tensor is in a block after the last one of a stack; `prefix` may be missing in either name."""
    block = block_of(key)
    if block is None:
        return False
    stack, number = block
    stacks = {stack, f"{prefix}.{stack}", stack.removeprefix(f"{prefix}.")} & {stack for stack, _ in blocks}
    return any((stack, number) not in blocks for stack in stacks)


def _check_carried(folder: Path, model: Any, new_tensors: Sequence[str], carried: Sequence[str]) -> None:
    """Raise ModelError for a new tensor with random values that the adapter does not carry."""
    tensors = model.state_dict()
    lost = [
        key
        for key in new_tensors
        if not any(key == name or key.startswith(f"{name}.") or f".{name}." in key for name in carried)
        and has_random_values(tensors[key])
    ]
    if lost:
        raise ModelError(
            f"{folder}: the base model lacks weights that the adapter needs: {_describe('missing', lost)}. Use the base model "
            "that the adapter was trained with"
        )


def has_random_values(tensor: torch.Tensor) -> bool:
    """Return whether the values differ. New biases and normalizations have one value, the same in training and prediction."""
    return bool((tensor != tensor.flatten()[0]).any())


def _not_finite(model: Any) -> list[str]:
    """Return a phrase on parameters with NaN or infinite values and buffers with NaN; empty if there is none.

    Buffers may be infinite on purpose, such as the bias of Marian that excludes the pad token.
    """
    names = [name for name, tensor in model.named_parameters() if not bool(torch.isfinite(tensor).all())]
    names += [
        name for name, tensor in model.named_buffers() if tensor.is_floating_point() and bool(tensor.isnan().any())
    ]
    return [_describe("not finite (NaN or infinite)", names)] if names else []


def _describe(kind: str, names: Sequence[str]) -> str:
    """Return a phrase such as "2 tensors are missing (a.weight, a.bias)"."""
    count = "1 tensor is" if len(names) == 1 else f"{len(names)} tensors are"
    return f"{count} {kind} ({one_of(names, limit=_MAX_NAMES)})"
