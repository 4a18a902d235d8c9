"""Exported language models give the scores and the texts of the torch model: continuations, replies and perplexities."""

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from ft_toolkit.core.errors import ModelError
from ft_toolkit.core.export_records import ExportedGraph
from ft_toolkit.core.run_records import InferenceContract, write_contract
from ft_toolkit.evaluation.predictor import Predictor
from ft_toolkit.export.generation_graph import generation_facts, graph_names, write_generation_graphs
from ft_toolkit.export.graph import write_graph
from ft_toolkit.export.write_model import graph_facts
from ft_toolkit.inference.device import inference_device
from ft_toolkit.models.pretrained import load_model, load_tokenizer, read_pretrained
from ft_toolkit.runtime.exported_model import ExportedModel
from ft_toolkit.tasks import find_tasks
from ft_toolkit.tasks.base import Row, Rows
from ft_toolkit.tasks.text.streaming import INCOMPLETE

# Families that are exported besides the two decoders of the README's table.
SIZES: dict[str, dict[str, Any]] = {
    "gpt_neox": {"rotary_pct": 0.25},
    "opt": {"ffn_dim": 64, "word_embed_proj_dim": 32, "do_layer_norm_before": True},
    "qwen2": {"num_key_value_heads": 2},
    "gemma": {"num_key_value_heads": 1, "head_dim": 8},
    "mistral": {"num_key_value_heads": 2, "sliding_window": 12},
}
ARCHITECTURES = ["gpt2", "llama", *SIZES]
TEXTS = ["a parcel came late", "the lamp is broken and I want a new one", "hello", "where is it?"]
ROWS: dict[str, Rows] = {
    "text_generation": [{"prompt": text} for text in TEXTS],
    "dialogue": [{"turns": [{"speaker": "user", "text": text}]} for text in TEXTS[:3]]
    + [
        {
            "turns": [
                {"speaker": "user", "text": "hello"},
                {"speaker": "assistant", "text": "where?"},
                {"speaker": "user", "text": "the lamp"},
            ]
        }
    ],
    "language_modelling": [{"text": text} for text in [*TEXTS, "", "the lamp " * 60]],
}
SCORED: dict[str, Rows] = {
    "text_generation": [{"prompt": text, "completion": text[::-1]} for text in TEXTS],
    "dialogue": [
        {"turns": [{"speaker": "user", "text": text}, {"speaker": "assistant", "text": text[::-1]}]} for text in TEXTS
    ],
    "language_modelling": ROWS["language_modelling"],
}


def _checkpoint(architecture: str, tiny: Any, folder: Path) -> Path:
    """Return the folder of a tiny checkpoint with random weights."""
    if architecture not in SIZES:
        return Path(tiny(architecture))
    tokenizer = load_tokenizer(Path(tiny("llama")))
    config = AutoConfig.for_model(
        architecture,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=512,
        vocab_size=len(tokenizer),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.eos_token_id,
        **SIZES[architecture],
    )
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _sharpen(model: Any) -> None:
    """Make the next token of a random model depend on the last tokens."""
    torch.manual_seed(1)
    for name, weight in model.named_parameters():
        if "norm" not in name.lower() and weight.dim() > 1:
            weight.data = torch.randn_like(weight) * (0.6 if "emb" in name or "wte" in name else 0.3)


