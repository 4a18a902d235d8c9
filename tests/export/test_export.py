"""Exports: a graph and a plain transformers folder give the answers of their run, and every command accepts them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ft_toolkit import runtime
from ft_toolkit.api import load
from ft_toolkit.core.errors import GateError, ModelError, UsageError
from ft_toolkit.core.export_records import Certificate, read_certificate
from ft_toolkit.core.json_records import read_objects
from ft_toolkit.core.run_records import EvaluationResults, read_contract, read_results
from ft_toolkit.export.certificate import allowed_changes
from ft_toolkit.export.quantize import Change, quantize
from ft_toolkit.export.source import find_source

TEXTS = ["the lamp is late", "good lovely", "how does it work", "", "x" * 500]


def write_recipe(folder: Path, data_files: dict[str, str], **changes: Any) -> Path:
    sections: dict[str, Any] = {
        "task": "text_classification",
        "data": {**data_files, "max_length": 64},
        "training": {"learning_rate": 1e-2, "max_steps": 8, "examples_per_batch": 8, "head_start": "none"},
        "evaluation": {"bootstrap_samples": 100, "baselines": []},
        "method": "full",
    }
    path = folder / "tiny.yaml"
    path.write_text(json.dumps(sections | changes), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, data_files: dict[str, str], tiny_bert: str, here: Any) -> Path:
    """A run of a tiny BERT whose head reads the mean of the tokens."""
    folder = tmp_path_factory.mktemp("runs")
    model = {"name": tiny_bert, "pooling": "mean"}
    here("run", write_recipe(folder, data_files, model=model), "--output", folder / "run")
    return folder / "run"


@pytest.fixture(scope="module")
def graph(run: Path, here: Any) -> tuple[Path, str]:
    """The folder of the int8 export of the run, and the console output."""
    folder = run.parent / "graph"
    return folder, here("export", run, folder, "--format", "onnx-int8", "--max-drop", "1").stdout


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory, data_files: dict[str, str], tiny_bert: str, here: Any) -> Path:
    """A LoRA run of a tiny BERT with the head of its family."""
    folder = tmp_path_factory.mktemp("runs")
    model = {"name": tiny_bert, "pooling": None}
    method = {"name": "lora", "target_modules": "all-linear"}
    here("run", write_recipe(folder, data_files, model=model, method=method), "--output", folder / "run")
    return folder / "run"


def assert_close(ours: list[dict[str, Any]], theirs: list[dict[str, Any]], tolerance: float) -> None:
    for left, right in zip(ours, theirs, strict=True):
        assert left["probabilities"] == pytest.approx(right["probabilities"], abs=tolerance)


def test_a_quantized_graph_gives_nearly_the_probabilities_of_its_run(graph: tuple[Path, str], run: Path) -> None:
    model = runtime.load(graph[0])
    assert_close(model(TEXTS), load(run)(TEXTS), 0.05)
    assert model(TEXTS[0]) == model([TEXTS[0]])[0]
    assert type(load(graph[0])).__name__ == "ExportedModel"


def test_the_certificate_compares_the_export_with_its_run(graph: tuple[Path, str], run: Path) -> None:
    folder, output = graph
    certificate = read_certificate(folder)
    assert (certificate.format, certificate.split, certificate.rows) == ("onnx-int8", "validation", 8)
    assert certificate.graph_difference is not None
    assert certificate.graph_difference < 1e-5
    # 0.11 on a processor without VNNI, which rounds sums of 8-bit products more
    assert 0 < (certificate.largest_difference or 0) < 0.25
    answers = [
        [record["label"] for record in read_objects(each / "predictions.jsonl") if record["split"] == "validation"]
        for each in (run, folder)
    ]
    changed = sum(ours != theirs for ours, theirs in zip(*answers, strict=True))
    assert certificate.changed_answers.count == changed
    accuracy = certificate.metrics["accuracy"]
    assert accuracy.run == read_results(run).scores["validation"].metrics["accuracy"].value  # type: ignore[union-attr]
    assert accuracy.low is not None
    assert accuracy.low <= (accuracy.difference or 0)
    assert certificate.max_drop is not None
    assert certificate.max_drop.passed
    assert certificate.timing is not None
    assert certificate.export_megabytes > 0
    assert "parity" in output
    assert "speed" in output


def test_the_card_and_the_page_show_the_certificate(graph: tuple[Path, str]) -> None:
    for card in (graph[0] / "README.md", graph[0] / "model" / "README.md"):
        text = card.read_text(encoding="utf-8")
        assert "## Certificate" in text
        assert "changed answers" in text
        assert "pip install --no-deps ft-toolkit" in text
    assert "Certificate" in (graph[0] / "report.html").read_text(encoding="utf-8")


def test_every_command_accepts_an_export(
    graph: tuple[Path, str], run: Path, data_files: dict[str, str], here: Any
) -> None:
    folder, top = graph[0], graph[0].parent
    here("compare", run, folder, "--output", top / "page.html")
    here("gate", folder, "--baseline", run, "--max-drop", "1", "--strict", "--max-size-mb", "5")
    here("evaluate", folder, "--data", data_files["test"], "--output", top / "evaluation")
    here("push", folder, "me/tiny", "--dry-run")
    results = read_results(folder)
    assert isinstance(results, EvaluationResults)
    again = read_results(top / "evaluation").scores["test"].metrics  # type: ignore[union-attr]
    assert again["accuracy"].value == results.scores["test"].metrics["accuracy"].value


def test_predictions_on_the_command_line_are_those_of_python(graph: tuple[Path, str], here: Any) -> None:
    printed = here("predict", graph[0], TEXTS[0]).stdout
    assert json.loads(printed) == runtime.load(graph[0])(TEXTS[0])


@pytest.mark.slow
def test_a_drop_that_cannot_be_excluded_is_refused(run: Path, here: Any, tmp_path: Path) -> None:
    result = here("export", run, tmp_path / "out", "--max-drop", "0.001", "--no-speed", check=False)
    assert result.returncode == GateError.exit_code
    assert "not excluded at 95%" in result.stderr
    assert "rows with the same drop" in result.stderr
    drop = read_certificate(tmp_path / "out").max_drop
    assert drop is not None
    assert not drop.passed
    # with no changed answer on n rows, the bound is about 2.7 / n
    assert 1500 < (drop.rows_needed or 0) < 4000
    assert read_certificate(tmp_path / "out").timing is None


@pytest.mark.slow
def test_a_merged_adapter_gives_equal_logits_in_plain_transformers(adapter: Path, here: Any, tmp_path: Path) -> None:
    import transformers

    here("export", adapter, tmp_path / "out", "--format", "transformers", "--no-speed")
    folder = tmp_path / "out" / "model"
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    ours = load(adapter)
    assert ours.contract.base_model is not None
    assert read_contract(folder).base_model is None
    assert read_contract(folder).task_schema["temperature"] == 1
    encoded = tokenizer(TEXTS, padding=True, truncation=True, max_length=64, return_tensors="pt")
    with torch.no_grad():
        logits = model(**encoded).logits
        expected = ours.model(**encoded).logits
    assert torch.allclose(logits, expected, atol=1e-5)
    probabilities = logits.softmax(-1).numpy()
    labels = [model.config.id2label[i] for i in range(3)]
    predicted = np.array([[each["probabilities"][label] for label in labels] for each in ours(TEXTS)])
    tolerance = 2e-2 if ours.contract.mixed_precision == "bf16" else 1e-5
    assert np.abs(probabilities - predicted).max() < tolerance
    assert_close(load(tmp_path / "out")(TEXTS), ours(TEXTS), 1e-5 if tolerance < 1e-4 else tolerance)


def test_a_pooled_head_has_no_plain_transformers_folder(run: Path) -> None:
    with pytest.raises(UsageError, match=r"model.pooling=mean\) that transformers does not compute. Use --format onnx"):
        find_source(run, "transformers")


def test_an_export_cannot_be_exported(graph: tuple[Path, str], here: Any, tmp_path: Path) -> None:
    result = here("export", graph[0], tmp_path / "out", check=False)
    assert result.returncode == UsageError.exit_code
    assert "a folder of kind 'export' cannot be exported" in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_model_without_a_graph_is_refused(run: Path) -> None:
    with pytest.raises(ModelError, match="the model is not exported as a graph"):
        runtime.load(run)


def test_a_certificate_survives_json(graph: tuple[Path, str]) -> None:
    certificate = read_certificate(graph[0])
    assert Certificate.model_validate(json.loads(json.dumps(certificate.as_json()))) == certificate


def test_more_rows_allow_more_changed_answers() -> None:
    assert allowed_changes(0.005, 500) is None  # not even without a changed answer
    assert allowed_changes(0.005, 872) == pytest.approx(0.008, abs=1e-3)
    assert allowed_changes(0.005, 4000) == pytest.approx(0.037, abs=1e-3)


def test_the_layers_with_the_largest_errors_stay_in_float(
    run: Path, graph: tuple[Path, str], here: Any, tmp_path: Path
) -> None:
    here("export", run, tmp_path / "onnx", "--no-speed")
    source, target = tmp_path / "onnx" / "model" / "model.onnx", tmp_path / "int8.onnx"
    graphs: list[bytes] = []

    def change(path: Path) -> Change:
        graphs.append(path.read_bytes())
        return Change(0.0 if len(graphs) > 10 else 1.0, float(len(graphs[-1])))

    choice = quantize(source, target, change, 0.5)
    assert choice is not None and choice.float_layers
    assert (choice.all_in_8_bits, choice.chosen) == (1.0, 0.0)
    kept = choice.float_layers
    assert all("*" in name or "classifier" in name or "embeddings" in name for name in kept), kept
    assert target.read_bytes() == graphs[-1] != graphs[0]
    assert quantize(source, target, change, None) is None
    assert target.read_bytes() == graphs[0]
