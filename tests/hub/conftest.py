"""Real HTTP against a Hub on loopback, with and without Xet.

huggingface_hub reads HF_ENDPOINT, HF_HOME and the like once, when it is imported, and the other tests run offline: so each
command of these tests is a process of its own, and only the Hub lives in this one.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from minihub import Hub
from minihub_http import TOKENS, Server
from rich.console import Console

FIXED = {
    "NO_PROXY": "127.0.0.1",
    "HF_HUB_DISABLE_UPDATE_CHECK": "1",
    # Xet's own waiting for a Hub that is gone, which takes minutes otherwise
    "HF_XET_CLIENT_RETRY_MAX_ATTEMPTS": "1",
    "HF_XET_CLIENT_RETRY_BASE_DELAY": "100ms",
    "HF_XET_CLIENT_RETRY_MAX_DURATION": "2s",
}
OFFLINE = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_EVALUATE_OFFLINE")


# Xet is what the Hub uses today; the older way to upload is tested before a release.
@pytest.fixture(params=[pytest.param("lfs", marks=pytest.mark.slow), "xet"])
def mode(request):
    """How large files travel."""
    return request.param


@pytest.fixture
def server(mode, tmp_path):
    """An empty Hub that listens; `server.hub` is what it holds."""
    found = Server(Hub(tmp_path / "hub", TOKENS, {"acme": ["alice"]}, xet=mode == "xet"))
    yield found
    found.stop()


@pytest.fixture
def python(server, mode, tmp_path):
    """Return a function that runs Python against the Hub, with a cache of its own (`home`) and a token."""

    def run(*words, token="hf_alice", home="home", **more):
        environment = {key: value for key, value in os.environ.items() if key not in (*OFFLINE, "HF_TOKEN")}
        environment |= FIXED | {"HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path / home)}
        environment |= {"HF_HUB_DISABLE_XET": "1"} if mode == "lfs" else {}
        environment |= {"HF_TOKEN": token} if token else {}
        command = [sys.executable, *map(str, words)]
        return subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment | more, timeout=300
        )

    return run


@pytest.fixture
def ftk(python):
    """Return a function that runs `ftk` against the Hub; see `python`."""
    return lambda *words, **more: python(Path(__file__).with_name("quick_ftk.py"), *words, **more)


@pytest.fixture(scope="session")
def recipe_values(data_files, tiny_bert):
    """A small recipe on local files and a local model."""
    return {
        "task": "text_classification",
        "model": {"name": tiny_bert},
        "data": {**data_files, "max_length": 64},
        "training": {"learning_rate": 1e-3, "num_train_epochs": 1, "examples_per_batch": 16},
        "evaluation": {"bootstrap_samples": 100},
        "hub": {"license": "mit", "language": ["en"]},
    }


def finish(folder: Path, values) -> Path:
    """Run a recipe in this process and return its run folder."""
    from ft_toolkit.recipe.load_recipe import load_recipe
    from ft_toolkit.runs.options import RunOptions
    from ft_toolkit.runs.run import run
    from ft_toolkit.tasks import find_tasks

    (folder / "tiny.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    loaded = load_recipe(folder / "tiny.yaml", [], find_tasks())
    command = f"ftk run {folder}/tiny.yaml --output {folder}/run"
    run(
        loaded,
        RunOptions(output=folder / "run", resume=False, smoke=False, command=command, console=Console(quiet=True)),
    )
    return folder / "run"


@pytest.fixture(scope="session")
def full_run(tmp_path_factory, recipe_values):
    """A finished run of full fine-tuning."""
    return finish(tmp_path_factory.mktemp("full"), recipe_values)


@pytest.fixture(scope="session")
def lora_run(tmp_path_factory, recipe_values):
    """A finished run with an adapter, whose base model is a folder on this disk."""
    return finish(tmp_path_factory.mktemp("lora"), recipe_values | {"method": "lora"})
