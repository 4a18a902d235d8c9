"""The documentation is true: its commands parse, its files exist, and every setting and command has a description."""

import importlib.util
import re
import shlex
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ft_toolkit.cli.app import app
from ft_toolkit.cli.recipe_names import find_recipe

ROOT = Path(__file__).resolve().parents[1]
# docs/generate.py writes these two.
GENERATED = ("commands.md", "settings.md")
PAGES = [
    ROOT / "README.md",
    *sorted(
        page for page in (ROOT / "docs").rglob("*.md") if page.name not in GENERATED and "_build" not in page.parts
    ),
]


def _commands() -> list[list[str]]:
    """Return the words of every ftk command in the shell blocks of the pages."""
    blocks = [block for page in PAGES for block in re.findall(r"```sh\n(.*?)```", page.read_text("utf-8"), re.S)]
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [words[1:] for line in lines if (words := shlex.split(line, comments=True)) and words[0] == "ftk"]


@pytest.mark.parametrize("words", _commands(), ids=lambda words: " ".join(words)[:60])
def test_commands_exist_with_their_options(words: list[str]) -> None:
    path = words[:2] if words[0] in {group.name for group in app.registered_groups} else words[:1]
    shown = CliRunner().invoke(app, [*path, "--help"])
    assert shown.exit_code == 0
    assert [word for word in words if word.startswith("--") and word not in shown.output] == []
    if words[0] == "run" and not words[1].endswith(".yaml"):
        assert find_recipe(words[1]).is_file()


def test_code_blocks_begin_and_end_on_lines_of_their_own() -> None:
    for page in [*PAGES, ROOT / "CHANGELOG.md"]:
        fences = re.findall(r"^ *```.*$", page.read_text(encoding="utf-8"), re.M)
        assert len(fences) % 2 == 0, page.name
        assert [fence for fence in fences if not re.fullmatch(r" *```(\w+|\{[\w-]+\}.*)?", fence)] == [], page.name


def test_files_that_the_pages_name_exist() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for name in re.findall(r"`((?:tests|ft_toolkit|data_cards|benchmarks|docs|recipes)/[\w./]+)`", text):
            assert (ROOT / name).exists(), f"{page.name}: {name}"
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
            target_path = page.parent / target
            generated = target_path.name in GENERATED
            assert generated or target_path.exists(), f"{page.name}: {target}"


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The generated reference pages."""
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["docs_generate"] = module
    spec.loader.exec_module(module)
    folder = tmp_path_factory.mktemp("reference")
    module.write_reference(folder)
    return folder


def test_every_setting_and_option_has_a_description(reference: Path) -> None:
    for name in ("settings.md", "commands.md"):
        text = (reference / name).read_text(encoding="utf-8")
        entries = re.findall(r"^(`[^\n]+)\n: ?(.*)$", text, re.M)
        assert len(entries) > 50
        assert [entry for entry, description in entries if not description.strip()] == [], name
