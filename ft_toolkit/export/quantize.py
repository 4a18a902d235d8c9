"""Quantize the matrix products of a graph to 8 bits, and keep the sensitive ones in float32.

Weights are quantized once, per output channel; the inputs of each product are quantized when the graph runs (dynamic
quantization), so no statistics of the inputs are needed. Embeddings are quantized too. Language models are quantized by
`quantize_weights` instead.
"""

import logging
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

_PRODUCTS = ("MatMul", "Gemm")
_QUANTIZED = [*_PRODUCTS, "Gather"]
# The key in which torch's exporter stores the names of the modules that a node belongs to.
_SCOPES = "pkg.torch.onnx.name_scopes"


@dataclass(frozen=True)
class Change:
    """The change of a graph by quantization on the calibration rows.

    `share` is the share of the rows with another answer than the float32 graph, `error` the root mean square of the
    differences of the outputs.
    """

    share: float
    error: float


@dataclass(frozen=True)
class Choice:
    """The layers that stay in float32, and the shares of changed answers with all layers in 8 bits and with this choice."""

    float_layers: list[str]
    all_in_8_bits: float
    chosen: float


def quantize(
    source: Path, target: Path, change_of: Callable[[Path], Change] | None, allowed: float | None
) -> Choice | None:
    """Write the quantized graph of `source` to `target`, and return the choice of layers; None without a bound.

    All layers are quantized without `change_of` or `allowed`, or if this changes at most the share `allowed` of the answers.
    Otherwise each layer, with its copies in all blocks, is quantized alone. The layers with the largest errors stay in float32,
    one more at a time, until the share is small enough. The layers have different errors: for MiniLM on SST-2, 1.7% of the
    standard deviation of the outputs for the queries and 5% for the second layer of the feed-forward blocks.
    """
    _quantize(source, target, [])
    if change_of is None or allowed is None:
        return None
    chosen = all_in_8_bits = change_of(target).share
    if chosen <= allowed:
        return Choice([], all_in_8_bits, chosen)
    layers = _layers(source)
    every_node = [node for nodes in layers.values() for node in nodes]
    errors = {}
    for layer, nodes in layers.items():
        _quantize(source, target, [node for node in every_node if node not in nodes])
        errors[layer] = change_of(target).error
    ranked = sorted(layers, key=lambda layer: -errors[layer])
    kept: list[str] = []
    for layer in ranked:
        kept.append(layer)
        _quantize(source, target, [node for each in kept for node in layers[each]])
        chosen = change_of(target).share
        if chosen <= allowed:
            break
    return Choice(sorted(kept), all_in_8_bits, chosen)


def _quantize(source: Path, target: Path, float_nodes: Sequence[str]) -> None:
    quantization = import_module("onnxruntime.quantization")
    with quiet_quantizer():
        quantization.quantize_dynamic(
            source,
            target,
            weight_type=quantization.QuantType.QInt8,
            per_channel=True,
            op_types_to_quantize=_QUANTIZED,
            nodes_to_exclude=list(float_nodes),
        )


def _layers(path: Path) -> dict[str, list[str]]:
    """Return the quantized nodes by layer: the name of the module with `*` for the number of its block."""
    graph = import_module("onnx").load(str(path), load_external_data=False).graph
    weights = {tensor.name for tensor in graph.initializer}
    layers: dict[str, list[str]] = defaultdict(list)
    for node in graph.node:
        weight = node.input[0 if node.op_type == "Gather" else 1] if len(node.input) > 1 else ""
        if node.op_type in _QUANTIZED and weight in weights:
            layers[_layer(node)].append(node.name)
    return dict(layers)


def _layer(node: Any) -> str:
    scopes = next((entry.value for entry in node.metadata_props if entry.key == _SCOPES), "")
    names = [name for name in re.findall(r"'([^']*)'", scopes) if "." in name] or [str(node.name)]
    return re.sub(r"\b\d+\b", "*", max(names, key=len))


@contextmanager
def quiet_quantizer() -> Iterator[None]:
    """Hide the messages of the quantizers. The import of one of them sets up logging, if nothing else has."""
    logger = logging.getLogger()
    level, handler = logger.level, logging.NullHandler()
    logger.setLevel(logging.ERROR)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
