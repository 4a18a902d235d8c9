"""What does not fit into memory passes in pieces, with the same loss; a limit on addresses makes memory run out on a CPU."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator

from ft_toolkit.core.errors import UsageError
from ft_toolkit.models.pretrained import load_model, load_tokenizer
from ft_toolkit.recipe.sections import TrainingSection
from ft_toolkit.tasks import find_tasks
from ft_toolkit.training.batching import MicroBatch
from ft_toolkit.training.collate import make_collate
from ft_toolkit.training.fit_memory import Fit, can_run_out, fit_memory
from ft_toolkit.training.loop import Progress, TrainingPlan, collate_pieces, train, with_min_pieces
from ft_toolkit.training.optimizer import LearningRate, make_optimizer
from ft_toolkit.training.strategies import Replicated

resource = pytest.importorskip("resource")
TASK = find_tasks()["text_classification"]
pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux holds a process to a limit on its addresses"
)


@contextmanager
def room(mib: int) -> Iterator[None]:
    """Let this process have so much more memory, and no more."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + mib * 2**20, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


class Setup:
    """A tiny model and one micro-batch of `n` rows of 48 words."""

    def __init__(self, folder: str, rows: list[dict[str, Any]], n: int) -> None:
        long = [{**rows[i % len(rows)], "text": "lovely lamp " * 24} for i in range(n)]
        self.schema = TASK.find_schema(TASK.settings(), rows, None, None)
        tokenizer = load_tokenizer(Path(folder))
        features = TASK.encode(long, tokenizer, self.schema, 64)
        model = load_model(Path(folder), TASK, self.schema, tokenizer, dropout=0.0, seed=1).model
        self.lengths = features.lengths
        self.accelerator = Accelerator(cpu=True)
        training = TrainingSection(examples_per_batch=1, weight_decay=0.0)
        self.replicated = Replicated(
            self.accelerator, model, partial(make_optimizer, training=training, heads=[]), max_grad_norm=1.0
        )
        self.model = self.replicated.model
        self.plan = TrainingPlan(
            epoch_batches=lambda epoch: [[[MicroBatch(tuple(range(n)))]]],
            total_steps=2,
            learning_rate=LearningRate(1e-3, 2, schedule="constant"),
            collate=make_collate(features, TASK, self.schema, tokenizer.pad_token_id),
            example_ids=features.example_ids,
            loss_sum=lambda outputs, batch: TASK.loss_sum(outputs, batch, self.schema),
            count_targets=lambda batch: TASK.count_targets(batch, self.schema),
            read_positions=lambda batch: None,
            seed=7,
        )

    def fit(self) -> Fit:
        return fit_memory(self.accelerator, self.model, self.plan, self.lengths, 0)


def test_equal_passes_are_filled_up_by_passes_without_weight(tiny_bert: str, rows: list[dict[str, Any]]) -> None:
    """With FSDP and ZeRO, a process with fewer rows makes the same number of passes, and the loss does not change."""
    reports = []
    for n_pieces in (1, 5):
        setup = Setup(tiny_bert, rows, 3)
        plan = replace(setup.plan, n_pieces=lambda micro, n=n_pieces: n, has_equal_passes=True)
        batches = collate_pieces(plan, [MicroBatch((0, 1, 2))], 0)
        assert [batch.weight for batch in batches] == ([1.0] if n_pieces == 1 else [1.0, 1.0, 1.0, 0.0, 0.0])
        reports.append(next(train(setup.accelerator, setup.replicated, plan, Progress())))
    assert reports[1].loss == pytest.approx(reports[0].loss, rel=1e-5)
    assert reports[1].grad_norm == pytest.approx(reports[0].grad_norm, rel=1e-4)
    assert (reports[0].n_targets, reports[0].n_examples) == (reports[1].n_targets, reports[1].n_examples)


@pytest.mark.parametrize("model", ["tiny_bert", "tiny_gpt2"])
@pytest.mark.parametrize("pieces", [2, 3, 20])
def test_pieces_have_the_loss_and_the_gradient_of_the_whole(
    model: str, pieces: int, rows: list[dict[str, Any]], request: pytest.FixtureRequest
) -> None:
    found = []
    for number in (1, pieces):
        setup = Setup(request.getfixturevalue(model), rows, 16)
        plan = with_min_pieces(setup.plan, number)
        reports = train(setup.accelerator, setup.replicated, plan, Progress())
        found.append([(report.loss, report.grad_norm, report.n_targets, report.n_examples) for report in reports])
    assert found[1] == [pytest.approx(step, rel=1e-4) for step in found[0]]


def test_the_larger_of_two_numbers_of_pieces_holds(tiny_bert: str, rows: list[dict[str, Any]]) -> None:
    plan = with_min_pieces(Setup(tiny_bert, rows, 1).plan, 4)
    assert [with_min_pieces(plan, least).n_pieces(MicroBatch((0,))) for least in (1, 2, 8)] == [4, 4, 8]


def test_what_fits_stays_whole_and_no_weight_changes(tiny_bert: str, rows: list[dict[str, Any]]) -> None:
    setup = Setup(tiny_bert, rows, 16)
    before = {name: value.clone() for name, value in setup.model.state_dict().items()}
    fit = setup.fit()
    assert fit == Fit(1, False)
    assert fit.description is None
    assert all(torch.equal(value, before[name]) for name, value in setup.model.state_dict().items())
    assert all(parameter.grad is None for parameter in setup.model.parameters())


def test_a_wide_batch_is_cut_until_it_fits(tiny_bert: str, rows: list[dict[str, Any]]) -> None:
    setup = Setup(tiny_bert, rows, 3072)
    assert not can_run_out(setup.accelerator)
    with room(80):
        assert can_run_out(setup.accelerator)
        fit = setup.fit()
        assert "passes" in (fit.description or "")
    plan = with_min_pieces(setup.plan, fit.pieces)
    reports = list(train(setup.accelerator, setup.replicated, plan, Progress()))
    assert 1 < fit.pieces <= 512
    # oneDNN still compiles code for a new shape: a failed compilation would make every later one fail
    assert torch.nn.functional.gelu(torch.ones(3, 59)).shape == (3, 59)
    assert [report.n_examples for report in reports] == [3072, 3072]


def test_where_one_row_does_not_fit_it_says_so(tiny_bert: str, rows: list[dict[str, Any]]) -> None:
    setup = Setup(tiny_bert, rows, 1)

    def loss_sum(outputs: Any, batch: Any) -> torch.Tensor:
        return torch.nn.functional.pad(outputs.logits, (0, 10**10)).sum()  # 40 GB for any row

    setup.plan = replace(setup.plan, loss_sum=loss_sum)
    with (
        room(200),
        pytest.raises(UsageError, match=r"a single row of \d+ tokens does not fit .* lower data.max_length"),
    ):
        setup.fit()
    assert setup.model.is_gradient_checkpointing
