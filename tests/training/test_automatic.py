"""The values that a run chooses from its rows, its method and its model."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ft_toolkit.recipe.load_recipe import load_recipe
from ft_toolkit.recipe.sections import Recipe
from ft_toolkit.tasks import find_tasks
from ft_toolkit.training.automatic import (
    FEWEST_STEPS,
    MOST_EVALUATIONS,
    RunSize,
    choose_values,
    describe_choices,
    few_steps_warning,
)

AUTO = [
    "training.learning_rate=auto",
    "training.num_train_epochs=auto",
    "training.examples_per_batch=null",
    "training.warmup_ratio=auto",
    "evaluation.eval_steps=auto",
    "evaluation.early_stopping_patience=auto",
]
BASE = SimpleNamespace(model_type="bert", hidden_size=768)


@pytest.fixture
def recipe(write_recipe: Any) -> Any:
    def load(*settings: str) -> Recipe:
        return load_recipe(write_recipe(), [*AUTO, *settings], find_tasks()).recipe

    return load


def size(n_examples: int, config: Any = BASE, n_processes: int = 1, n_validation: int = 100) -> RunSize:
    """Return the size of a run whose rows all have 10 tokens."""

    def steps(tokens_per_batch: int | None, examples_per_batch: int | None) -> int:
        examples = tokens_per_batch // 10 if tokens_per_batch else examples_per_batch
        assert examples is not None
        return -(-n_examples // (examples * n_processes))

    return RunSize(n_examples, n_validation, steps, n_processes, config)


@pytest.mark.parametrize("n_examples", [2, 16, 300, 1000, 4999, 5000, 100_000])
def test_every_run_has_enough_steps(recipe: Any, n_examples: int) -> None:
    resolved, _ = choose_values(recipe(), size(n_examples))
    steps_per_epoch = size(n_examples).epoch_steps(None, resolved.training.examples_per_batch)
    steps = steps_per_epoch * resolved.training.num_train_epochs
    assert steps >= FEWEST_STEPS and resolved.training.num_train_epochs >= 3
    assert steps < FEWEST_STEPS + steps_per_epoch or resolved.training.num_train_epochs == 3
    evaluations = steps / (resolved.evaluation.eval_steps or steps_per_epoch)
    assert evaluations <= MOST_EVALUATIONS and resolved.evaluation.early_stopping_patience is None


def test_a_step_has_the_same_rows_for_any_number_of_processes(recipe: Any) -> None:
    for n_processes, accumulate in ((1, 1), (2, 1), (2, 2), (4, 1)):
        settings = f"training.gradient_accumulation_steps={accumulate}"
        resolved, _ = choose_values(recipe(settings), size(800, n_processes=n_processes))
        assert (resolved.training.examples_per_batch or 0) * n_processes * accumulate == 16
        assert resolved.training.num_train_epochs == 3


@pytest.mark.parametrize(
    ("config", "settings", "rate"),
    [
        ({"model_type": "bert", "hidden_size": 768}, [], 5e-5),
        ({"model_type": "bert", "hidden_size": 384}, [], 2e-4),
        ({"model_type": "bert", "hidden_size": 1024}, [], 2.8e-5),
        ({"model_type": "bert", "hidden_size": 32}, [], 5e-4),
        ({"model_type": "bert", "hidden_size": 768}, ["method=lora"], 5e-4),
        ({"model_type": "bert", "hidden_size": 384}, ["method=dora"], 2e-3),
        ({"model_type": "bert", "hidden_size": 384}, ["method=freeze"], 1e-3),
        ({"model_type": "bert", "hidden_size": 384}, ["method={name: freeze, frozen_layers: 2}"], 2e-4),
        ({"model_type": "mt5", "hidden_size": 512, "is_encoder_decoder": True}, [], 3e-4),
        ({"model_type": "bart", "hidden_size": 768, "is_encoder_decoder": True}, [], 3e-5),
    ],
)
def test_the_learning_rate_depends_on_method_family_and_width(
    recipe: Any, config: dict[str, Any], settings: list[str], rate: float
) -> None:
    assert choose_values(recipe(*settings), size(800, SimpleNamespace(**config)))[0].training.learning_rate == rate


def test_few_rows_get_a_lower_learning_rate(recipe: Any) -> None:
    rates = [choose_values(recipe(), size(n_examples))[0].training.learning_rate for n_examples in (99, 100)]
    assert rates == [1.3e-5, 5e-5]
    assert choose_values(recipe("method=lora"), size(99))[0].training.learning_rate == 5e-4


def test_values_of_the_user_stay_and_are_not_listed(recipe: Any) -> None:
    settings = ["training.learning_rate=3e-3", "training.tokens_per_batch=80", "training.mixed_precision=no"]
    resolved, choices = choose_values(recipe(*settings), size(800))
    assert (resolved.training.learning_rate, resolved.training.examples_per_batch) == (3e-3, None)
    assert {choice.setting for choice in choices} == {
        "training.num_train_epochs",
        "training.warmup_ratio",
        "evaluation.eval_steps",
        "evaluation.early_stopping_patience",
    }
    resolved, choices = choose_values(recipe("training.max_steps=7", "training.num_train_epochs=5"), size(800))
    assert (resolved.training.num_train_epochs, resolved.training.max_steps) == (5, 7)
    frequent, _ = choose_values(recipe("evaluation.eval_steps=5"), size(800))
    assert frequent.evaluation.early_stopping_patience == 15, "half of 150 / 5"


@pytest.mark.parametrize(("n_validation", "eval_steps"), [(3, 120), (15, 40), (49, 14), (50, 12), (2000, 12)])
def test_few_validation_rows_choose_between_few_checkpoints(recipe: Any, n_validation: int, eval_steps: int) -> None:
    resolved, choices = choose_values(recipe(), size(16, n_validation=n_validation))
    assert resolved.evaluation.eval_steps == eval_steps
    assert any("validation rows" in choice.reason for choice in choices) == (n_validation < 50)


def test_a_recipe_with_a_reference_gets_the_defaults_of_transformers(recipe: Any) -> None:
    published = "reference={metric: accuracy, value: 0.9, tolerance: 0.01, source: a paper}"
    resolved, choices = choose_values(recipe(published), size(800, SimpleNamespace(model_type="bert", hidden_size=384)))
    training = resolved.training
    assert (training.learning_rate, training.num_train_epochs, training.examples_per_batch) == (5e-5, 3, 8)
    assert training.warmup_ratio == 0 and resolved.evaluation.eval_steps is None
    assert "reference" in choices[-1].reason


def test_the_choices_are_printed_as_settings(recipe: Any) -> None:
    lines = describe_choices(choose_values(recipe("training.mixed_precision=no"), size(320))[1])
    assert lines[0].split("  ", 1)[0] == "training.examples_per_batch=16"
    assert any(line.startswith("training.num_train_epochs=6 ") and "120 steps" in line for line in lines)
    settings = [line.split()[0] for line in lines]
    assert choose_values(recipe(*settings, "training.mixed_precision=no"), size(320))[1] == []


def test_a_run_of_few_steps_warns() -> None:
    assert few_steps_warning(50, 1) is None
    warning = few_steps_warning(18, 6)
    assert warning is not None and "only 18 optimizer steps" in warning and "num_train_epochs=20" in warning


def test_a_run_prints_records_and_keeps_its_choices(write_recipe: Any, here: Any, tmp_path: Path) -> None:
    import json

    settings = [*AUTO, "training.max_steps=4", "training.save_steps=2"]
    done = here("run", write_recipe(), *settings, "--output", tmp_path / "run")
    assert "chosen     training.mixed_precision=" in done.stdout and "training.learning_rate=0.00013" in done.stdout
    assert "only 4 optimizer steps" in done.stdout
    results = json.loads((tmp_path / "run" / "results.json").read_text("utf-8"))
    assert results["training"]["chosen"]["training.examples_per_batch"] == 16
    assert "learning_rate: auto" in (tmp_path / "run" / "recipe.yaml").read_text("utf-8")
