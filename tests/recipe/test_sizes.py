"""A recipe that is too large, or has a number without end, is refused at once."""

import time
from pathlib import Path
from typing import Any

import pytest

from ft_toolkit.core.errors import RecipeError
from ft_toolkit.recipe.load_recipe import load_recipe
from ft_toolkit.tasks import find_tasks

TASKS = find_tasks()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\n" + "# comment\n" * 10**7, "the file has 100,000,005 bytes"),
        ("a: '" + "x" * 2**21 + "'", "the text has 2,097,157 characters; at most 1,048,576 are allowed"),
        ("".join(f"a{i}: 1\n" for i in range(20_000)), "more"),
        ("training: {" + ", ".join(f"a{i}: 1" for i in range(20_000)) + "}", "more"),
        ("task: {name: " + "[" * 5000, "nested too deeply"),
        ("training: {max_steps: 1" + "0" * 5000 + "}", "a number with 5,001 digits is too long"),
        ("task: " + "x" * 900_000, "characters left out"),
    ],
)
def test_a_large_recipe(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(text)
    started = time.process_time()
    with pytest.raises(RecipeError) as error:
        load_recipe(tmp_path / "recipe.yaml", [], TASKS)
    assert message in str(error.value) and len(str(error.value)) < 200_000
    assert time.process_time() - started < 20  # 168 s before


@pytest.mark.parametrize(
    "word",
    ["evaluation.bootstrap_samples=1000000000000", "model.tokenizer={train_on_text: true, vocab_size: 10000000000}"],
)
def test_a_number_without_end(word: str, write_recipe: Any) -> None:
    with pytest.raises(RecipeError, match="must be less than or equal to"):
        load_recipe(write_recipe(), [word], TASKS)
