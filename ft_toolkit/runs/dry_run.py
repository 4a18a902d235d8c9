"""`ftk run --dry-run`: check the whole recipe and measure one training step, without an update."""

import tempfile
import time
from pathlib import Path

import torch
from accelerate import Accelerator
from rich.console import Console
from rich.table import Table

from ft_toolkit.core import environment
from ft_toolkit.data.tokenizer_changes import describe_normalization
from ft_toolkit.recipe.load_recipe import LoadedRecipe
from ft_toolkit.report.results import data_facts
from ft_toolkit.report.sections.data import answer_cuts, audit_command, fault_rows, faults_note
from ft_toolkit.runs.disk_space import describe_size, needed_bytes
from ft_toolkit.training.automatic import describe_choices
from ft_toolkit.training.batching import MicroBatch
from ft_toolkit.training.loop import backward
from ft_toolkit.training.prepare import BuiltModel, Prepared, build_model, describe_step, prepare
from ft_toolkit.training.speedups import apply_speedups
from ft_toolkit.training.tracking import check_trackers
from ft_toolkit.training.trained_model import training_plan

# Labels that are shown; further labels are counted.
_MOST_LABELS = 12
_TIMED_PASSES = 3


def dry_run(loaded: LoadedRecipe, command: str, console: Console) -> None:
    """Check the whole recipe and print rows, faults, tokens, steps, parameters, and an estimate of memory and time.

    `command` is the command of the user, such as "ftk run demo --dry-run".

    The estimate is based on a measurement: a forward and backward pass over the largest batch and over a batch of median
    size. Raises UsageError.
    """
    check_trackers(loaded.recipe.tracking)
    with tempfile.TemporaryDirectory() as scratch:
        prepared = prepare(loaded, work_folder=Path(scratch))
        accelerator = Accelerator(cpu=environment.use_cpu(), mixed_precision=prepared.recipe.training.mixed_precision)
        _print_splits(prepared, console)
        _print_faults(prepared, command, console)
        _print_plan(prepared, accelerator, build_model(prepared), console)


def _print_splits(prepared: Prepared, console: Console) -> None:
    """Print a table of the splits, and the warnings about the data."""
    splits = prepared.facts["splits"]
    lost = answer_cuts(key for facts in splits.values() for key in facts)
    columns = ("rows", "tokens", "longest", "rows_cut", "tokens_cut", *lost, "also_in_training")
    table = Table("split", *(name.replace("_", " ") for name in columns), box=None)
    for name, facts in splits.items():
        table.add_row(name, *(f"{facts[key]:,}" if key in facts else "-" for key in columns))
    console.print(table)
    for warning in prepared.facts["warnings"]:
        console.print(f"note: {warning}", highlight=False)


def _print_faults(prepared: Prepared, command: str, console: Console) -> None:
    """Print the number of rows with each kind of fault, and the command that shows them."""
    facts = data_facts(prepared.data, None, prepared.facts)
    splits = list(facts.splits)
    if facts.faults:
        table = Table("fault", *splits, box=None)
        for title, counts in fault_rows(facts.faults, splits):
            table.add_row(title, *counts)
        console.print(table, highlight=False)
    console.print(faults_note(facts, audit_command(command)), highlight=False, soft_wrap=True, markup=False)


def _print_plan(prepared: Prepared, accelerator: Accelerator, built: BuiltModel, console: Console) -> None:
    """Print the labels, the trainable parameters, and the number, size and cost of the training steps."""
    recipe, count = prepared.recipe, built.count
    labels, seeds = prepared.task.labels(prepared.schema), recipe.training.seeds or ()
    steps = prepared.total_steps(accelerator.num_processes)
    # an epoch has each row once, so as many epochs as there are pairs for each row
    pairs = recipe.training.contrastive_pairs or 0
    pair_steps = pairs * prepared.epoch_steps(0, accelerator.num_processes)
    apply_speedups(built.model, accelerator.device, prepared.training_ids)
    seconds, memory_mib = _measure(accelerator, built.model.to(accelerator.device), prepared, count.trainable)
    total = seconds * (steps + 2 * pair_steps)  # a step with pairs has twice as many texts
    lines = {
        "labels": _describe_labels(labels),
        "main metric": prepared.main_metric,
        "input": prepared.input_description.removeprefix("; "),
        "seeds": f"{', '.join(map(str, seeds))} (steps and time below are per seed)" if seeds else "",
        "tokenizer": describe_normalization(prepared.tokenizer),
        "parameters": f"{count.trainable:,} of {count.total:,} are trainable ({count.share:.1%})",
        "new modules": ", ".join(built.new_modules) or "none",
        "steps": f"{steps:,} of {describe_step(recipe.training, accelerator.num_processes)}",
        "pairs": f"{pairs} for each training row: about {pair_steps:,} contrastive steps before" if pairs else "",
        "memory": f"about {memory_mib:,} MiB on {accelerator.device}",
        "disk": f"about {describe_size(needed_bytes(count, recipe.method))} for checkpoints and the model",
        "time": f"about {_duration(total)} ({seconds:.2f} s per step, measured), without evaluations",
    }
    for name, text in lines.items():
        if text:
            console.print(f"{name:<12} {text}", highlight=False)
    for number, line in enumerate(describe_choices(prepared.choices)):
        console.print(f"{'' if number else 'chosen':<12} {line}", highlight=False, soft_wrap=True)
    console.print("dry run: all checks passed, nothing was trained or written", highlight=False)


def _describe_labels(labels: tuple[str, ...]) -> str:
    """Return the first labels and the number of the others."""
    more = f" and {len(labels) - _MOST_LABELS} more" if len(labels) > _MOST_LABELS else ""
    return ", ".join(labels[:_MOST_LABELS]) + more


def _measure(accelerator: Accelerator, model: torch.nn.Module, prepared: Prepared, trainable: int) -> tuple[float, int]:
    """Return the seconds of an optimizer step of median size and the expected peak memory in MiB."""
    lengths = prepared.training_features.lengths
    plan = training_plan(prepared, total_steps=1, world_size=accelerator.num_processes)
    micro_batches = sorted(
        (micro for step in plan.epoch_batches(0) for micro in step[0] if micro.weight),
        key=lambda micro: len(micro.features) * max(lengths[i] for i in micro.features),
    )

    def seconds_of_pass(micro: MicroBatch) -> float:
        started = time.perf_counter()
        backward(accelerator, model, plan, plan.collate(micro.features, 1.0), 1.0)
        if accelerator.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - started

    model.train()
    seconds_of_pass(micro_batches[-1])  # the largest first: it warms up the device and reaches the peak memory
    median = micro_batches[len(micro_batches) // 2]
    # the minimum of three passes is the least disturbed one
    seconds_per_pass = min(seconds_of_pass(median) for _ in range(_TIMED_PASSES))
    on_gpu = accelerator.device.type == "cuda"
    peak = torch.cuda.max_memory_allocated() // 2**20 if on_gpu else environment.peak_memory_mib()
    adamw_mib = 8 * trainable // 2**20  # two float32 moments per weight, which are not allocated yet
    return seconds_per_pass * prepared.recipe.training.gradient_accumulation_steps, peak + adamw_mib


def _duration(seconds: float) -> str:
    """Return a duration in seconds, minutes or hours."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
