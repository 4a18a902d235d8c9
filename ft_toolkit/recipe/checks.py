"""Checks between the sections of a recipe. Each yields a mistake for every problem.

They read the values as the user wrote them, so that an invalid value in a section does not hide the next mistake.
"""

from collections.abc import Iterator
from typing import Any, get_args

from ft_toolkit.core.errors import Mistake, did_you_mean, one_of
from ft_toolkit.recipe.document import Document
from ft_toolkit.recipe.methods import FreezeMethod, FullMethod, Method
from ft_toolkit.recipe.sections import ModelSection
from ft_toolkit.tasks.base import AugmentKind, Task, TaskSettings, needs_checkpoint

# Model classes whose last linear layer returns the logits, so that a linear probe can replace it (training.head_start).
PROBED_CLASSES = {"AutoModelForSequenceClassification", "AutoModelForTokenClassification"}
# Model classes whose head reads one vector per text (model.pooling).
POOLED_CLASSES = {"AutoModelForSequenceClassification"}
# Settings that choose the rows of a run.
_ROW_SETTINGS = {
    "card",
    "hub",
    "hub_config",
    "train",
    "validation",
    "test",
    "validation_fraction",
    "test_fraction",
    "fold",
    "train_fraction",
    "group",
    "on_bad_rows",
}


def ignores_reference(document: Document) -> bool:
    """Return whether the command line changes the model or the rows that the published result belongs to.

    A `reference` setting on the command line keeps the section.
    """
    if any(key[0] == "reference" for key in document.overridden):
        return False
    rows = {("data", name) for name in _ROW_SETTINGS}
    return any(key[0] == "model" or key[:2] in rows for key in document.overridden)


def check_method(document: Document, method: Method | None, model: ModelSection | None) -> Iterator[Mistake]:
    """Check that a new model, and new embeddings, are trained with the method `full`."""
    if method is None or isinstance(method, FullMethod) or model is None:
        return
    if model.config is not None:
        problem = f"{method.name} requires a pretrained model, and model.config creates a new one; use method=full"
        yield document.mistake(("method",), problem)
    if model.resize_embeddings:
        problem = (
            f"{method.name} does not train the new embeddings; use method=full, or a checkpoint with all embeddings"
        )
        yield document.mistake(("model", "resize_embeddings"), problem)


def check_metrics(document: Document, task: Task, settings: TaskSettings) -> Iterator[Mistake]:
    """Check that the task has the metrics that the recipe names."""
    metrics = list(task.metrics(settings))
    checked = [("evaluation", "metric_for_best_model", [*metrics, "loss"])]
    if not ignores_reference(document):
        checked.append(("reference", "metric", metrics))
    for section, key, allowed in checked:
        name = document.value(section, key)
        if isinstance(name, str) and name not in allowed:
            hint = did_you_mean(name, allowed)
            problem = f"{task.name} has no metric '{name}'; allowed: {one_of(allowed)}.{hint}"
            yield document.mistake((section, key), problem)


def check_classifier_settings(document: Document, task: Task, settings: TaskSettings) -> Iterator[Mistake]:
    """Check that groups and attributions are used with a classifier only, and attributions where the settings allow them."""
    classifier = task.classifier(settings)
    if classifier is None:
        for key in ("groups", "attributions"):
            if document.value("evaluation", key):
                yield document.mistake(
                    ("evaluation", key), "only allowed for tasks with label probabilities; remove it"
                )
    elif document.value("evaluation", "attributions") and classifier.explained_label is None:
        changed = {key: value for key, value in settings.model_dump(exclude_defaults=True).items() if key != "name"}
        shown = ", ".join(f"task.{key}={value}" for key, value in changed.items())
        problem = f"not supported with {shown}; remove it, or change the task settings"
        yield document.mistake(("evaluation", "attributions"), problem)


def check_head_start(document: Document, task: Task | None, model: ModelSection | None) -> Iterator[Mistake]:
    """Check that a linear probe has a new head to start and a pretrained model to read features from."""
    if document.value("training", "head_start") != "probe":
        return
    if task is not None and not PROBED_CLASSES & set(task.auto_class.values()):
        problem = f"a probe requires a classification or tagging head, and {task.name} has none; remove it"
        yield document.mistake(("training", "head_start"), problem)
    elif model is not None and model.config is not None:
        problem = "a probe requires a pretrained model, and model.config creates a new one; remove it"
        yield document.mistake(("training", "head_start"), problem)


def check_pooling(document: Document, task: Task) -> Iterator[Mistake]:
    """Check that only a task with a head for whole texts sets a pooling."""
    if document.value("model", "pooling") not in (None, "auto") and not POOLED_CLASSES & set(task.auto_class.values()):
        problem = f"only allowed for tasks that classify whole texts, and {task.name} does not; remove it"
        yield document.mistake(("model", "pooling"), problem)


