"""Cached outputs of frozen blocks: loss and gradients stay the same, and later epochs compute no frozen block."""

import copy
import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from small_models import gradients, model_of
from torch.nn.utils.rnn import pad_sequence

from ft_toolkit.models.adapters import freeze, head_modules
from ft_toolkit.recipe.load_recipe import load_recipe
from ft_toolkit.tasks import find_tasks
from ft_toolkit.training.loop import Progress, train
from ft_toolkit.training.optimizer import make_optimizer
from ft_toolkit.training.prepare import build_model, prepare
from ft_toolkit.training.speedups import apply_speedups
from ft_toolkit.training.speedups.frozen_blocks import FrozenBlockCache, cache_frozen_blocks
from ft_toolkit.training.strategies import Replicated
from ft_toolkit.training.trained_model import training_plan

LENGTHS = [9, 6, 9, 2, 4, 7, 3, 1]
# Two epochs with different batches, so different padding.
EPOCHS = [[(0, 1, 2), (3, 4), (5, 6, 7)], [(7, 3), (2, 6, 5), (4, 0, 1)]]
ROOM = 2**40


def texts(pad: int) -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(3)
    return [torch.randint(4, 50, (length,), generator=draw) for length in LENGTHS]


def loss_of(model: Any, ids: tuple[int, ...]) -> torch.Tensor:
    """Return a loss over the logits of the tokens that are not padding."""
    rows = [texts(model.config.pad_token_id)[i] for i in ids]
    tokens = pad_sequence(rows, batch_first=True, padding_value=model.config.pad_token_id)
    mask = pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
    output = model(input_ids=tokens, attention_mask=mask)
    found = output.start_logits if "start_logits" in output else output.logits
    return (found[mask.bool()] if found.shape[:2] == mask.shape else found).square().sum()


class Calls:
    """Counts the calls of a module."""

    def __init__(self, module: torch.nn.Module) -> None:
        self.n = 0
        module.register_forward_hook(self)

    def __call__(self, *ignored: Any) -> None:
        self.n += 1


def blocks_of(model: Any) -> list[Any]:
    return list(next(module for module in model.modules() if isinstance(module, torch.nn.ModuleList)))


@pytest.mark.parametrize("layers", [1, 2, "all"])
@pytest.mark.parametrize(
    "class_name",
    [
        "BertForSequenceClassification",
        "BertForTokenClassification",
        "BertForQuestionAnswering",
        "RobertaForSequenceClassification",
        "ElectraForSequenceClassification",
        "DistilBertForSequenceClassification",
        "ModernBertForSequenceClassification",
        "GPT2ForSequenceClassification",
        "GPT2ForTokenClassification",
    ],
)
@pytest.mark.parametrize("with_others", [False, True], ids=["alone", "with the other speed-ups"])
def test_loss_and_gradients_stay_the_same(class_name: str, layers: Any, with_others: bool) -> None:
    plain = model_of(class_name)
    for module in plain.modules():
        if isinstance(module, torch.nn.Dropout):  # GPT-2's tagger has an extra dropout
            module.p = 0.0
    freeze(plain, layers, head_modules(plain, []))
    whole = copy.deepcopy(plain)
    if with_others:
        apply_speedups(whole, torch.device("cpu"), lambda: None)
    cache, description = cache_frozen_blocks(whole, n_tokens=sum(LENGTHS), free_bytes=ROOM)
    number = 3 if layers == "all" else layers
    assert description == f"the lowest {number} of 3 blocks computed in the first epoch only (cache of 1 MiB)"
    assert cache is not None
    inside = Calls(
        next(
            module
            for module in blocks_of(whole)[0].modules()
            if isinstance(module, torch.nn.LayerNorm | torch.nn.Linear)
        )
    )
    for number, epoch in enumerate(EPOCHS):
        before = inside.n
        for ids in epoch:
            plain.zero_grad()
            whole.zero_grad()
            expected = loss_of(plain, ids)
            expected.backward()
            with cache.reuse(LENGTHS, ids):
                found = loss_of(whole, ids)
            found.backward()
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
            gradients_found = gradients(whole)
            assert gradients_found.keys() <= gradients(plain).keys() and gradients_found
            for name, gradient in gradients(plain).items():
                own = gradients_found.get(name, torch.zeros_like(gradient))
                torch.testing.assert_close(own, gradient, rtol=1e-4, atol=1e-4)
        assert (inside.n > before) == (number == 0), "blocks are computed in the first epoch only"
    with torch.no_grad():  # an evaluation computes all blocks
        torch.testing.assert_close(loss_of(whole.eval(), (0, 3)), loss_of(plain.eval(), (0, 3)))
    assert inside.n == before + 1


