"""Prepare a run: load rows, checkpoint and tokenizer, find the label names, compute features and facts about them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

from ft_toolkit.core.augmentation_records import AugmentationFacts
from ft_toolkit.core.environment import use_cpu
from ft_toolkit.core.errors import DataError, UsageError
from ft_toolkit.core.progress import Report, no_report
from ft_toolkit.core.run_folder import FROM_SCRATCH_FOLDER, MERGED_FOLDER
from ft_toolkit.data.audit import audit
from ft_toolkit.data.augment.augmented_rows import make_augmenter
from ft_toolkit.data.augment.synonyms import load_word_list
from ft_toolkit.data.cards import SplitName
from ft_toolkit.data.load_data import load_data
from ft_toolkit.data.selection import SELECTION, Selector
from ft_toolkit.data.splits import LoadedData
from ft_toolkit.data.stored_features import TokenLists
from ft_toolkit.data.tokenizer_changes import unknown_token_notes
from ft_toolkit.data.train_fraction import take_train_fraction
from ft_toolkit.metrics.metric import Metric
from ft_toolkit.models.adapter_runs import is_adapter, merge_adapter
from ft_toolkit.models.adapters import ParameterCount, attach, count_parameters, head_modules
from ft_toolkit.models.from_scratch import make_model_from_scratch
from ft_toolkit.models.new_head import head_note
from ft_toolkit.models.pooling import PoolingChoice, choose_pooling
from ft_toolkit.models.pretrained import (
    Checkpoint,
    find_checkpoint,
    load_model,
    load_tokenizer,
    new_model,
    read_pretrained,
)
from ft_toolkit.models.vocabulary import check_vocabulary, resize_embeddings
from ft_toolkit.recipe.checks import POOLED_CLASSES
from ft_toolkit.recipe.load_recipe import LoadedRecipe
from ft_toolkit.recipe.resolved import ResolvedRecipe, ResolvedTraining
from ft_toolkit.recipe.sections import Recipe
from ft_toolkit.tasks.base import (
    Baseline,
    CheckpointBaseline,
    EmbeddingBaseline,
    Features,
    Pretrained,
    Rows,
    Task,
    TaskSettings,
    applicable_metrics,
)
from ft_toolkit.tasks.text.positions import input_positions
from ft_toolkit.training.automatic import Choice, RunSize, choose_values, few_steps_warning
from ft_toolkit.training.batching import CPU_TOKENS, EpochBatches, count_epoch_steps, epoch_batches
from ft_toolkit.training.encode_splits import Encoder, encode_copies, encode_splits, kept_facts, kept_schema
from ft_toolkit.training.resampling import draw_features, with_features
from ft_toolkit.training.streamed_features import StreamedFeatures

# With tokens_per_batch, the number of steps differs between epochs. It is counted for this many epochs; of a longer run, the
# mean per epoch determines the last step.
_COUNTED_EPOCHS = 1000


@dataclass(frozen=True)
class RunInput:
    """A recipe and its rows. `label_rows` define the label names: all training rows before data.train_fraction (for tasks
    without strata, also before data.validation_fraction).

    `substitutions` has a line for each part that a smoke run replaced; it is empty for other runs.
    """

    recipe: Recipe
    task: Task
    data: LoadedData
    label_rows: Rows
    substitutions: list[str]


@dataclass(frozen=True)
class SavedValues:
    """Values that a run derives from its rows and its machine. A resumed run reads them from its checkpoint.

    None is a value that the checkpoint of an older version does not have. `recipe` are the values of the resolved recipe by
    section and key, and `processes` the number of processes that saved them.
    """

    recipe: dict[str, dict[str, Any]]
    processes: int
    total_steps: int | None
    evaluation_tokens: int | None
    selection: int
    sorts_by_both_lengths: bool


@dataclass(frozen=True)
class Prepared:
    """Everything that a run needs before its first step. `substitutions` has a line per part that a smoke run replaced.

    `choices` are the values of the recipe that the run chose. `pooling_reason` is the reason for the pooling in `recipe`;
    it is empty for a task without a head for whole texts. `saved` has the values from the checkpoint of a resumed run.
    `augmented` are the features of the training rows and of their changed copies, if the recipe makes any; `features` and
    `data` always have the original rows. `stream` has the features of each epoch if the training rows are a stream; `data` and
    `features` then have the first rows.
    """

    recipe: ResolvedRecipe
    task: Task
    data: LoadedData
    checkpoint: Checkpoint
    tokenizer: Any
    schema: Any
    features: dict[SplitName, Features]
    metrics: dict[str, Metric]
    facts: dict[str, Any]
    substitutions: list[str]
    choices: list[Choice]
    pooling_reason: str = ""
    saved: SavedValues | None = None
    augmented: Features | None = None
    augmentation: AugmentationFacts | None = None
    stream: StreamedFeatures | None = None

    @property
    def training_features(self) -> Features:
        """The features that the model is trained on: the training rows with their changed copies, if there are any."""
        return self.features["train"] if self.augmented is None else self.augmented

    def features_of_epoch(self, epoch: int) -> Features:
        """Return the features of the training rows of an epoch, which differ between epochs only for a stream of rows."""
        return self.training_features if self.stream is None else self.stream.of(epoch)

    @property
    def selection(self) -> str:
        """The metric that selects the best checkpoint, or loss."""
        return self.recipe.evaluation.metric_for_best_model or next(iter(self.metrics))

    @property
    def main_metric(self) -> str:
        """The metric that summarizes the run: the one that selects the best checkpoint, or the task's first."""
        return self.selection if self.selection in self.metrics else next(iter(self.metrics))

    @property
    def baselines(self) -> list[str]:
        """The names of the run's baselines: the list of the recipe, or all baselines that apply to the task and the model."""
        names = self.recipe.evaluation.baselines
        if names is not None:
            return names
        return [name for name, baseline in self.task.baselines.items() if self._is_default(baseline)]

    def _is_default(self, baseline: Baseline | EmbeddingBaseline | CheckpointBaseline) -> bool:
        if isinstance(baseline, Baseline):
            return baseline.is_default(self.schema)
        return self.recipe.model.config is None

    @property
    def input_description(self) -> str:
        """A phrase of the task on its training input, after a semicolon; empty for none."""
        text = self.task.describe_features(self.data.splits["train"], self.features["train"], self.schema)
        copies = self.augmentation
        changed = (
            ""
            if copies is None
            else f"; {copies.rows:,} changed copies of the training rows ({describe_changes(copies)})"
        )
        return (f"; {text}" if text else "") + changed

    def training_ids(self) -> set[int] | None:
        """Return the token ids of the training rows and of padding; None if other tokens may occur."""
        if self.task.corrupt is not None or self.stream is not None:
            return None
        lists = self.training_features.inputs["input_ids"]
        distinct = lists.distinct() if isinstance(lists, TokenLists) else set(chain.from_iterable(lists))
        return distinct | {self.tokenizer.pad_token_id}

    def epoch_batches(self, epoch: int, world_size: int) -> EpochBatches:
        """Return batches[step][rank][micro] of an epoch."""
        training, features = self.recipe.training, self.features_of_epoch(epoch)
        lengths = features.lengths
        drawn = None
        if training.resample_classes is not None:
            drawn = draw_features(self.classes, training.resample_classes, seed=training.seed, epoch=epoch)
        batches = epoch_batches(
            lengths if drawn is None else [lengths[i] for i in drawn],
            tokens_per_batch=training.tokens_per_batch,
            examples_per_batch=training.examples_per_batch,
            world_size=world_size,
            accumulate=training.gradient_accumulation_steps,
            seed=training.seed,
            epoch=epoch,
            decoder_lengths=features.decoder_lengths if self.sorts_by_both_lengths else None,
        )
        return batches if drawn is None else with_features(batches, drawn)

    def epoch_steps(self, epoch: int, world_size: int) -> int:
        """Return the optimizer steps of an epoch."""
        training = self.recipe.training
        if training.examples_per_batch is None:
            return len(self.epoch_batches(epoch, world_size))
        return count_epoch_steps(
            len(self.features_of_epoch(epoch).lengths),
            examples_per_batch=training.examples_per_batch,
            world_size=world_size,
            accumulate=training.gradient_accumulation_steps,
        )

    @cached_property
    def classes(self) -> list[str]:
        """The label of each training feature, for a task with one label per row."""
        rows, settings = self.data.splits["train"], self.recipe.task
        return [self.task.labels_of(rows[i], settings)[0] for i in self.training_features.example_ids]

    @property
    def sorts_by_both_lengths(self) -> bool:
        """Whether batches are sorted by the lengths of source and target; a run that began with their sum keeps it."""
        return self.saved is None or self.saved.sorts_by_both_lengths

    def total_steps(self, world_size: int) -> int:
        """Return the optimizer steps of the whole run."""
        training = self.recipe.training
        if self.saved is not None and self.saved.total_steps is not None:
            return self.saved.total_steps
        if training.max_steps is not None:
            return training.max_steps
        n_epochs = training.num_train_epochs
        if training.examples_per_batch is not None:
            return n_epochs * self.epoch_steps(0, world_size)
        counted = min(n_epochs, _COUNTED_EPOCHS)
        steps = sum(self.epoch_steps(epoch, world_size) for epoch in range(counted))
        return steps if counted == n_epochs else steps * n_epochs // counted

    def evaluation_tokens(self) -> int:
        """Return the padded tokens of an evaluation batch.

        It is the size of a training micro-batch, at least 4096; on a CPU, CPU_TOKENS. Tasks that generate text always get
        the larger batches, because a generation step passes only one token per row.
        """
        if self.saved is not None and self.saved.evaluation_tokens is not None:
            return self.saved.evaluation_tokens
        if use_cpu() and self.task.generate is None:
            return CPU_TOKENS
        training = self.recipe.training
        longest = max(self.training_features.lengths)
        return max(training.tokens_per_batch or (training.examples_per_batch or 1) * longest, 4096)


