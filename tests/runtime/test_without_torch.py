"""The runtime works where torch and transformers cannot be imported, and gives the answers of the full toolkit."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ft_toolkit.api import load

# The packages that the runtime and the command line import, besides the standard library.
ALLOWED = {
    "annotated_doc", "annotated_types", "click", "flatbuffers", "google", "markdown_it", "mdurl", "numpy", "onnxruntime",
    "pydantic", "pydantic_core", "pygments", "rich", "shellingham", "tokenizers", "typer", "typing_extensions",
    "typing_inspection", "yaml",
}  # fmt: skip
# A finder that refuses every other package, so that the process has the environment of the runtime.
BLOCK = f"""
import importlib.machinery, sys
ALLOWED = {sorted(ALLOWED)}
class Refuse:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        known = ALLOWED + ["ft_toolkit"]
        if path is None and top not in known and top not in sys.stdlib_module_names and not top.startswith("_"):
            raise ModuleNotFoundError(f"No module named '{{name}}' (blocked)", name=name)
sys.meta_path.insert(0, Refuse())
"""
TASKS: dict[str, list[dict[str, Any]]] = {
    "text_classification": [
        {"text": "good lovely fine lamp", "label": "praise"},
        {"text": "broken late wrong", "label": "complaint"},
    ],
    "ner": [
        {"text": "Ada met Bob Smith in Paris", "entities": [{"start": 0, "end": 3, "label": "PER"}]},
        {"text": "a letter to Nora and Ivo", "entities": [{"start": 12, "end": 16, "label": "PER"}]},
    ],
    "question_answering": [
        {"question": "Who met Bob?", "context": "Ada met Bob Smith in Paris", "answers": "Ada"},
        {"question": "Where?", "context": "It was in Berlin, on a Friday", "answers": "Berlin"},
    ],
    "summarization": [
        {"document": "The lamp came late and it was broken", "summary": "a late lamp"},
        {"document": "Ada met Bob Smith in Paris", "summary": "Ada met Bob"},
    ],
    "text_generation": [
        {"prompt": "The lamp came", "completion": " late and it was broken"},
        {"prompt": "Ada met Bob", "completion": " Smith in Paris"},
    ],
    "dialogue": [
        {"turns": [{"speaker": "user", "text": "Where is it?"}, {"speaker": "assistant", "text": "It was broken"}]},
        {"turns": [{"speaker": "user", "text": "Ada met Bob"}, {"speaker": "assistant", "text": "in Paris"}]},
    ],
    "language_modelling": [{"text": "The lamp came late and it was broken"}, {"text": "Ada met Bob Smith in Paris"}],
}
DECODERS = {"text_generation", "dialogue", "language_modelling"}
SETTINGS: dict[str, dict[str, Any]] = {
    "text_classification": {"long_texts": "windows"},
    "summarization": {"max_target_length": 12, "num_beams": 2},
    "text_generation": {"max_new_tokens": 8, "do_sample": True, "num_return_sequences": 2, "top_p": 0.9},
    "dialogue": {"max_new_tokens": 8, "stop_strings": ["the"]},
}
LONG = "the lamp is late and how does it work " * 20
INPUTS: dict[str, list[dict[str, Any]]] = {
    "text_classification": [
        {"text": "caf\u00e9 \u4f60\u597d \U0001f600 lamp"},
        {"text": ""},
        {"text": LONG},
        {"text": "[SEP] x"},
    ],
    "ner": [{"text": "Ada wrote to Bob Smith"}, {"text": LONG}, {"text": " \u200b"}],
    "question_answering": [{"question": "Who?", "context": LONG}, {"question": LONG, "context": "Ada met Bob"}],
    "summarization": [{"document": "caf\u00e9 lamp, isn't it?"}, {"document": LONG}, {"document": "Ada met Bob"}],
    "text_generation": [{"prompt": "The lamp"}, {"prompt": LONG}, {"prompt": ""}],
    "dialogue": [{"turns": ["Where is it?"]}, {"turns": ["Hello", "Ada met Bob", "where? <|endoftext|>"]}],
    "language_modelling": [{"text": "The lamp came"}, {"text": LONG}, {"text": ""}],
}


@pytest.fixture(scope="module", params=list(TASKS))
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tiny: Any, here: Any) -> Any:
    """The name of a task, and the folders of a run and of its float32 graph."""
    task, folder = request.param, tmp_path_factory.mktemp("runs")
    lines = "".join(json.dumps(row) + "\n" for row in TASKS[task] * 4)
    (folder / "rows.jsonl").write_text(lines, encoding="utf-8")
    recipe = {
        "task": {"name": task, **SETTINGS.get(task, {})},
        "model": {"name": tiny("gpt2" if task in DECODERS else "bert")},
        "data": {name: str(folder / "rows.jsonl") for name in ("train", "validation")} | {"max_length": 32},
        "training": {
            "learning_rate": 1e-2,
            "max_steps": 3,
            "examples_per_batch": 4,
            "head_start": "none",
            "mixed_precision": "no",
        },
        "evaluation": {"bootstrap_samples": 100, "baselines": []},
    }
    (folder / "tiny.yaml").write_text(json.dumps(recipe), encoding="utf-8")
    here("run", folder / "tiny.yaml", "--output", folder / "run")
    here("export", folder / "run", folder / "graph", "--no-speed")
    return task, folder / "run", folder / "graph"


COMMAND = """
from ft_toolkit.cli.app import main
sys.argv = ["ftk", *sys.argv[1:]]
main()
"""


def isolated(code: str, *arguments: object, typed: str = "") -> str:
    """Run Python code in a process without torch and transformers, and return its output."""
    command = [sys.executable, "-W", "error", "-c", BLOCK + code, *map(str, arguments)]
    done = subprocess.run(command, input=typed, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def close(ours: Any, theirs: Any) -> bool:
    """Return whether two predictions are equal, with numbers up to the rounding of float32."""
    if isinstance(ours, float):
        return bool(ours == pytest.approx(theirs, rel=2e-6, abs=2e-5))
    if isinstance(ours, dict):
        return ours.keys() == theirs.keys() and all(close(ours[key], theirs[key]) for key in ours)
    if isinstance(ours, list):
        return len(ours) == len(theirs) and all(close(*pair) for pair in zip(ours, theirs, strict=True))
    return bool(ours == theirs)


@pytest.mark.slow
def test_the_answers_are_those_of_the_full_toolkit(exported: tuple[str, Path, Path], tmp_path: Path) -> None:
    task, run, graph = exported
    inputs = tmp_path / "inputs.jsonl"
    inputs.write_text("".join(json.dumps(row) + "\n" for row in INPUTS[task]), encoding="utf-8")
    code = """
