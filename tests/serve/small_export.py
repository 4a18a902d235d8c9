"""Exported models that are written by hand, in milliseconds: the sum of a vector per word, then a linear layer.

The word `crash` has no vector, so the graph fails on it. `write_writer` writes a decoder that counts the words up.
"""

import json
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from ft_toolkit import runtime
from ft_toolkit.core.export_records import ExportedGeneration, ExportedGraph, SpecialTokens
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


def write_writer(folder: Path) -> Path:
    """Write the folder of an exported text generator that writes the words after the last word of the prompt, up to [END]."""
    model = folder / "model"
    model.mkdir(parents=True)
    words = ["[END]", "[UNK]", *(f"w{i}" for i in range(20))]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(["[END]"])
    tokenizer.post_processor = processors.TemplateProcessing(single="[END] $A", special_tokens=[("[END]", 0)])
    tokenizer.save(str(model / "tokenizer.json"))
    inputs = ["input_ids", "attention_mask", "position_ids", "rows", "kept", "past_0"]
    following = np.eye(len(words), dtype=np.float32)[[(i + 1) % len(words) for i in range(len(words))]] * 9
    nodes = [
        helper.make_node("Gather", ["input_ids", "kept"], ["last"], axis=1),
        helper.make_node("Gather", ["following", "last"], ["logits"]),
        helper.make_node("Gather", ["past_0", "rows"], ["selected"]),
        helper.make_node("Unsqueeze", ["input_ids", "axes"], ["new"]),
        helper.make_node("Cast", ["new"], ["new_floats"], to=TensorProto.FLOAT),
        helper.make_node("Concat", ["selected", "new_floats"], ["present_0"], axis=2),
    ]
    integer, number = TensorProto.INT64, TensorProto.FLOAT
    cache = ["texts", 1, "past", 1]
    graph = helper.make_graph(
        nodes,
        "writer",
        [
            *(helper.make_tensor_value_info(name, integer, ["texts", name]) for name in inputs[:3]),
            *(helper.make_tensor_value_info(name, integer, [name]) for name in inputs[3:5]),
            helper.make_tensor_value_info("past_0", number, cache),
        ],
        [
            helper.make_tensor_value_info("logits", number, ["texts", "n_kept", len(words)]),
            helper.make_tensor_value_info("present_0", number, ["texts", 1, "all", 1]),
        ],
        [numpy_helper.from_array(following, "following"), numpy_helper.from_array(np.array([1, 3]), "axes")],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), str(model / "model.onnx"))
    decoding = {"max_new_tokens": 30, "end_id": 0, "pad_id": 0, "stop_strings": ["w18"]}
    schema = {
        "start_id": 0, "end_id": 0, "packed": False, "max_positions": None, "prompt_words": 5, "continued_share": 1.0,
        "decoding": decoding,
    }  # fmt: skip
    generation = ExportedGeneration(
        encoder=None, num_beams=1, length_penalty=1.0, max_new_tokens=30, min_new_tokens=0, no_repeat_ngram_size=0,
        eos_token_id=0, pad_token_id=0, decoder_start_token_id=None, forced_bos_token_id=None, forced_eos_token_id=None,
        suppress_tokens=[], begin_suppress_tokens=[], renormalize_logits=False, clean_up_tokenization_spaces=False,
        stop_strings=["w18"],
    )  # fmt: skip
    special = SpecialTokens(pad="[END]", unk="[UNK]", bos="[END]", eos="[END]")
    contract = InferenceContract(
        task="text_generation",
        settings={"name": "text_generation"},
        schema=schema,
        max_length=64,
        mixed_precision="no",
        tokens_per_batch=512,
        graph=ExportedGraph(
            file="model.onnx",
            inputs=inputs,
            outputs=["logits", "present_0"],
            has_token_types=False,
            special_tokens=special,
            generation=generation,
        ),
    )
    write_contract(model, contract)
    return folder
