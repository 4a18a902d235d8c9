"""model.pooling in a recipe: only tasks that classify whole texts have it."""

import pytest

from ft_toolkit.core.errors import RecipeError
from ft_toolkit.recipe.load_recipe import load_values
from ft_toolkit.tasks import find_tasks


def test_a_task_without_a_vector_per_text_has_no_pooling():
    values = {
        "task": "ner",
        "model": {"name": "m", "pooling": "mean"},
        "data": {"train": "t.jsonl", "validation_fraction": 0.2},
        "training": {"examples_per_batch": 8},
    }
    with pytest.raises(RecipeError, match=r"model\.pooling: only allowed for tasks that classify whole texts"):
        load_values("r", values, find_tasks(), "here")
    values["model"]["pooling"] = None
    assert load_values("r", values, find_tasks(), "here").recipe.model.pooling is None
