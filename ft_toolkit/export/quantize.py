"""Quantize the matrix products of a graph to 8 bits, and keep the sensitive ones in float32.

Weights are quantized once, per output channel; the inputs of each product are quantized when the graph runs (dynamic
quantization), so no statistics of the inputs are needed. Embeddings are quantized too.
"""

import logging
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

_PRODUCTS = ("MatMul", "Gemm")
_QUANTIZED = [*_PRODUCTS, "Gather"]
# The key in which torch's exporter stores the names of the modules that a node belongs to.
_SCOPES = "pkg.torch.onnx.name_scopes"

# graph file -> the share of calibration rows whose answer differs from the answer of the float32 graph.
ChangedShare = Callable[[Path], float]


def quantize(source: Path, target: Path, changed_share: ChangedShare, allowed: float) -> list[str]:
    """Write the quantized graph of `source` to `target`, and return the layers that stay in float32.

    All layers are quantized if this changes at most the share `allowed` of the answers on the calibration rows. Otherwise each
    layer, with its copies in all blocks, is quantized alone, and the layers that change most answers stay in float32, one more
    at a time, until the share is small enough.
    """
    _quantize(source, target, [])
    if changed_share(target) <= allowed:
        return []
    layers = _layers(source)
    every_node = [node for nodes in layers.values() for node in nodes]
    shares = {}
    for layer, nodes in layers.items():
        _quantize(source, target, [node for node in every_node if node not in nodes])
        shares[layer] = changed_share(target)
    ranked = sorted(layers, key=lambda layer: -shares[layer])
    for count in range(1, len(ranked) + 1):
        kept = ranked[:count]
        _quantize(source, target, [node for layer in kept for node in layers[layer]])
        if changed_share(target) <= allowed:
            break
    return sorted(kept)


def _quantize(source: Path, target: Path, float_nodes: Sequence[str]) -> None:
    quantization = import_module("onnxruntime.quantization")
    with _quiet_quantizer():
        quantization.quantize_dynamic(
            source,
            target,
            weight_type=quantization.QuantType.QInt8,
            per_channel=True,
            op_types_to_quantize=_QUANTIZED,
            nodes_to_exclude=list(float_nodes),
        )


def _layers(path: Path) -> dict[str, list[str]]:
    """Return the matrix products with weights by layer: the name of the module with `*` for the number of its block."""
    graph = import_module("onnx").load(str(path), load_external_data=False).graph
    weights = {tensor.name for tensor in graph.initializer}
    layers: dict[str, list[str]] = defaultdict(list)
    for node in graph.node:
        if node.op_type in _PRODUCTS and node.input[1] in weights:
            layers[_layer(node)].append(node.name)
    return dict(layers)


def _layer(node: Any) -> str:
    scopes = next((entry.value for entry in node.metadata_props if entry.key == _SCOPES), "")
    names = [name for name in re.findall(r"'([^']*)'", scopes) if "." in name] or [str(node.name)]
    return re.sub(r"\b\d+\b", "*", max(names, key=len))


@contextmanager
def _quiet_quantizer() -> Iterator[None]:
    """Hide the advice of the quantizer, which it gives on every graph."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
