"""A task is one file: a task outside the package works with every command, and no other module knows a task."""

import ast
import json
import shutil
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import ft_toolkit
from ft_toolkit.core.errors import UsageError
from ft_toolkit.tasks import TASKS_FOLDER, find_tasks

PACKAGE = Path(ft_toolkit.__file__).parent


@pytest.fixture(scope="module")
def task_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder outside the package with the toy task, which the environment variable names."""
    folder = tmp_path_factory.mktemp("tasks")
    shutil.copy(Path(__file__).with_name("toy_task.py"), folder / "mood.py")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(TASKS_FOLDER, str(folder))
        yield folder


@pytest.fixture(scope="module")
def runs(task_folder: Path, tmp_path_factory: pytest.TempPathFactory, here: Any, tiny_bert: str) -> Path:
    """Two runs of the toy task, `first` and `second`, that differ in the seed, and the rows they were scored on."""
    folder = tmp_path_factory.mktemp("toy")
    moods = {"calm": "good lovely fine great", "angry": "broken late wrong lost"}
    rows = [
        {"id": str(i), "phrase": f"{moods[mood].split()[i % 4]} lamp number {i}", "mood": mood}
        for i in range(16)
        for mood in moods
    ]
    rows = [{**row, "id": str(number)} for number, row in enumerate(rows)]
    for name, part in {"train": rows[:16], "test": rows[16:]}.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part), encoding="utf-8")
    (folder / "recipe.yaml").write_text(
        f"task: mood\nmodel: {{name: {tiny_bert}}}\n"
        f"data: {{train: {folder}/train.jsonl, validation: {folder}/test.jsonl, test: {folder}/test.jsonl}}\n"
        "training: {max_steps: 4, examples_per_batch: 8}\nevaluation: {bootstrap_samples: 100}\n",
        encoding="utf-8",
    )
    for seed, name in enumerate(("first", "second")):
        here("run", folder / "recipe.yaml", f"training.seed={seed}", "--output", folder / name)
    return folder


def test_a_run_writes_scores_page_and_card(runs: Path) -> None:
    results = json.loads((runs / "first" / "results.json").read_text(encoding="utf-8"))
    scores = results["scores"]["test"]
    assert (results["task"], results["main_metric"], results["labels"]) == ("mood", "hits", [])
    assert 0 <= scores["metrics"]["hits"]["value"] <= 1 and set(scores["baselines"]) == {"usual_mood"}
    page, card = ((runs / "first" / name).read_text(encoding="utf-8") for name in ("report.html", "README.md"))
    assert "answers differ from the reference answer" in page and "lamp number" in page
    assert 'predict(["A text.", "Another text."])' in card and "with a column `phrase`" in card
    assert "transformers 5 has no pipeline for this task" in card


def test_evaluate_checks_the_robustness(runs: Path, here: Any) -> None:
    output = runs / "evaluation"
    here("evaluate", runs / "first", "--data", runs / "test.jsonl", "--robustness", "--output", output)
    results = json.loads((output / "results.json").read_text(encoding="utf-8"))
    records = next(iter(results["scores"].values()))["robustness"]
    assert [record["kind"] for record in records] == ["typos", "uppercase"]
    assert "Robustness" in (output / "report.html").read_text(encoding="utf-8")


def test_compare_and_gate_read_the_runs(runs: Path, here: Any) -> None:
    compared = here("compare", runs / "first", runs / "second", "--output", runs / "comparison.html").stdout
    assert "hits on test" in compared and "training.seed" in compared
    assert here("gate", runs / "first", "--min", "hits=0.0").returncode == 0
    assert here("gate", runs / "first", "--min", "hits=1.1", check=False).returncode == 3


def test_predict_and_push_use_the_model(runs: Path, here: Any) -> None:
    prediction = json.loads(here("predict", runs / "first", "all is fine").stdout)
    assert prediction["feeling"] in ("calm", "angry") and 0 <= prediction["anger"] <= 1
    assert "model.safetensors" in here("push", runs / "first", "someone/mood", "--dry-run").stdout


def test_a_smoke_run_works_and_a_wrong_setting_is_refused(runs: Path, here: Any, tmp_path: Path) -> None:
    here("run", runs / "recipe.yaml", "--smoke", "--output", tmp_path / "smoke")
    refused = here("run", runs / "recipe.yaml", "task.patence=0.4", check=False)
    assert refused.returncode == 2 and "Did you mean 'patience'?" in refused.stderr


def test_a_file_that_is_no_task_is_refused(task_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refusal() -> str:
        with pytest.raises(UsageError) as refused:
            find_tasks()
        return str(refused.value)

    assert "mood" in find_tasks()
    monkeypatch.setenv(TASKS_FOLDER, str(tmp_path / "missing"))
    assert "folder not found" in refusal()
    monkeypatch.setenv(TASKS_FOLDER, str(tmp_path))
    (tmp_path / "empty_task.py").write_text("")
    assert 'empty_task.py: a task file must define TASK = Task(name="empty_task", ...)' in refusal()
    (tmp_path / "ner.py").write_text("")
    assert "ner.py: ft_toolkit has a module of this name" in refusal()


# ---- No other module knows a task ----

# Keys of predictions, and columns and settings of tasks, that are words of other subjects too.
# "nll" is also a score of calibration, "temperature" a setting of it, "references" an array of examples.npz.
COMMON_WORDS = {
    *(
        "text",
        "label",
        "labels",
        "score",
        "start",
        "end",
        "source",
        "target",
        "tokens",
        "bytes",
        "correct",
        "tests",
        "body",
        "name",
        "id",
    ),
    *("answer", "summary", "translation", "stride", "documents", "nll", "references", "temperature"),
    # names of transformers' GenerationConfig
    *("do_sample", "repetition_penalty", "stop_strings"),
}
PREDICTION_KEYS = {
    *("probabilities", "entities", "tags", "n_best", "perplexity", "bits_per_byte"),
}
# File formats and layouts define the columns of their rows: SQuAD's questions and contexts, CoNLL's tokens and tags. A redacted
# copy of a file moves the positions in these layouts.
FORMATS = ("data/formats", "data/layouts", "data/redacted_values")


def _constants(path: Path) -> set[str]:
    """Return the string constants of a module, without docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.FunctionDef, ast.ClassDef)) and isinstance(node.body[0], ast.Expr)
    }
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
    }


