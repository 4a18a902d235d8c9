"""Contrastive training on pairs: the pairs, the loss, the run with its probe, resuming, and recipes that do not allow it."""

import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from rich.console import Console
from safetensors.torch import load_file
from transformers import AutoModel

from ft_toolkit.core.errors import ModelError, RecipeError
from ft_toolkit.core.run_records import read_run_results
from ft_toolkit.recipe.load_recipe import load_recipe
from ft_toolkit.tasks import find_tasks
from ft_toolkit.training.contrastive import ContrastiveTraining, draw_pairs
from ft_toolkit.training.distributed.fsdp import read_sharding
from ft_toolkit.training.distributed.zero import read_zero
from ft_toolkit.training.loop import Progress, train
from ft_toolkit.training.prepare import build_model, prepare
from ft_toolkit.training.tracking import Display
from ft_toolkit.training.trained_model import TrainedModel

ONLY_PROBE = ["training.max_steps=0", "training.head_start=probe"]
LABELS = ["a", "a", "a", "b", "b", "c"]


def test_each_row_gets_pairs_of_both_kinds_and_partners_take_turns() -> None:
    pairs = draw_pairs(LABELS, 8, seed=1)
    assert pairs == draw_pairs(LABELS, 8, seed=1) != draw_pairs(LABELS, 8, seed=2)
    assert all(pair.first != pair.second for pair in pairs)
    assert all((LABELS[pair.first] == LABELS[pair.second]) == pair.is_same for pair in pairs)
    assert Counter((pair.first, pair.is_same) for pair in pairs) == {
        (row, is_same): 4 for row in range(6) for is_same in (True, False) if (row, is_same) != (5, True)
    }
    assert Counter(pair.second for pair in pairs if pair.first == 0 and pair.is_same) == {1: 2, 2: 2}
    assert Counter(pair.is_same for pair in draw_pairs(["a", "a", "b", "b"], 5, seed=1)) == {True: 12, False: 8}


class Stage:
    """The contrastive training of a recipe, without the rest of its run."""

    def __init__(self, recipe: Path, scratch: Path, *settings: str) -> None:
        words = ["training.contrastive_pairs=4", "model.dropout=0.0", "training.warmup_ratio=0.0", *settings]
        self.prepared = prepare(load_recipe(recipe, words, find_tasks()), work_folder=scratch)
        self.accelerator = Accelerator()
        requested = (read_sharding({}), read_zero({}, 1.0))
        display = Display(Console(quiet=True), enabled=True)
        self.trained = TrainedModel(self.accelerator, self.prepared, requested, display)
        self.pairs = ContrastiveTraining(self.trained, self.prepared, 1)

    def losses(self, steps: int) -> list[float]:
        """Train some steps and return the loss of each."""
        reports = train(self.accelerator, self.trained.strategy, self.pairs.plan(), Progress())
        return [report.loss for report in islice(reports, steps)]


@pytest.mark.parametrize("architecture", ["bert", "roberta", "gpt2", "t5"])
def test_the_loss_is_the_squared_error_of_the_cosines_of_the_head_inputs(
    architecture: str, tiny: Callable[[str], str], write_recipe: Any, tmp_path: Path
) -> None:
    """Each text alone, without padding, and the input of the last layer read by a hook."""
    stage = Stage(write_recipe(), tmp_path, f"model.name={tiny(architecture)}")
    plain, plan = stage.trained.plain, stage.pairs.plan()
    names = {
        "bert": "classifier",
        "roberta": "classifier.out_proj",
        "gpt2": "score",
        "t5": "classification_head.out_proj",
    }
    layer, vectors = plain.get_submodule(names[architecture]), []
    handle = layer.register_forward_pre_hook(lambda _, args: vectors.append(args[0].reshape(-1, layer.in_features)[-1]))
    chosen, errors = plan.epoch_batches(0)[0][0][0].features, []
    with torch.no_grad():
        for number in chosen:
            pair = stage.pairs.drawn[number]
            vectors.clear()
            for row in (pair.first, pair.second):
                ids = stage.prepared.features["train"].inputs["input_ids"][row]
                plain.eval()(input_ids=torch.tensor([ids]))
            cosine = torch.nn.functional.cosine_similarity(vectors[0], vectors[1], dim=0)
            errors.append(float((cosine - float(pair.is_same)) ** 2))
    handle.remove()
    assert stage.losses(1) == pytest.approx([sum(errors) / len(errors)], rel=1e-3)


