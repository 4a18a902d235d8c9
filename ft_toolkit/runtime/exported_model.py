"""A model that `ftk export` wrote as a graph: load it and predict, without torch."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, overload

from ft_toolkit.core.errors import ModelError
from ft_toolkit.core.model_folders import find_model_folder
from ft_toolkit.core.run_folder import INFERENCE
from ft_toolkit.core.run_records import read_contract
from ft_toolkit.data.inputs import Inputs
from ft_toolkit.recipe.saved_task import load_saved_task
from ft_toolkit.runtime.decoder_graph import DecoderGraph, is_decoder_graph
from ft_toolkit.runtime.finished_model import notes_for, predict_data, read_for
from ft_toolkit.runtime.session import GraphSession, compute_values
from ft_toolkit.runtime.text_generator import OnTokens, TextGenerator
from ft_toolkit.runtime.token_scorer import score_features
from ft_toolkit.runtime.tokenizer import RuntimeTokenizer
from ft_toolkit.tasks.base import ExportedTexts, Features, Graph, OnText, Row, Rows, without_answers
from ft_toolkit.tasks.text.streaming import GrowingText

# Rows that are encoded and sorted by length together; of generated texts, which are slow, fewer.
CHUNK, CHUNK_GENERATED = 4096, 64


class ExportedModel:
    """An exported model. Call it with texts or rows to predict; it gives the same answers as `ft_toolkit.load`.

    `task` is the task, `contract` the content of inference.json, and `folder` the model folder.

        model = ft_toolkit.runtime.load("exports/demo")
        model("Where is my parcel?")
    """

    def __init__(self, name: str) -> None:
        """Load the folder of an export, or its model folder. Raises ModelError, RunFolderError."""
        folder = find_model_folder(Path(name))
        if folder is None:
            raise ModelError(f"{name}: not the folder of an exported model ({INFERENCE} not found)")
        self.folder = folder
        self.contract = read_contract(folder)
        graph = self.contract.graph
        if graph is None:
            raise ModelError(
                f"{name}: the model is not exported as a graph. Load it with ft_toolkit.load, or export it: "
                f"ftk export {name} FOLDER --format onnx"
            )
        contract = self.contract
        saved = load_saved_task(folder / INFERENCE, contract.task, contract.settings, contract.task_schema)
        self.task, self.settings, self.schema = saved.task, saved.settings, saved.schema
        self.max_length = contract.max_length
        self.tokenizer = RuntimeTokenizer(folder, graph)
        task = self.task
        self._session: GraphSession | None = None
        self._decoder: DecoderGraph | None = None
        self._generator: TextGenerator | None = None
        if task.graph is None and task.exported_texts is None and task.scored_tokens is None:
            raise ModelError(f"{folder / INFERENCE}: models of {task.name} cannot be exported as a graph")
        if is_decoder_graph(graph):
            self._decoder = DecoderGraph(folder, graph)
        else:
            self._session = GraphSession(folder, graph)
        if self._decoder is not None and graph.generation is not None:
            self._generator = TextGenerator(folder, graph, self._decoder, self.tokenizer)

    @overload
    def __call__(
        self, data: str | Mapping[str, Any], *, columns: Mapping[str, str] | None = None
    ) -> dict[str, Any]: ...

    @overload
    def __call__(self, data: Any, *, columns: Mapping[str, str] | None = None) -> list[dict[str, Any]]: ...

    def __call__(self, data: Any, *, columns: Mapping[str, str] | None = None) -> dict[str, Any] | list[dict[str, Any]]:
        """Predict: one dict for one row (a str or a dict), else a list with one dict per row; see `LoadedModel.__call__`."""
        return predict_data(self, data, columns)

    def read(self, data: Any, columns: Mapping[str, str] | None = None, first_row: int = 1) -> Inputs:
        """Return the rows of `data` with the task's columns; messages count from `first_row`. Raises UsageError."""
        return read_for(self, data, columns, first_row)

    def notes(self, rows: Rows, features: Features) -> list[str]:
        """Return notes on labelled rows whose texts the tokenizer changes."""
        return notes_for(self, rows, features)

    def stream(self, inputs: Inputs) -> Iterator[list[dict[str, Any]]]:
        """Yield lists of predictions, in order, as they are computed: thousands of rows each, or 64 for generated texts."""
        size = CHUNK if self._generator is None else CHUNK_GENERATED
        for start in range(0, len(inputs.rows), size):
            yield self.predict_split([without_answers(row, self.task) for row in inputs.rows[start : start + size]])[0]

    def predict_split(self, rows: Rows) -> tuple[list[dict[str, Any]], Features]:
        """Return one prediction per row, and the model's input. The answers of the rows are checked. Raises DataError."""
        task = self.task
        features = task.encode(rows, self.tokenizer, self.schema, self.max_length)
        return task.decode(self._values(features), features, rows, self.schema), features

    def predict_row(self, row: Row, on_text: OnText) -> dict[str, Any]:
        """Return the prediction of one row of `read`, and pass a generated text to `on_text` while it is generated.

        Nothing is passed for other predictions, and for texts of a beam search.
        """
        exported, schema = self.task.exported_texts, self.schema
        if self._generator is None or exported is None:
            return self.predict_split([row])[0][0]
        features = self.task.encode([row], self.tokenizer, schema, self.max_length)
        growing = GrowingText(on_text, self._generator.stop_strings)
        first = next(iter(exported.prompts(features, schema)), ())
        values = self._values(
            features, lambda tokens: growing.show(exported.show(first, tokens, self.tokenizer, schema))
        )
        return self.task.decode(values, features, [row], schema)[0]

    def values_of(self, features: Features, graph: Graph) -> list[Any]:
        """Return one value of `graph` per feature, in order, from a model that does not generate texts."""
        assert self._session is not None, "the model generates texts"
        return compute_values(self._session, features, graph, self.schema, self.tokenizer.pad_token_id or 0)

    def token_scores_of(self, features: Features) -> list[Any]:
        """Return the scores of the target tokens of each feature, in order, from a language model; None without targets."""
        graph = self._decoder or self._session
        assert graph is not None, "one of them is open"
        return list(score_features(graph, self.task, features, self.schema, self.tokenizer.pad_token_id or 0))

    def _values(self, features: Features, on_tokens: OnTokens | None = None) -> list[Any]:
        """Return one value per feature for `Task.decode`, and pass the tokens of the first text to `on_tokens`."""
        task = self.task
        if task.graph is not None:
            return self.values_of(features, task.graph)
        scores = None if task.scored_tokens is None else self.token_scores_of(features)
        if task.exported_texts is None:
            return scores or []
        texts = self._texts(features, task.exported_texts, on_tokens)
        return texts if scores is None else list(zip(scores, texts, strict=True))

    def _texts(self, features: Features, exported: ExportedTexts, on_tokens: OnTokens | None) -> list[Any]:
        """Return the generated value of each feature, in order."""
        assert self._generator is not None, "a model that generates texts"
        prompts = exported.prompts(features, self.schema)
        texts = exported.texts(prompts, self._generator.generate(prompts, on_tokens), self.tokenizer, self.schema)
        return exported.values(texts, features, self.schema)


def is_exported_graph(name: str) -> bool:
    """Return whether `name` is a local folder with an exported graph, which needs no torch."""
    folder = find_model_folder(Path(name))
    return folder is not None and read_contract(folder).graph is not None
