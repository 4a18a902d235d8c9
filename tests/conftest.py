"""Settings every test shares: no network, no bars, and tiny models of the real architectures."""

import os

# Before anything imports a Hugging Face library, which read these once.
os.environ.update(
    HF_HUB_OFFLINE="1",
    HF_DATASETS_OFFLINE="1",
    HF_EVALUATE_OFFLINE="1",
    HF_HUB_DISABLE_TELEMETRY="1",
    TOKENIZERS_PARALLELISM="false",
    TRANSFORMERS_VERBOSITY="error",
    ACCELERATE_USE_CPU="true",
    OMP_NUM_THREADS="1",
)

import contextlib
import importlib.util
import io
import json
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
NO_NETWORK = ROOT / "tests" / "no_network"
# The folders whose tests all have a marker.
MARKED_FOLDERS = {
    "tests/training/distributed": "processes",
    "tests/training": "trains",
    "tests/training/speedups": "trains",
    "tests/models": "trains",
    "tests/hub": "hub",
}
# Fixtures that load torch and a model, or run the command line to its end.
TRAINING_FIXTURES = {"here", "tiny", "tiny_bert", "tiny_gpt2"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Set the markers that follow from a test's folder and from its fixtures."""
    for item in items:
        folder = item.path.parent.relative_to(ROOT).as_posix()
        if folder in MARKED_FOLDERS:
            item.add_marker(MARKED_FOLDERS[folder])
        if TRAINING_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker("trains")


def _refuse_connections() -> Path:
    """Refuse connections to other machines, in this process and in the processes that it starts. Return their record."""
    handle, name = tempfile.mkstemp(prefix="connections")
    os.close(handle)
    os.environ["FT_TOOLKIT_TEST_CONNECTIONS"] = name
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(NO_NETWORK), os.environ.get("PYTHONPATH")]))
    spec = importlib.util.spec_from_file_location("no_network", NO_NETWORK / "sitecustomize.py")
    assert spec is not None and spec.loader is not None
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    return Path(name)


_connections = _refuse_connections()