def test_accumulation_does_not_change_the_loss_and_the_last_layer_stays(write_recipe: Any, tmp_path: Path) -> None:
    whole, parts = (
        Stage(
            write_recipe(),
            tmp_path,
            f"training.examples_per_batch={8 // n}",
            f"training.gradient_accumulation_steps={n}",
        )
        for n in (1, 4)
    )
    before = [tensor.clone() for tensor in whole.trained.plain.classifier.parameters()]
    losses = whole.losses(8)
    # AdamW amplifies rounding from step to step: at most 0.0002 in the first five losses, and 0.0017 in the last one
    assert (found := parts.losses(8)) == pytest.approx(losses, rel=1e-2)
    assert found[:5] == pytest.approx(losses[:5], rel=1e-3)
    decay = 8 * 1e-3 * 0.01  # AdamW's weight decay is the only change
    for old, new in zip(before, whole.trained.plain.classifier.parameters(), strict=True):
        torch.testing.assert_close(new, old, rtol=decay, atol=0)


def weights_after(folder: Path, tiny_bert: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a weight of the encoder in the model folder of a run, and in its checkpoint."""
    name = "encoder.layer.1.output.dense.weight"
    saved = load_file(folder / "model" / "model.safetensors")[f"bert.{name}"]
    return saved, AutoModel.from_pretrained(tiny_bert).state_dict()[name]


def test_a_run_with_pairs_and_a_probe_trains_the_encoder_and_records_both(
    write_recipe: Any, here: Any, tiny_bert: str, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    printed = here("run", write_recipe(), *ONLY_PROBE, "training.contrastive_pairs=4", "--output", folder).stdout
    assert "contrastive training on 128 pairs, 16 steps: loss " in printed and "linear probe on 32 features" in printed
    training = read_run_results(folder).training
    assert training.steps == 0 and training.best_step == 0 and training.head_start is not None
    assert training.contrastive is not None and training.contrastive.loss < training.contrastive.first_loss
    assert "contrastive training on 128 pairs" in (folder / "report.html").read_text(encoding="utf-8")
    saved, start = weights_after(folder, tiny_bert)
    assert not torch.equal(saved, start)


@pytest.mark.slow
def test_a_run_without_steps_fits_the_head_only(write_recipe: Any, here: Any, tiny_bert: str, tmp_path: Path) -> None:
    here("run", write_recipe(), *ONLY_PROBE, "--output", tmp_path / "run")
    saved, start = weights_after(tmp_path / "run", tiny_bert)
    assert torch.equal(saved, start)
    training = read_run_results(tmp_path / "run").training
    assert training.head_start is not None and training.head_start.features == 32 and training.contrastive is None


@pytest.mark.parametrize("method", ["full", pytest.param("lora", marks=pytest.mark.slow)])
def test_a_run_that_is_stopped_among_the_pairs_resumes_to_bitwise_the_same_weights(
    method: str, write_recipe: Any, here: Any, tmp_path: Path
) -> None:
    recipe = write_recipe(training__save_steps=5, method__name=method)
    words = ["run", recipe, "training.contrastive_pairs=40", "evaluation.baselines=[]", "--output"]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    here(*words, whole)

    def stop() -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not (cut / "checkpoints" / "last").is_dir():
            time.sleep(0.002)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, lambda *_: None)  # should the run be over when the signal comes
    try:
        thread = threading.Thread(target=stop)
        thread.start()
        stopped = here(*words, cut, check=False)
        thread.join()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert stopped.returncode == 143 and "/160 of the contrastive training; a checkpoint is saved" in stopped.stderr
    state = json.loads((cut / "checkpoints" / "last" / "state.json").read_text())["history"]["contrastive"]
    assert 5 <= state["done"] < 160
    here(*words, cut, "--resume")
    for path in sorted((whole / "model").glob("*.safetensors")):
        assert (cut / "model" / path.name).read_bytes() == path.read_bytes()
    facts = [read_run_results(folder).training.contrastive for folder in (whole, cut)]
    assert facts[0] is not None and facts[1] is not None
    assert facts[0].model_copy(update={"seconds": 0}) == facts[1].model_copy(update={"seconds": 0})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["task=ner"], "requires texts with one label each, which ner"),
        (["task.problem_type=multi_label_classification"], "requires texts with one label each"),
        (["task.problem_type=regression"], "requires texts with one label each"),
        (["method=freeze"], r"method\.frozen_layers=all trains none"),
        (["training.max_steps=0"], "max_steps=0 trains nothing but a linear probe; set head_start=probe"),
    ],
)
def test_a_recipe_that_has_no_pairs_is_refused(settings: list[str], message: str, write_recipe: Any) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe(write_recipe(), [*settings, "training.contrastive_pairs=4"], find_tasks())


def test_a_checkpoint_with_a_trained_head_is_refused(write_recipe: Any, tmp_path: Path) -> None:
    stage = Stage(write_recipe(), tmp_path)
    build_model(stage.prepared).model.save_pretrained(tmp_path / "trained")
    stage.prepared.tokenizer.save_pretrained(tmp_path / "trained")
    with pytest.raises(ModelError, match=r"contrastive_pairs: the checkpoint already has a trained head"):
        Stage(write_recipe(), tmp_path, f"model.name={tmp_path / 'trained'}")