def check_resampling(document: Document, task: Task, settings: TaskSettings) -> Iterator[Mistake]:
    """Check that classes are resampled only where each row has one label."""
    if document.value("training", "resample_classes") and task.stratify_by(settings) is None:
        problem = f"requires one label per row, which {task.name} with these settings does not have; remove it"
        yield document.mistake(("training", "resample_classes"), problem)


def check_augmentation(document: Document, task: Task, settings: TaskSettings) -> Iterator[Mistake]:
    """Check that the task allows the changes of training rows that the recipe names."""
    augmentation = task.augmentation(settings)
    for kind in get_args(AugmentKind):
        if not document.value("augmentation", kind):
            continue
        if isinstance(augmentation, str):
            yield document.mistake(("augmentation", kind), f"{task.name} {augmentation}; remove it")
        elif kind not in augmentation.kinds:
            problem = (
                f"not allowed for {task.name}, because it may change the answer; allowed: {one_of(augmentation.kinds)}"
            )
            yield document.mistake(("augmentation", kind), problem)


def check_stream(document: Document, task: Task) -> Iterator[Mistake]:
    """Check that training rows are a stream only for tasks that allow it, and that the number of steps is set."""
    path = ("data", "stream_rows")
    if document.value(*path) is None:
        return
    if not task.streams_rows:
        problem = (
            f"{task.name} needs all training rows before the first step, for example to find the labels; remove it"
        )
        yield document.mistake(path, problem)
    if document.value("training", "max_steps") is None:
        yield document.mistake(
            path, "requires the number of steps, because the rows are not counted; set training.max_steps"
        )
    if any(document.value("augmentation", kind) for kind in get_args(AugmentKind)):
        yield document.mistake(path, "excludes augmentation, whose copies are made before the first step; remove one")
    if isinstance(document.value("training", "num_train_epochs"), int):
        yield document.mistake(path, "excludes training.num_train_epochs, because the rows are not counted; remove one")


def check_contrastive(
    document: Document, task: Task, settings: TaskSettings, method: Method | None
) -> Iterator[Mistake]:
    """Check that pairs are used only where each row is a text with one label, and weights below the head are trained."""
    if document.value("training", "contrastive_pairs") is None:
        return
    path = ("training", "contrastive_pairs")
    if task.stratify_by(settings) is None or not POOLED_CLASSES & set(task.auto_class.values()):
        problem = f"requires texts with one label each, which {task.name} with these settings does not have; remove it"
        yield document.mistake(path, problem)
    if isinstance(method, FreezeMethod) and method.frozen_layers == "all":
        problem = (
            "trains weights below the head, and method.frozen_layers=all trains none; remove it, or use method=full"
        )
        yield document.mistake(path, problem)


def check_layer_rates(document: Document, method: Method | None) -> Iterator[Mistake]:
    """Check that learning rates per layer are set only if weights below the head are trained."""
    if isinstance(method, FreezeMethod) and method.frozen_layers == "all":
        for key, neutral in (("layerwise_lr_decay", 1), ("head_learning_rate", None)):
            if document.value("training", key) not in (None, neutral):
                problem = (
                    "has no effect, because only the head is trained (method.frozen_layers=all); use learning_rate"
                )
                yield document.mistake(("training", key), problem)


def check_baselines(document: Document, task: Task, model: ModelSection | None) -> Iterator[Mistake]:
    """Check that the task has the baselines that the recipe names, and the checkpoint that they need."""
    names: Any = document.value("evaluation", "baselines")
    for number, name in enumerate(names if isinstance(names, list) else ()):
        path = ("evaluation", "baselines", str(number))
        baseline = task.baselines.get(name) if isinstance(name, str) else None
        if isinstance(name, str) and baseline is None:
            problem = f"{task.name} has no baseline '{name}'; allowed: {one_of(task.baselines)}."
            yield document.mistake(path, problem + did_you_mean(name, task.baselines))
        elif needs_checkpoint(baseline) and model is not None and model.config is not None:
            problem = f"{name} requires a pretrained model, and model.config creates a new one; remove {name}"
            yield document.mistake(path, problem)


def check_columns(document: Document, task: Task) -> Iterator[Mistake]:
    """Check that the task has the columns that `data.columns` maps."""
    columns = document.value("data", "columns")
    for column in columns if isinstance(columns, dict) else ():
        if column not in task.columns:
            problem = f"{task.name} has no column '{column}'; allowed: {one_of(task.columns)}."
            yield document.mistake(("data", "columns", column), problem + did_you_mean(column, task.columns))
        elif isinstance(columns[column], list):
            names = [str(name) for name in columns[column]]
            if not task.columns[column].several:
                yield document.mistake(
                    ("data", "columns", column), f"found a list; {task.name} reads '{column}' from one column"
                )
            elif len(set(names)) < len(names):
                yield document.mistake(("data", "columns", column), f"contains a column twice: {one_of(names)}")