@pytest.fixture(autouse=True)
def no_connection_leaves_this_machine(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail after a test that tried to connect to another machine, even if the error was caught."""
    yield
    attempts = _connections.read_text(encoding="utf-8")
    if attempts and request.node.get_closest_marker("tries_to_connect") is None:
        _connections.write_text("", encoding="utf-8")
        pytest.fail(f"connections to other machines:\n{attempts}")


def pytest_unconfigure() -> None:
    _connections.unlink(missing_ok=True)


@pytest.fixture(autouse=True)
def fresh_accelerate_state() -> Iterator[None]:
    """Accelerate keeps the precision of a process's first run; a test must not see that of another."""
    yield
    if "accelerate" in sys.modules:
        from accelerate.state import AcceleratorState

        AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture(scope="session", autouse=True)
def one_process_for_reload_checks() -> Iterator[None]:
    """Keep the process of the reload checks, as a command with several runs does: a new one takes 5 seconds."""
    from ft_toolkit.core.fresh_process import keep_process

    with keep_process():
        yield


_checked_folders: set[str] = set()


@pytest.fixture(autouse=True)
def run_folders_are_valid(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    check_run_folders: Callable[[Path], None],
) -> Iterator[None]:
    """Check every run folder that a test or its fixtures wrote against the typed models and the JSON Schemas.

    A test that damages run folders by hand opts out with the marker `damaged_run_folders`.
    """
    yield
    top = tmp_path_factory.getbasetemp()
    # names, because 4,000 paths would take 24 ms after each test
    new = set(os.listdir(top)) - _checked_folders  # noqa: PTH208
    _checked_folders.update(new)
    if request.node.get_closest_marker("damaged_run_folders") is None:
        for name in sorted(new):
            check_run_folders(top / name)


@pytest.fixture(scope="session")
def check_run_folders() -> Callable[[Path], None]:
    """Return a function that reads the JSON files of all run folders in and below a folder, with models and JSON Schemas."""
    from ft_toolkit.core import best_records, export_records, fold_records, run_folder, run_records, sweep_records

    readers: dict[str, Callable[[Path], object]] = {
        run_folder.RESULTS: run_records.read_results,
        run_folder.LEARNING_CURVE: run_records.read_learning_curve,
        run_folder.FOLDS: fold_records.read_folds,
        run_folder.ENSEMBLE: run_records.read_members,
        run_folder.CERTIFICATE: export_records.read_certificate,
        run_folder.SWEEP: sweep_records.read_sweep,
        run_folder.BEST: best_records.read_best,
        run_folder.ENVIRONMENT: run_records.read_environment,
        run_folder.INFERENCE: run_records.read_contract,
    }

    @cache
    def schemas() -> dict[str, Any]:
        from jsonschema import Draft202012Validator

        from ft_toolkit.core.run_schemas import run_schemas

        return {name: Draft202012Validator(schema) for name, schema in run_schemas().items()}

    def check(top: Path) -> None:
        for parent, _, files in os.walk(top):
            for name in sorted(readers.keys() & set(files)):
                readers[name](Path(parent))
                schemas()[name].validate(json.loads((Path(parent) / name).read_text(encoding="utf-8")))

    return check


@pytest.fixture(scope="session")
def here() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that does what `ftk WORDS` does in this process: a new one takes 5 seconds to import its libraries."""
    from ft_toolkit.cli.app import main

    def ftk(*words: object, check: bool = True) -> subprocess.CompletedProcess[str]:
        output, errors, code = io.StringIO(), io.StringIO(), 0
        command = ["ftk", *map(str, words)]
        with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as redirected:
            patch.setattr(sys, "argv", command)
            redirected.enter_context(contextlib.redirect_stdout(output))
            redirected.enter_context(contextlib.redirect_stderr(errors))
            try:
                main()
            except SystemExit as left:
                code = int(left.code or 0)
        assert code == 0 or not check, output.getvalue() + errors.getvalue()
        return subprocess.CompletedProcess(command, code, output.getvalue(), errors.getvalue())

    return ftk


@pytest.fixture(scope="session")
def here_until(
    here: Callable[..., subprocess.CompletedProcess[str]],
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that does what `ftk WORDS` does in this process, and sends a signal to it when `ready()` is true."""

    def ftk(ready: Callable[[], bool], signum: int, *words: object) -> subprocess.CompletedProcess[str]:
        ended = threading.Event()

        def send() -> None:
            while not ended.wait(0.002):
                if ready():
                    os.kill(os.getpid(), signum)
                    return

        # a signal after the end of the command must not end the tests
        previous = signal.signal(signum, lambda *_: None)
        watcher = threading.Thread(target=send)
        watcher.start()
        try:
            return here(*words, check=False)
        finally:
            ended.set()
            watcher.join()
            signal.signal(signum, previous)

    return ftk


@pytest.fixture(scope="session")
def check_report_again(here: Callable[..., subprocess.CompletedProcess[str]]) -> Callable[..., None]:
    """Return a function that deletes files of a finished folder and checks that `ftk report` writes exactly these again."""

    def check(folder: Path, *names: str) -> None:
        before = {name: (folder / name).read_bytes() for name in names}
        for name in names:
            (folder / name).unlink()
        assert here("report", folder).stdout.splitlines() == [f"wrote {folder / name}" for name in names]
        assert {name: (folder / name).read_bytes() for name in names} == before

    return check


@pytest.fixture(scope="session")
def rows() -> list[dict[str, Any]]:
    """48 short texts of different lengths with three labels that the words give away."""
    words = {
        "praise": "good lovely fine great",
        "complaint": "broken late wrong lost",
        "question": "how when which does",
    }
    made = []
    for number in range(48):
        label = list(words)[number % 3]
        choice = words[label].split()
        text = " ".join([choice[number % 4], *(["the lamp"] * (number % 7)), choice[(number + 1) % 4]])
        made.append({"id": f"r{number}", "text": f"{text} {number}", "label": label})
    return made


@pytest.fixture(scope="session")
def data_files(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]) -> dict[str, str]:
    """The rows as train (32), validation (8) and test (8) files."""
    folder = tmp_path_factory.mktemp("data")
    parts = {"train": rows[:32], "validation": rows[32:40], "test": rows[40:]}
    for name, part in parts.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part), encoding="utf-8")
    return {name: str(folder / f"{name}.jsonl") for name in parts}


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]) -> Callable[[str], str]:
    """Return a function that gives the folder of a two-layer model with random weights, by its architecture."""
    from ft_toolkit.models.tiny import make_tiny_model

    @cache
    def make(architecture: str) -> str:
        folder = tmp_path_factory.mktemp(architecture)
        return str(make_tiny_model(folder, [row["text"] for row in rows], architecture))

    return make


@pytest.fixture(scope="session")
def tiny_tokenizer(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]) -> Callable[[str], Path]:
    """Return a function that gives the folder of the tokenizer of `tiny(architecture)`, without its model."""
    from ft_toolkit.models.tiny import make_tiny_tokenizer

    @cache
    def make(architecture: str) -> Path:
        folder = tmp_path_factory.mktemp(f"{architecture}-tokenizer")
        make_tiny_tokenizer((row["text"] for row in rows), architecture).save_pretrained(folder)
        return folder

    return make


@pytest.fixture(scope="session")
def tiny_bert(tiny: Callable[[str], str]) -> str:
    """A two-layer BERT with random weights."""
    return tiny("bert")


@pytest.fixture(scope="session")
def tiny_gpt2(tiny: Callable[[str], str]) -> str:
    """A two-layer GPT-2 with random weights and no pad token."""
    return tiny("gpt2")


@pytest.fixture
def write_recipe(tmp_path: Path, data_files: dict[str, str], tiny_bert: str):
    """Return a function that writes a small valid recipe, with section.key=value changes, and gives its path."""
    import yaml

    def write(**changes: Any) -> Path:
        recipe: dict[str, Any] = {
            "task": {"name": "text_classification"},
            "model": {"name": tiny_bert},
            "data": {**data_files, "max_length": 64},
            "method": {"name": "full"},
            "training": {
                "learning_rate": 1e-3,
                "num_train_epochs": 2,
                "examples_per_batch": 8,
                "warmup_ratio": 0.06,
                "logging_steps": 1,
            },
            "evaluation": {
                "bootstrap_samples": 100,
                "baselines": ["majority"],
                "eval_steps": None,
                "early_stopping_patience": None,
            },
        }
        for dotted, value in changes.items():
            section, _, key = dotted.partition("__")
            recipe.setdefault(section, {})
            if key:
                recipe[section][key] = value
            else:
                recipe[section] = value
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
        return path

    return write