@dataclass(frozen=True)
class BuiltModel:
    """The model of a run on the CPU, with gradients for the weights that the method trains.

    `new_modules` names the modules without weights in the checkpoint; `heads` also includes heads from the checkpoint.
    """

    model: Any
    count: ParameterCount
    new_modules: tuple[str, ...]
    heads: tuple[str, ...]


def build_model(prepared: Prepared) -> BuiltModel:
    """Load the checkpoint for the task and attach the method; training.seed determines all new weights."""
    recipe = prepared.recipe
    load = load_model if recipe.model.config is None else new_model
    assert recipe.model.pooling != "auto", "prepare_input chooses the pooling"
    loaded = load(
        prepared.checkpoint.folder,
        prepared.task,
        prepared.schema,
        prepared.tokenizer,
        dropout=recipe.model.dropout,
        seed=recipe.training.seed,
        pooling=recipe.model.pooling,
    )
    if recipe.model.resize_embeddings:
        resize_embeddings(loaded.model, prepared.tokenizer)
    heads = tuple(head_modules(loaded.model, loaded.new_modules))
    model = attach(loaded.model, recipe.method, loaded.new_modules, seed=recipe.training.seed)
    return BuiltModel(model, count_parameters(model), loaded.new_modules, heads)


def prepare(
    loaded: LoadedRecipe,
    *,
    work_folder: Path,
    selection: int = SELECTION,
    n_processes: int = 1,
    report: Report = no_report,
) -> Prepared:
    """Load and check rows and checkpoint, find the labels, tokenize, and choose the values that are `auto`.

    A model from scratch is written to `work_folder`. `selection` is the version of the rules that hold rows out,
    `n_processes` the number of training processes. `report` shows the progress of reading and tokenization. Raises UsageError
    for rows or a checkpoint that do not fit the recipe.
    """
    check_packages(loaded.recipe)
    return prepare_input(read_input(loaded.recipe, loaded.task, selection, report), work_folder, n_processes, report)


