"""The baselines of a run: which ones are computed, on which training rows, and the embeddings of the checkpoint."""

import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from rich.console import Console
from sklearn.linear_model import LogisticRegression
from transformers import AutoModel, AutoTokenizer

from ft_toolkit.core.errors import RecipeError
from ft_toolkit.evaluation import baselines
from ft_toolkit.evaluation.baselines import predict_baselines
from ft_toolkit.evaluation.embeddings import Embedder
from ft_toolkit.recipe.load_recipe import load_recipe
from ft_toolkit.tasks import find_tasks
from ft_toolkit.training.frozen_vectors import FrozenVectors
from ft_toolkit.training.head_probe import fit_head_probe
from ft_toolkit.training.prepare import Prepared, build_model, prepare
from ft_toolkit.training.tracking import Display

pytestmark = pytest.mark.trains
ALL = "evaluation.baselines=null"


@pytest.fixture
def prepared_with(write_recipe: Any, tmp_path: Path):
    """Return a function that prepares a run of the small recipe with changed settings."""

    def make(*settings: str) -> Prepared:
        loaded = load_recipe(write_recipe(), [ALL, "training.mixed_precision=no", *settings], find_tasks())
        return prepare(loaded, work_folder=tmp_path / "work")

    return make


def computed(prepared: Prepared) -> tuple[baselines.BaselineResults, str]:
    """Return the baselines of a run for its evaluated splits, and what was printed."""
    output = io.StringIO()
    display = Display(Console(file=output, width=200), enabled=True)
    return predict_baselines(prepared, ["validation", "test"], Accelerator(), display), output.getvalue()


def expected_embeddings(folder: str, texts: list[str], max_length: int) -> np.ndarray:
    """Return the mean of the hidden states of each text, passed alone through transformers, with length 1."""
    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    model = model.encoder if model.config.is_encoder_decoder else model
    vectors = []
    for text in texts:
        inputs = tokenizer(text, truncation=True, max_length=max_length, return_tensors="pt")
        with torch.inference_mode():
            vector = model(**inputs).last_hidden_state[0].mean(0)
        vectors.append((vector / vector.norm()).numpy())
    return np.stack(vectors)


def embeddings_of(prepared: Prepared, split: str) -> np.ndarray:
    rows = range(len(prepared.data.splits[split]))
    return Embedder(prepared, Accelerator(), FrozenVectors()).embed(split, rows, lambda done, total: None)


def test_all_baselines_of_the_task_are_the_default(prepared_with: Any) -> None:
    results, text = computed(prepared_with())
    assert list(results.facts) == ["majority", "tfidf", "frozen_embeddings"]
    assert all(facts.training_rows == 32 for facts in results.facts.values())
    for split in ("validation", "test"):
        assert {len(predictions) for predictions in results.predictions[split].values()} == {8}
    assert text.startswith("baselines  majority, tfidf, frozen embeddings ...\n           majority 0.0 s, tfidf ")


def test_the_recipe_chooses(prepared_with: Any) -> None:
    results, text = computed(prepared_with("evaluation.baselines=[tfidf]"))
    assert list(results.facts) == ["tfidf"]
    results, text = computed(prepared_with("evaluation.baselines=[]"))
    assert results.predictions == {"validation": {}, "test": {}} and not results.facts and not text


@pytest.mark.parametrize("architecture", ["bert", "gpt2", "t5"])
def test_embeddings_are_those_of_transformers(prepared_with: Any, tiny: Any, architecture: str) -> None:
    prepared = prepared_with(f"model.name={tiny(architecture)}")
    texts = [row["text"] for row in prepared.data.splits["test"]]
    expected = expected_embeddings(tiny(architecture), texts, 64)
    assert embeddings_of(prepared, "test") == pytest.approx(expected, abs=1e-5)


def test_the_pooling_of_the_checkpoint_is_used(prepared_with: Any, tiny_bert: str, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_bert, tmp_path / "sentence_model"))
    (folder / "modules.json").write_text('[{"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}]')
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    prepared = prepared_with(f"model.name={folder}")
    text = prepared.data.splits["test"][0]["text"]
    with torch.inference_mode():
        states = AutoModel.from_pretrained(folder).eval()(**prepared.tokenizer(text, return_tensors="pt"))
    first = states.last_hidden_state[0, 0]
    assert embeddings_of(prepared, "test")[0] == pytest.approx((first / first.norm()).numpy(), abs=1e-5)


def test_windows_of_a_long_text_are_averaged(prepared_with: Any) -> None:
    settings = ("task.long_texts=windows", "data.max_length=8")
    prepared = prepared_with(*settings)
    features = prepared.features["test"]
    assert len(features.example_ids) > len(prepared.data.splits["test"])
    vectors = embeddings_of(prepared, "test")
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    windows = [i for i, row in enumerate(features.example_ids) if row == 6]
    model = AutoModel.from_pretrained(prepared.checkpoint.folder).eval()
    total = np.zeros(vectors.shape[1])
    for i in windows:
        ids = torch.tensor([features.inputs["input_ids"][i]])
        with torch.inference_mode():
            vector = model(input_ids=ids).last_hidden_state[0].mean(0)
        total += (vector / vector.norm()).numpy() * ids.shape[1]
    assert len(windows) > 1 and vectors[6] == pytest.approx(total / np.linalg.norm(total), abs=1e-5)


