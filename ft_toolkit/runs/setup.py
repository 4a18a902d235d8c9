"""Set up a run before its first step: the run folder, the data on every process, the accelerator, the resolved recipe."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from accelerate import Accelerator, PartialState
from accelerate.state import AcceleratorState

from ft_toolkit.core import environment, files
from ft_toolkit.core.claim import claim
from ft_toolkit.core.progress import Report, no_report
from ft_toolkit.core.run_folder import (
    FROM_SCRATCH_FOLDER,
    LAST_CHECKPOINT,
    MERGED_FOLDER,
    RECIPE,
    SKIPPED_ROWS,
    TINY_MODEL_FOLDER,
)
from ft_toolkit.core.run_lock import RunLock
from ft_toolkit.core.run_records import write_environment
from ft_toolkit.data.bad_rows import write_skipped_rows
from ft_toolkit.data.selection import SELECTION
from ft_toolkit.recipe.load_recipe import LoadedRecipe
from ft_toolkit.recipe.resolved import resolve
from ft_toolkit.report import results as results_file
from ft_toolkit.runs.action import RECIPE_HEADER
from ft_toolkit.runs.context import RunContext
from ft_toolkit.runs.options import RunOptions
from ft_toolkit.training import checkpoint
from ft_toolkit.training.automatic import Choice
from ft_toolkit.training.distributed import processes
from ft_toolkit.training.prepare import Prepared, SavedValues, prepare
from ft_toolkit.training.smoke import prepare_smoke


@contextmanager
def claimed_folder(distributed: PartialState, name: str, options: RunOptions) -> Iterator[Path]:
    """Yield the run folder, created and locked by the main process: `options.output`, or runs/NAME with a free number.

    Raises UsageError, also if another process uses the folder.
    """
    name += "-smoke" if options.smoke else ""
    locks: list[RunLock] = []

    def create() -> Path:
        locks.append(claim(name, options.output, resume=options.resume))
        return locks[0].folder

    try:
        yield processes.on_main_process(distributed, create)
    finally:
        for lock in locks:
            lock.release()


def prepare_on_all_processes(
    distributed: PartialState,
    loaded: LoadedRecipe,
    work_folder: Path,
    saved: SavedValues | None,
    *,
    is_shared: bool,
    smoke: bool,
    report: Report = no_report,
) -> Prepared:
    """Prepare the run on every process, on the main process first, and check that all processes have the same data.

    The main process creates new models; a process that does not share its `work_folder` receives a copy. `saved` are the values
    of the checkpoint of a resumed run. `report` shows the progress of the tokenization.
    """

    def copy_new_models() -> None:
        for name in (TINY_MODEL_FOLDER, FROM_SCRATCH_FOLDER, MERGED_FOLDER):
            processes.copy_folder(distributed, work_folder / name, missing=not is_shared)

    selection = SELECTION if saved is None else saved.selection
    prepared = processes.main_process_first(
        distributed,
        partial(
            prepare_smoke if smoke else partial(prepare, report=report),
            loaded,
            work_folder=work_folder,
            selection=selection,
            n_processes=distributed.num_processes,
        ),
        between=copy_new_models,
    )
    encoded = [*prepared.features.values(), prepared.training_features]
    lengths = repr([features.lengths for features in encoded]).encode()
    processes.check_same(
        distributed,
        {
            "recipe": loaded.recipe.sha256()[:12],
            "rows": prepared.data.fingerprint[:12],
            "augmentation": "none" if prepared.augmentation is None else prepared.augmentation.fingerprint[:12],
            "tokenizer": f"{zlib.crc32(lengths):08x}",
            "training.mixed_precision": prepared.recipe.training.mixed_precision,
            "model.pooling": str(prepared.recipe.model.pooling),
        },
    )
    return prepared


def read_saved_values(distributed: PartialState, folder: Path) -> SavedValues:
    """Return the derived values of the checkpoint in a run folder. Raises ResumeError when no checkpoint is complete."""
    return processes.on_main_process(distributed, lambda: checkpoint.read_saved_values(folder / LAST_CHECKPOINT))


def keep_saved_values(loaded: LoadedRecipe, prepared: Prepared, saved: SavedValues) -> Prepared:
    """Return the prepared run with the derived values of its checkpoint: `auto` values, steps, size of evaluation batches.

    An interrupted run can therefore be resumed on other hardware, with another number of processes, and by a version with
    other rules.
    """
    values: dict[str, dict[str, object]] = {"training": {}, "evaluation": {}}
    for choice in prepared.choices:
        section, key = choice.setting.split(".")
        if key in saved.recipe.get(section, {}):  # an older version did not have every setting
            values[section][key] = saved.recipe[section][key]
    n_processes = PartialState().num_processes
    examples = values["training"].get("examples_per_batch")
    if isinstance(examples, int):  # a step keeps its rows
        values["training"]["examples_per_batch"] = max(examples * saved.processes // n_processes, 1)
    choices = [
        Choice(choice.setting, values[section].get(key, choice.value), "chosen when the run started")
        for choice in prepared.choices
        for section, key in [choice.setting.split(".")]
    ]
    recipe = resolve(prepared.recipe, values)
    if loaded.recipe.model.pooling == "auto":
        # checkpoints of older versions have none: their heads use the default of the model family
        pooling = saved.recipe.get("model", {}).get("pooling")
        recipe = recipe.model_copy(update={"model": recipe.model.model_copy(update={"pooling": pooling})})
        prepared = replace(prepared, pooling_reason="as before the interruption")
    return replace(prepared, recipe=recipe, saved=saved, choices=choices)


def leave_out_test(prepared: Prepared) -> Prepared:
    """Return the prepared run without its test rows."""
    splits, features, counts = dict(prepared.data.splits), dict(prepared.features), dict(prepared.facts["splits"])
    for parts in (splits, features, counts):
        parts.pop("test", None)
    data = replace(prepared.data, splits=splits)
    return replace(prepared, data=data, features=features, facts={**prepared.facts, "splits": counts})


def make_accelerator(prepared: Prepared, folder: Path) -> Accelerator:
    """Return the accelerator of a run, with the precision and the trackers of its recipe."""
    AcceleratorState._reset_state()  # an earlier run in this process may have used another precision
    return Accelerator(
        cpu=environment.use_cpu(),
        mixed_precision=prepared.recipe.training.mixed_precision,
        log_with=list(prepared.recipe.tracking.trackers) or None,
        project_dir=str(folder),  # where trackers write their files
    )


def write_inputs(context: RunContext) -> None:
    """Write the resolved recipe, the environment and the skipped rows to the run folder."""
    prepared = context.prepared
    header = f"{RECIPE_HEADER}    {context.command}\n"
    if prepared.substitutions:
        header += "".join(f"# {line}\n" for line in prepared.substitutions)
        recipe = LoadedRecipe("", prepared.recipe, prepared.task, {}).to_yaml()
    else:
        recipe = context.loaded.to_yaml()
    files.write_file(context.folder / RECIPE, header + recipe)
    if prepared.data.skipped:
        write_skipped_rows(context.folder / SKIPPED_ROWS, prepared.data.skipped)
    write_environment(context.folder, results_file.run_environment(prepared, context.accelerator))
