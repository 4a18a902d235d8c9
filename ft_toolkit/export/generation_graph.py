"""Write a model that generates texts as ONNX graphs with a cache of keys and values.

A decoder is one graph. It reads the next tokens and the cache, and returns logits and the longer cache. An encoder-decoder has
a second graph, which computes the keys and values of the source once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from inspect import signature
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers.cache_utils import DynamicCache, EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput

from ft_toolkit.core.errors import ModelError
from ft_toolkit.core.export_records import ExportedGeneration, ExportedGraph
from ft_toolkit.core.run_folder import ONNX_ENCODER, ONNX_GRAPH
from ft_toolkit.export.graph import check_difference, export_graph, relative_difference
from ft_toolkit.runtime.decoder_graph import KEPT, PAST, PRESENT, ROWS, SOURCE
from ft_toolkit.runtime.session import GraphSession
from ft_toolkit.runtime.text_generator import encoder_graph
from ft_toolkit.tasks.text.search import search_settings

_BATCH, _QUERY, _PAST, _SOURCE = 2, 3, 5, 7
_CHECKED_STEPS = 3


class _Decoder(nn.Module):
    """One step of a decoder."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        accepted = signature(model.forward).parameters
        self.has_positions, self.has_kept = "position_ids" in accepted, "logits_to_keep" in accepted

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        position_ids: Tensor,
        rows: Tensor,
        kept: Tensor,
        past: list[Tensor],
    ) -> tuple[Tensor, ...]:
        """Return the logits at the positions `kept` of the step, shape (rows, kept, vocabulary), and the cache."""
        cache = _cache([tensor.index_select(0, rows) for tensor in past])
        options: dict[str, Any] = {"position_ids": position_ids} if self.has_positions else {}
        if self.has_kept:
            options["logits_to_keep"] = kept
        outputs = self.model(
            input_ids=input_ids, attention_mask=attention_mask, past_key_values=cache, use_cache=True, **options
        )
        logits = outputs.logits if self.has_kept else outputs.logits.index_select(1, kept)
        return logits.float(), *_tensors(outputs.past_key_values)


class _Encoder(nn.Module):
    """The encoder of an encoder-decoder, with the keys and values of the source in each block of the decoder."""

    def __init__(self, model: Any, start_token_id: int) -> None:
        super().__init__()
        self.model, self.start_token_id = model, start_token_id

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, ...]:
        """Return the keys and values. The exporter removes the rest of the decoder, whose outputs are not used."""
        start = torch.full((input_ids.shape[0], 1), self.start_token_id, dtype=torch.long)
        outputs = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            decoder_input_ids=start,
            past_key_values=EncoderDecoderCache(DynamicCache(), DynamicCache()),
            use_cache=True,
        )
        return tuple(_tensors(outputs.past_key_values.cross_attention_cache))