def read_input(recipe: Recipe, task: Task, selection: int = SELECTION, report: Report = no_report) -> RunInput:
    """Return the recipe with its rows. `report` shows the progress for long files. Raises DataError."""
    keep = [*recipe.evaluation.slices, *recipe.evaluation.groups]
    data = load_data(recipe.data, task, recipe.task, keep, selection, report=report)
    selector = Selector(task, recipe.task, data.groups.get("train"), data.kept, selection)
    shared = take_train_fraction(data, recipe.data.train_fraction, selector)
    return RunInput(recipe, task, shared, data.label_rows or data.splits["train"], [])


def prepare_input(run_input: RunInput, work_folder: Path, n_processes: int = 1, report: Report = no_report) -> Prepared:
    """Locate the checkpoint, find the labels, tokenize the rows and choose the `auto` values. Raises UsageError."""
    recipe, task, data = run_input.recipe, run_input.task, run_input.data
    if recipe.model.config is not None:
        checkpoint = make_model_from_scratch(
            recipe.model, task, data.splits["train"], work_folder / FROM_SCRATCH_FOLDER
        )
    elif is_adapter(checkpoint := find_checkpoint(recipe.model)):
        checkpoint = merge_adapter(checkpoint, work_folder / MERGED_FOLDER)
    tokenizer = load_tokenizer(checkpoint.folder)
    pretrained = read_pretrained(checkpoint.folder, tokenizer)
    _check_limits(recipe, pretrained)
    try:
        schema = kept_schema(run_input.label_rows, recipe.task, task, data.labels, pretrained)
    except DataError as error:
        raise DataError(f"{data.origin['train']} (train): {error}") from None
    if note := head_note(recipe.model.title, pretrained.config, task.model_kwargs(schema).get("id2label", {})):
        data = replace(data, notes=[*data.notes, note])
    encoder = Encoder(task, tokenizer, schema, recipe.data.max_length)
    features = encode_splits(data, encoder, report)
    augmenter = make_augmenter(recipe.augmentation, task, recipe.task, data.splits["train"], recipe.training.seed)
    copies, augmented = (None, None) if augmenter is None else encode_copies(data, encoder, augmenter, report)
    pooling = _choose_pooling(recipe, task, checkpoint, pretrained)
    recipe = recipe.model_copy(update={"model": recipe.model.model_copy(update={"pooling": pooling.how})})
    metrics = applicable_metrics(task, recipe.task, schema)
    selection = recipe.evaluation.metric_for_best_model
    if selection is not None and selection != "loss" and selection not in metrics:
        raise UsageError(
            f"evaluation.metric_for_best_model={selection} requires two labels; these rows have {len(task.labels(schema))}"
        )
    facts = kept_facts(data, encoder, recipe.task, lambda: _find_facts(data, features, encoder, recipe.task))
    resolved, choices = choose_values(
        recipe, _run_size(recipe, data, augmented or features["train"], n_processes, pretrained.config)
    )
    prepared = Prepared(
        resolved,
        task,
        data,
        checkpoint,
        tokenizer,
        schema,
        features,
        metrics,
        facts,
        run_input.substitutions,
        choices,
        pooling.reason,
        augmented=augmented,
        augmentation=copies,
        stream=None if data.stream is None else StreamedFeatures(features["train"], data.stream, encoder.encode),
    )
    if copies is not None and not copies.changed:
        facts["warnings"].append("augmentation: no copy of a training row is changed; set larger shares, or remove it")
    if not run_input.substitutions:
        steps, epoch_steps = prepared.total_steps(n_processes), prepared.epoch_steps(0, n_processes)
        if steps and (warning := few_steps_warning(steps, epoch_steps)):
            facts["warnings"].append(warning)
    return prepared


