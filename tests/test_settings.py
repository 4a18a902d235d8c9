"""No dead settings: every field of the recipe, changed, changes something that a user can see.

What is looked at gets dearer from step to step: what preparation yields, the model before training, a whole run.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel
from rich.console import Console

from ft_toolkit.recipe.load import LoadedRecipe, load_recipe
from ft_toolkit.recipe.methods import METHODS
from ft_toolkit.recipe.sections import Recipe
from ft_toolkit.runs.options import RunOptions
from ft_toolkit.runs.run import run
from ft_toolkit.tasks import find_tasks
from ft_toolkit.training.prepare import build_model, prepare
from ft_toolkit.training.trained_model import training_plan

BASE = ["training.num_train_epochs=2", "training.examples_per_batch=16", "model.dropout=0.0"]
LORA = ["method.name=lora", "model.dropout=0.0"]
NEW = [
    "model={config: {model_type: gpt2, n_layer: 2, n_embd: 16, n_head: 2}, tokenizer: {train_on_text: true, vocab_size: 320}}"
]
# field -> (settings before, settings after). Every field must stand here or in ELSEWHERE.
CHANGES: dict[str, tuple[list[str], list[str]]] = {
    "task.problem_type": ([], ["task.problem_type=multi_label_classification"]),
    "task.labels": ([], ["task.labels=[question, praise, complaint]"]),
    "task.class_weights": ([], ["task.class_weights=balanced"]),
    "task.threshold": (["task.problem_type=multi_label_classification"], ["task.threshold=0.3"]),
    "task.long_texts": (["data.max_length=8"], ["task.long_texts=windows"]),
    "task.documents": (["task=language_modelling", "model.name=GPT2"], ["task.documents=joined"]),
    "task.mask_share": (["task=language_modelling"], ["task.mask_share=0.4"]),
    "task.whole_words": (["task=language_modelling"], ["task.whole_words=false"]),
    "model.name": ([], ["model.name=GPT2"]),
    "model.config": (NEW, ["model.config.n_layer=1"]),
    "model.tokenizer": (NEW, ["model.tokenizer.vocab_size=310"]),
    "model.dropout": (["model.dropout=null"], ["model.dropout=0.4"]),
    "data.card": ([], ["data={card: support_inbox, max_length: 64}"]),
    "data.train": ([], ["data.train=TEST"]),
    "data.validation": ([], ["data.validation=TEST"]),
    "data.test": ([], ["data.test=VALIDATION"]),
    "data.validation_fraction": (
        ["data.validation=null", "data.validation_fraction=0.2"],
        ["data.validation_fraction=0.4"],
    ),
    "data.train_fraction": ([], ["data.train_fraction=0.5"]),
    "data.columns": ([], ["data.columns.text=id"]),
    "data.max_length": ([], ["data.max_length=8"]),
    "method.name": ([], ["method=lora"]),
    "method.r": (LORA, ["method.r=2"]),
    "method.alpha": (LORA, ["method.alpha=64"]),
    "method.dropout": (LORA, ["method.dropout=0.5"]),
    "method.target_modules": (LORA, ["method.target_modules=all-linear"]),
    "method.frozen_layers": (["method.name=freeze"], ["method.frozen_layers=1"]),
    "method.merge": (LORA, ["method.merge=true"]),
    "training.seed": ([], ["training.seed=3"]),
    "training.num_train_epochs": ([], ["training.num_train_epochs=3"]),
    "training.max_steps": ([], ["training.max_steps=1"]),
    "training.tokens_per_batch": (
        ["training.examples_per_batch=null", "training.tokens_per_batch=512"],
        ["training.tokens_per_batch=128"],
    ),
    "training.examples_per_batch": ([], ["training.examples_per_batch=4"]),
    "training.gradient_accumulation_steps": ([], ["training.gradient_accumulation_steps=2"]),
    "training.learning_rate": ([], ["training.learning_rate=0.01"]),
    "training.layerwise_lr_decay": ([], ["training.layerwise_lr_decay=0.3"]),
    "training.head_learning_rate": ([], ["training.head_learning_rate=0.05"]),
    "training.head_start": ([], ["training.head_start=none"]),
    "training.weight_decay": ([], ["training.weight_decay=5.0"]),
    "training.max_grad_norm": ([], ["training.max_grad_norm=0.001"]),
    "training.warmup_ratio": ([], ["training.warmup_ratio=0.6"]),
    "training.lr_scheduler_type": ([], ["training.lr_scheduler_type=cosine"]),
    "training.mixed_precision": ([], ["training.mixed_precision=bf16"]),
    "training.logging_steps": ([], ["training.logging_steps=2"]),
    "evaluation.metric_for_best_model": ([], ["evaluation.metric_for_best_model=f1_macro"]),
    "evaluation.eval_steps": ([], ["evaluation.eval_steps=1"]),
    "evaluation.early_stopping_patience": (
        ["training.num_train_epochs=6", "training.learning_rate=1e-9"],
        ["evaluation.early_stopping_patience=1"],
    ),
    "evaluation.bootstrap_samples": ([], ["evaluation.bootstrap_samples=150"]),
    "evaluation.baselines": ([], ["evaluation.baselines=[]"]),
    "evaluation.slices": ([], ["evaluation.slices=[label]"]),
    "evaluation.groups": ([], ["evaluation.groups=[label]"]),
    "reference.metric": (
        ["reference={metric: accuracy, value: 0.5, tolerance: 0.1, source: x}"],
        ["reference.metric=f1_macro"],
    ),
    "tracking.trackers": ([], ["tracking.trackers=[tensorboard]"]),
    "tracking.project": (["tracking.trackers=[tensorboard]"], ["tracking.project=other"]),
}
CHANGES |= {
    f"reference.{key}": (CHANGES["reference.metric"][0], [f"reference.{key}={value}"])
    for key, value in {"value": 0.9, "tolerance": 0.3, "split": "test", "source": "y"}.items()
}
# Fields whose effect another test shows.
ELSEWHERE = {
    "task.max_answer_tokens": "tests/tasks/test_question_answering.py",
    "task.n_best": "tests/tasks/test_question_answering.py",
    "task.name": "tests/test_config.py: an unknown task is refused; tests/test_contract.py runs each",
    "task.stride": "tests/tasks/test_ner.py and test_question_answering.py: windows share as many tokens",
    **dict.fromkeys(
        [f"task.{key}" for key in ("max_target_length", "num_beams", "length_penalty", "no_repeat_ngram_size")],
        "tests/text/test_generation.py: generation settings reach the texts",
    ),
    "task.min_new_tokens": "tests/text/test_generation.py: generation settings reach the texts",
    "task.prompt": "tests/text/test_generation.py: what a decoder learns is the target alone",
    "task.prefix": "tests/tasks/test_translation.py: what stands before a source",
    "task.source_language": "tests/tasks/test_translation.py: what stands before a source",
    "task.target_language": "tests/tasks/test_translation.py: what stands before a source",
    "model.revision": "tests/test_models.py: a Hub revision goes to the download",
    "model.sha256": "tests/test_cli.py: another file is refused",
    "evaluation.attributions": "tests/test_attributions.py: the words of the surest mistakes are credited",
    "training.seeds": "tests/test_seeds.py: a run per seed",
    "hub.license": "tests/report/test_card.py: licence and language reach the card",
    "hub.language": "tests/report/test_card.py: licence and language reach the card",
    "hub.push": "tests/hub/test_run.py: from the Hub to the Hub and back",
    "hub.repo": "tests/hub/test_run.py: from the Hub to the Hub and back",
    "hub.private": "tests/hub/test_run.py: a push that fails names the options that repeat it",
    "hub.revision": "tests/hub/test_push.py: a branch is made; tests/hub/test_recipe.py: a recipe's destination",
    "hub.merged": "tests/hub/test_recipe.py: what the card will say",
    "training.save_steps": "tests/test_run.py: a killed run resumes from the last of them",
}


SEEN: dict[str, Any] = {}


def fields() -> Iterator[str]:
    """Yield every field of every section, of every task and of every method."""
    kinds: dict[str, list[Any]] = {
        "task": [task.settings for task in find_tasks().values()],
        "method": list(METHODS.values()),
    }
    for section, field in Recipe.model_fields.items():
        annotated = [
            kind for kind in getattr(field.annotation, "__args__", [field.annotation]) if kind is not type(None)
        ]
        for kind in kinds.get(section, annotated):
            assert issubclass(kind, BaseModel)
            yield from (f"{section}.{name}" for name in kind.model_fields)


def test_every_field_is_tried_here_or_shown_elsewhere() -> None:
    assert set(fields()) == CHANGES.keys() | ELSEWHERE.keys()
    assert not CHANGES.keys() & ELSEWHERE.keys()


def seen_before_the_model(loaded: LoadedRecipe, folder: Path) -> Any:
    prepared = prepare(loaded, work_folder=folder)
    total = prepared.total_steps(1)
    learning_rate = training_plan(prepared, total_steps=total, world_size=1).learning_rate
    rates = [learning_rate.at(step) for step in range(total)]
    features = {name: (f.inputs, f.targets) for name, f in prepared.features.items()}
    return repr((features, prepared.schema, prepared.main_metric, prepared.epoch_batches(0, 1), total, rates))


def seen_in_a_model(loaded: LoadedRecipe, folder: Path) -> Any:
    built = build_model(prepare(loaded, work_folder=folder))
    return repr((built.count, [name for name, _ in built.model.named_parameters()], str(built.model)))


def seen_in_a_run(loaded: LoadedRecipe, folder: Path) -> Any:
    shutil.rmtree(folder, ignore_errors=True)
    results = run(
        loaded, RunOptions(output=folder, resume=False, smoke=False, command="ftk", console=Console(quiet=True))
    )
    for noise in ("seconds", "step_seconds", "tokens_per_second", "peak_memory_mib"):
        results["training"].pop(noise)
    results["reload_proof"] = None
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for record in records:
        record.pop("tokens_per_second", None)
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_dir())
    weights = sorted(path.name for path in (folder / "model").iterdir())
    return json.dumps([results, records, files, weights], sort_keys=True, default=np.ndarray.tolist)


@pytest.mark.parametrize("field", CHANGES)
def test_a_changed_field_changes_something(
    field: str, write_recipe: Any, data_files: dict[str, str], tiny_gpt2: str, tmp_path: Path
) -> None:
    places = {"GPT2": tiny_gpt2, "TEST": data_files["test"], "VALIDATION": data_files["validation"]}

    def placed(settings: list[str]) -> list[str]:
        return [f"{key}={places.get(value, value)}" for key, _, value in (s.partition("=") for s in settings)]

    before, after = CHANGES[field]
    path = write_recipe()
    one = load_recipe(path, placed([*BASE, *before]), find_tasks())
    two = load_recipe(path, placed([*BASE, *before, *after]), find_tasks())
    section, _, key = field.partition(".")
    assert one.recipe.as_dict()[section] != two.recipe.as_dict()[section] and key in (
        two.recipe.as_dict()[section] or {}
    )
    for look in (seen_before_the_model, seen_in_a_model):
        if look(one, tmp_path / "run") != look(two, tmp_path / "run"):
            return
    key_of_one = one.recipe.sha256()
    if key_of_one not in SEEN:  # many fields are held against the same run
        SEEN[key_of_one] = seen_in_a_run(one, tmp_path / "run")
    if SEEN[key_of_one] != seen_in_a_run(two, tmp_path / "run"):
        return
    pytest.fail(f"{field} changes nothing")
