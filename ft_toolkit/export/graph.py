"""Write the forward pass of a model as an ONNX graph with `torch.onnx.export`, and check it against the model."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ft_toolkit.core.errors import ModelError
from ft_toolkit.core.export_records import ExportedGraph
from ft_toolkit.core.run_folder import ONNX_GRAPH
from ft_toolkit.runtime.session import GraphSession

# Version 23 has operators for attention and GELU: the graph of MiniLM has 211 nodes instead of 348 with version 18. For rotary
# embeddings, torch 2.13 writes an operator of version 23 that onnxruntime 1.32 refuses (cos_cache without the batch size).
OPSET, ROTARY_OPSET = 23, 22
# The largest difference of an output between graph and model, relative for outputs above 1. Measured for MiniLM and for small
# models of every family: at most 3e-6.
TOLERANCE = 1e-3
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
# (texts, tokens) of the batches that are compared: other shapes than in the example that the graph was traced with.
_CHECKED_SHAPES = ((1, 3), (3, 17), (2, 40))


class _Forward(nn.Module):
    """The forward pass of a transformers model with tensors as inputs and outputs."""

    def __init__(self, model: Any, outputs: Sequence[str]) -> None:
        super().__init__()
        self.model, self.outputs = model, outputs

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Return the named outputs in float32."""
        optional = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        result = self.model(input_ids=input_ids, attention_mask=attention_mask, **optional)
        return tuple(getattr(result, name).float() for name in self.outputs)


def write_graph(model: Any, folder: Path, graph: ExportedGraph, *, per_token: bool) -> float:
    """Write the graph of a float32 model into `folder`, and return its largest difference from the model.

    `per_token` says that the second axis of the outputs is the tokens; outputs of padding are not compared.
    Raises ModelError if torch cannot trace the model, and for a graph with other outputs than the model.
    """
    names = tuple(name for name in _INPUTS if name in graph.inputs)
    if set(names) != set(graph.inputs):
        raise ModelError(f"inputs {', '.join(graph.inputs)}: a graph can have the inputs {', '.join(_INPUTS)} only")
    if model.config.is_encoder_decoder:
        # T5's attention cannot be exported with "sdpa": torch cannot view its transposed result with dynamic shapes
        model.set_attn_implementation("eager")
    forward = _Forward(model.eval(), graph.outputs).eval()
    example = _inputs((2, 11), names, model)
    in_order = graph.model_copy(update={"inputs": list(names)})  # of the parameters of `_Forward.forward`
    export_graph(forward, tuple(example.values()), folder / ONNX_GRAPH, in_order, opset_of=model)
    return check_difference(model, _largest_difference(forward, folder, graph, per_token=per_token))


def export_graph(
    module: nn.Module, example: tuple[Any, ...], path: Path, graph: ExportedGraph, *, opset_of: nn.Module
) -> None:
    """Write the graph of a module; each axis of its inputs is dynamic, except the heads and sizes of a cache.

    `example` are example inputs in the order of `graph.inputs`: tensors and lists of tensors. Raises ModelError if torch cannot
    trace the module.
    """
    with _quiet_export():
        try:
            program = torch.onnx.export(
                module,
                example,
                dynamo=True,
                opset_version=_opset(opset_of),
                input_names=graph.inputs,
                output_names=graph.outputs,
                dynamic_shapes=tuple(map(_dynamic_axes, example)),
                verbose=False,
            )
        except (torch.onnx.errors.OnnxExporterError, RuntimeError, ValueError) as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise ModelError(
                f"{type(opset_of).__name__} cannot be exported as a graph: torch cannot trace its forward pass ({reason}). "
                "Use --format transformers"
            ) from None
    assert program is not None, "the dynamo exporter returns a program"
    program.save(str(path))


def _dynamic_axes(example: Any) -> Any:
    """Return the dynamic axes: of a matrix both, and of a cache the rows and the tokens."""
    if isinstance(example, list):
        return [_dynamic_axes(tensor) for tensor in example]
    axes = (0, 2) if example.dim() == 4 else range(example.dim())
    return dict.fromkeys(axes, torch.export.Dim.DYNAMIC)


def _opset(model: nn.Module) -> int:
    is_rotary = any("RotaryEmbedding" in type(module).__name__ for module in model.modules())
    return ROTARY_OPSET if is_rotary else OPSET


def check_difference(model: nn.Module, largest: float) -> float:
    """Return the largest difference of an output of a graph from its model. Raises ModelError if it is above TOLERANCE."""
    if largest > TOLERANCE:
        raise ModelError(
            f"{type(model).__name__} cannot be exported as a graph: the outputs of the graph differ from the model "
            f"by up to {largest:.2g} (allowed {TOLERANCE:g}). Use --format transformers"
        )
    return largest


def _largest_difference(forward: _Forward, folder: Path, graph: ExportedGraph, *, per_token: bool) -> float:
    """Return the largest difference between the outputs of the graph and of the model."""
    session, largest = GraphSession(folder, graph), 0.0
    for shape in _CHECKED_SHAPES:
        inputs = _inputs(shape, graph.inputs, forward.model)
        with torch.inference_mode():
            expected = dict(zip(graph.outputs, forward(**inputs), strict=True))
        computed = session.run({name: tensor.numpy() for name, tensor in inputs.items()})
        mask = inputs["attention_mask"].bool().numpy()
        for name, tensor in expected.items():
            difference = relative_difference(tensor.numpy(), computed[name])
            largest = max(largest, float((difference[mask] if per_token else difference).max()))
    return largest


def relative_difference(expected: np.ndarray, computed: np.ndarray) -> np.ndarray:
    """Return the absolute difference of each element, relative for elements above 1."""
    return np.asarray(np.abs(expected - computed) / np.maximum(1.0, np.abs(expected)))


def _inputs(shape: tuple[int, int], names: Sequence[str], model: Any) -> dict[str, Tensor]:
    """Return a batch of texts of different lengths, with padding on the right.

    For an encoder-decoder, each text has one end token, the last one: T5 and BART classify from it.
    """
    texts, tokens = shape
    vocabulary = int(model.get_input_embeddings().weight.shape[0])
    generator = torch.Generator().manual_seed(texts * tokens)
    mask = torch.ones(shape, dtype=torch.long)
    for text in range(1, texts):
        mask[text, max(1, tokens - 3 * text) :] = 0
    ids = torch.randint(0, vocabulary, shape, generator=generator)
    if model.config.is_encoder_decoder:
        end = model.config.eos_token_id
        ids[ids == end] = (end + 1) % vocabulary
        ids[range(texts), mask.sum(1) - 1] = end
    values = {
        "input_ids": ids,
        "attention_mask": mask,
        "token_type_ids": torch.zeros(shape, dtype=torch.long),
    }
    return {name: values[name] for name in _INPUTS if name in names}


@contextmanager
def _quiet_export() -> Iterator[None]:
    """Hide the warnings of the exporter on parts of torch that the model does not use."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
