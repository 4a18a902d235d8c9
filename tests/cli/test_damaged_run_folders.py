"""A damaged or foreign file of a run folder gives the same one-line error in every verb that reads it."""

import json
import shutil
from pathlib import Path

import pytest

pytestmark = pytest.mark.damaged_run_folders

OLD_RUN = Path(__file__).resolve().parents[1] / "fixtures" / "d305cf2"
WORDS = {
    "runs": ["runs", "run", "--json"],
    "compare": ["compare", "run", "intact"],
    "gate": ["gate", "run", "--min", "accuracy=0.5"],
    "push": ["push", "run", "someone/model", "--dry-run"],
    "predict": ["predict", "run", "a text"],
    "evaluate": ["evaluate", "run", "--data", "test.csv", "--output", "evaluation"],
}
READERS = {
    "results.json": list(WORDS),
    "model/inference.json": ["push", "predict", "evaluate"],
    "environment.json": ["runs", "push"],
    "predictions.jsonl": ["compare", "gate", "push"],
    "examples.npz": ["compare", "gate"],
    "recipe.yaml": ["compare", "push"],
}
REMEDY = "Restore the file from a copy, or repeat the run"


def _without(content: bytes, key: str) -> bytes:
    values = json.loads(content)
    del values[key]
    return json.dumps(values).encode()


def _with(content: bytes, **changes: object) -> bytes:
    return json.dumps(json.loads(content) | changes).encode()


DAMAGES = {
    "empty": lambda content: b"",
    "truncated": lambda content: content[: len(content) // 2],
    "not UTF-8": lambda content: b"\xff\xfe" + content,
    "a list": lambda content: b"[]",
    "another kind of JSON": lambda content: b'{"epoch": 3, "loss": 0.5}',
    "no task": lambda content: _without(content, "task"),
    "unknown task": lambda content: _with(content, task="juggling"),
    "schema of another task": lambda content: _with(content, schema={"stride": 3}),
    "a wrong type": lambda content: _with(content, task=["text_classification"]),
    "too new": lambda content: _with(content, schema_version=99),
}
# Of results.json, only these verbs use task and schema; of inference.json, push does not.
USE_THE_TASK = {"results.json": {"compare", "gate"}, "model/inference.json": {"predict", "evaluate"}}
TASK_DAMAGES = ("unknown task", "schema of another task")
# Files without a task, and files that are not one JSON object.
SHORT = ("empty", "truncated", "not UTF-8")


def _cases():
    for name, verbs in READERS.items():
        for damage in DAMAGES:
            if damage in SHORT or name in ("results.json", "model/inference.json"):
                users = USE_THE_TASK[name] if damage in TASK_DAMAGES else verbs
                yield from ((name, damage, verb) for verb in verbs if verb in users)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with two copies of a finished run."""
    for name in ("run", "intact"):
        shutil.copytree(OLD_RUN / "run", tmp_path / name)
    shutil.copy(OLD_RUN / "test.csv", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("name", "damage", "verb"), list(_cases()))
def test_the_error_is_one_line_with_path_and_remedy(folder, here, name, damage, verb):
    path = folder / "run" / name
    if (name, damage) in (("predictions.jsonl", "empty"), ("recipe.yaml", "truncated")):
        path.write_text("{")  # an empty or a shorter file of these kinds is valid
    else:
        path.write_bytes(DAMAGES[damage](path.read_bytes()))
    done = here(*WORDS[verb], check=False)
    if verb == "runs":
        assert done.returncode == 0
        state = json.loads(done.stdout)[0]["state"]
        assert state.startswith("broken: ")
        message = state.removeprefix("broken: ")
    else:
        assert done.returncode == 2, done.stderr
        assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
        message = done.stderr.removeprefix("error: ").removesuffix("\n")
    assert message.startswith(f"run/{name}: ")
    assert message.endswith("pip install --upgrade ft-toolkit" if damage == "too new" else REMEDY)


@pytest.mark.parametrize("damage", DAMAGES)
def test_all_verbs_say_the_same_about_results(folder, here, damage):
    path = folder / "run" / "results.json"
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    verbs = [verb for verb in WORDS if damage not in TASK_DAMAGES or verb in USE_THE_TASK["results.json"]]
    messages = set()
    for verb in verbs:
        done = here(*WORDS[verb], check=False)
        state = json.loads(done.stdout)[0]["state"] if verb == "runs" else done.stderr
        messages.add(state.removeprefix("broken: ").removeprefix("error: ").strip())
    assert len(messages) == 1, messages
