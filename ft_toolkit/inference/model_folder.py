"""Load a finished model: its weights, tokenizer and inference.json, which has everything that inference needs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, overload

from ft_toolkit.core.errors import ModelError, UsageError
from ft_toolkit.core.hub_names import split_revision
from ft_toolkit.core.model_folders import find_model_folder
from ft_toolkit.core.quiet import quiet_libraries
from ft_toolkit.core.run_folder import INFERENCE, is_local
from ft_toolkit.core.run_records import InferenceContract, read_contract, read_members, write_contract
from ft_toolkit.data.inputs import Inputs
from ft_toolkit.evaluation.predictor import Predictor, predict_in_chunks
from ft_toolkit.inference.device import inference_device
from ft_toolkit.inference.ensemble import EnsemblePredictor
from ft_toolkit.models.adapter_runs import load_adapted
from ft_toolkit.models.pooled_model import save_pretrained
from ft_toolkit.models.pretrained import (
    download,
    kind_of,
    load_saved_config,
    load_tokenizer,
)
from ft_toolkit.models.save_tokenizer import save_tokenizer
from ft_toolkit.models.weights import load_finished
from ft_toolkit.recipe.saved_task import SavedTask, load_saved_task
from ft_toolkit.runtime.exported_model import ExportedModel
from ft_toolkit.runtime.finished_model import notes_for, predict_data, read_for
from ft_toolkit.tasks.base import Features, Graph, OnText, Row, Rows
from ft_toolkit.training.speedups.last_block import shorten_last_block


class LoadedModel:
    """A finished model. Call it with texts or rows to predict.

    `task` is the task, `contract` the content of inference.json, `model` the transformers model in evaluation mode (of an
    ensemble, the model of its first member), `folder` the model folder, and `ensemble` averages the members of an ensemble
    (None for a single model).

        model = ft_toolkit.load("runs/demo")
        model("Where is my parcel?")
    """

    def __init__(self, name: str, base: str | None = None) -> None:
        """Load a run folder, a model folder, or a model on the Hub (owner/name or owner/name@revision).

        `base` is the folder of an adapter's base model, if it was moved after the training. Raises ModelError, or
        RunFolderError for a damaged inference.json.
        """
        self.folder = folder = model_folder(name)
        self.contract = contract = read_contract(folder)
        if contract.graph is not None:
            raise ModelError(f"{name}: an exported graph has no torch model; load it with ft_toolkit.runtime.load")
        saved = load_saved_task(folder / INFERENCE, contract.task, contract.settings, contract.task_schema)
        self.task, self.settings, self.schema = saved.task, saved.settings, saved.schema
        self.max_length = contract.max_length
        members = [_load_predictor(member, base) for member in read_members(folder)]
        self._predictor = members[0].predictor
        self.model, self.tokenizer = self._predictor.model, self._predictor.tokenizer
        self.ensemble: EnsemblePredictor | None = None
        if len(members) > 1:
            predictors, lengths = [each.predictor for each in members], [each.max_length for each in members]
            self.ensemble = EnsemblePredictor(predictors, lengths, self.schema)

    @overload
    def __call__(
        self, data: str | Mapping[str, Any], *, columns: Mapping[str, str] | None = None
    ) -> dict[str, Any]: ...

    @overload
    def __call__(self, data: Any, *, columns: Mapping[str, str] | None = None) -> list[dict[str, Any]]: ...

    def __call__(self, data: Any, *, columns: Mapping[str, str] | None = None) -> dict[str, Any] | list[dict[str, Any]]:
        """Predict: one dict for one row (a str or a dict), else a list with one dict per row, in order.

        `data` is a str (one text), a dict (one row), a list, tuple or iterator of them, a one-dimensional numpy array or
        pandas Series of texts, a pandas DataFrame, or a `datasets.Dataset`. Columns may have the names of the training
        run or of the task; if both exist, the name of the training run is used, with a warning. `columns` maps columns of
        the task to columns of the data and overrides both.

        The keys of a prediction depend on the task: label, score and probabilities for a classifier, entities for ner, ...
        Raises UsageError for other objects, and for a column or a value that is missing.

            model = ft_toolkit.load("runs/demo")
            model("Where is my parcel?")["label"]
            model(frame, columns={"text": "review"})
        """
        with quiet_libraries():
            return predict_data(self, data, columns)

    def read(self, data: Any, columns: Mapping[str, str] | None = None, first_row: int = 1) -> Inputs:
        """Return the rows of `data` with the task's columns; messages count from `first_row`. Raises UsageError."""
        return read_for(self, data, columns, first_row)

    def notes(self, rows: Rows, features: Features) -> list[str]:
        """Return notes on labelled rows whose texts the prefix, the prompt or the tokenizer changes."""
        return notes_for(self, rows, features)

    def stream(self, inputs: Inputs) -> Iterator[list[dict[str, Any]]]:
        """Yield lists of predictions, in order, as they are computed: thousands of rows each, or 64 for generated texts."""
        if self.ensemble is not None:
            yield from self.ensemble.stream(inputs.rows)
        else:
            yield from predict_in_chunks(self._predictor, inputs.rows, self.max_length)

    def predict_split(self, rows: Rows) -> tuple[list[dict[str, Any]], Features]:
        """Return one prediction per row, and the model's input, in the same way as a run predicts a split.

        For an ensemble, it is the input of the first member.

        `rows` must come from the task's `read_rows`; their answers are checked. Raises DataError.
        """
        features = self.task.encode(rows, self.tokenizer, self.schema, self.max_length)
        if self.ensemble is not None:
            return list(chain.from_iterable(self.ensemble.stream(rows))), features
        if self.task.generate is not None:
            return list(chain.from_iterable(predict_in_chunks(self._predictor, rows, self.max_length))), features
        values, _ = self._predictor.predict(features)
        return self.task.decode(values, features, rows, self.schema), features

    def predict_row(self, row: Row, on_text: OnText) -> dict[str, Any]:
        """Return the prediction of one row of `read`, and pass a generated text to `on_text` while it is generated.

        Nothing is passed for other predictions, and for texts of a beam search.
        """
        stream = self.task.stream
        if stream is None:
            return self.predict_split([row])[0][0]
        features = self.task.encode([row], self.tokenizer, self.schema, self.max_length)
        streaming = replace(
            self.task,
            generate=lambda model, batch, schema, tokenizer: stream(model, batch, schema, tokenizer, on_text),
        )
        values, _ = replace(self._predictor, task=streaming).predict(features)
        return self.task.decode(values, features, [row], self.schema)[0]

    def values_of(self, features: Features, graph: Graph) -> list[Any]:
        """Return one value of `graph` per feature, in order, from a model that is not an ensemble."""
        predictor = replace(self._predictor, task=replace(self.task, predict=graph.predict))
        return predictor.predict(features)[0]

    def token_scores_of(self, features: Features) -> list[Any]:
        """Return the scores of the target tokens of each feature, in order, from a language model; None without targets."""
        values, _ = self._predictor.predict(features, loss_only=True)
        return values if self.task.generate is None else [scores for scores, _ in values]


