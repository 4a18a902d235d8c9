"""`ftk run --dry-run`: everything up to the first step, then one measured forward and backward pass, and no update."""

import tempfile
import time
from pathlib import Path

import torch
from accelerate import Accelerator
from rich.console import Console
from rich.table import Table

from ft_toolkit.core import environment
from ft_toolkit.recipe.load import LoadedRecipe
from ft_toolkit.report.sections.background import lost_answers
from ft_toolkit.training.batching import MicroBatch
from ft_toolkit.training.loop import backward
from ft_toolkit.training.plan import training_plan
from ft_toolkit.training.prepare import BuiltModel, Prepared, build_model, effective_batch, prepare
from ft_toolkit.training.speedups import apply_speedups
from ft_toolkit.training.tracking import check_trackers


def dry_run(loaded: LoadedRecipe, console: Console) -> None:
    """Check the whole recipe and print rows, tokens, steps, weights, and an estimate of memory and time.

    The estimate comes from a real forward and backward pass over the largest and over a middling batch. Raises UsageError.
    """
    check_trackers(loaded.recipe.tracking)
    with tempfile.TemporaryDirectory() as scratch:
        prepared = prepare(loaded, work_folder=Path(scratch))
        accelerator = Accelerator(cpu=environment.use_cpu(), mixed_precision=prepared.recipe.training.mixed_precision)
        _show(prepared, accelerator, build_model(prepared), console)


def _show(prepared: Prepared, accelerator: Accelerator, built: BuiltModel, console: Console) -> None:
    """Print rows, warnings, and what the steps will cost."""
    recipe = prepared.recipe
    splits = prepared.facts["splits"]
    lost = lost_answers(key for facts in splits.values() for key in facts)
    columns = ("rows", "tokens", "longest", "rows_cut", "tokens_cut", *lost, "also_in_training")
    table = Table("split", *(name.replace("_", " ") for name in columns), box=None)
    for name, facts in splits.items():
        table.add_row(name, *(f"{facts[key]:,}" if key in facts else "-" for key in columns))
    console.print(table)
    for line in prepared.facts["warnings"]:
        console.print(f"note: {line}", highlight=False)
    count, labels = built.count, getattr(prepared.schema, "labels", ())
    seeds = recipe.training.seeds or ()
    steps = prepared.total_steps(accelerator.num_processes)
    apply_speedups(built.model, accelerator.device, prepared.training_ids)
    seconds, memory_mib = _measure(accelerator, built.model.to(accelerator.device), prepared, count.trainable)
    for name, text in (
        *([("labels", ", ".join(labels[:12]) + (" ..." if len(labels) > 12 else ""))] if labels else []),
        ("main metric", prepared.main_metric),
        *([("seeds", ", ".join(map(str, seeds)) + "; steps and time below are those of one")] if seeds else []),
        ("weights", f"{count.trainable:,} of {count.total:,} are trained ({count.share:.1%})"),
        ("new modules", ", ".join(built.new_modules) or "none"),
        ("step", effective_batch(recipe.training, accelerator.num_processes)),
        ("steps", f"{steps:,}"),
        ("memory", f"about {memory_mib:,} MiB on {accelerator.device}"),
        (
            "time",
            f"about {_duration(seconds * steps)} of training ({seconds:.2f} s a step, measured), evaluations apart",
        ),
    ):
        console.print(f"{name:<12} {text}", highlight=False)
    console.print("dry run: all checks passed, nothing was trained or written", highlight=False)


def _measure(accelerator: Accelerator, model: torch.nn.Module, prepared: Prepared, trainable: int) -> tuple[float, int]:
    """Return the seconds of a middling optimizer step and the expected peak memory in MiB."""
    lengths = prepared.features["train"].lengths
    plan = training_plan(prepared, total_steps=1, world_size=accelerator.num_processes)
    micros = sorted(
        (micro for step in plan.epoch_batches(0) for micro in step[0] if micro.weight),
        key=lambda micro: len(micro.features) * max(lengths[i] for i in micro.features),
    )

    def pass_over(micro: MicroBatch) -> float:
        started = time.perf_counter()
        backward(accelerator, model, plan, plan.collate(micro.features, 1.0), 1.0)
        if accelerator.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - started

    model.train()
    pass_over(micros[-1])  # the largest first: it warms up and shows the memory
    accumulate = prepared.recipe.training.gradient_accumulation_steps
    middling = micros[len(micros) // 2]
    seconds = min(pass_over(middling) for _ in range(3)) * accumulate  # the least disturbed of three
    on_gpu = accelerator.device.type == "cuda"
    peak = torch.cuda.max_memory_allocated() // 2**20 if on_gpu else environment.peak_memory_mib()
    return seconds, peak + 8 * trainable // 2**20  # AdamW's two moments, float32, are not allocated yet


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
