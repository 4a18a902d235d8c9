"""The learning rate factor of each weight, computed by hand for several architectures, and its effect in training."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator

from ft_toolkit.core.errors import ModelError, RecipeError
from ft_toolkit.models.adapters import plain_name
from ft_toolkit.recipe.load_recipe import load_recipe
from ft_toolkit.recipe.resolved import ResolvedTraining
from ft_toolkit.tasks import find_tasks
from ft_toolkit.training.loop import Progress, train
from ft_toolkit.training.optimizer import LearningRate, lr_factors, make_optimizer
from ft_toolkit.training.prepare import build_model, prepare
from ft_toolkit.training.strategies import Replicated
from ft_toolkit.training.trained_model import training_plan

RATES = ["training.learning_rate=0.001", "training.layerwise_lr_decay=0.5", "training.head_learning_rate=0.003"]


@pytest.fixture
def factors_of(write_recipe: Any, tiny: Callable[[str], str], tmp_path: Path) -> Callable[..., dict[str, float]]:
    """Return a function from an architecture (two blocks per stack) and settings to the factors by plain name."""

    def factors(architecture: str, *settings: str) -> dict[str, float]:
        recipe = load_recipe(write_recipe(), [f"model.name={tiny(architecture)}", *RATES, *settings], find_tasks())
        prepared = prepare(recipe, work_folder=tmp_path)
        built = build_model(prepared)
        return {
            plain_name(name): factor
            for name, factor in lr_factors(built.model, built.heads, prepared.recipe.training).items()
        }

    return factors


@pytest.mark.parametrize(
    ("architecture", "expected"),
    [
        (
            "bert",
            {
                "bert.embeddings.word_embeddings.weight": 0.25,
                "bert.embeddings.position_embeddings.weight": 0.25,
                "bert.embeddings.LayerNorm.bias": 0.25,
                "bert.encoder.layer.0.attention.self.query.weight": 0.5,
                "bert.encoder.layer.0.output.LayerNorm.weight": 0.5,
                "bert.encoder.layer.1.output.dense.weight": 1.0,
                "bert.pooler.dense.weight": 3.0,  # not in the checkpoint
                "classifier.weight": 3.0,
                "classifier.bias": 3.0,
            },
        ),
        (
            "gpt2",
            {
                "transformer.wte.weight": 0.25,
                "transformer.wpe.weight": 0.25,
                "transformer.h.0.attn.c_attn.weight": 0.5,
                "transformer.h.1.ln_2.bias": 1.0,
                "transformer.ln_f.weight": 1.0,
                "score.weight": 3.0,
            },
        ),
        (
            "bart",
            {
                "model.shared.weight": 0.25,
                "model.encoder.embed_positions.weight": 0.25,
                "model.encoder.layernorm_embedding.weight": 0.25,
                "model.encoder.layers.0.fc1.weight": 0.5,
                "model.encoder.layers.1.fc1.weight": 1.0,
                "model.decoder.layers.0.fc1.weight": 0.5,
                "model.decoder.layers.1.fc1.weight": 1.0,
                "classification_head.dense.weight": 3.0,
                "classification_head.out_proj.bias": 3.0,
            },
        ),
        (
            "t5",
            {
                "transformer.shared.weight": 0.25,
                # a position table inside a block
                "transformer.encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight": 0.5,
                "transformer.decoder.block.1.layer.2.DenseReluDense.wo.weight": 1.0,
                "transformer.encoder.final_layer_norm.weight": 1.0,
            },
        ),
        ("electra", {"electra.embeddings_project.weight": 0.25, "classifier.out_proj.weight": 3.0}),
        ("modernbert", {"model.embeddings.norm.weight": 0.25, "head.dense.weight": 3.0, "classifier.weight": 3.0}),
    ],
)
def test_factors_match_those_computed_by_hand(
    architecture: str, expected: dict[str, float], factors_of: Callable[..., dict[str, float]]
) -> None:
    factors = factors_of(architecture)
    assert {name: factors[name] for name in expected} == pytest.approx(expected)
    assert sorted(set(factors.values())) == pytest.approx([0.25, 0.5, 1.0, 3.0])


def test_adapters_have_the_factor_of_their_block(factors_of: Callable[..., dict[str, float]]) -> None:
    factors = factors_of("bert", "method=lora")
    by_block = {name: factor for name, factor in factors.items() if "lora_" in name}
    assert by_block and all(factor == (0.5 if "layer.0." in name else 1.0) for name, factor in by_block.items())
    assert {factor for name, factor in factors.items() if "lora_" not in name} == {3.0}


def test_frozen_blocks_count_as_blocks_of_the_stack(factors_of: Callable[..., dict[str, float]]) -> None:
    factors = factors_of("gpt2", "method={name: freeze, frozen_layers: 1}", "training.layerwise_lr_decay=1.0")
    assert {name.split(".")[2] for name in factors if ".h." in name} == {"1"}


def test_without_the_settings_all_factors_are_one(write_recipe: Any, tiny_bert: str, tmp_path: Path) -> None:
    prepared = prepare(load_recipe(write_recipe(), [], find_tasks()), work_folder=tmp_path)
    built = build_model(prepared)
    assert set(lr_factors(built.model, built.heads, prepared.recipe.training).values()) == {1.0}
    groups = make_optimizer(built.model, prepared.recipe.training, built.heads).param_groups
    assert [group["lr_factor"] for group in groups] == [1.0, 1.0]


def test_a_step_moves_each_weight_by_its_own_rate(
    write_recipe: Any, rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    """Adam's first step has the size of the rate for any gradient: the largest change is learning rate x factor."""
    settings = [*RATES, "training.weight_decay=0.0", "model.dropout=0.0"]
    prepared = prepare(load_recipe(write_recipe(), settings, find_tasks()), work_folder=tmp_path)
    built = build_model(prepared)
    factors = lr_factors(built.model, built.heads, prepared.recipe.training)
    before = {name: parameter.detach().clone() for name, parameter in built.model.named_parameters()}
    accelerator = Accelerator()
    replicated = Replicated(
        accelerator, built.model, partial(make_optimizer, training=prepared.recipe.training, heads=built.heads)
    )
    plan = training_plan(prepared, total_steps=1, world_size=1)
    plan = replace(plan, learning_rate=LearningRate(0.001, 1, schedule="constant"))
    assert [report.learning_rate for report in train(accelerator, replicated, plan, Progress())] == [0.001]
    for name in (
        "bert.embeddings.LayerNorm.bias",
        "bert.encoder.layer.0.output.dense.weight",
        "bert.encoder.layer.1.output.dense.weight",
        "classifier.weight",
    ):
        moved = float((dict(built.model.named_parameters())[name].detach() - before[name]).abs().max())
        assert moved == pytest.approx(0.001 * factors[name], rel=0.01), name


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            ["training.layerwise_lr_decay=0.9"],
            "training.layerwise_lr_decay: has no effect, because only the head is trained",
        ),
        (
            ["training.head_learning_rate=0.1"],
            "training.head_learning_rate: has no effect, because only the head is trained",
        ),
        (
            ["training.layerwise_lr_decay=1.5"],
            "training.layerwise_lr_decay: must be less than or equal to 1; found 1.5",
        ),
        (["training.layerwise_lr_decay=0"], "training.layerwise_lr_decay: must be greater than 0; found 0"),
    ],
)
def test_invalid_rates_are_mistakes(settings: list[str], message: str, write_recipe: Any) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe(write_recipe(), ["method=freeze", *settings], find_tasks())


class Block(torch.nn.Module):
    base_model_prefix = "h"

    def __init__(self) -> None:
        super().__init__()
        self.h = torch.nn.ModuleList([torch.nn.Linear(2, 2)])


def test_a_setting_without_effect_is_refused() -> None:
    values = {"learning_rate": 1e-3, "num_train_epochs": 1, "warmup_ratio": 0.0, "mixed_precision": "no"}
    with pytest.raises(
        ModelError, match=r"layerwise_lr_decay=0.9 has no effect: below the head of Block only one block"
    ):
        lr_factors(Block(), [], ResolvedTraining(**values, layerwise_lr_decay=0.9))
    with pytest.raises(ModelError, match="Block has no separate head"):
        lr_factors(Block(), [], ResolvedTraining(**values, head_learning_rate=0.1))
