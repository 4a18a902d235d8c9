"""Pool the hidden states of the tokens to one vector per text, with the pooling for which a checkpoint was trained.

    first   the first token: BERT's [CLS]
    mean    the mean of all tokens
    max     the largest value of each feature
    last    the last token

Padding does not count, on either side.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from ft_toolkit.core.errors import ModelError
from ft_toolkit.models.config_files import POOLING_KEY
from ft_toolkit.recipe.sections import Pooling
from ft_toolkit.tasks.base import Kind

# The list of modules of sentence-transformers, and the file in the folder of a module.
_MODULES, _MODULE_CONFIG = "modules.json", "config.json"
# The end of the name of a transformers class with a classification head.
_CLASSIFIER = "ForSequenceClassification"
# Poolings of sentence-transformers: the flags in config.json up to version 5, and later the values of `pooling_mode`.
_FLAGS: Mapping[str, Pooling] = {
    "pooling_mode_cls_token": "first",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_lasttoken": "last",
}
_MODES: Mapping[str, Pooling] = {"cls": "first", "mean": "mean", "max": "max", "lasttoken": "last"}


@dataclass(frozen=True)
class CheckpointPooling:
    """The pooling for which a checkpoint was trained, and the file or key of the checkpoint that names it."""

    how: Pooling
    source: str


@dataclass(frozen=True)
class PoolingChoice:
    """The pooling of a model, None for the default of its family, and the reason."""

    how: Pooling | None
    reason: str


def pool(hidden: Tensor, mask: Tensor | None, how: Pooling) -> Tensor:
    """Return one vector per text, shape (texts, width), for hidden states (texts, tokens, width).

    `mask` (texts, tokens) is 0 for padding, which may be on either side; None for texts without padding. Sums are in float32.
    """
    if mask is None:
        mask = hidden.new_ones(hidden.shape[:2])
    is_token = mask.bool()
    if how in ("first", "last"):
        positions = torch.arange(mask.shape[1], device=mask.device)
        index = (is_token * (positions if how == "last" else positions.flip(0))).argmax(-1)
        return hidden[torch.arange(len(hidden), device=hidden.device), index.to(hidden.device)]
    if how == "max":
        return hidden.masked_fill(~is_token[..., None], torch.finfo(hidden.dtype).min).amax(1)
    sums = hidden.masked_fill(~is_token[..., None], 0).sum(1, dtype=torch.float32)
    return (sums / is_token.sum(1, keepdim=True).clamp(min=1)).to(hidden.dtype)


def find_pooling(folder: Path, config: Any) -> CheckpointPooling | None:
    """Return the pooling that a checkpoint names; None if it names none, or one that is not supported.

    Sources, in this order: config.json of a model that ft_toolkit saved, the files of sentence-transformers, and
    `classifier_pooling` in ModernBERT's config. Raises ModelError for a file that is not valid JSON.
    """
    saved: Pooling | None = getattr(config, POOLING_KEY, None)
    if saved is not None and saved in get_args(Pooling):
        return CheckpointPooling(saved, f"{POOLING_KEY} in config.json")
    if (path := _sentence_transformers_file(folder)) is not None:
        how = _sentence_transformers_pooling(_read_json(path))
        return None if how is None else CheckpointPooling(how, path.relative_to(folder).as_posix())
    how = _MODES.get(getattr(config, "classifier_pooling", None) or "")
    return None if how is None else CheckpointPooling(how, "classifier_pooling in config.json")


def _sentence_transformers_file(folder: Path) -> Path | None:
    """Return the config.json of the pooling module; None without one."""
    modules = folder / _MODULES
    if not modules.is_file():
        return None
    for module in _read_json(modules):
        if isinstance(module, dict) and str(module.get("type", "")).endswith("Pooling"):
            path = folder / str(module.get("path", "")) / _MODULE_CONFIG
            return path if path.is_file() else None
    return None


def _sentence_transformers_pooling(values: Any) -> Pooling | None:
    """Return the pooling in the config of the module; None for a concatenation of several, or an unknown one."""
    if not isinstance(values, dict):
        return None
    if isinstance(mode := values.get("pooling_mode"), str):
        return _MODES.get(mode)
    chosen = [name for name, is_set in values.items() if name.startswith("pooling_mode_") and is_set is True]
    return _FLAGS.get(chosen[0]) if len(chosen) == 1 else None


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path}: the file cannot be read: {error}; download the checkpoint again") from None


def choose_pooling(setting: Pooling | Literal["auto"] | None, folder: Path, config: Any, kind: Kind) -> PoolingChoice:
    """Return the pooling of a classification model, and the reason for it.

    `auto` takes the pooling that the checkpoint names, unless the checkpoint is an encoder-decoder or has a head that was
    trained with the default of its family. Raises ModelError for a setting that the kind of model does not support.
    """
    family = f"the default of {config.model_type}"
    if setting != "auto":
        if setting is not None:
            _check_kind(setting, config, kind)
        return PoolingChoice(
            setting, "set by model.pooling" if setting is not None else f"{family}, set by model.pooling"
        )
    checkpoint = find_pooling(folder, config)
    if checkpoint is None:
        return PoolingChoice(None, f"{family}; the checkpoint names no other")
    if kind == "encoder-decoder" or (kind == "decoder" and checkpoint.how == "first"):
        return PoolingChoice(
            None, f"{family}; {checkpoint.how}, which {checkpoint.source} names, is not supported for it"
        )
    if POOLING_KEY not in checkpoint.source and any(
        str(name).endswith(_CLASSIFIER) for name in config.architectures or ()
    ):
        return PoolingChoice(None, f"{family}, with which the head of the checkpoint was trained")
    return PoolingChoice(checkpoint.how, f"named by {checkpoint.source} of the checkpoint")


def _check_kind(how: Pooling, config: Any, kind: Kind) -> None:
    """Raise ModelError for a pooling that the kind of model does not support."""
    if kind == "encoder-decoder":
        raise ModelError(
            f"model.pooling={how} is not supported for {config.model_type}, which is an encoder-decoder: its classifier reads "
            "the end token of the decoder. Set model.pooling=null"
        )
    if kind == "decoder" and how == "first":
        raise ModelError(
            f"model.pooling=first is not supported for {config.model_type}, which is a decoder: its first token does not "
            "see the others. Set model.pooling to mean, max or last"
        )
