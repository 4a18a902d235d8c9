"""ftk ci init: files that the services accept, with the recipe asked for, and nothing overwritten."""

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

import ft_toolkit
from ft_toolkit.cli.app import app
from ft_toolkit.cli.verbs.ci import TARGETS
from ft_toolkit.core.errors import UsageError


def init(*words: str):
    done = CliRunner().invoke(app, ["ci", "init", *words])
    if done.exception is not None and not isinstance(done.exception, UsageError):
        raise done.exception
    return done.exception


@pytest.mark.parametrize(("service", "schema"), [("github", "github-workflows"), ("gitlab", "gitlab-ci")])
def test_the_services_schemas_accept_the_files(tmp_path: Path, monkeypatch, service, schema):
    monkeypatch.chdir(tmp_path)
    assert init(f"--{service}", "--install", 'a "quoted" name') is None
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / TARGETS[service]]
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", str(TARGETS[service])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_recipe_and_what_to_install_are_filled_in(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert init("--recipe", "sst2_lora", "--install", "./ft: #1.whl") is None
    github, gitlab = (yaml.safe_load(TARGETS[name].read_text()) for name in ("github", "gitlab"))
    assert (github["env"]["DEFAULT_RECIPE"], github["env"]["DEFAULT_INSTALL"]) == ("sst2_lora", "./ft: #1.whl")
    assert (gitlab["variables"]["FTK_RECIPE"], gitlab["variables"]["FTK_INSTALL"]) == ("sst2_lora", "./ft: #1.whl")
    assert not any('"@' in path.read_text() for path in TARGETS.values())


def test_nothing_is_overwritten_and_a_wrong_recipe_writes_nothing(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "recipe 'demmo' not found" in str(init("--recipe", "demmo"))
    assert not list(tmp_path.iterdir())
    TARGETS["gitlab"].write_text("mine")
    assert "already exists" in str(init())
    assert TARGETS["gitlab"].read_text() == "mine"
    assert not TARGETS["github"].exists()
    assert init("--github") is None


def test_actions_are_pinned_by_commit_and_packages_by_version(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert init() is None
    github, gitlab = (TARGETS[name].read_text() for name in ("github", "gitlab"))
    used = re.findall(r"uses: (actions/\S+)", github)
    assert len(used) == 3 and all(re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", action) for action in used)
    installed = importlib.metadata.version("torch").partition("+")[0]
    for text in (github, gitlab):
        assert f'TORCH: "torch=={installed}"' in text and f"ft-toolkit[demo]=={ft_toolkit.__version__}" in text
        assert "command -v nvidia-smi || python -m pip install" in text and "whl/cpu" in text
