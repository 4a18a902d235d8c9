"""Suggestions for unknown keys: other names of a setting, keys in the wrong section, and spelling mistakes."""

from collections.abc import Iterable, Mapping

from ft_toolkit.core.errors import did_you_mean, nearest, one_of
from ft_toolkit.core.yaml12 import KeyPath
from ft_toolkit.recipe.methods import METHODS
from ft_toolkit.recipe.sections import SECTIONS
from ft_toolkit.tasks.base import Task

# Setting -> its names in transformers, its example scripts, peft, and other common tools and papers.
ALIASES: dict[str, tuple[str, ...]] = {
    "task.name": ("task_name", "task_type"),
    "task.labels": ("label_names", "label_list", "num_labels", "num_classes", "classes", "class_names", "id2label"),
    "model.name": (
        "model_name_or_path", "model_name", "pretrained_model_name_or_path", "model_path", "model_id", "base_model",
        "pretrained_model", "checkpoint",
    ),
    "model.config": ("config_name", "model_type", "architecture"),
    "model.tokenizer": ("tokenizer_name", "tokenizer_name_or_path"),
    "model.revision": ("model_revision",),
    "model.dropout": ("hidden_dropout", "hidden_dropout_prob", "dropout_prob", "dropout_rate"),
    "data.card": ("datasets", "data_card"),
    "data.hub": ("dataset", "dataset_name", "dataset_id", "hub_dataset", "hub_data"),
    "data.hub_config": ("dataset_config", "dataset_config_name", "dataset_subset"),
    "data.train": ("train_file", "training_file", "train_data", "training_data", "train_path", "train_dataset", "data_path"),
    "data.validation": (
        "validation_file", "validation_data", "valid", "val", "dev", "valid_file", "val_file", "dev_file", "eval_file",
        "eval_data", "eval_dataset", "val_data", "dev_data",
    ),
    "data.test": ("test_file", "test_data", "test_path", "test_dataset"),
    "data.validation_fraction": (
        "validation_split", "val_split", "val_size", "validation_size", "val_fraction", "dev_fraction", "eval_split",
        "validation_split_percentage", "validation_ratio",
    ),
    "data.test_fraction": ("test_split", "test_size", "test_ratio"),
    "data.train_fraction": ("max_train_samples", "train_size", "train_samples", "subset"),
    "data.group": ("group_column", "group_by", "group_id", "cluster", "document_column"),
    "data.columns.text": ("text_column", "text_column_name", "text_field", "dataset_text_field"),
    "data.columns.label": ("label_column", "label_column_name", "label_field", "target_column"),
    "data.max_length": (
        "max_seq_length", "max_seq_len", "max_len", "seq_length", "seq_len", "sequence_length", "sequence_len",
        "model_max_length", "max_source_length", "max_input_length", "block_size", "cutoff_len",
    ),
    "method.name": ("peft", "peft_method", "peft_type", "adapter", "finetuning_type", "use_lora", "use_peft"),
    "method.r": ("lora_r", "lora_rank", "rank"),
    "method.alpha": ("lora_alpha",),
    "method.dropout": ("lora_dropout",),
    "method.target_modules": ("lora_target_modules", "lora_target", "target_module"),
    "method.frozen_layers": ("freeze", "freeze_layers", "num_frozen_layers", "freeze_trainable_layers"),
    "training.seed": ("random_seed", "random_state", "manual_seed"),
    "training.num_train_epochs": ("epochs", "epoch", "num_epochs", "n_epochs", "train_epochs", "max_epochs", "nb_epochs"),
    "training.max_steps": ("steps", "num_steps", "max_train_steps", "num_train_steps", "train_steps", "total_steps"),
    "training.tokens_per_batch": ("max_tokens", "batch_tokens", "tokens_per_step"),
    "training.examples_per_batch": (
        "batch_size", "per_device_train_batch_size", "train_batch_size", "per_device_batch_size", "micro_batch_size",
        "per_gpu_train_batch_size", "bs",
    ),
    "training.gradient_accumulation_steps": (
        "gradient_accumulation", "grad_accum", "grad_accum_steps", "accumulation_steps", "accumulate_grad_batches",
    ),
    "training.learning_rate": ("lr", "peak_lr", "max_lr", "base_lr", "initial_lr", "rate", "learning_rates"),
    "training.layerwise_lr_decay": ("llrd", "layer_decay", "layerwise_learning_rate_decay", "lr_decay"),
    "training.head_learning_rate": ("head_lr", "classifier_lr", "classifier_learning_rate"),
    "training.weight_decay": ("wd", "decay", "l2"),
    "training.max_grad_norm": ("grad_clip", "gradient_clip_val", "clip_grad_norm", "clip_grad", "gradient_clipping"),
    "training.warmup_ratio": ("warmup", "warmup_steps", "num_warmup_steps", "warmup_proportion", "warmup_fraction"),
    "training.lr_scheduler_type": ("lr_scheduler", "scheduler", "scheduler_type", "schedule", "lr_schedule"),
    "training.mixed_precision": ("bf16", "fp16", "precision", "dtype", "torch_dtype", "amp", "half_precision"),
    "training.logging_steps": ("log_steps", "log_every", "logging_interval", "log_interval"),
    "training.save_steps": ("save_every", "checkpoint_steps", "checkpoint_every"),
    "evaluation.metric_for_best_model": ("metric", "metrics", "metric_name", "main_metric", "early_stopping_metric", "monitor"),
    "evaluation.eval_steps": ("eval_every", "evaluation_steps", "eval_interval", "val_check_interval", "evaluate_every"),
    "evaluation.early_stopping_patience": ("patience", "early_stopping"),
    "evaluation.bootstrap_samples": ("n_bootstrap", "bootstrap", "resamples"),
    "evaluation.baselines": ("baseline",),
    "tracking.trackers": ("report_to", "logger", "loggers", "tracker", "log_with"),
    "tracking.project": ("project_name", "wandb_project"),
    "hub.push": ("push_to_hub",),
    "hub.repo": ("hub_model_id", "repo_id", "hub_repo", "hub_repo_id"),
    "hub.private": ("hub_private_repo",),
    "hub.license": ("licence",),
}  # fmt: skip
# Added to the suggestion where the value has another unit or form than under the alias.
NOTES: dict[str, str] = {
    "data.train_fraction": "a share of the rows, such as 0.1",
    "data.validation_fraction": "a share of the training rows, such as 0.1",
    "data.test_fraction": "a share of the training rows, such as 0.1",
    "method.name": "full, lora, dora, ia3 or freeze",
    "task.labels": "a list of label names",
    "training.examples_per_batch": "examples per device and micro-batch",
    "training.mixed_precision": "auto, no or bf16",
    "training.warmup_ratio": "a share of the steps, such as 0.06",
    "evaluation.early_stopping_patience": "a number of evaluations",
    "tracking.trackers": "a list",
}
# Names that other tools use for command-line options of this one.
OPTIONS: dict[str, tuple[str, ...]] = {
    "--output FOLDER": ("output", "output_dir", "out_dir", "output_folder", "output_path", "save_dir", "run_dir"),
    "--resume": ("resume", "resume_from_checkpoint", "resume_from"),
    "--processes N": ("processes", "num_processes", "nproc_per_node", "num_gpus", "n_gpu", "gpus"),
    "--dry-run": ("dry_run",),
    "--smoke": ("smoke", "smoke_test"),
}
# Settings of other tools that ft_toolkit does not support on purpose, and the reason.
_NOT_SUPPORTED = {
    "trust_remote_code": "not supported: ft_toolkit runs no code that is part of a model, not even of a pinned commit, because "
    "predict, evaluate, export and push would have to run the copy in the model folder. Remove it, and use a model of an "
    "architecture that transformers contains",
}
_SETTING_OF = {alias: setting for setting, names in ALIASES.items() for alias in names}
_OPTION_OF = {alias: option for option, names in OPTIONS.items() for alias in names}


