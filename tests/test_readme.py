"""The README matches the code: its commands are valid, its recipe is the shipped one, its files and pictures exist."""

import re
import runpy
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ft_toolkit.cli.app import app
from ft_toolkit.cli.recipe_names import find_recipe
from ft_toolkit.core.errors import RecipeError
from ft_toolkit.recipe.load_recipe import load_recipe
from ft_toolkit.tasks import find_tasks

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def commands() -> list[list[str]]:
    """Return the words of every ftk command in the README's shell blocks."""
    blocks = re.findall(r"```sh\n(.*?)```", README, re.S)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("ftk ")]


def test_the_set_up_is_two_make_targets() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    assert set(re.findall(r"^make (\w+)", README, re.M)) == {"demo", "test"} <= targets


@pytest.mark.parametrize("words", commands(), ids=lambda words: " ".join(words[:2]))
def test_commands_are_valid(words: list[str]) -> None:
    verb = [] if words[0].startswith("-") else words[:1]
    shown = CliRunner().invoke(app, [*verb, "--help"])
    assert shown.exit_code == 0
    assert all(option in shown.output for option in words if option.startswith("--"))
    if verb == ["run"]:
        settings = [word for word in words[2:] if "=" in word]
        load_recipe(find_recipe("demo"), settings, find_tasks())


def test_every_verb_is_in_the_table_of_commands() -> None:
    table = README.split("## Commands")[1].split("\n## ")[0]
    verbs = [command.name or command.callback.__name__ for command in app.registered_commands if command.callback]
    groups = [group.name for group in app.registered_groups]
    assert set(re.findall(r"^\| `ftk ([\w-]+)", table, re.M)) == {*verbs, *groups}


def test_the_recipe_shown_is_the_one_shipped() -> None:
    shown = next(block for block in re.findall(r"```yaml\n(.*?)```", README, re.S))
    assert shown == (ROOT / "recipes/text_classification/sst2_lora.yaml").read_text(encoding="utf-8")


def test_the_mistakes_shown_are_those_of_the_command() -> None:
    block = README.split("$ ftk run demo ")[1].split("```")[0]
    command, *lines = block.strip().splitlines()
    with pytest.raises(RecipeError) as caught:
        load_recipe(find_recipe("demo"), shlex.split(command), find_tasks())
    printed = str(caught.value).splitlines()
    assert len(printed) == len(lines)
    for line in lines:
        start, _, end = line.partition("...")
        assert any(text.startswith(start.rstrip()) and text.endswith(end) for text in printed), line


def test_the_picture_of_the_rooms_is_up_to_date() -> None:
    script = runpy.run_path(str(ROOT / "docs" / "draw_rooms.py"))
    assert script["PICTURE"].read_text(encoding="utf-8") == script["draw"](), "run: python docs/draw_rooms.py"


def test_files_named_exist() -> None:
    tree = README.split("## The tree")[1].split("```text\n")[1].split("```")[0]
    folders: list[str] = []
    for line in tree.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        folders = folders[:depth]
        for name in re.split(r"\s{4,}", line.strip())[0].split():
            assert (ROOT / Path(*folders, name)).exists(), name
        if line.split()[0].endswith("/"):
            folders.append(line.split()[0])
    for name in re.findall(r"`((?:tests|ft_toolkit|data_cards)/[\w./]+)`", README):
        assert (ROOT / name).exists(), name


def test_every_room_is_in_the_tree() -> None:
    tree = README.split("## The tree")[1]
    rooms = [path.parent.name for path in (ROOT / "ft_toolkit").glob("*/__init__.py")]
    assert rooms
    assert [room for room in rooms if f"  {room}/ " not in tree] == []