class _SourceDecoder(nn.Module):
    """One step of the decoder of an encoder-decoder."""

    def __init__(self, model: Any, width: int) -> None:
        super().__init__()
        self.model, self.width = model, width

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        rows: Tensor,
        kept: Tensor,
        past: list[Tensor],
        source: list[Tensor],
    ) -> tuple[Tensor, ...]:
        """Return the logits at the positions `kept` of the step, shape (rows, kept, vocabulary), and the cache."""
        cache = EncoderDecoderCache(_cache([tensor.index_select(0, rows) for tensor in past]), _cache(source))
        cache.is_updated = dict.fromkeys(range(len(source) // 2), True)
        # the keys and values of the source are in the cache, so the outputs of the encoder are not read
        hidden = torch.zeros((*attention_mask.shape, self.width))
        outputs = self.model(
            attention_mask=attention_mask,
            encoder_outputs=BaseModelOutput(last_hidden_state=hidden),
            decoder_input_ids=input_ids,
            past_key_values=cache,
            use_cache=True,
        )
        return outputs.logits.index_select(1, kept).float(), *_tensors(outputs.past_key_values.self_attention_cache)


def _cache(tensors: Sequence[Tensor]) -> DynamicCache:
    """Return a cache with the keys and values of each block in turn."""
    cache = DynamicCache()
    for block in range(len(tensors) // 2):
        cache.update(tensors[2 * block], tensors[2 * block + 1], block)
    return cache


def _tensors(cache: Any) -> list[Tensor]:
    return [tensor for layer in cache.layers for tensor in (layer.keys, layer.values)]


def generation_facts(
    model: Any, tokenizer: Any, settings: Mapping[str, Any] = MappingProxyType({})
) -> ExportedGeneration:
    """Return how a model generates texts, with the `settings` of the task that GenerationConfig does not have.

    Raises ModelError for settings that the runtime does not have.
    """
    config = model.generation_config
    is_decoder = not model.config.is_encoder_decoder
    search, unknown = search_settings(config, is_encoder_decoder=not is_decoder)
    if settings:  # the task draws tokens in its own way
        unknown = [name for name in unknown if name != "do_sample"]
    if unknown:
        raise ModelError(
            f"the checkpoint generates with {', '.join(unknown)}, which an exported model does not have. "
            "Use --format transformers"
        )
    cleans_up = bool(getattr(tokenizer, "clean_up_tokenization_spaces", False))
    return ExportedGeneration(
        encoder=None if is_decoder else ONNX_ENCODER,
        pad_token_id=config.pad_token_id,
        decoder_start_token_id=None if is_decoder else config.decoder_start_token_id,
        **asdict(search),
        # transformers does not clean up the texts of byte pairs
        clean_up_tokenization_spaces=cleans_up and type(tokenizer.backend_tokenizer.model).__name__ != "BPE",
        **settings,
    )


def graph_names(model: Any) -> tuple[list[str], list[str]]:
    """Return the names of the inputs and of the outputs of the graph of a decoder."""
    n_tensors = 2 * _cache_sizes(model)[0]
    past, present, source = ([f"{kind}{i}" for i in range(n_tensors)] for kind in (PAST, PRESENT, SOURCE))
    if model.config.is_encoder_decoder:
        return ["input_ids", "attention_mask", ROWS, KEPT, *past, *source], ["logits", *present]
    return ["input_ids", "attention_mask", "position_ids", ROWS, KEPT, *past], ["logits", *present]


def _cache_sizes(model: Any) -> tuple[int, int, int]:
    """Return the number of blocks, heads and head size of the cache; of the target's tokens, for an encoder-decoder.

    Raises ModelError for another cache than keys and values of one shape.
    """
    ids = torch.tensor([[1, 1]])
    with torch.inference_mode():
        if model.config.is_encoder_decoder:
            cache = model(input_ids=ids, decoder_input_ids=ids, use_cache=True).past_key_values.self_attention_cache
        else:
            cache = getattr(model(input_ids=ids, use_cache=True), "past_key_values", None)
    layers = list(getattr(cache, "layers", ()))
    return len(layers), *_cache_shape(model, layers)


def write_generation_graphs(model: Any, folder: Path, graph: ExportedGraph) -> float:
    """Write the graphs of a float32 model into `folder`, and return their largest difference from the model.

    Raises ModelError if torch cannot trace the model, and for graphs with other outputs than the model.
    """
    model = model.eval()
    # T5's attention cannot be exported with "sdpa": torch cannot view its transposed result with dynamic shapes
    model.set_attn_implementation("eager")
    n_blocks, heads, size = _cache_sizes(model)
    past = [torch.randn(_BATCH, heads, _PAST, size) for _ in range(2 * n_blocks)]
    rows, kept = torch.tensor([1, 0]), torch.tensor([0, _QUERY - 1])
    ids = torch.ones((_BATCH, _QUERY), dtype=torch.long)
    if graph.generation is None or graph.generation.encoder is None:
        mask = torch.ones((_BATCH, _PAST + _QUERY), dtype=torch.long)
        positions = torch.arange(_PAST, _PAST + _QUERY).repeat(_BATCH, 1)
        decoder = _Decoder(model)
        export_graph(decoder, (ids, mask, positions, rows, kept, past), folder / ONNX_GRAPH, graph, opset_of=model)
        return check_difference(model, _check_decoder(decoder, folder, graph, (heads, size)))
    assert graph.generation.decoder_start_token_id is not None
    mask = torch.ones((_BATCH, _SOURCE), dtype=torch.long)
    encoder = _Encoder(model, graph.generation.decoder_start_token_id)
    source = [torch.randn(_BATCH, heads, _SOURCE, size) for _ in range(2 * n_blocks)]
    source_decoder = _SourceDecoder(model, _encoder_width(model))
    example = torch.ones((_BATCH, _SOURCE), dtype=torch.long)
    export_graph(encoder, (example, mask), folder / ONNX_ENCODER, encoder_graph(graph), opset_of=model)
    export_graph(source_decoder, (ids, mask, rows, kept, past, source), folder / ONNX_GRAPH, graph, opset_of=model)
    return check_difference(model, _check_encoder_decoder(model, folder, graph, (heads, size)))


def _cache_shape(model: Any, layers: Sequence[Any]) -> tuple[int, int]:
    """Return heads and size of the keys and values, which must be equal in all blocks. Raises ModelError."""
    shapes = {
        (tensor.shape[1], tensor.shape[3])
        for layer in layers
        for tensor in (getattr(layer, "keys", None), getattr(layer, "values", None))
        if tensor is not None and tensor.dim() == 4
    }
    if len(shapes) != 1:
        raise ModelError(
            f"{type(model).__name__} cannot be exported as a graph: its blocks have caches of different shapes, or "
            "other caches than keys and values. Use --format transformers"
        )
    return shapes.pop()


def _encoder_width(model: Any) -> int:
    config = getattr(model.config, "encoder", model.config)
    return int(config.hidden_size)


def _check_decoder(decoder: _Decoder, folder: Path, graph: ExportedGraph, shape: tuple[int, int]) -> float:
    """Return the largest difference of the logits over prompts with padding on the left, and a few steps."""
    session = GraphSession(folder, graph)
    generator = torch.Generator().manual_seed(0)
    vocabulary = int(decoder.model.get_input_embeddings().weight.shape[0])
    mask = torch.tensor([[1, 1, 1, 1], [0, 0, 1, 1], [0, 1, 1, 1]])
    rows, largest = torch.arange(3), 0.0
    past = [torch.zeros(3, shape[0], 0, shape[1]) for name in graph.inputs if name.startswith(PAST)]
    width = mask.shape[1]
    for _ in range(_CHECKED_STEPS):
        ids = torch.randint(0, vocabulary, (3, width), generator=generator)
        positions = (mask.cumsum(1) - 1).clamp(min=0)[:, -width:]
        kept = torch.arange(max(width - 2, 0), width)  # two tokens of every prompt are not padding
        with torch.inference_mode():
            expected = decoder(ids, mask, positions, rows, kept, past)
        inputs = dict(zip(graph.inputs, (ids, mask, positions, rows, kept, *past), strict=True))
        largest = max(largest, _difference(session, inputs, expected))
        past, rows, width = list(expected[1:]), torch.tensor([1, 1, 2]), 1
        mask = torch.cat([mask[rows], torch.ones(3, 1, dtype=torch.long)], dim=1)
    return largest


def _check_encoder_decoder(model: Any, folder: Path, graph: ExportedGraph, shape: tuple[int, int]) -> float:
    """Return the largest difference of the outputs over sources with padding and a few steps, from the whole model."""
    encoder, session = GraphSession(folder, encoder_graph(graph)), GraphSession(folder, graph)
    generator = torch.Generator().manual_seed(0)
    vocabulary = int(model.get_input_embeddings().weight.shape[0])
    ids, mask = torch.randint(0, vocabulary, (3, 5), generator=generator), torch.ones(3, 5, dtype=torch.long)
    mask[1, 2:], mask[2, 4:] = 0, 0
    source = {
        name: torch.from_numpy(array)
        for name, array in encoder.run({"input_ids": ids.numpy(), "attention_mask": mask.numpy()}).items()
    }
    past = [torch.zeros(3, shape[0], 0, shape[1]) for name in graph.inputs if name.startswith(PAST)]
    tokens, largest = torch.zeros((3, 0), dtype=torch.long), 0.0
    for _ in range(_CHECKED_STEPS):
        following = torch.randint(0, vocabulary, (3, 1), generator=generator)
        tokens = torch.cat([tokens, following], dim=1)
        with torch.inference_mode():
            outputs = model(input_ids=ids, attention_mask=mask, decoder_input_ids=tokens)
        given = (following, mask, torch.arange(3), torch.tensor([0]), *past, *source.values())
        inputs = dict(zip(graph.inputs, given, strict=True))
        computed = session.run({name: tensor.numpy() for name, tensor in inputs.items()})
        expected = outputs.logits[:, -1:].float().numpy()
        largest = max(largest, float(relative_difference(expected, computed["logits"]).max()))
        past = [torch.from_numpy(computed[name]) for name in graph.outputs if name.startswith(PRESENT)]
    return largest


def _difference(session: GraphSession, inputs: dict[str, Tensor], expected: Sequence[Tensor]) -> float:
    computed = session.run({name: tensor.numpy() for name, tensor in inputs.items()})
    return max(
        float(relative_difference(tensor.numpy(), np.asarray(array)).max())
        for tensor, array in zip(expected, computed.values(), strict=True)
    )
