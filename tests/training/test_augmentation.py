"""Changed copies of the training rows in a run: what the model sees, what everything else sees, the cache, and a kill."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ft_toolkit.core import cache
from ft_toolkit.core.errors import UsageError
from ft_toolkit.data.stored_features import TokenLists
from ft_toolkit.recipe.load_recipe import load_recipe
from ft_toolkit.tasks import find_tasks
from ft_toolkit.training import checkpoint, encode_splits
from ft_toolkit.training.prepare import Prepared, prepare

CHANGES = ["augmentation.typos=0.5", "augmentation.swap_words=0.2", "augmentation.copies=2"]


def prepared(path: Path, words: list[str], tmp_path: Path) -> Prepared:
    return prepare(load_recipe(path, words, find_tasks()), work_folder=tmp_path)


def test_only_the_training_features_have_copies(write_recipe: Any, tmp_path: Path) -> None:
    path = write_recipe()
    plain, changed = prepared(path, [], tmp_path), prepared(path, CHANGES, tmp_path)
    assert plain.training_features is plain.features["train"]
    for name in ("train", "validation", "test"):
        assert changed.features[name].inputs == plain.features[name].inputs
    assert changed.data.fingerprint == plain.data.fingerprint
    assert changed.facts["splits"] == plain.facts["splits"] and changed.facts["faults"] == plain.facts["faults"]
    features = changed.training_features
    assert features.example_ids == [i for i in range(32) for _ in range(3)]
    assert features.targets[::3] == plain.features["train"].targets == features.targets[1::3] == features.targets[2::3]
    assert features.inputs["input_ids"][::3] == plain.features["train"].inputs["input_ids"]
    assert features.inputs["input_ids"][1::3] != plain.features["train"].inputs["input_ids"]
    assert changed.epoch_steps(0, 1) == 3 * plain.epoch_steps(0, 1)
    assert changed.augmentation is not None and changed.augmentation.rows == 64
    assert "64 changed copies of the training rows" in changed.input_description
    # another seed makes other copies
    other = prepared(path, [*CHANGES, "training.seed=5"], tmp_path)
    assert other.training_features.inputs != features.inputs and other.augmentation is not None
    assert other.augmentation.fingerprint != changed.augmentation.fingerprint


def test_copies_in_the_cache_belong_to_their_settings(
    write_recipe: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, words = write_recipe(), tmp_path / "words.txt"
    words.write_text("lamp, light\n", encoding="utf-8")
    synonyms = ["augmentation.synonyms=1.0", f"augmentation.word_list={words}"]
    expected = [
        list(prepared(path, part, tmp_path).training_features.inputs["input_ids"]) for part in (CHANGES, synonyms)
    ]
    monkeypatch.setenv(cache.PLACE, str(tmp_path / "cache"))
    monkeypatch.setattr(encode_splits, "MIN_ROWS", 1)
    for _ in range(2):
        for part, inputs in zip((CHANGES, synonyms), expected, strict=True):
            kept = prepared(path, part, tmp_path)
            assert isinstance(kept.training_features.inputs["input_ids"], TokenLists)
            assert list(kept.training_features.inputs["input_ids"]) == inputs
            assert list(kept.features["train"].inputs["input_ids"]) == inputs[:: kept.recipe.augmentation.copies + 1]
    words.write_text("lamp, lantern\n", encoding="utf-8")  # the same path, other words
    assert list(prepared(path, synonyms, tmp_path).training_features.inputs["input_ids"]) != expected[1]


def test_rows_that_no_change_fits_are_reported(write_recipe: Any, tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("zebra, horse\n", encoding="utf-8")
    run = prepared(write_recipe(), ["augmentation.synonyms=1.0", f"augmentation.word_list={words}"], tmp_path)
    assert any("no copy of a training row is changed" in warning for warning in run.facts["warnings"])
    with pytest.raises(UsageError, match="does not exist"):
        prepared(write_recipe(), ["augmentation.synonyms=1.0", "augmentation.word_list=absent.txt"], tmp_path)


def test_a_checkpoint_without_the_section_fits_a_recipe_without_augmentation() -> None:
    off = load_recipe(Path("recipes/demo.yaml"), [], find_tasks()).recipe.as_dict()
    saved = {name: values for name, values in off.items() if name != "augmentation"}
    assert checkpoint.training_changes(saved, off) == []
    on = {**off, "augmentation": {**off["augmentation"], "typos": 0.1}}
    assert checkpoint.training_changes(saved, on) == ["augmentation.typos was 0.0, now 0.1"]


@pytest.mark.slow
def test_a_killed_run_resumes_with_the_same_copies(write_recipe: Any, here: Any, tmp_path: Path) -> None:
    path = write_recipe(training__save_steps=3)
    whole, cut, synonyms = tmp_path / "whole", tmp_path / "cut", tmp_path / "words.txt"
    synonyms.write_text("lamp, light\n", encoding="utf-8")
    changes = [*CHANGES, "augmentation.synonyms=0.5", f"augmentation.word_list={synonyms}"]
    done = here("run", path, *changes, "--output", whole)
    assert "64 changed copies of the training rows" in done.stdout
    code = (
        "import os, signal, sys\n"
        "def hook(event, args):\n"
        "    if event == 'os.rename' and str(args[1]).endswith('previous'):\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "sys.addaudithook(hook)\n"
        "from ft_toolkit.cli.app import main\n"
        "main()\n"
    )
    words = ["run", path, *changes, "--output", cut]
    killed = subprocess.run([sys.executable, "-c", code, *map(str, words)], env={**os.environ}, check=False)
    assert killed.returncode == -signal.SIGKILL
    synonyms.write_text("lamp, lantern\n", encoding="utf-8")
    refused = here(*words, "--resume", check=False)
    assert refused.returncode == 2 and "trained with other changed copies" in refused.stderr
    synonyms.write_text("lamp, light\n", encoding="utf-8")
    refused = here("run", path, *CHANGES[:1], "--output", cut, "--resume", check=False)
    assert refused.returncode == 2 and "augmentation.swap_words was 0.2, now 0.0" in refused.stderr
    here(*words, "--resume")
    weights = "model/model.safetensors"
    assert (cut / weights).read_bytes() == (whole / weights).read_bytes()
    facts = json.loads((whole / "results.json").read_text(encoding="utf-8"))["data"]
    assert facts["augmentation"]["rows"] == 64 and facts["splits"]["train"]["rows"] == 32
    assert facts == json.loads((cut / "results.json").read_text(encoding="utf-8"))["data"]
    page = (whole / "report.html").read_text(encoding="utf-8")
    assert "Changed copies of the training rows" in page and "differ from their row" in page