@dataclass(frozen=True)
class _LoadedMember:
    """The model in a model folder that is not an ensemble, and its length limit in tokens."""

    predictor: Predictor
    max_length: int


def _load_predictor(folder: Path, base: str | None) -> _LoadedMember:
    """Load the model in a model folder that is not an ensemble. Raises ModelError, RunFolderError."""
    contract = read_contract(folder)
    saved = load_saved_task(folder / INFERENCE, contract.task, contract.settings, contract.task_schema)
    tokenizer, processes = load_tokenizer(folder), inference_device(contract.mixed_precision)
    model = _load_model(folder, contract, saved, base).to(processes.device)
    shorten_last_block(model)
    predictor = Predictor(processes, model, saved.task, saved.schema, tokenizer, contract.tokens_per_batch)
    return _LoadedMember(predictor, contract.max_length)


def _load_model(folder: Path, contract: InferenceContract, saved: SavedTask, base: str | None) -> Any:
    reference = contract.base_model
    if reference is not None:
        model = load_adapted(folder, reference, saved.task, base)
    elif base is not None:
        raise UsageError(f"{folder} is a complete model, which has no base model; remove --base (base=)")
    else:
        config = load_saved_config(folder)
        model = load_finished(folder, saved.task.auto_class[kind_of(config)], config)
    n_labels = saved.task.model_kwargs(saved.schema).get("num_labels")
    if n_labels is not None and model.config.num_labels != n_labels:
        raise ModelError(
            f"{folder}: {INFERENCE} has {n_labels} labels, but the model has {model.config.num_labels} outputs. Download or "
            "copy the folder again"
        )
    if saved.task.configure is not None:
        saved.task.configure(model if reference is None else model.get_base_model(), saved.schema)
    return model


def open_model(name: str, base: str | None = None) -> LoadedModel | ExportedModel:
    """Load a finished model: a run folder, a model folder, the folder of an export, or a model on the Hub.

    `base` is the folder of an adapter's base model, if it was moved. Raises ModelError, RunFolderError.
    """
    folder = model_folder(name)
    if read_contract(folder).graph is None:
        return LoadedModel(name, base)
    if base is not None:
        raise UsageError(f"{name} is an exported model, which has no base model; remove --base (base=)")
    return ExportedModel(str(folder))


def write_merged(folder: Path, target: Path) -> None:
    """Merge the adapter in `folder` into its base model and write the result to `target`; it needs no peft."""
    loaded = LoadedModel(str(folder))
    save_pretrained(loaded.model.merge_and_unload(), target)
    save_tokenizer(loaded.tokenizer, target)
    write_contract(target, loaded.contract.model_copy(update={"base_model": None}))


def model_folder(name: str) -> Path:
    """Return the model folder for a model folder, a run folder, a multi-seed run (its best seed), or a model on the Hub.

    Raises ModelError.
    """
    if not is_local(name):
        repo, revision = split_revision(name)
        folder = download(repo, revision).folder
        if not (folder / INFERENCE).is_file():
            raise ModelError(
                f"{name}: the repository has no {INFERENCE}, so 'ftk push' did not upload it. To fine-tune it: "
                f"ftk run RECIPE model.name={repo}"
            )
        return folder
    local = find_model_folder(Path(name))
    if local is None:
        raise ModelError(f"{name}: not the folder of a finished run or model ({INFERENCE} not found)")
    return local
