"""Suggestions for unknown keys: aliases of other tools, keys in the wrong section, command-line options, spelling."""

from itertools import chain

import pytest

from ft_toolkit.recipe.suggestions import (
    ALIASES,
    NOTES,
    OPTIONS,
    setting_names,
    settings_like,
    settings_named,
    unknown_key,
)
from ft_toolkit.tasks import find_tasks

TASKS = find_tasks()
KEYS = setting_names([TASKS["text_classification"]])


def test_every_alias_names_an_existing_setting():
    keys = setting_names(TASKS.values())
    for setting in {*ALIASES, *NOTES}:
        section, key, *below = setting.split(".")
        assert key in keys[section], setting
        assert not below or below[0] in TASKS["text_classification"].columns, setting


def test_no_alias_has_two_meanings():
    names = list(chain(*ALIASES.values(), *OPTIONS.values()))
    assert len(names) == len(set(names))
    for setting, aliases in ALIASES.items():
        assert setting.split(".")[1] not in aliases


def test_no_alias_hides_a_key():
    """`metric` is a key of `reference`; at the top level it means the metric of the evaluation."""
    keys = set(chain(*setting_names(TASKS.values()).values()))
    assert keys & set(chain(*ALIASES.values(), *OPTIONS.values())) == {"metric"}


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("lr", "unknown key; use training.learning_rate"),
        ("learning_rate", "unknown key; use training.learning_rate"),
        ("learning-rate", "unknown key; use training.learning_rate"),
        ("epochs", "unknown key; use training.num_train_epochs"),
        ("num_epochs", "unknown key; use training.num_train_epochs"),
        ("batch_size", "unknown key; use training.examples_per_batch (examples per device and micro-batch)"),
        (
            "per_device_train_batch_size",
            "unknown key; use training.examples_per_batch (examples per device and micro-batch)",
        ),
        ("max_seq_length", "unknown key; use data.max_length"),
        ("model_name_or_path", "unknown key; use model.name"),
        ("train_file", "unknown key; use data.train"),
        ("seed", "unknown key; use training.seed"),
        ("warmup_steps", "unknown key; use training.warmup_ratio (a share of the steps, such as 0.06)"),
        ("fp16", "unknown key; use training.mixed_precision (auto, no or bf16)"),
        ("metric", "unknown key; use evaluation.metric_for_best_model"),
        ("dropout", "unknown key; use method.dropout or model.dropout"),
        ("text_column", "unknown key; use data.columns.text"),
        ("lerning_rate", "unknown key; use training.learning_rate"),
        ("output_dir", "not a setting; use the command-line option --output FOLDER"),
        ("resume_from_checkpoint", "not a setting; use the command-line option --resume"),
        ("modle", "unknown key; allowed: task, model, data. Did you mean 'model'?"),
        ("zzz", "unknown key; allowed: task, model, data."),
    ],
)
def test_a_top_level_key(key, expected):
    assert unknown_key((key,), ["task", "model", "data"], KEYS) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (("training", "lr"), "unknown key; use training.learning_rate"),
        (("training", "metric"), "unknown key; use evaluation.metric_for_best_model"),
        (("data", "learning_rate"), "unknown key; use training.learning_rate"),
        (("data", "dataset"), "unknown key; use data.hub"),
        (("training", "output_dir"), "not a setting; use the command-line option --output FOLDER"),
        (("training", "sed"), "unknown key; allowed: seed, seeds. Did you mean 'seed'?"),
        (
            ("model", "trust_remote_code"),
            "not supported: ft_toolkit runs no code that is part of a model, not even of a pinned commit, because predict, "
            "evaluate, export and push would have to run the copy in the model folder. Remove it, and use a model of an "
            "architecture that transformers contains",
        ),
        (("training", "name"), "unknown key; allowed: seed, seeds."),
        (
            ("method", "r"),
            "unknown key for this method; 'r' is a setting of lora and dora. Write method=NAME to replace the whole section",
        ),
    ],
)
def test_a_key_of_a_section(path, expected):
    assert unknown_key(path, ["seed", "seeds"], KEYS) == expected


def test_a_setting_is_found_by_an_option_of_another_tool():
    assert settings_named("--learning_rate", KEYS) == ["training.learning_rate"]
    assert settings_named("--lr", KEYS) == ["training.learning_rate"]
    assert settings_named("--num-train-epochs", KEYS) == ["training.num_train_epochs"]
    assert settings_named("--lerning_rate", KEYS) == []
    assert settings_like("--lerning_rate", KEYS) == ["training.learning_rate"]
    assert settings_like("--zzz", KEYS) == []
