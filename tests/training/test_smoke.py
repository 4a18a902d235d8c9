"""A smoke run reduces the recipe and the rows before the run is prepared, and lists its replacements."""

from pathlib import Path
from typing import Any

from ft_toolkit.core.run_folder import TINY_MODEL_FOLDER
from ft_toolkit.models.tiny import MAX_TOKENS
from ft_toolkit.recipe.load_recipe import load_recipe
from ft_toolkit.tasks import find_tasks
from ft_toolkit.training.smoke import ROWS, STEPS, prepare_smoke, smoke_input


def test_a_model_on_the_hub_is_replaced_by_a_tiny_one(write_recipe: Any, tmp_path: Path) -> None:
    settings = ["model.name=somebody/some-bert", "data.max_length=2000", "model.revision=main"]
    loaded = load_recipe(write_recipe(), settings, find_tasks())
    reduced = smoke_input(loaded, tmp_path)
    assert reduced.recipe.model.name == str(tmp_path / TINY_MODEL_FOLDER) and reduced.recipe.model.revision is None
    assert reduced.recipe.data.max_length == MAX_TOKENS
    assert reduced.substitutions[1:] == [
        "model: a tiny bert with random weights instead of somebody/some-bert",
        f"data.max_length: {MAX_TOKENS}, the maximum of the tiny model",
    ]
    prepared = prepare_smoke(loaded, work_folder=tmp_path)
    assert prepared.total_steps(1) == STEPS and prepared.substitutions == reduced.substitutions


def test_a_local_model_stays_and_the_rows_are_reduced(write_recipe: Any, tiny_bert: str, tmp_path: Path) -> None:
    loaded = load_recipe(write_recipe(), ["data.validation=null", "data.validation_fraction=0.1"], find_tasks())
    first, second = smoke_input(loaded, tmp_path), smoke_input(loaded, tmp_path)
    assert first.recipe.model.name == tiny_bert and len(first.substitutions) == 1
    assert {name: len(rows) <= ROWS[name] for name, rows in first.data.splits.items()} == dict.fromkeys(ROWS, True)
    assert first.data.splits == second.data.splits
    assert not any(tmp_path.glob(TINY_MODEL_FOLDER))
