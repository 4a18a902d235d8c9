"""The command line: messages, exit codes, and no heavy import before a recipe is valid."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ft_toolkit.tasks import find_tasks

HEAVY = ("torch", "transformers", "datasets", "accelerate", "peft", "evaluate", "pandas", "pyarrow")


def ftk(*words: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ft_toolkit", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, timeout=240)


def imported_by(*words: object, modules: Sequence[str] = HEAVY) -> tuple[int, set[str]]:
    """Return the exit code of a command and which of the modules it imported."""
    script = (
        "import sys, atexit, json\n"
        f"sys.argv = ['ftk', *{[str(word) for word in words]!r}]\n"
        f"atexit.register(lambda: print('HEAVY', json.dumps([n for n in {modules!r} if n in sys.modules])))\n"
        "from ft_toolkit.cli.app import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)
    line = next(line for line in done.stdout.splitlines() if line.startswith("HEAVY"))
    return done.returncode, set(json.loads(line.removeprefix("HEAVY")))


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--help"], 0),
        (["run", "--help"], 0),
        (["recipes"], 0),
        (["compare", "nowhere", "there"], 2),
        (["gate", "nowhere", "--min", "f1=0.8"], 2),
        (["ci", "init", "--recipe", "nothing"], 2),
        (["show", "demo", "method=lora"], 0),
        (["run", "demo", "training.lerning_rate=1"], 2),
        (["run", "demo", "data.train=missing.csv"], 2),
        (["run", "demo", "data.card=ss2"], 2),
        (["run", "nothing_like_it"], 2),
        (["run", "demo", "--resume"], 2),
        (["predict", "nowhere", "text"], 2),
    ],
)
def test_light_commands_and_wrong_recipes_import_nothing_heavy(words: list[str], code: int) -> None:
    assert imported_by(*words) == (code, set())


@pytest.mark.parametrize("words", [["--version"], ["run", "--help"], ["init", "--help"]])
def test_a_command_that_reads_no_recipe_imports_neither_settings_nor_numpy(words: list[str]) -> None:
    assert imported_by(*words, modules=("numpy", "ft_toolkit.recipe.sections", "ft_toolkit.tasks")) == (0, set())


def test_every_mistake_is_listed_with_its_source(tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(
        "task: text_clasification\n"
        "model: {name: x, revison: main}\n"
        "data: {card: demo, max_length: 3}\n"
        "method: {name: lora, r: 0, target_modules: attenton}\n"
        "training: {learning_rate: fast, tokens_per_batch: 100, examples_per_batch: 8}\n"
        "learning_rate: 3e-4\n"
    )
    done = ftk("run", path, "training.seed=-1", "evaluation=5")
    assert done.returncode == 2 and done.stdout == ""
    for expected in (
        f"{path}:1: task: unknown task 'text_clasification'; allowed: {', '.join(find_tasks())}. "
        "Did you mean 'text_classification'?",
        f"{path}:2: model.revison: unknown key; allowed: name, config, tokenizer, revision, sha256, dropout, "
        "pooling, resize_embeddings. Did you mean 'revision'?",
        f"{path}:3: data.max_length: must be greater than or equal to 8; found 3",
        f"{path}:4: method.r: must be greater than 0; found 0",
        f"{path}:4: method.target_modules: must be 'attention' or 'all-linear'; found 'attenton'",
        f"{path}:5: training.learning_rate: must be a valid number, or 'auto'; found 'fast'",
        f"{path}:6: learning_rate: unknown key; use training.learning_rate",
        "command line: training.seed: must be greater than or equal to 0; found -1",
        "command line: evaluation: must be a section with the keys",
    ):
        assert expected in done.stderr, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("content", "name", "words", "message"),
    [
        ("text,label\nfine,a\nbad,b,c\n", "x.csv", [], "x.csv:3: 3 fields, but the header has 2 (text, label)"),
        ("review,label\nfine,a\n", "x.csv", [], "no column 'text'"),
        ("text,label\nfine,\nbad,\n", "x.csv", [], "no labelled rows to train on"),
        ("text,label\nfine,a\nbad,a\n", "x.csv", [], "only one label (a)"),
        ('{"text": "a", "label": "b"}\n{"text": "a"\n', "x.jsonl", [], "x.jsonl:2: not valid JSON"),
        ('{"text": 5, "label": "b"}\n', "x.jsonl", [], "row 1: column 'text' must be text; found 5"),
        ('[{"text": "a", "label": ["b", "c"]}]', "x.json", [], "problem_type=multi_label_classification"),
        ("", "x.csv", [], "the file is empty; the first line must hold the column names"),
        ("text\tlabel\n", "x.tsv", [], "the file has no rows"),
        ("PK", "x.xlsx", [], "not a readable Excel file"),
        ("a", "x.odt", [], "unknown file type '.odt'; allowed: "),
        ("PAR1", "x.parquet", [], "not a readable parquet file"),
        (
            "text,label\na,1.5\nb,high\n",
            "x.csv",
            ["task.problem_type=regression", "evaluation.metric_for_best_model=null"],
            "label 'high' is not a number",
        ),
        ("text,label\na,x\nb,y\n", "x.csv", ["task.labels=[x,z]"], "unknown label 'y'; known: x, z"),
        ("text,label\na,x\nb,y\n", "x.csv", ["data.columns.text=tekst"], "no column 'tekst'"),
    ],
)
def test_wrong_data_files_are_refused(
    content: str, name: str, words: list[str], message: str, tmp_path: Path, tiny_bert: str
) -> None:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    output = tmp_path / "run"
    from ft_toolkit.cli.recipe_names import find_recipe
    from ft_toolkit.core.errors import UsageError
    from ft_toolkit.recipe.load_recipe import load_recipe
    from ft_toolkit.tasks import find_tasks
    from ft_toolkit.training.prepare import prepare

    settings = [f"data.train={path}", f"data.validation={path}", "data.card=null", f"model.name={tiny_bert}", *words]
    loaded = load_recipe(find_recipe("sst2_full"), settings, find_tasks())
    with pytest.raises(UsageError) as caught:
        prepare(loaded, work_folder=output)
    assert message in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_label_without_training_rows_is_refused_with_its_file(tmp_path: Path, tiny_bert: str) -> None:
    (tmp_path / "x.csv").write_text("text,label\nfine,a\nbad,b\n")
    (tmp_path / "test.csv").write_text("text,label\nfine,a\nodd,c\n")
    done = ftk(
        "run", "sst2_full", "data.train=x.csv", "data.validation=x.csv", "data.test=test.csv", "data.card=null",
        f"model.name={tiny_bert}", "--dry-run", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith(
        "error: test.csv (test): row 2: unknown label 'c'; known: a, b. Correct the row, or add the label"
    )


def test_a_run_that_fails_in_preparation_leaves_no_folder(tmp_path: Path, tiny_bert: str) -> None:
    (tmp_path / "x.csv").write_text("text,label\nfine,a\nbad,a\n")
    done = ftk(
        "run", "sst2_full", "data.train=x.csv", "data.validation=x.csv", "data.card=null", f"model.name={tiny_bert}",
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 2 and done.stderr.startswith("error: ") and "Traceback" not in done.stderr
    assert not any((tmp_path / "runs").iterdir())


def test_models_that_are_not_found_or_do_not_fit(write_recipe: Any, tmp_path: Path, tiny_bert: str) -> None:
    (tmp_path / "empty").mkdir()
    for settings, message in (
        ([f"model.name={tmp_path / 'empty'}"], "config.json not found"),
        (["model.name=package:no_such_package/model"], "the Python package 'no_such_package' is not installed"),
        ([f"model.sha256={'a' * 64}"], "model.sha256 is aaaaaa"),
        (["model.name=somebody/some-model"], "not found locally or on the Hub"),
        (["data.max_length=5000"], "reads at most 512 tokens"),
        (
            ["training.examples_per_batch=null", "training.tokens_per_batch=9"],
            "more than training.tokens_per_batch=9",
        ),
    ):
        from ft_toolkit.core.errors import UsageError
        from ft_toolkit.recipe.load_recipe import load_recipe
        from ft_toolkit.tasks import find_tasks
        from ft_toolkit.training.prepare import prepare

        loaded = load_recipe(write_recipe(), settings, find_tasks())
        with pytest.raises(UsageError) as caught:
            prepare(loaded, work_folder=tmp_path).total_steps(1)
        assert message in str(caught.value)


def test_show_prints_the_origin_of_each_value() -> None:
    done = ftk("show", "sst2_lora", "training.seed=7", "data.columns.text=review")
    lines = {line.split("#")[0].strip(): line.split("# ")[-1] for line in done.stdout.splitlines() if "#" in line}
    assert lines["seed: 7"] == "command line"
    assert lines["weight_decay: 0.01"] == "default"
    assert lines["r: 8"].endswith("sst2_lora.yaml:5")
    assert "review" in done.stdout


def test_copy_makes_a_recipe_that_loads_and_never_overwrites(tmp_path: Path) -> None:
    assert ftk("copy", "demo", tmp_path).returncode == 0
    assert ftk("show", tmp_path / "demo.yaml").returncode == 0
    again = ftk("copy", "demo", tmp_path / "demo.yaml")
    assert again.returncode == 2 and "already exists" in again.stderr


def test_dry_run_shows_the_plan_and_writes_nothing(
    write_recipe: Any, here: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = here("run", write_recipe(), "training.contrastive_pairs=6", "--dry-run")
    for expected in (
        "pairs        6 for each training row: about 24 contrastive steps before",
        "labels       complaint, praise, question",
        "steps        8",
        "memory",
        "time",
        "nothing was trained",
    ):
        assert expected in done.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"recipe.yaml"}


def test_doctor_finds_what_is_required(here: Any) -> None:
    done = here("doctor")
    assert "verdict      ready" in done.stdout
    assert "offline (HF_HUB_OFFLINE is set)" in done.stdout


def test_an_interrupt_before_training_exits_with_130() -> None:
    script = (
        "import os, signal\n"
        "from ft_toolkit.cli import app as cli\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job inherits SIGINT ignored\n"
        "cli.app = lambda: os.kill(os.getpid(), signal.SIGINT)\n"
        "cli.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 130 and "stopped by SIGINT; to resume a run" in done.stderr


def test_the_first_line_is_printed_before_torch_is_imported() -> None:
    script = (
        "import os, sys\n"
        "class FirstLine:\n"
        "    def write(self, text):\n"
        "        sys.stderr.write(f\"{text} {'torch' in sys.modules}\")\n"
        "        sys.stderr.flush()\n"
        "        os._exit(0)\n"
        "    def flush(self): pass\n"
        "sys.stdout = FirstLine()\n"
        "sys.argv = ['ftk', 'run', 'demo', '--dry-run']\n"
        "from ft_toolkit.cli.app import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    expected = "recipe     demo (text_classification) False"
    assert done.stderr == expected
