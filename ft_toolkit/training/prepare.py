"""Everything a run needs before the first step: rows, checkpoint, tokenizer, label names, features and facts about them."""

from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from ft_toolkit.core.environment import multiplies_bfloat16, use_cpu
from ft_toolkit.core.errors import UsageError
from ft_toolkit.data import LoadedData, load_data
from ft_toolkit.data.audit import audit
from ft_toolkit.data.cards import SplitName, load_card
from ft_toolkit.data.load import fingerprint
from ft_toolkit.data.share import take_share
from ft_toolkit.metrics.metric import Metric
from ft_toolkit.models.adapters import ParameterCount, attach, count_parameters, head_modules
from ft_toolkit.models.from_scratch import make_new_model
from ft_toolkit.models.pretrained import (
    Checkpoint,
    find_checkpoint,
    hidden_size,
    load_model,
    load_tokenizer,
    read_pretrained,
)
from ft_toolkit.models.tiny import architecture_of, make_stand_in
from ft_toolkit.recipe.load import LoadedRecipe
from ft_toolkit.recipe.sections import PACKAGE_PREFIX, LoraMethod, NewTokenizer, Recipe, TrainingSection
from ft_toolkit.tasks.base import Features, Rows, Task, applicable_metrics, input_texts
from ft_toolkit.training.batching import CPU_TOKENS, Plan, plan_epoch

# --smoke: this many rows of each split, optimizer steps, and bootstrap samples.
SMOKE_ROWS = {"train": 32, "validation": 16, "test": 16}
SMOKE_STEPS = 4
SMOKE_SAMPLES = 100
# Where in the work folder a model is put that is made here: the tiny one of a smoke run, and one from scratch.
STAND_IN, NEW_MODEL = "stand_in_model", "new_model"
# Tokens of the tokenizer that stands in for one that would have to be downloaded.
SMOKE_VOCABULARY = 400
# From this width of the model on, bfloat16 products gain more than the conversions around them cost.
BF16_WIDTH = 256


@dataclass(frozen=True)
class Prepared:
    """A run that could start now. `substitutions` says what a smoke run replaced."""

    recipe: Recipe
    task: Task
    data: LoadedData
    checkpoint: Checkpoint
    tokenizer: Any
    schema: Any
    features: dict[SplitName, Features]
    metrics: dict[str, Metric]
    facts: dict[str, Any]
    substitutions: list[str]

    @property
    def selection(self) -> str:
        """What picks the best checkpoint: a metric, or loss."""
        return self.recipe.evaluation.metric_for_best_model or next(iter(self.metrics))

    @property
    def main_metric(self) -> str:
        """The metric that stands for the run: the one that picks the best checkpoint, or the task's first."""
        return self.selection if self.selection in self.metrics else next(iter(self.metrics))

    @property
    def baselines(self) -> list[str]:
        """What the score is held against."""
        wanted = self.recipe.evaluation.baselines
        return list(self.task.baselines)[:1] if wanted is None else wanted

    def training_ids(self) -> set[int] | None:
        """Return the tokens that the training rows name, padding included; None where the task puts in others."""
        if self.task.corrupt is not None:
            return None
        return set(chain.from_iterable(self.features["train"].inputs["input_ids"])) | {self.tokenizer.pad_token_id}

    def plan_epoch(self, epoch: int, world_size: int) -> Plan:
        """Return the batches of an epoch."""
        training = self.recipe.training
        return plan_epoch(
            self.features["train"].lengths,
            tokens_per_batch=training.tokens_per_batch,
            examples_per_batch=training.examples_per_batch,
            world_size=world_size,
            accumulate=training.gradient_accumulation_steps,
            seed=training.seed,
            epoch=epoch,
        )

    def total_steps(self, world_size: int) -> int:
        """Return the optimizer steps of the whole run."""
        training = self.recipe.training
        if training.max_steps is not None:
            return training.max_steps
        return sum(len(self.plan_epoch(epoch, world_size)) for epoch in range(training.num_train_epochs))

    def evaluation_tokens(self) -> int:
        """Return the padded tokens of an evaluation batch: those of a training micro-batch, at least 4096; fewer on a CPU,
        save for a task that generates, whose steps pass a token of each row."""
        if use_cpu() and self.task.generate is None:
            return CPU_TOKENS
        training = self.recipe.training
        longest = max(self.features["train"].lengths)
        return max(training.tokens_per_batch or (training.examples_per_batch or 1) * longest, 4096)