def setting_names(tasks: Iterable[Task]) -> dict[str, list[str]]:
    """Return the keys of every section; `task` has the keys of these tasks, `method` the keys of all methods."""
    return {
        "task": _unique(key for task in tasks for key in task.settings.model_fields),
        "method": _unique(key for kind in METHODS.values() for key in kind.model_fields),
        **{section: list(kind.model_fields) for section, kind in SECTIONS.items()},
    }


def settings_named(name: str, keys: Mapping[str, list[str]]) -> list[str]:
    """Return the settings (`section.key`) that a name refers to: by alias, else those with this key.

    `keys` comes from `setting_names`. The key `name` exists in several sections, so it refers to none.
    """
    plain = _plain(name)
    if plain in _SETTING_OF:
        return [_SETTING_OF[plain]]
    return [f"{section}.{key}" for section, names in keys.items() for key in names if key == plain != "name"]


def settings_like(name: str, keys: Mapping[str, list[str]]) -> list[str]:
    """Return the setting (`section.key`) with the most similar key, in a list; an empty list if none is similar."""
    setting_of_key = {key: f"{section}.{key}" for section, names in keys.items() for key in names if key != "name"}
    near = nearest(_plain(name), setting_of_key)
    return [] if near is None else [setting_of_key[near]]


def option_for(name: str) -> str | None:
    """Return the command-line option that corresponds to a key of another tool (`output_dir`: --output FOLDER), or None."""
    return _OPTION_OF.get(_plain(name))


def with_note(setting: str) -> str:
    """Return a setting, followed by a note in parentheses if its values differ from those under its other names."""
    return f"{setting} ({NOTES[setting]})" if setting in NOTES else setting


def unknown_key(path: KeyPath, allowed: list[str], keys: Mapping[str, list[str]]) -> str:
    """Return the message for a key that its section, or the recipe, does not have.

    `allowed` are the keys at this place, `keys` those of every section (see `setting_names`).
    """
    key = path[-1]
    if option := option_for(key):
        return f"not a setting; use the command-line option {option}"
    if (reason := _NOT_SUPPORTED.get(_plain(key))) is not None:
        return reason
    if path[0] == "method" and key in keys["method"]:
        owners = " and ".join(name for name, kind in METHODS.items() if key in kind.model_fields)
        return f"unknown key for this method; '{key}' is a setting of {owners}. Write method=NAME to replace the whole section"
    hint = did_you_mean(key, allowed)
    settings = [setting for setting in settings_named(key, keys) if setting != ".".join(path)]
    if not settings and len(path) == 1 and not hint:
        settings = settings_like(key, keys)
    if settings:
        return f"unknown key; use {' or '.join(map(with_note, settings))}"
    return f"unknown key; allowed: {one_of(allowed)}.{hint}"


def _plain(name: str) -> str:
    """Return a name as a key is written: without leading dashes, in lower case, with underscores."""
    return name.strip("-").replace("-", "_").lower()


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
