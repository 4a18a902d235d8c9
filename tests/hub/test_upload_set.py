"""The files of a push have no local paths."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from ft_toolkit.hub.upload_set import _content


def test_the_base_model_of_an_adapter_has_the_name_that_works_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "adapter_config.json"
    path.write_text(json.dumps({"base_model_name_or_path": "/srv/site-packages/minilm/model", "r": 8}))
    content = _content(path, "package:minilm/model")
    assert isinstance(content, bytes)
    assert json.loads(content) == {"base_model_name_or_path": "package:minilm/model", "r": 8}
    path.write_text(json.dumps({"base_model_name_or_path": "owner/model"}))
    assert _content(path, "owner/model") == path


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A copy of a finished run."""
    folder = tmp_path / "run"
    shutil.copytree(Path(__file__).parents[1] / "fixtures" / "d305cf2" / "run", folder)
    return folder


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A private file outside the run folder."""
    (tmp_path / "secret").write_text("# private\ntask: {name: private}\n")
    return tmp_path / "secret"


@pytest.mark.parametrize(
    "name", ["notes.txt", "evil.py", ".env", "sub/config.json", "custom_generate/generate.py", "weights.bin"]
)
def test_a_file_that_no_library_writes_is_left_out_and_named(name: str, run: Path, secret: Path, here: Any) -> None:
    for kind, make in (("copy", shutil.copy), ("link", lambda source, target: target.symlink_to(source))):
        path = run / "model" / name
        path.parent.mkdir(exist_ok=True)
        make(secret, path)
        output = here("push", run, "owner/name", "--dry-run").stdout
        assert f"not uploaded, because they are not files of a model: {name}" in output, kind
        assert not any(line.startswith(f"  {name}") for line in output.splitlines())
        assert "  model.safetensors" in output and "private" not in output
        path.unlink()


@pytest.mark.parametrize(
    "name",
    ["model/vocab.txt", "model/config.json", "model/base_config/config.json", "model/inference.json", "model/x.model",
     "recipe.yaml", "results.json", "environment.json"],
)  # fmt: skip
def test_a_link_instead_of_a_file_is_refused(name: str, run: Path, secret: Path, here: Any) -> None:
    path = run / name
    path.parent.mkdir(exist_ok=True)
    secret.write_bytes(path.read_bytes() if path.exists() else b"{}")  # valid, so only the link is wrong
    path.unlink(missing_ok=True)
    path.symlink_to(secret)
    done = here("push", run, "owner/name", "--dry-run", check=False)
    assert done.returncode == 2 and f"{path}: a link, or not a regular file" in done.stderr


def test_a_link_instead_of_a_folder_is_refused(run: Path, tmp_path: Path, here: Any) -> None:
    (run / "model").rename(tmp_path / "other")
    (run / "model").symlink_to(tmp_path / "other")
    done = here("push", run, "owner/name", "--dry-run", check=False)
    assert done.returncode == 2 and "a link, or not a regular file" in done.stderr
    (run / "model").unlink()
    (tmp_path / "other").rename(run / "model")
    (tmp_path / "run2").symlink_to(run)  # the run folder itself is the user's choice
    assert "model.safetensors" in here("push", tmp_path / "run2", "owner/name", "--dry-run").stdout


def test_something_that_is_not_a_file_is_refused(run: Path, here: Any) -> None:
    os.mkfifo(run / "model" / "vocab.txt")
    done = here("push", run, "owner/name", "--dry-run", check=False)
    assert done.returncode == 2 and "not a regular file" in done.stderr


@pytest.mark.damaged_run_folders
@pytest.mark.parametrize("name", ["../other", "/etc", "a/../../b", "..\\b", "C:\\x"])
def test_members_of_an_ensemble_are_inside_its_folder(name: str, run: Path, here: Any) -> None:
    (run / "model" / "ensemble.json").write_text(json.dumps({"members": ["members/1", name]}))
    for command in (["push", run, "owner/name", "--dry-run"], ["predict", run, "hello"]):
        done = here(*command, check=False)
        assert done.returncode == 2 and "only paths inside the folder of the file are allowed" in done.stderr
