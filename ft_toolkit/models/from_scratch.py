"""Create a model from scratch: the recipe's config, and a tokenizer from a model or trained on the training rows."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PretrainedConfig, PreTrainedTokenizerFast
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from ft_toolkit.core.errors import ModelError, did_you_mean, one_of
from ft_toolkit.core.files import atomic_folder, write_json
from ft_toolkit.models.folder_check import read_settings
from ft_toolkit.models.model_size import check_numbers
from ft_toolkit.models.pretrained import Checkpoint, find_tokenizer_folder, kind_of, load_tokenizer
from ft_toolkit.models.save_tokenizer import save_tokenizer
from ft_toolkit.recipe.sections import ModelSection, NewTokenizer
from ft_toolkit.tasks.base import Kind, Rows, Task, input_texts
from ft_toolkit.tasks.text.positions import input_positions

# The file with the settings and texts of a folder: a resumed run reuses the folder only if they are the same.
ORIGIN = "made_from.json"
# Config values that come from the tokenizer, and values that describe the config.json file itself.
_TOKENIZER_VALUES = ("vocab_size", "decoder_vocab_size")
_FILE_VALUES = ("_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version", "auto_map")


def make_model_from_scratch(section: ModelSection, task: Task, rows: Rows, folder: Path) -> Checkpoint:
    """Write config.json and the tokenizer of a new model to `folder`, unless it already holds them; return its checkpoint.

    The weights are initialized when the model is loaded, from training.seed. Raises ModelError for an unknown model type, a
    key that its config does not have, or an invalid value.
    """
    values = _read_values(section.config)
    check_numbers("model.config", values)
    kind = kind_of(_config_class(values)())
    texts = _texts(rows, task, kind) if isinstance(section.tokenizer, NewTokenizer) else []
    digest = hashlib.sha256("\n".join(texts).encode()).hexdigest()
    origin = {"model": section.model_dump(mode="json"), "texts": digest}
    checkpoint = Checkpoint(section.title, folder, None, None)
    if (folder / ORIGIN).is_file() and json.loads((folder / ORIGIN).read_text(encoding="utf-8")) == origin:
        return checkpoint
    tokenizer = (
        train_tokenizer(texts, kind, section.tokenizer.vocab_size)
        if isinstance(section.tokenizer, NewTokenizer)
        else load_tokenizer(find_tokenizer_folder(section.tokenizer or ""))
    )
    config = make_config(values, tokenizer)
    if isinstance(section.tokenizer, NewTokenizer) and (limit := input_positions(config)) is not None:
        tokenizer.model_max_length = limit
    with atomic_folder(folder) as fresh:
        config.save_pretrained(fresh)
        save_tokenizer(tokenizer, fresh)
        write_json(fresh / ORIGIN, origin)
    return checkpoint


def make_config(values: Mapping[str, Any], tokenizer: Any) -> Any:
    """Return the transformers config with `values`, the vocabulary size and the ids of the special tokens."""
    config_class = _config_class(values)
    default = config_class()
    _check_keys(values, default)
    ids = {
        f"{name}_token_id": getattr(tokenizer, f"{name}_token_id", None)
        for name in ("pad", "bos", "eos", "cls", "sep", "mask")
    }
    token_ids = {
        name: value for name, value in ids.items() if value is not None and (hasattr(default, name) or "cls" in name)
    }
    if default.is_encoder_decoder:
        # BART starts the decoder with the end token, T5 and Marian with the pad token
        starts_with_end = getattr(default, "decoder_start_token_id", None) == default.eos_token_id
        token_ids["decoder_start_token_id"] = ids["eos_token_id"] if starts_with_end else ids["pad_token_id"]
        if hasattr(default, "forced_eos_token_id"):
            token_ids["forced_eos_token_id"] = ids["eos_token_id"]
        if hasattr(default, "decoder_vocab_size"):
            token_ids["decoder_vocab_size"] = len(tokenizer)
    try:
        return config_class(
            **{name: value for name, value in values.items() if name != "model_type"},
            vocab_size=len(tokenizer),
            **token_ids,
        )
    except (StrictDataclassError, ValueError, TypeError) as error:
        reason = " ".join(line.strip() for line in str(error).splitlines() if line.strip())
        raise ModelError(f"model.config: {reason}") from None


def train_tokenizer(texts: Iterable[str], kind: Kind, vocab_size: int) -> Any:
    """Return a byte-level BPE tokenizer (Radford et al. 2019) trained on texts. It has no unknown tokens.

    Special tokens: encoders use <s> text </s> and <mask>, encoder-decoders text </s>. Decoders have <|endoftext|>, which is
    not added automatically. Every kind has a <pad> token.
    """
    special = {
        "encoder": ["<pad>", "<s>", "</s>", "<unk>", "<mask>"],
        "encoder-decoder": ["<pad>", "<s>", "</s>", "<unk>"],
        "decoder": ["<|endoftext|>", "<pad>"],
    }[kind]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        special_tokens=special,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    names: dict[str, str] = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    if kind == "decoder":
        end = "<|endoftext|>"
        names = {"pad_token": "<pad>", "bos_token": end, "eos_token": end, "unk_token": end}
    else:
        opening = "<s> " if kind == "encoder" else ""
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{opening}$A </s>",
            pair=f"{opening}$A </s> $B </s>",
            special_tokens=[(token, tokenizer.token_to_id(token)) for token in ("<s>", "</s>")],
        )
    if kind == "encoder":
        names |= {"cls_token": "<s>", "sep_token": "</s>", "mask_token": "<mask>"}
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_input_names=["input_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
        **names,
    )


def _texts(rows: Rows, task: Task, kind: Kind) -> list[str]:
    """Return the training texts of the tokenizer: the input texts and, for an encoder-decoder, the answers."""
    answers = [name for name, column in task.columns.items() if column.is_answer and kind == "encoder-decoder"]
    texts: list[str] = []
    for row in rows:
        texts += [*input_texts(row, task), *(row[name] for name in answers if isinstance(row.get(name), str))]
    return texts


def _read_values(config: Mapping[str, Any] | str | None) -> dict[str, Any]:
    """Return the values of `model.config`, given in the recipe or as the path of a config.json."""
    if not isinstance(config, str):
        return dict(config or {})
    path = Path(config) / "config.json" if Path(config).is_dir() else Path(config)
    if not path.is_file():
        raise ModelError(f"model.config: {path} not found; give the path of a config.json, or a mapping")
    values = read_settings(path)
    dropped = (*_TOKENIZER_VALUES, *_FILE_VALUES)
    return {name: value for name, value in values.items() if name not in dropped and not name.endswith("_token_id")}


def _config_class(values: Mapping[str, Any]) -> Any:
    model_type = values.get("model_type")
    model_types: Sequence[str] = sorted(CONFIG_MAPPING.keys())
    if model_type is None:
        raise ModelError("model.config: model_type is required, such as gpt2, llama, bert, roberta, bart, marian or t5")
    if model_type not in model_types:
        raise ModelError(
            f"model.config.model_type: transformers has no model type {model_type!r}; use one such as gpt2, llama, bert, "
            f"roberta, bart, marian or t5.{did_you_mean(str(model_type), model_types)}"
        )
    return CONFIG_MAPPING[model_type]


def _check_keys(values: Mapping[str, Any], default: Any) -> None:
    allowed = default.to_dict().keys() | default.attribute_map.keys()
    for name in values:
        if name in _TOKENIZER_VALUES or name.endswith("_token_id"):
            raise ModelError(f"model.config.{name}: the tokenizer sets this value; remove it")
        if name not in allowed:
            shown = one_of(sorted(allowed - PretrainedConfig().to_dict().keys() - set(_TOKENIZER_VALUES)))
            raise ModelError(
                f"model.config.{name}: not found in the config of {default.model_type}; allowed: {shown}."
                f"{did_you_mean(name, allowed)}"
            )
