"""Every verb that reads a run folder accepts a damaged or changed one, or gives clear errors and a documented exit code."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fuzz_values import DEEP, changed, damaged, damaged_json, encoded, is_clear, json_text
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.damaged_run_folders

OLD_RUN = Path(__file__).resolve().parents[1] / "fixtures" / "d305cf2"
COMMANDS = {
    "runs": ["runs", "run", "--json"],
    "compare": ["compare", "run", "intact"],
    "gate": ["gate", "run", "--min", "accuracy=0.5"],
    "gate against": ["gate", "run", "--against", "intact"],
    "push": ["push", "run", "someone/model", "--dry-run"],
    "show": ["show", "run/recipe.yaml"],
    "predict": ["predict", "run", "a text"],
    "evaluate": ["evaluate", "run", "--data", "test.csv"],
    "run on it": ["run", "recipe.yaml", "model.name=run", "--dry-run"],
    "resume": ["run", "recipe.yaml", "--output", "interrupted", "--resume", "--dry-run"],
}
# Exit codes that the documentation names for a finished command: done, wrong input, a gate failed.
CODES = (0, 2, 3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with two copies of a finished run."""
    folder = tmp_path_factory.mktemp("runs")
    shutil.copytree(OLD_RUN, folder, dirs_exist_ok=True)
    shutil.copytree(OLD_RUN / "run", folder / "intact")
    return folder


@st.composite
def other_lines(draw: st.DrawFn, content: bytes) -> bytes:
    """Return a JSON Lines file with other lines."""
    lines = content.split(b"\n")
    for _ in range(draw(st.integers(0, 2))):
        number = draw(st.integers(0, len(lines) - 1))
        line = lines[number]
        kind = draw(st.sampled_from(["changed", "changed", "cut", "repeat", "odd", "remove"]))
        if kind == "changed" and line.strip().startswith(b"{"):
            lines[number] = encoded(json_text(draw(changed(json.loads(line)))), "utf-8")
        elif kind == "cut":
            lines[number] = line[: draw(st.integers(0, len(line)))]
        elif kind == "repeat":
            lines.append(line)
        elif kind == "odd":
            lines[number] = encoded(draw(st.sampled_from(DEEP)), "utf-8")
        elif kind == "remove":
            lines[number] = b""
    return draw(damaged(st.just(b"\n".join(lines)))) if draw(st.integers(0, 4)) == 0 else b"\n".join(lines)


def new_content(path: Path) -> st.SearchStrategy[bytes]:
    content = path.read_bytes()
    if path.suffix == ".json":
        return damaged_json(json.loads(content))
    return other_lines(content) if path.suffix == ".jsonl" else damaged(st.just(content))


@contextmanager
def replaced(folder: Path, names: list[str], data: st.DataObject) -> Iterator[None]:
    """Replace files of a folder in the context, or remove one."""
    old = {name: (folder / name).read_bytes() for name in names}
    try:
        for name in names:
            if data.draw(st.integers(0, 19)) == 0:
                (folder / name).unlink()
            else:
                (folder / name).write_bytes(data.draw(new_content(folder / name)))
        yield
    finally:
        for name, content in old.items():
            (folder / name).write_bytes(content)


RUN_FILES = [
    *(
        "results.json",
        "results.json",
        "environment.json",
        "predictions.jsonl",
        "metrics.jsonl",
        "recipe.yaml",
        "examples.npz",
    ),
    *("model/inference.json", "model/config.json", "README.md"),
]


def check(here: Any, folder: Path, words: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        done = here(*words, check=False)
    assert done.returncode in CODES, done.stderr
    assert is_clear(done.stderr) or done.returncode != 2, done.stderr


@given(
    name=st.sampled_from([name for name in COMMANDS if name not in ("predict", "evaluate", "run on it", "resume")]),
    files=st.lists(st.sampled_from(RUN_FILES), min_size=1, max_size=2, unique=True),
    data=st.data(),
)
def test_verbs_that_read_a_run(here: Any, folder: Path, name: str, files: list[str], data: st.DataObject) -> None:
    with replaced(folder / "run", files, data):
        check(here, folder, COMMANDS[name])


@given(
    name=st.sampled_from(["predict", "evaluate", "run on it"]),
    files=st.lists(st.sampled_from([*RUN_FILES, "model/inference.json"]), min_size=1, max_size=2, unique=True),
    data=st.data(),
)
def test_verbs_that_load_its_model(here: Any, folder: Path, name: str, files: list[str], data: st.DataObject) -> None:
    with replaced(folder / "run", files, data):
        check(here, folder, COMMANDS[name])
        shutil.rmtree(folder / "evaluations", ignore_errors=True)


@given(
    files=st.lists(
        st.sampled_from(["checkpoints/last/state.json", "metrics.jsonl", "environment.json", "recipe.yaml"]),
        min_size=1, max_size=2, unique=True,
    ),
    data=st.data(),
)  # fmt: skip
def test_a_dry_run_of_a_resumed_run(here: Any, folder: Path, files: list[str], data: st.DataObject) -> None:
    with replaced(folder / "interrupted", files, data):
        check(here, folder, COMMANDS["resume"])
