"""The linear probe of a new head: its fit, a comparison with scikit-learn, and the start of training."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from sklearn.linear_model import LogisticRegression, Ridge
from transformers import AutoModel, AutoTokenizer

from ft_toolkit.core.errors import ModelError, RecipeError
from ft_toolkit.evaluation.predictor import Predictor
from ft_toolkit.recipe.load_recipe import load_recipe
from ft_toolkit.tasks import find_tasks
from ft_toolkit.training import head_probe
from ft_toolkit.training.head_probe import PENALTIES, HeadProbe, RejectedProbe, fit_head_probe
from ft_toolkit.training.linear_fit import MIN_SCALE
from ft_toolkit.training.prepare import BuiltModel, Prepared, build_model, prepare

PROBE, AUTO = "training.head_start=probe", "training.head_start=auto"
# The result without a probe.
NOTHING = HeadProbe("", 0, 0.0, 0.0, 0.0, 0.0)


class Start:
    """A run up to its probe: the weights before and after, and the result of the probe."""

    def __init__(self, recipe: Path, scratch: Path, *settings: str) -> None:
        loaded = load_recipe(recipe, [PROBE, "model.dropout=0.0", "evaluation.baselines=[]", *settings], find_tasks())
        self.prepared: Prepared = prepare(loaded, work_folder=scratch)
        built: BuiltModel = build_model(self.prepared)
        self.model = built.model
        self.before = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        result = fit_head_probe(Accelerator(), self.model, built.new_modules, self.prepared)
        self.probe = result if isinstance(result, HeadProbe) else NOTHING
        self.rejected = result.reason if isinstance(result, RejectedProbe) else ""

    def changed(self) -> set[str]:
        """Return the names of the weights that the probe wrote."""
        return {name for name, now in self.model.state_dict().items() if not torch.equal(self.before[name], now)}

    def loss(self) -> float:
        """Return the mean loss of the whole model on the training rows."""
        one = self.prepared
        predictor = Predictor(Accelerator(), self.model, one.task, one.schema, one.tokenizer, tokens_per_batch=256)
        return predictor.predict(one.features["train"])[1]

    def inputs(self, layer: str) -> np.ndarray:
        """Return the input of a layer for each row, passed alone and therefore without padding."""
        seen: list[torch.Tensor] = []
        handle = self.model.get_submodule(layer).register_forward_pre_hook(lambda _, args: seen.append(args[0][0]))
        with torch.no_grad():
            for ids in self.prepared.features["train"].inputs["input_ids"]:
                self.model.eval()(input_ids=torch.tensor([ids]))
        handle.remove()
        return torch.stack(seen).double().numpy()


@pytest.mark.parametrize(
    ("architecture", "layer"),
    [
        ("bert", "classifier"),
        ("distilbert", "classifier"),
        ("roberta", "classifier.out_proj"),
        ("electra", "classifier.out_proj"),
        ("deberta-v2", "classifier"),
        ("modernbert", "classifier"),
        ("gpt2", "score"),
        ("llama", "score"),
        ("t5", "classification_head.out_proj"),
        ("bart", "classification_head.out_proj"),
    ],
)
def test_the_last_layer_of_each_architecture_is_fitted_and_nothing_else_moves(
    architecture: str, layer: str, tiny: Callable[[str], str], write_recipe: Any, tmp_path: Path
) -> None:
    """The loss that the probe reports is the loss of the model, also on padded batches."""
    start = Start(write_recipe(), tmp_path, f"model.name={tiny(architecture)}")
    assert start.probe.layer == layer and start.probe.features == 32
    assert start.probe.loss < start.probe.constant_loss < np.log(3)
    assert start.loss() == pytest.approx(start.probe.loss, rel=1e-3)
    assert start.changed() <= {f"{layer}.weight", f"{layer}.bias"} and f"{layer}.weight" in start.changed()


@pytest.mark.parametrize(("method", "layer"), [("lora", "classifier"), ("freeze", "classifier"), ("ia3", "classifier")])
def test_with_a_method_the_trained_copy_of_the_head_is_fitted_to_the_same_weights(
    method: str, layer: str, write_recipe: Any, tmp_path: Path
) -> None:
    full, start = Start(write_recipe(), tmp_path), Start(write_recipe(), tmp_path, f"method={method}")
    assert start.probe.loss == pytest.approx(full.probe.loss, rel=1e-5)
    assert start.loss() == pytest.approx(start.probe.loss, rel=1e-3)
    trained = {name for name, parameter in start.model.named_parameters() if parameter.requires_grad}
    assert start.changed() <= trained and len(start.changed()) == 2
    for name in start.changed():
        ending = name.rpartition(".")[2]
        torch.testing.assert_close(start.model.state_dict()[name], full.model.state_dict()[f"{layer}.{ending}"])


def test_the_fit_is_that_of_scikit_learn(write_recipe: Any, tmp_path: Path) -> None:
    """An independent reference: the same penalty on the same scaled features gives the same logits."""
    start = Start(write_recipe(), tmp_path)
    assert start.probe.penalty in PENALTIES
    inputs = start.inputs("classifier")
    targets = np.array(start.prepared.features["train"].targets)
    scaled = (inputs - inputs.mean(0)) / np.maximum(inputs.std(0), MIN_SCALE * np.sqrt((inputs**2).mean(0)))
    theirs = LogisticRegression(C=1 / (start.probe.penalty * len(targets)), tol=1e-8, max_iter=10_000).fit(
        scaled, targets
    )
    ours = start.model.classifier
    logits = inputs @ ours.weight.detach().double().numpy().T + ours.bias.detach().double().numpy()
    expected = theirs.predict_log_proba(scaled)
    found = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    np.testing.assert_allclose(found, expected, atol=1e-2)
    assert start.probe.loss == pytest.approx(-expected[np.arange(len(targets)), targets].mean(), abs=1e-3)


def test_regression_gives_ridge_regression(write_recipe: Any, rows: list[dict[str, Any]], tmp_path: Path) -> None:
    path = tmp_path / "numbers.jsonl"
    path.write_text("".join(json.dumps({**row, "label": len(row["text"]) / 40}) + "\n" for row in rows))
    settings = [f"data.train={path}", f"data.validation={path}", "data.test=null", "task.problem_type=regression"]
    start = Start(write_recipe(), tmp_path, *settings)
    inputs = start.inputs("classifier")
    targets = np.array(start.prepared.features["train"].targets)
    scaled = (inputs - inputs.mean(0)) / np.maximum(inputs.std(0), MIN_SCALE * np.sqrt((inputs**2).mean(0)))
    expected = Ridge(alpha=start.probe.penalty * len(targets) / 2).fit(scaled, targets).predict(scaled)
    assert start.probe.loss == pytest.approx(((expected - targets) ** 2).mean(), rel=0.01)
    assert start.probe.loss < start.probe.random_loss


@pytest.mark.parametrize(
    "setting",
    [
        "task.class_weights=balanced",
        "task.focal_gamma=2.0",
        "task.label_smoothing=0.1",
        "task.problem_type=multi_label_classification",
    ],
)
def test_the_probe_minimizes_the_loss_of_the_task(setting: str, write_recipe: Any, tmp_path: Path) -> None:
    start, plain = Start(write_recipe(), tmp_path, setting), Start(write_recipe(), tmp_path)
    assert start.probe.loss < start.probe.random_loss
    assert start.probe.loss != plain.probe.loss


def test_tags_are_fitted_token_by_token(tiny: Callable[[str], str], write_recipe: Any, tmp_path: Path) -> None:
    task = find_tasks()["ner"]
    path = tmp_path / "sentences.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in task.sample_rows(task.settings())), encoding="utf-8")
    rows = [f"data.{name}={path}" for name in ("train", "validation", "test")]
    for architecture in ("bert", "gpt2"):
        start = Start(write_recipe(), tmp_path, "task=ner", *rows, f"model.name={tiny(architecture)}")
        assert start.probe.loss < 0.8 * start.probe.random_loss
        assert start.changed() == {"classifier.weight", "classifier.bias"}


def test_the_number_of_features_is_limited(
    write_recipe: Any, rows: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(head_probe, "MAX_FEATURES", 100)
    path = tmp_path / "many.jsonl"
    many = [{**row, "id": f"{n}", "text": f"{row['label']} {n}"} for n in range(3) for row in rows]
    path.write_text("".join(json.dumps(row) + "\n" for row in many), encoding="utf-8")
    first, again, other = (
        Start(write_recipe(), tmp_path, f"data.train={path}", f"training.seed={seed}").probe for seed in (1, 1, 2)
    )
    assert first.features == 100 < len(many)
    assert first.loss == again.loss != other.loss


def records(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [record for line in lines if "loss" in (record := json.loads(line))]


def start_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))["training"]["head_start"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, here: Any, data_files: dict[str, str], tiny_bert: str) -> Path:
    """A run with a probe, without dropout, with all rows in each of its 120 steps. Recipe and output are in its folder."""
    folder = tmp_path_factory.mktemp("probed")
    sections = {
        "task": "text_classification",
        "model": {"name": tiny_bert, "dropout": 0.0},
        "data": {**data_files, "max_length": 64},
        "method": "lora",
        "training": {"learning_rate": 1e-3, "num_train_epochs": 120, "examples_per_batch": 32, "logging_steps": 1}
        | {"head_start": "probe", "layerwise_lr_decay": 0.5, "head_learning_rate": 1e-2},
        "evaluation": {"bootstrap_samples": 100, "eval_steps": 60},
    }
    (folder / "recipe.yaml").write_text(json.dumps(sections), encoding="utf-8")
    done = here("run", folder / "recipe.yaml", "--output", folder / "run")
    (folder / "output.txt").write_text(done.stdout, encoding="utf-8")
    return folder / "run"


def test_training_starts_at_the_loss_of_the_probe_which_the_run_prints_and_records(whole: Path) -> None:
    probe = start_of(whole)
    assert records(whole)[0]["loss"] == pytest.approx(probe["loss"], rel=1e-3)
    assert probe["layer"] == "classifier" and probe["features"] == 32 and probe["seconds"] > 0
    assert probe["loss"] < probe["random_loss"]
    lines = (whole.parent / "output.txt").read_text().splitlines()
    line = next(line for line in lines if line.startswith("head "))
    assert line.startswith("head       classifier initialized by a linear probe on 32 features: loss ")


def test_a_stopped_run_resumes_without_a_second_probe_to_bitwise_the_same_weights(
    whole: Path, here: Any, tmp_path: Path
) -> None:
    """With a probe, groups of rates and an adapter: stopped by SIGTERM in this process."""
    recipe, cut = whole.parent / "recipe.yaml", tmp_path / "cut"

    def stop() -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not ((cut / "metrics.jsonl").is_file() and len(records(cut)) > 11):
            time.sleep(0.002)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, lambda *_: None)  # should the run be over when the signal comes
    try:
        thread = threading.Thread(target=stop)
        thread.start()
        done = here("run", recipe, "--output", cut, check=False)
        thread.join()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert done.returncode == 143 and not (cut / "results.json").exists()
    resumed = here("run", recipe, "--output", cut, "--resume")
    assert "resuming after step" in resumed.stdout and "linear probe" not in resumed.stdout
    name = "model/adapter_model.safetensors"
    assert (cut / name).read_bytes() == (whole / name).read_bytes()
    assert [r["loss"] for r in records(cut)] == [r["loss"] for r in records(whole)]
    assert start_of(cut) | {"seconds": 0} == start_of(whole) | {"seconds": 0}


@pytest.fixture(scope="module")
def varied(tmp_path_factory: pytest.TempPathFactory, tiny_bert: str) -> str:
    """A tiny BERT whose pooled features differ between texts, as those of a trained one do."""
    folder = tmp_path_factory.mktemp("varied")
    model = AutoModel.from_pretrained(tiny_bert)
    with torch.no_grad():
        tokens = AutoTokenizer.from_pretrained(tiny_bert)(
            ["good", "bad", "a plain day"], padding=True, return_tensors="pt"
        )
        mean = model.eval()(**tokens).last_hidden_state[:, 0].mean(0)
        model.pooler.dense.weight.mul_(100)
        model.pooler.dense.bias.copy_(-model.pooler.dense.weight @ mean)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_bert).save_pretrained(folder)
    return f"model.name={folder}"


def test_a_new_head_is_probed_unless_the_recipe_says_otherwise(varied: str, write_recipe: Any, tmp_path: Path) -> None:
    probed, auto, none = (
        Start(write_recipe(), tmp_path, varied, setting) for setting in (PROBE, AUTO, "training.head_start=none")
    )
    assert load_recipe(write_recipe(), [], find_tasks()).recipe.training.head_start == "auto"
    assert auto.probe.loss == probed.probe.loss and auto.changed() == probed.changed() != set()
    assert none.probe == NOTHING and none.changed() == set()


def test_a_probe_that_is_too_sensitive_is_rejected(write_recipe: Any, tmp_path: Path) -> None:
    """A random BERT gives nearly the same features for every text, so a head that separates them has large weights."""
    auto = Start(write_recipe(), tmp_path, AUTO)
    assert auto.changed() == set() and "the features are nearly constant" in auto.rejected
    assert Start(write_recipe(), tmp_path, PROBE).changed() == {"classifier.weight", "classifier.bias"}


@pytest.mark.parametrize("steps", [4, 4000])
def test_held_out_rows_decide_and_not_the_number_of_steps(
    steps: int, varied: str, write_recipe: Any, rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    start = Start(write_recipe(), tmp_path, varied, AUTO, f"training.max_steps={steps}")
    assert start.changed() == {"classifier.weight", "classifier.bias"}
    assert start.probe.held_out_loss < 0.8 * start.probe.constant_loss
    assert start.probe.constant_loss == pytest.approx(np.log(3), rel=0.02)


@pytest.mark.parametrize(("copies", "is_used"), [(1, True), (4, False)])
def test_a_probe_of_random_labels_is_rejected_if_there_are_enough_rows_to_tell(
    copies: int, is_used: bool, varied: str, write_recipe: Any, rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    path = tmp_path / "noise.jsonl"
    labels = np.random.default_rng(0).permutation([row["label"] for row in rows * copies])
    noise = [
        {**row, "id": str(number), "label": str(label)}
        for number, (row, label) in enumerate(zip(rows * copies, labels, strict=True))
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in noise), encoding="utf-8")
    start = Start(write_recipe(), tmp_path, varied, AUTO, "training.max_steps=4000", f"data.train={path}")
    assert (start.changed() != set()) == is_used
    assert ("for a constant prediction" in start.rejected) != is_used


def test_a_trained_head_of_the_checkpoint_is_kept(write_recipe: Any, tmp_path: Path) -> None:
    start = Start(write_recipe(), tmp_path)
    start.model.save_pretrained(tmp_path / "trained")
    start.prepared.tokenizer.save_pretrained(tmp_path / "trained")
    trained = f"model.name={tmp_path / 'trained'}"
    auto = Start(write_recipe(), tmp_path, trained, AUTO)
    assert auto.probe == NOTHING and auto.changed() == set()
    with pytest.raises(ModelError, match="the checkpoint already has a trained head"):
        Start(write_recipe(), tmp_path, trained)


def test_a_run_of_a_few_steps_gets_a_small_probe(write_recipe: Any, tmp_path: Path) -> None:
    settings = ["training.examples_per_batch=8", "training.gradient_accumulation_steps=1"]
    assert Start(write_recipe(), tmp_path, *settings, "training.max_steps=2").probe.features == 16
    assert Start(write_recipe(), tmp_path, *settings, "training.max_steps=40").probe.features == 32


@pytest.mark.parametrize("name", ["question_answering", "language_modelling", "text_classification"])
def test_without_a_head_to_probe_there_is_no_probe(name: str, write_recipe: Any, tmp_path: Path) -> None:
    """Tasks without such a head, and a model from scratch."""
    task, path = find_tasks()[name], tmp_path / "rows.jsonl"
    rows = task.sample_rows(task.settings())
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    settings = [f"task={name}", *(f"data.{split}={path}" for split in ("train", "validation", "test"))]
    if name == "text_classification":
        config = "{model_type: bert, hidden_size: 32, num_hidden_layers: 2, num_attention_heads: 2}"
        settings.append(f"model={{config: {config}, tokenizer: {{train_on_text: true, vocab_size: 300}}}}")
    start = Start(write_recipe(), tmp_path, *settings, AUTO)
    assert start.probe == NOTHING and start.changed() == set()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            ["task=question_answering"],
            "a probe requires a classification or tagging head, and question_answering has none",
        ),
        (
            ["task=language_modelling"],
            "a probe requires a classification or tagging head, and language_modelling has none",
        ),
        (
            ["model={config: {model_type: bert}, tokenizer: {train_on_text: true}}"],
            "a probe requires a pretrained model, and model.config creates a new one",
        ),
    ],
)
def test_a_recipe_with_nothing_to_probe_is_a_mistake(settings: list[str], message: str, write_recipe: Any) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe(write_recipe(), [PROBE, *settings], find_tasks())