def _other_modules() -> list[str]:
    paths = [path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py")]
    rooms = ("tasks", "metrics")
    return sorted(str(path) for path in paths if path.parts[0] not in rooms and not str(path).startswith(FORMATS))


@pytest.mark.parametrize("module", _other_modules())
def test_no_other_module_knows_names_keys_or_settings_of_tasks(module: str) -> None:
    tasks = {name: task for name, task in find_tasks().items() if name != "mood"}
    known = set(tasks) - COMMON_WORDS | PREDICTION_KEYS
    for task in tasks.values():
        known |= {*task.columns, *task.settings.model_fields} - COMMON_WORDS
    assert _constants(PACKAGE / module) & known == set()


@pytest.mark.parametrize("module", _other_modules())
def test_no_other_module_reads_attributes_of_schemas_or_task_settings(module: str) -> None:
    tree = ast.parse((PACKAGE / module).read_text(encoding="utf-8"))
    read = [
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and ast.unparse(node.value).endswith(("schema", "recipe.task"))
        and node.attr not in ("model_dump", "model_dump_json", "name", "items")
    ]
    read += [
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) == "getattr"
        and ast.unparse(node.args[0]).endswith(("schema", "settings", "recipe.task"))
        and isinstance(node.args[1], ast.Constant)
    ]
    assert read == []


def test_every_field_of_a_task_is_documented() -> None:
    from ft_toolkit.tasks import base

    lines = Path(base.__file__).read_text(encoding="utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("class Task:"))
    for field in fields(base.Task):
        at = next(i for i, line in enumerate(lines[start:], start) if line.startswith(f"    {field.name}:"))
        assert lines[at - 1].lstrip().startswith("#"), field.name
