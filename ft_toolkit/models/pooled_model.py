"""Make a classification model of transformers read a pooled vector of each text (see pooling.py).

The class stays the same; a hook on the base model changes the input of its head:

    BERT, ALBERT          the pooled vector replaces the output of the pooler, which is removed
    RoBERTa, GPT-2, ...   the pooled vector replaces the hidden state of every token, so the head reads it at any position
    ModernBERT            has a setting for first and mean in its config: no hook

A model with a hook has its pooling in config.json (`POOLING_KEY`), and its head has other names in the saved file, such as
pooled_mean.classifier.weight. transformers alone would give the head another vector; it therefore reports that the weights of
the head are missing. The model card shows the code that loads them.
"""

import inspect
import re
from pathlib import Path
from typing import Any, get_args

import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ft_toolkit.core.errors import ModelError
from ft_toolkit.models.config_files import POOLING_KEY, saved_pooling
from ft_toolkit.models.pooling import pool
from ft_toolkit.recipe.sections import Pooling
from ft_toolkit.tasks.base import Kind

# ModernBERT's names of the two poolings that it supports.
_CLASSIFIER_POOLING: dict[Pooling, str] = {"first": "cls", "mean": "mean"}
_PEFT_PREFIX = "base_model.model."
# Two computations of the same logits may differ by this share, because some processors compute the products of 2 and 3 tokens
# in another order.
_ROUNDING = 0.01


def pooling_of(config: Any) -> Pooling | None:
    """Return the pooling that a hook computes for a model with this config; None without a hook."""
    how: Pooling | None = getattr(config, POOLING_KEY, None)
    return how if how in get_args(Pooling) else None


def has_other_pooling(saved: Any, config: Any) -> bool:
    """Return whether the pooling of a head's checkpoint, whose config is `saved`, differs from the pooling in `config`."""
    names = (POOLING_KEY, "classifier_pooling")
    return any(getattr(saved, name, None) != getattr(config, name, None) for name in names)


def set_pooling(config: Any, how: Pooling | None, kind: Kind, auto_class: str) -> None:
    """Write the pooling of a run into the config of its model. None, and the default of a family, need no hook."""
    if hasattr(config, POOLING_KEY):
        delattr(config, POOLING_KEY)
    if how is None:
        return
    if hasattr(config, "classifier_pooling"):
        config.classifier_pooling = _CLASSIFIER_POOLING.get(how, "cls")
        is_default = how in _CLASSIFIER_POOLING
    elif kind == "decoder":
        is_default = how == "last"
    else:
        is_default = how == "first" and not _has_pooler(config, auto_class)
    if not is_default:
        setattr(config, POOLING_KEY, how)


def _has_pooler(config: Any, auto_class: str) -> bool:
    with torch.device("meta"):
        return _pooler(getattr(transformers, auto_class).from_config(config, trust_remote_code=False)) is not None


def _pooler(model: Any) -> nn.Module | None:
    pooler = getattr(model.base_model, "pooler", None)
    return pooler if isinstance(pooler, nn.Module) else None


def apply_pooling(model: Any) -> list[str]:
    """Make the head of a model read the pooled vector that its config names, and return the names of the removed weights.

    A model without a head stays the same.
    """
    how = pooling_of(model.config)
    if how is None or model.base_model is model:
        return []
    removed: list[str] = []
    if (pooler := _pooler(model)) is not None:
        removed = [name for name, _ in pooler.named_parameters(f"{model.base_model_prefix}.pooler")]
        model.base_model.pooler = nn.Identity()
    model.base_model.register_forward_hook(_PoolingHook(how, model.base_model), with_kwargs=True)
    return removed


class _PoolingHook:
    """A forward hook of a base model: it pools the hidden states for the head. `fixed` replaces the pooled vectors."""

    def __init__(self, how: Pooling, base_model: nn.Module) -> None:
        self._how = how
        self._position_of_mask = list(inspect.signature(base_model.forward).parameters).index("attention_mask")
        self.fixed: Tensor | None = None

    def __call__(self, base_model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        hidden = output.last_hidden_state
        mask = kwargs.get("attention_mask")
        if mask is None and len(args) > self._position_of_mask:
            mask = args[self._position_of_mask]
        if self._how == "first" and hidden.shape[1] == 1:  # the last block computed the first token only
            mask = None
        pooled = pool(hidden, mask, self._how) if self.fixed is None else self.fixed
        output.last_hidden_state = pooled[:, None].expand(-1, hidden.shape[1], -1)
        if getattr(output, "pooler_output", None) is not None:
            output.pooler_output = pooled
        return output


def check_pooling(model: Any) -> None:
    """Raise ModelError if the logits of a new model depend on anything but the pooled vector, or not on it."""
    how = pooling_of(model.config)
    if how is None:
        return
    hook = next(hook for hook in model.base_model._forward_hooks.values() if isinstance(hook, _PoolingHook))
    vectors = torch.linspace(-1, 1, 2 * model.config.hidden_size).view(2, 1, -1)
    was_training = model.training
    model.eval()

    def logits(ids: list[int], vector: Tensor) -> Tensor:
        hook.fixed = vector
        with torch.no_grad():
            result: Tensor = model(input_ids=torch.tensor([ids]), attention_mask=torch.ones(1, len(ids))).logits
        return result

    try:
        first, same, other = logits([5, 6, 7], vectors[0]), logits([6, 8], vectors[0]), logits([5, 6, 7], vectors[1])
        largest = (first - other).abs().max()
        is_supported = bool(largest > 0) and bool((first - same).abs().max() <= _ROUNDING * largest)
    except (TypeError, ValueError, RuntimeError, AttributeError, IndexError):  # another form of inputs or outputs
        is_supported = False
    finally:
        hook.fixed = None
        model.train(was_training)
    if not is_supported:
        raise ModelError(
            f"model.pooling={how} is not supported for {type(model).__name__}: its head does not read one vector of the last "
            "hidden states. Set model.pooling=null"
        )


def renamed_head(folder: Path) -> dict[str, str]:
    """Return {pattern: replacement} for the names of the head in the saved file of a model; empty without a hook."""
    how = saved_pooling(folder)
    return {} if how is None else {rf"^{_prefix(how)}": ""}


def _prefix(how: str) -> str:
    return f"pooled_{how}."


def save_pretrained(model: Any, folder: Path) -> None:
    """Write config.json and safetensors of a complete model."""
    how = pooling_of(model.config)
    if how is None:
        model.save_pretrained(folder)
        return
    tensors = {_name(name, model, how): tensor for name, tensor in model.state_dict().items()}
    # otherwise transformers would reverse the renaming with which it loaded the head
    model.save_pretrained(folder, state_dict=tensors, save_original_format=False)


def rename_adapter_head(path: Path, model: Any) -> None:
    """Rename the head in the weights of an adapter of `model`, which peft has written to `path`."""
    if (how := pooling_of(model.config)) is not None:
        tensors = {
            f"{_PEFT_PREFIX}{_name(name.removeprefix(_PEFT_PREFIX), model, how)}": tensor
            for name, tensor in load_file(path).items()
        }
        save_file(tensors, path, metadata={"format": "pt"})


def plain_head_name(name: str) -> str:
    """Return the name of a weight without the prefix of a renamed head."""
    return re.sub(r"(^|\.)pooled_(first|mean|max|last)\.", r"\1", name)


def _name(name: str, model: Any, how: str) -> str:
    return name if name.startswith(f"{model.base_model_prefix}.") else f"{_prefix(how)}{name}"