def test_frozen_embeddings_are_a_logistic_regression_of_the_embeddings(prepared_with: Any) -> None:
    prepared = prepared_with("evaluation.baselines=[frozen_embeddings]")
    labels = np.array([row["label"] for row in prepared.data.splits["train"]])
    model = LogisticRegression(C=10, max_iter=1000).fit(embeddings_of(prepared, "train"), labels)
    found = computed(prepared)[0].predictions["test"]["frozen_embeddings"]
    assert [prediction["label"] for prediction in found] == model.predict(embeddings_of(prepared, "test")).tolist()


def test_large_data_is_sampled(prepared_with: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared = prepared_with("evaluation.baselines=[tfidf, frozen_embeddings]")
    monkeypatch.setattr(baselines, "MAX_TOKENS", 100)
    first, second = computed(prepared)[0], computed(prepared)[0]
    n = first.facts["frozen_embeddings"].training_rows
    assert 5 <= n < 20 and first.facts["tfidf"].training_rows == 32
    assert first.predictions == second.predictions
    monkeypatch.setattr(baselines, "MAX_TOKENS", 1)
    assert computed(prepared)[0].facts["frozen_embeddings"].training_rows == 1, "a single row has a single label"


def test_embeddings_that_are_not_finite_give_no_baseline(prepared_with: Any, tiny_bert: str, tmp_path: Path) -> None:
    model = AutoModel.from_pretrained(tiny_bert)
    with torch.no_grad():
        model.encoder.layer[-1].output.LayerNorm.weight.fill_(1e38)  # finite, but the sum over the tokens is not
    folder = Path(shutil.copytree(tiny_bert, tmp_path / "large_weights"))
    model.save_pretrained(folder)
    results, text = computed(
        prepared_with(f"model.name={folder}", "evaluation.baselines=[majority, frozen_embeddings]")
    )
    assert list(results.facts) == list(results.predictions["test"]) == ["majority"]
    assert "note: no baseline on embeddings, because the checkpoint's embeddings are not finite" in text


def test_a_model_from_scratch_has_no_embeddings(write_recipe: Any, tiny_bert: str, tmp_path: Path) -> None:
    config = (
        "model={config: {model_type: bert, hidden_size: 16, num_hidden_layers: 1, num_attention_heads: 2, "
        f"intermediate_size: 32}}, tokenizer: {tiny_bert}}}"
    )
    loaded = load_recipe(write_recipe(), [ALL, config], find_tasks())
    assert prepare(loaded, work_folder=tmp_path / "work").baselines == ["majority", "tfidf"]
    with pytest.raises(RecipeError, match=r"frozen_embeddings requires a pretrained model, and model\.config creates"):
        load_recipe(write_recipe(), ["evaluation.baselines=[frozen_embeddings]", config], find_tasks())


def frozen_vectors(prepared: Prepared) -> FrozenVectors:
    """Return the vectors that the linear probe of a run keeps for the baseline."""
    built, frozen = build_model(prepared), FrozenVectors()
    fit_head_probe(Accelerator(mixed_precision="bf16"), built.model, built.new_modules, prepared, frozen)
    return frozen


@pytest.mark.parametrize("method", ["full", "lora", "freeze"])
@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_the_vectors_of_the_probe_are_bitwise_those_of_the_baseline(
    prepared_with: Any, tiny_bert: str, tmp_path: Path, method: str, pooling: str
) -> None:
    folder = Path(shutil.copytree(tiny_bert, tmp_path / "sentence_model"))
    (folder / "modules.json").write_text('[{"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}]')
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(f'{{"pooling_mode_{pooling}_tokens": true}}')
    prepared = prepared_with(f"model.name={folder}", f"method={method}", "training.head_start=probe")
    frozen, n_rows = frozen_vectors(prepared), len(prepared.data.splits["train"])
    assert frozen.pooling == pooling

    def embed(rows: range, known: FrozenVectors) -> np.ndarray:
        embedder = Embedder(prepared, Accelerator(mixed_precision="bf16"), known)
        return embedder.embed("train", rows, lambda done, total: None)

    assert np.array_equal(embed(range(n_rows), frozen), embed(range(n_rows), FrozenVectors()))
    assert np.array_equal(embed(range(5), frozen), embed(range(5), FrozenVectors()))
    other = FrozenVectors(frozen.vectors + 1, frozen.pooling)
    assert not np.array_equal(embed(range(n_rows), other), embed(range(n_rows), FrozenVectors()))


@pytest.mark.parametrize(
    ("architecture", "settings"),
    [
        ("bert", ["model.pooling=null"]),  # the head reads the pooler
        ("roberta", ["model.pooling=mean"]),  # a layer is between the vector and the last layer
        ("bert", ["model.pooling=mean", "training.contrastive_pairs=2"]),  # the encoder has been trained
        ("bert", ["model.pooling=mean", "training.max_steps=1", "training.examples_per_batch=2"]),  # a part of the rows
    ],
)
def test_the_probe_keeps_no_other_vectors(
    prepared_with: Any, tiny: Any, architecture: str, settings: list[str]
) -> None:
    prepared = prepared_with(f"model.name={tiny(architecture)}", "training.head_start=probe", *settings)
    assert frozen_vectors(prepared).vectors is None
