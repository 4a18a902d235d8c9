"""Measure the speed-ups of ft_toolkit/training/speedups: optimizer steps with none, with each alone, and with all of them.

    python benchmarks/savings.py RECIPE [section.key=value ...] [--rounds 5] [--steps 12]

Each variant trains its own model on the same batches, and the variants alternate. The output is the median of real tokens per
second over the rounds, the ratio to the model without speed-ups, and a profile of the first and the last variant. All rounds
read the same rows, so the first round, which is not counted, fills the cache of frozen blocks for the others.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch.profiler import ProfilerActivity, profile

from ft_toolkit.core import environment
from ft_toolkit.recipe.load_recipe import load_recipe
from ft_toolkit.recipe.methods import FreezeMethod
from ft_toolkit.tasks import find_tasks
from ft_toolkit.training.loop import Progress, train
from ft_toolkit.training.optimizer import make_optimizer
from ft_toolkit.training.prepare import Prepared, build_model, prepare
from ft_toolkit.training.speedups.dropout import use_fast_dropout
from ft_toolkit.training.speedups.embedding_rows import train_only_rows
from ft_toolkit.training.speedups.frozen_blocks import cache_frozen_blocks
from ft_toolkit.training.speedups.last_block import shorten_last_block
from ft_toolkit.training.strategies import Replicated
from ft_toolkit.training.trained_model import training_plan

ALWAYS = ("last block", "embedding rows", "faster dropout and attention")
LOGITS, FROZEN = "logits only at predicted positions", "frozen blocks, from the second epoch on"


class Variant:
    """A model with some of the speed-ups, ready to train."""

    def __init__(self, prepared: Prepared, accelerator: Accelerator, names: tuple[str, ...], steps: int) -> None:
        built = build_model(prepared)
        if "last block" in names:
            shorten_last_block(built.model)
        if "embedding rows" in names:
            train_only_rows(built.model, prepared.training_ids)
        if ALWAYS[2] in names:
            use_fast_dropout(built.model)
        self.accelerator = accelerator
        training = prepared.recipe.training
        self.replicated = Replicated(
            accelerator,
            built.model,
            partial(make_optimizer, training=training, heads=built.heads),
            training.max_grad_norm,
        )
        self.plan = training_plan(prepared, total_steps=steps, world_size=1)
        if LOGITS not in names:
            self.plan = replace(self.plan, read_positions=lambda batch: None)
        lengths = prepared.features["train"].lengths
        if FROZEN in names:
            cache, description = cache_frozen_blocks(
                built.model, n_tokens=sum(lengths), free_bytes=environment.free_memory_bytes()
            )
            if cache is None:
                raise SystemExit(description or "no block is frozen")
            self.plan = replace(self.plan, cached_outputs=partial(cache.reuse, lengths))

    def tokens_per_second(self) -> float:
        """Train the same steps again, from the first batch, and return real tokens per second."""
        started, tokens = time.perf_counter(), 0
        for report in train(self.accelerator, self.replicated, self.plan, Progress()):
            tokens += report.n_tokens
        return tokens / (time.perf_counter() - started)


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=12)
    arguments = parser.parse_args()
    loaded = load_recipe(arguments.recipe, arguments.overrides, find_tasks())
    with tempfile.TemporaryDirectory() as scratch:
        prepared = prepare(loaded, work_folder=Path(scratch))
        precision = prepared.recipe.training.mixed_precision
        accelerator = Accelerator(cpu=environment.use_cpu(), mixed_precision=precision)
        names = ALWAYS
        if prepared.task.logit_positions is not None:
            names += (LOGITS,)
        if isinstance(prepared.recipe.method, FreezeMethod):
            names += (FROZEN,)
        chosen = {"none": (), **{name: (name,) for name in names}, "all": names}
        variants = {title: Variant(prepared, accelerator, names, arguments.steps) for title, names in chosen.items()}
    rates: dict[str, list[float]] = {title: [] for title in variants}
    for number in range(arguments.rounds + 1):
        for title, variant in variants.items() if number % 2 else reversed(variants.items()):
            rate = variant.tokens_per_second()
            if number:  # the first round warms up
                rates[title].append(rate)
    plain = statistics.median(rates["none"])
    print(f"{prepared.task.name}, {prepared.recipe.model.title}, {precision}, {environment.machine()['processor']}\n")
    print("| speed-up | tokens/s | ratio |\n|---|---|---|")
    for title, measured in rates.items():
        print(f"| {title} | {statistics.median(measured):,.0f} | {statistics.median(measured) / plain:.2f} |")
    for title in ("none", "all"):
        print(f"\nShare of the time per operator, speed-ups: {title}\n\n{profiled(variants[title].tokens_per_second)}")


def profiled(work: Callable[[], Any], rows: int = 8) -> str:
    """Return a table of the operators with the largest share of the time."""
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        work()
    operators = [operator for operator in profiler.key_averages() if operator.self_cpu_time_total > 0]
    total = sum(operator.self_cpu_time_total for operator in operators)
    slowest = sorted(operators, key=lambda operator: -operator.self_cpu_time_total)[:rows]
    lines = [f"| {operator.key} | {operator.self_cpu_time_total / total:.1%} |" for operator in slowest]
    return "\n".join(["| operator | share |", "|---|---|", *lines])


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
