"""Graphs with a cache generate the texts of the torch model."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto

from ft_toolkit.core.errors import ModelError
from ft_toolkit.core.export_records import ExportedGraph
from ft_toolkit.export.generation_graph import generation_facts, graph_names, write_generation_graphs
from ft_toolkit.export.quantize_weights import quantize_weights
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
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("llama", "t5", "bart", "bert")]
DOCUMENTS = ["a parcel came late", "the lamp is broken and I want a new one, please", "hello", "where is it?"]


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
    features = TASK.encode([{"document": text} for text in DOCUMENTS], tokenizer, schema, 40)
    batch = make_collate(features, TASK, schema, tokenizer.pad_token_id)(range(len(DOCUMENTS)))
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


@pytest.mark.parametrize("architecture", ["gpt2", *SLOW])
def test_weights_in_8_bits(architecture: str, tiny: Any, tmp_path: Path) -> None:
    """All matrices have 8 bits, the scores are nearly those of float32, and a text does not depend on its batch."""
    model, tokenizer, schema = _load(Path(tiny(architecture)))
    inputs, outputs = graph_names(model)
    graph = graph_facts(tokenizer, outputs, inputs, generation_facts(model, tokenizer))
    exact, small = tmp_path / "exact", tmp_path / "small"
    for folder in (exact, small):
        folder.mkdir()
    write_generation_graphs(model, exact, graph)
    for path in exact.glob("*.onnx"):
        quantize_weights(path, small / path.name)
        left = [
            weight.name
            for weight in onnx.load(str(small / path.name)).graph.initializer
            if weight.data_type == TensorProto.FLOAT
            and len(weight.dims) > 1
            and min(weight.dims) > 1
            and "_scale" not in weight.name
        ]
        assert not left
        assert (small / path.name).stat().st_size < path.stat().st_size
    if generation_facts(model, tokenizer).encoder is None:
        ids = np.array([[5, 9, 7, 11], [8, 8, 6, 5]])
        of = {folder: _logits(DecoderGraph(folder, graph), ids) for folder in (exact, small)}
        error = np.sqrt(np.mean((of[small] - of[exact]) ** 2)) / of[exact].std()
        assert 0 < error < 0.05
        np.testing.assert_allclose(_logits(DecoderGraph(small, graph), ids[1:]), of[small][1:], atol=1e-4)
    features = TASK.encode([{"document": text} for text in DOCUMENTS], tokenizer, schema, 40)
    prompts = generation.prompts(features, schema)
    generator = _generator(small, graph, tokenizer)
    together = generator.generate(prompts)
    assert [generator.generate([prompt])[0] for prompt in prompts] == together
    assert len({tuple(tokens) for tokens in together}) > 1, "the texts differ"


def _logits(decoder: DecoderGraph, ids: np.ndarray) -> np.ndarray:
    """Return the logits of all positions."""
    state = decoder.start(np.ones_like(ids))
    return decoder.step(state, ids, np.arange(len(ids)), np.arange(ids.shape[1]))
