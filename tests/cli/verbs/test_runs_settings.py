"""`ftk runs --settings`: the recipe settings that differ between the listed runs."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ft_toolkit.cli.app import app

RECIPE = "task: {{name: ner}}\nmodel: {{name: bert}}\ntraining: {{learning_rate: {rate}, seed: {seed}}}\n"


@pytest.fixture
def two_runs(tmp_path: Path) -> Path:
    """Write the recipes of two unfinished runs with other learning rates."""
    for name, rate in (("a", "1.0e-4"), ("b", "2.0e-4")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "recipe.yaml").write_text(RECIPE.format(rate=rate, seed=1))
    return tmp_path


def listed(*words: object) -> str:
    shown = CliRunner().invoke(app, ["runs", *map(str, words)])
    assert shown.exit_code == 0, shown.output
    return shown.output


def test_only_differing_settings_are_shown(two_runs: Path) -> None:
    lines = listed(two_runs, "--settings").split("\n\n")[1].splitlines()
    assert lines[0] == "training.learning_rate"
    assert [line.split() for line in lines[1:]] == [["0.0001", f"{two_runs}/a"], ["0.0002", f"{two_runs}/b"]]
    assert "learning_rate" not in listed(two_runs)


def test_runs_with_the_same_value_share_a_line(two_runs: Path) -> None:
    (two_runs / "c").mkdir()
    (two_runs / "c" / "recipe.yaml").write_text(RECIPE.format(rate="1.0e-4", seed=1))
    lines = listed(two_runs, "--settings").split("\n\n")[1].splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["0.0001", f"{two_runs}/a,", f"{two_runs}/c"],
        ["0.0002", f"{two_runs}/b"],
    ]


def test_json_has_the_settings_too(two_runs: Path) -> None:
    first, second = json.loads(listed(two_runs, "--settings", "--json"))
    assert (first["settings"], second["settings"]) == (
        {"training.learning_rate": "0.0001"},
        {"training.learning_rate": "0.0002"},
    )
    assert "settings" not in json.loads(listed(two_runs, "--json"))[0]


def test_equal_recipes_and_a_single_run_are_said(two_runs: Path) -> None:
    assert listed(two_runs / "a", "--settings").endswith("no setting differs: only one run is listed\n")
    (two_runs / "b" / "recipe.yaml").write_text(RECIPE.format(rate="1.0e-4", seed=1))
    assert listed(two_runs, "--settings").endswith("no setting differs between these runs\n")


def test_a_damaged_recipe_does_not_hide_the_others(two_runs: Path) -> None:
    (two_runs / "c").mkdir()
    (two_runs / "c" / "recipe.yaml").write_text("task: [")
    shown = listed(two_runs, "--settings")
    assert "broken" in shown and "training.learning_rate" in shown
