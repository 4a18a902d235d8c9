"""A setting that is written as an option gets a message with the right form."""

import pytest
from typer.testing import CliRunner

from ft_toolkit.cli.app import app
from ft_toolkit.core.errors import UsageError


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--learning_rate", "1e-4"], "write the setting without dashes: training.learning_rate=1e-4"),
        (["--lr=1e-4"], "write the setting without dashes: training.learning_rate=1e-4"),
        (["-lr", "1e-4"], "write the setting without dashes: training.learning_rate=1e-4"),
        (["--per_device_train_batch_size", "8"], "training.examples_per_batch=8"),
        (["--num-train-epochs", "3"], "training.num_train_epochs=3"),
        (["--max_seq_length", "training.seed=1"], "data.max_length=VALUE"),
        (["--dropout", "0.1"], "method.dropout=0.1 or model.dropout=0.1"),
        (["--output_dir", "x"], "ftk run has no option --output_dir; use --output FOLDER"),
        (["--smok"], "ftk run has no option --smok. Did you mean --smoke?"),
        (["--lerning_rat=1"], "training.learning_rate=1"),
        (["--zzz"], "ftk run has no option --zzz; 'ftk run --help' lists the options"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_the_message_says_what_to_write(words: list[str], expected: str) -> None:
    refused = CliRunner().invoke(app, ["run", "demo", *words])
    assert isinstance(refused.exception, UsageError)
    assert expected in str(refused.exception)


def test_the_setting_may_come_before_the_recipe() -> None:
    refused = CliRunner().invoke(app, ["run", "--learning_rate", "1e-4", "demo"])
    assert "training.learning_rate=1e-4" in str(refused.exception)


@pytest.mark.parametrize("verb", ["run", "show", "scale", "reproduce"])
def test_every_verb_with_settings_explains_the_form(verb: str) -> None:
    refused = CliRunner().invoke(app, [verb, "demo", "--weight_decay", "0.1"])
    assert isinstance(refused.exception, UsageError)
    assert f"ftk {verb} has no option --weight_decay" in str(refused.exception)
    assert "training.weight_decay=0.1" in str(refused.exception)


def test_options_of_the_verb_and_values_pass() -> None:
    shown = CliRunner().invoke(app, ["show", "demo", "training.learning_rate=1e-4", "--help"])
    assert shown.exit_code == 0
    both = CliRunner().invoke(app, ["run", "-vq", "demo"])
    assert "--verbose and --quiet exclude each other" in str(both.exception)