class Pair:
    """A model in torch and its exported graph, for a task."""

    def __init__(self, name: str, checkpoint: Path, folder: Path, **settings: Any) -> None:
        self.task = task = find_tasks()[name]
        self.folder = folder
        chosen = task.settings(name=name, **settings)
        self.rows, _ = task.read_rows(task.sample_rows(chosen), chosen, "sample rows")
        self.tokenizer = load_tokenizer(checkpoint)
        self.schema = task.find_schema(chosen, self.rows, None, read_pretrained(checkpoint, self.tokenizer))
        self.model = load_model(checkpoint, task, self.schema, self.tokenizer, dropout=None, seed=3).model.eval()
        _sharpen(self.model)
        self.settings, self.first_schema = chosen, self.schema
        task.encode(self.rows, self.tokenizer, self.schema, 64)  # sets the start token and the chat template
        self.difference: float | None = None

    def torch_predictions(self, rows: Rows, tokens_per_batch: int = 4096) -> list[dict[str, Any]]:
        predictor = Predictor(
            inference_device("no"), self.model, self.task, self.schema, self.tokenizer, tokens_per_batch
        )
        features = self.task.encode(rows, self.tokenizer, self.schema, 64)
        return self.task.decode(predictor.predict(features)[0], features, rows, self.schema)

    def export(self) -> ExportedModel:
        """Write the graph once, and the settings of the schema."""
        task, folder = self.task, self.folder
        if task.configure is not None:
            task.configure(self.model, self.schema)
        folder.mkdir(exist_ok=True)
        if task.scored_tokens is not None and task.scored_tokens(self.schema) == "masked":
            graph = graph_facts(self.tokenizer, ["logits"], ["input_ids", "attention_mask"])
            self.difference = write_graph(self.model, folder, graph, per_token=True)
            return self._open(graph)
        inputs, outputs = graph_names(self.model)
        generation = None
        if task.exported_texts is not None:
            generation = generation_facts(self.model, self.tokenizer, task.exported_texts.settings(self.schema))
        graph = graph_facts(self.tokenizer, outputs, inputs, generation)
        if self.difference is None:
            self.difference = write_generation_graphs(self.model, folder, graph)
        return self._open(graph)

    def _open(self, graph: ExportedGraph) -> ExportedModel:
        self.tokenizer.backend_tokenizer.save(str(self.folder / "tokenizer.json"))
        write_contract(self.folder, _contract(self, graph))
        return ExportedModel(str(self.folder))


def _contract(pair: Pair, graph: Any) -> InferenceContract:
    return InferenceContract(
        task=pair.task.name,
        settings=pair.settings.model_dump(mode="json"),
        schema=json.loads(json.dumps(asdict(pair.schema))),
        max_length=64,
        mixed_precision="no",
        tokens_per_batch=4096,
        graph=graph,
    )


def _close(ours: Any, theirs: Any) -> bool:
    """Return whether two predictions are equal, with numbers up to the rounding of float32."""
    if isinstance(ours, float):
        return bool(ours == pytest.approx(theirs, rel=1e-4, abs=1e-4))
    if isinstance(ours, dict):
        return ours.keys() == theirs.keys() and all(_close(ours[key], theirs[key]) for key in ours)
    if isinstance(ours, list):
        return len(ours) == len(theirs) and all(_close(*pair) for pair in zip(ours, theirs, strict=True))
    return bool(ours == theirs)


DECODINGS: dict[str, dict[str, Any]] = {
    "greedy": {},
    "no repetition": {"repetition_penalty": 1.4, "no_repeat_ngram_size": 2},
    "samples": {"do_sample": True, "num_return_sequences": 3, "sampling_seed": 7, "temperature": 0.8},
    "narrow samples": {"do_sample": True, "top_k": 5, "top_p": 0.8, "repetition_penalty": 0.8},
    "beams": {"num_beams": 3},
}


def _with(pair: Pair, changes: dict[str, Any]) -> ExportedModel:
    """Return the exported model with changed settings of the generation, which torch uses too."""
    pair.schema = replace(pair.first_schema, decoding=replace(pair.first_schema.decoding, **changes))
    return pair.export()


@pytest.fixture(scope="module", params=ARCHITECTURES)
def pairs(request: pytest.FixtureRequest, tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pair]:
    """The models of a family for each task that continues texts. They have the same weights, so they share a graph."""
    folder = tmp_path_factory.mktemp("graphs")
    checkpoint = _checkpoint(request.param, tiny, folder / "checkpoint")
    made = {name: Pair(name, checkpoint, folder / name, max_new_tokens=10) for name in ("text_generation", "dialogue")}
    made["text_generation"].export()
    shutil.copytree(folder / "text_generation", folder / "dialogue")
    made["dialogue"].difference = made["text_generation"].difference
    return made