@dataclass(frozen=True)
class BuiltModel:
    """The model of a run on the CPU, with gradients where the method wants them.

    `new_modules` are those that the checkpoint had no weights for, `heads` also heads that it had.
    """

    model: Any
    count: ParameterCount
    new_modules: tuple[str, ...]
    heads: tuple[str, ...]


def build_model(prepared: Prepared) -> BuiltModel:
    """Load the checkpoint for the task and attach the method; the recipe's seed decides all new weights."""
    recipe = prepared.recipe
    loaded = load_model(
        prepared.checkpoint.folder,
        prepared.task,
        prepared.schema,
        prepared.tokenizer,
        dropout=recipe.model.dropout,
        seed=recipe.training.seed,
        from_scratch=recipe.model.config is not None,
    )
    heads = tuple(head_modules(loaded.model, loaded.new_modules))
    model = attach(loaded.model, recipe.method, loaded.new_modules, seed=recipe.training.seed)
    return BuiltModel(model, count_parameters(model), loaded.new_modules, heads)


def prepare(loaded: LoadedRecipe, *, smoke: bool, work_folder: Path) -> Prepared:
    """Load and check rows and checkpoint, find the labels, tokenize. Raises UsageError where something does not fit.

    A smoke run takes a few rows and steps. What it would have to download it replaces: the rows by the task's samples,
    the model by a tiny one with random weights, written to `work_folder`.
    """
    recipe, task = loaded.recipe, loaded.task
    substitutions: list[str] = []
    if smoke:
        recipe, substitutions = _smoke_recipe(recipe)
    _check_packages(recipe)
    sample_data = smoke and _is_hub_data(recipe)
    data = (
        _sample_data(task, recipe)
        if sample_data
        else load_data(recipe.data, task, recipe.task, keep=[*recipe.evaluation.slices, *recipe.evaluation.groups])
    )
    if sample_data:
        substitutions.append(f"rows: the task's {len(data.splits['train'])} sample rows instead of the Hub's")
    card_labels = (
        None
        if sample_data or data.card is None or task.name not in data.card.block.tasks
        else data.card.for_task(task.name).labels
    )
    training_rows = data.splits["train"]
    data = take_share(data, recipe.data.train_fraction, task, recipe.task)
    if smoke:
        data = _few_rows(data)
    if smoke and recipe.model.name is not None and not _is_local_model(recipe.model.name):
        texts = [text for rows in data.splits.values() for row in rows for text in input_texts(row, task)]
        architecture = architecture_of(recipe.model.name)
        folder = make_stand_in(work_folder / STAND_IN, texts, architecture)
        substitutions.append(f"model: a tiny {architecture} with random weights instead of {recipe.model.name}")
        recipe = _with(
            recipe, model=recipe.model.model_copy(update={"name": str(folder), "revision": None, "sha256": None})
        )
    checkpoint = (
        find_checkpoint(recipe.model)
        if recipe.model.config is None
        else make_new_model(recipe.model, task, data.splits["train"], work_folder / NEW_MODEL)
    )
    tokenizer = load_tokenizer(checkpoint.folder)
    pretrained = read_pretrained(checkpoint.folder, tokenizer)
    if recipe.evaluation.attributions and pretrained.kind == "encoder-decoder":
        raise UsageError(
            f"evaluation.attributions: {recipe.model.title} is an encoder-decoder, which reads its embeddings twice; words "
            "are credited for encoders and decoders. Set it to 0"
        )
    schema = task.find_schema(recipe.task, training_rows, card_labels, pretrained)
    limit = min(tokenizer.model_max_length, 10**6)
    if recipe.data.max_length > limit and checkpoint.folder == work_folder / STAND_IN:
        recipe = _with(recipe, data=recipe.data.model_copy(update={"max_length": limit}))
        substitutions.append(f"data.max_length: {limit}, which is all that the stand-in reads")
    if recipe.data.max_length > limit:
        raise UsageError(
            f"data.max_length={recipe.data.max_length}, but {recipe.model.title} reads at most {limit} tokens"
        )
    features = {
        name: task.encode(rows, tokenizer, schema, recipe.data.max_length) for name, rows in data.splits.items()
    }
    recipe = _with(recipe, training=_with_precision(recipe.training, pretrained.config))
    metrics = applicable_metrics(task, recipe.task, schema)
    wanted = recipe.evaluation.metric_for_best_model
    if wanted is not None and wanted != "loss" and wanted not in metrics:
        raise UsageError(
            f"evaluation.metric_for_best_model={wanted} needs two labels; these rows have {len(schema.labels)}"
        )
    facts = audit(data, features, task, recipe.data.max_length)
    return Prepared(recipe, task, data, checkpoint, tokenizer, schema, features, metrics, facts, substitutions)


