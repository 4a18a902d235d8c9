"""10**12 in every whole-number setting of a recipe: an error with the setting, or a run that ends."""

import json
import re
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

import pytest

from ft_toolkit.core.errors import RecipeError
from ft_toolkit.recipe.load_recipe import load_recipe
from ft_toolkit.recipe.methods import METHODS
from ft_toolkit.recipe.reading import Reading
from ft_toolkit.recipe.sections import SECTIONS, NewTokenizer
from ft_toolkit.tasks import find_tasks

HUGE = 10**12
TASKS = find_tasks()
# Settings of the length of a run: a dry run shows its plan.
STEPS = ("training.max_steps", "training.num_train_epochs")


def is_integer(annotation: Any) -> bool:
    """Return whether a type allows an int: int itself, or a union or an Annotated with it."""
    if get_origin(annotation) in (Annotated, Union, types.UnionType):
        return any(is_integer(part) for part in get_args(annotation))
    return annotation is int


def integer_settings() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield each whole-number setting, and the words that a recipe needs to have it."""
    for name, task in TASKS.items():
        for key, field in task.settings.model_fields.items():
            if is_integer(field.annotation):
                yield f"task.{key}", (f"task.name={name}",)
    for method, kind in METHODS.items():
        for key, field in kind.model_fields.items():
            if is_integer(field.annotation):
                yield f"method.{key}", (f"method={method}",)
    for section, kind in SECTIONS.items():
        for key, field in kind.model_fields.items():
            if is_integer(field.annotation):
                yield f"{section}.{key}", ()
    for key, field in Reading.model_fields.items():
        if is_integer(field.annotation):
            yield f"data.reading.{key}", ("task.name=ner",)
    for key, field in NewTokenizer.model_fields.items():
        if is_integer(field.annotation):
            yield f"model.tokenizer.{key}", ("model={config: {model_type: gpt2}, tokenizer: {train_on_text: true}}",)


SETTINGS = list(integer_settings())


def test_the_settings_are_found() -> None:
    names = {name for name, _ in SETTINGS}
    assert len(SETTINGS) > 25
    assert names >= {
        "training.seed",
        "method.r",
        "data.max_length",
        "evaluation.eval_steps",
        "model.tokenizer.vocab_size",
    }


@pytest.mark.slow
@pytest.mark.parametrize(("setting", "words"), SETTINGS, ids=[f"{name} {' '.join(words)}" for name, words in SETTINGS])
def test_a_huge_number(
    setting: str, words: tuple[str, ...], write_recipe: Any, here: Any, tmp_path: Path, tiny_gpt2: str
) -> None:
    """A run of one step, and for settings of the length of the run its plan."""
    name = next((word.partition("=")[2] for word in words if word.startswith("task.name=")), "text_classification")
    languages = {"source_language": "en", "target_language": "de"} if name == "translation" else {}
    task_settings = TASKS[name].settings(name=name, **languages)
    rows = [json.dumps(row) + "\n" for row in TASKS[name].sample_rows(task_settings)]
    for split in ("train", "validation"):
        (tmp_path / f"{split}.jsonl").write_text("".join(rows), encoding="utf-8")
    if setting.startswith("data.reading."):
        for split in ("train", "validation"):
            (tmp_path / f"{split}.conll").write_text("Ada B-PER\nwrote O\n\n" * 8, encoding="utf-8")
    suffix = "conll" if setting.startswith("data.reading.") else "jsonl"
    data = {split: str(tmp_path / f"{split}.{suffix}") for split in ("train", "validation")} | {"max_length": 64}
    recipe = write_recipe(
        task={"name": name, **languages},
        **(
            {"model__name": tiny_gpt2}
            if "decoder" in TASKS[name].auto_class and len(TASKS[name].auto_class) == 1
            else {}
        ),
        data=data,
        training__learning_rate=1e-3,
        training__head_start="none",
        evaluation__baselines=[],
    )
    is_length = setting in STEPS
    limits = ["--dry-run"] if is_length else ["training.max_steps=1"]
    words = tuple(word for word in words if not word.startswith("task.name="))
    done = here("run", recipe, *words, f"{setting}={HUGE}", *limits, "--output", tmp_path / "run", check=False)
    assert done.returncode in (0, 2), done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    if done.returncode:
        assert str(HUGE) in done.stderr or setting.rpartition(".")[2] in done.stderr, done.stderr


@pytest.mark.parametrize("value", [10**6, HUGE])
@pytest.mark.parametrize(
    "batch", ["training.examples_per_batch=8", "training={tokens_per_batch: 256, learning_rate: 1e-3}"]
)
def test_many_epochs_are_not_counted_one_by_one(
    value: int, batch: str, write_recipe: Any, here: Any, tmp_path: Path
) -> None:
    words = [batch, f"training.num_train_epochs={value}", "--dry-run", "--output", tmp_path / "run"]
    done = here("run", write_recipe(), *words)
    per_epoch = r"4" if "examples" in batch else r"[\d.]+"
    steps = re.search(r"^ *steps +([\d,]+) of ", done.stdout, re.MULTILINE)
    assert steps is not None and re.fullmatch(per_epoch, f"{int(steps[1].replace(',', '')) / value:g}"), done.stdout


@pytest.mark.parametrize(
    "word",
    ["training.gradient_accumulation_steps", "training.contrastive_pairs", "method.r"],
)
def test_numbers_that_would_fill_the_memory_have_a_limit(word: str, write_recipe: Any) -> None:
    method = ["method=lora"] if word.startswith("method") else []
    with pytest.raises(RecipeError, match=f"{word}: must be less than or equal to [0-9]+; found {HUGE}"):
        load_recipe(write_recipe(), [*method, f"{word}={HUGE}"], TASKS)
