"""Every shipped recipe loads, names its command, and runs in smoke mode without the network."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ft_toolkit.cli.app import app
from ft_toolkit.core.shipped import shipped
from ft_toolkit.data.cards import load_card
from ft_toolkit.recipe.load_recipe import load_recipe
from ft_toolkit.tasks import find_tasks

RECIPES = sorted(shipped("recipes").rglob("*.yaml"))


def smoke_parameters() -> Iterator[Any]:
    """Yield every recipe; all but the first one of each task are slow tests."""
    covered: set[str] = set()
    for path in RECIPES:
        task = load_recipe(path, [], find_tasks()).task.name
        yield pytest.param(path, id=path.stem, marks=[pytest.mark.slow] if task in covered else [])
        covered.add(task)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_first_line_is_the_command_that_runs_it(path: Path) -> None:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("# ")
    assert first.endswith(f"    ftk run recipes/{path.relative_to(shipped('recipes')).as_posix()}")


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_it_loads_and_its_card_serves_the_task(path: Path) -> None:
    loaded = load_recipe(path, [], find_tasks())
    assert loaded.recipe.data.card is not None
    load_card(loaded.recipe.data.card).for_task(loaded.task.name)


@pytest.mark.trains
@pytest.mark.parametrize("path", list(smoke_parameters()))
def test_smoke_run(path: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["run", str(path), "--smoke", "--output", str(tmp_path / "run")])
    assert done.exit_code == 0, f"{done.output}\n{done.exception!r}"
    assert "the scores mean nothing" in done.output and "Reload check passed" in done.output
    assert "the scores mean nothing" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
