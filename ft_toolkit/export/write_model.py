"""Write the model folder of an export."""

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

import ft_toolkit
from ft_toolkit.core.errors import ModelError
from ft_toolkit.core.export_records import ExportedGeneration, ExportedGraph, ExportFormat, LayerChoice, SpecialTokens
from ft_toolkit.core.files import atomic_folder
from ft_toolkit.core.run_folder import ONNX_GRAPH, TRAINING_ROWS
from ft_toolkit.core.run_records import InferenceContract, write_contract
from ft_toolkit.export.certificate import raw_outputs, same_answer
from ft_toolkit.export.generation_graph import generation_facts, graph_names, write_generation_graphs
from ft_toolkit.export.graph import write_graph
from ft_toolkit.export.quantize import Change, quantize
from ft_toolkit.export.quantize_weights import quantize_weights
from ft_toolkit.export.source import Source
from ft_toolkit.inference.model_folder import LoadedModel
from ft_toolkit.models.pooled_model import save_pretrained
from ft_toolkit.models.save_tokenizer import save_tokenizer
from ft_toolkit.models.temperature import folded_temperature
from ft_toolkit.runtime.session import GraphSession, compute_values
from ft_toolkit.runtime.tokenizer import TOKENIZER
from ft_toolkit.tasks.base import Classifier, Features, Graph, Rows, without_answers
from ft_toolkit.training.collate import make_collate

# Training rows whose answers decide which layers of a quantized graph stay in float32.
CALIBRATION_ROWS = 256


@dataclass(frozen=True)
class WrittenModel:
    """Facts about a model folder that was written; `temperature` is the temperature that the weights contain."""

    contract: InferenceContract
    graph_difference: float | None
    layers: LayerChoice | None
    temperature: float | None


def write_model(
    folder: Path, source: Source, export_format: ExportFormat, calibration: Rows, allowed: float | None
) -> WrittenModel:
    """Write the model folder of an export. Raises ModelError for a model that cannot be exported.

    `calibration` are training rows; a quantized graph changes at most the share `allowed` of their answers. None allows all.
    """
    loaded = LoadedModel(str(source.model))
    model = loaded.model.merge_and_unload() if source.is_adapter else loaded.model
    contract = loaded.contract.model_copy(update={"base_model": None, "ft_toolkit": ft_toolkit.__version__})
    with atomic_folder(folder) as new:
        if (source.model / TRAINING_ROWS).is_file():
            shutil.copy(source.model / TRAINING_ROWS, new / TRAINING_ROWS)
        if export_format == "transformers":
            written = _write_transformers(new, loaded, model, contract, calibration[:2])
        else:
            quantized = export_format == "onnx-int8"
            written = _write_onnx(
                new, loaded, model, contract, _Quantization(calibration, allowed) if quantized else None
            )
        write_contract(new, written.contract)
    return written


def _write_transformers(
    folder: Path, loaded: LoadedModel, model: Any, contract: InferenceContract, rows: Rows
) -> WrittenModel:
    """Write config, weights with the calibration temperature, and tokenizer. Raises ModelError if it cannot be folded."""
    classifier: Classifier | None = loaded.task.classifier(loaded.settings)
    temperature = 1.0 if classifier is None else classifier.temperature(loaded.schema)
    save_tokenizer(loaded.tokenizer, folder)
    with folded_temperature(model, temperature, lambda: _logits(loaded, model, rows)) as is_folded:
        save_pretrained(model, folder)
    if is_folded and classifier is not None:
        schema = classifier.with_temperature(loaded.schema, 1.0)
        contract = contract.model_copy(update={"task_schema": asdict(schema), "folded_temperature": temperature})
    elif temperature != 1:
        raise ModelError(
            f"{loaded.folder}: the logits are not outputs of a linear layer, so the calibration temperature {temperature:.3g} "
            "cannot be folded into the weights, and transformers would give other probabilities. Use --format onnx"
        )
    return WrittenModel(contract, None, None, contract.folded_temperature)


def _logits(loaded: LoadedModel, model: Any, rows: Rows) -> torch.Tensor:
    features = loaded.task.encode(rows, loaded.tokenizer, loaded.schema, loaded.max_length)
    batch = make_collate(features, loaded.task, loaded.schema, loaded.tokenizer.pad_token_id)([0])
    with torch.no_grad():
        logits: torch.Tensor = model(**batch.inputs).logits.float()
    return logits


@dataclass(frozen=True)
class _Quantization:
    """The training rows for the choice of the layers, and the share of their answers that may change."""

    rows: Rows
    allowed: float | None