def _streamed(exported: ExportedModel, row: Row) -> tuple[dict[str, Any], list[str]]:
    """Return the prediction of a row and the pieces of its text."""
    pieces: list[str] = []
    return exported.predict_row(row, lambda piece: pieces.append(piece) is None), pieces


@pytest.mark.slow
@pytest.mark.parametrize("name", ["text_generation", "dialogue"])
def test_texts_of_every_family(pairs: dict[str, Pair], name: str) -> None:
    pair = pairs[name]
    assert pair.difference is not None and pair.difference < 1e-5
    for how, changes in DECODINGS.items():
        exported = _with(pair, changes)
        together = exported.predict_split(ROWS[name])[0]
        assert _close(together, pair.torch_predictions(ROWS[name])), how
        single = [exported.predict_split([row])[0][0] for row in ROWS[name]]
        assert single == together, "a batch has the texts of single rows"
        texts = [pair.task.answer(prediction, pair.schema) for prediction in together]
        assert len(set(texts)) > 1, "the texts differ"
        prediction, pieces = _streamed(exported, ROWS[name][1])
        assert prediction == together[1]
        shown = texts[1].rstrip(INCOMPLETE) if how != "beams" else ""
        assert "".join(pieces).strip() == shown.strip()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["text_generation", "dialogue"])
def test_a_text_ends_before_a_stop_string(pairs: dict[str, Pair], name: str) -> None:
    pair = pairs[name]
    texts = [pair.task.answer(each, pair.schema) for each in _with(pair, {}).predict_split(ROWS[name])[0]]
    stop = texts[0][2:4]
    exported = _with(pair, {"stop_strings": (stop,)})
    predictions = exported.predict_split(ROWS[name])[0]
    assert predictions == pair.torch_predictions(ROWS[name])
    assert pair.task.answer(predictions[0], pair.schema).strip() == texts[0][: texts[0].index(stop)].strip()
    assert stop not in "".join(_streamed(exported, ROWS[name][0])[1])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["text_generation", "dialogue"])
def test_scores_of_every_family(pairs: dict[str, Pair], name: str) -> None:
    pair = pairs[name]
    exported = _with(pair, {})
    assert _close(exported.predict_split(SCORED[name])[0], pair.torch_predictions(SCORED[name]))
    stopped = exported.predict_row(ROWS[name][1], lambda piece: False)
    assert pair.task.answer(exported.predict_split(ROWS[name][1:2])[0][0], pair.schema).startswith(
        pair.task.answer(stopped, pair.schema)
    )


# The settings of language modelling for each architecture: rows that share a block, one stream, padded rows, masked words.
MODES: dict[str, list[dict[str, Any]]] = {
    "gpt2": [{}, {"documents": "joined"}],
    "opt": [{}],
    "bert": [{"mask_share": 0.3}],
}


@pytest.mark.slow
@pytest.mark.parametrize("architecture", MODES)
def test_perplexities(architecture: str, tiny: Any, tmp_path: Path) -> None:
    checkpoint, rows = _checkpoint(architecture, tiny, tmp_path / "checkpoint"), ROWS["language_modelling"]
    difference = None
    for settings in MODES[architecture]:
        pair = Pair("language_modelling", checkpoint, tmp_path / "graph", **settings)
        pair.difference = difference  # the weights are equal, so the graph is written once
        exported = pair.export()
        difference = pair.difference
        assert difference is not None and difference < 1e-4
        expected = pair.torch_predictions(rows)
        assert _close(exported.predict_split(rows)[0], expected)
        if "documents" not in settings:
            assert _close([exported.predict_split([row])[0][0] for row in rows], expected)
        assert len({prediction["perplexity"] for prediction in expected}) > 3, "the texts differ"


def test_a_decoder_with_another_cache_is_refused() -> None:
    config = AutoConfig.for_model("mamba", hidden_size=16, num_hidden_layers=1, vocab_size=40, state_size=4)
    with pytest.raises(ModelError, match="MambaForCausalLM cannot be exported as a graph: its blocks have caches"):
        graph_names(AutoModelForCausalLM.from_config(config))