import json
from ft_toolkit import runtime
rows = [json.loads(line) for line in open(sys.argv[2], encoding="utf-8")]
print(json.dumps(runtime.load(sys.argv[1])(rows)))
assert not {"torch", "transformers"} & set(sys.modules)
"""
    predicted = json.loads(isolated(code, graph, inputs))
    assert close(predicted, load(run)(INPUTS[task]))
    lines = isolated(COMMAND, "predict", graph, "--input", inputs).splitlines()
    assert [json.loads(line) for line in lines] == predicted
    if task == "text_generation":
        streamed = isolated(COMMAND, "predict", graph, INPUTS[task][0]["prompt"], "--stream")
        assert streamed == f"{predicted[0]['continuation']}\n"
    if task == "dialogue":
        spoken = isolated(COMMAND, "chat", graph, typed="Where is it?\n/quit\n").strip()
        assert spoken == predicted[0]["reply"].strip() or (spoken, predicted[0]["reply"]) == ("(empty reply)", "")


def test_the_runtime_imports_neither_torch_nor_transformers() -> None:
    isolated("import ft_toolkit.runtime, ft_toolkit.runtime.exported_model")


def test_no_module_of_the_runtime_names_a_heavy_library() -> None:
    """Also inside functions, which other light rooms may do."""
    import ft_toolkit.runtime

    for path in Path(ft_toolkit.runtime.__file__).parent.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert not any(
            f"import {name}" in text or f"from {name}" in text for name in ("torch", "transformers", "onnx ")
        ), path