def _write_onnx(
    folder: Path, loaded: LoadedModel, model: Any, contract: InferenceContract, quantization: _Quantization | None
) -> WrittenModel:
    """Write the graph and tokenizer.json."""
    task = loaded.task
    tokenizer = loaded.tokenizer
    if not tokenizer.is_fast:
        raise ModelError(
            f"{loaded.folder}: the tokenizer has no tokenizer.json, so it needs transformers. Use --format transformers"
        )
    features = task.encode(_sample(quantization, loaded), tokenizer, loaded.schema, loaded.max_length)
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    tokenizer.backend_tokenizer.save(str(folder / TOKENIZER))
    model.to("cpu")
    if task.graph is None:
        return _write_language_model(folder, loaded, model, contract, features, is_quantized=quantization is not None)
    graph = graph_facts(tokenizer, task.graph.outputs, [*features.inputs, "attention_mask"])
    layers = None
    if quantization is None:
        difference = write_graph(model, folder, graph, per_token=task.graph.per_token)
    else:
        with tempfile.TemporaryDirectory() as scratch:
            difference = write_graph(model, Path(scratch), graph, per_token=task.graph.per_token)
            answers = _Answers(loaded, graph, features, quantization.rows)
            expected = answers.of(Path(scratch) / ONNX_GRAPH)
            choice = quantize(
                Path(scratch) / ONNX_GRAPH,
                folder / ONNX_GRAPH,
                lambda path: answers.change(expected, answers.of(path)),
                quantization.allowed,
            )
            if choice is not None and quantization.allowed is not None:
                layers = LayerChoice(**asdict(choice), rows=len(quantization.rows), allowed=quantization.allowed)
    return WrittenModel(
        contract.model_copy(update={"graph": graph, "mixed_precision": "no"}),
        difference,
        layers,
        contract.folded_temperature,
    )


def _write_language_model(
    folder: Path,
    loaded: LoadedModel,
    model: Any,
    contract: InferenceContract,
    features: Features,
    *,
    is_quantized: bool,
) -> WrittenModel:
    """Write the graphs of a model that generates texts or scores tokens."""
    task, tokenizer = loaded.task, loaded.tokenizer
    write: Callable[[Any, Path, ExportedGraph], float]
    if task.scored_tokens is not None and task.scored_tokens(loaded.schema) == "masked":
        graph = graph_facts(tokenizer, ["logits"], [*features.inputs, "attention_mask"])
        write = partial(write_graph, per_token=True)
    else:
        generation = None
        if task.exported_texts is not None:
            generation = generation_facts(model, tokenizer, task.exported_texts.settings(loaded.schema))
        inputs, outputs = graph_names(model)
        graph = graph_facts(tokenizer, outputs, inputs, generation)
        write = write_generation_graphs
    if is_quantized:
        with tempfile.TemporaryDirectory() as scratch:
            difference = write(model, Path(scratch), graph)
            for path in Path(scratch).glob("*.onnx"):
                quantize_weights(path, folder / path.name)
    else:
        difference = write(model, folder, graph)
    return WrittenModel(
        contract.model_copy(update={"graph": graph, "mixed_precision": "no"}),
        difference,
        None,
        contract.folded_temperature,
    )


def graph_facts(
    tokenizer: Any, outputs: Sequence[str], inputs: Sequence[str], generation: ExportedGeneration | None = None
) -> ExportedGraph:
    """Return the facts about a graph and its tokenizer for inference.json; inputs and outputs are names."""
    return ExportedGraph(
        file=ONNX_GRAPH,
        inputs=list(inputs),
        outputs=list(outputs),
        generation=generation,
        chat_template=tokenizer.get_chat_template() if tokenizer.chat_template else None,
        has_token_types="token_type_ids" in tokenizer.model_input_names,
        special_tokens=SpecialTokens(
            pad=tokenizer.pad_token,
            **{role: getattr(tokenizer, f"{role}_token", None) for role in ("unk", "bos", "eos", "cls", "sep")},
        ),
    )


def _sample(quantization: _Quantization | None, loaded: LoadedModel) -> Rows:
    """Return the calibration rows, or sample rows of the task, which show the inputs of the model."""
    if quantization is not None:
        return quantization.rows
    task, settings = loaded.task, loaded.settings
    rows, _ = task.read_rows(task.sample_rows(settings), settings, "sample rows")
    return [without_answers(row, task) for row in rows]


@dataclass(frozen=True)
class _Answered:
    """The predictions of a graph and its outputs, all in one array."""

    predictions: list[dict[str, Any]]
    outputs: np.ndarray


@dataclass(frozen=True)
class _Answers:
    """The answers of graphs on the calibration rows."""

    loaded: LoadedModel
    graph: ExportedGraph
    features: Features
    rows: Rows

    def of(self, path: Path) -> _Answered:
        """Return the answers of a graph file."""
        task, schema, features = self.loaded.task, self.loaded.schema, self.features
        graph: Graph | None = task.graph
        assert graph is not None, "source.py refuses other tasks"
        session = GraphSession(path.parent, self.graph.model_copy(update={"file": path.name}))
        raw = compute_values(session, features, raw_outputs(graph), schema, self.loaded.tokenizer.pad_token_id)
        values: list[Any] = []
        for arrays, length in zip(raw, features.lengths, strict=True):
            named = {name: array[None] for name, array in zip(graph.outputs, arrays, strict=True)}
            values += graph.values(named, [length], schema)
        flat = np.concatenate([array.ravel() for arrays in raw for array in arrays])
        return _Answered(task.decode(values, features, self.rows, schema), flat)

    def change(self, expected: _Answered, answered: _Answered) -> Change:
        """Return the change from the expected answers."""
        loaded = self.loaded
        changed = [
            not same_answer(loaded.task, loaded.settings, loaded.schema, ours, theirs)
            for ours, theirs in zip(expected.predictions, answered.predictions, strict=True)
        ]
        error = float(np.sqrt(np.mean((answered.outputs - expected.outputs) ** 2)))
        return Change(sum(changed) / len(changed), error)