def _find_facts(
    data: LoadedData, features: Mapping[SplitName, Features], encoder: Encoder, settings: TaskSettings
) -> dict[str, Any]:
    """Return the counts and warnings on the rows and their features."""
    facts = audit(data, features, encoder.task, settings, encoder.max_length)
    for name, rows in data.splits.items():
        notes = unknown_token_notes(features[name].inputs["input_ids"], encoder.tokenizer)
        notes += encoder.task.notes(rows, features[name], encoder.tokenizer, encoder.schema)
        facts["warnings"] += [f"{name}: {note}" for note in notes]
    return facts


def _run_size(recipe: Recipe, data: LoadedData, features: Features, n_processes: int, config: Any) -> RunSize:
    """Return the facts that decide the `auto` values."""

    def epoch_steps(tokens_per_batch: int | None, examples_per_batch: int | None) -> int:
        training = recipe.training
        if examples_per_batch is not None:
            return count_epoch_steps(
                len(features.lengths),
                examples_per_batch=examples_per_batch,
                world_size=n_processes,
                accumulate=training.gradient_accumulation_steps,
            )
        return len(
            epoch_batches(
                features.lengths,
                tokens_per_batch=tokens_per_batch,
                examples_per_batch=examples_per_batch,
                world_size=n_processes,
                accumulate=training.gradient_accumulation_steps,
                seed=training.seed,
                epoch=0,
                decoder_lengths=features.decoder_lengths,
            )
        )

    return RunSize(len(features.lengths), len(data.splits["validation"]), epoch_steps, n_processes, config)


