"""The files of a run folder, and the checks of an output folder. Imports no heavy library."""

import shlex
from collections.abc import Set
from pathlib import Path

from ft_toolkit.core.errors import UsageError
from ft_toolkit.core.hub_names import is_hub_id, split_revision

# The files of a run folder. `run_records` has the types of the JSON files.
RECIPE = "recipe.yaml"
# The process that writes to the folder (`run_lock`).
LOCK = "run.lock"
ENVIRONMENT = "environment.json"
RESULTS = "results.json"
METRICS = "metrics.jsonl"
PREDICTIONS = "predictions.jsonl"
ATTRIBUTIONS = "attributions.jsonl"
EXAMPLES = "examples.npz"
REPORT = "report.html"
CARD = "README.md"
MODEL = "model"
# The rows that `ft_toolkit.fine_tune` got from memory, written before the run starts.
INPUT_ROWS = "input_rows"
# The rows that cannot be read and were left out (data.on_bad_rows=skip), with the reasons.
SKIPPED_ROWS = "skipped_rows.jsonl"
# The models that a run creates before it starts: the tiny model of a smoke run, a model from scratch, and a base model with an
# adapter merged into it. Resumed runs read them, so the names must not change.
TINY_MODEL_FOLDER, FROM_SCRATCH_FOLDER, MERGED_FOLDER = "stand_in_model", "new_model", "merged_model"
# The names in a run folder before the recipe is written.
BEFORE_RECIPE = frozenset({INPUT_ROWS, TINY_MODEL_FOLDER, FROM_SCRATCH_FOLDER, MERGED_FOLDER})
# The checkpoints to resume from, the last one and the one before it, and the weights with the best validation score.
CHECKPOINTS = "checkpoints"
LAST_CHECKPOINT, PREVIOUS_CHECKPOINT = f"{CHECKPOINTS}/last", f"{CHECKPOINTS}/previous"
BEST_CHECKPOINT, PREVIOUS_BEST_CHECKPOINT = f"{CHECKPOINTS}/best", f"{CHECKPOINTS}/previous_best"
# In the folder of a cross-validation.
FOLDS, FOLDS_PAGE = "folds.json", "folds.html"
# In the folder of a sweep: the results, the page, the recipe of the best trial, and Optuna's journal of the trials.
SWEEP, SWEEP_PAGE, BEST_RECIPE, SWEEP_JOURNAL = "sweep.json", "sweep.html", "best.yaml", "journal.log"
# In the folder of a search for the best model, with best.yaml.
BEST, BEST_PAGE = "best.json", "best.html"
# In the folder of an audit of a data set: the results, the page, and the rows to review.
AUDIT, AUDIT_PAGE, REVIEW = "audit.json", "audit.html", "review.csv"
# The result of a comparison of two versions of a data set; the name that the documentation uses.
DATA_DIFF = "diff.json"
# The decisions on rows that the page of an audit saves, and that `data.patch` reads.
PATCH = "patch.json"
# In the folder of a command that starts several runs: the output of each run in a separate process.
LOGS = "logs"
# In a checkpoint.
STATE = "state.json"
# In the folder of an export: the comparison with its run. In its model folder: the graph.
CERTIFICATE, ONNX_GRAPH, ONNX_ENCODER = "certificate.json", "model.onnx", "encoder.onnx"
# In the folder of a learning curve.
LEARNING_CURVE, LEARNING_CURVE_PAGE = "scale.json", "scale.html"
# In a model folder.
INFERENCE = "inference.json"
TRAINING_ROWS = "training_rows.npz"
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
# In the model folder of an ensemble: the list of its members, and the folder with their model folders.
ENSEMBLE, MEMBERS = "ensemble.json", "members"
# In the model folder of an adapter: the folder with the config of the base model for this task. A config.json beside
# adapter_config.json would make transformers take the folder for a complete model.
BASE_CONFIG = "base_config"


def checkpoint_folders(folder: Path) -> list[Path]:
    """Return the existing folders of checkpoints to resume from, newest first; .last.old is from earlier versions."""
    names = (LAST_CHECKPOINT, f"{CHECKPOINTS}/.last.old", PREVIOUS_CHECKPOINT)
    return [folder / name for name in names if (folder / name).is_dir()]


def has_checkpoint(folder: Path) -> bool:
    """Return whether a run folder has a checkpoint to resume from."""
    return bool(checkpoint_folders(folder))


def check_folder(output: Path | None, *, resume: bool) -> None:
    """Raise UsageError when a run must not write to `output`, or when there is no folder to resume."""
    if resume and output is None:
        raise UsageError("--resume requires the run folder: --output FOLDER")
    if output is None or not output.exists():
        return
    if not output.is_dir():
        raise UsageError(f"{output} is a file. Choose another --output")
    if not resume and not has_only(output, {INPUT_ROWS}) and not _is_abandoned(output):
        raise UsageError(f"{output} exists and is not empty. Choose another --output, or resume the run with --resume")


def check_sweep_folder(output: Path) -> None:
    """Raise UsageError when a sweep must not write to `output`: it is neither new nor the folder of a sweep."""
    is_sweep = (output / SWEEP_JOURNAL).is_file() or (output.is_dir() and has_only(output, {LOGS}))
    if not is_sweep:
        check_folder(output, resume=False)


def _is_abandoned(folder: Path) -> bool:
    """Return whether a command was killed before it wrote the recipe of a run or the results of an evaluation.

    Such a folder has the lock of the killed process.
    """
    return (folder / LOCK).is_file() and has_only(folder, BEFORE_RECIPE | {PREDICTIONS, EXAMPLES, REPORT, CARD, MODEL})


def has_only(folder: Path, names: Set[str]) -> bool:
    """Return whether a folder contains no other names than these, apart from its lock and files that are not complete."""
    present = {path.name for path in folder.iterdir()}
    partial = {f".{name}.{suffix}" for name in (*names, RECIPE, RESULTS) for suffix in ("new", "old")}
    return all(name.removeprefix(".").startswith(LOCK) for name in present - names - partial)


def resume_command(command: str, folder: Path) -> str:
    """Return the command that resumes the run that `command` started in `folder`."""
    return shlex.join([*without_folder(command), "--output", str(folder), "--resume"])


def without_folder(command: str) -> list[str]:
    """Return the arguments of a command without --output and --resume."""
    return [word for word in _without_options(shlex.split(command), ("--output",)) if word != "--resume"]


def without_execution(command: str) -> list[str]:
    """Return the arguments of a command without --output, --resume and the options that say where its runs are computed."""
    return _without_options(without_folder(command), ("--executor", "--executor-option", "--parallel"))


def _without_options(words: list[str], options: tuple[str, ...]) -> list[str]:
    """Return words without options that have a value: `--name VALUE` and `--name=VALUE`."""
    kept: list[str] = []
    is_value = False
    for word in words:
        if not is_value and word not in options and not word.startswith(tuple(f"{name}=" for name in options)):
            kept.append(word)
        is_value = not is_value and word in options
    return kept


def is_local(name: str) -> bool:
    """Return whether a model is a local path. Raises UsageError when it is neither an existing path nor a Hub id."""
    if Path(name).exists():
        return True
    repo, _ = split_revision(name)
    if "/" not in repo or not is_hub_id(repo):
        raise UsageError(f"{name}: not found locally, and not a Hub id (owner/name, owner/name@revision)")
    return False
