"""The mathematics of the loop: loss and gradient of a whole step, compared with other splits and with transformers."""

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator

from ft_toolkit.core.errors import NotFiniteError
from ft_toolkit.models.pretrained import load_model, load_tokenizer, read_pretrained
from ft_toolkit.recipe.sections import TrainingSection
from ft_toolkit.tasks import find_tasks
from ft_toolkit.tasks.base import Features
from ft_toolkit.training.batching import epoch_batches
from ft_toolkit.training.collate import make_collate
from ft_toolkit.training.loop import Progress, StepReport, TrainingPlan, step_seed, train
from ft_toolkit.training.optimizer import LearningRate, make_optimizer
from ft_toolkit.training.strategies import Replicated

TASK = find_tasks()["text_classification"]


class Setup:
    """A tiny model without dropout, with features and a plan, ready to train."""

    def __init__(self, model_folder: str, rows: list[dict[str, Any]], **settings: Any) -> None:
        self.dropout = settings.pop("dropout", 0.0)
        self.task = task = settings.pop("of", TASK)
        self.tokenizer = load_tokenizer(Path(model_folder))
        pretrained = read_pretrained(Path(model_folder), self.tokenizer)
        self.schema = task.find_schema(task.settings(**settings.pop("task", {})), rows, None, pretrained)
        self.features: Features = task.encode(rows, self.tokenizer, self.schema, 64)
        self.model = load_model(
            Path(model_folder), task, self.schema, self.tokenizer, dropout=self.dropout, seed=1
        ).model
        self.batching = {"tokens_per_batch": None, "examples_per_batch": 32, "accumulate": 1, **settings}

    def train(
        self, steps: int = 3, learning_rate: float = 1e-3, collate: Any = None, max_skipped_steps: int = 0
    ) -> Iterator[StepReport]:
        accelerator = Accelerator()
        training = TrainingSection(examples_per_batch=1, weight_decay=0.01)
        replicated = Replicated(
            accelerator, self.model, partial(make_optimizer, training=training, heads=[]), max_grad_norm=1.0
        )
        plan = TrainingPlan(
            epoch_batches=lambda epoch: epoch_batches(
                self.features.lengths, world_size=1, seed=7, epoch=epoch, **self.batching
            ),
            total_steps=steps,
            learning_rate=LearningRate(learning_rate, steps, schedule="constant"),
            collate=collate or make_collate(self.features, self.task, self.schema, self.tokenizer.pad_token_id),
            loss_sum=lambda outputs, batch: self.task.loss_sum(outputs, batch, self.schema),
            read_positions=lambda batch: None,
            example_ids=self.features.example_ids,
            count_targets=lambda batch: self.task.count_targets(batch, self.schema),
            seed=7,
            max_skipped_steps=max_skipped_steps,
        )
        return train(accelerator, replicated, plan, Progress())