def _with_precision(training: TrainingSection, config: Any) -> TrainingSection:
    """Return the section with a precision in the place of auto."""
    if training.mixed_precision != "auto":
        return training
    wide = hidden_size(config) >= BF16_WIDTH
    return training.model_copy(update={"mixed_precision": "bf16" if wide and multiplies_bfloat16() else "no"})


def _smoke_recipe(recipe: Recipe) -> tuple[Recipe, list[str]]:
    training = recipe.training.model_copy(update={"max_steps": SMOKE_STEPS, "logging_steps": 1})
    evaluation = recipe.evaluation.model_copy(update={"bootstrap_samples": SMOKE_SAMPLES, "eval_steps": None})
    changed = [f"smoke: {SMOKE_STEPS} steps, at most {SMOKE_ROWS['train']} training rows; the scores mean nothing"]
    method = recipe.method
    if (
        isinstance(method, LoraMethod)
        and isinstance(method.target_modules, list)
        and not _is_local_model(recipe.model.name)
    ):
        method = method.model_copy(update={"target_modules": "attention"})
        changed.append("method.target_modules: attention, since the stand-in has other module names")
    model = recipe.model
    if isinstance(model.tokenizer, str) and not _is_local_model(model.tokenizer):
        model = model.model_copy(update={"tokenizer": NewTokenizer(train_on_text=True, vocab_size=SMOKE_VOCABULARY)})
        changed.append(f"model.tokenizer: a small one, learned from the rows, instead of {recipe.model.tokenizer}")
    return _with(recipe, training=training, evaluation=evaluation, method=method, model=model, reference=None), changed


def _with(recipe: Recipe, **sections: Any) -> Recipe:
    return recipe.model_copy(update=sections)


def _check_packages(recipe: Recipe) -> None:
    from importlib.util import find_spec

    if "tfidf" in (recipe.evaluation.baselines or ()) and find_spec("sklearn") is None:
        raise UsageError(
            "evaluation.baselines names tfidf, which needs scikit-learn; pip install scikit-learn, or set "
            "evaluation.baselines=[majority]"
        )
    if recipe.evaluation.attributions and find_spec("captum") is None:
        raise UsageError("evaluation.attributions needs captum; pip install 'ft-toolkit[explain]', or set it to 0")


def _is_local_model(name: str | None) -> bool:
    return name is None or name.startswith(PACKAGE_PREFIX) or Path(name).is_dir()


def _is_hub_data(recipe: Recipe) -> bool:
    return recipe.data.train is None and load_card(recipe.data.card or "").block.source.hub is not None


def _sample_data(task: Task, recipe: Recipe) -> LoadedData:
    rows, _ = task.read_rows(task.sample_rows(recipe.task), recipe.task, "sample rows")
    third = len(rows) // 3
    splits: dict[SplitName, Rows] = {"train": rows, "validation": rows[:third], "test": rows[third : 2 * third]}
    return LoadedData(splits, dict.fromkeys(splits, "sample rows"), None, None, [])


def _few_rows(data: LoadedData) -> LoadedData:
    """Return a few rows of each split, picked by a hash so that they are a mixture."""
    few: dict[SplitName, Rows] = {}
    for name, rows in data.splits.items():
        order = sorted(range(len(rows)), key=[fingerprint([row]) for row in rows].__getitem__)
        few[name] = [rows[i] for i in order[: SMOKE_ROWS[name]]]
    return replace(data, splits=few)


def effective_batch(training: TrainingSection, world_size: int) -> str:
    """Return the size of an optimizer step in words."""
    size, unit = (
        (training.tokens_per_batch, "padded tokens")
        if training.tokens_per_batch is not None
        else (training.examples_per_batch, "examples")
    )
    parts = f"{size} {unit} x {training.gradient_accumulation_steps} micro-batches x {world_size} processes"
    return f"{(size or 0) * training.gradient_accumulation_steps * world_size} {unit} ({parts})"
