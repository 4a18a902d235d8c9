"""Exported models that are written by hand, in milliseconds: the sum of a vector per word, then a linear layer.

The word `crash` has no vector, so the graph fails on it.
"""

import json
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save
from tokenizers import Tokenizer, models, pre_tokenizers

from ft_toolkit import runtime
from ft_toolkit.core.export_records import ExportedGraph, SpecialTokens
from ft_toolkit.core.run_records import InferenceContract, write_contract
from ft_toolkit.tasks import find_tasks

WORDS = ["[PAD]", "[UNK]", "good", "bad", "lovely", "broken", "lamp", "late", "Ada", "Bob", "Paris"]
WIDTH = 64
SCHEMAS = {
    "text_classification": {
        "problem_type": "single_label_classification",
        "labels": ["bad", "good"],
        "class_weights": None,
        "threshold": 0.5,
        "long_texts": "cut",
        "temperature": 1.0,
        "label_order": None,
    },
    "ner": {"labels": ["PER"], "stride": 4, "tagged_token": "first", "label_order": None},
}


def write_export(folder: Path, seed: int, task: str = "text_classification", *, depth: int = 0) -> Path:
    """Write the folder of an export with random weights. Each of `depth` layers costs time and changes nothing."""
    model = folder / "model"
    model.mkdir(parents=True)
    vocabulary = {word: i for i, word in enumerate(WORDS)} | {"crash": 1000}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(model / "tokenizer.json"))
    _save_graph(model / "model.onnx", seed, 2 if task == "text_classification" else 3, depth, task == "ner")
    contract = InferenceContract(
        task=task,
        settings={"name": task},
        schema=SCHEMAS[task],
        max_length=64,
        mixed_precision="no",
        tokens_per_batch=512,
        graph=ExportedGraph(
            file="model.onnx",
            inputs=["input_ids"],
            outputs=["logits"],
            has_token_types=False,
            special_tokens=SpecialTokens(pad="[PAD]", unk="[UNK]"),
        ),
    )
    write_contract(model, contract)
    rows = [{"text": f"{first} lamp {second}"} for first in WORDS[2:8] for second in WORDS[2:5]]
    loaded = runtime.load(folder)
    assert loaded.task is find_tasks()[task]
    lines = [{"split": "test", "id": str(i), **row, "gold": "good", **loaded(row)} for i, row in enumerate(rows)]
    (folder / "predictions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return folder


def _save_graph(path: Path, seed: int, n_labels: int, depth: int, per_token: bool) -> None:
    draw = np.random.default_rng(seed)
    embeddings = draw.normal(size=(len(WORDS), WIDTH)).astype(np.float32)
    embeddings[0] = 0  # padding changes no sum
    weights = {
        "words": embeddings,
        "same": np.eye(WIDTH, dtype=np.float32),
        "head": draw.normal(size=(WIDTH, n_labels)).astype(np.float32),
        "axis": np.array([1], np.int64),
    }
    nodes = [helper.make_node("Gather", ["words", "input_ids"], ["h0"])]
    nodes += [helper.make_node("MatMul", [f"h{i}", "same"], [f"h{i + 1}"]) for i in range(depth)]
    last = f"h{depth}"
    if not per_token:
        nodes.append(helper.make_node("ReduceSum", [last, "axis"], ["sum"], keepdims=0))
        last = "sum"
    nodes.append(helper.make_node("MatMul", [last, "head"], ["logits"]))
    shape = ["texts", "tokens"]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [*shape[: 2 if per_token else 1], n_labels])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), str(path))