@pytest.mark.parametrize("model", ["tiny_bert", "tiny_gpt2"])
@pytest.mark.parametrize("n_rows", [48, 45])
def test_accumulation_and_ragged_batches_change_nothing(
    model: str, n_rows: int, rows: list[dict[str, Any]], request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(model)
    whole = list(Setup(folder, rows[:n_rows], examples_per_batch=32).train(steps=4))
    assert sorted(r.n_targets for r in whole) == [n_rows - 32, n_rows - 32, 32, 32]
    for size, accumulate in ((8, 4), (1, 32)):
        parts = list(Setup(folder, rows[:n_rows], examples_per_batch=size, accumulate=accumulate).train(steps=4))
        assert [r.n_targets for r in parts] == [r.n_targets for r in whole]
        assert [r.loss for r in parts] == pytest.approx([r.loss for r in whole], rel=2e-5)
        assert [r.grad_norm for r in parts] == pytest.approx([r.grad_norm for r in whole], rel=2e-4)


def test_class_weights_normalize_by_their_sum(tiny_bert: str, rows: list[dict[str, Any]]) -> None:
    uneven = rows[:30] + [row for row in rows[30:] if row["label"] == "praise"]
    settings = {"task": {"class_weights": "balanced"}}
    one = next(Setup(tiny_bert, uneven, examples_per_batch=36, **settings).train())
    setup = Setup(tiny_bert, uneven, examples_per_batch=4, accumulate=9, task={"class_weights": "balanced"})
    split = next(setup.train())
    collate = make_collate(setup.features, TASK, setup.schema, setup.tokenizer.pad_token_id)
    batch = collate(range(len(uneven)), 1.0)
    fresh = Setup(tiny_bert, uneven, examples_per_batch=36, task={"class_weights": "balanced"})
    with torch.no_grad():
        logits = fresh.model.eval()(**batch.inputs).logits
    expected = torch.nn.functional.cross_entropy(logits, batch.targets, weight=torch.tensor(setup.schema.class_weights))
    assert split.loss == pytest.approx(one.loss, rel=1e-5) == pytest.approx(float(expected), rel=1e-5)
    assert split.grad_norm == pytest.approx(one.grad_norm, rel=1e-4)


LOSS = {"focal_gamma": 2.0, "label_smoothing": 0.1}


@pytest.mark.parametrize(
    ("name", "model", "settings"),
    [
        ("text_classification", "bert", {**LOSS, "class_weights": "balanced"}),
        (
            "text_classification",
            "bert",
            {**LOSS, "class_weights": "sqrt", "problem_type": "multi_label_classification"},
        ),
        ("ner", "bert", {**LOSS, "class_weights": "sqrt"}),
        ("translation", "t5", {"label_smoothing": 0.1, "source_language": "en", "target_language": "de"}),
        ("summarization", "gpt2", {"label_smoothing": 0.1}),
    ],
)
def test_accumulation_does_not_change_other_losses(name: str, model: str, settings: dict[str, Any], tiny: Any) -> None:
    task = find_tasks()[name]
    rows, _ = task.read_rows(task.sample_rows(task.settings(**settings)), task.settings(**settings), "rows")
    whole, parts, plain = (
        list(Setup(tiny(model), rows, of=task, task=of_task, **batching).train(steps=2))
        for of_task, batching in (
            (settings, {"examples_per_batch": 12}),
            (settings, {"examples_per_batch": 1, "accumulate": 12}),
            ({k: v for k, v in settings.items() if k not in {**LOSS, "class_weights": 0}}, {"examples_per_batch": 12}),
        )
    )
    assert [r.n_targets for r in parts] == pytest.approx([r.n_targets for r in whole])
    assert [r.loss for r in parts] == pytest.approx([r.loss for r in whole], rel=2e-5)
    assert [r.grad_norm for r in parts] == pytest.approx([r.grad_norm for r in whole], rel=2e-4)
    assert plain[0].grad_norm != pytest.approx(whole[0].grad_norm, rel=1e-2)


def test_losses_equal_those_of_transformers_trainer(tiny_bert: str, rows: list[dict[str, Any]], tmp_path: Path) -> None:
    """An independent reference: the same batches, no accumulation, the same AdamW, clipping and constant learning rate."""
    from torch.utils.data import Dataset
    from transformers import Trainer, TrainerCallback, TrainingArguments

    ours = Setup(tiny_bert, rows, examples_per_batch=8)
    reports = list(ours.train(steps=6, learning_rate=1e-3))
    theirs = Setup(tiny_bert, rows, examples_per_batch=8)
    plan = epoch_batches(theirs.features.lengths, world_size=1, seed=7, epoch=0, **theirs.batching)
    order = [i for step in plan for micro in step[0] for i in micro.features]
    collate = make_collate(theirs.features, TASK, theirs.schema, theirs.tokenizer.pad_token_id)

    class InOrder(Dataset[int]):
        def __len__(self) -> int:
            return len(order)

        def __getitem__(self, position: int) -> int:
            return order[position]

    def collate_ids(ids: list[int]) -> dict[str, torch.Tensor]:
        batch = collate(ids, 1.0)
        return {**batch.inputs, "labels": batch.targets}

    logged: list[dict[str, float]] = []

    class Keep(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **kwargs: Any) -> None:
            if "grad_norm" in logs:
                logged.append(logs)

    arguments = TrainingArguments(
        output_dir=str(tmp_path),
        per_device_train_batch_size=8,
        max_steps=6,
        learning_rate=1e-3,
        weight_decay=0.01,
        max_grad_norm=1.0,
        lr_scheduler_type="constant",
        train_sampling_strategy="sequential",
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        use_cpu=True,
        remove_unused_columns=False,
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )
    Trainer(
        model=theirs.model,
        args=arguments,
        train_dataset=InOrder(),
        data_collator=collate_ids,
        callbacks=[Keep()],
    ).train()
    assert [entry["loss"] for entry in logged] == pytest.approx([r.loss for r in reports], rel=1e-4)
    assert [float(entry["grad_norm"]) for entry in logged] == pytest.approx([r.grad_norm for r in reports], rel=1e-3)
    for name, parameter in ours.model.state_dict().items():
        torch.testing.assert_close(theirs.model.state_dict()[name], parameter, rtol=1e-4, atol=1e-5)


def test_a_loss_that_is_not_finite_stops_before_the_update(tiny_bert: str, rows: list[dict[str, Any]]) -> None:
    setup = Setup(tiny_bert, rows, examples_per_batch=8)
    collate = make_collate(setup.features, TASK, setup.schema, setup.tokenizer.pad_token_id)
    calls = 0

    def poisoned(ids: Any, weight: float, epoch: int) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            with torch.no_grad():
                setup.model.classifier.bias.fill_(float("nan"))
        return collate(ids, weight)

    seen = []
    with pytest.raises(NotFiniteError, match=r"step 3: the loss is nan.*Rows of this step"):
        for report in setup.train(steps=6, collate=poisoned):
            seen.append(report.step)
            before = setup.model.bert.embeddings.word_embeddings.weight.clone()
    assert seen == [1, 2]
    assert torch.equal(setup.model.bert.embeddings.word_embeddings.weight, before)


def test_a_skipped_step_changes_nothing_and_the_next_one_trains(tiny_bert: str, rows: list[dict[str, Any]]) -> None:
    """The loss of a row is infinite, or only its gradient: the square root has an infinite slope at 0."""

    def with_slope(outputs: Any, batch: Any, schema: Any) -> torch.Tensor:
        total = TASK.loss_sum(outputs, batch, schema)
        return (
            total + outputs.logits.sub(outputs.logits.detach()).abs().sum().sqrt() if 0 in batch.feature_ids else total
        )

    numbers = [{**row, "label": float(i % 3)} for i, row in enumerate(rows[:16])]
    weights, losses = [], []
    for label, task in ((1e30, TASK), (0.0, replace(TASK, loss_sum=with_slope)), (0.0, TASK)):
        rows_of_step = [{**numbers[0], "label": label}, *numbers[1:]]
        settings = {"problem_type": "regression"}
        setup = Setup(tiny_bert, rows_of_step, of=task, task=settings, examples_per_batch=2, accumulate=2)
        reports = list(setup.train(steps=4, max_skipped_steps=1))
        losses.append([report.loss for report in reports])
        skipped = [report.skipped for report in reports if report.skipped]
        assert len(skipped) == (setup.task is not TASK or label > 0)
        assert all("; the step is skipped. Rows of this step (counted from 0): [0, " in text for text in skipped)
        weights.append(setup.model.classifier.weight.detach().clone())
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
    assert sum(map(math.isfinite, losses[0])) == 3 and all(map(math.isfinite, losses[1]))


def test_a_step_has_its_own_random_numbers(tiny_bert: str, rows: list[dict[str, Any]]) -> None:
    """Dropout depends only on (seed, step, rank), not on earlier random numbers, such as those of an evaluation."""
    first = [r.loss for r in Setup(tiny_bert, rows, dropout=0.3).train(steps=4)]
    second = []
    for report in Setup(tiny_bert, rows, dropout=0.3).train(steps=4):
        torch.rand(1000)
        second.append(report.loss)
    assert first == second
    assert len({step_seed(1, step, rank) for step in range(50) for rank in range(4)}) == 200


def test_reports_count_what_was_trained_on(tiny_bert: str, rows: list[dict[str, Any]]) -> None:
    setup = Setup(tiny_bert, rows, examples_per_batch=None, tokens_per_batch=96, accumulate=2)
    plan = epoch_batches(setup.features.lengths, world_size=1, seed=7, epoch=0, **setup.batching)
    reports = list(setup.train(steps=len(plan)))
    assert sum(r.n_examples for r in reports) == len(rows)
    assert sum(r.n_tokens for r in reports) == sum(setup.features.lengths)
    assert all(r.n_padded <= 2 * 96 for r in reports)
    assert [r.ends_epoch for r in reports] == [False] * (len(plan) - 1) + [True]
