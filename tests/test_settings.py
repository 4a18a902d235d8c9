"""No dead settings: a change of any recipe field changes something that a user can see.

Three comparisons, from cheap to expensive: the prepared data, the model before training, a complete run.
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

from ft_toolkit.recipe.load_recipe import LoadedRecipe, load_recipe
from ft_toolkit.recipe.methods import METHODS
from ft_toolkit.recipe.sections import Recipe
from ft_toolkit.runs.options import RunOptions
from ft_toolkit.runs.run import run
from ft_toolkit.tasks import find_tasks
from ft_toolkit.training.prepare import build_model, prepare
from ft_toolkit.training.trained_model import training_plan

BASE = ["training.num_train_epochs=2", "training.examples_per_batch=16", "model.dropout=0.0"]
LANGUAGE = ["task=language_modelling", "evaluation.baselines=null"]
LORA = ["method.name=lora", "model.dropout=0.0"]
NEW = [
    "model={config: {model_type: gpt2, n_layer: 2, n_embd: 16, n_head: 2}, tokenizer: {train_on_text: true, vocab_size: 320}}"
]
# Field -> (settings before, settings after). Every field must be here or in ELSEWHERE.
CHANGES: dict[str, tuple[list[str], list[str]]] = {
    "task.problem_type": ([], ["task.problem_type=multi_label_classification"]),
    "task.labels": ([], ["task.labels=[question, praise, complaint]"]),
    "task.class_weights": ([], ["task.class_weights=balanced"]),
    "task.focal_gamma": ([], ["task.focal_gamma=2.0"]),
    "task.label_smoothing": ([], ["task.label_smoothing=0.1"]),
    "task.threshold": (["task.problem_type=multi_label_classification"], ["task.threshold=0.3"]),
    "task.tune_thresholds": (["task.problem_type=multi_label_classification"], ["task.tune_thresholds=f1_macro"]),
    "task.long_texts": (["data.max_length=8"], ["task.long_texts=windows"]),
    "task.documents": ([*LANGUAGE, "model.name=GPT2"], ["task.documents=joined"]),
    "task.mask_share": (LANGUAGE, ["task.mask_share=0.4"]),
    "model.name": ([], ["model.name=GPT2"]),
    "model.config": (NEW, ["model.config.n_layer=1"]),
    "model.tokenizer": (NEW, ["model.tokenizer.vocab_size=310"]),
    "model.dropout": (["model.dropout=null"], ["model.dropout=0.4"]),
    "model.pooling": ([], ["model.pooling=mean"]),
    "data.card": ([], ["data={card: support_inbox, max_length: 64}"]),
    "data.train": ([], ["data.train=TEST"]),
    "data.validation": ([], ["data.validation=TEST"]),
    "data.test": ([], ["data.test=VALIDATION"]),
    "data.validation_fraction": (
        ["data.validation=null", "data.validation_fraction=0.2"],
        ["data.validation_fraction=0.4"],
    ),
    "data.test_fraction": (["data.test=null", "data.test_fraction=0.2"], ["data.test_fraction=0.4"]),
    "data.train_fraction": ([], ["data.train_fraction=0.5"]),
    "data.fold": (["data.fold=1/4"], ["data.fold=2/4"]),
    "data.group": (["data.validation=null", "data.validation_fraction=0.2"], ["data.group=label"]),
    "data.columns": ([], ["data.columns.text=id"]),
    "data.label_separator": (["task.problem_type=multi_label_classification"], ["data.label_separator=e"]),
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
    "training.head_start": (["training.head_start=none"], ["training.head_start=probe"]),
    "training.contrastive_pairs": ([], ["training.contrastive_pairs=4"]),
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
# Fields whose effect is tested in another file.
ELSEWHERE = {
    "task.max_answer_tokens": "tests/tasks/test_question_answering.py",
    "task.n_best": "tests/tasks/test_question_answering.py",
    "data.on_bad_rows": "tests/data/test_bad_rows.py",
    "data.patch": "tests/data/test_patch.py",
    "data.time": "tests/data/test_times.py",
    "data.stream_rows": "tests/training/test_streamed_rows.py",
    "task.name": "tests/recipe/test_load_recipe.py",
    "task.stride": "tests/tasks/test_ner.py",
    **dict.fromkeys(
        [f"task.{key}" for key in ("max_target_length", "num_beams", "length_penalty", "no_repeat_ngram_size")],
        "tests/tasks/text/test_generation.py",
    ),
    "task.min_new_tokens": "tests/tasks/text/test_generation.py",
    "task.prompt": "tests/tasks/text/test_generation.py",
    "task.prefix": "tests/tasks/test_translation.py",
    "task.source_language": "tests/tasks/test_translation.py",
    "task.target_language": "tests/tasks/test_translation.py",
    **dict.fromkeys(
        [
            f"task.{key}"
            for key in (
                "max_new_tokens",
                "do_sample",
                "temperature",
                "top_k",
                "top_p",
                "repetition_penalty",
                "num_return_sequences",
                "sampling_seed",
                "stop_strings",
            )
        ],
        "tests/tasks/text/test_decoding.py",
    ),
    "task.whole_words": "tests/tasks/test_language_modelling.py",
    "training.resample_classes": "tests/training/test_resampling.py",
    "task.run_tests": "tests/tasks/test_code_generation.py",
    "task.answering_speaker": "tests/tasks/test_dialogue.py",
    "task.prompt_words": "tests/tasks/test_text_generation.py",
    "task.continued_share": "tests/tasks/test_text_generation.py",
    "data.reading": "tests/data/test_load_data.py",
    **dict.fromkeys(
        [f"augmentation.{key}" for key in ("typos", "delete_words", "swap_words", "replace_entities", "copies")],
        "tests/data/augment/test_augmented_rows.py",
    ),
    **dict.fromkeys(
        [f"augmentation.{key}" for key in ("synonyms", "word_list")], "tests/training/test_augmentation.py"
    ),
    "data.hub": "tests/hub/test_data_sets.py",
    "data.hub_config": "tests/hub/test_data_sets.py",
    "model.revision": "tests/models/test_pretrained.py",
    "model.sha256": "tests/cli/test_cli.py",
    "model.resize_embeddings": "tests/models/test_vocabulary.py",
    "evaluation.attributions": "tests/inference/test_attributions.py",
    "training.seeds": "tests/runs/test_seeds.py",
    "hub.license": "tests/report/test_card.py",
    "hub.language": "tests/report/test_card.py",
    "hub.push": "tests/hub/test_run.py",
    "hub.repo": "tests/hub/test_run.py",
    "hub.private": "tests/hub/test_run.py",
    "hub.revision": "tests/hub/test_recipe.py",
    "hub.merged": "tests/hub/test_recipe.py",
    "training.save_steps": "tests/runs/test_run.py",
    "training.lost_process_seconds": "tests/training/distributed/test_watch.py",
    "training.on_nonfinite": "tests/runs/test_nonfinite.py",
    "training.max_skipped_steps": "tests/runs/test_nonfinite.py",
}
ROOT = Path(__file__).resolve().parents[1]

# What was compared by comparison and hash of the recipe: many fields are compared with the same recipe.
COMPARED: dict[tuple[str, str], str] = {}


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


def test_every_field_is_tested_here_or_in_the_file_named() -> None:
    assert set(fields()) == CHANGES.keys() | ELSEWHERE.keys()
    assert not CHANGES.keys() & ELSEWHERE.keys()
    for field, file in ELSEWHERE.items():
        assert field.partition(".")[2] in (ROOT / file).read_text(encoding="utf-8"), field


def compared_data(loaded: LoadedRecipe, folder: Path) -> str:
    """Return the features, batches and learning rates as text."""
    prepared = prepare(loaded, work_folder=folder)
    total = prepared.total_steps(1)
    learning_rate = training_plan(prepared, total_steps=total, world_size=1).learning_rate
    rates = [learning_rate.at(step) for step in range(total)]
    features = {name: (f.inputs, f.targets) for name, f in prepared.features.items()}
    return repr((features, prepared.main_metric, prepared.epoch_batches(0, 1), total, rates))


def compared_model(loaded: LoadedRecipe, folder: Path) -> str:
    """Return the structure of the model before training as text."""
    built = build_model(prepare(loaded, work_folder=folder))
    return repr((built.count, [name for name, _ in built.model.named_parameters()], str(built.model)))


def compared_run(loaded: LoadedRecipe, folder: Path) -> str:
    """Return the results, progress records and files of a complete run as text, without times, settings and the folder."""
    shutil.rmtree(folder, ignore_errors=True)
    results = run(
        loaded, RunOptions(output=folder, resume=False, smoke=False, command="ftk", console=Console(quiet=True))
    )
    # the task's settings and the schema repeat the recipe: they would differ for a setting that nothing uses
    shown = {name: value for name, value in results.items() if name not in ("folder", "task_settings", "schema")}
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_dir())
    weights = sorted(path.name for path in (folder / "model").iterdir())
    return json.dumps(without_measurements([shown, records, files, weights]), sort_keys=True, default=np.ndarray.tolist)


def without_measurements(value: Any) -> Any:
    """Return results without the numbers that differ between two runs of one recipe: times, speed and memory."""
    if isinstance(value, list):
        return [without_measurements(each) for each in value]
    if not isinstance(value, dict):
        return value
    measured = ("tokens_per_second", "peak_memory_mib")
    return {
        name: without_measurements(each)
        for name, each in value.items()
        if not name.endswith("seconds") and name not in measured
    }


COMPARISONS = (compared_data, compared_model, compared_run)


def test_equal_recipes_have_equal_results(write_recipe: Any, tmp_path: Path) -> None:
    """A comparison that always finds a difference would prove nothing."""
    loaded = load_recipe(write_recipe(), BASE, find_tasks())
    for compared in COMPARISONS:
        assert compared(loaded, tmp_path / "one") == compared(loaded, tmp_path / "two")


@pytest.mark.parametrize("field", CHANGES)
def test_a_changed_field_changes_something(
    field: str, write_recipe: Any, data_files: dict[str, str], tiny_gpt2: str, tmp_path: Path
) -> None:
    files = {"GPT2": tiny_gpt2, "TEST": data_files["test"], "VALIDATION": data_files["validation"]}

    def with_files(settings: list[str]) -> list[str]:
        return [f"{key}={files.get(value, value)}" for key, _, value in (s.partition("=") for s in settings)]

    before, after = CHANGES[field]
    path = write_recipe()
    base = load_recipe(path, with_files([*BASE, *before]), find_tasks())
    changed = load_recipe(path, with_files([*BASE, *before, *after]), find_tasks())
    section, _, key = field.partition(".")
    changed_values = changed.recipe.as_dict()[section]
    assert base.recipe.as_dict()[section] != changed_values and key in (changed_values or {})
    for compared in COMPARISONS:
        key_of_base = compared.__name__, base.recipe.sha256()
        if key_of_base not in COMPARED:
            COMPARED[key_of_base] = compared(base, tmp_path / "run")
        if compared(changed, tmp_path / "run") != COMPARED[key_of_base]:
            return
    raise AssertionError(f"{field} changes nothing")
