"""The inference contract: what a model folder says about how to use it, and `load`, which does as it says."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any

import torch
import transformers
from accelerate import Accelerator

import ft_toolkit
from ft_toolkit.core.environment import use_cpu
from ft_toolkit.core.errors import ModelError, UsageError, one_of
from ft_toolkit.core.hub_names import split_revision
from ft_toolkit.core.run_folder import ADAPTER_CONFIG, INFERENCE, MODEL, RESULTS, is_local
from ft_toolkit.core.run_records import (
    BaseModelReference,
    EvaluationDefaults,
    InferenceContract,
    SeedsResults,
    read_contract,
    read_results,
    write_contract,
)
from ft_toolkit.evaluation.predictor import Predictor, predict_in_chunks
from ft_toolkit.evaluation.saved_task import load_saved_task
from ft_toolkit.models.adapters import load_adapter
from ft_toolkit.models.pretrained import (
    download,
    find_checkpoint,
    kind_of,
    load_tokenizer,
    load_weights,
    read_pretrained,
    renamed_weights,
)
from ft_toolkit.recipe.sections import ModelSection
from ft_toolkit.tasks.base import Features, Row, Rows
from ft_toolkit.training.prepare import Prepared
from ft_toolkit.training.speedups.last_block import shorten_last_block


def inference_contract(folder: Path, prepared: Prepared) -> InferenceContract:
    """Return inference.json of a run: task, schema, length limit, precision, and the base model if `folder` is an adapter."""
    recipe, checkpoint = prepared.recipe, prepared.checkpoint
    needs_base = (folder / ADAPTER_CONFIG).is_file()
    base = BaseModelReference(name=checkpoint.reference, revision=checkpoint.commit, sha256=recipe.model.sha256)
    return InferenceContract(
        ft_toolkit=ft_toolkit.__version__,
        task=prepared.task.name,
        settings=recipe.task.model_dump(mode="json"),
        schema=asdict(prepared.schema),
        evaluation=EvaluationDefaults(
            columns=recipe.data.columns,
            card_columns=_card_columns(prepared),
            main_metric=prepared.main_metric,
            bootstrap_samples=recipe.evaluation.bootstrap_samples,
            seed=recipe.training.seed,
        ),
        max_length=recipe.data.max_length,
        mixed_precision=recipe.training.mixed_precision,
        tokens_per_batch=prepared.evaluation_tokens(),
        base_model=base if needs_base else None,
    )


def _card_columns(prepared: Prepared) -> dict[str, str]:
    card = prepared.data.card
    known = card.block.tasks.get(prepared.task.name) if card is not None else None
    return dict(known.columns) if known is not None else {}


class LoadedForInference:
    """A finished model. Call it with rows; `columns` names what a row needs."""

    def __init__(self, name: str) -> None:
        """Load the model of a folder that `ftk run` wrote, or of the Hub (owner/name, owner/name@revision).

        Raises ModelError.
        """
        folder = model_folder(name)
        self.contract = contract = read_contract(folder)
        saved = load_saved_task(folder / INFERENCE, contract.task, contract.settings, contract.task_schema)
        self.task, self.settings, self.schema = saved.task, saved.settings, saved.schema
        self.max_length = contract.max_length
        self.columns = [name for name, column in self.task.columns.items() if not column.is_answer]
        self.tokenizer = load_tokenizer(folder)
        accelerator = Accelerator(cpu=use_cpu(), mixed_precision=contract.mixed_precision)
        self.model = self._load_model(folder, contract.base_model).to(accelerator.device)
        shorten_last_block(self.model)
        self._predictor = Predictor(
            accelerator, self.model, self.task, self.schema, self.tokenizer, contract.tokens_per_batch
        )

    def _load_model(self, folder: Path, base: BaseModelReference | None) -> Any:
        config = transformers.AutoConfig.from_pretrained(folder)
        if base is None:
            auto_class = getattr(transformers, self.task.auto_class[kind_of(config)])
            model = auto_class.from_pretrained(
                folder, config=config, dtype=torch.float32, key_mapping=renamed_weights(auto_class, config)
            )
        else:
            source = find_checkpoint(ModelSection(name=base.name, revision=base.revision, sha256=base.sha256)).folder
            kind = read_pretrained(source, self.tokenizer).kind  # an encoder may have become an encoder-decoder
            model, _ = load_weights(source, self.task.auto_class[kind], config)
        if self.task.configure is not None:
            self.task.configure(model, self.schema)
        return model if base is None else load_adapter(model, folder)

    def __call__(self, rows: Sequence[Row | str]) -> list[dict[str, Any]]:
        """Return one prediction per row, in order. A row is a dict with the task's columns, or a text.

        Raises UsageError for a row that lacks a column.
        """
        return [prediction for chunk in self.stream(rows) for prediction in chunk]

    def stream(self, rows: Sequence[Row | str]) -> Iterator[list[dict[str, Any]]]:
        """Yield the predictions of some thousand rows at a time (64 where texts are generated), in order, as they are made."""
        yield from predict_in_chunks(self._predictor, self._read(rows), self.max_length)

    def predict_split(self, rows: Rows) -> tuple[list[dict[str, Any]], Features]:
        """Return a prediction per row and what the model read, as a run predicts a split.

        The rows are in the form that the task's `read_rows` gives; their answers are checked. Raises DataError.
        """
        features = self.task.encode(rows, self.tokenizer, self.schema, self.max_length)
        if self.task.generate is not None:
            return list(chain.from_iterable(predict_in_chunks(self._predictor, rows, self.max_length))), features
        values, _ = self._predictor.predict(features)
        return self.task.decode(values, features, rows, self.schema), features

    def _read(self, rows: Sequence[Row | str]) -> Rows:
        """Return rows with the task's input columns, checked."""
        asked = [self._as_row(row) if isinstance(row, str) else row for row in rows]
        present = [name for name in self.columns if any(name in row for row in asked)]
        for number, row in enumerate(asked, 1):
            for name in self.columns:
                if (self.task.columns[name].required or name in present) and row.get(name) is None:
                    meaning = self.task.columns[name].meaning
                    raise UsageError(f"row {number}: column '{name}' is missing or empty; {meaning} is needed")
        cleaned = [{name: row[name] for name in present} for row in asked]
        return self.task.read_rows(cleaned, None, "input")[0]

    def _as_row(self, text: str) -> Row:
        if self.task.text_column is None:
            raise UsageError(
                f"one text is not enough for {self.task.name}; a row needs the columns {one_of(self.columns)}"
            )
        return {self.task.text_column: text}