@pytest.mark.parametrize("class_name", ["AlbertForSequenceClassification", "DebertaV2ForSequenceClassification"])
def test_blocks_that_are_not_a_simple_chain_are_computed_in_every_epoch(class_name: str) -> None:
    """ALBERT calls the same block several times."""
    plain = model_of(class_name)
    freeze(plain, "all", head_modules(plain, []))
    whole = copy.deepcopy(plain)
    cache, _ = cache_frozen_blocks(whole, n_tokens=sum(LENGTHS), free_bytes=ROOM)
    assert cache is not None
    for ids in [*EPOCHS[0], *EPOCHS[1]]:
        with cache.reuse(LENGTHS, ids):
            found = loss_of(whole, ids)
        torch.testing.assert_close(found, loss_of(plain, ids), rtol=1e-5, atol=1e-5)


def test_trainable_embeddings_below_a_frozen_block_receive_gradients() -> None:
    """A frozen block above trainable embeddings."""
    model = model_of("BertForSequenceClassification")
    for parameter in model.bert.encoder.layer[0].parameters():
        parameter.requires_grad_(False)
    cache = FrozenBlockCache([model.bert.encoder.layer[0]])
    for _ in range(2):
        model.zero_grad()
        with cache.reuse(LENGTHS, (0, 1)):
            loss_of(model, (0, 1)).backward()
        assert model.bert.embeddings.word_embeddings.weight.grad.any()


def test_no_cache_without_frozen_blocks_with_dropout_or_without_memory() -> None:
    model = model_of("BertForSequenceClassification")
    assert cache_frozen_blocks(model, n_tokens=30, free_bytes=ROOM) == (None, None)
    freeze(model, 2, [])
    cache, description = cache_frozen_blocks(model, n_tokens=2**20, free_bytes=2**28)
    assert cache is None and description == (
        "the lowest 2 of 3 blocks are frozen, but each epoch computes them again: their outputs take 0.1 GiB, more than a "
        "quarter of the 0.2 GiB of free memory"
    )
    model.bert.encoder.layer[1].output.dropout.p = 0.1
    cache, description = cache_frozen_blocks(model, n_tokens=30, free_bytes=ROOM)
    assert (
        cache is None and description is not None and "have dropout, so each epoch computes them again" in description
    )
    model.bert.encoder.layer[1].output.dropout.p, model.bert.encoder.layer[2].output.dropout.p = 0.0, 0.1
    assert cache_frozen_blocks(model, n_tokens=30, free_bytes=ROOM)[0] is not None


def test_a_run_prints_the_cache_and_has_the_losses_of_training_without_it(
    here: Any, write_recipe: Any, tmp_path: Path
) -> None:
    settings = [
        "method={name: freeze, frozen_layers: 1}",
        "model.dropout=0.0",
        "training.head_start=none",
        "training.num_train_epochs=3",
        "training.logging_steps=1",
    ]
    done = here("run", write_recipe(), *settings, "-v", "--output", tmp_path / "run")
    assert "computed in the first epoch only" in done.stdout
    lines = (tmp_path / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    losses = [record["loss"] for record in map(json.loads, lines) if "loss" in record]
    prepared = prepare(load_recipe(write_recipe(), settings, find_tasks()), work_folder=tmp_path)
    model, accelerator = build_model(prepared).model, Accelerator()
    training = prepared.recipe.training
    make = partial(make_optimizer, training=training, heads=[])
    replicated = Replicated(accelerator, model, make, training.max_grad_norm)
    plan = training_plan(prepared, total_steps=prepared.total_steps(1), world_size=1)
    reports = train(accelerator, replicated, plan, Progress())
    assert losses == pytest.approx([report.loss for report in reports], rel=1e-4)
    assert len(losses) == 3 * len(prepared.epoch_batches(0, 1))


def test_with_dropout_a_run_prints_why_every_epoch_computes_all_blocks(
    here: Any, write_recipe: Any, tmp_path: Path
) -> None:
    done = here("run", write_recipe(), "method={name: freeze, frozen_layers: 1}", "--output", tmp_path / "run")
    assert "have dropout, so each epoch computes them again; model.dropout=0" in " ".join(done.stdout.split())
