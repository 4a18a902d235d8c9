"""Tokenizers with more tokens than the model has embeddings: refused, or the embeddings are resized."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ft_toolkit.core.errors import ModelError, RecipeError
from ft_toolkit.models.pretrained import load_model, load_tokenizer, read_pretrained
from ft_toolkit.models.vocabulary import check_vocabulary, n_tokens, resize_embeddings
from ft_toolkit.recipe.load_recipe import load_recipe
from ft_toolkit.tasks import find_tasks
from ft_toolkit.training.prepare import build_model, prepare

TASKS = find_tasks()


@pytest.fixture
def with_new_tokens(tiny: Callable[[str], str], tmp_path: Path) -> Callable[[str], Path]:
    """Return a function that gives a copy of a tiny model whose tokenizer has two more tokens than the model."""

    def make(architecture: str) -> Path:
        import shutil

        folder = tmp_path / architecture
        shutil.copytree(tiny(architecture), folder)
        tokenizer = load_tokenizer(folder)
        tokenizer.add_tokens(["<doc>", "<eod>"])
        tokenizer.save_pretrained(folder)
        return folder

    return make


@pytest.mark.parametrize("architecture", ["bert", "gpt2", "bart", "t5"])
def test_more_tokens_than_embeddings_are_refused_with_both_numbers(
    with_new_tokens: Callable[[str], Path], architecture: str
) -> None:
    folder = with_new_tokens(architecture)
    pretrained = read_pretrained(folder, load_tokenizer(folder))
    available = pretrained.config.vocab_size
    assert n_tokens(pretrained.tokenizer) == available + 2
    message = rf"m: the tokenizer has {available + 2} tokens.*has embeddings for {available}.*resize_embeddings=true"
    with pytest.raises(ModelError, match=message):
        check_vocabulary(pretrained, "m", resize=False)
    check_vocabulary(pretrained, "m", resize=True)


@pytest.mark.parametrize(
    ("task", "architecture"),
    [
        ("language_modelling", "bert"),
        ("language_modelling", "gpt2"),
        ("summarization", "bart"),
        ("summarization", "bert"),
    ],
)
def test_resized_embeddings_have_a_row_for_every_token(
    with_new_tokens: Callable[[str], Path], task: str, architecture: str
) -> None:
    folder = with_new_tokens(architecture)
    tokenizer, settings = load_tokenizer(folder), TASKS[task].settings(name=task)
    rows, _ = TASKS[task].read_rows(TASKS[task].sample_rows(settings), settings, "rows")
    schema = TASKS[task].find_schema(settings, rows, None, read_pretrained(folder, tokenizer))
    model = load_model(folder, TASKS[task], schema, tokenizer, dropout=None, seed=0).model
    resize_embeddings(model, tokenizer)
    parts = [model.encoder, model.decoder] if architecture == "bert" and task == "summarization" else [model]
    for part in parts:
        assert part.get_input_embeddings().num_embeddings == part.config.vocab_size == n_tokens(tokenizer)


def test_a_run_refuses_or_resizes_and_random_tokens_have_embeddings(
    with_new_tokens: Callable[[str], Path], write_recipe: Any, tmp_path: Path
) -> None:
    folder = with_new_tokens("bert")
    changes = {"task": {"name": "language_modelling"}, "evaluation__baselines": []}
    recipe = load_recipe(write_recipe(model__name=str(folder), **changes), [], TASKS)
    with pytest.raises(ModelError, match="embeddings for"):
        prepare(recipe, work_folder=tmp_path)
    recipe = load_recipe(
        write_recipe(
            model={"name": str(folder), "resize_embeddings": True},
            task={"name": "language_modelling", "mask_share": 0.9, "whole_words": False},
            evaluation__baselines=[],
        ),
        [],
        TASKS,
    )
    prepared = prepare(recipe, work_folder=tmp_path)
    built = build_model(prepared)
    rows = built.model.get_input_embeddings().num_embeddings
    features, rng = prepared.features["train"], np.random.default_rng(0)
    for i, ids in enumerate(features.inputs["input_ids"]):
        inputs, _ = prepared.task.corrupt({"input_ids": ids}, features.notes[i], prepared.schema, rng)
        assert max(inputs["input_ids"]) < rows


def test_only_the_method_full_trains_new_embeddings(write_recipe: Any, tiny_bert: str) -> None:
    recipe = write_recipe(model={"name": tiny_bert, "resize_embeddings": True}, method={"name": "lora"})
    with pytest.raises(
        RecipeError, match=r"model\.resize_embeddings: lora does not train the new embeddings; use method=full"
    ):
        load_recipe(recipe, [], TASKS)
