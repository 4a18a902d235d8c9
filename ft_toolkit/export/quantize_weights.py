"""Store the weights of a language model's graph in 8 bits; its activations stay in float32.

A decoder has activations of very different sizes, so quantizing them to 8 bits loses much accuracy: the perplexity of
SmolLM2-135M on image captions was 39.92 in float32, 70.60 with activations in 8 bits, and 39.91 with this module. The result
of a row does not depend on the other rows of its batch.
"""

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from ft_toolkit.export.quantize import quiet_quantizer

# The number of weights that share a scale. The perplexity above was 41.0 with 128 and 40.2 with 64.
BLOCK = 32
# The operator computes blocks of 8-bit weights with activations that it rounds to 8 bits per block.
_ACCURACY_LEVEL = 4
_LARGEST = 127


def quantize_weights(source: Path, target: Path) -> None:
    """Write the graph `source` to `target` with matrices in 8 bits: products per block of inputs, embeddings per row."""
    onnx = import_module("onnx")
    model = onnx.load(str(source))
    _make_plain_products(model.graph)
    _quantize_embeddings(model.graph)
    with quiet_quantizer():
        quantizers = import_module("onnxruntime.quantization.matmul_nbits_quantizer")
        quantizer = quantizers.MatMulNBitsQuantizer(
            model, bits=8, block_size=BLOCK, is_symmetric=True, accuracy_level=_ACCURACY_LEVEL
        )
        quantizer.process()
    _remove_unused_weights(quantizer.model.model.graph)
    onnx.save(quantizer.model.model, str(target))


def _make_plain_products(graph: Any) -> None:
    """Transpose constant weights once, and write a product with a bias as a product and a sum, which the quantizer knows."""
    helper, arrays = import_module("onnx.helper"), import_module("onnx.numpy_helper")
    weights = {tensor.name: tensor for tensor in graph.initializer}

    def add(name: str, array: np.ndarray) -> str:
        graph.initializer.append(arrays.from_array(np.ascontiguousarray(array), name))
        return name

    nodes: list[Any] = []
    for node in graph.node:
        settings = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        if node.op_type == "Transpose" and node.input[0] in weights:
            add(node.output[0], arrays.to_array(weights[node.input[0]]).transpose(settings.get("perm")))
        elif node.op_type == "Gemm" and node.input[1] in weights and _is_linear(settings):
            weight = node.input[1]
            if settings.get("transB"):
                weight = add(f"{node.output[0]}_weight", arrays.to_array(weights[weight]).T)
            product = f"{node.output[0]}_product" if len(node.input) > 2 else node.output[0]
            nodes.append(helper.make_node("MatMul", [node.input[0], weight], [product], name=node.name))
            if len(node.input) > 2:
                nodes.append(helper.make_node("Add", [product, node.input[2]], [node.output[0]]))
        else:
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)


def _is_linear(settings: dict[str, Any]) -> bool:
    """Return whether a Gemm node computes x @ weight + bias."""
    return not settings.get("transA") and settings.get("alpha", 1.0) == settings.get("beta", 1.0) == 1.0


def _quantize_embeddings(graph: Any) -> None:
    """Store each matrix from which rows are taken in 8 bits with a scale per row."""
    helper, arrays = import_module("onnx.helper"), import_module("onnx.numpy_helper")
    kinds = import_module("onnx").TensorProto
    weights = {tensor.name: tensor for tensor in graph.initializer}
    stored: set[str] = set()
    nodes: list[Any] = []
    for node in graph.node:
        weight = weights.get(node.input[0]) if node.op_type == "Gather" else None
        takes_rows = all(not helper.get_attribute_value(attribute) for attribute in node.attribute)
        if weight is None or weight.data_type != kinds.FLOAT or len(weight.dims) != 2 or not takes_rows:
            nodes.append(node)
            continue
        quantized, scale = f"{weight.name}_8_bits", f"{weight.name}_scale"
        if weight.name not in stored:
            stored.add(weight.name)
            rows = arrays.to_array(weight)
            scales = np.maximum(np.abs(rows).max(1, keepdims=True) / _LARGEST, np.finfo(np.float32).tiny)
            graph.initializer.append(arrays.from_array(np.round(rows / scales).astype(np.int8), quantized))
            graph.initializer.append(arrays.from_array(scales.astype(np.float32), scale))
        int8_row, float_row, row_scale = (f"{node.output[0]}_{part}" for part in ("row", "number", "scale"))
        nodes += [
            helper.make_node("Gather", [quantized, node.input[1]], [int8_row], name=node.name),
            helper.make_node("Cast", [int8_row], [float_row], to=kinds.FLOAT),
            helper.make_node("Gather", [scale, node.input[1]], [row_scale]),
            helper.make_node("Mul", [float_row, row_scale], [node.output[0]]),
        ]
    del graph.node[:]
    graph.node.extend(nodes)


def _remove_unused_weights(graph: Any) -> None:
    """Remove weights that no node reads."""
    used = {name for node in graph.node for name in node.input} | {output.name for output in graph.output}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
