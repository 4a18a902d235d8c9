"""Graphs with a cache generate the texts of the torch model."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ft_toolkit.core.errors import ModelError
from ft_toolkit.core.export_records import ExportedGraph
from ft_toolkit.export.generation_graph import generation_facts, graph_names, write_generation_graphs
from ft_toolkit.export.write_model import graph_facts
from ft_toolkit.models.pretrained import load_model, load_tokenizer, read_pretrained
from ft_toolkit.runtime.decoder_graph import DecoderGraph
from ft_toolkit.runtime.text_generator import TextGenerator
from ft_toolkit.tasks import find_tasks
from ft_toolkit.tasks.text import generation
from ft_toolkit.training.collate import make_collate

TASK = find_tasks()["summarization"]
# bert becomes an encoder-decoder of two copies
ARCHITECTURES = ["bert", "gpt2", "llama", "t5", "bart", "marian"]


def _sharpen(model: Any) -> None:
    """Make the next token of a random model depend on the source and the last tokens."""
    torch.manual_seed(1)
    for name, weight in model.named_parameters():
        if "norm" not in name.lower() and weight.dim() > 1:
            weight.data = torch.randn_like(weight) * (1.0 if "emb" in name or "shared" in name else 0.3)


def _load(folder: Path, **settings: Any) -> tuple[Any, Any, Any]:
    """Return model, tokenizer and schema for summarization."""
    chosen = TASK.settings(name="summarization", max_target_length=12, **settings)
    rows, _ = TASK.read_rows(TASK.sample_rows(chosen), chosen, "sample rows")
    tokenizer = load_tokenizer(folder)
    schema = TASK.find_schema(chosen, rows, None, read_pretrained(folder, tokenizer))
    model = load_model(folder, TASK, schema, tokenizer, dropout=None, seed=3).model.eval()
    _sharpen(model)
    generation.configure(model, schema)
    return model, tokenizer, schema


def _generator(folder: Path, graph: ExportedGraph, tokenizer: Any) -> TextGenerator:
    return TextGenerator(folder, graph, DecoderGraph(folder, graph), tokenizer)


def _stream(generator: TextGenerator, prompt: Sequence[int]) -> tuple[list[list[int]], list[int]]:
    """Return the tokens after each step, and the tokens of the text."""
    steps: list[list[int]] = []
    (tokens,) = generator.generate([prompt], lambda so_far: steps.append(list(so_far)) is None)
    return steps, tokens


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_graphs_generate_the_texts_of_the_model(architecture: str, tiny: Any, tmp_path: Path) -> None:
    model, tokenizer, schema = _load(Path(tiny(architecture)))
    inputs, outputs = graph_names(model)
    graph = graph_facts(tokenizer, outputs, inputs, generation_facts(model, tokenizer))
    assert write_generation_graphs(model, tmp_path, graph) < 1e-4
    documents = ["a parcel came late", "the lamp is broken and I want a new one, please", "hello", "where is it?"]
    features = TASK.encode([{"document": text} for text in documents], tokenizer, schema, 40)
    batch = make_collate(features, TASK, schema, tokenizer.pad_token_id)(range(len(documents)))
    for changes in ({}, {"num_beams": 3, "length_penalty": 1.5}, {"no_repeat_ngram_size": 2, "min_new_tokens": 5}):
        changed = replace(schema, **changes)
        generation.configure(model, changed)
        facts = graph.model_copy(update={"generation": generation_facts(model, tokenizer)})
        tokens = _generator(tmp_path, facts, tokenizer).generate(generation.prompts(features, changed))
        texts = generation.texts_of_tokens(tokens, tokenizer, changed)
        with torch.inference_mode():
            assert texts == generation.generate(model, batch, changed, tokenizer)
        assert len(set(texts)) > 1, "the texts differ"
        steps, streamed = _stream(_generator(tmp_path, facts, tokenizer), generation.prompts(features, changed)[0])
        assert streamed == tokens[0]
        assert steps == ([streamed[: n + 1] for n in range(len(streamed))] if changed.num_beams == 1 else [])


def test_settings_that_the_runtime_does_not_have_are_refused(tiny: Any) -> None:
    model, tokenizer, _ = _load(Path(tiny("gpt2")))
    model.generation_config.encoder_repetition_penalty = 1.2
    model.generation_config.do_sample = True
    with pytest.raises(
        ModelError, match="generates with do_sample, encoder_repetition_penalty, which an exported model does"
    ):
        generation_facts(model, tokenizer)