def write_merged(folder: Path, target: Path) -> None:
    """Write the adapter's model in `folder` to `target` with the adapter folded in: it needs neither peft nor a base model."""
    loaded = LoadedForInference(str(folder))
    loaded.model.merge_and_unload().save_pretrained(target)
    loaded.tokenizer.save_pretrained(target)
    write_contract(target, loaded.contract.model_copy(update={"base_model": None}))


def model_folder(name: str) -> Path:
    """Return the folder of a finished model: a model folder, a run's, that of the best of several seeds, or from the Hub.

    Raises ModelError.
    """
    if not is_local(name):
        repo, revision = split_revision(name)
        folder = download(repo, revision).folder
        if not (folder / INFERENCE).is_file():
            raise ModelError(
                f"{name}: no {INFERENCE} in this repository; a model that 'ftk push' uploaded is needed. Other models can be "
                f"fine-tuned: ftk run RECIPE model.name={repo}"
            )
        return folder
    folder = Path(name)
    candidates = [folder, folder / MODEL]
    if (folder / RESULTS).is_file():
        results = read_results(folder)
        candidates += [folder / results.best.model] if isinstance(results, SeedsResults) else []
    for path in candidates:
        if (path / INFERENCE).is_file():
            return path
    raise ModelError(f"{folder}: no {INFERENCE}; a model folder that 'ftk run' wrote (RUN/model) is needed")


def load(path: str | Path) -> LoadedForInference:
    """Load a finished model: `ft_toolkit.load("runs/demo")(["a text"])`.

    `path` is a folder that `ftk run` wrote, or a model that `ftk push` uploaded: owner/name or owner/name@revision.
    """
    return LoadedForInference(str(path))
