"""Recipes are found by path or name; a mistyped name gets near files and recipes, never a list of all."""

from pathlib import Path

import pytest

from ft_toolkit.cli.recipe_names import find_recipe, shipped_recipes
from ft_toolkit.core.errors import UsageError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Change to an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refusal(name: str) -> str:
    with pytest.raises(UsageError) as caught:
        find_recipe(name)
    return str(caught.value)


@pytest.mark.parametrize(
    "name", ["sst2_lora", "text_classification/sst2_lora", "recipes/text_classification/sst2_lora.yaml"]
)
def test_a_shipped_recipe_is_found_from_any_folder(folder: Path, name: str) -> None:
    assert find_recipe(name) == shipped_recipes()["text_classification/sst2_lora"]


def test_a_file_wins_over_a_shipped_recipe(folder: Path) -> None:
    Path("demo").write_text("task: ner")
    assert find_recipe("demo") == Path("demo")


def test_a_mistyped_name_suggests_the_nearest_recipe(folder: Path) -> None:
    assert refusal("demmo") == (
        "recipe 'demmo' not found: neither a file nor a shipped recipe. Did you mean 'demo'? "
        "'ftk recipes' lists the shipped recipes"
    )
    assert "Did you mean 'text_classification/sst2_lora'?" in refusal("sst2_lroa")
    assert "Did you mean" not in refusal("zzzzzz")


def test_a_mistyped_path_suggests_files(folder: Path) -> None:
    (folder / "mine").mkdir()
    (folder / "mine" / "my_task.yaml").write_text("task: ner")
    (folder / "other.yml").write_text("task: ner")
    assert "Did you mean 'mine/my_task.yaml'?" in refusal("mine/my_tsk.yaml")
    assert "Did you mean 'other.yml'?" in refusal("oter.yaml")
    assert "Did you mean 'other.yml'?" in refusal("nowhere/othr.yml")


def test_other_files_and_folders_are_explained(folder: Path) -> None:
    Path("rows.csv").write_text("text,label")
    assert "'ftk init rows.csv'" in refusal("rows.csv")
    Path("rows.json").write_text('[{"text": "a", "label": "b"}]')
    assert "'ftk init rows.json'" in refusal("rows.json")
    Path("recipe.json").write_text('{"task": "ner"}')
    assert find_recipe("recipe.json") == Path("recipe.json")
    Path("run").mkdir()
    assert refusal("run").startswith("run is a folder; a recipe is a YAML file")
    Path("run/recipe.yaml").write_text("task: ner")
    assert refusal("run") == "run is a run folder; its recipe is run/recipe.yaml"


def test_a_name_of_two_recipes_is_refused_with_both(folder: Path) -> None:
    message = refusal("support_inbox_full")
    assert message.endswith("choose one of ner/support_inbox_full, question_answering/support_inbox_full")
