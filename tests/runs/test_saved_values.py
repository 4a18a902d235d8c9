"""A resumed run reads the values that it derived before from its checkpoint, and never derives them again."""

import json
import shutil
from pathlib import Path

from ft_toolkit.recipe.load_recipe import load_recipe
from ft_toolkit.tasks import find_tasks
from ft_toolkit.training.checkpoint import read_saved_values
from ft_toolkit.training.prepare import read_input

FIXTURE = Path(__file__).resolve().parents[1] / "fixtures" / "d305cf2"


def test_precision_steps_and_evaluation_batches_are_those_of_the_checkpoint(tmp_path, monkeypatch, here):
    """The values in the checkpoint differ from those that this machine would derive from the same recipe and rows."""
    shutil.copytree(FIXTURE, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    state_path = Path("interrupted/checkpoints/last/state.json")
    state = json.loads(state_path.read_text())
    state["recipe"]["training"]["mixed_precision"] = "bf16"  # auto is float32 for a model as narrow as this
    state_path.write_text(json.dumps(state | {"total_steps": 14, "evaluation_tokens": 777}))
    here("run", "recipe.yaml", "training.mixed_precision=auto", "--output", "interrupted", "--resume")
    results = json.loads(Path("interrupted/results.json").read_text())
    assert (results["training"]["steps"], results["training"]["planned_steps"]) == (14, 14)
    assert json.loads(Path("interrupted/environment.json").read_text())["mixed_precision"] == "bf16"
    contract = json.loads(Path("interrupted/model/inference.json").read_text())
    assert (contract["mixed_precision"], contract["tokens_per_batch"]) == ("bf16", 777)


def test_a_resumed_run_keeps_its_pooling(tmp_path, monkeypatch, here):
    """Its checkpoint has no pooling, so the head keeps the default of BERT, also if the model folder names another one now."""
    shutil.copytree(FIXTURE, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    model = Path(load_recipe(Path("recipe.yaml"), [], find_tasks()).recipe.model.name)
    (model / "modules.json").write_text('[{"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}]')
    (model / "1_Pooling").mkdir()
    (model / "1_Pooling" / "config.json").write_text('{"pooling_mode": "mean"}')
    done = here("run", "recipe.yaml", "--output", "interrupted", "--resume")
    assert "pooling    as before the interruption" in done.stdout
    assert "ft_toolkit_pooling" not in Path("interrupted/model/config.json").read_text()
    done = here("run", "recipe.yaml", "training.max_steps=1", "--output", "new")
    assert "pooling    mean of the tokens: named by 1_Pooling/config.json of the checkpoint" in done.stdout
    assert '"ft_toolkit_pooling": "mean"' in Path("new/model/config.json").read_text()


def test_chosen_values_are_those_of_the_checkpoint(tmp_path, monkeypatch, here):
    """The checkpoint was saved by two processes; a step keeps its rows with one process."""
    shutil.copytree(FIXTURE, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    state_path = Path("interrupted/checkpoints/last/state.json")
    state = json.loads(state_path.read_text())
    state["recipe"]["training"] |= {"learning_rate": 0.0077, "num_train_epochs": 2, "warmup_ratio": 0.3}
    size = state["recipe"]["training"]["examples_per_batch"]
    state["recipe"]["evaluation"]["early_stopping_patience"] = 4
    state_path.write_text(json.dumps(state | {"processes": 2, "total_steps": 9}))
    settings = [f"training.{key}=auto" for key in ("learning_rate", "num_train_epochs", "warmup_ratio")]
    settings += ["training.examples_per_batch=null", "evaluation.early_stopping_patience=auto"]
    done = here("run", "recipe.yaml", *settings, "--output", "interrupted", "--resume")
    assert "training.learning_rate=0.0077" in done.stdout and "chosen when the run started" in done.stdout
    assert json.loads(Path("interrupted/results.json").read_text())["training"]["chosen"] == {
        "training.examples_per_batch": 2 * size,
        "training.learning_rate": 0.0077,
        "training.num_train_epochs": 2,
        "training.warmup_ratio": 0.3,
        "evaluation.early_stopping_patience": 4,
    }


def test_a_run_of_an_older_version_holds_out_the_same_rows_again(tmp_path, monkeypatch, here):
    """Its checkpoint names no rules: rows were held out one by one, and the column of `evaluation.slices` mattered."""
    shutil.copytree(FIXTURE, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    settings = ["data.validation=null", "data.validation_fraction=0.3"]
    recipe = load_recipe(Path("recipe.yaml"), settings, find_tasks()).recipe
    old, new = (read_input(recipe, find_tasks()[recipe.task.name], selection).data for selection in (1, 2))
    assert old.fingerprint != new.fingerprint
    state_path = Path("interrupted/checkpoints/last/state.json")
    state = json.loads(state_path.read_text())
    assert "selection" not in state
    state_path.write_text(json.dumps(state | {"fingerprint": old.fingerprint, "total_steps": 9}))
    here("run", "recipe.yaml", *settings, "--output", "interrupted", "--resume")
    results = json.loads(Path("interrupted/results.json").read_text())
    assert results["data"]["fingerprint"] == old.fingerprint


def test_a_damaged_checkpoint_is_refused(tmp_path, monkeypatch, here):
    shutil.copytree(FIXTURE, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    state = Path("interrupted/checkpoints/last/state.json")
    for content, problem in (("", "state.json: the file is empty"), ("{}", "state.json has no key 'progress'")):
        state.write_text(content)
        done = here("run", "recipe.yaml", "--output", "interrupted", "--resume", check=False)
        assert done.returncode == 2
        assert done.stderr == (
            f"error: the checkpoint {state.parent} is damaged: {problem}. No checkpoint is complete. To start again at step 0, "
            "delete interrupted/checkpoints and repeat the command\n"
        )


def test_a_run_that_began_with_batches_by_the_sum_of_lengths_keeps_them():
    values = read_saved_values(FIXTURE / "interrupted" / "checkpoints" / "last")
    assert not values.sorts_by_both_lengths
