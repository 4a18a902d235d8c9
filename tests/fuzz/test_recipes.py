"""Any recipe, any override, any data card and any setting of --reading is valid or gives clear errors."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from fuzz_values import ODD_TEXTS, changed, damaged, encoded, is_clear, values
from hypothesis import example, given
from hypothesis import strategies as st

from ft_toolkit.cli.arguments import parse_columns, parse_execution, parse_reading
from ft_toolkit.core.errors import UsageError
from ft_toolkit.core.yaml12 import dump_yaml
from ft_toolkit.data.cards import load_card
from ft_toolkit.recipe.load_recipe import load_recipe, load_values
from ft_toolkit.tasks import find_tasks

ROOT = Path(__file__).resolve().parents[2]
TASKS = find_tasks()
RECIPES = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted((ROOT / "recipes").rglob("*.yaml"))]
CARDS = [
    yaml.safe_load(path.read_text(encoding="utf-8").split("---\n", 2)[1])
    for path in sorted((ROOT / "data_cards").glob("*/README.md"))
]
SETTINGS = sorted(
    {
        f"{section}.{key}"
        for recipe in RECIPES
        for section, keys in recipe.items()
        if isinstance(keys, dict)
        for key in keys
    }
    | {
        "task",
        "method",
        "data.columns.text",
        "data.columns.label",
        "model.config.hidden_size",
        "training.seeds",
        "hub.repo",
    }
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("recipes")


def load(path: Path, overrides: list[str]) -> None:
    try:
        loaded = load_recipe(path, overrides, TASKS)
    except UsageError as error:
        assert is_clear(str(error)), str(error)
        return
    path.write_text(loaded.to_yaml(), encoding="utf-8")
    assert load_recipe(path, [], TASKS).recipe == loaded.recipe


def as_yaml(document: Any) -> str:
    """Return a document as YAML; JSON, which is YAML too, for values that PyYAML cannot write."""
    try:
        return dump_yaml(document)
    except (ValueError, yaml.YAMLError):
        return repr(document)


yaml_texts = st.one_of(
    st.sampled_from(RECIPES).flatmap(changed).map(as_yaml),
    st.sampled_from(RECIPES).flatmap(changed).map(as_yaml),
    st.sampled_from(RECIPES).map(dump_yaml),
    values.map(as_yaml),
    st.sampled_from(
        ["[" * 100_000, "{a: " * 100_000, "a: " + "1" * 5000, "- " * 5000, "a:\n" + " b:\n" * 50, "&a [*a]", "!!python/x y",
         "? [a]\n: b", "<<: {a: 1}", "a: 1\na: 2", "%YAML 1.1\n---\na", "--- a\n--- b", "\x00", "a: \ud800", "a: 0x1F",
         "a: 1_000", "a: 2001-01-01", "a: =", "a: .nan", "a: 1e999", "=: 1", "~: 1", "a: |\n  b", "a: >\n b\n c", "': "]
    ),
)  # fmt: skip
yaml_files = st.one_of(
    yaml_texts.map(lambda text: encoded(text, "utf-8")),
    damaged(yaml_texts.map(lambda text: encoded(text, "utf-8"))),
    st.binary(max_size=50),
)
override_words = st.builds(
    "{}{}{}".format,
    st.one_of(st.sampled_from(SETTINGS), st.sampled_from(SETTINGS), st.text(max_size=8), st.sampled_from(ODD_TEXTS)),
    st.sampled_from(["=", "=", "=", "", ".", "==", " = "]),
    st.one_of(st.sampled_from(ODD_TEXTS), st.text(max_size=8), values.map(as_yaml), st.integers().map(str)),
)


@example(content=b"training: {num_train_epochs: 1" + b"0" * 5000 + b"}")
@given(content=yaml_files)
def test_any_recipe_file(folder: Path, content: bytes) -> None:
    path = folder / "recipe.yaml"
    path.write_bytes(content)
    load(path, [])


@given(recipe=st.sampled_from(RECIPES), words=st.lists(override_words, min_size=1, max_size=3))
def test_any_overrides(folder: Path, recipe: Any, words: list[str]) -> None:
    path = folder / "recipe.yaml"
    path.write_text(dump_yaml(recipe), encoding="utf-8")
    load(path, words)


@given(recipe=st.sampled_from(RECIPES).flatmap(changed))
def test_any_values_in_python(recipe: Any) -> None:
    if not isinstance(recipe, dict):
        return
    try:
        load_values("recipe", recipe, TASKS, "fine_tune(...)")
    except UsageError as error:
        assert is_clear(str(error)), str(error)


@given(
    content=st.one_of(
        st.sampled_from(CARDS).flatmap(changed).map(lambda card: encoded(f"---\n{as_yaml(card)}---\ntext", "utf-8")),
        damaged(st.sampled_from(CARDS).map(lambda card: encoded(f"---\n{dump_yaml(card)}---\ntext", "utf-8"))),
        yaml_files,
    ),
    task=st.sampled_from(sorted(TASKS)),
)
def test_any_data_card(folder: Path, content: bytes, task: str) -> None:
    (folder / "card").mkdir(exist_ok=True)
    (folder / "card" / "README.md").write_bytes(content)
    try:
        card = load_card(str(folder / "card"))
        assert isinstance(card.licence, str) and isinstance(card.title, str)
        card.for_task(task)
    except UsageError as error:
        assert is_clear(str(error)), str(error)


@given(
    parse=st.sampled_from([parse_columns, parse_reading, lambda pairs: parse_execution("local", None, pairs)]),
    pairs=st.lists(
        st.builds(
            "{}{}{}".format,
            st.sampled_from(
                ["text", "encoding", "delimiter", "quotes", "column_names", "sheet", "token_column", "format", ""]
            ),
            st.sampled_from(["=", "=", "=", ""]),
            st.one_of(st.sampled_from(ODD_TEXTS), st.text(max_size=5), values.map(as_yaml)),
        ),
        max_size=3,
    ),
)
def test_any_options_of_the_command_line(parse: Any, pairs: list[str]) -> None:
    try:
        parse(pairs)
    except UsageError as error:
        assert is_clear(str(error)), str(error)