def check_packages(recipe: Recipe) -> None:
    """Raise UsageError for a setting whose optional package, or word list, is not installed."""
    from importlib.util import find_spec

    if recipe.evaluation.attributions and find_spec("captum") is None:
        raise UsageError(
            "evaluation.attributions requires captum, which is not installed; pip install 'ft-toolkit[explain]', or set "
            "evaluation.attributions=0"
        )
    if recipe.augmentation.synonyms:
        load_word_list(recipe.augmentation.word_list)


def describe_changes(facts: AugmentationFacts) -> str:
    """Return the share of the copies that differ from their row, and the share of each kind of change."""
    kinds = ", ".join(f"{kind} {count / facts.rows:.0%}" for kind, count in facts.by_change.items())
    return f"{facts.share:.1%} differ from their row: {kinds}"


def _check_limits(recipe: Recipe, pretrained: Pretrained) -> None:
    """Raise UsageError for settings that this checkpoint does not support."""
    if recipe.evaluation.attributions and pretrained.kind == "encoder-decoder":
        raise UsageError(
            f"evaluation.attributions: {recipe.model.title} is an encoder-decoder; attributions are available for encoders "
            "and decoders only. Set evaluation.attributions=0"
        )
    tokenizer_limit, positions = pretrained.tokenizer.model_max_length, input_positions(pretrained.config)
    limit = min(tokenizer_limit, 10**6 if positions is None else positions)
    if recipe.data.max_length > limit:
        source = "its tokenizer" if limit == tokenizer_limit else "the positions in its config.json"
        raise UsageError(
            f"data.max_length={recipe.data.max_length}, but {recipe.model.title} reads at most {limit} tokens, according to "
            f"{source}. Set data.max_length={limit} or less"
        )
    check_vocabulary(pretrained, recipe.model.title, resize=recipe.model.resize_embeddings)


def _choose_pooling(recipe: Recipe, task: Task, checkpoint: Checkpoint, pretrained: Pretrained) -> PoolingChoice:
    """Return the pooling of the run; `auto` with a published result is the default of the model family. Raises ModelError."""
    setting = recipe.model.pooling
    if not POOLED_CLASSES & set(task.auto_class.values()):
        return PoolingChoice(None, "")
    if setting == "auto" and recipe.reference is not None:
        return PoolingChoice(None, f"the default of {pretrained.config.model_type}, as in the published result")
    return choose_pooling(setting, checkpoint.folder, pretrained.config, pretrained.kind)


def describe_step(training: ResolvedTraining, world_size: int) -> str:
    """Return the size of an optimizer step, such as "16 examples" or "32 examples (8 x 2 micro-batches x 2 processes)"."""
    if training.tokens_per_batch is not None:
        size, limit, unit = training.tokens_per_batch, "at most ", "padded tokens"
    else:
        size, limit, unit = training.examples_per_batch or 1, "", "examples"
    accumulate = training.gradient_accumulation_steps
    factors = [
        f"{count} {noun}" for count, noun in ((accumulate, "micro-batches"), (world_size, "processes")) if count > 1
    ]
    total = f"{limit}{size * accumulate * world_size:,} {unit}"
    return f"{total} ({' x '.join([f'{size:,}', *factors])})" if factors else total
